"""The Parquet file beside a ledger stands for it exactly as long as it says the same."""

import os
from pathlib import Path

import pandas as pd
import pytest

from analysis.data import results, snapshot
from analysis.data.results import export, read
from analysis.data.snapshot import FILE, signature
from tests.analysis.builder import Design, Hard, build

DESIGN = Design(sources=("ant", "bee"), tasks=("mini/a", "mini/b"), weights=(0.0, 0.3),
                seeds=(0, 1), hard=Hard(sources=("ant", "bee")))  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build(tmp_path, DESIGN)
    return tmp_path


def records_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise AssertionError(f"{path} is read")

    monkeypatch.setattr(results, "read_record", refuse)


@pytest.mark.slow
def test_the_second_look_is_the_first_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read(folder)
    export(first)
    records_are_left_alone(monkeypatch)
    second = read(folder)
    pd.testing.assert_frame_equal(second.frame, first.frame)
    assert second.costs == {pack: dict(cost) for pack, cost in first.costs.items()}
    for name in ("versions", "unreadable", "failures", "planned", "planned_rows", "meta"):
        assert getattr(second, name) == getattr(first, name)


@pytest.mark.slow
def test_any_change_of_the_ledger_has_it_read_anew(folder: Path) -> None:
    whole = read(folder)
    export(whole)
    (gone, changed, *_) = sorted(folder.glob("ledger/??/*.json"))
    content = gone.read_bytes()
    gone.unlink()
    assert len(read(folder).frame) == len(whole.frame) - 1
    gone.write_bytes(content)
    pd.testing.assert_frame_equal(read(folder).frame, whole.frame)
    export(folder)
    # As long as before, at the same place: the time tells.
    text = changed.read_bytes()
    changed.write_bytes(text[:-9] + b"x" * 9)
    os.utime(changed, ns=(1, 1))
    assert read(folder).unreadable == (changed.relative_to(folder).as_posix(),)


@pytest.mark.slow
def test_a_damaged_file_or_one_of_somebody_else_is_no_obstacle(folder: Path) -> None:
    whole = read(folder)
    for content in (b"", b"PAR1 nonsense"):
        (folder / FILE).write_bytes(content)
        pd.testing.assert_frame_equal(read(folder).frame, whole.frame)
    whole.frame.head(1).to_parquet(folder / FILE)
    pd.testing.assert_frame_equal(read(folder).frame, whole.frame)


def test_the_spec_counts_too(folder: Path) -> None:
    before = signature(folder)
    meta = folder / "sweep.json"
    meta.write_text(meta.read_text() + " ")
    assert signature(folder) != before


def test_a_table_of_a_program_with_other_columns_is_not_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sections of a newer one read columns that an older table lacks."""
    before = signature(folder)
    monkeypatch.setattr(snapshot, "COLUMNS", [*snapshot.COLUMNS, "newer"])
    assert signature(folder) != before
