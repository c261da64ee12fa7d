"""Parameters of the transfer of soft prompts, each with the reason for its default."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from annotated_types import Len

from trainables.core.registries import NORMS, SELECTIONS, SOLVERS
from trainables.core.settings.base import (
    Count,
    NotNegative,
    Number,
    Positive,
    Settings,
    check,
    check_anchor_seed,
    later,
)


@dataclass(frozen=True)
class TransferSettings(Settings):
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

    solver: Annotated[str, SOLVERS] = "closed_form"
    norm: Annotated[str, NORMS] = "match"
    selection: Annotated[str, SELECTIONS] = later("none")
    gammas: Annotated[tuple[NotNegative, ...], Len(1, 100)] | None = None
    steps: Count | None = None
    learning_rate: Positive | None = None
    top_k: Count | None = later(None)
    mask: Literal["union", "ptfer_release"] | None = None
    anchor_sample: Count | None = later(None)
    anchor_seed: Number | None = None

    def complete(self) -> None:
        """What the solver reads gets its defaults, what it does not read must be left out."""
        read = SOLVERS[self.solver].settings
        for name in sorted(_optional()):
            readers = [solver for solver, kind in SOLVERS.items() if name in kind.settings]
            allowed = f"nothing with solver {self.solver} (it is read by {', '.join(readers)})"
            check(self, name, name in read or getattr(self, name) is None, allowed)
            if getattr(self, name) is None and name in read:
                object.__setattr__(self, name, read[name])
        gammas = self.gammas or ()
        check(self, "gammas", len(set(gammas)) == len(gammas), "each number once")
        good = self.mask in ("union", None) or self.top_k is not None
        check(self, "mask", good, "union where top_k is null")
        check_anchor_seed(self)
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
