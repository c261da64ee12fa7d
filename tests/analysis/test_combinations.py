"""Prompts of different settings never meet in one number of the report."""

from dataclasses import replace
from pathlib import Path

import pytest

from analysis import load, write_report
from analysis.combinations import parts
from analysis.selection import choose
from tests.analysis.builder import Design, build, cells_of, record_of, write_record
from trainables.cells import Cell

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
        assert f"<h3>{name}</h3>" in text
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
