"""Recorded passes: the same numbers as without, from memory that stays the same."""

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.trainables.soft.test_tuning import SETTINGS, grams_of, source
from tests.trainables.tiny import ARCHITECTURES
from trainables.backbones import Encoded
from trainables.compute.passes import LENGTH_STEP, bucket
from trainables.compute.replay import RECORDERS, Replayed, Tensors, Work, plain
from trainables.core.weight import Weight
from trainables.scoring.losses import StackLoss
from trainables.soft.source import TaskGradient
from trainables.soft.tuning import Replica, tune

LAST = replace(SETTINGS, evaluations=1, steps=8)
STACK = [Replica(0, Weight.of(0.0)), Replica(1, Weight.of(0.4)), Replica(0, Weight.of("annealing"))]


def strict(work: Work, inputs: Tensors) -> Callable[[], tuple[torch.Tensor, ...]]:
    """As a CUDA graph: one memory for inputs and one for outputs."""
    places = [item.data_ptr() for item in inputs]
    outputs = [item.clone() for item in work(*inputs)]

    def replay() -> tuple[torch.Tensor, ...]:
        assert [item.data_ptr() for item in inputs] == places
        for mine, found in zip(outputs, work(*inputs), strict=True):
            mine.copy_(found)
        return tuple(outputs)

    return replay


@pytest.mark.parametrize("record", [plain, strict])
def test_a_call_gives_what_the_function_gives(record: Callable[..., Any]) -> None:
    recorded: list[tuple[int, ...]] = []

    def count(work: Work, inputs: Tensors) -> Callable[[], tuple[torch.Tensor, ...]]:
        recorded.append(tuple(inputs[0].shape))
        found: Callable[[], tuple[torch.Tensor, ...]] = record(work, inputs)
        return found

    replayed = Replayed(lambda x, y: (x @ y, x.sum()), count, most=2)
    given, found = [], []
    for shape in [(2, 3), (2, 3), (4, 3), (2, 3), (5, 3), (5, 3)]:
        given.append((torch.randn(shape), torch.randn(3, 2)))
        found.append(replayed(*given[-1]))
    # Only now: outputs are the caller's, whatever has run since.
    for (x, y), (product, total) in zip(given, found, strict=True):
        torch.testing.assert_close(product, x @ y)
        torch.testing.assert_close(total, x.sum())
    assert recorded == [(2, 3), (4, 3)]


@pytest.mark.slow
@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_tuning_with_recorded_passes_is_tuning(
    name: str, dropout: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Masks too: a record is given keys, and takes no random numbers of its own."""
    sources, settings = [source(name), source("bert")], replace(LAST, dropout=dropout)
    grams, _ = grams_of(sources)
    expected = tune(sources, STACK, settings, grams, "accuracy")
    shapes: set[tuple[tuple[int, ...], ...]] = set()

    def record(work: Work, inputs: Tensors) -> Callable[[], tuple[torch.Tensor, ...]]:
        shapes.add(tuple(tuple(item.shape) for item in inputs))
        return strict(work, inputs)

    monkeypatch.setitem(RECORDERS, "cpu", lambda: record)
    monkeypatch.setitem(LENGTH_STEP, "cpu", 8)
    found = tune(sources, STACK, settings, grams, "accuracy", graphs=True)
    for one, other in zip(expected.prompts, found.prompts, strict=True):
        torch.testing.assert_close(one, other, atol=2e-4, rtol=2e-3)
    passes = [shape for shape in shapes if len(shape) > 2]
    assert 0 < len(passes) <= 4, "8 steps on two models, few shapes"
    assert len(shapes) - len(passes) <= 2, "prompts read, and the way back to them"


@pytest.mark.parametrize("dropout", [False, True])
def test_nothing_is_recorded_on_a_cpu(dropout: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    item, loss = source("gpt2"), StackLoss("label_words", dropout, [0])
    assert TaskGradient(item, loss, graphs=True).passes.recorded is False
    monkeypatch.setitem(RECORDERS, "cpu", lambda: plain)
    assert TaskGradient(item, loss, graphs=True).passes.recorded
    assert TaskGradient(item, loss).passes.recorded is False
    literal = copy(item.backbone)
    literal.literal = True
    item = replace(item, backbone=literal)
    assert TaskGradient(item, loss, graphs=True).passes.recorded is False


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_buckets_of_lengths_change_no_result(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    item = source(name)
    taken: list[int] = []
    real = Encoded.take

    def take(data: Encoded, index: torch.Tensor, longest: int | None = None) -> Encoded:
        found = real(data, index, longest)
        taken.append(found.ids.shape[1])
        return found

    expected = tune([item], STACK, LAST, {}, "accuracy")
    monkeypatch.setattr(Encoded, "take", take)
    monkeypatch.setitem(LENGTH_STEP, "cpu", 4)
    found = tune([item], STACK, LAST, {}, "accuracy")
    assert {size % 4 for size in taken} - {item.train.ids.shape[1] % 4} <= {0}
    torch.testing.assert_close(found.prompts[0], expected.prompts[0], atol=2e-4, rtol=2e-3)
    torch.testing.assert_close(found.validation[0], expected.validation[0], atol=2e-4, rtol=2e-3)


def test_lengths_of_buckets() -> None:
    assert [bucket(length, "cpu") for length in (1, 9, 17)] == [1, 9, 17]
    assert [bucket(length, "cuda") for length in (1, 8, 9, 17)] == [8, 8, 16, 24]
