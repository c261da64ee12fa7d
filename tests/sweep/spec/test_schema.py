"""The JSON Schema of specs agrees with what the program takes."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from sweep.cli import app
from sweep.spec.spec import SweepSpec, parse_spec, preset_names, preset_text, spec_schema
from tests.conftest import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


@cache
def validator() -> Draft202012Validator:
    schema = spec_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_every_field_has_a_schema_that_says_something() -> None:
    found = spec_schema()["properties"]
    assert set(found) == set(SweepSpec.model_fields)
    assert all(len(item) > 1 for item in found.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", preset_names())
def test_presets_are_valid(name: str) -> None:
    assert not list(validator().iter_errors(yaml.safe_load(preset_text(name))))


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_valid(path: Path) -> None:
    assert not list(validator().iter_errors(yaml.safe_load(path.read_text())))


BASE = yaml.safe_load(preset_text("smoke"))
SEARCH = {
    **{key: value for key, value in BASE.items() if key != "direct"},
    "pairs": ["pocket-bert+*"],
    "methods": {
        "soft": {"lambda": ["annealing", {"low": 0, "high": 1}], "steps": 4, "evaluations": 2}
    },
    "resources": {"cpu": "auto", "gpu": 0.5, "replicas": "auto"},
    "search": {"trials": 3, "objective": ["validation/score", {"measure": "prompt/tokens"}]},
}


@pytest.mark.slow
def test_a_search_is_valid() -> None:
    parse_spec(SEARCH)
    assert not list(validator().iter_errors(SEARCH))


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"sourcse": []},
        {"search": {"trails": 3}},
        {"search": {"trials": 0}},
        {"search": {"trials": 3, "objective": "test/score"}},
        {"search": {"trials": 3, "sampler": "grind"}},
        {"methods": {"soft": {"lamda": [0]}}},
        {"pairs": [["pocket-bert"]]},
        {"seeds": 0},
        {"resources": {"cpu": "all"}},
        {"resources": {"cpus": 1}},
    ],
    ids=str,
)
def test_what_the_program_refuses_the_schema_refuses(changes: dict[str, Any]) -> None:
    spec = {**SEARCH, **changes}
    with pytest.raises(Exception, match="allowed"):
        parse_spec(spec)
    assert list(validator().iter_errors(spec))


@pytest.mark.slow
def test_the_command_prints_it() -> None:
    found = CliRunner().invoke(app, ["schema"])
    assert json.loads(found.stdout) == spec_schema()
