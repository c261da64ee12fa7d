"""What to run and where: spec, plan, Ray Tune, ledger, MLflow and the command line.

From Python, ``sweep.plan(spec)`` and ``sweep.run(spec, out=FOLDER)`` do what the commands of that
name do; a mistake of the user's is a ``sweep.InputError``. Importing this package is cheap; torch,
transformers, ray and mlflow wait until a sweep runs.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweep.session import Counts as Counts
    from sweep.session import Result as Result
    from sweep.session import plan as plan
    from sweep.session import run as run
    from sweep.spec.spec import SweepSpec
    from trainables.errors import InputError as InputError

__all__ = ["InputError", "plan", "run"]


class _Plan(ModuleType):
    def __call__(
        self,
        spec: "SweepSpec | Mapping[str, Any] | Path | str",
        out: Path | str | None = None,
        *,
        workers: int | None = None,
        store: Path | str | None = None,
    ) -> "Counts":
        """What a spec stands for, and how long it takes; see :func:`sweep.session.plan`."""
        from sweep.session import plan

        return plan(spec, out, workers=workers, store=store)


class _Run(ModuleType):
    def __call__(
        self,
        spec: "SweepSpec | Mapping[str, Any] | Path | str",
        out: Path | str,
        *,
        workers: int | None = None,
        store: Path | str | None = None,
        address: str | None = None,
    ) -> "Result":
        """Run what is missing of a sweep in a folder; see :func:`sweep.session.run`."""
        from sweep.session import run

        return run(spec, out, workers=workers, store=store, address=address)


_CALLED: Mapping[str, type[ModuleType]] = {"plan": _Plan, "run": _Run}
"""Rooms that have the name of a function: they are called as one."""


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        # The import of a room, whoever asks for it, puts it here.
        if type(value) is ModuleType and name in _CALLED:
            value.__class__ = _CALLED[name]
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _CALLED:
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    if name == "InputError":
        from trainables.errors import InputError

        return InputError
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
