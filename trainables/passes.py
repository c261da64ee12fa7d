"""Which rows pass a model together.

A stack holds rows of very different lengths: read all at once, each would be as long as the longest
of hundreds. Sorted by length and cut into passes, next to nothing is computed on padding.
"""

from collections.abc import Iterator

import torch

PASS_TOKENS = {"cpu": 2048, "cuda": 8192}
"""Tokens of a forward pass with gradient; rows beyond them take the next one. What autograd keeps
grows with them (some 3 MB a token on GPT-2-large in float32). Larger passes are no faster, and on a
CPU slower: they leave its cache and are padded more (measured: 50 instead of 40 steps a second)."""


def pass_tokens(device: str) -> int:
    """Tokens of a pass with gradient on a torch device."""
    return PASS_TOKENS.get(torch.device(device).type, PASS_TOKENS["cuda"])


def length_batches(lengths: torch.Tensor, budget: int) -> Iterator[torch.Tensor]:
    """Indices of all rows [N] by falling length, in parts of at most ``budget`` tokens each.

    Equal rows keep their order; a row longer than that is a part by itself.
    """
    order = torch.argsort(lengths, descending=True, stable=True)
    start = 0
    while start < len(order):
        part = order[start : start + max(1, budget // int(lengths[order[start]]))]
        yield part
        start += len(part)
