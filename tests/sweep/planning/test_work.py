"""The work of a plan, against counting it text by text."""

from collections.abc import Iterator
from typing import Any

import pytest

from sweep.planning.plan import Plan
from sweep.planning.work import TEXTS, TOKENS, Work, runs_of, training_steps, work_of
from tests.sweep.samples import plan_of

DISTIL = {"solver": "distil", "steps": [3, 9], "batch_size": 2, "texts": 7, "rows": ["single"]}
READOUT = {"solver": "readout", "texts": 5, "rows": ["single"]}
SEARCH = {"solver": "search", "budget": [900, 2000], "texts": 8, "rows": ["single"]}
CLOSED = {"solver": "closed_form"}
SOFT: dict[str, Any] = {
    "lambda": [0, 0.5, "annealing"],
    "steps": 4,
    "batch_size": 3,
    "evaluations": 2,
    "prompt_length": 5,
}
PLANS = {
    "as it is": {},
    "cut": {"methods": {"soft": {**SOFT, "text_tokens": 11}}},
    "combinations": {"methods": {"soft": {**SOFT, "prompt_length": [5, 8]}}},
    "direct": {"direct": True, "tasks": ["x/one", "x/two"], "seeds": 2},
    "ways": {"transfer": [CLOSED, DISTIL, READOUT, SEARCH], "seeds": 2},
}


def _read(plan: Plan) -> Iterator[tuple[int, bool]]:
    """Each text that a model reads: tokens with the prompt, and whether it is learnt from."""
    for pack in plan.packs:
        for cell in pack.cells:
            tokens = cell.settings.get("text_tokens") or TOKENS
            tokens += cell.settings.get("prompt_length") or 0
            for _ in range(TEXTS):
                yield tokens, False
            if cell.kind == "source":
                for _ in range(training_steps(cell.settings)):
                    for _ in range(cell.settings["batch_size"]):
                        yield tokens, True
        done = set()
        for cell in sorted(pack.cells, key=lambda cell: -cell.settings.get("steps", 0)):
            place = (cell.target, cell.inputs, cell.seed, cell.settings.get("solver"))
            if cell.kind != "transfer" or place in done:
                continue
            done.add(place)
            tokens = (cell.settings.get("text_tokens") or TOKENS) + cell.settings["prompt_length"]
            match cell.settings["solver"]:
                case "distil":
                    alone, learnt = 7, 9 * 2
                case "readout":
                    alone, learnt = 5, 0
                case "search":
                    alone, learnt = 2000, 0
                case _:
                    alone, learnt = 0, 0
            yield from [(tokens, False)] * alone + [(tokens, True)] * learnt


def _steps(plan: Plan) -> int:
    steps = 0
    for pack in plan.packs:
        seen = set()
        for cell in pack.cells:
            if cell.kind == "source" and (tuned := (pack.id, cell.tuning)) not in seen:
                seen.add(tuned)
                steps += cell.settings["steps"]
        steps += 9 * len([run for run in runs_of(pack.cells) if run.solver == "distil"])
    return steps


@pytest.mark.parametrize("changes", PLANS.values(), ids=PLANS.keys())
def test_the_work_is_what_counting_it_gives(changes: dict[str, Any]) -> None:
    plan = plan_of(**{"methods": {"soft": SOFT}, **changes})
    read = list(_read(plan))
    assert work_of(plan.packs) == Work(
        steps=_steps(plan),
        texts=len(read),
        backward=sum(learnt for _, learnt in read),
        tokens=sum(tokens for tokens, _ in read),
    )


def test_nothing_is_no_work() -> None:
    assert work_of(()) == Work(0, 0, 0, 0)


def test_texts_of_a_task_that_was_counted() -> None:
    plan = plan_of(methods={"soft": SOFT})
    more, less = work_of(plan.packs), work_of(plan.packs, lambda cell: TEXTS - 100)
    assert more.texts - less.texts == 100 * len(plan.cells)
    assert (more.steps, more.backward) == (less.steps, less.backward)


def test_what_a_run_takes_grows_with_what_it_reads() -> None:
    ways = [CLOSED, DISTIL, READOUT, {"solver": "adam", "steps": 50}, {"solver": "projector"}]
    plan = plan_of(pairs=[], transfer=ways)
    units = {run.solver: run.units for pack in plan.packs for run in runs_of(pack.cells)}
    assert units == {
        "closed_form": 1,
        "distil": 7 + 3 * 9 * 2,
        "readout": 5,
        "adam": 50,
        "projector": 3 * 500 * 16,
    }


def test_what_scores_prompts_reads_them_forward_alone() -> None:
    """Every prompt of every step on the same few texts, and every cell's final evaluation."""
    own = {"steps": 3, "prompts": 4, "reward_texts": 5, "prompt_length": 6, "text_tokens": 10}
    plan = plan_of(methods={"proposals": own})
    searches = sum(cell.kind == "source" for cell in plan.cells)
    found = work_of(plan.packs)
    assert found.backward == 0 and found.steps == 3 * searches
    assert found.texts == TEXTS * len(plan.cells) + searches * 3 * 4 * 5
