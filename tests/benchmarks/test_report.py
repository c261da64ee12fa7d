"""The made-up ledger that a report's time is measured on is one that a report reads."""

from pathlib import Path

import pytest

from analysis import load
from benchmarks import report


def test_every_cell_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "TASKS", ("task",))
    monkeypatch.setattr(report, "TARGETS", ("target",))
    monkeypatch.setattr(report, "SEEDS", range(2))
    count = report.write_ledger(tmp_path, 50)
    frame = load(tmp_path)
    assert len(frame) == count > 50
    assert set(frame["row"]) >= {"empty", "single", "baseline", "ours", "independent", "joint"}
