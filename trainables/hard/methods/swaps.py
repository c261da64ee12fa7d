"""The search of AutoPrompt: one token of the prompt exchanged at a time (HotFlip).

A round, for each replica: the loss on ``accumulation`` batches gives the gradient g at the prompt's
embeddings; at one random position i, exchanging token u for w changes the loss to first order by
(E_w - E_u) · g_i, so that the allowed w with the highest -E_w · g_i are the candidates (Shin et al.
2020, equation 2). They and the prompt as it is are tried on as many fresh batches, and the best of
them goes on. Every new prompt is offered to the race, who keeps the best on validation.

Shapes: R replicas, K candidates, m prompt tokens, d embedding width, B = accumulation x batch_size
examples a half round, C classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from trainables.backbones import reads_of
from trainables.compute.memory import in_passes
from trainables.core.frontier import Cost
from trainables.core.seeds import seeded
from trainables.core.settings.autoprompt import AutoPromptSettings
from trainables.errors import InputError
from trainables.hard.methods.random_words import random_prompts
from trainables.hard.problem import HardFound, HardReplica, Progress, Rungs, TaskModel
from trainables.hard.racing import Race
from trainables.hard.scorer import Scorer, gradient_cost
from trainables.scoring.evaluate import finite
from trainables.scoring.gradient import PassGradient
from trainables.scoring.losses import rows_behind
from trainables.soft.tuning import batch_order

GRADIENT_TOKENS = 8192
"""Tokens of a forward pass with gradient."""


def _negative_loss(logits: torch.Tensor, gold: torch.Tensor) -> torch.Tensor:
    loss = F.cross_entropy(logits.flatten(0, -2), gold.flatten(), reduction="none")
    return -loss.view(gold.shape).mean(-1)


def _accuracy(logits: torch.Tensor, gold: torch.Tensor) -> torch.Tensor:
    return (logits.argmax(-1) == gold).float().mean(-1)


SCORES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "loss": _negative_loss,
    "accuracy": _accuracy,
}
"""Scores [P], higher is better, of logits [P, B, C] against [P, B], by the setting ``score``."""


@dataclass(frozen=True)
class _Pace:
    """One draw of examples a round: half for the gradient, half to try candidates on."""

    batch_size: int
    steps: int

    def steps_for(self, rows: int) -> int:
        return self.steps


def swap_search(
    source: TaskModel,
    replicas: Sequence[HardReplica],
    settings: AutoPromptSettings,
    trial: Scorer,
    race: Race,
    progress: Progress | None = None,
    rungs: Rungs | None = None,
) -> list[HardFound]:
    """Search all replicas as one stack.

    Args:
        source: the model whose gradient proposes.
        replicas: seeds and allowed tokens; those of one seed see the same batches and positions.
        settings: rounds, batches, candidates.
        trial: the model that tries candidates on the training split.
        race: chooses among all prompts there were, the start included.
        progress: called with (step, steps) after each round.
        rungs: asked after each round but the last which replicas are to stop.

    Returns:
        Per replica, what the race kept. A replica whose gradient is no longer finite stays as it
        is and is marked; the others go on undisturbed.

    Raises:
        InputError: a start does not fit the model that tries candidates.
    """
    ids = random_prompts(replicas, settings.prompt_length)
    _check_start(ids, trial)
    race.offer(0, ids)
    failed: dict[int, int] = {}
    positions = _positions(replicas, settings)
    stopped: dict[int, int] = {}
    members = torch.arange(len(replicas))
    draws = _draws(len(source.train), replicas, settings)
    tried = torch.zeros(draws.shape[0], len(replicas), dtype=torch.long)
    for step, (rows, fresh) in enumerate(draws, 1):
        left = [replicas[member] for member in members.tolist()]
        gradient = prompt_gradient(source, ids[members], rows[members])
        for broken in (~torch.isfinite(gradient).flatten(1).all(1)).nonzero().flatten().tolist():
            failed.setdefault(int(members[broken]), step)
        at = positions[step - 1, members]
        proposals = propose(source, left, ids[members], gradient, at, settings)
        scores, tried[step - 1, members] = _try(
            trial, proposals, fresh[members], SCORES[settings.score]
        )
        changed = []
        for replica, prompts, values in zip(members.tolist(), proposals, scores, strict=True):
            best = int(values.argmax())
            if replica not in failed and values[best] > values[0]:
                ids[replica] = prompts[best]
                changed.append(replica)
        if changed:
            race.offer(step, ids[changed], changed)
        if rungs and step < settings.steps:
            members = torch.tensor(race.staying(step, members.tolist(), rungs, stopped))
        if progress:
            progress(step, settings.steps)
        if not len(members):
            break
    found = [race.found(replica, settings.steps) for replica in range(len(replicas))]
    for replica, item in enumerate(found):
        item.failed, item.stopped = failed.get(replica), stopped.get(replica)
        item.cost += _spent(source, trial, draws[:, :, replica], tried[:, replica])
    return found


def _spent(source: TaskModel, trial: Scorer, rows: torch.Tensor, tried: torch.Tensor) -> Cost:
    """What all rounds took one replica.

    Args:
        source: the model whose gradient was taken.
        trial: the model that candidates were tried on.
        rows: training examples [T, 2, B], for the gradient and to try on.
        tried: how many prompts were tried in each round [T].
    """
    cost = gradient_cost(source, rows[:, 0])
    lengths = source.train.lengths.cpu()[rows[:, 1]].sum(1)
    reads = reads_of(trial.reading.label_ids)
    count, tokens = reads.of(int(tried.sum()) * rows.shape[2], int((tried * lengths).sum()))
    if trial.reading.backbone is source.backbone:
        cost += Cost(count, 0, tokens, access="labels")
    else:
        cost += Cost(source_rows=count)
    return replace(cost, target_labels=len(rows.unique()))


def prompt_gradient(source: TaskModel, ids: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Gradient [R, m, d] of each replica's mean loss over the label words, at its embeddings.

    Args:
        source: the model and its training split.
        ids: prompts [R, m].
        rows: training examples of each replica [R, B].
    """
    backbone = source.backbone
    key = ("gradient", backbone.alias, str(backbone.device))
    vectors = backbone.embeddings[ids.to(backbone.device)].float()
    shares = torch.full((rows.numel(),), 1.0 / rows.shape[1])
    reads = reads_of(source.label_ids).rows
    loss = rows_behind(backbone, source.label_ids)
    passes = PassGradient(backbone, source.train, loss, reads=reads)
    flat = rows.flatten()
    return in_passes(key, GRADIENT_TOKENS, lambda budget: passes(vectors, flat, shares, budget)[1])


def propose(
    source: TaskModel,
    replicas: Sequence[HardReplica],
    ids: torch.Tensor,
    gradient: torch.Tensor,
    positions: torch.Tensor,
    settings: AutoPromptSettings,
) -> list[torch.Tensor]:
    """Every replica's prompt as it is, and behind it those with the K best exchanges in one place.

    Args:
        source: the model.
        replicas: what each may use.
        ids: prompts as they are [R, m].
        gradient: of the loss at their embeddings [R, m, d].
        positions: which token to exchange [R].

    Returns:
        Per replica, prompts [1 + K, m]: first the present one, then by the estimated loss, equal
        ones in the order of ``allowed``. Fewer where fewer are allowed.
    """
    every = torch.arange(len(replicas))
    slopes = gradient[every, positions]
    embeddings = source.backbone.embeddings
    estimates = (embeddings @ slopes.to(embeddings.dtype).T).float().cpu()
    proposals = []
    for replica, item in enumerate(replicas):
        at = int(positions[replica])
        allowed = item.allowed.cpu()
        others = allowed[allowed != ids[replica, at]]
        order = torch.argsort(estimates[others, replica], stable=True)
        chosen = others[order[: settings.candidates]]
        prompts = ids[replica].repeat(len(chosen) + 1, 1)
        prompts[1:, at] = chosen
        proposals.append(prompts)
    return proposals


def _try(
    trial: Scorer,
    proposals: Sequence[torch.Tensor],
    rows: torch.Tensor,
    score: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Per replica, the score of its prompts on its rows [R, B], and how many were read [R].

    -inf where one does not fit, or gives logits that are not finite.
    """
    listed = [(place, tuple(ids)) for place, mine in enumerate(proposals) for ids in mine.tolist()]
    fitting = [number for number, (_, ids) in enumerate(listed) if trial.fits(ids)]
    owners = torch.tensor([listed[number][0] for number in fitting])
    logits = trial.own_logits([listed[number][1] for number in fitting], rows[owners]).cpu()
    scores = torch.full((len(listed),), -torch.inf)
    found = score(logits, trial.reading.train.gold.cpu()[rows[owners]])
    scores[fitting] = found.masked_fill(~finite(logits), -torch.inf)
    return list(scores.split([len(mine) for mine in proposals])), owners.bincount(
        minlength=len(proposals)
    )


def _draws(
    rows: int, replicas: Sequence[HardReplica], settings: AutoPromptSettings
) -> torch.Tensor:
    """Training examples [T, 2, R, B]: of every round, those for the gradient and the fresh ones."""
    half = settings.accumulation * settings.batch_size
    pace = _Pace(2 * half, settings.steps)
    orders = {seed: batch_order(rows, pace, seed) for seed in {item.seed for item in replicas}}
    stacked = torch.stack([orders[item.seed] for item in replicas], dim=1)
    return stacked.view(settings.steps, len(replicas), 2, half).transpose(1, 2)


def _positions(replicas: Sequence[HardReplica], settings: AutoPromptSettings) -> torch.Tensor:
    """Position of every round and replica [T, R]."""
    drawn = [
        torch.randint(
            settings.prompt_length, (settings.steps,), generator=seeded("position", item.seed)
        )
        for item in replicas
    ]
    return torch.stack(drawn, dim=1)


def _check_start(ids: torch.Tensor, trial: Scorer) -> None:
    backbone = trial.reading.backbone
    for prompt in ids.tolist():
        if not trial.fits(tuple(prompt)):
            raise InputError(
                f"text_tokens: model {backbone.alias!r} has no room for a prompt of"
                f" {len(trial.tokens(tuple(prompt)))} tokens before texts of {trial.longest};"
                f" allowed: together at most {backbone.family.max_tokens}, so cut texts shorter"
            )
