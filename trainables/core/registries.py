"""Everything of one kind that comes with the project: each name stands here, once. No torch.

A new entry is a name and the place of its function or class, or a call in a file of the user's own
(:mod:`trainables.core.registry`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainables.core.registry import Registry, imported

_ANCHORS = {"top_k": None, "mask": "union", "anchor_sample": None, "anchor_seed": 0}
_PLACE = "trainables.transfer.solvers"


@dataclass(frozen=True)
class SolverKind:
    """A transfer solver, before it is loaded.

    Attributes:
        solver: the subclass of :class:`trainables.transfer.solver.Solver`, or its place.
        settings: the settings of the transfer that it reads, with their defaults.
    """

    solver: Any
    settings: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Any:
        """The solver."""
        return (imported(self.solver) if isinstance(self.solver, str) else self.solver)()


SOLVERS: Registry[SolverKind] = Registry(
    "solver",
    {
        "closed_form": SolverKind(f"{_PLACE}.closed_form:ClosedForm", _ANCHORS),
        "ridge": SolverKind(
            f"{_PLACE}.ridge:Ridge", {"gammas": (0.0, 0.001, 0.01, 0.1, 1.0, 10.0), **_ANCHORS}
        ),
        "adam": SolverKind(
            f"{_PLACE}.adam:Adam", {"steps": 2000, "learning_rate": 5e-3, **_ANCHORS}
        ),
        "v2v_lin": SolverKind(f"{_PLACE}.v2v_lin:V2vLin"),
        "v2v_nn": SolverKind(f"{_PLACE}.v2v_nn:V2vNn"),
        "lin_comb": SolverKind(f"{_PLACE}.lin_comb:LinComb"),
        "projector": SolverKind(
            f"{_PLACE}.projector:Projector", {"steps": 500, "learning_rate": 1e-3}
        ),
    },
)
