"""Projection onto allowed words: equal to a search row by row, and never onto another word."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.hard.methods.projection import Projection

relaxed = settings(deadline=None, max_examples=60)

WORDS, WIDTH = 9, 3


def distance(row: torch.Tensor, vector: torch.Tensor, measure: str) -> float:
    """What is to be smallest, in double precision, straight from the definition."""
    row, vector = row.double(), vector.double()
    if measure == "l2":
        return float((row - vector).square().sum().sqrt())
    lengths = float(row.norm() * vector.norm())
    return -float(row @ vector) / lengths if lengths else 0.0


def brute_force(
    table: torch.Tensor, allowed: list[int], vector: torch.Tensor, measure: str
) -> dict[int, float]:
    return {word: distance(table[word], vector, measure) for word in allowed}


numbers = st.integers(-3, 3)
tables = st.lists(
    st.lists(numbers, min_size=WIDTH, max_size=WIDTH), min_size=WORDS, max_size=WORDS
).map(lambda rows: torch.tensor(rows, dtype=torch.float32))
sets = st.sets(st.integers(0, WORDS - 1), min_size=1).map(sorted)


@pytest.mark.slow
@relaxed
@given(
    table=tables,
    allowed=st.lists(sets, min_size=1, max_size=4),
    measure=st.sampled_from(["cosine", "l2"]),
    seed=st.integers(0, 1000),
    whole=st.booleans(),
)
def test_the_nearest_allowed_word_of_each_replica(
    table: torch.Tensor, allowed: list[list[int]], measure: str, seed: int, whole: bool
) -> None:
    draw = torch.Generator().manual_seed(seed)
    prompts = torch.randn(len(allowed), 2, WIDTH, generator=draw)
    if whole:  # ties between different rows
        prompts = (2.0 * prompts).round()
    found = Projection(table, [torch.tensor(ids) for ids in allowed], measure)(prompts)
    for replica, ids in enumerate(allowed):
        for place in range(2):
            word = int(found[replica, place])
            assert word in ids
            distances = brute_force(table, ids, prompts[replica, place], measure)
            least = min(distances.values())
            assert distances[word] == pytest.approx(least, abs=1e-5)
            clear = [other for other, value in distances.items() if value <= least + 1e-5]
            if len(clear) == 1:
                assert clear == [word]


@pytest.mark.parametrize("measure", ["cosine", "l2"])
def test_equal_rows_are_the_lowest_id(measure: str) -> None:
    """Also where a wide matrix product rounds equal columns differently."""
    draw = torch.Generator().manual_seed(0)
    rows = torch.randn(37, 50, generator=draw)
    table = torch.cat([rows, rows, rows])
    allowed = torch.arange(5, 111)
    prompts = (rows + 0.01 * torch.randn(rows.shape, generator=draw))[None]
    found = Projection(table, [allowed], measure)(prompts)
    # Ids below 5 are not allowed: the lowest allowed copy of those rows is 37 further on.
    assert found.tolist() == [[*range(37, 42), *range(5, 37)]]


def test_equally_near_words_are_the_lowest_id() -> None:
    table = torch.tensor([[9.0, 9.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    allowed = torch.tensor([1, 2, 3])
    for measure in ("cosine", "l2"):
        assert Projection(table, [allowed], measure)(torch.ones(1, 1, 2)).tolist() == [[1]]
        assert Projection(table, [allowed], measure)(torch.zeros(1, 1, 2)).tolist() == [[1]]


def test_measures_differ_where_rows_have_unlike_lengths() -> None:
    table = torch.tensor([[10.0, 1.0], [0.6, 0.8]])
    vector = torch.tensor([[[1.0, 0.2]]])
    both = torch.tensor([0, 1])
    assert Projection(table, [both], "cosine")(vector).item() == 0
    assert Projection(table, [both], "l2")(vector).item() == 1


def test_what_is_no_number_still_becomes_an_allowed_word() -> None:
    table = torch.randn(6, 4)
    prompts = torch.full((2, 3, 4), float("nan"))
    prompts[1, :, :2] = float("inf")
    found = Projection(table, [torch.tensor([2, 5]), torch.tensor([3])], "l2")(prompts)
    assert set(found[0].tolist()) <= {2, 5}
    assert found[1].tolist() == [3, 3, 3]


def test_grouped_replicas_get_what_they_get_alone() -> None:
    draw = torch.Generator().manual_seed(3)
    table = torch.randn(60, 8, generator=draw)
    some = torch.arange(0, 60, 2)
    others = torch.arange(1, 60, 3)
    allowed = [some, others, some.clone(), torch.arange(60)]
    prompts = torch.randn(4, 5, 8, generator=draw)
    together = Projection(table, allowed)(prompts)
    for replica, ids in enumerate(allowed):
        alone = Projection(table, [ids])(prompts[replica : replica + 1])
        assert torch.equal(alone[0], together[replica])


def test_rows_are_single_precision_and_no_graph_is_kept() -> None:
    table = torch.randn(6, 4, dtype=torch.bfloat16)
    projection = Projection(table, [torch.arange(6)])
    prompts = torch.randn(1, 2, 4, requires_grad=True)
    ids = projection(prompts)
    assert projection.rows(ids).dtype == torch.float32
    assert torch.equal(projection.rows(ids), table[ids].float())
    assert torch.equal(projection(projection.rows(ids)), ids)
