"""Tables of folders, ledgers and MLflow servers, and the dictionary of their columns."""

import os
import time
from pathlib import Path

import pandas as pd
import pytest

from analysis import load
from analysis.data.columns import COLUMNS, DICTIONARY, typed
from analysis.data.results import export
from analysis.data.snapshot import FILE, kept_bytes, signature
from analysis.report.dictionary import markdown
from tests.analysis.builder import Design, Hard, build
from tests.pace import slowness
from trainables.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build(tmp_path / "one", Design(seeds=(0, 1), weights=(0.0, 0.5, None), hard=Hard()))
    return tmp_path / "one"


@pytest.mark.slow
def test_a_folder_its_ledger_and_its_parquet_are_the_same_table(folder, monkeypatch):
    slow = load(folder)
    export(folder)
    monkeypatch.setattr("analysis.data.results._from_ledger", None)
    for place in (folder, str(folder / "ledger")):
        pd.testing.assert_frame_equal(typed(load(place)), typed(slow))


def test_several_places_are_told_apart(folder, tmp_path):
    build(tmp_path / "two", Design(seeds=(0,), weights=(0.0,)))
    both = load(folder, tmp_path / "two")
    counts = both["sweep"].value_counts()
    assert sorted(counts) == sorted([len(load(folder)), len(load(tmp_path / "two"))])
    assert "sweep" not in load(folder).columns
    with pytest.raises(InputError, match="found no place"):
        load()
    with pytest.raises(InputError, match=r"no sweep\.json"):
        load(tmp_path)


@pytest.mark.slow
def test_30_000_rows_load_in_seconds(folder):
    """A ledger of as many files: their times are looked at, the rows are read off the parquet."""
    frame = load(folder)
    for path in (folder / "ledger").rglob("*.json"):
        path.unlink()
    times = 30_000 // len(frame) + 1
    many = pd.concat([frame] * times, ignore_index=True).head(30_000)
    many["cell"] = [f"{number % 256:02x}{number:014x}" for number in range(len(many))]
    for number in range(256):
        (folder / "ledger" / f"{number:02x}").mkdir(exist_ok=True)
    for name in many["cell"]:
        os.close(os.open(folder / "ledger" / name[:2] / f"{name}.json", os.O_CREAT))
    told = {"unreadable": [], "costs": {}, "versions": {}}
    (folder / FILE).write_bytes(kept_bytes(many, told, signature(folder)))
    began = time.process_time()
    assert len(load(folder)) == 30_000
    spent = time.process_time() - began
    assert spent < 2.4 * slowness()


@pytest.mark.slow
def test_every_column_is_in_the_dictionary_with_its_type(folder):
    frame = load(folder)
    assert set(frame.columns) <= set(DICTIONARY)
    assert all(item.meaning for item in DICTIONARY.values())
    numeric = {
        name: "integer" if str(kind) == "Int64" else "number"
        for name, kind in frame.dtypes.items()
        if str(kind) in ("Int64", "float64")
    }
    assert numeric == {
        name: item.type for name, item in DICTIONARY.items() if item.type in ("integer", "number")
    }
    truth = {name for name, kind in frame.dtypes.items() if str(kind) in ("bool", "boolean")}
    assert truth == {name for name, item in DICTIONARY.items() if item.type == "true/false"}
    assert set(COLUMNS) | {"sweep"} == set(DICTIONARY)


def test_the_page_of_columns_is_what_the_program_writes():
    page = Path(__file__).parents[3] / "docs" / "columns.md"
    assert page.read_text(encoding="utf-8") == markdown()
