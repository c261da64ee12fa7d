"""The contract of a transfer solver."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch

from trainables.core.registries import SOLVERS
from trainables.core.settings import TransferSettings
from trainables.transfer.problem import Problem


@dataclass(frozen=True)
class Found:
    """A solver's answer, of whatever length.

    Attributes:
        prompts: [C, R, m, d_t].
        labels: per candidate its γ or step; None where there is no such thing.
        own: index of the candidate that is taken without any selection.
    """

    prompts: torch.Tensor
    labels: tuple[float | None, ...] = (None,)
    own: int = 0


class Solver(ABC):
    """A way of finding a target prompt for given source prompts.

    A new solver is one file with one subclass and one entry, with the settings it reads, in
    :data:`trainables.core.registries.SOLVERS`; its test inherits
    :class:`trainables.testing.solver_contract.SolverContract`.

    What is asked of it: finite vectors of the right shape; each replica's result depends on its own
    prompts and seed alone, never on what stands beside it; the sources come sorted by key and none
    of them is privileged; equal seeds give equal results.

    Attributes:
        trains_on_target: it reads labels through the target (a reference, not a transfer without
            target gradients).
    """

    trains_on_target: ClassVar[bool] = False

    @abstractmethod
    def solve(self, problem: Problem, settings: TransferSettings) -> Found:
        """Candidates for all replicas at once; the caller gives them their lengths."""

    def footprint(self, problem: Problem, settings: TransferSettings) -> int:
        """Numbers a replica keeps in memory while it is solved, beyond its candidates."""
        del settings
        _, tokens, width = problem.shape
        return tokens * width


def solver_named(name: str) -> Solver:
    """The solver of a setting ``solver``."""
    found: Solver = SOLVERS[name].load()
    return found
