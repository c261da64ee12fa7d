"""``--set`` on the command line: values of a spec, set before it is checked."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweep.ledger.folder import SPEC_FILE, bind
from sweep.planning.plan import make_plan
from sweep.spec.overrides import overridden
from sweep.spec.spec import load_spec
from sweep.testing.tabulated import find_model, find_task
from tests.sweep.samples import content
from trainables.errors import InputError

CONTENT: dict[str, Any] = {
    "seeds": 2,
    "methods": {"soft": {"steps": 60, "lambda": [0, 0.5]}},
    "transfer": [{"solver": "ridge"}, {"solver": "adam"}],
    "models": {"gpt2.5": {"path": "a"}, "gpt2": {"path": "b"}, 7: {"path": "c"}},
    "search": None,
}


@pytest.mark.parametrize(
    ("override", "keys", "value"),
    [
        ("seeds=3", ["seeds"], 3),
        (" seeds = [1, 2] ", ["seeds"], [1, 2]),
        ("methods.soft.steps=1e3", ["methods", "soft", "steps"], 1000),
        ("methods.soft.lambda[1]=annealing", ["methods", "soft", "lambda", 1], "annealing"),
        ("methods.soft.recipe='60'", ["methods", "soft", "recipe"], "60"),
        ("transfer[1].solver=ridge", ["transfer", 1, "solver"], "ridge"),
        ("transfer={solver: a=b}", ["transfer"], {"solver": "a=b"}),
        ("models.gpt2.5.path=x", ["models", "gpt2.5", "path"], "x"),
        ("models.gpt2.path=x", ["models", "gpt2", "path"], "x"),
        ("models.7.path=x", ["models", 7, "path"], "x"),
        ("resources.gpu=auto", ["resources", "gpu"], "auto"),
        ("search.trials=4", ["search", "trials"], 4),
        ("description=", ["description"], None),
    ],
)
def test_one_value_is_set_and_nothing_else(override: str, keys: list[Any], value: Any) -> None:
    before = deepcopy(CONTENT)
    expected = deepcopy(CONTENT)
    place: Any = expected
    for key in keys[:-1]:
        if isinstance(place, dict) and place.get(key) is None:
            place[key] = {}
        place = place[key]
    place[keys[-1]] = value
    assert overridden(CONTENT, [override]) == expected
    assert before == CONTENT


def test_later_values_go_on_from_earlier_ones() -> None:
    found = overridden({}, ["methods={soft: {steps: 3}}", "methods.soft.steps=4", "seeds=1"])
    assert found == {"methods": {"soft": {"steps": 4}}, "seeds": 1}


def test_what_an_alias_shares_changes_in_one_place() -> None:
    shared = yaml.safe_load("methods: {soft: &s {steps: 1}, lowrank: *s}")
    found = overridden(shared, ["methods.soft.steps=2"])
    assert found == {"methods": {"soft": {"steps": 2}, "lowrank": {"steps": 1}}}


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("seeds", "--set: found 'seeds'; allowed: PATH=VALUE, such as"),
        ("=3", "--set: found '=3'; allowed: PATH=VALUE"),
        ("a..b=3", "--set: found 'a..b=3'; allowed: PATH=VALUE"),
        ("transfer[-1]=3", "--set: found 'transfer[-1]=3'; allowed: PATH=VALUE"),
        ("seeds=[1", "--set seeds: line 1: invalid YAML"),
        (
            "methods.soft.steps.x.y=3",
            "--set methods.soft.steps.x.y: found 60 at methods.soft.steps; allowed: a mapping",
        ),
        (
            "transfer.solver=ridge",
            "--set transfer.solver: found a list of 2 at transfer; allowed: a mapping, or a place"
            " of the list, such as transfer[0]",
        ),
        (
            "transfer[2].solver=ridge",
            "--set transfer[2].solver: found a list of 2 at transfer; allowed: a list of more than"
            " 2",
        ),
        ("methods[0]=3", "--set methods[0]: found a mapping at methods; allowed: a list of more"),
        ("tasks[0]=x", "--set tasks[0]: found nothing at tasks; allowed: a list of more than 0"),
    ],
)
def test_a_path_that_leads_nowhere_is_one_sentence(override: str, told: str) -> None:
    with pytest.raises(InputError) as raised:
        overridden(CONTENT, [override])
    assert str(raised.value).startswith(told)
    assert "\n" not in str(raised.value)


def test_the_spec_checks_what_was_set(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(yaml.safe_dump(content()))
    for override, told in {
        "method.soft.steps=60": "unknown key 'method' (did you mean methods?)",
        "methods.soft.stepps=60": "unknown key 'stepps' (did you mean steps?)",
        "methods.soft.steps=many": "methods.soft.steps: found 'many'; allowed: ",
        "mlflow.tracking_uri=http://me:secret@host": "found a URI with a password",
    }.items():
        with pytest.raises(InputError) as raised:
            load_spec(str(file), [override])
        assert str(raised.value).startswith(f"{file}: ")
        assert told in str(raised.value)
        assert "secret" not in str(raised.value)


def test_the_folders_copy_of_the_spec_has_the_values(tmp_path: Path) -> None:
    file, folder = tmp_path / "own.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(content(description="naïve")) + "# mine\n")
    spec = load_spec(str(file), ["seeds=3", "methods.soft.steps=7"])
    plan = make_plan(spec, find_model, find_task)
    bind(folder, plan, {})
    copy = folder / SPEC_FILE
    assert copy.read_text().startswith("# set on the command line: seeds=3 methods.soft.steps=7\n")
    assert "naïve" in copy.read_text()
    again = load_spec(str(copy))
    assert again.seeds == (0, 1, 2)
    assert make_plan(again, find_model, find_task).hash == plan.hash
