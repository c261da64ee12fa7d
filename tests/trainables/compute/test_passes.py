"""Passes hold every row once, within their budgets of tokens and padding."""

from collections.abc import Sequence
from itertools import combinations, pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.sweep.samples import relaxed
from trainables.compute.passes import BLOCKS, LAUNCH_TOKENS, block_batches, length_batches


@relaxed
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=40),
    budget=st.integers(1, 400),
    spare=st.integers(0, 100),
)
def test_every_row_is_in_one_pass(lengths: list[int], budget: int, spare: int) -> None:
    parts = [part.tolist() for part in length_batches(torch.tensor(lengths), budget, spare)]
    assert sorted(row for part in parts for row in part) == list(range(len(lengths)))
    for part in parts:
        rows = [lengths[row] for row in part]
        assert rows == sorted(rows, reverse=True)
        assert len(part) == 1 or max(rows) * len(rows) <= budget
        assert max(rows) * len(rows) - sum(rows) <= spare


def test_a_pass_is_as_long_as_it_may_be() -> None:
    lengths = torch.tensor([9, 3, 9, 8, 8, 3, 3])
    found = [part.tolist() for part in length_batches(lengths, 100, 2)]
    assert found == [[0, 2, 3, 4], [1, 5, 6]]
    assert [part.tolist() for part in length_batches(lengths, 18, 2)] == [[0, 2], [3, 4], [1, 5, 6]]


@relaxed
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=45),
    budget=st.integers(1, 2000),
    step=st.integers(1, 8),
)
def test_blocks_hold_every_row_at_the_least_cost(
    lengths: list[int], budget: int, step: int
) -> None:
    parts = [
        (part.tolist(), rows) for part, rows in block_batches(torch.tensor(lengths), budget, step)
    ]
    assert sorted(row for part, _ in parts for row in part) == list(range(len(lengths)))
    size = -(-len(lengths) // BLOCKS)
    for part, rows in parts[:-1]:
        assert len(part) == rows
    assert 0 <= parts[-1][1] - len(parts[-1][0]) < size
    assert all(rows % size == 0 for _, rows in parts)
    falling = sorted(lengths, reverse=True)

    def cost(sizes: Sequence[int]) -> float:
        total, begin = 0.0, 0
        for blocks in sizes:
            tokens = -(-falling[begin] // step) * step * size * blocks
            if tokens > budget and blocks > 1:
                return float("inf")
            total += LAUNCH_TOKENS + tokens
            begin += size * blocks
        return total

    blocks = -(-len(lengths) // size)
    if blocks <= 10:  # every way of cutting
        ways = (
            [end - begin for begin, end in pairwise((0, *cuts, blocks))]
            for count in range(blocks)
            for cuts in combinations(range(1, blocks), count)
        )
        found = cost([rows // size for _, rows in parts])
        assert found == min(map(cost, ways))


def test_a_stack_has_passes_of_few_shapes() -> None:
    """Thirty prompts and texts as they come: shapes that come up are those of the first steps."""
    generator, shapes = torch.Generator().manual_seed(0), []
    for _ in range(60):
        texts = (10 + 25 * torch.rand(5, 16, generator=generator) ** 2).long().repeat(6, 1)
        parts = block_batches(texts.flatten(), 8192, 8)
        shapes += [(rows, -(-int(texts.flatten()[part].max()) // 8)) for part, rows in parts]
    assert len(set(shapes)) < 40
