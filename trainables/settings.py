"""Parameters of methods and of the transfer: plain data, each with the reason for its default.

Torch-free, so that a spec is checked without loading anything heavy. A new method adds one
dataclass here and one entry in :data:`METHOD_SETTINGS`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from trainables.errors import InputError


@dataclass(frozen=True)
class SoftSettings:
    """Joint soft-prompt tuning (paper A, section 3).

    Attributes:
        prompt_length: prompt vectors m; paper A uses 5.
        steps: optimiser steps T.
        batch_size: examples a step, shared by all sources of a joint tuning.
        learning_rate: peak rate of AdamW; 3e-3 is OptiPrompt's, for thousands of steps. With tens
            of steps (the quickstart) a prompt needs some 0.05 to leave where it started.
        warmup: share of ``steps`` with a linearly rising rate; a linear decay to 0 follows.
        bias_correction: False is the AdamW of OptiPrompt (about 3 times larger first steps).
        init_std: standard deviation of the initial normal prompt; 0.02 is what
            ``resize_token_embeddings`` drew in OptiPrompt's time.
        position: ``prefix`` (paper A, table 6: prompt, then text), or ``infix`` (text, prompt,
            then the answer).
        evaluations: validation passes in a run, evenly spaced, the last at the end; the best common
            step is kept.
        text_tokens: texts are cut to this many tokens (None: to what the model's positions allow).
    """

    prompt_length: int = 5
    steps: int = 1000
    batch_size: int = 16
    learning_rate: float = 3e-3
    warmup: float = 0.1
    bias_correction: bool = True
    init_std: float = 0.02
    position: str = "prefix"
    evaluations: int = 10
    text_tokens: int | None = None

    def __post_init__(self) -> None:
        """Raise InputError for the first value out of its range."""
        _at_least(self, 1, "prompt_length", "steps", "batch_size", "evaluations")
        _positive(self, "learning_rate", "init_std")
        _check(self, "warmup", 0.0 <= self.warmup < 1.0, "a number in [0, 1)")
        _check(self, "position", self.position in ("prefix", "infix"), "prefix or infix")
        _check(
            self,
            "text_tokens",
            self.text_tokens is None or self.text_tokens >= 1,
            "a whole number of at least 1, or null",
        )
        _check(
            self,
            "evaluations",
            self.evaluations <= self.steps,
            f"at most the number of steps ({self.steps})",
        )


SOLVER_SETTINGS: dict[str, dict[str, Any]] = {
    "closed_form": {"top_k": None, "mask": "union"},
    "ridge": {"gammas": (0.0, 0.001, 0.01, 0.1, 1.0, 10.0), "top_k": None, "mask": "union"},
    "adam": {"steps": 2000, "learning_rate": 5e-3, "top_k": None, "mask": "union"},
    "v2v_lin": {},
    "v2v_nn": {},
    "lin_comb": {},
    "projector": {"steps": 500, "learning_rate": 1e-3},
}
"""Per solver of :mod:`trainables.transfer.solvers`, the settings it reads and their defaults."""

NORM_NAMES = ("match", "mean", "ptfer", "own")
SELECTION_NAMES = ("none", "source_validation", "target_validation")
MASK_NAMES = ("union", "ptfer_release")


@dataclass(frozen=True)
class TransferSettings:
    """Transfer of tuned prompts to a target (Wu et al. 2024 and what stands beside it).

    A setting that the solver does not read must be left out (null); what it reads and is left out
    gets the default of :data:`SOLVER_SETTINGS`.

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
    """

    solver: str = "closed_form"
    norm: str = "match"
    selection: str = "none"
    gammas: tuple[float, ...] | None = None
    steps: int | None = None
    learning_rate: float | None = None
    top_k: int | None = None
    mask: str | None = None

    def __post_init__(self) -> None:
        """Fill in the solver's defaults; raise InputError for the first value not allowed."""
        _one_of(self, "solver", tuple(SOLVER_SETTINGS))
        _one_of(self, "norm", NORM_NAMES)
        _one_of(self, "selection", SELECTION_NAMES)
        read = SOLVER_SETTINGS[self.solver]
        for name in {key: None for defaults in SOLVER_SETTINGS.values() for key in defaults}:
            readers = [solver for solver, defaults in SOLVER_SETTINGS.items() if name in defaults]
            allowed = f"nothing with solver {self.solver} (it is read by {', '.join(readers)})"
            _check(self, name, name in read or getattr(self, name) is None, allowed)
            if getattr(self, name) is None and name in read:
                object.__setattr__(self, name, read[name])
        self._check_ranges()

    def _check_ranges(self) -> None:
        if self.gammas is not None:
            allowed = "a list of 1 to 100 finite numbers of at least 0, none twice"
            good = 1 <= len(self.gammas) <= 100 and all(map(_finite_number, self.gammas))
            _check(self, "gammas", good and min(self.gammas) >= 0, allowed)
            _check(self, "gammas", len(set(self.gammas)) == len(self.gammas), allowed)
            object.__setattr__(self, "gammas", tuple(float(gamma) for gamma in self.gammas))
        if self.steps is not None:
            _at_least(self, 1, "steps")
        if self.learning_rate is not None:
            good = _finite_number(self.learning_rate) and self.learning_rate > 0
            _check(self, "learning_rate", good, "a finite number above 0")
        good = self.top_k is None or self.top_k >= 1
        _check(self, "top_k", good, "a whole number of at least 1, or null")
        if self.mask is not None:
            _one_of(self, "mask", MASK_NAMES)
            good = self.mask == "union" or self.top_k is not None
            _check(self, "mask", good, "union where top_k is null")

    def stored(self) -> dict[str, Any]:
        """What a cell records and is hashed by: only settings that can make a difference."""
        kept: dict[str, Any] = {"solver": self.solver, "norm": self.norm}
        if self.selection != "none":
            kept["selection"] = self.selection
        for name in SOLVER_SETTINGS[self.solver]:
            value = getattr(self, name)
            if value is not None and not (name == "mask" and self.top_k is None):
                kept[name] = list(value) if isinstance(value, tuple) else value
        return kept


def transfer_settings(stored: Mapping[str, Any]) -> TransferSettings:
    """Settings of a cell's transfer; keys of other settings beside them are passed over."""
    known = {item.name for item in fields(TransferSettings)}
    return TransferSettings(**{key: value for key, value in stored.items() if key in known})


METHOD_SETTINGS: dict[str, type[SoftSettings]] = {"soft": SoftSettings}
"""Per method name, the dataclass of its parameters."""


def _check(settings: Any, name: str, good: bool, allowed: str) -> None:
    if not good:
        raise InputError(f"{name}: found {getattr(settings, name)!r}; allowed: {allowed}")


def _one_of(settings: Any, name: str, names: Sequence[str]) -> None:
    _check(settings, name, getattr(settings, name) in names, ", ".join(names))


def _finite_number(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except (TypeError, OverflowError):
        return False


def _at_least(settings: Any, least: int, *names: str) -> None:
    for name in names:
        allowed = f"a whole number of at least {least}"
        _check(settings, name, getattr(settings, name) >= least, allowed)


def _positive(settings: Any, *names: str) -> None:
    for name in names:
        _check(settings, name, getattr(settings, name) > 0, "a number above 0")


def from_mapping(cls: type[Any], values: Mapping[str, Any]) -> Any:
    """Settings object from the stored mapping of a cell; unknown keys are an InputError."""
    known = {item.name for item in fields(cls)}
    for key in values:
        if key not in known:
            raise InputError(f"{key}: unknown setting; allowed: {', '.join(sorted(known))}")
    return cls(**values)
