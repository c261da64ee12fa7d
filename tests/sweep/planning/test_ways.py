"""Several ways of transfer in one plan."""

from collections import Counter
from typing import Any

import pytest

from sweep.planning.work import runs_of
from tests.sweep.samples import plan_of
from trainables.core.cells import Cell
from trainables.errors import InputError

CLOSED = {"solver": "closed_form"}
DISTIL = {"solver": "distil", "steps": [15, 60]}


def carried(**changes: Any) -> list[Cell]:
    changes = {"sources": ["A", "B"], "pairs": [["A", "B"]], "targets": ["T"], **changes}
    return [cell for cell in plan_of(**changes).cells if cell.kind == "transfer"]


def test_one_way_is_the_same_in_a_list_and_alone() -> None:
    alone, listed = carried(transfer=CLOSED), carried(transfer=[CLOSED])
    assert [cell.id for cell in alone] == [cell.id for cell in listed]
    assert plan_of(transfer=CLOSED).hash == plan_of(transfer=[CLOSED]).hash


def test_every_prompt_goes_every_way_and_further_ways_leave_ids_as_they_are() -> None:
    one, both = carried(transfer=CLOSED), carried(transfer=[CLOSED, DISTIL])
    assert {cell.id for cell in one} < {cell.id for cell in both}
    solvers = Counter((cell.row, cell.settings["solver"]) for cell in both)
    for row in ("single", "baseline", "ours"):
        assert solvers[row, "distil"] == 2 * solvers[row, "closed_form"] > 0


def test_rows_say_which_prompts_go_a_way_and_are_in_no_cell() -> None:
    cells = carried(transfer=[CLOSED, {**DISTIL, "rows": ["single"]}])
    assert {cell.row for cell in cells if cell.settings["solver"] == "distil"} == {"single"}
    assert all("rows" not in cell.settings for cell in cells)


@pytest.mark.parametrize(
    ("way", "inputs"),
    [
        ({"solver": "readout", "teacher": "gold"}, 0),
        ({"solver": "distil", "teacher": "own"}, 0),
        ({"solver": "distil", "teacher": "direct"}, 1),
        ({"solver": "tune", "start": "vocabulary", "shots": 4}, 0),
        ({"solver": "search", "start": "label_words", "shots": 4}, 0),
    ],
)
def test_what_takes_nothing_of_a_source_is_computed_once_a_seed(
    way: dict[str, Any], inputs: int
) -> None:
    cells = carried(transfer=way, seeds=3, direct=False)
    assert Counter(cell.row for cell in cells) == {"own": 3}
    assert {cell.sources for cell in cells} == {("T",)}
    assert {len(cell.inputs) for cell in cells} == {inputs}


@pytest.mark.parametrize(
    "way",
    [
        {"solver": "distil", "teacher": "permuted"},
        {"solver": "distil", "teacher": "own", "start": "carried"},
        {"solver": "tune"},
        {"solver": "search", "teacher": "gold", "subspace": "sources"},
    ],
)
def test_what_takes_something_of_a_source_is_computed_for_each(way: dict[str, Any]) -> None:
    assert {cell.row for cell in carried(transfer=way)} == {"single", "baseline", "ours"}


def test_what_comes_from_the_same_runs_is_one_pack_and_its_price_is_the_longest() -> None:
    way = {"solver": "distil", "steps": [15, 60, 30], "batch_size": 8, "rows": ["single"]}
    plan = plan_of(sources=["A", "B"], pairs=[], targets=["T"], seeds=2, transfer=[CLOSED, way])
    (pack,) = [pack for pack in plan.packs if any("start" in c.settings for c in pack.cells)]
    assert len(pack.cells) == 2 * 2 * 3
    runs = runs_of(pack.cells)
    assert len(runs) == 2 * 2
    assert {run.trained for run in runs} == {60 * 8}
    assert {cell.kind for cell in pack.cells} == {"transfer"}


def test_texts_of_another_task_are_part_of_a_cell() -> None:
    own, other = (
        carried(transfer={"solver": "readout", "texts_from": name}, tasks=["t"])
        for name in (None, "u")
    )
    assert not {cell.id for cell in own} & {cell.id for cell in other}
    assert all("u" in cell.digests for cell in other)
    assert not any("u" in cell.digests for cell in own)


@pytest.mark.parametrize(
    ("transfer", "sentence"),
    [
        ([CLOSED, CLOSED], r"transfer\[1\]: the solver closed_form stands there twice"),
        ([CLOSED, {"solver": "nope"}], r"transfer\[1\]\.solver: found 'nope'"),
        ({"solver": "distil", "steps": [15, 15]}, r"transfer\.steps\[1\]: 15 stands there twice"),
        ({"solver": "random_words"}, r"transfer\.selection: found 'none'; allowed: agreement or"),
        ({"solver": "distil", "start": "text"}, r"transfer\.start_text: found None; allowed: a te"),
        (
            {"solver": "readout", "teacher": "gold", "texts_from": "u"},
            r"transfer\.texts_from: found 'u'; allowed: null with teacher gold",
        ),
        (
            {"solver": "closed_form", "selection": "agreement"},
            r"transfer\.selection: found 'agreement'; allowed: agreement only where",
        ),
        ({"solver": "distil", "rows": ["own"]}, r"transfer\.rows\[0\]: found 'own'; allowed: "),
    ],
)
def test_bad_ways_are_one_sentence(transfer: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        carried(transfer=transfer)
    assert "\n" not in str(caught.value)
