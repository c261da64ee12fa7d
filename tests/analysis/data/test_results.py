import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import load
from analysis.data.columns import COLUMNS
from analysis.data.results import export, read, weight_rank
from tests.analysis.builder import Design, build, cells_of, fail, record_of, score_of, write_record
from tests.pace import slowness
from trainables.core.weight import Weight
from trainables.errors import InputError

SMALL = Design(sources=("ant", "bee"), tasks=("mini/a",), weights=(0.0, 0.3), seeds=(0, 1))


def test_one_row_a_cell_with_the_columns_of_the_dictionary(full_frame, full_folder):
    cells = {cell.id: cell for cell in cells_of(Design())}
    assert list(full_frame.columns) == list(COLUMNS)
    assert sorted(full_frame["cell"]) == sorted(cells)
    for row in full_frame.sample(60, random_state=1).itertuples():
        cell = cells[row.cell]
        assert row.score == score_of(cell, Design(), "test")
        assert row.validation_score == score_of(cell, Design(), "validation")
        assert row.sources == "+".join(cell.sources)
        assert (row.kind, row.row, row.task, row.target) == (
            cell.kind, cell.row, cell.task, cell.target,
        )  # fmt: skip
        assert row.weight_label == Weight(cell.weight, cell.schedule).label


def test_gain_is_over_empty_of_the_same_model_and_task(full_frame):
    empty = {
        (row.target, row.task): row.score for row in full_frame.itertuples() if row.row == "empty"
    }
    for row in full_frame.itertuples():
        assert row.gain_over_empty == row.score - empty[row.target, row.task]


@pytest.mark.slow
def test_the_order_depends_on_the_content_only(full_frame, tmp_path):
    cells = list(cells_of(Design()))
    folder = tmp_path / "again"
    build(folder, keep=lambda cell: False)
    for cell in reversed(cells):
        write_record(folder, cell.id, record_of(cell, Design()))
    pd.testing.assert_frame_equal(load(folder), full_frame)
    labels = full_frame.loc[full_frame["row"] == "ours", "weight_label"].drop_duplicates()
    assert list(labels) == ["0.1", "0.3", "0.5", "0.7", "0.9", "annealing"]


def test_types_and_missing_values(full_frame):
    row = full_frame[full_frame["row"] == "empty"].iloc[0]
    assert pd.isna(row["seed"])
    assert pd.isna(row["lambda"])
    assert pd.isna(row["prompt_file"])
    assert row["weight_label"] == ""
    annealing = full_frame[full_frame["weight_label"] == "annealing"]
    assert annealing["lambda"].isna().all()
    assert full_frame["seed"].dtype == "Int64"
    assert full_frame["prompt_length"].dropna().unique().tolist() == [5]
    assert full_frame["solver"].dropna().unique().tolist() == ["closed_form"]


def test_how_a_candidate_was_chosen(tmp_path):
    def alter(cell, record):
        if cell.kind == "transfer" and cell.seed == 0:
            gamma = None if cell.row == "single" else 0.01
            record["result"] |= {
                "selection": "target_validation", "candidates": 6, "chosen": gamma
            }  # fmt: skip

    build(tmp_path, SMALL, alter=alter)
    frame = load(tmp_path)
    moved = frame[(frame["kind"] == "transfer") & (frame["seed"] == 0)]
    assert set(moved["selection"]) == {"target_validation"}
    assert moved["candidates"].unique().tolist() == [6]
    assert moved.loc[moved["row"] == "single", "chosen"].isna().all()
    assert set(moved.loc[moved["row"] != "single", "chosen"]) == {0.01}
    others = frame[~frame.index.isin(moved.index)]
    assert others[["selection", "candidates", "chosen"]].isna().all(axis=None)


def test_export_can_be_read_back(full_folder, full_frame):
    csv, parquet = export(full_folder)
    pd.testing.assert_frame_equal(pd.read_parquet(parquet), full_frame, check_dtype=False)
    again = pd.read_csv(csv, keep_default_na=False)
    assert list(again["cell"]) == list(full_frame["cell"])
    assert [float(text) for text in again["score"]] == list(full_frame["score"])
    assert not list(full_folder.glob(".*.tmp"))


def test_source_sets_of_three_get_a_third_column(tmp_path):
    build(tmp_path, Design(tasks=("mini/a",), seeds=(0,), weights=(0.0,), pair_size=3))
    frame = load(tmp_path)
    columns = list(frame.columns)
    assert columns[columns.index("source_2") + 1] == "source_3"
    assert set(frame["source_3"].dropna()) == {"cat", "dog"}


def test_no_sweep_folder(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match=r"no sweep's folder: it has no sweep\.json"):
            load(folder)


def test_a_sweep_without_a_finished_cell(tmp_path):
    build(tmp_path, SMALL, keep=lambda cell: False)
    with pytest.raises(InputError, match="no finished cell"):
        load(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_broken_sweep_file(tmp_path, text):
    (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(InputError, match=r"sweep\.json"):
        load(tmp_path)


def test_damaged_and_half_written_records_are_left_out_and_named(tmp_path):
    cells = build(tmp_path, SMALL)
    torn, changed, foreign = (
        tmp_path / "ledger" / cell.id[:2] / f"{cell.id}.json" for cell in cells[:3]
    )
    torn.write_text(torn.read_text()[:50])
    record = json.loads(changed.read_text())
    record["result"]["score"] = 0.99
    changed.write_text(json.dumps(record))
    foreign.write_text("[1]")
    foreign.with_name(".half.json.tmp").write_text("{")
    foreign.with_name(".half.json").write_text("{")
    sweep = read(tmp_path)
    assert len(sweep.frame) == len(cells) - 3
    assert set(sweep.unreadable) == {
        path.relative_to(tmp_path).as_posix() for path in (torn, changed, foreign)
    }


def test_a_failure_that_was_finished_later_is_none(tmp_path):
    cells = build(tmp_path, SMALL, keep=lambda cell: cell.seed != 1)
    planned = list(cells_of(SMALL))
    lost = next(cell for cell in planned if cell.seed == 1)
    fail(tmp_path, lost, "the loss became NaN.")
    fail(tmp_path, cells[0], "an old failure.")
    (tmp_path / "ledger" / "failed" / "ffff.json").write_text("{")
    sweep = read(tmp_path)
    assert sweep.planned == len(planned)
    assert {item.cell: item.reason for item in sweep.failures} == {
        lost.id: "the loss became NaN.",
        "ffff": "its failure record cannot be read",
    }


def test_what_the_ledger_writes_is_read(tmp_path):
    """The one place where both sides of the arrow meet: the layout is written down twice."""
    from sweep.ledger.ledger import Ledger

    ledger = Ledger(tmp_path, versions={"torch": "9"})
    cells = list(cells_of(SMALL))
    for cell in cells[:-1]:
        prompt = None if cell.kind == "reference" else np.zeros((5, 8), dtype=np.float32)
        result = record_of(cell, SMALL)["result"]
        ledger.write(cell, result | {"alignment": float("nan")}, "pack-1", {"seconds": 2.0}, prompt)
    ledger.fail(cells[-1], "it ran out of memory.", "pack-1", "Traceback …")
    (tmp_path / "sweep.json").write_text("{}")
    sweep = read(tmp_path)
    assert set(sweep.frame["cell"]) == ledger.done_ids()
    assert sweep.unreadable == ()
    assert [item.reason for item in sweep.failures] == ["it ran out of memory."]
    assert sweep.versions == {"torch": "9"}
    assert all((tmp_path / name).is_file() for name in sweep.frame["prompt_file"].dropna())


def test_weights_are_ordered_by_number_and_annealing_comes_last():
    labels = ["annealing", "0.9", "0", "0.1", "1"]
    assert sorted(labels, key=weight_rank) == ["0", "0.1", "0.9", "1", "annealing"]
    assert Weight(0.30, "constant").label == "0.3"
    assert Weight(None, "none").label == ""


@pytest.mark.slow
def test_5000_records_load_in_two_seconds(tmp_path):
    design = Design(sources=tuple(f"s{number}" for number in range(5)), seeds=tuple(range(9)))
    cells = build(tmp_path, design)
    assert len(cells) > 5000
    began = time.process_time()
    frame = load(tmp_path)
    spent = time.process_time() - began
    assert spent < 2.0 * slowness()
    assert len(frame) == len(cells)


@pytest.mark.slow
def test_importing_the_package_is_light():
    code = (
        "import sys, analysis, analysis.report.page;"
        "heavy = {'torch', 'ray', 'mlflow', 'transformers', 'matplotlib', 'scipy', 'sweep'};"
        "print(sorted(heavy & set(sys.modules)));"
        "print(analysis.load.__name__, analysis.write_report.__name__)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == ["[]", "load write_report"]


def test_the_bare_package_imports_nothing_at_all():
    code = "import sys, analysis; print('pandas' in sys.modules); analysis.nonsense"
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
    assert "has no attribute 'nonsense'" in done.stderr
