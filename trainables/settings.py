"""Parameters of methods and of the transfer: plain data, each with the reason for its default.

Torch-free, so that a spec is checked without loading anything heavy. A new method adds one
dataclass here and one entry in :data:`METHOD_SETTINGS`.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar

from trainables.errors import InputError

STEPS = 1000
"""Optimiser steps where neither steps nor epochs are given."""

POSITIONS = ("prefix", "infix", "suffix")
LOSSES = ("label_words", "vocabulary")
CHECKPOINTS = ("best", "last")
INITS = ("normal", "uniform", "vocabulary", "label_words", "text", "file")


def _later(default: Any, axis: bool = False, only_with: str | None = None) -> Any:
    """A field that is younger than the first cells: :func:`stored` leaves it out at its default.

    ``only_with``: the one value of ``init`` that takes it.
    """
    marks = {"later": True, "axis": axis, "only_with": only_with}
    return field(default=default, metadata=marks)


def _axis(default: Any) -> Any:
    """A field for which a spec may list several values; each combination is tuned by itself."""
    return field(default=default, metadata={"axis": True})


@dataclass(frozen=True)
class SoftSettings:
    """Joint soft-prompt tuning (paper A, section 3).

    Attributes:
        prompt_length: prompt vectors m; paper A uses 5.
        steps: optimiser steps T; 1000 where neither ``steps`` nor ``epochs`` is given.
        batch_size: examples a step, shared by all sources of a joint tuning.
        learning_rate: peak rate of AdamW; 3e-3 is OptiPrompt's, for thousands of steps. With tens
            of steps (the quickstart) a prompt needs some 0.05 to leave where it started.
        warmup: share of the steps with a linearly rising rate; a linear decay to 0 follows.
        bias_correction: False is the AdamW of OptiPrompt (about 3 times larger first steps).
        init_std: standard deviation of the initial ``normal`` prompt; 0.02 is what
            ``resize_token_embeddings`` drew in OptiPrompt's time.
        position: ``prefix`` (paper A, table 6: prompt, text, answer), ``infix`` (text, prompt,
            answer: OptiPrompt's template) or ``suffix`` (the prompt ends the input: text, answer,
            prompt; a causal model answers after its last token, so that there it is ``infix``).
        evaluations: validation passes in a run, evenly spaced, the last at the end; with
            ``epochs`` never more than steps.
        text_tokens: texts are cut to this many tokens (None: to what the model's positions allow).
        epochs: passes over the training split, instead of ``steps``; steps an epoch are rounded up.
        weight_decay: AdamW's decoupled weight decay; 0 is OptiPrompt's.
        dropout: whether the frozen model drops out in training steps, at the rates of its own
            config (0 in the embedded models and in LLaMA). Off by default, since a replica then
            gets exactly what it would get alone; OptiPrompt has it on.
        loss: cross-entropy over the ``label_words`` (paper A, equation 1) or of the label word
            over the whole ``vocabulary`` (OptiPrompt's code).
        checkpoint: ``best`` keeps the common step with the best mean validation metric, ``last``
            the last step.
        init: how prompts start, see :mod:`trainables.initialisation`.
        init_text: the text of ``init: text``.
        init_file: the .npy or .safetensors file of ``init: file``, [m, d]; ``{model}`` in it stands
            for the model's short name.
    """

    INSTEAD: ClassVar[Mapping[str, str]] = {"steps": "epochs", "epochs": "steps"}
    """Of a setting and its alternative, the one a spec names replaces the other in its recipe."""

    prompt_length: int = _axis(5)
    steps: int | None = None
    batch_size: int = 16
    learning_rate: float = 3e-3
    warmup: float = 0.1
    bias_correction: bool = True
    init_std: float = 0.02
    position: str = _axis("prefix")
    evaluations: int = 10
    text_tokens: int | None = None
    epochs: int | None = _later(None)
    weight_decay: float = _later(0.0)
    dropout: bool = _later(False)
    loss: str = _later("label_words")
    checkpoint: str = _later("best")
    init: str = _later("normal", axis=True)
    init_text: str | None = _later(None, only_with="text")
    init_file: str | None = _later(None, only_with="file")

    def __post_init__(self) -> None:
        """Raise InputError for the first value out of its range."""
        if self.steps is not None and self.epochs is not None:
            raise InputError(
                f"steps: found {self.steps} beside epochs {self.epochs}; allowed: one of the two"
            )
        if self.epochs is None and self.steps is None:
            object.__setattr__(self, "steps", STEPS)
        length = "steps" if self.epochs is None else "epochs"
        _at_least(self, 1, "prompt_length", length, "batch_size", "evaluations")
        _positive(self, "learning_rate", "init_std")
        _check(self, "warmup", 0.0 <= self.warmup < 1.0, "a number in [0, 1)")
        _check(self, "weight_decay", 0.0 <= self.weight_decay < float("inf"), "a number from 0")
        _one_of(self, "position", POSITIONS)
        _one_of(self, "loss", LOSSES)
        _one_of(self, "checkpoint", CHECKPOINTS)
        _one_of(self, "init", INITS)
        _check(
            self,
            "text_tokens",
            self.text_tokens is None or self.text_tokens >= 1,
            "a whole number of at least 1, or null",
        )
        _check(
            self,
            "evaluations",
            self.steps is None or self.evaluations <= self.steps,
            f"at most the number of steps ({self.steps})",
        )
        _only_with(self, "init_text", "text", "a text that is not empty")
        _only_with(self, "init_file", "file", "the path of a .npy or .safetensors file")
        if self.init_file is not None:
            good = self.init_file.endswith((".npy", ".safetensors"))
            _check(self, "init_file", good, "the path of a .npy or .safetensors file")

    def steps_for(self, rows: int) -> int:
        """Optimiser steps T on a training split of ``rows`` examples.

        Epochs are chained passes (:func:`trainables.soft.batch_order`): rounding each of them up
        makes a run at most ``epochs`` steps longer than its passes.
        """
        if self.steps is not None:
            return self.steps
        return (self.epochs or 1) * -(-rows // self.batch_size)


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


def _finite_number(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except (TypeError, OverflowError):
        return False


def _at_least(settings: Any, least: int, *names: str) -> None:
    for name in names:
        allowed = f"a whole number of at least {least}"
        _check(settings, name, getattr(settings, name) >= least, allowed)


def _one_of(settings: Any, name: str, allowed: tuple[str, ...]) -> None:
    good = getattr(settings, name) in allowed
    _check(settings, name, good, f"{', '.join(allowed[:-1])} or {allowed[-1]}")


def _only_with(settings: Any, name: str, init: str, what: str) -> None:
    """A setting that belongs to one way of initialisation: there with it and only with it."""
    value = getattr(settings, name)
    if settings.init == init:
        _check(settings, name, bool(value and value.strip()), f"{what}, as init is {init}")
    else:
        _check(settings, name, value is None, f"null, as init is {settings.init} and not {init}")


def _positive(settings: Any, *names: str) -> None:
    for name in names:
        _check(settings, name, getattr(settings, name) > 0, "a number above 0")


def stored(settings: Any) -> dict[str, Any]:
    """Mapping of a settings object as cells keep and hash it; :func:`from_mapping` inverts it.

    Fields that came later are left out while they have their default, so that cells from before
    them keep their ids.
    """
    values = {item.name: getattr(settings, item.name) for item in fields(settings)}
    for item in fields(settings):
        if item.metadata.get("later") and values[item.name] == item.default:
            del values[item.name]
    return values


def axes(cls: type[Any]) -> tuple[str, ...]:
    """Names of the settings for which a spec may list several values."""
    return tuple(item.name for item in fields(cls) if item.metadata.get("axis"))


def fitting(cls: type[Any], values: Mapping[Any, Any], listed: Collection[Any]) -> dict[Any, Any]:
    """``values`` of one combination, without what belongs to the other ``listed`` inits."""
    unfit = {
        item.name
        for item in fields(cls)
        if item.metadata.get("only_with") in listed
        and item.metadata["only_with"] != values.get("init")
    }
    return {key: value for key, value in values.items() if key not in unfit}


def default_of(method: str, name: str) -> Any:
    """Default of a method's setting; None where there is no such method or setting."""
    cls = METHOD_SETTINGS.get(method)
    found = () if cls is None else fields(cls)
    defaults = (item.default for item in found if item.name == name)
    return next((value for value in defaults if value is not MISSING), None)


def from_mapping(cls: type[Any], values: Mapping[str, Any]) -> Any:
    """Settings object from the stored mapping of a cell; unknown keys are an InputError."""
    known = {item.name for item in fields(cls)}
    for key in values:
        if key not in known:
            raise InputError(f"{key}: unknown setting; allowed: {', '.join(sorted(known))}")
    return cls(**values)
