"""Source sets: lists, the word all, and patterns."""

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.spec.pairs import expand_pairs, parse_pairs
from sweep.spec.spec import parse_spec
from tests.sweep.samples import content, plan_of, relaxed
from trainables.errors import InputError

SOURCES = ["gpt2", "gpt2-large", "bert", "opt"]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ("all", list(combinations(SOURCES, 2))),
        ([], []),
        ([["bert", "gpt2"]], [("bert", "gpt2")]),
        ("gpt2+*", [("gpt2", "gpt2-large"), ("gpt2", "bert"), ("gpt2", "opt")]),
        (["gpt2*+bert"], [("gpt2", "bert"), ("gpt2-large", "bert")]),
        (["gpt2 + opt", ["opt", "gpt2"]], [("gpt2", "opt")]),
        (["gpt?+b*+*"], [("gpt2", "bert", "gpt2-large"), ("gpt2", "bert", "opt")]),
    ],
    ids=str,
)
def test_source_sets(pairs: Any, expected: list[tuple[str, ...]]) -> None:
    assert list(expand_pairs(parse_pairs(pairs), SOURCES)) == expected


@relaxed
@given(st.lists(st.sampled_from(["*", "gpt2*", "b*", "opt", "?????"]), min_size=2, max_size=3))
def test_a_pattern_is_every_set_that_its_parts_can_share_out(parts: list[str]) -> None:
    """Against a literal reading: some order of the set matches the parts one by one."""
    from fnmatch import fnmatchcase
    from itertools import permutations

    literal = {
        frozenset(chosen)
        for chosen in permutations(SOURCES, len(parts))
        if all(fnmatchcase(name, part) for name, part in zip(chosen, parts, strict=True))
    }
    if not literal:
        with pytest.raises(InputError, match="no two sources match"):
            expand_pairs(parse_pairs(["+".join(parts)]), SOURCES)
        return
    found = expand_pairs(parse_pairs(["+".join(parts)]), SOURCES)
    assert {frozenset(names) for names in found} == literal
    assert len(found) == len(literal)


@pytest.mark.parametrize(
    "pairs", ["gpt2", "+bert", ["gpt2+"], [["gpt2"]], {}, 3, [["a", "a"]]], ids=str
)
def test_what_is_no_source_set_is_one_sentence(pairs: Any) -> None:
    with pytest.raises(InputError, match=r"pairs: found .* allowed: all, or a list"):
        parse_spec(content(pairs=pairs))


def test_named_domains_and_steps_in_a_grid() -> None:
    spec = parse_spec(
        content(
            domains={"lengths": {"choices": [3, 5]}, "weights": [0, 0.5]},
            methods={
                "soft": {
                    "lambda": {"domain": "weights"},
                    "prompt_length": {"domain": "lengths"},
                    "steps": 4,
                    "evaluations": 2,
                }
            },
        )
    )
    soft = spec.methods["soft"]
    assert [weight.value for weight in soft.weights] == [0, 0.5]
    assert [item.prompt_length for item in soft.variants] == [3, 5]
    stepped = parse_spec(
        content(methods={"soft": {"lambda": {"low": 0, "high": 1, "step": 0.25}}})
    ).methods["soft"]
    assert [weight.value for weight in stepped.weights] == [0, 0.25, 0.5, 0.75, 1]


def test_a_single_weight_needs_no_list() -> None:
    one = plan_of(methods={"soft": {"lambda": 0.5, "steps": 4, "evaluations": 2}})
    many = plan_of(methods={"soft": {"lambda": [0.5], "steps": 4, "evaluations": 2}})
    assert one.by_id.keys() == many.by_id.keys()


@pytest.mark.parametrize("pairs", ["all", [], None])
def test_one_source_is_carried_over_alone(pairs: Any) -> None:
    plan = plan_of(sources=["A"], pairs=pairs)
    rows = {cell.row for cell in plan.cells}
    assert rows == {"independent", "single", "empty", "manual", "constant"}
    both = plan_of(pairs=[])
    assert {cell.id for cell in plan.cells} < {cell.id for cell in both.cells}
    assert {cell.row for cell in both.cells} == rows
