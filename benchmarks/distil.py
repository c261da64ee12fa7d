"""Prompts distilled as one stack, against a plain loop and against the bare passes of the model."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from benchmarks.finding import Finding, Skipped
from benchmarks.peers.prompt_tuning import plain_model
from benchmarks.race import race
from benchmarks.setting import located, missing, source
from trainables.backbones import Backbone, Layout
from trainables.compute.process import keep_freed_memory
from trainables.core.frontier import Cost
from trainables.core.settings import TransferSettings
from trainables.transfer import Lesson, Problem, Space, TargetTask
from trainables.transfer.taught.descent import LATENESS
from trainables.transfer.taught.distil import Distil, text_order
from trainables.transfer.taught.starts import begun

FAR = 0.02
"""Largest allowed distance between two runs' prompts, as a share of how far they were moved."""


@dataclass(frozen=True)
class Load:
    """What is distilled.

    Attributes:
        model: the target.
        prompts: of the stack.
        alone: how many of them the loop distils.
        steps: of each.
        batch: texts a step.
        texts: without labels, of each prompt.
        tokens: of a prompt.
        rounds: of the race.
        threads: of all contestants.
    """

    model: str = "MiniLM-L6"
    prompts: int = 18
    alone: int = 2
    steps: int = 2
    batch: int = 32
    texts: int = 400
    tokens: int = 5
    rounds: int = 3
    threads: int = 1


class _Contest:
    """Both sides on the same texts from the same start, towards the same made-up teacher."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.settings = TransferSettings(
            solver="distil", steps=load.steps, batch_size=load.batch, learning_rate=0.3
        )
        found = source(load.model, Layout(load.tokens))
        self.backbone, texts = found.backbone, found.train
        self.plain = plain_model(found, located(load.model).location)
        draw = torch.Generator().manual_seed(0)
        rows = torch.stack(
            [torch.randperm(len(texts), generator=draw)[: load.texts] for _ in range(load.prompts)]
        )
        self.label_ids = found.label_ids
        classes = len(self.label_ids)
        self.soft = torch.randn(*rows.shape, classes, generator=draw).softmax(-1)
        hidden = replace(texts, gold=torch.full_like(texts.gold, -1))
        free = [Cost()] * load.prompts
        self.lesson = Lesson(hidden, hidden, rows, self.soft, rows.shape[1] // 4, free)
        target = TargetTask(self.backbone, self.label_ids, hidden, lesson=lambda _: self.lesson)
        width, digest = self.backbone.width, located(load.model).digest
        space = Space(self.backbone.scale, digest, self.backbone.embeddings, lambda: range(100))
        gram = torch.eye(width, dtype=torch.float64)
        start = torch.randn(load.prompts, load.tokens, width, generator=draw)
        self.problem = Problem(
            (start,),
            (space, space),
            {(a, b): gram for a in (0, 1) for b in (0, 1)},
            tuple(range(load.prompts)),
            target_task=lambda: target,
        )

    def ours(self) -> torch.Tensor:
        """All prompts as one stack: the mean over steps [R, m, d]."""
        return Distil().solve(self.problem, self.settings).prompts[-1]

    def loop(self) -> torch.Tensor:
        """Some of them, one after the other, by autograd and torch's Adam."""
        return torch.stack([self._alone(place) for place in range(self.load.alone)])

    def _alone(self, place: int) -> torch.Tensor:
        rate = self.settings.learning_rate or 0.0
        order = text_order(self.lesson, self.problem.seeds, self.load.steps, self.load.batch)
        prompt = begun(self.problem, self.settings)[place].clone().requires_grad_()
        adam = torch.optim.Adam([prompt], lr=rate * self.backbone.scale / self.backbone.width**0.5)
        every = torch.arange(self.load.batch)[:, None]
        table = self.plain.get_input_embeddings().weight
        mean = prompt.detach().clone()
        for step in range(self.load.steps):
            chosen = order[step, place]
            batch = self.lesson.texts.take(self.lesson.rows[place][chosen])
            slots = batch.slots[:, None] + torch.arange(self.load.tokens)
            inputs = table[batch.ids].index_put((every, slots), prompt.expand(len(every), -1, -1))
            logits = self.plain(inputs_embeds=inputs, attention_mask=batch.mask).logits
            own = logits[every[:, 0], batch.answers][:, self.label_ids]
            loss = -(self.soft[place, chosen] * own.log_softmax(-1)).sum(-1).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            mean.lerp_(prompt.detach(), (LATENESS + 1) / (step + 1 + LATENESS))
        return mean


@contextmanager
def _inside() -> Iterator[list[float]]:
    """Seconds spent in the model's own passes, forward and backward."""
    spent = [0.0]

    def timed(run: Any) -> Any:
        def around(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            found = run(*arguments, **named)
            spent[0] += time.perf_counter() - began
            return found

        return around

    forward, backward = Backbone.row_logits, torch.autograd.grad
    try:
        Backbone.row_logits, torch.autograd.grad = timed(forward), timed(backward)  # type: ignore[method-assign]
        yield spent
    finally:
        Backbone.row_logits, torch.autograd.grad = forward, backward  # type: ignore[method-assign]


def measure(load: Load) -> list[Finding | Skipped]:
    """A stack against the loop, and against what its passes alone take."""
    claim = f"Distil {load.prompts} prompts on {load.model}"
    if why := missing(load.model):
        return [Skipped(claim, why)]
    torch.set_num_threads(load.threads)
    keep_freed_memory()
    contest = _Contest(load)
    contest.ours()
    times, given = race(load.rounds, {"ours": contest.ours, "loop": contest.loop})
    apart = _apart(
        given["ours"][: load.alone], given["loop"], begun(contest.problem, contest.settings)
    )
    with _inside() as spent:
        began = time.perf_counter()
        contest.ours()
        whole = time.perf_counter() - began
    steps = load.prompts * load.steps
    return [
        Finding(
            claim=claim,
            peer="plain loop, autograd and Adam, transformers' model",
            ours=steps / times["ours"].median,
            theirs=load.alone * load.steps / times["loop"].median,
            unit="replica-steps/s",
            target=2.0,
            same=f"prompts {apart:.1e} of their way apart (at most {FAR})",
            threads=load.threads,
            more={f"{name}_times": lap.record() for name, lap in times.items()},
        ),
        Finding(
            claim=f"{claim}: time over the bare passes",
            peer="the model's forward and backward passes of the same run",
            ours=whole / spent[0],
            theirs=1.0,
            unit="×",
            target=None,
            at_most=1.3,
            same="the same run",
            threads=load.threads,
        ),
    ]


def _apart(ours: torch.Tensor, theirs: torch.Tensor, start: torch.Tensor) -> float:
    """Distance of two runs' prompts, as a share of how far they moved; raises where it is much."""
    moved = (theirs - start[: len(theirs)]).norm()
    apart = float((ours - theirs).norm() / moved)
    if not apart <= FAR:
        raise AssertionError(f"prompts are {apart:.3f} of their way apart")
    return apart


MEASURES = {
    f"distil_{load.model}": partial(measure, load) for load in (Load(), Load(model="pocket-gpt2"))
}
