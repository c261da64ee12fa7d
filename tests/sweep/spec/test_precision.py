"""``precision`` of a spec: in every cell's id but for float32, and settled before anything runs."""

from typing import Any

import pytest

import sweep.spec.resources
from sweep.planning.plan import make_plan
from sweep.spec.resources import settled
from sweep.spec.spec import Resources, parse_spec
from tests.sweep.samples import content, plan_of
from trainables.core.cells import Cell, Pack
from trainables.errors import InputError
from trainables.packs.pack import run_pack


@pytest.mark.parametrize(
    "methods", [{"soft": {"lambda": [0, 0.5]}}, {"pez": {"vocabulary": "all"}}]
)
def test_float32_is_what_it_always_was(methods: dict[str, object]) -> None:
    plain = plan_of(methods=methods)
    exact, near, middle = (
        plan_of(methods=methods, precision=name) for name in ("float32", "bfloat16", "tf32")
    )
    assert not middle.by_id.keys() & (plain.by_id.keys() | near.by_id.keys())
    assert exact.hash == plain.hash != near.hash
    assert [cell.id for cell in exact.cells] == [cell.id for cell in plain.cells]
    assert all("precision" not in cell.to_json() for cell in plain.cells)
    assert not near.by_id.keys() & plain.by_id.keys(), "not one result is taken for another's"
    assert {cell.precision for cell in near.cells} == {"bfloat16"}
    assert {pack.precision for pack in near.packs} == {"bfloat16"}
    for cell in near.cells:
        assert Cell.from_json(cell.to_json()) == cell
    assert Pack.from_json(near.packs[0].to_json()).precision == "bfloat16"


@pytest.mark.parametrize(
    ("gpu", "cards", "native", "expected"),
    [
        (0.0, "", False, "float32"),
        (0.0, "", True, "bfloat16"),
        (0.0, "0", False, "float32"),
        (1.0, "", False, "bfloat16"),
        (None, "0,1", False, "bfloat16"),
        (None, "", False, "float32"),
    ],
)
def test_auto_takes_bfloat16_where_it_is_native(
    gpu: float | None,
    cards: str,
    native: bool,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", cards)
    monkeypatch.setattr(sweep.spec.resources, "native_bfloat16", lambda: native)
    resources = Resources(gpu=gpu)
    assert settled("auto", resources) == expected
    assert settled("float32", resources) == "float32"
    assert settled("bfloat16", resources) == "bfloat16"


@pytest.mark.parametrize("value", ["float16", 32, ["float32"]])
def test_other_precisions_are_refused(value: object) -> None:
    with pytest.raises(
        InputError, match=r"precision: found .*; allowed: float32, tf32, bfloat16 or auto"
    ):
        parse_spec(content(precision=value))


@pytest.mark.slow
def test_a_small_sweep_in_bfloat16_ends_near_that_in_float32() -> None:
    method = {"lambda": [0, 0.5], "steps": 6, "evaluations": 1, "batch_size": 4}
    method |= {"prompt_length": 2, "text_tokens": 12, "learning_rate": 0.05}
    spec = {
        "name": "precision",
        "sources": ["pocket-bert", "pocket-gpt2"],
        "targets": ["pocket-llama"],
        "tasks": ["mini/topics"],
        "methods": {"soft": method},
        "direct": False,
    }
    found = []
    for precision in ("float32", "bfloat16"):
        plan = make_plan(parse_spec({**spec, "precision": precision}))
        known: dict[str, Any] = {}
        results: list[dict[str, Any]] = []
        for pack in plan.packs:
            outcome = run_pack(pack, {name: known[name] for name in pack.needs})
            assert outcome.failures == {}
            known |= outcome.prompts
            results += [outcome.results[cell.id] for cell in pack.cells]
        assert {prompt.dtype.name for prompt in known.values()} == {"float32"}
        found.append(results)
    exact, near = found
    assert len(exact) == len(near) > 10
    for one, other in zip(exact, near, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=0.05)
        if one["loss"] is not None:
            assert one["loss"] == pytest.approx(other["loss"], rel=0.05)
    assert any(one["loss"] != other["loss"] for one, other in zip(exact, near, strict=True))
