"""Deep prompts in a plan: what carries them, and what is refused or said before training."""

from typing import Any

import pytest

from sweep.planning.plan import Plan, make_plan
from sweep.search.plan import make_search_plan
from sweep.spec.spec import parse_spec
from tests.sweep.samples import checked, content
from trainables.core.cells import content_hash
from trainables.errors import InputError

SMALL = {"steps": 4, "evaluations": 2}


def plan_of(target: str, *solvers: str, **more: Any) -> Plan:
    methods = {"soft": SMALL, "prefix": SMALL}
    found: dict[str, Any] = {
        **{"sources": ["pocket-bert"], "targets": [target], "pairs": None, "seeds": 1},
        **{"tasks": ["mini/topics"], "methods": methods, "direct": True},
        **{"transfer": [{"solver": solver} for solver in solvers]},
    }
    return make_plan(parse_spec(content(**{**found, **more})))


def carried(plan: Plan) -> set[tuple[str, str]]:
    cells = [cell for cell in plan.cells if cell.kind == "transfer"]
    return {(cell.method, str(cell.settings["solver"])) for cell in cells}


def test_each_method_is_carried_by_the_ways_that_can() -> None:
    plan = plan_of("pocket-gpt2", "closed_form", "copy")
    assert carried(plan) == {("soft", "closed_form"), ("soft", "copy"), ("prefix", "copy")}
    assert checked(plan) == []
    deep = [cell for cell in plan.cells if cell.method == "prefix"]
    assert {cell.settings["position"] for cell in deep} == {"layers"}
    assert {cell.target for cell in deep if cell.kind == "source"} == {"pocket-bert", "pocket-gpt2"}


def test_a_way_that_carries_no_layers_leaves_them_where_they_were_tuned_and_says_so() -> None:
    plan = plan_of("pocket-llama", "closed_form")
    assert carried(plan) == {("soft", "closed_form")}
    (warning,) = checked(plan)
    assert warning.startswith("method prefix: its prompts stay on the models they are tuned on")
    alone = plan_of("pocket-llama", "closed_form", methods={"prefix": SMALL})
    assert carried(alone) == set()


@pytest.mark.parametrize(
    ("target", "numbers"),
    [
        ("pocket-roberta", r"'pocket-roberta', which differ in head size 32 and 40; allowed"),
        (
            "pocket-llama",
            "differ in layers 3 and 4, key-value heads 4 and 2, head size 32 and 24; allowed:"
            " models with the same layers, key-value heads, head size",
        ),
    ],
)
def test_a_copy_between_other_shapes_is_refused_with_the_numbers(target: str, numbers: str) -> None:
    with pytest.raises(InputError, match=numbers) as caught:
        checked(plan_of(target, "copy", methods={"prefix": SMALL}))
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="differ in width of word embeddings 128 and"):
        checked(plan_of(target, "copy", methods={"soft": SMALL}))


def test_an_alignment_loss_is_refused() -> None:
    for weights in ([0, 0.5], ["annealing"]):
        with pytest.raises(InputError, match=r"prefix\.lambda: found a weight above 0; allowed: 0"):
            plan_of("pocket-gpt2", "copy", methods={"prefix": {**SMALL, "lambda": weights}})


def test_a_search_needs_a_way_that_carries_them_and_has_no_weight() -> None:
    def searched(solver: str, **settings: Any) -> Plan:
        changes: dict[str, Any] = {
            **{"sources": ["pocket-bert", "pocket-gpt2"], "pairs": None, "seeds": 2},
            **{"targets": ["pocket-llama"], "tasks": ["mini/topics"], "direct": None},
            **{"methods": {"prefix": {**SMALL, **settings}}, "search": {"trials": 4}},
            **{"transfer": [{"solver": solver}]},
        }
        return make_search_plan(parse_spec(content(**changes))).sample()

    with pytest.raises(InputError, match="methods: found prefix in a search, but no way of"):
        searched("closed_form")
    with pytest.raises(InputError, match=r"prefix\.lambda: found a weight above 0"):
        searched("copy", **{"lambda": {"low": 0.1, "high": 0.9}})
    assert carried(searched("copy")) == {("prefix", "copy")}


def test_task_transfer_and_models_without_it_are_refused() -> None:
    section = {"source_tasks": ["mini/reviews"], "target_tasks": ["mini/topics"]}
    tasks = ["mini/topics", "mini/reviews"]
    with pytest.raises(InputError, match="task_transfer: found beside prefix, whose prompts are"):
        plan_of("pocket-gpt2", "copy", tasks=tasks, task_transfer=section)
    for at in ("sources", "targets"):
        with pytest.raises(InputError, match="of type 't5', whose layers take no keys and values"):
            checked(plan_of("pocket-gpt2", "closed_form", **{at: ["pocket-t5"]}))


def test_cells_of_before_keep_their_ids() -> None:
    """Nothing younger is in the settings of a soft prompt."""
    (cell,) = (
        cell
        for cell in plan_of("pocket-gpt2", "closed_form").cells
        if cell.kind == "transfer" and cell.method == "soft"
    )
    assert content_hash(dict(cell.settings)) == content_hash(
        {
            **{"solver": "closed_form", "norm": "match", "prompt_length": 5},
            **{"position": "prefix", "text_tokens": None},
        }
    )
