"""The contract of a transfer solver."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch

from trainables.backbones import Reader
from trainables.core.frontier import Cost
from trainables.core.registries import SOLVERS
from trainables.core.settings import TransferSettings
from trainables.transfer.problem import Problem


@dataclass(frozen=True)
class Found:
    """A solver's answer, of whatever length.

    Attributes:
        prompts: [C, R, m, d_t].
        labels: per candidate its γ, step or budget; None where there is no such thing.
        own: index of the candidate that is taken without any selection.
        costs: [C][R] what it took to have each; empty where that is nothing.
        numbers: per replica what its result says besides; empty: nothing.
    """

    prompts: torch.Tensor
    labels: tuple[float | None, ...] = (None,)
    own: int = 0
    costs: Sequence[Sequence[Cost]] = ()
    numbers: Sequence[Mapping[str, Any]] = ()


class Way:
    """A way of having a task on the target."""

    def check(
        self, settings: TransferSettings, gold: Sequence[int], classes: int, task: str, count: int
    ) -> None:
        """Raise InputError where a task's training split does not allow what is asked for.

        Args:
            settings: of the transfer.
            gold: the class of every example of the split.
            classes: C.
            task: its name, for the message.
            count: texts that may be read without labels.
        """

    def check_models(self, sources: Sequence[Reader], target: Reader, position: str) -> None:
        """Raise InputError where these models do not allow prompts at a position to be carried.

        Args:
            sources: what they are carried from, no weights needed.
            target: where to.
            position: of :data:`trainables.backbones.layout.ARRANGEMENTS`.
        """


class Solver(Way, ABC):
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
        finished: its vectors have the lengths they are to have; else ``norm`` gives them theirs.
    """

    trains_on_target: ClassVar[bool] = False
    finished: ClassVar[bool] = False

    @staticmethod
    def common(label: float) -> bool:
        """Whether a run offers the candidate of this label wherever it ends, see ``anytime``."""
        del label
        return False

    @abstractmethod
    def solve(self, problem: Problem, settings: TransferSettings) -> Found:
        """Candidates for all replicas at once; the caller gives them their lengths."""

    def footprint(self, problem: Problem, settings: TransferSettings) -> int:
        """Numbers a replica keeps in memory while it is solved, beyond its candidates."""
        del settings
        _, tokens, width = problem.shape
        return tokens * width


@dataclass(frozen=True)
class Predicted:
    """What stands for a prompt, evaluated.

    Attributes:
        scores: of the splits ``validation`` and ``test``, label scores [R, n, C].
        costs: per replica.
        kept: what it takes to use it elsewhere, by name: ``readout`` [R, C, h + 1] stays with the
            cell and can be exported; empty: there is nothing.
        numbers: per replica what its result says besides; empty: nothing.
    """

    scores: Mapping[str, torch.Tensor]
    costs: Sequence[Cost]
    kept: Mapping[str, torch.Tensor] = field(default_factory=dict)
    numbers: Sequence[Mapping[str, Any]] = ()


class Predictor(Way, ABC):
    """A way of having the task on the target that ends in label scores instead of a prompt.

    It is registered, tested and planned like a :class:`Solver`.
    """

    @abstractmethod
    def predict(self, problem: Problem, settings: TransferSettings) -> Predicted:
        """Label scores of all replicas; the sources come sorted by key."""


def solver_named(name: str) -> Solver | Predictor:
    """What a setting ``solver`` names."""
    found: Solver | Predictor = SOLVERS[name].load()
    return found
