"""A file of the user's own: its names are allowed, its content is hashed, packs carry it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sweep.planning.plan import make_plan
from sweep.planning.preflight import answer
from sweep.spec.spec import parse_spec, spec_schema
from sweep.testing.tabulated import find_model, find_task
from tests.sweep.samples import content
from trainables.core.cells import Pack
from trainables.core.registries import SOLVERS
from trainables.errors import InputError

CODE = """
from trainables.core.registries import SOLVERS, SolverKind
SOLVERS["halved"] = SolverKind("trainables.transfer.solvers.closed_form:ClosedForm", {"steps": 7})
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a plugin, which is forgotten afterwards."""
    import sys

    (tmp_path / "my_solver.py").write_text(CODE)
    yield tmp_path
    sys.modules.pop("my_solver", None)
    SOLVERS._entries.pop("halved", None)


def spec_of(folder: Path, **changes: Any) -> Any:
    own = {"plugins": ["my_solver.py"], "transfer": {"solver": "halved"}, **changes}
    return parse_spec(content(**own), "my.yaml", folder)


def test_a_plugins_solver_is_a_solver(folder: Path) -> None:
    with pytest.raises(InputError, match=r"transfer\.solver: found 'halved'"):
        spec_of(folder, plugins=[])
    spec = spec_of(folder)
    assert spec.transfer[0].steps == 7
    plan = make_plan(spec, find_model, find_task)
    digest = spec.loaded[0].digest
    assert all(cell.digests["plugin my_solver"] == digest for cell in plan.cells)
    sent = json.loads(json.dumps(plan.packs[0].to_json()))
    assert Pack.from_json(sent).plugins[0].text == CODE
    assert plan.resolved.to_json()["plugins"]["my_solver"]["digest"] == digest


def test_another_content_is_another_sweep(folder: Path) -> None:
    import sys

    before = make_plan(spec_of(folder), find_model, find_task)
    sys.modules.pop("my_solver")
    (folder / "my_solver.py").write_text(f"{CODE}\n# changed")
    after = make_plan(spec_of(folder), find_model, find_task)
    assert before.hash != after.hash
    assert not {cell.id for cell in before.cells} & {cell.id for cell in after.cells}


def test_the_schema_knows_the_name(folder: Path) -> None:
    spec_of(folder)
    assert "halved" in json.dumps(spec_schema()["properties"]["transfer"])


def test_the_other_process_loads_it(folder: Path) -> None:
    spec = spec_of(folder)
    del SOLVERS["halved"]
    import sys

    sys.modules.pop("my_solver")
    question = {"models": [], "plugins": [vars(spec.loaded[0])]}
    assert answer(question) == []
    assert "halved" in SOLVERS


@pytest.mark.parametrize(
    ("named", "code", "message"),
    [
        (["none.py"], "", r"plugins\[0\]: .*none.py: cannot be read"),
        (["my_solver.txt"], "", r"plugins\[0\]: found .*; allowed: a file of Python"),
        (["my_solver.py"], "1 / 0", r"plugins\[0\]: .*cannot be imported \(ZeroDivisionError: "),
        (["my_solver.py"], "def", r"plugins\[0\]: .*cannot be imported \(SyntaxError: "),
        (["json.py"], "", r"plugins\[0\]: .*there is a module json already"),
        ("my_solver.py", "", "plugins: found 'my_solver.py'; allowed: a list of files of Python"),
        ([3], "", "plugins.*: found 3"),
    ],
)
def test_mistakes_are_one_sentence(folder: Path, named: Any, code: str, message: str) -> None:
    for name in ("my_solver.py", "json.py"):
        (folder / name).write_text(code)
    with pytest.raises(InputError, match=message) as caught:
        spec_of(folder, plugins=named, transfer={})
    assert "\n" not in str(caught.value)
