"""Which models decide over the words of a hard prompt: the spec's four forms and what is wrong."""

from typing import Any

import pytest

from sweep.spec.pairs import groups_by_source, names_of, parse_counterparts
from trainables.errors import InputError

SOURCES = ("a", "b", "c")


def _groups(value: Any, sources: tuple[str, ...] = SOURCES) -> dict[str, Any]:
    wish = parse_counterparts(value, "methods.pez.counterparts")
    return groups_by_source(wish, sources, lambda name: name, "methods.pez.counterparts")


@pytest.mark.parametrize(
    ("value", "of_a"),
    [
        ("others", (("b",), ("c",))),
        ("together", (("b", "c"),)),
        (["a", "b"], (("b",),)),
        (["x", ["b", "x"]], (("x",), ("b", "x"))),
        ({"a": ["x"], "b": ["a"], "c": [["a", "b"]]}, (("x",),)),
    ],
)
def test_the_forms(value: Any, of_a: tuple[tuple[str, ...], ...]) -> None:
    assert _groups(value)["a"] == of_a


def test_a_mapping_is_taken_source_by_source() -> None:
    groups = _groups({"a": ["x"], "b": ["a"], "c": [["a", "b"]]})
    assert groups["b"] == (("a",),)
    assert groups["c"] == (("a", "b"),)


def test_names_are_those_written() -> None:
    assert list(names_of(parse_counterparts(["x", ["b", "y"]], "p"))) == ["x", "b", "y"]
    assert list(names_of(parse_counterparts({"a": ["x"]}, "p"))) == ["x"]
    assert not list(names_of("others"))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("each", "found 'each'; allowed: others, together"),
        (3, "found 3; allowed"),
        ([], r"found \[\]; allowed"),
        ({}, "found {}; allowed"),
        ([["a", "a"]], r"counterparts\[0\]: found \['a', 'a'\]; allowed: different models"),
        (["x", ["x"]], r"counterparts\[1\]: x stands there twice"),
        ([3], r"counterparts\[0\]: found 3"),
        ({"a": "x"}, r"counterparts.a: found 'x'"),
        ({"a": ["a"], "b": ["a"], "c": ["a"]}, "a is its own counterpart; allowed: other models"),
        ({"a": ["b"]}, "source b has no counterpart; allowed: an entry for each source"),
        ({"a": ["b"], "d": ["a"]}, "found 'd'.*allowed: the sources a, b, c"),
    ],
)
def test_a_mistake_is_one_sentence(value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        _groups(value)
    assert str(caught.value).startswith("methods.pez.counterparts")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", ["others", "together", ["a"]])
def test_a_source_needs_another_model(value: Any) -> None:
    with pytest.raises(InputError, match="source a has no counterpart but itself"):
        _groups(value, ("a",))
