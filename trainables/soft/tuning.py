"""Joint soft-prompt tuning with a relative-geometry loss (paper A, section 3), stacked.

S frozen backbones are tuned together, one prompt each:

    L_pt = mean_j L_pt^j                                    (equation 6)
    L    = (1 - λ) L_pt + λ L_ra                            (equation 7, constant λ)
    L    = L_pt + η(t) L_ra,  η(t) = ½ (1 - cos(π t / T))   (equations 8 and 9, annealing)

Many *replicas* (seed x λ) are trained as one batch over the same backbones: their rows lie beside
each other in every forward pass, the losses are summed, and the optimiser takes each replica by
itself, so that each replica gets exactly the gradient it would get alone, with the dropout masks it
would meet alone (:mod:`trainables.compute.masks`).

Shapes: R replicas, m prompt tokens, d_j width of source j, B examples a step, C classes.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

import torch

from trainables.compute.optim import Optimiser, clip_replicas
from trainables.compute.passes import on_device
from trainables.core.registries import CHECKPOINTS, OPTIMISERS, SCHEDULES
from trainables.core.seeds import chained_passes, seeded
from trainables.core.settings import SoftSettings
from trainables.core.weight import INDEPENDENT, Weight
from trainables.scoring.evaluate import finite, mean_loss, scores
from trainables.soft.initialisation import Beginning, begin
from trainables.soft.parametrisation import Parametrisation, parametrisation_of
from trainables.soft.source import Source, TaskGradient, stack_loss
from trainables.soft.starts import OWN_DRAW, Begun
from trainables.words.relative import Grams, alignment_loss


@dataclass(frozen=True)
class Replica:
    """One prompt set of a stack: its seed, its weight λ and what it starts from."""

    seed: int
    weight: Weight
    begun: Begun = OWN_DRAW


@dataclass(frozen=True)
class Tuned:
    """What tuning gives back.

    Attributes:
        prompts: per source, [R, m, d_j] at each replica's best common step (or the last step).
        best_step: R steps, counted from 1; 0 is the start.
        steps: steps trained, T.
        alignment: R values of L_ra there (0 for a single source).
        validation: per source, validation logits [R, v, C] there, with the rival's beside them
            [R, v, C + 1] where the source asks for it.
        failed: replica to the step at which its loss was no longer finite.
        curve: one entry an evaluation: step, and of the replicas then in the stack their places
            and a value each of loss, alignment and validation.
        stopped: replica to the step after which it left the stack; what is said of it above is its
            best until then.
        unread: replica to the source, and the step, of the first evaluation in which its logits
            were not all finite.
    """

    prompts: list[torch.Tensor]
    best_step: list[int]
    steps: int
    alignment: list[float]
    validation: list[torch.Tensor]
    failed: dict[int, int]
    curve: list[dict[str, object]]
    stopped: dict[int, int]
    unread: dict[int, tuple[int, int]]


Rungs = Callable[[int, dict[int, list[float]]], Collection[int]]
"""Called after an evaluation with the step and, per replica still there, the validation metric on
each source at its best common step so far; says which replicas are to stop."""


def annealing(step: int, steps: int) -> float:
    """η of equation 9 at optimiser step t = 1..T."""
    return 0.5 * (1.0 - math.cos(math.pi * step / steps))


class Pace(Protocol):
    """What the order of examples depends on besides the seed."""

    @property
    def batch_size(self) -> int:
        """Examples a step."""

    def steps_for(self, rows: int) -> int:
        """Steps on a training split of ``rows`` examples."""


def batch_order(rows: int, settings: Pace, seed: int) -> torch.Tensor:
    """Examples of every step, [T, B]: whole shuffled passes over the training split, chained."""
    steps = settings.steps_for(rows)
    return chained_passes(rows, steps, settings.batch_size, seeded("order", seed))


def evaluation_steps(steps: int, settings: SoftSettings) -> set[int]:
    """After which of ``steps`` steps prompts are evaluated; 0 is the start."""
    count = min(settings.evaluations, steps)
    if settings.spacing == "even":
        return {round((number + 1) * steps / count) for number in range(count)}
    powers = range(count - 1)
    return {0, steps, *(round(steps ** (number / (count - 1))) for number in powers)}


def order_of(source: Source, replica: Replica, settings: SoftSettings) -> torch.Tensor:
    """Examples of every step of a replica on a source, [T, B]."""
    known = source.orders.get((replica.seed, replica.begun))
    return batch_order(len(source.train), settings, replica.seed) if known is None else known


def loss_weights(
    replicas: Sequence[Replica], step: int, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Equations 7 and 8: factors [R] of L_pt and of L_ra at step t = 1..T."""
    eta = annealing(step, steps)
    weights = [replica.weight.value for replica in replicas]
    keep = [1.0 if weight is None else 1.0 - weight for weight in weights]
    pull = [eta if weight is None else weight for weight in weights]
    return torch.tensor(keep), torch.tensor(pull)


def objective(
    gradients: Sequence[TaskGradient],
    prompts: Sequence[torch.Tensor],
    rows: torch.Tensor,
    grams: Grams,
    factors: tuple[torch.Tensor, torch.Tensor],
    step: int,
) -> torch.Tensor:
    """The loss [R] that a step descends; its gradient is put into each prompt's ``grad``.

    Args:
        gradients: of L_pt on each of S sources.
        prompts: per source [R, m, d_j].
        rows: training examples [R·B], each behind the prompt of its owner; on the CPU.
        factors: of L_pt and of L_ra, see :func:`loss_weights`.
        step: enters dropout masks.
    """
    keep, pull = (on_device(factor, str(prompts[0].device)) for factor in factors)
    total = torch.zeros_like(keep)
    for gradient, prompt in zip(gradients, prompts, strict=True):
        found, prompt.grad = gradient(prompt, rows, factors[0] / len(gradients), step)
        total += keep * found / len(gradients)
    if len(gradients) == 1:
        return total
    aligned = pull * alignment_loss(prompts, grams)
    aligned.sum().backward()
    return total + aligned.detach()


def _start(
    source: Source, replicas: Sequence[Replica], settings: SoftSettings, form: Parametrisation
) -> list[torch.Tensor]:
    """Initial tensors [R, ...] of the prompts of a source, with gradient."""
    begun = []
    for replica in replicas:
        beginning = Beginning(
            source.backbone,
            source.label_ids,
            settings,
            replica.begun.seed(replica.seed),
            source.key,
            source.init_file,
        )
        prompt = source.given.get(replica.begun)
        begun.append(form.start(begin(beginning) if prompt is None else prompt, beginning))
    return [
        torch.stack(tensors).to(source.backbone.device).requires_grad_()
        for tensors in zip(*begun, strict=True)
    ]


def tune(
    sources: Sequence[Source],
    replicas: Sequence[Replica],
    settings: SoftSettings,
    grams: Grams,
    metric: str,
    progress: Callable[[int, int], None] | None = None,
    rungs: Rungs | None = None,
    graphs: bool = False,
) -> Tuned:
    """Tune the prompts of one or more sources together, all replicas in one stack.

    The checkpoint kept for a replica is the evaluation step with the best mean validation metric
    over its sources (ties: the lower mean validation loss over label words), the same step for all
    of them: choosing per model would take apart what L_ra has aligned. ``checkpoint: last`` keeps
    the last step instead.

    Args:
        sources: S ≥ 1 frozen backbones with the task.
        replicas: seeds and weights; replicas of one seed see the same batches and start.
        settings: steps, rates, prompt length.
        grams: Gram matrices over the sources, see :mod:`trainables.words.relative`.
        progress: called with (step, steps) after each step.
        rungs: asked after each evaluation but the last which replicas are to stop. They leave the
            stack, the others go on as if they had been alone.
        graphs: see :class:`trainables.soft.source.TaskGradient`.

    Returns:
        Prompts at the best step, and how it went. A replica whose loss is no longer finite is
        reported in ``failed``, one whose validation logits are not in ``unread``; the others go on
        undisturbed.

    Raises:
        InputError: a prompt cannot start as asked for (:mod:`trainables.soft.initialisation`).
    """
    stack = _Stack(sources, replicas, settings, graphs)
    steps = len(stack.order)
    evaluated = evaluation_steps(steps, settings)
    keeper = _Keeper(stack.prompts, len(sources), CHECKPOINTS[settings.checkpoint])
    stopped: dict[int, int] = {}
    for step in range(0 if 0 in evaluated else 1, steps + 1):
        if step:
            stack.step(step, steps, grams)
        if step in evaluated:
            with torch.no_grad():
                prompts = stack.prompts
                aligned = alignment_loss(prompts, grams)
                keeper.offer(step, sources, prompts, stack.members, aligned, metric)
            if rungs and 0 < step < steps:
                told = {member: keeper.value[member] for member in stack.members}
                asked = set(rungs(step, told)) & set(stack.members)
                stopped.update(dict.fromkeys(asked, step))
                stack.drop(asked)
        if progress and step:
            progress(step, steps)
        if not stack.members:
            break
    return Tuned(
        keeper.prompts,
        keeper.step,
        steps,
        keeper.alignment,
        keeper.logits,
        stack.failed(),
        keeper.curve,
        stopped,
        keeper.unread,
    )


class _Stack:
    """The replicas in training: their prompts, the optimiser's state, their order of examples.

    Attributes:
        form: what is trained of a prompt.
        tensors: per source, what is trained: [R, ...] each, R being those that are still there.
        members: of these, the places in the stack as it began.
        order: training examples of every step [T, R, B], on the CPU.
        broken: per member the step at which its loss was no longer finite, 0 for none [R].
    """

    def __init__(
        self,
        sources: Sequence[Source],
        replicas: Sequence[Replica],
        settings: SoftSettings,
        graphs: bool = False,
    ) -> None:
        self.sources, self.settings, self.graphs = sources, settings, graphs
        self.replicas = list(replicas)
        self.members = list(range(len(replicas)))
        self.form = parametrisation_of(settings)
        self.tensors = [_start(source, replicas, settings, self.form) for source in sources]
        orders = cache(lambda replica: order_of(sources[0], replica, settings))
        alike = [replace(replica, weight=INDEPENDENT) for replica in replicas]
        self.order = torch.stack([orders(replica) for replica in alike], dim=1)
        self.broken = torch.zeros(len(replicas), dtype=torch.long, device=self.tensors[0][0].device)
        self._failed: dict[int, int] = {}
        self.optimiser: Optimiser = OPTIMISERS[settings.optimiser](self._flat(), settings)
        self.schedule = SCHEDULES[settings.schedule]
        self.gradients = self._gradients()

    @property
    def prompts(self) -> list[torch.Tensor]:
        """Per source [R, m, d_j], with a graph back to the tensors."""
        return [self.form.prompts(tensors) for tensors in self.tensors]

    def _flat(self) -> list[torch.Tensor]:
        return [tensor for tensors in self.tensors for tensor in tensors]

    def _gradients(self) -> list[TaskGradient]:
        seeds = [replica.seed for replica in self.replicas]
        loss = stack_loss(self.sources[0], self.settings, seeds)
        warm = self.settings.temperatures(len(self.order))
        return [TaskGradient(source, loss, self.graphs, warm) for source in self.sources]

    def step(self, step: int, steps: int, grams: Grams) -> None:
        """One step of all, without waiting for the device."""
        factors = loss_weights(self.replicas, step, steps)
        rows = self.order[step - 1].flatten()
        made = self.prompts
        leaves = [item if item.is_leaf else item.detach().requires_grad_() for item in made]
        loss = objective(self.gradients, leaves, rows, grams, factors, step)
        for prompt, leaf in zip(made, leaves, strict=True):
            if prompt is not leaf:  # from the prompt on to what it is made of
                prompt.backward(leaf.grad)
        self.broken = torch.where(torch.isfinite(loss) | (self.broken > 0), self.broken, step)
        if self.settings.clip_gradient is not None:
            self._clip(self.settings.clip_gradient)
        factor = self.schedule(step - 1, steps, self.settings.warmup)
        self.optimiser.step(self.settings.learning_rate * factor)

    def _clip(self, limit: float) -> None:
        tensors = [tensor for tensor in self._flat() if tensor.grad is not None]
        clipped = clip_replicas([item.grad for item in tensors if item.grad is not None], limit)
        for tensor, gradient in zip(tensors, clipped, strict=True):
            tensor.grad = gradient

    def failed(self) -> dict[int, int]:
        """Members so far to the step at which their loss was no longer finite."""
        found = zip(self.members, self.broken.tolist(), strict=True)
        self._failed |= {member: step for member, step in found if step}
        return self._failed

    def drop(self, gone: Collection[int]) -> None:
        """Go on without these members."""
        if not gone:
            return
        kept = [place for place, member in enumerate(self.members) if member not in gone]
        self.failed()
        self.order = self.order[:, kept]
        rows = torch.tensor(kept, dtype=torch.long, device=self.broken.device)
        self.broken = self.broken[rows]
        self.replicas = [self.replicas[place] for place in kept]
        self.members = [self.members[place] for place in kept]
        self.tensors = [
            [tensor.detach()[rows].requires_grad_() for tensor in tensors]
            for tensors in self.tensors
        ]
        self.optimiser.keep(self._flat(), rows)
        self.gradients = self._gradients()


Rank = Callable[[int, float, float], tuple[float, float]]
"""Rank of an evaluation by its step, mean validation metric and loss; the highest is kept."""


def best(step: int, value: float, loss: float) -> tuple[float, float]:
    return (round(value, 6), -loss)


def last(step: int, value: float, loss: float) -> tuple[float, float]:
    return (float(step), 0.0)


class _Keeper:
    """Best common checkpoint of every replica so far.

    Attributes:
        value: per replica, the validation metric on each source there.
        unread: see :class:`Tuned`.
    """

    def __init__(self, prompts: Sequence[torch.Tensor], sources: int, rank: Rank) -> None:
        self.rank = rank
        replicas = prompts[0].shape[0]
        self.prompts = [prompt.detach().clone() for prompt in prompts]
        self.step = [0] * replicas
        self.alignment = [0.0] * replicas
        self.value = [[0.0] * sources for _ in range(replicas)]
        self.logits: list[torch.Tensor] = []
        self.best = [(-math.inf, -math.inf)] * replicas
        self.curve: list[dict[str, object]] = []
        self.unread: dict[int, tuple[int, int]] = {}

    def offer(
        self,
        step: int,
        sources: Sequence[Source],
        prompts: Sequence[torch.Tensor],
        members: Sequence[int],
        aligned: torch.Tensor,
        metric: str,
    ) -> None:
        """Evaluate ``members`` on validation and keep what is better than before, one by one."""
        value = torch.zeros(len(members))
        loss = torch.zeros(len(members))
        each: list[list[float]] = []
        found: list[torch.Tensor] = []
        for place, (source, prompt) in enumerate(zip(sources, prompts, strict=True)):
            data = source.validation
            wide = source.backbone.split_logits(data, source.label_ids, prompt, source.rival)
            found.append(wide)
            logits = wide[..., : len(source.label_ids)]
            for replica, known in zip(members, finite(logits).tolist(), strict=True):
                if not known:
                    self.unread.setdefault(replica, (place, step))
            each.append(scores(logits, data.gold, metric))
            value += torch.tensor(each[-1]) / len(sources)
            loss += mean_loss(logits, data.gold, metric).cpu() / len(sources)
        self.curve.append(
            {
                "step": step,
                "members": list(members),
                "validation": value.tolist(),
                "loss": loss.tolist(),
                "alignment": aligned.tolist(),
            }
        )
        if not self.logits:
            self.logits = [logits.clone() for logits in found]
        for row, replica in enumerate(members):
            rank = self.rank(step, float(value[row]), float(loss[row]))
            if replica not in self.unread and rank > self.best[replica]:
                self.best[replica] = rank
                self.step[replica] = step
                self.alignment[replica] = float(aligned[row])
                self.value[replica] = [values[row] for values in each]
                for kept, prompt in zip(self.prompts, prompts, strict=True):
                    kept[replica] = prompt[row].detach()
                for best, logits in zip(self.logits, found, strict=True):
                    best[replica] = logits[row]
