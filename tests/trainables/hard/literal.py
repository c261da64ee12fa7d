"""PEZ and FluentPrompt read line by line: one prompt, one tensor, the library's own model call.

Slow on purpose: every step normalises the whole table, every forward pass works out the logits of
the whole vocabulary at every position. The searches must give the same prompts.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
import transformers

from trainables.backbones import Backbone, Encoded
from trainables.core.seeds import seeded
from trainables.core.settings.descent import DescentSettings
from trainables.core.settings.fluentprompt import FluentPromptSettings
from trainables.core.settings.pez import PezSettings
from trainables.hard.problem import HardProblem, HardReplica
from trainables.soft.tuning import batch_order


def all_logits(backbone: Backbone, batch: Encoded, prompt: torch.Tensor) -> torch.Tensor:
    """Logits [B, L, V] of rows behind one prompt [m, d], all from one call of the model."""
    table = backbone.family.model.get_input_embeddings().weight
    rows = []
    for ids, slot in zip(batch.ids, batch.slots.tolist(), strict=True):
        rows.append(torch.cat([table[ids[:slot]], prompt, table[ids[slot + len(prompt) :]]]))
    index = torch.arange(batch.ids.shape[1])
    result = backbone.family.model(
        inputs_embeds=torch.stack(rows),
        attention_mask=(index[None, :] < batch.lengths[:, None]).long(),
        position_ids=(index + backbone.family.first_position)[None, :],
    )
    logits: torch.Tensor = result.logits[..., : backbone.rows]
    return logits


def literal_loss(
    problem: HardProblem, batch: Encoded, prompt: torch.Tensor, ids: torch.Tensor, weight: float
) -> torch.Tensor:
    """Label loss and, with ``weight``, the next-token loss on the prompt's positions."""
    logits = all_logits(problem.source.backbone, batch, prompt)
    answers = logits[torch.arange(len(batch)), batch.answers]
    label_loss = F.cross_entropy(answers[:, problem.source.label_ids], batch.gold)
    if not weight:
        return label_loss
    fluency = []
    for row, slot in zip(logits, batch.slots.tolist(), strict=True):
        for place in range(len(prompt) - 1):
            fluency.append(F.cross_entropy(row[slot + place], ids[place + 1]))
    return weight * torch.stack(fluency).mean() + (1 - weight) * label_loss


def project(table: torch.Tensor, allowed: torch.Tensor, prompt: torch.Tensor, how: str) -> Any:
    """Nearest allowed ids [m]."""
    rows = table[allowed]
    if how == "cosine":
        near = F.normalize(prompt, dim=-1) @ F.normalize(rows, dim=-1).T
    else:
        near = -torch.cdist(prompt, rows, compute_mode="donot_use_mm_for_euclid_dist")
    return allowed[near.argmax(-1)]


def first_ids(problem: HardProblem, replica: HardReplica, settings: DescentSettings) -> Any:
    """The class words over and over, projected."""
    table = problem.source.backbone.embeddings
    words = [
        problem.class_ids[place % len(problem.class_ids)] for place in range(settings.prompt_length)
    ]
    return project(table, replica.allowed, table[words], settings.projection)


def batches(
    problem: HardProblem, replica: HardReplica, settings: DescentSettings
) -> Iterator[Encoded]:
    order = batch_order(len(problem.source.train), settings, replica.seed)
    return (problem.source.train.take(examples) for examples in order)


def literal_pez(
    problem: HardProblem, replica: HardReplica, settings: PezSettings, released: bool
) -> list[tuple[int, ...]]:
    """The prompt after every step.

    ``released``: the control flow of the released code for text, where the copy that is restored
    before the step is itself taken from the projected prompt of the step before. Otherwise
    algorithm 1 as published.
    """
    table = problem.source.backbone.embeddings

    def nearest(prompt: torch.Tensor) -> Any:
        return project(table, replica.allowed, prompt, settings.projection)

    prompt = torch.nn.Parameter(table[first_ids(problem, replica, settings)].clone())
    optimiser: Any
    if settings.optimiser == "adafactor":
        optimiser = transformers.Adafactor(
            [prompt],
            lr=settings.learning_rate,
            relative_step=False,
            scale_parameter=False,
            warmup_init=False,
            weight_decay=settings.weight_decay,
        )
    else:
        optimiser = torch.optim.AdamW(
            [prompt], lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
    found = []
    for batch in batches(problem, replica, settings):
        copy = prompt.data.clone()
        ids = nearest(prompt.data)
        prompt.data = table[ids].clone()
        literal_loss(problem, batch, prompt, ids, settings.fluency).backward()
        prompt.data = copy
        if settings.clip_gradient is not None:
            torch.nn.utils.clip_grad_norm_([prompt], settings.clip_gradient)
        optimiser.step()
        optimiser.zero_grad()
        ids = nearest(prompt.data)
        found.append(tuple(ids.tolist()))
        if released:
            prompt.data = table[ids].clone()
    return found


def literal_fluentprompt(
    problem: HardProblem, replica: HardReplica, settings: FluentPromptSettings
) -> list[tuple[int, ...]]:
    """The prompt after every step of P ← Proj(P - η ∇L + √(2 η β_i) z)."""
    table = problem.source.backbone.embeddings
    noise = seeded("langevin", replica.seed)
    ids = first_ids(problem, replica, settings)
    found = []
    for step, batch in enumerate(batches(problem, replica, settings)):
        prompt = table[ids].clone().requires_grad_()
        loss = literal_loss(problem, batch, prompt, ids, settings.fluency)
        (gradient,) = torch.autograd.grad(loss, prompt)
        moved = prompt.detach() - settings.learning_rate * gradient
        if settings.noise:
            span = math.log(settings.beta_end) - math.log(settings.beta_start)
            beta = math.exp(math.log(settings.beta_start) + span * step / (settings.steps - 1))
            drawn = torch.randn(prompt.shape, generator=noise)
            moved = moved + math.sqrt(2 * settings.learning_rate * beta) * drawn
        ids = project(table, replica.allowed, moved, settings.projection)
        found.append(tuple(ids.tolist()))
    return found
