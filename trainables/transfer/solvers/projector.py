"""A projector trained through the target (Su et al., NAACL 2022): the costly reference."""

import itertools
import math

import torch
import torch.nn.functional as F

from trainables.backbones import reads_of
from trainables.core.frontier import Cost
from trainables.core.seeds import chained_passes, seeded
from trainables.core.settings import TransferSettings
from trainables.transfer.problem import Problem, TargetTask
from trainables.transfer.reading import Meter
from trainables.transfer.solver import Found, Solver

HIDDEN = 768
BATCH = 16
CHECKPOINTS = 10

Network = list[torch.Tensor]
"""R networks side by side: W₁ [R, m·d_s, h], b₁ [R, 1, h], W₂ [R, h, m·d_t], b₂ [R, 1, m·d_t]."""


class Projector(Solver):
    """p_t = W₂ leaky_relu(W₁ p_s + b₁) + b₂ on the flattened prompt, tuned with target gradients.

    "On Transferability of Prompt Tuning for Natural Language Processing", cross-model transfer: the
    network is trained by the task's loss on the target's labelled training split, the target itself
    frozen. It is no transfer in the sense of the other solvers but says what labels and
    back-propagation would buy. Here each replica has a network of its own for each source (the mean
    of the images is the prompt), so that a result does not depend on what is computed beside it;
    the norm of the transfer is part of what is trained. Adam; 10 evenly spaced candidates, of which
    the last is taken without selection.
    """

    trains_on_target = True

    def solve(self, problem: Problem, settings: TransferSettings) -> Found:
        """Candidates along the training."""
        if problem.target_task is None:
            raise ValueError("the solver projector needs the target's training split")
        task = problem.target_task()
        steps, rate = settings.steps or 1, settings.learning_rate or 0.0
        networks = [self._network(problem, source) for source in range(problem.count)]
        optimiser = torch.optim.Adam([weight for one in networks for weight in one], lr=rate)
        orders = {
            seed: batch_order(len(task.train), steps, seed) for seed in sorted(set(problem.seeds))
        }
        order = torch.stack([orders[seed] for seed in problem.seeds], dim=1)
        marks = {round((number + 1) * steps / CHECKPOINTS) for number in range(CHECKPOINTS)}
        kept: dict[int, torch.Tensor] = {}
        for step in range(1, steps + 1):
            loss = task_loss(problem.finish(project(problem, networks)), task, order[step - 1])
            optimiser.zero_grad()
            # A sum over replicas: each gets the gradient it would get alone.
            loss.sum().backward()
            optimiser.step()
            if step in marks:
                with torch.no_grad():
                    kept[step] = project(problem, networks)
        labels = tuple(float(step) for step in kept)
        costs = [spent(task, order[:step]) for step in kept]
        return Found(torch.stack(list(kept.values())), labels, len(labels) - 1, costs)

    def footprint(self, problem: Problem, settings: TransferSettings) -> int:
        """The networks with gradient and Adam's two moments; activations come on top."""
        del settings
        _, tokens, width = problem.shape
        inputs = sum(prompt.shape[-1] for prompt in problem.prompts)
        return 4 * HIDDEN * tokens * (inputs + problem.count * width)

    @staticmethod
    def _network(problem: Problem, source: int) -> Network:
        """Networks of all replicas, uniform in ±1/√inputs of each layer as torch starts one."""
        _, tokens, width = problem.shape
        sizes = (tokens * problem.prompts[source].shape[-1], HIDDEN, tokens * width)
        drawn: list[list[torch.Tensor]] = []
        for seed in problem.seeds:
            generator = seeded("transfer", "projector", problem.spaces[source].key, seed)
            drawn.append([])
            for rows, columns in itertools.pairwise(sizes):
                for shape in ((rows, columns), (1, columns)):
                    drawn[-1].append(
                        (2 * torch.rand(shape, generator=generator) - 1) / math.sqrt(rows)
                    )
        device = problem.prompts[source].device
        return [torch.stack(part).to(device).requires_grad_() for part in zip(*drawn, strict=True)]


def project(problem: Problem, networks: list[Network]) -> torch.Tensor:
    """Prompts [R, m, d_t]: the mean over sources of their prompts' images."""
    images = []
    for prompt, (first, first_bias, second, second_bias) in zip(
        problem.prompts, networks, strict=True
    ):
        hidden = F.leaky_relu(prompt.float().flatten(1)[:, None] @ first + first_bias)
        images.append((hidden @ second + second_bias).view(problem.shape))
    return torch.stack(images).mean(0)


def task_loss(prompts: torch.Tensor, task: TargetTask, rows: torch.Tensor) -> torch.Tensor:
    """Label-word cross-entropy [R] of prompts [R, m, d_t] on training examples [R, B]."""
    replicas, size = rows.shape
    rows = rows.to(prompts.device)
    owner = torch.arange(replicas, device=rows.device).repeat_interleave(size)
    batch = task.train.take(rows.flatten())
    logits = task.backbone.row_logits(batch, task.label_ids, prompts, owner)
    return F.cross_entropy(logits, batch.gold, reduction="none").view(replicas, size).mean(1)


def spent(task: TargetTask, order: torch.Tensor) -> list[Cost]:
    """What training on examples [T, R, B], pass by pass over the split, has taken each replica."""
    rows = order.transpose(0, 1).flatten(1)
    read = Cost(target_labels=min(rows.shape[1], len(task.train)))
    meter = Meter([read] * len(rows))
    reads = reads_of(task.label_ids)
    meter.add(task.train, rows, backward=True, access="gradients", reads=reads)
    return meter.costs


def batch_order(rows: int, steps: int, seed: int) -> torch.Tensor:
    """Examples of every step [T, B]: shuffled passes over the training split, chained."""
    generator = seeded("transfer", "projector", "order", seed)
    return chained_passes(rows, steps, BATCH, generator)
