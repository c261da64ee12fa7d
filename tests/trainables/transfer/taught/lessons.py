"""A tiny target with a lesson: what packs hand to a solver, by hand."""

from collections.abc import Callable
from dataclasses import replace

import torch

from tests.trainables.tiny import tiny
from trainables.backbones import Backbone, Layout
from trainables.core.frontier import Cost
from trainables.transfer import Lesson, Problem, Space, TargetTask
from trainables.words.relative import gram_matrices, normalised_anchors
from trainables.words.vocabulary import common_vocabulary

SENTENCES = [
    "a fine day",
    "the worst of it all",
    "good",
    "not bad , not good",
    "rain again",
    "why",
    "the film was very good",
    "no",
    "we won the game",
    "she said nothing at all",
    "bad news for all of us",
    "yes , a good one",
]
WORDS = ("good", "bad", "yes")
BEGUN = Cost(unlabelled_texts=1, source_rows=7)
LENGTH = 2


def a_problem(
    target: str = "gpt2",
    sources: int = 1,
    *,
    soft: torch.Tensor | None = None,
    rows: torch.Tensor | None = None,
    said: Callable[[str, bool], torch.Tensor] | None = None,
) -> Problem:
    """Three replicas, each with texts of its own and a teacher of its own.

    Args:
        target: a tiny model.
        sources: S.
        soft: the lesson's probabilities [3, U, 3]; random ones by default.
        rows: the lesson's texts [3, U]; the first two replicas share theirs by default.
        said: what the sources say.
    """
    models = [*(tiny(name) for name in ("bert", "roberta", "llama")[:sources]), tiny(target)]
    shared = common_vocabulary(models)
    spaces = tuple(
        Space(model.scale, model.alias, model.embeddings, lambda ids=ids: ids)
        for model, ids in zip(models, shared.ids, strict=True)
    )
    draw = torch.Generator().manual_seed(0)
    if rows is None:
        one, other = (torch.randperm(len(SENTENCES), generator=draw)[:8] for _ in range(2))
        rows = torch.stack([one, one, other])
    if soft is None:
        soft = torch.randn(*rows.shape, len(WORDS), generator=draw).softmax(-1)
    task = a_task(models[-1], rows, soft, said)
    return Problem(
        prompts=tuple(torch.randn(3, LENGTH, model.width, generator=draw) for model in models[:-1]),
        spaces=spaces,
        grams=gram_matrices(normalised_anchors(models, shared), torch.float64),
        seeds=(0, 1, 2),
        target_task=lambda: task,
    )


def a_task(
    target: Backbone,
    rows: torch.Tensor,
    soft: torch.Tensor,
    said: Callable[[str, bool], torch.Tensor] | None = None,
) -> TargetTask:
    """The target with its data, and a lesson of these texts and probabilities."""
    unknown = [-1] * len(SENTENCES)
    held = max(1, rows.shape[1] // 4)
    lesson = Lesson(
        texts=target.read(SENTENCES, unknown, Layout(LENGTH)),
        plain=target.read(SENTENCES, unknown, Layout()),
        rows=rows,
        soft=soft,
        held=held,
        costs=[replace(BEGUN, unlabelled_texts=rows.shape[1])] * len(rows),
    )
    splits = {"validation": SENTENCES[:5], "test": SENTENCES[4:]}
    gold = [number % len(WORDS) for number in range(len(SENTENCES))]
    return TargetTask(
        backbone=target,
        label_ids=target.labels(WORDS, "t"),
        train=target.read(SENTENCES, gold, Layout(LENGTH)),
        plain=lambda name: target.read(splits[name], [0] * len(splits[name]), Layout()),
        lesson=lambda settings: lesson,
        sources=said,
    )
