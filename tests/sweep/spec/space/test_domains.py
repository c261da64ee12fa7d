"""Domains: what a spec may write for one setting, and what becomes of it."""

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.spec.space.domains import Choices, Fixed, MisfitError, Mixed, Range, label_of, rounded
from sweep.spec.space.parsing import DomainParser, parse_space
from tests.sweep.samples import relaxed
from tests.sweep.search.spaces import PAIRS
from trainables.errors import InputError

NUMBER = float | str
WHOLE = int
TEXT = str


class RandomChooser:
    """Draws without Optuna."""

    def __init__(self, seed: int, flat: bool = False) -> None:
        self.flat, self._rng = flat, random.Random(seed)
        self.names: list[str] = []

    def number(self, name: str, domain: Range) -> float:
        self.names.append(name)
        if domain.step is not None:
            assert domain.size is not None
            return domain.low + self._rng.randrange(domain.size) * domain.step
        return self._rng.uniform(domain.low, domain.high)

    def label(self, name: str, labels: tuple[str, ...]) -> str:
        self.names.append(name)
        return self._rng.choice(labels)


class Given(RandomChooser):
    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(0)
        self._values = values

    def number(self, name: str, domain: Range) -> float:
        return float(self._values[name]) if not domain.whole else self._values[name]

    def label(self, name: str, labels: tuple[str, ...]) -> str:
        return str(self._values[name])


def parse(value: Any, hint: Any = NUMBER) -> Any:
    return DomainParser({"rate": {"low": 1, "high": 2}, "loop": {"domain": "rate"}}).parse(
        value, "x", hint
    )


def test_forms() -> None:
    assert parse(0.5) == Fixed(0.5)
    assert parse("prefix", TEXT) == Fixed("prefix")
    assert parse([1, 2], WHOLE) == Choices((1, 2))
    assert parse({"choices": [1, 2]}, WHOLE) == Choices((1, 2))
    assert parse([7], WHOLE) == Fixed(7)
    assert parse({"low": 0.5, "high": 2}) == Range(0.5, 2.0)
    assert parse({"low": 1, "high": 9, "log": True}, WHOLE) == Range(1, 9, True, 1, True)
    assert parse({"low": 1, "high": 9, "int": True, "step": 4}, WHOLE) == Range(
        1, 9, False, 4, True
    )
    assert parse(["annealing", {"low": 0.1, "high": 1}]) == Mixed(("annealing",), Range(0.1, 1.0))
    assert parse([{"low": 0.1, "high": 1}]) == Range(0.1, 1.0)
    assert parse({"domain": "rate"}) == Range(1, 2)


def test_a_step_that_does_not_end_at_high_stops_before_it() -> None:
    grid = parse({"low": 0, "high": 1, "step": 0.3})
    assert [grid.at(index) for index in range(grid.size)] == [0.0, 0.3, 0.6, 0.9]
    assert parse({"low": 0.1, "high": 0.3, "step": 0.1}).size == 3  # 0.3 - 0.1 is 0.19999…
    assert parse({"low": 8, "high": 21, "step": 4}, WHOLE).high == 20


def test_a_list_is_a_value_where_the_setting_is_a_list() -> None:
    kind = tuple[int, ...]
    assert parse([1, 2], kind) == Fixed((1, 2))
    assert parse({"choices": [[1, 2], [3]]}, kind) == Choices(((1, 2), (3,)))


def test_canonical_floats() -> None:
    assert rounded(0.1 + 0.2) == 0.3
    assert str(rounded(-0.0)) == "0.0"
    assert rounded(1e-300) == 1e-300
    assert rounded(0.1234567890123) != rounded(0.1234567890133)


@relaxed
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3))
def test_rounding_keeps_order_and_is_idempotent(values: list[float]) -> None:
    low, middle, high = sorted(values)
    assert rounded(low) <= rounded(middle) <= rounded(high)
    assert rounded(rounded(middle)) == rounded(middle)
    assert math.isclose(rounded(middle), middle, rel_tol=1e-11)


SENTENCES: list[tuple[Any, Any, str]] = [
    ({}, NUMBER, "x.low: missing; allowed: a finite number"),
    ({"low": 1}, NUMBER, "x.high: missing; allowed: a finite number"),
    ({"low": 2, "high": 1}, NUMBER, "x: found low 2.0 and high 1.0; allowed: a low that is below"),
    ({"low": 1, "high": 1}, NUMBER, "x: found low 1.0 and high 1.0; allowed: a low that is below"),
    ({"low": "a", "high": 1}, NUMBER, "x.low: found 'a'; allowed: a finite number"),
    ({"low": True, "high": 2}, NUMBER, "x.low: found True; allowed: a finite number"),
    ({"low": math.nan, "high": 1}, NUMBER, "x.low: found nan; allowed: a finite number"),
    ({"low": 0, "high": math.inf}, NUMBER, "x.high: found inf; allowed: a finite number"),
    ({"low": 0, "high": 10**400}, NUMBER, "x.high: found 1000"),
    ({"low": 0.5, "high": 2}, WHOLE, "x.low: found 0.5; allowed: a whole number"),
    ({"low": 0, "high": 2**60}, WHOLE, "x.high: found 1152921504606846976; allowed: from -2^53"),
    ({"low": 0, "high": 1, "log": True}, NUMBER, "x.low: found 0.0; allowed: a number above 0"),
    ({"low": 1, "high": 2, "log": 1}, NUMBER, "x.log: found 1; allowed: true or false"),
    ({"low": 1, "high": 2, "step": 0}, NUMBER, "x.step: found 0; allowed: a finite number above 0"),
    ({"low": 1, "high": 2, "step": 3}, NUMBER, "x.step: found 3.0; allowed: at most high − low"),
    ({"low": 1, "high": 2, "step": 0.5}, WHOLE, "x.step: found 0.5; allowed: a whole number"),
    ({"low": 1, "high": 9, "step": 2, "log": True}, WHOLE, "x.step: found 2; allowed: no step"),
    ({"low": 1, "high": 2, "int": True}, NUMBER, "x.int: found True; allowed: false"),
    ({"low": 1, "high": 2, "int": False}, WHOLE, "x.int: found False; allowed: true"),
    ({"low": 1, "hihg": 2}, NUMBER, "x: unknown key 'hihg' (did you mean high?); allowed: a value"),
    ({"low": 1, "high": 2}, TEXT, "x: found a range; allowed: a value or a list of values"),
    ({"choices": []}, NUMBER, "x.choices: found []; allowed: a list of at least one value"),
    ({"choices": 3}, NUMBER, "x.choices: found 3; allowed: a list of at least one value"),
    ({"choices": [1], "low": 2}, NUMBER, "x: found 'low' beside choices; allowed: choices alone"),
    ([1, 2, 1], WHOLE, "x[2]: 1 stands there twice; allowed: each once"),
    ([0.1 + 0.2, 0.3], NUMBER, "x[1]: 0.3 stands there twice; allowed: each once"),
    ([1, [2]], NUMBER, "x[1]: found [2]; allowed: a finite number, or text"),
    ([0.5, {"low": 0, "high": 1}], NUMBER, "x: found 0.5, which is in the range beside it"),
    (["range", {"low": 0, "high": 1}], NUMBER, "x: found 'range' beside a range"),
    (
        [{"low": 0, "high": 1}, {"low": 2, "high": 3}],
        NUMBER,
        "x[1]: found a second range; allowed: one range in a list",
    ),
    ([{"low": 0, "high": 1, "stp": 1}], NUMBER, "x[0]: unknown key 'stp' (did you mean step?)"),
    ({"domain": "rat"}, NUMBER, "x.domain: found 'rat' (did you mean rate?); allowed: rate, loop"),
    ({"domain": "rate", "low": 1}, NUMBER, "x: found 'low' beside domain; allowed: domain alone"),
    ({"domain": "loop"}, NUMBER, "domains.loop: found another domain; allowed: a list"),
    ({"domain": "rate"}, TEXT, "x (domains.rate): found a range; allowed: a value or a list"),
]


@pytest.mark.parametrize(("value", "kind", "sentence"), SENTENCES)
def test_one_sentence_a_mistake(value: Any, kind: Any, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(value, kind)
    message = str(caught.value)
    assert message.startswith(sentence)
    assert "; allowed: " in message and "\n" not in message and len(message) < 300


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["low", "annealing", "range", "", "rate"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["low", "high", "log", "step", "int", "choices", "domain", "x", 3]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=8,
)


@relaxed
@given(st.sampled_from(["learning_rate", "steps", "position", "lambda", "recipe", "x"]), junk)
def test_nothing_but_a_sentence_comes_of_junk(setting: str, value: Any) -> None:
    """What is taken gives points; what is not gives one sentence with its path."""
    try:
        space = parse_space({"soft": {setting: value}}, PAIRS, {"rate": {"low": 0.1, "high": 0.2}})
    except InputError as error:
        assert str(error).startswith("methods.soft") and "\n" not in str(error)
    else:
        assert space.choose(RandomChooser(1)).method == "soft"


ranges = st.builds(
    lambda low, width, step: {"low": low, "high": low + width, **({"step": step} if step else {})},
    st.floats(-1e6, 1e6),
    st.floats(0.01, 1e6),
    st.none() | st.floats(1e-3, 0.009),
)
whole_ranges = st.builds(
    lambda low, width, step: {"low": low, "high": low + width, **({"step": step} if step else {})},
    st.integers(-1000, 1000),
    st.integers(1, 10_000),
    st.none() | st.just(1),
)


@relaxed
@given(ranges | whole_ranges, st.integers(0, 2**32))
def test_what_is_drawn_is_inside_and_placed_again(spec: dict[str, Any], seed: int) -> None:
    kind = WHOLE if all(isinstance(value, int) for value in spec.values()) else NUMBER
    domain = parse(spec, kind)
    value = domain.choose("x", RandomChooser(seed))
    assert type(value) is (int if kind is WHOLE else float)
    assert rounded(spec["low"]) <= value <= rounded(spec["high"])
    assert rounded(value) == value
    assert domain.choose("x", Given(domain.place("x", value))) == value


def test_misfits() -> None:
    cases: list[tuple[Any, Any]] = [
        (Fixed(1), True),
        (Fixed(1), 1.0),
        (Range(0.0, 1.0), 1.5),
        (Range(0.0, 1.0), "a"),
        (Range(0.0, 1.0), math.nan),
        (Range(0.0, 1.0), True),
        (Range(0.0, 0.9, step=0.3), 0.4),
        (Range(1, 9, step=2, whole=True), 4),
        (Range(1, 9, step=1, whole=True), 4.5),
        (Choices((1, 2)), 3),
        (Choices((1, 2)), True),
        (Mixed(("annealing",), Range(0.1, 1.0)), 0.05),
        (Mixed(("annealing",), Range(0.1, 1.0)), "other"),
    ]
    for domain, value in cases:
        with pytest.raises(MisfitError):
            domain.place("x", value)


def test_labels_read_well() -> None:
    assert label_of(("A", "B")) == "A + B"
    assert [label_of(value) for value in (None, True, 5, 0.1 + 0.2, "x")] == [
        "null",
        "True",
        "5",
        "0.3",
        "x",
    ]
