"""Which rows pass a model together.

A stack holds rows of very different lengths: read all at once, each would be as long as the longest
of hundreds. Sorted by length and cut into passes, next to nothing is computed on padding.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch

PASS_TOKENS = {"cpu": 2048, "cuda": 8192}
"""Tokens of a forward pass with gradient; rows beyond them take the next one. What autograd keeps
grows with them (some 3 MB a token on GPT-2-large in float32). Larger passes are no faster, and on a
CPU slower: they leave its cache and are padded more (measured: 50 instead of 40 steps a second)."""


def _of(sizes: Mapping[str, int], device: str) -> int:
    """A size by type of device; one that is not named is taken for a GPU."""
    return sizes.get(torch.device(device).type, sizes["cuda"])


def pass_tokens(device: str) -> int:
    """Tokens of a pass with gradient on a torch device."""
    return _of(PASS_TOKENS, device)


READ_TOKENS = {"cpu": 8192, "cuda": 32768}
"""Tokens of a pass without gradient. Larger ones gain nothing on a CPU; on an H100, passes of 8,192
are 1.2 to 2.9 times slower, as launches bound them."""


def read_tokens(device: str) -> int:
    """Tokens of a pass without gradient on a torch device."""
    return _of(READ_TOKENS, device)


SPARE_TOKENS = {"cpu": 128, "cuda": 2048}
"""Padding that a pass may have: about what the launch of another pass costs, in tokens read."""


def spare_tokens(device: str) -> int:
    """Padding that a pass on a torch device may have."""
    return _of(SPARE_TOKENS, device)


LENGTH_STEP = {"cpu": 1, "cuda": 8}
"""Passes are padded to a multiple of so many tokens: on a GPU, shapes that come again find memory
and recorded work (:mod:`trainables.compute.replay`)."""


def length_step(device: str) -> int:
    """What passes on a torch device are padded to a multiple of."""
    return _of(LENGTH_STEP, device)


def bucket(longest: int, device: str) -> int:
    """Tokens that rows of up to ``longest`` are padded to on a torch device."""
    step = length_step(device)
    return -(-longest // step) * step


BLOCKS = 20
"""A step's rows are so many blocks; a recorded pass is whole blocks, so that few shapes come up."""

LAUNCH_TOKENS = 600
"""What a recorded pass costs beside its tokens, in tokens: kernels that are too short to be any
shorter (measured on an H200 with models of a width of 768)."""


def on_device(tensor: torch.Tensor, device: str) -> torch.Tensor:
    """A CPU tensor on a device. A GPU copies it from pinned memory, and nobody waits for it."""
    if torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def pass_end(lengths: Sequence[int], start: int, budget: float, spare: float) -> int:
    """Where the pass that begins at ``start`` ends, at least one row later.

    Args:
        lengths: of rows, falling.
        budget: tokens it may have, padding included.
        spare: of these, padding.
    """
    longest, padding, end = lengths[start], 0, start + 1
    most = min(len(lengths), start + int(budget // longest))
    while end < most:
        padding += longest - lengths[end]
        if padding > spare:
            break
        end += 1
    return end


def length_batches(lengths: torch.Tensor, budget: int, spare: int) -> Iterator[torch.Tensor]:
    """Indices of all rows [N] by falling length, in parts that :func:`pass_end` cuts.

    Equal rows keep their order; a row longer than the budget is a part by itself.
    """
    order = torch.argsort(lengths, descending=True, stable=True)
    falling, start = lengths[order].tolist(), 0
    while start < len(order):
        end = pass_end(falling, start, budget, spare)
        yield order[start:end]
        start = end


def block_batches(
    lengths: torch.Tensor, budget: int, step: int
) -> Iterator[tuple[torch.Tensor, int]]:
    """Indices of all rows [N] by falling length, in the whole blocks that cost least together.

    A pass costs its tokens, padding included, and :data:`LAUNCH_TOKENS`. As N stays the same from
    step to step, passes have few different numbers of rows.

    Args:
        lengths: of the rows [N].
        budget: tokens that a pass of more than one block may have.
        step: rows are padded to a multiple of so many tokens.

    Yields:
        A part's indices, and the rows it is to be filled up to.
    """
    order = torch.argsort(lengths, descending=True, stable=True)
    size = -(-len(order) // BLOCKS)
    tokens = [-(-longest // step) * step * size for longest in lengths[order[::size]].tolist()]
    # The least cost of the first blocks, and where the last pass of it begins.
    least, begins = [0], [0]
    for end in range(1, len(tokens) + 1):
        costs = [
            (least[begin] + LAUNCH_TOKENS + (end - begin) * tokens[begin], begin)
            for begin in range(end)
            if (end - begin) * tokens[begin] <= budget or end - begin == 1
        ]
        cost, begin = min(costs)
        least.append(cost)
        begins.append(begin)
    ends, end = [], len(tokens)
    while end:
        ends.append((begins[end], end))
        end = begins[end]
    for begin, end in reversed(ends):
        yield order[begin * size : end * size], (end - begin) * size


def additive(seen: torch.Tensor, dtype: torch.dtype, least: float) -> torch.Tensor:
    """A mask as what attention adds to its scores: 0 where ``seen``, else ``least``."""
    return torch.zeros_like(seen, dtype=dtype).masked_fill_(~seen, least)
