"""Pictures of a report: where they may lie, what they are called, and that the browser answers."""

import shutil
import sys
from pathlib import Path

import pytest

from benchmarks import screenshots


def main(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["screenshots", *map(str, arguments)])
    return screenshots.main()


def test_pictures_are_not_written_into_a_repository(monkeypatch, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    with pytest.raises(SystemExit, match="allowed: one elsewhere"):
        main(monkeypatch, tmp_path / "a.html", "--out", tmp_path / "b", "--chromium", "none")
    assert not (tmp_path / "b").exists()


@pytest.mark.slow
@pytest.mark.skipif(not screenshots._program(), reason="needs Chromium or Chrome")
def test_one_picture_a_screen_and_what_is_too_wide(monkeypatch, tmp_path: Path, capsys) -> None:
    assert shutil.which(screenshots._program() or "")
    page, out = tmp_path / "r" / "report.html", tmp_path / "shots"
    page.parent.mkdir()
    page.write_text("<!DOCTYPE html><p style='height:900px;margin:0'>two words</p>")
    assert main(monkeypatch, page, "--out", out) == 0
    assert "1280 px, 1.1 screens, 2 words to see" in capsys.readouterr().out
    names = {path.name for path in out.iterdir()}
    assert len(names) == 8 and "r-report_400_dark_02.png" in names
    page.write_text("<!DOCTYPE html><p style='width:900px'>x</p>")
    assert main(monkeypatch, page, "--out", out) == 1
    assert "too wide: P." in capsys.readouterr().out
