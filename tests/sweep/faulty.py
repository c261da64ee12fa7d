"""What tests of faults share: a sweep of a few cells, in this process, without MLflow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from sweep.engine.runner import Options, run
from sweep.planning.plan import Plan
from sweep.testing.tabulated import EXECUTOR
from tests.sweep.drive import no_check, no_report

FOLDER = "PROMPTSWEEP_TEST_FOLDER"
"""Environment variable: the sweep's folder, for executors that harm it."""


class NoSink:
    """An MLflow view nobody looks at: making a database takes seconds."""

    shown: ClassVar[list[str]] = []

    def start(self, records: object) -> None: ...

    def add(self, record: object) -> None: ...

    def close(self, status: str = "", failed: int = 0) -> None: ...


@pytest.fixture
def no_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.engine.runner.make_sink", lambda plan, folder: NoSink())


def start(plan: Plan, folder: Path, lines: list[str], executor: str = EXECUTOR, **more: Any) -> int:
    chosen = {"preflight": no_check, "report": no_report, "say": lines.append, **more}
    return run(plan, folder, Options(executor=executor, **chosen))


def here(name: Callable[..., Any]) -> str:
    """The import string of an executor."""
    return f"{name.__module__}:{name.__name__}"
