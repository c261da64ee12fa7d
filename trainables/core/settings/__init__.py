"""Parameters of methods and of the transfer: plain data, each with the reason for its default.

Torch-free, so that a spec is checked without loading anything heavy. A new method adds one
dataclass in a file of its own here and one entry in :data:`METHOD_SETTINGS`.
"""

from dataclasses import MISSING, fields
from typing import Any

from trainables.core.settings.autoprompt import AutoPromptSettings
from trainables.core.settings.base import axes, fitted_defaults, fitting, from_mapping, stored
from trainables.core.settings.fluentprompt import FluentPromptSettings
from trainables.core.settings.hard import HardSettings
from trainables.core.settings.mixed import MixedSettings
from trainables.core.settings.pez import PezSettings
from trainables.core.settings.random_words import RandomSettings
from trainables.core.settings.soft import (
    ALIGNMENT,
    CHECKPOINTS,
    INITS,
    LOSSES,
    POSITIONS,
    STEPS,
    SoftSettings,
)
from trainables.core.settings.transfer import (
    MASK_NAMES,
    NORM_NAMES,
    SELECTION_NAMES,
    TransferSettings,
    transfer_settings,
)

METHOD_SETTINGS: dict[str, type[Any]] = {
    "soft": SoftSettings,
    "autoprompt": AutoPromptSettings,
    "fluentprompt": FluentPromptSettings,
    "mixed": MixedSettings,
    "pez": PezSettings,
    "random": RandomSettings,
}
"""Per method name, the dataclass of its parameters."""


def family_of(method: str) -> str:
    """``soft`` (vectors, carried by a solver) or ``hard`` (tokens, carried as text).

    Methods that are not known, ``none`` of reference rows among them, count as soft.
    """
    return str(getattr(METHOD_SETTINGS.get(method), "family", "soft"))


def default_of(method: str, name: str) -> Any:
    """Default of a method's setting; None where there is no such method or setting."""
    cls = METHOD_SETTINGS.get(method)
    found = () if cls is None else fields(cls)
    defaults = (item.default for item in found if item.name == name)
    return next((value for value in defaults if value is not MISSING), None)


__all__ = [
    "ALIGNMENT",
    "CHECKPOINTS",
    "INITS",
    "LOSSES",
    "MASK_NAMES",
    "METHOD_SETTINGS",
    "NORM_NAMES",
    "POSITIONS",
    "SELECTION_NAMES",
    "STEPS",
    "HardSettings",
    "SoftSettings",
    "TransferSettings",
    "axes",
    "default_of",
    "family_of",
    "fitted_defaults",
    "fitting",
    "from_mapping",
    "stored",
    "transfer_settings",
]
