"""Dynamic prompts as static ones, where what was decided can be written down."""

from dataclasses import replace

import numpy as np
import torch

from trainables.backbones import Layout
from trainables.dynamic.guide import Guided
from trainables.errors import InputError


def static_form(prompt: np.ndarray, layout: Layout, model: str) -> tuple[np.ndarray, Layout]:
    """The vectors [m, d] that a matrix [M, d] of vectors and heads comes to, and how they are read.

    What is decided of the task is the same for every text: so many vectors, all before the text
    (``prefix``) or all behind it (``infix``). A prompt that decides nothing is handed back.

    Args:
        layout: with the guide of the prompt.
        model: named in errors.

    Raises:
        InputError: decisions differ from text to text, or vectors stand on both sides of a text.
    """
    guide = layout.guide
    if guide is None:
        return prompt, layout
    if guide.reads:
        raise InputError(
            f"model {model!r}: found a prompt whose {', '.join(guide.parts)} each text decides by"
            " the model's states; allowed in an export: prompts at level task, fixed or parameters"
        )
    (one,) = _decided(prompt, Guided(guide, torch.zeros(1, dtype=torch.long)))
    vectors, behind = one
    if 0 < behind < len(vectors):
        raise InputError(
            f"model {model!r}: found a prompt with {len(vectors) - behind} vectors before a text"
            f" and {behind} behind it; allowed in an export: all before it or all behind it"
        )
    position = "infix" if behind else "prefix"
    length = len(vectors)
    return vectors, replace(layout, prompt_length=length, position=position, guide=None)


def _decided(prompt: np.ndarray, guided: Guided) -> list[tuple[np.ndarray, int]]:
    """Vectors kept and how many of them stand behind the text, of each row."""
    found = guided.decided(torch.from_numpy(prompt)[None], torch.zeros_like(guided.ends))
    kept, behind = found.kept.tolist(), found.behind.minimum(found.kept).tolist()
    return [
        (np.ascontiguousarray(vectors[:count].numpy()), moved)
        for vectors, count, moved in zip(found.vectors, kept, behind, strict=True)
    ]
