import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.spec.spec import SweepSpec, load_spec, parse_spec, preset_names
from tests.sweep.samples import content, plan_of, relaxed
from trainables.core.cells import Cell
from trainables.core.weight import Weight
from trainables.errors import InputError

# Per bad spec: the changes, and what the one sentence must name: the place, what was found (or the
# nearest good key), and what is allowed.
BAD: list[tuple[dict[str, Any], list[str]]] = [
    ({"souces": ["A"]}, ["'souces'", "did you mean sources", "allowed: name"]),
    ({"sources": None}, ["sources: missing"]),
    ({"sources": []}, ["sources: found []", "at least one"]),
    ({"sources": "A"}, ["sources: found 'A'", "a list"]),
    ({"sources": ["A", "A"]}, ["sources: 'A'", "twice"]),
    ({"sources": ["A", 3]}, ["sources[1]: found 3, a number (text in quotes)", "at least one"]),
    ({"models": {1000: {"path": "A"}}}, ["found 1000, a number (text in quotes)"]),
    ({"name": 1e3}, ["name: found 1000.0, a number (text in quotes)", "letters"]),
    ({"targets": []}, ["targets: found []"]),
    ({"tasks": []}, ["tasks: found []"]),
    ({"tasks": ["x", "x"]}, ["tasks: 'x'", "twice"]),
    ({"name": "two words"}, ["name: found 'two words'", "letters"]),
    ({"name": None}, ["name: missing"]),
    ({"description": 3}, ["description: found 3", "text"]),
    ({"pairs": "some"}, ["pairs: found 'some'", "all, or a list"]),
    ({"pairs": [["A"]]}, ["pairs: found [['A']]", "at least two"]),
    ({"pairs": [["A", "A"]]}, ["pairs: found", "different"]),
    ({"pairs": [["A", "B"], ["B", "A"]]}, ["pairs: the pair B + A", "twice"]),
    ({"pairs": [["A", "Bee"]]}, ["pairs[0]: found 'Bee'", "allowed: the sources A, B"]),
    ({"seeds": 0}, ["seeds: found 0"]),
    ({"seeds": -3}, ["seeds: found -3", "from 1"]),
    ({"seeds": True}, ["seeds: found True"]),
    ({"seeds": [0, -1]}, ["seeds[1]: found -1"]),
    ({"seeds": [1, 1]}, ["seeds: 1 stands there", "twice"]),
    ({"seeds": []}, ["seeds: found []"]),
    ({"seeds": 1.5}, ["seeds: found 1.5"]),
    ({"methods": {}}, ["methods: found {}", "soft"]),
    ({"methods": {"sotf": {}}}, ["'sotf'", "did you mean soft", "allowed: soft"]),
    ({"methods": {"soft": 3}}, ["methods.soft: found 3", "a mapping"]),
    ({"methods": {"soft": {"lamda": [0]}}}, ["methods.soft", "'lamda'", "did you mean lambda"]),
    ({"methods": {"soft": {"lambda": [0, 1.5]}}}, ["methods.soft.lambda[1]: found 1.5", "[0, 1]"]),
    ({"methods": {"soft": {"lambda": [-0.1]}}}, ["methods.soft.lambda[0]: found -0.1", "[0, 1]"]),
    ({"methods": {"soft": {"lambda": ["anealing"]}}}, ["lambda[0]: found 'anealing'", "annealing"]),
    ({"methods": {"soft": {"lambda": [float("nan")]}}}, ["lambda[0]: found nan"]),
    ({"methods": {"soft": {"lambda": []}}}, ["methods.soft.lambda: found []"]),
    ({"methods": {"soft": {"lambda": 1.5}}}, ["methods.soft.lambda: found 1.5", "a list"]),
    ({"methods": {"soft": {"lambda": [0, 0.0]}}}, ["methods.soft.lambda[1]", "twice"]),
    (
        {"methods": {"soft": {"steps": "many"}}},
        ["methods.soft.steps: found 'many'", "whole number"],
    ),
    ({"methods": {"soft": {"steps": 4.0}}}, ["methods.soft.steps: found 4.0"]),
    ({"methods": {"soft": {"steps": 0}}}, ["methods.soft.steps: found 0"]),
    ({"methods": {"soft": {"learning_rate": float("inf")}}}, ["methods.soft.learning_rate: found"]),
    (
        {"methods": {"soft": {"position": "middle"}}},
        ["methods.soft.position", "prefix, infix or suffix"],
    ),
    ({"transfer": {"slover": "x"}}, ["transfer", "'slover'", "did you mean solver"]),
    ({"transfer": {"solver": "x"}}, ["transfer.solver: found 'x'", "closed_form"]),
    ({"transfer": {"selection": "x"}}, ["transfer.selection: found 'x'", "target_validation"]),
    ({"transfer": {"gammas": 3}}, ["transfer.gammas: found 3", "a list with"]),
    (
        {"transfer": {"solver": "ridge", "gammas": [0.1, "b"]}},
        ["transfer.gammas[1]: found 'b'", "a finite number of at least 0"],
    ),
    (
        {"transfer": {"solver": "ridge", "gammas": [-1]}},
        ["transfer.gammas[0]: found -1"],
    ),
    ({"transfer": {"solver": "ridge", "gammas": [10**400]}}, ["transfer.gammas[0]: found"]),
    ({"transfer": {"solver": "adam", "steps": 0}}, ["transfer.steps: found 0", "at least 1"]),
    ({"transfer": {"steps": 9}}, ["transfer.steps: found 9", "read by adam, projector"]),
    (
        {"transfer": {"top_k": 2.5}},
        ["transfer.top_k: found 2.5", "of at least 1, or null"],
    ),
    ({"transfer": 3}, ["transfer: found 3"]),
    ({"direct": "yes"}, ["direct: found 'yes'", "true or false"]),
    ({"direct": 1}, ["direct: found 1", "true or false"]),
    ({"calibration": "batch"}, ["calibration: found 'batch'", "a list"]),
    ({"calibration": ["bach"]}, ["'bach'", "did you mean batch", "batch or content_free"]),
    ({"calibration": ["batch", "batch"]}, ["calibration: 'batch'", "twice"]),
    ({"calibration": [["batch"]]}, ["calibration[0]: found"]),
    ({"evaluation": "opne"}, ["evaluation", "'opne'", "did you mean open"]),
    ({"evaluation": ["open", "open"]}, ["evaluation: 'open'", "twice"]),
    ({"evaluation": True}, ["evaluation: found True", "open or a list"]),
    ({"predictions": "test"}, ["predictions: found 'test'", "a list of splits (validation, test)"]),
    ({"predictions": ["tset"]}, ["'tset'", "did you mean test", "validation or test"]),
    ({"predictions": ["test", "test"]}, ["predictions: 'test'", "twice"]),
    ({"predictions": False}, ["predictions: found False", "a list"]),
    ({"resources": {"cpu": 0}}, ["resources.cpu: found 0", "above 0"]),
    ({"resources": {"gpu": -1}}, ["resources.gpu: found -1", "at least 0"]),
    ({"resources": {"gpu": float("nan")}}, ["resources.gpu: found nan"]),
    ({"resources": {"replicas": 0}}, ["resources.replicas: found 0", "auto", "from 1"]),
    ({"resources": {"replicas": "all"}}, ["resources.replicas: found 'all'", "auto"]),
    ({"resources": {"accelerator": ""}}, ["resources.accelerator: found ''", "A100"]),
    ({"resources": {"cpus": 1}}, ["resources", "'cpus'", "did you mean cpu"]),
    ({"resources": []}, ["resources: found []", "a mapping"]),
    ({"mlflow": {"tracking_uri": 5}}, ["mlflow.tracking_uri: found 5"]),
    ({"mlflow": {"uri": "x"}}, ["mlflow", "'uri'", "allowed: tracking_uri"]),
    ({"models": {"a b": {"path": "x"}}}, ["models.a b", "short names"]),
    ({"models": {"a": {}}}, ["models.a.path: missing"]),
    ({"models": {"a": {"path": 3}}}, ["models.a.path: found 3"]),
    ({"models": {"a": {"path": "x", "revison": "y"}}}, ["models.a", "did you mean revision"]),
    ({"models": ["a"]}, ["models: found ['a']"]),
]


@pytest.mark.parametrize(("changes", "named"), BAD, ids=lambda value: str(value)[:60])
def test_each_mistake_is_one_sentence(changes: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        parse_spec(content(**changes), "my.yaml")
    message = str(caught.value)
    assert message.startswith("my.yaml: ")
    assert "\n" not in message
    for part in named:
        assert part in message
    assert "allowed:" in message


def test_transfer_settings_reach_the_cells() -> None:
    """Written as YAML lists and whole numbers, hashed as the same numbers with a point."""
    sections = [
        {"solver": "ridge", "selection": "target_validation", "gammas": [0, 1]},
        {"solver": "ridge", "selection": "target_validation", "gammas": [0.0, 1.0], "top_k": None},
    ]
    plans = [plan_of(transfer=section) for section in sections]
    assert plans[0].hash == plans[1].hash
    assert plans[0].hash != plan_of().hash
    for plan in plans:
        cells = [cell for cell in plan.cells if cell.kind == "transfer"]
        assert cells
        for cell in cells:
            assert cell.settings["gammas"] == [0.0, 1.0]
            assert cell.settings["selection"] == "target_validation"
            assert Cell.from_json(json.loads(json.dumps(cell.to_json()))) == cell
    sources = [{c.id for c in plan.cells if c.kind == "source"} for plan in (plans[0], plan_of())]
    assert sources[0] == sources[1], "a tuned prompt does not depend on how it is carried"


BAD_FILES = {
    "unclosed list": ("a: [", "line 1: invalid YAML"),
    "tab": ("name: x\n\tsources: y", "line 2: invalid YAML"),
    "key twice": ("name: x\nname: y", "line 2: invalid YAML (the key name stands there twice)"),
    "object": ("a: !!python/object:os.system {}", "line 1: invalid YAML"),
    "list as key": ("{[a]: 3}", "line 1: invalid YAML"),
    "no mapping": ("- a\n- b", "allowed: a mapping"),
    "empty": ("", "found None"),
    "impossible date": ("a: 2001-99-99", "invalid YAML"),
    "endless number": (f"a: {'9' * 5000}", "invalid YAML"),
    "list in itself": ("name: &x [*x]", "line 1: invalid YAML (a value refers to itself)"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files(case: str, tmp_path: Path) -> None:
    text, expected = BAD_FILES[case]
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        load_spec(str(file))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(InputError, match="UTF-8"):
        load_spec(str(file))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("quickstrt", "did you mean quickstart"),
        ("nowhere.yaml", "no such file or preset"),
        ("~nobody-here/x.yaml", "nobody-here"),
        ("x" * 5000, "spec|long"),
        ("\0", "spec"),
    ],
)
def test_unknown_presets_and_files(name: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        load_spec(name)


def test_a_folder_is_no_spec(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        load_spec(str(tmp_path))


@pytest.mark.parametrize("name", preset_names())
def test_presets_are_valid(name: str) -> None:
    spec = load_spec(name)
    assert spec.name == name
    assert spec.description
    assert "\n" not in spec.description


def test_the_quickstart_is_what_the_readme_promises() -> None:
    spec = load_spec("quickstart")
    assert len(spec.sources) == 3
    assert spec.pairs == "all"
    assert len(spec.tasks) == 3
    assert spec.seeds == (0, 1, 2)
    assert [weight.value for weight in spec.methods["soft"].weights] == [
        *(0.0, 0.5, 0.9),
        None,
    ]


def test_defaults_and_forms() -> None:
    spec = parse_spec(content(seeds=[3, 5], methods={"soft": None}))
    assert spec.seeds == (3, 5)
    assert spec.methods["soft"].weights == (Weight(0.0, "none"),)
    assert spec.resources.cpu == 1
    whole = parse_spec(content(methods={"soft": {"lambda": [1], "learning_rate": 1}}))
    # A whole number where a fraction is meant must give the same hashes as the fraction.
    assert isinstance(whole.methods["soft"].variants[0].learning_rate, float)
    assert whole.methods["soft"].weights == (Weight(1.0, "constant"),)


@pytest.mark.parametrize(
    ("method", "given", "expected"),
    [
        ("soft", {"steps": 4}, {"evaluations": 4}),
        ("soft", {"steps": 4000}, {"evaluations": 10}),
        ("soft", {"evaluations": 2000}, {"steps": 2000}),
        ("soft", {"epochs": 1}, {"evaluations": 10, "steps": None}),
        ("pez", {"steps": 1}, {"evaluations": 1}),
        ("pez", {"evaluations": 5000}, {"steps": 5000}),
        ("pez", {"sample_size": 32}, {"k": 31}),
        ("pez", {"k": 10_000}, {"sample_size": 10_001}),
        ("random", {"sample_size": 64}, {"k": 63}),
        ("fluentprompt", {"prompt_length": 1}, {"fluency": 0.0}),
        ("fluentprompt", {"beta_start": 1e-5}, {"beta_end": 1e-5}),
        ("fluentprompt", {"beta_end": 2}, {"beta_start": 2.0}),
    ],
    ids=str,
)
def test_a_default_gives_way(method: str, given: dict[str, Any], expected: dict[str, Any]) -> None:
    (settings,) = parse_spec(content(methods={method: given})).methods[method].variants
    for name, value in {**given, **expected}.items():
        assert getattr(settings, name) == value
    search = {"trials": 1}
    spec = parse_spec(content(methods={method: given}, search=search, direct=None))
    assert spec.searched == {method: given}


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("soft", {"steps": 4, "evaluations": 10}),
        ("pez", {"steps": 4, "evaluations": 50}),
        ("pez", {"k": 64, "sample_size": 64}),
        ("pez", {"sample_size": 1}),
        ("fluentprompt", {"prompt_length": 1, "fluency": 0.03}),
        ("fluentprompt", {"beta_start": 1, "beta_end": 2}),
    ],
    ids=str,
)
def test_what_is_given_may_still_contradict(method: str, given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=rf"methods.{method}.*: found .*; allowed: "):
        parse_spec(content(methods={method: given}))


def test_numbers_and_emoji_as_other_programs_write_them(tmp_path: Path) -> None:
    written = """
name: small
description: "\\ud83d\\ude00"
sources: [A, B]
targets: [T]
tasks: [x/one]
methods: {soft: {steps: 1e3, learning_rate: 1e-3, lambda: [{low: 1e-4, high: 1e-1, log: true}]}}
search: {trials: 1e1}
"""
    (tmp_path / "spec.yaml").write_text(written)
    spec = load_spec(str(tmp_path / "spec.yaml"))
    assert (spec.description, spec.search.trials) == ("😀", 10)  # type: ignore[union-attr]
    soft = spec.searched["soft"]
    assert soft == {
        "steps": 1000,
        "learning_rate": 0.001,
        "lambda": [{"low": 1e-4, "high": 0.1, "log": True}],
    }
    again = tmp_path / "again.yaml"
    again.write_text(parse_spec(content(description="1e-3", tasks=["1e3"])).text)
    assert (load_spec(str(again)).description, load_spec(str(again)).tasks) == ("1e-3", ("1e3",))
    (tmp_path / "half.yaml").write_text(written.replace("\\ude00", ""))
    with pytest.raises(InputError, match=r"half.yaml: line 3: found the lone surrogate \\ud83d"):
        load_spec(str(tmp_path / "half.yaml"))


def test_the_ceiling_and_batch_calibration_are_on_unless_switched_off() -> None:
    spec = parse_spec(content(direct=None))
    assert spec.direct is True
    assert spec.calibration == ("batch",)
    assert parse_spec(content(calibration=[])).calibration == ()
    assert spec.predictions == ("validation", "test")
    assert parse_spec(content(predictions=["validation"])).predictions == ("validation",)
    assert parse_spec(content(predictions=[])).predictions == ()
    assert spec.evaluation == parse_spec(content(evaluation=[])).evaluation == ()
    for asked in ("open", ["open"]):
        assert parse_spec(content(evaluation=asked)).evaluation == ("open",)
    both = parse_spec(content(calibration=["content_free", "batch"]))
    assert both.calibration == ("content_free", "batch")


@pytest.mark.parametrize("name", preset_names())
def test_presets_say_whether_the_target_is_tuned(name: str) -> None:
    assert "\ndirect: " in load_spec(name).text


def test_relative_paths_start_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(load_spec("smoke").text)
    assert load_spec(str(tmp_path / "mine.yaml")).base == tmp_path.resolve()


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["all", "annealing", "A", "B", "soft", "lambda", "cpu", "path"])
    | st.sampled_from(["optiprompt", "fast", "normal", "text", "file", "infix"])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=8) | st.sampled_from(["soft", "lambda", "cpu"]), inner)
    ),
    max_leaves=8,
)
keys = st.sampled_from([*SweepSpec.model_fields, "lamda", "souces"]) | st.text(max_size=6)


@pytest.mark.slow
@settings(relaxed, max_examples=200)
@given(
    changes=st.dictionaries(keys, values, min_size=1, max_size=3), top=values, whole=st.booleans()
)
def test_nothing_but_input_errors(changes: dict[str, Any], top: Any, whole: bool) -> None:
    """Whatever the YAML holds, the answer is a spec or one sentence."""
    try:
        spec = parse_spec(top if whole else {**content(), **changes})
    except InputError as error:
        assert str(error)
        assert "\n" not in str(error).replace("\\n", "")
    else:
        assert isinstance(spec, SweepSpec)


@pytest.mark.slow
@settings(relaxed, max_examples=200)
@given(
    section=st.dictionaries(
        st.sampled_from(
            [
                *("lambda", "steps", "learning_rate", "warmup", "position", "text_tokens"),
                *("evaluations", "recipe", "epochs", "init", "init_text", "init_file", "dropout"),
                "prompt_length",
            ]
        ),
        values,
        min_size=1,
        max_size=3,
    )
)
def test_nothing_but_input_errors_in_a_method(section: dict[str, Any]) -> None:
    try:
        parse_spec(content(methods={"soft": section}))
    except InputError as error:
        assert "methods.soft" in str(error)
