"""Pocket zoo: small real English language models that travel inside the package."""

from trainables.pocket.zoo import POCKET_NAMES, pocket_path

__all__ = ["POCKET_NAMES", "pocket_path"]
