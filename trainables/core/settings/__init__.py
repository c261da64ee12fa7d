"""Parameters of methods and of the transfer: plain data, each with the reason for its default.

Torch-free, so that a spec is checked without loading anything heavy. A new method adds one
dataclass and one entry in :data:`trainables.core.registries.METHODS`.
"""

from dataclasses import MISSING, fields
from typing import Any

from trainables.core.registries import METHODS
from trainables.core.settings.base import axes, fitted_defaults, fitting, from_mapping, stored
from trainables.core.settings.hard import HardSettings
from trainables.core.settings.soft import (
    ALIGNMENT,
    STEPS,
    SoftSettings,
)
from trainables.core.settings.transfer import (
    CARRIED,
    OWN,
    TransferSettings,
    of_one_run,
    transfer_settings,
)


def family_of(method: str) -> str:
    """``soft`` (vectors, carried by a solver) or ``hard`` (tokens, carried as text).

    Methods that are not known, ``none`` of reference rows among them, count as soft.
    """
    return str(getattr(METHODS.get(method), "family", "soft"))


def default_of(method: str, name: str) -> Any:
    """Default of a method's setting; None where there is no such method or setting."""
    cls = METHODS.get(method)
    found = () if cls is None else fields(cls)
    defaults = (item.default for item in found if item.name == name)
    return next((value for value in defaults if value is not MISSING), None)


__all__ = [
    "ALIGNMENT",
    "CARRIED",
    "OWN",
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
    "of_one_run",
    "stored",
    "transfer_settings",
]
