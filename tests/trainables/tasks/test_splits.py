"""Choices of rows: sizes, proportions, determinism."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.tasks.splits import Example, choose, take

labels_st = st.lists(st.integers(0, 3), min_size=1, max_size=60)


def examples_of(labels: list[int]) -> list[Example]:
    return [Example(f"text {index}", label) for index, label in enumerate(labels)]


@given(labels_st, st.integers(0, 70), st.integers(0, 3))
def test_size_order_and_classes(labels: list[int], size: int, seed: int) -> None:
    chosen = choose(examples_of(labels), size, seed)
    assert len(chosen) == len(set(chosen)) == min(size, len(labels))
    assert chosen == sorted(chosen)
    classes = {labels[index] for index in chosen}
    assert len(classes) == min(size, len(set(labels)))


@given(labels_st, st.integers(0, 59))
def test_a_smaller_choice_is_part_of_a_larger(labels: list[int], size: int) -> None:
    examples = examples_of(labels)
    assert set(choose(examples, size)) <= set(choose(examples, size + 1))


@given(st.integers(2, 4), st.integers(2, 20), st.data())
def test_balanced_stays_balanced(classes: int, each: int, data: st.DataObject) -> None:
    examples = examples_of([index % classes for index in range(classes * each)])
    size = data.draw(st.integers(classes, classes * each))
    counts = Counter(example.label for example in take(examples, choose(examples, size)))
    assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.slow
@given(st.lists(st.integers(0, 2), min_size=30, max_size=200), st.floats(0.2, 0.8))
def test_proportions_are_kept(labels: list[int], share: float) -> None:
    size = round(share * len(labels))
    chosen = choose(examples_of(labels), size)
    counts, total = Counter(labels[index] for index in chosen), Counter(labels)
    for label, count in total.items():
        # Rounding, and the one place every class is given first.
        assert abs(counts[label] - size * count / len(labels)) < len(total)


def test_order_of_the_rows_does_not_matter() -> None:
    examples = examples_of([index % 3 for index in range(90)])
    shuffled = random.Random(5).sample(examples, len(examples))
    first = set(take(examples, choose(examples, 20, seed=1)))
    assert set(take(shuffled, choose(shuffled, 20, seed=1))) == first
    assert set(take(examples, choose(examples, 20, seed=2))) != first


def test_the_choice_never_changes() -> None:
    """Frozen: another choice here means other validation rows in every held-out task."""
    examples = examples_of([index % 2 for index in range(20)])
    assert choose(examples, 6) == [0, 6, 7, 13, 17, 18]
