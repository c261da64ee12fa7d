"""Passes hold every row once, within their budgets of tokens and padding."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.sweep.samples import relaxed
from trainables.passes import length_batches


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
