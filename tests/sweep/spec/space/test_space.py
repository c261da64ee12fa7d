"""The space of points: conditional by method, typed, canonical."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from sweep.planning.plan import make_plan
from sweep.spec.space.domains import MisfitError
from sweep.spec.space.parsing import domains_schema, methods_schema, parse_space
from sweep.spec.space.space import Known, Point
from sweep.spec.spec import parse_spec
from sweep.testing.tabulated import find_model, find_task
from tests.sweep.samples import content, relaxed
from tests.sweep.search.spaces import FINITE, PAIRS, SOFT, WORDS, conditional, finite
from tests.sweep.spec.space.test_domains import RandomChooser
from trainables.core.registries import METHODS
from trainables.core.settings import from_mapping
from trainables.errors import InputError


def test_a_point_has_only_what_its_method_has() -> None:
    space = conditional()
    seen = set()
    for seed in range(60):
        chooser = RandomChooser(seed)
        point = space.choose(chooser)
        seen.add(point.method)
        assert chooser.names[:2] == ["method", "sources"]
        assert all(name.startswith(f"{point.method}.") for name in chooser.names[2:])
        assert point.sources in [tuple(pair) for pair in PAIRS]
        assert (point.weight is None) == (point.method == "words")
        assert ("learning_rate" in point.settings) == (point.method == "soft")
    assert seen == {"soft", "words"}


def test_flat_choosers_draw_everything_and_the_point_is_the_same() -> None:
    chooser = RandomChooser(3, flat=True)
    point = conditional().choose(chooser)
    assert set(chooser.names) == set(conditional().parameters)
    assert set(point.settings) == set(
        conditional().choose(Known(conditional().place(point))).settings
    )


settings_of_soft = st.fixed_dictionaries(
    {},
    optional={
        "lambda": st.sampled_from(
            [0, "annealing", [0, 0.5], {"low": 0, "high": 1, "step": 0.25}, SOFT["lambda"]]
        ),
        "learning_rate": st.sampled_from([0.1 + 0.2, [0.1, 0.2], SOFT["learning_rate"]]),
        "prompt_length": st.sampled_from([3, [5, 10], {"low": 1, "high": 40, "log": True}]),
        "position": st.sampled_from(["prefix", ["prefix", "infix", "suffix"]]),
        "steps": st.sampled_from([100, {"low": 50, "high": 500, "step": 50}]),
        "dropout": st.sampled_from([True, [True, False]]),
        "weight_decay": st.sampled_from([0.0, [0.01, 0.0], {"low": 0, "high": 0.1}]),
        "text_tokens": st.sampled_from([None, [None, 24], {"low": 8, "high": 64, "step": 8}]),
        "recipe": st.just("optiprompt"),
    },
)
settings_of_words = st.fixed_dictionaries(
    {},
    optional={
        "vocabulary": st.sampled_from(["all", ["random", "common", "agreement"]]),
        "s": st.sampled_from([64, [64, 128]]),
        "k": st.sampled_from([8, [8, 16], {"low": 8, "high": 128}]),
    },
)


@pytest.mark.slow
@relaxed
@given(settings_of_soft, settings_of_words, st.integers(0, 2**32), st.booleans())
def test_every_point_is_valid_typed_and_placed_again(
    soft: dict[str, Any], words: dict[str, Any], seed: int, flat: bool
) -> None:
    space = parse_space({"soft": soft, "words": words}, PAIRS)
    point = space.choose(RandomChooser(seed, flat))
    built = from_mapping(METHODS[point.method], point.settings)
    for name, hint in type(built).__annotations__.items():
        if name in point.settings and hint in (int, float, bool, str):
            assert type(point.settings[name]) is hint
    spec = point.method_spec()
    assert len(spec.variants) == len(spec.weights) == 1
    assert spec.variants[0] == built
    again = Point.from_json(json.loads(json.dumps(point.to_json())))
    assert again == point and again.key == point.key and hash(again) == hash(point)
    params = space.place(point, flat)
    assert space.choose(Known(params, flat)) == point
    if flat:
        assert params.keys() == space.parameters.keys()


def test_equal_points_have_equal_keys() -> None:
    one = Point("soft", ("A", "B"), 0.1 + 0.2, {"learning_rate": 0.1, "steps": 5})
    other = Point("soft", ("A", "B"), 0.3, {"steps": 5, "learning_rate": 0.1 + 1e-17})
    assert one == other and one.key == other.key
    for different in (
        Point("words", ("A", "B"), 0.3, one.settings),
        Point("soft", ("B", "A"), 0.3, one.settings),
        Point("soft", ("A", "B"), 0.3001, one.settings),
        Point("soft", ("A", "B"), None, one.settings),
        Point("soft", ("A", "B"), "annealing", one.settings),
        Point("soft", ("A", "B"), 0.3, {**one.settings, "steps": 6}),
        Point("soft", ("A", "B"), 0.3, {**one.settings, "steps": True}),
    ):
        assert different != one and different.key != one.key


def test_keys_do_not_change_between_versions() -> None:
    point = Point("soft", ("A", "B"), 0.5, {"steps": 100, "learning_rate": 0.003})
    text = (
        b'{"lambda":0.5,"method":"soft","settings":{"learning_rate":0.003,"steps":100},'
        b'"sources":["A","B"]}'
    )
    assert point.key == hashlib.sha256(text).hexdigest()[:16] == "c31e41fecc909918"


def test_the_settings_are_those_of_a_grid() -> None:
    """A point's plan has the very cells of the same combination in a plain sweep."""
    space = finite()
    wanted = {
        cell.id
        for cell in make_plan(
            parse_spec(content(sources=["A", "B", "C"], methods={"soft": FINITE})),
            find_model,
            find_task,
        ).cells
    }
    found = set()
    assert space.size is not None
    for index in range(space.size):
        point = space.at(index)
        spec = parse_spec(content(sources=["A", "B", "C"], pairs=[list(point.sources)]))
        one = spec.model_copy(update={"methods": {point.method: point.method_spec()}})
        found |= {cell.id for cell in make_plan(one, find_model, find_task).cells}
    assert found == wanted


def test_numbering_of_a_finite_space() -> None:
    methods = {"soft": FINITE, "words": {"s": [64, 128], "k": {"low": 8, "high": 10}}}
    space = parse_space(methods, PAIRS)
    assert space.size == 3 * 3 * 2 + 3 * 2 * 3
    points = [space.at(index) for index in range(space.size)]
    assert len({point.key for point in points}) == space.size
    assert [point.method for point in points] == ["soft"] * 18 + ["words"] * 18
    assert [point.settings["prompt_length"] for point in points[:4]] == [5, 10, 5, 10]
    assert conditional().size is None
    assert conditional().continuous() == ("soft.lambda.value", "soft.learning_rate")


def test_settings_that_belong_to_another_value_are_left_out() -> None:
    section = {"init": ["normal", "text"], "init_text": {"choices": ["one", "two"]}, "steps": 10}
    space = parse_space({"soft": section}, PAIRS[:1])
    assert space.size == 4
    points = [space.at(index) for index in range(4)]
    assert len({point.key for point in points}) == 3
    for point in points:
        assert (point.settings.get("init_text") is None) == (
            point.settings.get("init", "normal") == "normal"
        )
        assert space.choose(Known(space.place(point))) == point


def test_sources_of_their_own() -> None:
    pairs = {"soft": PAIRS, "words": [["A"], ["B"]]}
    space = parse_space({"soft": FINITE, "words": WORDS}, pairs)
    assert {"soft.sources", "words.sources"} < set(space.parameters)
    for seed in range(30):
        point = space.choose(RandomChooser(seed))
        assert list(point.sources) in pairs[point.method]
        assert space.choose(Known(space.place(point))) == point


def test_points_of_other_spaces_do_not_fit() -> None:
    point = finite().at(0)
    for section in (
        {**FINITE, "steps": 200},
        {**FINITE, "prompt_length": [6, 10]},
        {**FINITE, "lambda": [0.5, 0.7]},
    ):
        with pytest.raises(MisfitError):
            parse_space({"soft": section}, PAIRS).place(point)
    with pytest.raises(MisfitError):
        parse_space({"soft": FINITE}, [["A", "C"], ["B", "C"]]).place(point)
    with pytest.raises(MisfitError):
        parse_space({"words": WORDS}, PAIRS).place(point)
    wider = {**FINITE, "prompt_length": {"low": 1, "high": 50}, "lambda": {"low": 0, "high": 1}}
    assert parse_space({"soft": wider, "words": WORDS}, [*PAIRS, ["A", "D"]]).place(point)


def test_the_digest_tells_spaces_apart() -> None:
    digests = [
        finite().digest,
        conditional().digest,
        parse_space({"soft": {**FINITE, "steps": 101}}, PAIRS).digest,
        parse_space({"soft": FINITE}, PAIRS[:2]).digest,
        parse_space({"soft": {**FINITE, "recipe": "fast"}}, PAIRS).digest,
    ]
    assert len(set(digests)) == len(digests)
    assert finite().digest == digests[0]


SENTENCES: list[tuple[Any, str]] = [
    ([], "methods: found []; allowed: a mapping of method names (soft"),
    ({"sofd": {}}, "unknown method 'sofd' (did you mean soft?)"),
    ({"soft": 3}, "methods.soft: found 3; allowed: a mapping of settings"),
    ({"soft": {"stepz": 1}}, "methods.soft: unknown key 'stepz' (did you mean steps?); allowed:"),
    ({"soft": {"lambda": 1.5}}, "methods.soft.lambda: found 1.5; allowed: a number in [0, 1]"),
    ({"soft": {"lambda": [0.5, "x"]}}, "methods.soft.lambda[1]: found 'x'; allowed: a number in"),
    ({"soft": {"lambda": {"low": 0, "high": 2}}}, "methods.soft.lambda.high: found 2; allowed:"),
    ({"soft": {"steps": 0.5}}, "methods.soft.steps: found 0.5; allowed: a whole number"),
    ({"soft": {"steps": [10, "a"]}}, "methods.soft.steps[1]: found 'a'; allowed: a whole number"),
    ({"soft": {"position": ["prefix", "before"]}}, "methods.soft.position[1]: found 'before'"),
    ({"soft": {"dropout": {"low": 0, "high": 1}}}, "methods.soft.dropout: found a range; allowed:"),
    (
        {"soft": {"prompt_length": {"low": 0, "high": 5}}},
        "methods.soft.prompt_length.low: found 0",
    ),
    ({"soft": {"steps": [10, 20], "epochs": 1}}, "methods.soft.steps: found 10 beside epochs 1"),
    ({"soft": {"recipe": ["fast"]}}, "methods.soft.recipe: found ['fast']"),
    ({"soft": {"learning_rate": {"domain": "x"}}}, "methods.soft.learning_rate.domain: found 'x'"),
    (
        {"words": {"k": [8, 9000], "sample_size": 3000}},
        "methods.words.k: found 9000; allowed: fewer than sample_size",
    ),
]


@pytest.mark.parametrize(("methods", "sentence"), SENTENCES)
def test_one_sentence_a_mistake(methods: Any, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_space(methods, PAIRS)
    assert str(caught.value).startswith(sentence)
    assert "; allowed: " in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("domains", "sentence"),
    [
        ([], "domains: found []; allowed: a mapping of names"),
        ({3: [1]}, "domains: found the name 3; allowed: text"),
        ({"a": 3}, "domains.a: found 3; allowed: a list of values"),
    ],
)
def test_the_section_domains(domains: Any, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_space({"soft": {}}, PAIRS, domains)
    assert str(caught.value).startswith(sentence)


def test_named_domains_are_shared() -> None:
    rate = {"low": 0.001, "high": 0.1, "log": True}
    named = {"learning_rate": {"domain": "rate"}, "weight_decay": {"domain": "rate"}}
    found = parse_space({"soft": named}, PAIRS, {"rate": rate})
    assert found.digest == parse_space({"soft": dict.fromkeys(named, rate)}, PAIRS).digest


def test_values_that_exclude_each_other_may_be_searched() -> None:
    """100 evaluations go with 100 steps only: a value is refused only if it goes with nothing."""
    space = parse_space({"soft": {"steps": [10, 100], "evaluations": [10, 100]}}, PAIRS[:1])
    with pytest.raises(InputError, match=r"methods.soft.evaluations: found 100; allowed: at most"):
        [space.at(index) for index in range(4)]
    with pytest.raises(InputError, match=r"methods.soft.evaluations: found 200; allowed: at most"):
        parse_space({"soft": {"steps": [10, 100], "evaluations": [10, 200]}}, PAIRS)


@pytest.mark.slow
def test_the_schema_takes_what_the_parser_takes(shared_schema: Draft202012Validator) -> None:
    for section in (SOFT, FINITE, {"gone": 1}, {"steps": "x"}, {"lambda": {"low": 0}}, None):
        try:
            parse_space({"soft": section}, PAIRS)
            good = True
        except InputError:
            good = False
        assert shared_schema.is_valid({"soft": section}) == good, section
    assert shared_schema.is_valid({"words": WORDS})
    assert shared_schema.is_valid({"soft": {"learning_rate": {"domain": "rate"}}})
    assert not shared_schema.is_valid({})
    Draft202012Validator(domains_schema()).validate({"rate": {"low": 0, "high": 1}})


@pytest.fixture
def shared_schema() -> Draft202012Validator:
    schema = methods_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_importing_the_space_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    code = (
        "import sys, sweep.spec.space.space, sweep.spec.space.section;"
        "sys.exit(any(name in sys.modules for name in ('optuna', 'torch', 'ray', 'pandas')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path.cwd()).returncode == 0
