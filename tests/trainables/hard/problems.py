"""Small problems on tiny models, and a look at what a search offers."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from tests.trainables.tiny import tiny
from trainables.backbones import Layout
from trainables.hard.methods import descent
from trainables.hard.problem import HardProblem, HardReplica, TaskModel
from trainables.hard.racing import Race

TEXTS = [
    ("the film was good", 1),
    ("a bad and boring story", 0),
    ("we liked it very much", 1),
    ("what a waste of time , really", 0),
    ("fine music and a good plot", 1),
    ("never again", 0),
    ("i would see it twice", 1),
    ("nobody should watch this", 0),
]


def problem(name: str, length: int, seed: int = 0) -> HardProblem:
    """Two classes, eight texts; the first six are validation."""
    backbone = tiny(name, seed)
    data = backbone.read([text for text, _ in TEXTS], [gold for _, gold in TEXTS], Layout(length))
    labels = backbone.labels(["bad", "good"], "t")
    reading = TaskModel(backbone, labels, data, data.take(torch.arange(6)))
    return HardProblem(reading, tuple(labels.tolist()), "accuracy")


def words(task: HardProblem, count: int, every: int = 7, start: int = 300) -> torch.Tensor:
    """Some token ids, sorted; not the class words."""
    ids = range(start, task.source.backbone.rows, every)
    return torch.tensor([number for number in ids if number not in task.class_ids][:count])


def spy(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, list[tuple[int, ...]]]]:
    """A list that fills with (step, ids of each replica) of every offer of a search by gradient."""
    offers: list[tuple[int, list[tuple[int, ...]]]] = []
    real: Any = descent.source_race

    def watched(*args: Any) -> Race:
        race: Race = real(*args)
        offer = race.offer

        def note(step: int, prompts: torch.Tensor, *members: Any) -> list[bool]:
            offers.append((step, [tuple(ids) for ids in prompts.tolist()]))
            return offer(step, prompts, *members)

        monkeypatch.setattr(race, "offer", note)
        return race

    monkeypatch.setattr(descent, "source_race", watched)
    return offers


def walk(monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[int, ...]]]:
    """A list that fills, for each step, with the ids of each replica that it starts from."""
    seen: list[list[tuple[int, ...]]] = []
    real = descent._Batches.gradient

    def note(self: Any, step: int, rows: torch.Tensor, ids: torch.Tensor) -> Any:
        seen.append([tuple(one) for one in ids.tolist()])
        return real(self, step, rows, ids)

    monkeypatch.setattr(descent._Batches, "gradient", note)
    return seen


def of_replica(prompts: Sequence[list[tuple[int, ...]]], replica: int = 0) -> list[tuple[int, ...]]:
    """One replica's part of a walk."""
    return [stack[replica] for stack in prompts]


def replicas_on(*sets: torch.Tensor, seeds: Sequence[int] = (0,)) -> list[HardReplica]:
    """One replica for each seed and set of words."""
    return [HardReplica(seed, ids) for seed in seeds for ids in sets]
