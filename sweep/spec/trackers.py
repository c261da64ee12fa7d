"""Where the runs of a sweep may go, by name. Nothing of it is loaded before it is used."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainables.core.registry import Registry, loaded
from trainables.errors import InputError

MLFLOW = "mlflow"
KEY = "tracking"
"""Key of a spec with the names of its trackers."""


@dataclass(frozen=True)
class TrackerKind:
    """A tracker, before it is loaded.

    Attributes:
        title: what people call it.
        tracker: from a :class:`sweep.tracking.facts.Place` a
            :class:`sweep.tracking.sink.Tracker`, or the place of such a function or class.
        packages: what it imports and this package does not bring.
        extra: the optional part of this package that brings them.
    """

    title: str
    tracker: Any
    packages: tuple[str, ...] = ()
    extra: str = ""

    def load(self) -> Any:
        return loaded(self.tracker)


TRACKERS: Registry[TrackerKind] = Registry(
    "tracker",
    {
        MLFLOW: TrackerKind("MLflow", "sweep.tracking.writer:mlflow_tracker"),
        "tensorboard": TrackerKind(
            "TensorBoard",
            "sweep.tracking.tensorboard:TensorBoardTracker",
            packages=("tensorboardX",),
            extra="tensorboard",
        ),
        "wandb": TrackerKind(
            "Weights & Biases",
            "sweep.tracking.wandb:WandbTracker",
            packages=("wandb",),
            extra="wandb",
        ),
    },
)
"""Programs that show runs, see :mod:`sweep.tracking`. The ledger needs none of them."""


def check_trackers(names: Sequence[str], where: str = KEY) -> None:
    """See to it that the packages of some trackers are there.

    Raises:
        InputError: one is missing.
    """
    for name in names:
        kind = TRACKERS[name]
        for package in kind.packages:
            if importlib.util.find_spec(package) is None:
                raise InputError(
                    f"{where}: found {name}, which needs the package {package}, and that is not"
                    f' installed (pip install ".[{kind.extra}]"); allowed without it: '
                    + ", ".join(other for other, item in TRACKERS.items() if not item.packages)
                )


def trackers_of(spec: Any) -> tuple[str, ...]:
    """The trackers of a spec as ``sweep.json`` keeps it; earlier versions have MLflow alone."""
    return tuple(spec.get(KEY, (MLFLOW,)))
