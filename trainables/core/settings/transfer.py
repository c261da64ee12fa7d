"""Parameters of the transfer of soft prompts, each with the reason for its default."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from trainables.core.registries import NORMS, SELECTIONS, SOLVERS
from trainables.core.settings.base import at_least, check, finite_number, later, one_of, random_part

MASK_NAMES = ("union", "ptfer_release")


@dataclass(frozen=True)
class TransferSettings:
    """Transfer of tuned prompts to a target (Wu et al. 2024 and what stands beside it).

    A setting that the solver does not read must be left out (null); what it reads and is left out
    gets the default of :data:`trainables.core.registries.SOLVERS`.

    Attributes:
        solver: ``closed_form``: the maximiser of the mean cosine between relative representations,
            found by least squares instead of a 2,000-step search. ``ridge``: the same with a
            penalty, over a grid. ``adam``: the search as released. ``v2v_lin``, ``v2v_nn``,
            ``lin_comb``: maps between vocabularies (Lester et al. 2022). ``projector``: a network
            trained through the target with its labels (Su et al. 2022), a costly reference.
        norm: length of each carried vector. The objective is blind to it. ``match`` keeps the
            source's length relative to its embedding table; ``mean`` uses the target's mean row;
            ``ptfer`` gives the whole matrix the target table's mean and standard deviation, as
            Wu et al. released it; ``own`` leaves what the solver found.
        selection: among a solver's candidates. ``none`` takes the solver's own (zero-shot);
            ``source_validation`` the one that scores best when carried back to the sources;
            ``target_validation`` the one that scores best on the target's validation split.
        gammas: of ``ridge``, in units of the mean eigenvalue; 0 is the closed form.
        steps: of ``adam`` (paper A: 10,000) and ``projector``.
        learning_rate: likewise.
        top_k: anchors kept per prompt token, those with the largest signed source similarity (the
            released setting is 8192); None keeps all.
        mask: ``union`` of the sources' ``top_k``, or those of the last source alone
            (``ptfer_release``: the result then depends on the order of the sources).
        anchor_sample: instead of ``top_k``, so many anchors at random, the same for every token
            (the default of Wu et al.'s code, 8192); all where there are not more. Similarities are
            then those over the sample.
        anchor_seed: which sample; has nothing to do with the runs' seeds.
    """

    solver: str = "closed_form"
    norm: str = "match"
    selection: str = later("none")
    gammas: tuple[float, ...] | None = None
    steps: int | None = None
    learning_rate: float | None = None
    top_k: int | None = later(None)
    mask: str | None = None
    anchor_sample: int | None = later(None)
    anchor_seed: int | None = None

    def __post_init__(self) -> None:
        """Fill in the solver's defaults; raise InputError for the first value not allowed."""
        SOLVERS.check(self.solver, "solver")
        NORMS.check(self.norm, "norm")
        SELECTIONS.check(self.selection, "selection")
        read = SOLVERS[self.solver].settings
        for name in sorted(_optional()):
            readers = [solver for solver, kind in SOLVERS.items() if name in kind.settings]
            allowed = f"nothing with solver {self.solver} (it is read by {', '.join(readers)})"
            check(self, name, name in read or getattr(self, name) is None, allowed)
            if getattr(self, name) is None and name in read:
                object.__setattr__(self, name, read[name])
        self._check_ranges()

    def _check_ranges(self) -> None:
        if self.gammas is not None:
            allowed = "a list of 1 to 100 finite numbers of at least 0, none twice"
            good = 1 <= len(self.gammas) <= 100 and all(map(finite_number, self.gammas))
            check(self, "gammas", good and min(self.gammas) >= 0, allowed)
            check(self, "gammas", len(set(self.gammas)) == len(self.gammas), allowed)
            object.__setattr__(self, "gammas", tuple(float(gamma) for gamma in self.gammas))
        if self.steps is not None:
            at_least(self, 1, "steps")
        if self.learning_rate is not None:
            good = finite_number(self.learning_rate) and self.learning_rate > 0
            check(self, "learning_rate", good, "a finite number above 0")
        good = self.top_k is None or self.top_k >= 1
        check(self, "top_k", good, "a whole number of at least 1, or null")
        if self.mask is not None:
            one_of(self, "mask", MASK_NAMES)
            good = self.mask == "union" or self.top_k is not None
            check(self, "mask", good, "union where top_k is null")
        random_part(self)
        good = self.anchor_sample is None or self.top_k is None
        check(self, "anchor_sample", good, f"null beside top_k ({self.top_k})")

    def unread(self) -> frozenset[str]:
        """Settings that can make no difference beside the others: no cell records them."""
        read = set(SOLVERS[self.solver].settings)
        if self.top_k is None:
            read.discard("mask")
        if self.anchor_sample is None:
            read.discard("anchor_seed")
        return frozenset(_optional() - read)


def _optional() -> set[str]:
    return {name for kind in SOLVERS.values() for name in kind.settings}


def transfer_settings(stored: Mapping[str, Any]) -> TransferSettings:
    """Settings of a cell's transfer; keys of other settings beside them are passed over."""
    known = {item.name for item in fields(TransferSettings)}
    return TransferSettings(**{key: value for key, value in stored.items() if key in known})
