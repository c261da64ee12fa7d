"""The comparison of two versions finds what differs, and nothing else."""

from pathlib import Path

import pandas as pd
import pytest

from benchmarks.same_outputs import compare


def _outputs(folder: Path, score: float, text: str, svg_id: str) -> Path:
    folder.mkdir()
    pd.DataFrame({"row": ["ours", "single"], "score": [0.5, score]}).to_csv(folder / "results.csv")
    page = f"<style>p {{}}</style><p id='{svg_id}'>Ours scores <b>{text}</b>.</p>"
    (folder / "report.html").write_text(page)
    (folder / "prompt.npy").write_bytes(text.encode())
    return folder


def test_markup_makes_no_difference(tmp_path: Path) -> None:
    one = _outputs(tmp_path / "one", 0.25, "50.0", "a1")
    other = _outputs(tmp_path / "other", 0.25, "50.0", "b2")
    assert compare(one, other) == []


@pytest.mark.parametrize(
    ("score", "text", "expected"),
    [
        (0.26, "50.0", ["results.csv: score: 1 rows, first 1: 0.25 and 0.26"]),
        (
            0.25,
            "50.1",
            ["prompt.npy: differs", "report.html: word 2: '50.0' is now '50.1'"],
        ),
    ],
)
def test_each_difference_is_a_line(
    tmp_path: Path, score: float, text: str, expected: list[str]
) -> None:
    one = _outputs(tmp_path / "one", 0.25, "50.0", "a")
    lines = compare(one, _outputs(tmp_path / "other", score, text, "a"))
    assert lines == expected


def test_a_file_on_one_side_is_a_line(tmp_path: Path) -> None:
    one = _outputs(tmp_path / "one", 0.25, "50.0", "a")
    other = _outputs(tmp_path / "other", 0.25, "50.0", "a")
    (other / "prompt.npy").unlink()
    assert compare(one, other) == [f"prompt.npy: not in {other}"]
