"""Small fixed jobs through the real code, whose work is counted."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import torch

from sweep.planning.plan import make_plan, running_order
from sweep.spec.spec import parse_spec
from trainables.backbones import Backbone, Encoded, Layout, load_backbone
from trainables.backbones.loading import resident
from trainables.core.seeds import initial_prompt
from trainables.core.settings import SoftSettings, TransferSettings
from trainables.core.settings.pez import PezSettings
from trainables.core.weight import Weight
from trainables.hard.methods.pez import search
from trainables.hard.problem import HardProblem, HardReplica, TaskModel
from trainables.models.names import resolve_model
from trainables.packs.pack import run_pack
from trainables.soft.tuning import Replica, Source, tune
from trainables.tasks import load_task
from trainables.testing.work import Work, counted
from trainables.transfer import Problem, Space, solve
from trainables.words.relative import Grams, gram_matrices, normalised_anchors
from trainables.words.vocabulary import common_vocabulary

SOURCES, TARGET, TASK = ("pocket-bert", "pocket-gpt2"), "pocket-llama", "mini/topics"
LENGTH = 4
REPLICAS = [
    Replica(seed, Weight.of(weight)) for weight in (0.0, 0.5, "annealing") for seed in (0, 1)
]
SOFT = SoftSettings(steps=1, evaluations=1, prompt_length=LENGTH, batch_size=8)
PEZ = PezSettings(steps=1, evaluations=1, prompt_length=LENGTH, batch_size=8, vocabulary="all")


def backbone(name: str) -> Backbone:
    """A resident model."""
    return load_backbone(resolve_model(name))


@cache
def read(name: str, split: str, rows: int | None = None) -> Encoded:
    """A split of the task as a model reads it behind a prompt."""
    items = load_task(TASK).rows(split)[:rows]
    texts, gold = [row.content for row in items], [row.label for row in items]
    return backbone(name).read(texts, gold, Layout(LENGTH))


def weights_of(name: str) -> int:
    """Weights of a model's layers, each of which multiplies every token once."""
    body = backbone(name).family.model.base_model
    return sum(
        weight.numel()
        for key, weight in body.named_parameters()
        if weight.ndim > 1 and not any(part in key for part in ("embed", "wte", "wpe"))
    )


def labels(name: str) -> torch.Tensor:
    """Ids of the task's label words."""
    return backbone(name).labels(load_task(TASK).label_words, TASK)


def source(name: str) -> Source:
    """A model with the task, few validation rows."""
    train, validation = read(name, "train"), read(name, "validation", 16)
    return Source(backbone(name), name, labels(name), train, validation)


@cache
def grams() -> Grams:
    """Gram matrices over the two sources and the target."""
    models = [backbone(name) for name in (*SOURCES, TARGET)]
    return gram_matrices(normalised_anchors(models, common_vocabulary(models)), torch.float64)


def _beyond(long: Work, short: Work) -> Work:
    """What the longer job has done more: its further steps alone."""
    return Work(
        long.needed - short.needed,
        long.read - short.read,
        long.passes - short.passes,
        long.flops - short.flops,
    )


def tuning(*names: str, replicas: Sequence[Replica] = REPLICAS) -> Work:
    """Two steps of tuning."""
    found, sources = (
        [],
        [source(name) for name in names],
    )  # loaded, and asked, before anything counts
    for steps in (2, 4):
        settings = replace(SOFT, steps=steps)
        with counted() as work:
            tune(sources, replicas, settings, _among(names), "accuracy")
        found.append(work)
    return _beyond(found[1], found[0])


def _among(names: Sequence[str]) -> Grams:
    places = [(*SOURCES, TARGET).index(name) for name in names]
    return {
        (a, b): grams()[one, other].float()
        for a, one in enumerate(places)
        for b, other in enumerate(places)
    }


def searching(name: str) -> Work:
    """Two steps of PEZ."""
    ids = torch.arange(300, 2300)
    found = []
    for steps in (2, 4):
        item = source(name)
        reading = TaskModel(item.backbone, item.label_ids, item.train, item.validation)
        problem = HardProblem(reading, tuple(item.label_ids.tolist()), "accuracy")
        stack = [HardReplica(replica.seed, ids) for replica in REPLICAS]
        with counted() as work:
            search(problem, stack, replace(PEZ, steps=steps))
        found.append(work)
    return _beyond(found[1], found[0])


def evaluating(name: str, prompts: int) -> Work:
    """All test rows behind some prompts."""
    model = backbone(name)
    vectors = torch.stack([initial_prompt(LENGTH, model.width, 1.0, n) for n in range(prompts)])
    with counted() as work:
        model.split_logits(read(name, "test"), labels(name), vectors)
    return work


def carrying(settings: TransferSettings, prompts: int = 4) -> Work:
    """Prompts of both sources carried to the target."""
    models = [backbone(name) for name in (*SOURCES, TARGET)]
    words = common_vocabulary(models).ids
    problem = Problem(
        prompts=tuple(
            torch.stack([initial_prompt(LENGTH, model.width, 1.0, n) for n in range(prompts)])
            for model in models[:-1]
        ),
        spaces=tuple(
            Space(model.scale, model.alias, model.embeddings, lambda ids=ids: ids)  # type: ignore[misc]
            for model, ids in zip(models, words, strict=True)
        ),
        grams=grams(),
        seeds=tuple(range(prompts)),
        norm="match",
    )
    with counted() as work:
        solve(problem, settings)
    return work


def loading() -> int:
    """Models loaded for a whole small sweep in one process."""
    method = {"lambda": [0, 0.5], "steps": 1, "evaluations": 1, "batch_size": 2, "text_tokens": 8}
    spec = {
        "name": "work",
        "sources": list(SOURCES),
        "targets": [TARGET],
        "tasks": [TASK, "mini/reviews"],
        "methods": {"soft": method},
        "direct": False,
    }
    plan = make_plan(parse_spec(spec))
    resident.clear()
    loads, known = 0.0, dict[str, np.ndarray]()
    for pack in running_order(plan.packs):
        outcome = run_pack(pack, {name: known[name] for name in pack.needs})
        known |= outcome.prompts
        loads += outcome.cost["model_loads"]
    return int(loads)
