"""Problems with a target to teach: tiny models, few texts, lessons made by hand."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import torch

from tests.trainables.tiny import pristine, tiny
from trainables.backbones import Backbone, Encoded, Layout
from trainables.core.frontier import Cost
from trainables.transfer import Lesson, Problem, Space, TargetTask
from trainables.words.relative import gram_matrices, normalised_anchors
from trainables.words.vocabulary import common_vocabulary

TEXTS = [
    "a fine day",
    "the worst of it all",
    "good",
    "not bad , not good",
    "rain again and again , all day",
    "why",
    "it is a good film",
    "the best",
    "no one likes a bad film",
    "well , well",
]
GOLD = [1, 0, 1, 1, 0, 0, 1, 1, 0, 1]
LABELS = ("bad", "good", "yes")
LAYOUT = Layout(prompt_length=2)
SPLITS = {"validation": TEXTS[:4], "test": TEXTS[3:]}
HELD = 2
TEACHING = Cost(unlabelled_texts=8, source_rows=16, access="none")
"""What a lesson took."""


def lesson_for(target: Backbone, replicas: int = 3, texts: int = 8) -> Lesson:
    """Other texts and other probabilities for every replica."""
    draw = torch.Generator().manual_seed(7)
    rows = torch.stack(
        [torch.randperm(len(TEXTS), generator=draw)[:texts] for _ in range(replicas)]
    )
    soft = torch.randn(replicas, texts, len(LABELS), generator=draw).mul(2).softmax(-1)
    read = [target.read(TEXTS, [-1] * len(TEXTS), layout) for layout in (LAYOUT, Layout())]
    return Lesson(read[0], read[1], rows, soft, HELD, [TEACHING] * replicas)


@cache
def _parts(sources: int, target: str) -> tuple[list[Backbone], Problem]:
    others = [name for name in ("bert", "roberta", "llama", "gpt2") if name != target]
    models = [tiny(name) for name in (*others[:sources], target)]
    shared = common_vocabulary(models)
    spaces = tuple(
        Space(model.scale, model.alias, model.embeddings, lambda ids=ids: ids)
        for model, ids in zip(models, shared.ids, strict=True)
    )
    draw = torch.Generator().manual_seed(0)
    problem = Problem(
        prompts=tuple(torch.randn(3, 2, model.width, generator=draw) for model in models[:-1]),
        spaces=spaces,
        grams=gram_matrices(normalised_anchors(models, shared), torch.float64),
        seeds=(0, 1, 2),
    )
    return models, problem


def taught_problem(
    sources: int = 1,
    target: str = "bert",
    change: Callable[[Lesson], Lesson] = lambda lesson: lesson,
    train: Callable[[Encoded], Encoded] = lambda data: data,
    said: Callable[[str, bool], torch.Tensor] | None = None,
) -> Problem:
    """Three replicas of two vectors.

    Args:
        sources: S, up to three.
        target: a tiny model.
        change: of the lesson.
        train: of the training split.
        said: what the sources say of a split.
    """
    models, problem = _parts(sources, target)
    backbone = models[-1]
    lesson = change(lesson_for(backbone))
    task = TargetTask(
        backbone,
        backbone.labels(LABELS, "t"),
        train(backbone.read(TEXTS, GOLD, LAYOUT)),
        plain=lambda name: backbone.read(SPLITS[name], [0] * len(SPLITS[name]), Layout()),
        lesson=lambda settings: lesson,
        sources=said,
    )
    return replace(problem, target_task=lambda: task)


def literal_logits(
    name: str, prompt: torch.Tensor, data: Encoded, row: int, label_ids: torch.Tensor
) -> torch.Tensor:
    """Label-word logits [C] of one text behind one prompt [m, d], by the library alone."""
    model = pristine(name)
    table = model.get_input_embeddings().weight.detach()
    length, slot = int(data.lengths[row]), int(data.slots[row])
    embeds = table[data.ids[row, :length]]
    embeds = torch.cat([embeds[:slot], prompt, embeds[slot + len(prompt) :]])
    logits: torch.Tensor = model(inputs_embeds=embeds[None]).logits
    return logits[0, int(data.answers[row]), label_ids]


def late_mean(walked: list[torch.Tensor]) -> torch.Tensor:
    """Polynomial-decay averaging with η = 3 written out: the weight of every step by itself."""
    steps = len(walked)
    weights = [
        4
        / (step + 3)
        * math.prod((later - 1) / (later + 3) for later in range(step + 1, steps + 1))
        for step in range(1, steps + 1)
    ]
    assert abs(sum(weights) - 1.0) < 1e-9
    found = [weight * prompt for weight, prompt in zip(weights, walked, strict=True)]
    return torch.stack(found).sum(0)
