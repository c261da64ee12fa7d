"""Where results that any sweep may use again are kept on this machine."""

import os
from pathlib import Path

VARIABLE = "PROMPTSWEEP_CACHE"
"""Environment variable with the folder; by default ``promptsweep`` in the user's cache folder."""


def cache_folder() -> Path:
    """The folder; it need not exist, and what is in it may be deleted at any time."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "promptsweep"
