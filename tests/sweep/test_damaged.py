"""A folder with damaged records says how many, and which command computes them."""

from pathlib import Path

import pytest

from analysis.data.results import read
from analysis.report.page import _missing
from tests.analysis.builder import build
from tests.sweep.test_cli import sweep


@pytest.mark.slow
def test_report_and_status_name_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = build(tmp_path, keep=lambda cell: not cell.seed)
    for cell in [cell for cell in cells if cell.row == "single"][:2]:
        path = tmp_path / "ledger" / cell.id[:2] / f"{cell.id}.json"
        path.write_bytes(b"[" * 100_000)
    number = "2 records"
    assert sweep("report", str(tmp_path), "--csv") == 0
    warning = capsys.readouterr().err
    assert warning.startswith(f"warning: {number} could not be read and were left out (ledger/")
    assert f"sweep run SPEC --out {tmp_path} computes" in warning
    # On the page without the folder's place, which may change.
    note = _missing(read(tmp_path), [])[-1]
    assert note.startswith(f"{number} could not be read")
    assert note.endswith("sweep run SPEC --out DIR computes them again.")
    assert sweep("status", str(tmp_path)) == 0
    told = capsys.readouterr().out
    assert f"could not be read; sweep run SPEC --out {tmp_path} computes" in told
