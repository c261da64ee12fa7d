"""What to run and where: spec, plan, Ray Tune, ledger, MLflow and the command line.

From Python, ``sweep.plan(spec)`` and ``sweep.run(spec, out=FOLDER)`` do what the commands of that
name do. Importing this package is cheap; torch, transformers, ray and mlflow wait until a sweep
runs.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sweep.session import Result, plan, run
    from trainables.errors import InputError

__all__ = ["InputError", "Result", "plan", "run"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from sweep import session

        return getattr(session, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
