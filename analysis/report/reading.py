"""How models were read, where that is not the same for all: chat templates, GGUF files."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from trainables.core.settings.base import CHAT
from trainables.models.chats import frames_note


def read_notes(frame: pd.DataFrame, meta: Mapping[str, Any]) -> list[str]:
    """Sentences on models that were read in chat templates, or whose weights were dequantised.

    Args:
        frame: table of :func:`analysis.load`.
        meta: content of the sweep's ``sweep.json``.
    """
    notes = []
    asked = frame[frame["frame"].notna()]
    if len(asked):
        chat = sorted(asked.loc[asked["frame"] == CHAT, "target"].unique())
        plain = sorted(set(asked["target"].unique()) - set(chat))
        note = frames_note(chat, plain)
        notes.append(f"{note[0].upper()}{note[1:]}.")
    spec = meta.get("spec")
    models = spec.get("models") if isinstance(spec, Mapping) else None
    for alias, model in (models or {}).items():
        if isinstance(model, Mapping) and model.get("stored"):
            notes.append(
                f"{alias} was read from a GGUF file, its weights dequantised from"
                f" {model['stored']}: scores are those of the dequantised model."
            )
    return notes
