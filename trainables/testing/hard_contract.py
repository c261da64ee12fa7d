"""What every search for hard prompts must fulfil, as a test class to inherit.

A method's contract test is::

    class TestAutoPrompt(HardContract):
        method = "autoprompt"
        settings = AutoPromptSettings(prompt_length=3, steps=4, ...)
        thorough = AutoPromptSettings(prompt_length=2, steps=30, ...)
"""

import itertools
import json
from dataclasses import replace
from functools import cache
from typing import Any
from unittest.mock import patch

import pytest
import torch

from trainables.backbones import Layout, load_backbone
from trainables.core.registries import METHODS
from trainables.core.settings import from_mapping, stored
from trainables.core.settings.hard import HardSettings
from trainables.hard.methods import descent
from trainables.hard.methods.fluency import fluency_loss
from trainables.hard.problem import HardFound, HardProblem, HardReplica, TaskModel, search_of
from trainables.models.names import resolve_model
from trainables.scoring.evaluate import mean_loss, scores
from trainables.tasks import load_task, metrics
from trainables.testing.work import Reading, rows_read

SOURCE = "pocket-gpt2"
EVALUATOR = "pocket-bert"
TRAIN_ROWS = 24
VALIDATION_ROWS = 20
TINY_WORDS = ("good", "bad", "story", "never", "film", "really")


@cache
def reading(model: str, slots: int, same: bool = False) -> TaskModel:
    """The task ``mini/reviews`` on an embedded model; ``same``: validated on the training rows."""
    task = load_task("mini/reviews")
    backbone = load_backbone(resolve_model(model))
    layout = Layout(slots, template=task.manual)

    def split(name: str, count: int) -> Any:
        rows = task.rows(name)[:count]
        texts, gold = [row.text for row in rows], [row.label for row in rows]
        return backbone.read(texts, gold, layout, task.name)

    train = split("train", TRAIN_ROWS)
    validation = train if same else split("validation", VALIDATION_ROWS)
    return TaskModel(backbone, backbone.labels(task.label_words, task.name), train, validation)


def sample_problem(slots: int, same: bool = False) -> HardProblem:
    """That task with its class words, a second model to judge, and the source to help itself."""
    source = reading(SOURCE, slots, same)
    words = source.backbone.words
    task = load_task("mini/reviews")
    rows = task.rows("train")[:TRAIN_ROWS]
    return HardProblem(
        source,
        (words["bad"], words["good"]),
        "accuracy",
        {EVALUATOR: reading(EVALUATOR, slots, same)},
        source.backbone,
        [(row.text, str(task.label_words[row.label])) for row in rows],
    )


def words_of(count: int, seed: int) -> torch.Tensor:
    """Sorted ids of ``count`` words of the source, drawn by ``seed``."""
    table = sorted(reading(SOURCE, 1).backbone.words.values())
    draw = torch.randperm(len(table), generator=torch.Generator().manual_seed(seed))
    return torch.tensor(sorted(table[place] for place in draw[:count].tolist()))


class HardContract:
    """Tests of one method; pytest collects the classes that inherit it.

    Attributes:
        method: its name.
        settings: a short search.
        evaluator: what replicas name as their evaluator; None for most methods.
        thorough: settings with which the best of 36 prompts is found, of two tokens, judged on the
            training rows; None for a method that does not look for it.
        told: how often the source reads its validation rows only to tell how good a prompt is.
    """

    method: str
    settings: HardSettings
    evaluator: str | None = None
    thorough: HardSettings | None = None
    told: int = 0
    _once: list[HardFound]

    def problem(self, settings: HardSettings) -> HardProblem:
        """What is asked; override for a method that needs more."""
        return sample_problem(settings.prompt_length)

    def replicas(self) -> list[HardReplica]:
        """Two seeds, with different and with equal words; a third has only a few."""
        wide, few = words_of(200, 0), words_of(5, 2)
        return [
            HardReplica(0, wide, self.evaluator),
            HardReplica(1, wide, self.evaluator),
            HardReplica(0, few, self.evaluator),
        ]

    def found(self, replicas: list[HardReplica], **more: Any) -> list[HardFound]:
        """A short search."""
        problem = self.problem(self.settings)
        return search_of(self.settings)(problem, replicas, self.settings, **more)

    def once(self) -> list[HardFound]:
        """The short search of all replicas, which several tests look at."""
        cls = type(self)
        if "_once" not in vars(cls):
            torch.manual_seed(1)
            cls._once = self.found(self.replicas())
        return cls._once

    def test_prompts_are_made_of_allowed_tokens(self) -> None:
        """Ids of the right number, each allowed to its replica; the rest of the answer fits."""
        replicas, found = self.replicas(), self.once()
        assert len(found) == len(replicas)
        rows = VALIDATION_ROWS
        for item, replica in zip(found, replicas, strict=True):
            assert len(item.ids) == self.settings.prompt_length
            assert set(item.ids) <= set(replica.allowed.tolist())
            assert all(isinstance(number, int) for number in item.ids)
            assert 0 <= item.step <= item.steps
            assert item.failed is None
            assert item.evaluated >= 0
            assert item.saved >= 0
            assert item.evaluated + item.saved >= rows
            assert item.curve, "the choice on validation leaves a trace"
            json.dumps(item.curve, allow_nan=False)

    def test_validation_is_that_of_a_plain_loop(self) -> None:
        """The metric reported, and the logits if any, row by row on the source."""
        problem = self.problem(self.settings)
        source = problem.source
        for item in self.once():
            vectors = source.backbone.embeddings[list(item.ids)][None]
            rows = [
                source.backbone.label_logits(
                    vectors, source.validation.take(torch.tensor([row])), source.label_ids
                )[0, 0]
                for row in range(len(source.validation))
            ]
            logits = torch.stack(rows)
            gold = source.validation.gold.tolist()
            predicted = logits.argmax(-1).tolist()
            expected = metrics.compute(problem.metric, gold, predicted, logits.shape[-1])
            assert item.validation == pytest.approx(expected, abs=1e-9)
            if item.logits is not None:
                torch.testing.assert_close(item.logits, logits, atol=1e-4, rtol=1e-4)

    def test_a_replica_does_not_depend_on_the_stack(self) -> None:
        """Searched alone, a replica ends where it ends among others."""
        for replica, stacked in zip(self.replicas(), self.once(), strict=True):
            (alone,) = self.found([replica])
            assert (alone.ids, alone.step) == (stacked.ids, stacked.step)
            assert alone.validation == stacked.validation
            assert len(alone.curve) == len(stacked.curve)

    def test_costs_are_what_was_read(self) -> None:
        """Rows and tokens of a replica alone; what is read of the final prompt is not part of it.

        Among others it costs what it costs alone, whoever reads a prompt first.
        """
        problem = self.problem(self.settings)
        home = problem.source.backbone
        spoken_tokens = len(home.begin) + self.settings.prompt_length - 1
        for replica, stacked in zip(self.replicas(), self.once(), strict=True):
            with rows_read() as read:

                def spoken(*args: Any, read: Reading = read) -> torch.Tensor:
                    rows = read[home.alias]
                    rows.forward, rows.backward = rows.forward + 1, rows.backward + 1
                    rows.tokens += spoken_tokens
                    return fluency_loss(*args)

                with patch.object(descent, "fluency_loss", spoken):
                    (alone,) = self.found([replica])
            cost, rows = alone.cost, read[home.alias]
            assert cost == stacked.cost
            unpaid = self.told * VALIDATION_ROWS
            assert cost.target_forward_rows == rows.forward - unpaid
            assert cost.target_backward_rows == rows.backward
            lengths = int(problem.source.validation.lengths.sum())
            assert cost.target_forward_tokens == rows.tokens - self.told * lengths
            others = sum(rows.forward for alias, rows in read.items() if alias != home.alias)
            assert cost.source_rows == others
            assert cost.target_labels <= TRAIN_ROWS + VALIDATION_ROWS
            assert (cost.access == "gradients") == (rows.backward > 0)

    def test_reproducible_whatever_the_global_generator(self) -> None:
        """The same search twice, with another state of torch's own generator."""
        first = self.once()
        torch.manual_seed(2)
        second = self.found(self.replicas())
        for one, other in zip(first, second, strict=True):
            assert (one.ids, one.step, one.validation) == (other.ids, other.step, other.validation)

    def test_one_allowed_word_leaves_no_choice(self) -> None:
        """The prompt is that word over and over."""
        word = words_of(1, 3)
        (found,) = self.found([HardReplica(0, word, self.evaluator)])
        assert found.ids == (int(word),) * self.settings.prompt_length

    def test_progress_is_told(self) -> None:
        """Steps rise to the last one."""
        told: list[tuple[int, int]] = []
        self.found(self.replicas()[:1], progress=lambda step, steps: told.append((step, steps)))
        steps = [step for step, _ in told]
        assert steps == sorted(steps)
        assert told[-1][0] == told[-1][1]
        assert len({total for _, total in told}) == 1

    def test_the_best_of_all_prompts_is_found(self) -> None:
        """By brute force over all prompts of two of six words, with some seed of four."""
        if self.thorough is None:
            pytest.skip("a method that does not look for the best prompt")
        settings = replace(self.thorough, prompt_length=2)
        problem = sample_problem(2, same=True)
        source = problem.source
        allowed = torch.tensor(sorted(source.backbone.words[word] for word in TINY_WORDS))
        prompts = torch.tensor(list(itertools.product(allowed.tolist(), repeat=2)))
        vectors = source.backbone.embeddings[prompts]
        logits = source.backbone.split_logits(source.validation, source.label_ids, vectors)
        gold = source.validation.gold
        values = scores(logits, gold, problem.metric)
        losses = mean_loss(logits, gold).tolist()
        ranked = sorted(range(len(prompts)), key=lambda number: (-values[number], losses[number]))
        replicas = [HardReplica(seed, allowed, self.evaluator) for seed in range(4)]
        found = search_of(self.settings)(problem, replicas, settings)
        best = tuple(prompts[ranked[0]].tolist())
        assert best in [item.ids for item in found]
        middle = values[ranked[len(ranked) // 2]]
        assert all(item.validation >= middle for item in found), "no seed ends among the worse half"

    def test_registered_with_settings_that_survive_a_cell(self) -> None:
        """The name leads to the dataclass of the settings, and their stored form gives them back.

        Settings say that the method is one of hard prompts.
        """
        cls = METHODS[self.method]
        assert type(self.settings) is cls
        assert issubclass(cls, HardSettings)
        assert from_mapping(cls, stored(self.settings)) == self.settings
        assert cls.family == "hard"
