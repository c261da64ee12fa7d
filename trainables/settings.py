"""Parameters of methods and of the transfer: plain data, each with the reason for its default.

Torch-free, so that a spec is checked without loading anything heavy. A new method adds one
dataclass here and one entry in :data:`METHOD_SETTINGS`.
"""

from collections.abc import Mapping
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


@dataclass(frozen=True)
class TransferSettings:
    """Transfer without target gradients (Wu et al. 2024).

    Attributes:
        solver: ``closed_form``: the maximiser of the mean cosine between relative representations,
            found by least squares instead of a 2,000-step search.
        norm: length of each carried vector. The objective is blind to it. ``match`` keeps the
            source's length relative to its embedding table; ``mean`` uses the target's mean row.
    """

    solver: str = "closed_form"
    norm: str = "match"

    def __post_init__(self) -> None:
        """Raise InputError for the first value that is not allowed."""
        _check(self, "solver", self.solver in ("closed_form",), "closed_form")
        _check(self, "norm", self.norm in ("match", "mean"), "match or mean")


METHOD_SETTINGS: dict[str, type[SoftSettings]] = {"soft": SoftSettings}
"""Per method name, the dataclass of its parameters."""


def _check(settings: Any, name: str, good: bool, allowed: str) -> None:
    if not good:
        raise InputError(f"{name}: found {getattr(settings, name)!r}; allowed: {allowed}")


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
