"""A folder with damaged records says how many, and which command computes them."""

from pathlib import Path

import pytest

from tests.analysis.builder import build
from tests.sweep.test_cli import sweep


def test_report_and_status_name_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = build(tmp_path, keep=lambda cell: not cell.seed)
    for cell in [cell for cell in cells if cell.row == "single"][:2]:
        path = tmp_path / "ledger" / cell.id[:2] / f"{cell.id}.json"
        path.write_bytes(b"[" * 100_000)
    number = "2 records"
    assert sweep("report", str(tmp_path)) == 0
    warning = capsys.readouterr().err
    assert warning.startswith(f"warning: {number} could not be read and were left out (ledger/")
    assert f"sweep run SPEC --out {tmp_path} computes" in warning
    page = (tmp_path / "report.html").read_text()
    assert f"{number} could not be read" in page
    assert "sweep run SPEC --out DIR computes" in page
    assert str(tmp_path) not in page
    assert sweep("status", str(tmp_path)) == 0
    told = capsys.readouterr().out
    assert f"could not be read; sweep run SPEC --out {tmp_path} computes" in told
