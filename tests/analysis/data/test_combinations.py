"""Prompts of different settings never meet in one number of the report."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis import load, write_report
from analysis.contrasts.effects import soft_pairs
from analysis.contrasts.selection import choose
from analysis.data.combinations import MOST, leading_parts, parts, telling_labels
from analysis.data.results import read
from analysis.dependence.dependence import dependence
from analysis.report.page import render
from analysis.soft.tables import transfer_table
from tests.analysis.builder import Design, build, cells_of, record_of, write_record
from trainables.core.cells import Cell

pytestmark = pytest.mark.slow

SMALL = Design(sources=("ant", "bee"), tasks=("mini/a", "mini/b"), weights=(0.0, 0.3, 0.9))


def build_two(folder: Path, first: dict[str, object], second: dict[str, object]) -> None:
    """Two combinations side by side; the second scores 0.1 higher and prefers another weight."""
    build(folder, SMALL, keep=lambda cell: cell.kind == "reference")
    for more, better in ((first, False), (second, True)):
        ids: dict[str, str] = {}
        for cell in cells_of(SMALL):
            if cell.kind == "reference":
                continue
            layout = {name: more[name] for name in more if name != "init"}
            settings = {**cell.settings, **(more if cell.kind == "source" else layout)}
            made: Cell = replace(
                cell, settings=settings, inputs=tuple(ids[name] for name in cell.inputs)
            )
            ids[cell.id] = made.id
            record = record_of(made, SMALL)
            if better:
                gain = 0.2 if cell.row == "ours" and cell.weight == 0.9 else 0.1
                record["result"]["score"] += gain
                record["result"]["validation_score"] += gain
            write_record(folder, made.id, record)


CASES = {
    "init alone": ({}, {"init": "uniform"}, ["init normal", "init uniform"]),
    "position and length": (
        {"prompt_length": 3, "position": "infix"},
        {"prompt_length": 5},
        ["prompt_length 3, position infix", "prompt_length 5, position prefix"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_combination_is_read_by_itself(case: str, tmp_path: Path) -> None:
    first, second, names = CASES[case]
    build_two(tmp_path, first, second)
    frame = load(tmp_path)
    found = dict(parts(frame))
    assert sorted(found) == names
    low, high = (found[name] for name in names)
    assert len(low) == len(high) == len(list(cells_of(SMALL)))
    assert choose(low)["elk", "ant+bee"].weight_label == "0.3"
    assert choose(high)["elk", "ant+bee"].weight_label == "0.9"
    for row in ("single", "baseline", "ours", "independent", "joint"):
        pair = [part[part["row"] == row]["score"].mean() for part in (low, high)]
        assert pair[1] - pair[0] > 0.09
    assert (low["combination"] == "").sum() == (low["kind"] == "reference").sum() > 0


def test_the_report_has_a_block_for_each(tmp_path: Path) -> None:
    first, second, names = CASES["position and length"]
    build_two(tmp_path, first, second)
    text = write_report(tmp_path).read_text(encoding="utf-8")
    for place, name in enumerate(names, 1):
        assert f'<section id="target-{place}">' in text
        assert f"<h2>Transfer to elk ({name})</h2>" in text
        assert f"<summary>Scores ({name})</summary>" in text
        assert f"Joint tuning ({name})" in text
    assert "2 combinations of settings (each reported by itself)" in text
    tables = text.split("Ours λ=")
    assert {part[:3] for part in tables[1:]} >= {"0.3", "0.9"}


def test_one_combination_is_reported_as_ever(full_frame, full_report) -> None:  # type: ignore[no-untyped-def]
    ((label, part),) = parts(full_frame)
    assert label == ""
    assert part is full_frame
    assert set(full_frame["combination"]) == {""}
    tuned = full_frame[full_frame["kind"] != "reference"]
    assert set(tuned["position"]) == {"prefix"}
    assert set(tuned["init"]) == {"normal"}
    assert "<h2>Transfer to elk</h2>" in full_report
    assert "combinations of settings" not in full_report


def build_kinds(folder: Path, *kinds: tuple[str, dict[str, object], float]) -> None:
    """Soft sweeps side by side that differ in method and settings of the tuning, by their gain.

    Their references stand with the first of them, cut as it cuts texts.
    """
    written = set()
    for method, more, gain in kinds:
        cut = {name: more[name] for name in ("text_tokens",) if more.get(name)}
        ids: dict[str, str] = {}
        for cell in cells_of(SMALL):
            own = cut if cell.kind == "reference" else cut | cell.settings
            own = own | (more if cell.kind == "source" else {})
            name = cell.method if cell.kind == "reference" else method
            inputs = tuple(ids[item] for item in cell.inputs)
            made: Cell = replace(cell, method=name, settings=own, inputs=inputs)
            ids[cell.id] = made.id
            if made.id in written:
                continue
            written.add(made.id)
            record = record_of(made, SMALL)
            if cell.row == "empty":
                record["result"]["score"] = 0.4 + gain
            elif cell.kind != "reference":
                record["result"]["score"] += gain
                record["result"]["validation_score"] += gain
            write_record(folder, made.id, record)
    build(folder, SMALL, keep=lambda cell: False)


KINDS = {
    "two methods": (
        ("soft", {}, 0.0),
        ("lowrank", {"rank": 2}, 0.1),
        ["method lowrank", "method soft"],
    ),
    "a setting that is no axis": (
        ("soft", {"learning_rate": 0.01}, 0.0),
        ("soft", {"learning_rate": 0.3}, 0.1),
        ["learning_rate 0.01", "learning_rate 0.3"],
    ),
    "a younger setting at its default": (
        ("soft", {}, 0.0),
        ("soft", {"weight_decay": 0.1}, 0.1),
        ["weight_decay 0.0", "weight_decay 0.1"],
    ),
}


@pytest.mark.parametrize("case", KINDS)
def test_whatever_differs_stands_in_rows_of_its_own(case: str, tmp_path: Path) -> None:
    first, second, names = KINDS[case]
    build_kinds(tmp_path, first, second)
    frame = load(tmp_path)
    found = dict(parts(frame))
    assert sorted(found) == names
    for part in found.values():
        table = transfer_table(part, "elk", choose(part))
        tuned = table[~table["row"].isin(("empty", "manual", "constant"))]
        assert set(tuned["n"]) == {len(SMALL.seeds)}
    low, high = (found[name] for name in sorted(names, key=lambda name: _level(found[name])))
    for row in ("single", "baseline", "ours", "independent", "joint"):
        pair = [part.loc[part["row"] == row, "score"].mean() for part in (low, high)]
        assert pair[1] - pair[0] == pytest.approx(0.1, abs=0.02)
    answers = dependence(frame)
    assert sorted(item.label for item in answers) == names
    for item in answers:
        assert len(item.pairs) == len(SMALL.tasks) * len(SMALL.seeds)
    if case != "two methods":  # the page takes a label as it is
        return
    text = render(read(tmp_path), answers=lambda: answers)
    for name in names:
        assert f"<h2>Transfer to elk ({name})</h2>" in text
        assert f"Joint tuning ({name})" in text
        assert f"What transfer depends on: soft prompts ({name})" in text


def _level(part: pd.DataFrame) -> float:
    return float(part.loc[part["row"] == "single", "score"].mean())


def test_a_gain_is_over_its_own_empty(tmp_path: Path) -> None:
    build_kinds(tmp_path, ("soft", {}, 0.0), ("soft", {"text_tokens": 20}, 0.05))
    frame = load(tmp_path)
    empties = frame[(frame["row"] == "empty") & (frame["target"] == "elk")]
    assert len(empties) == 2 * len(SMALL.tasks)
    moved = frame[frame["kind"] == "transfer"]
    cut = moved["combination"] == "text_tokens 20"
    assert set(moved["combination"]) == {"text_tokens 20", "text_tokens null"}
    wanted = moved["score"] - (0.4 + 0.05 * cut)
    assert moved["gain_over_empty"].to_numpy() == pytest.approx(wanted.to_numpy())
    for label, part in parts(frame):
        table = transfer_table(part, "elk", choose(part))
        empty = table[(table["row"] == "empty") & (table["task"] == "mini/a")]
        assert list(empty["n"]) == [1], label
    lacking = frame[(frame["row"] != "empty") | (frame["settings"] != '{"text_tokens": 20}')]
    assert (lacking["row"] == "empty").sum() == (frame["row"] == "empty").sum() / 2


def test_what_alone_reads_the_alignment_loss_shares_its_baseline(tmp_path: Path) -> None:
    written = set()
    for anchors in ("sources", "with_targets"):
        ids: dict[str, str] = {}
        for cell in cells_of(SMALL):
            own = dict(cell.settings)
            if cell.row == "joint" and anchors != "sources":
                own["anchors"] = anchors
            made = replace(cell, settings=own, inputs=tuple(ids[name] for name in cell.inputs))
            ids[cell.id] = made.id
            if made.id not in written:
                written.add(made.id)
                write_record(tmp_path, made.id, record_of(made, SMALL))
    build(tmp_path, SMALL, keep=lambda cell: False)
    found = dict(parts(load(tmp_path)))
    assert sorted(found) == ["anchors sources", "anchors with_targets"]
    for part in found.values():
        pairs = soft_pairs(part).asked
        assert len(pairs) == len(SMALL.tasks) * len(SMALL.seeds)
        assert set(part.loc[part["row"] == "baseline", "combination"]) == {""}


def test_of_many_combinations_the_best_are_shown(tmp_path: Path) -> None:
    kinds = [("soft", {"learning_rate": rate / 100}, rate / 100) for rate in range(1, 13)]
    build_kinds(tmp_path, *kinds)
    shown, note = leading_parts(load(tmp_path))
    assert sorted(label for label, _ in shown) == sorted(
        f"learning_rate {rate / 100}" for rate in range(12 - MOST + 1, 13)
    )
    assert note.startswith("12 combinations of settings were tuned. Shown are the 8 ")


def test_labels_without_what_all_have() -> None:
    labels = ["steps 4, shots 4, template all", "steps 4, shots 16, template all"]
    assert telling_labels(labels) == dict(zip(labels, ["shots 4", "shots 16"], strict=True))
    assert telling_labels([]) == {}
