"""The choice of a search's prompt: candidates scored on the validation split, the best one kept.

Three things are not read twice or not at all. A prompt that was scored before, by whichever
replica, is known (model and task are the same). One that has not changed is such a prompt. And a
candidate is *raced*: it reads nested parts of the split first and stops when it can no longer win.

The bound is exact: whatever it would answer on the rows left, it cannot score higher than with all
of them right. That holds for every metric of :mod:`trainables.tasks.metrics`, not for accuracy
alone: a right answer adds a true positive of its class, a wrong one instead takes it away and adds
a false negative there and a false positive elsewhere, so that no class's recall or F1 can gain by
it. Nor can the mean loss fall below that of the rows read plus zero for the rest. So the prompt
kept is the one that would be kept without racing.

Shapes: R replicas, K candidates a replica, m tokens, v validation rows, C classes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from trainables.backbones import Backbone, reads_of
from trainables.core.frontier import Cost
from trainables.core.seeds import seeded
from trainables.core.settings.hard import HardSettings
from trainables.hard.problem import HardFound, HardProblem, Rungs
from trainables.hard.scorer import Ids, Scorer
from trainables.scoring.evaluate import finite
from trainables.tasks import metrics

STAGES = (64, 256)
"""Rows after which a candidate may leave the race, and again as many as the last of them each
time. What trails a best score of B with a score of A is out after a share (1 - B) / (1 - A) of the
rows, so that one decision early on would seldom fall; 256 rows still fill a forward pass."""

_DECIMALS = 6
_ROUNDING = 1e-12

Rank = Callable[[float, float, int, int], tuple[float, ...]]


def _by_loss(score: float, loss: float, step: int, place: int) -> tuple[float, ...]:
    return (round(score, _DECIMALS), -loss, -step, -place)


def _latest(score: float, loss: float, step: int, place: int) -> tuple[float, ...]:
    return (round(score, _DECIMALS), step, place)


_Candidates = dict[Ids, int]
"""Candidates of a replica, each with its place among those of the step."""

_Asked = dict[int, _Candidates]
"""Candidates by replica."""

TIES: dict[str, Rank] = {"loss": _by_loss, "latest": _latest}
"""Rank by score, loss, step and place among the candidates of a step; the highest is kept."""


def race_order(gold: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """An order of all rows [v] whose every beginning has the classes in their proportions.

    Args:
        gold: class of each row [v].
    """
    generator = seeded("race", seed)
    labels = gold.cpu()
    place = torch.empty(len(labels), dtype=torch.float64)
    for label in labels.unique().tolist():
        rows = (labels == label).nonzero().flatten()
        rows = rows[torch.randperm(len(rows), generator=generator)]
        place[rows] = (torch.arange(len(rows), dtype=torch.float64) + 0.5) / len(rows)
    return torch.argsort(place, stable=True)


def all_stages(stages: Sequence[int], rows: int) -> list[int]:
    """Rows of all nested parts of a split: ``stages``, then more by the last of them, then all."""
    later = range(2 * stages[-1], rows, stages[-1]) if stages else ()
    return [stage for stage in (*stages, *later) if stage < rows] + [rows]


class _Lane:
    """One scorer with the validation rows in the order of the race."""

    def __init__(self, scorer: Scorer, seed: int) -> None:
        self.scorer = scorer
        data = scorer.reading.validation
        self.order = race_order(data.gold, seed)
        self.data = data.take(self.order.to(data.ids.device))
        self.gold = self.data.gold.cpu()
        self._tokens = [0, *self.data.lengths.cpu().cumsum(0).tolist()]

    def __len__(self) -> int:
        return len(self.gold)

    def read(self, prompts: Sequence[Ids], start: int, stop: int) -> torch.Tensor:
        """Logits [P, stop - start, C] on rows of the race."""
        rows = torch.arange(start, stop, device=self.data.ids.device)
        return self.scorer.logits(self.data.take(rows), prompts).cpu()

    def cost(self, start: int, stop: int, home: Backbone) -> Cost:
        """Of reading rows of the race once, where ``home`` is the model that the prompt is for."""
        reads = reads_of(self.scorer.reading.label_ids)
        rows, tokens = reads.of(stop - start, self._tokens[stop] - self._tokens[start])
        if self.scorer.reading.backbone is not home:
            return Cost(source_rows=rows)
        return Cost(rows, 0, tokens, access="labels")

    def upper_score(self, metric: str, logits: torch.Tensor) -> float:
        """The metric if all rows not read were right; exact once all are read."""
        predicted = np.concatenate([logits.argmax(-1).numpy(), self.gold[len(logits) :].numpy()])
        return metrics.compute(metric, self.gold.numpy(), predicted, logits.shape[-1])

    def lower_loss(self, logits: torch.Tensor) -> float:
        """The mean loss if it were 0 on all rows not read; exact once all are read."""
        gold = self.gold[: len(logits)]
        return float(F.cross_entropy(logits.double(), gold, reduction="sum")) / len(self)

    def right(self, logits: torch.Tensor) -> torch.Tensor:
        """Which of the rows read are right [n], as 0 and 1."""
        return (logits.argmax(-1) == self.gold[: len(logits)]).double()

    def in_order(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits [v, C] in the order of the split."""
        out = torch.empty_like(logits)
        out[self.order] = logits
        return out


@dataclass
class _Known:
    """What has been read of a prompt.

    Attributes:
        logits: per scorer, those of the rows read [n, C], in the order of the race.
        rows: how many, of all scorers.
        score: the highest metric it can still reach; its own once it has read all rows.
        loss: the lowest loss it can still reach; its own once it has read all rows.
        unread: alias of the first scorer whose logits were not all finite: then it can reach
            nothing any more.
    """

    logits: list[torch.Tensor]
    rows: int = 0
    score: float = 1.0
    loss: float = 0.0
    unread: str | None = None


@dataclass
class _Best:
    """What a replica has found so far, and what that took.

    ``asked``: per prompt, how many rows the replica has wanted of it.
    """

    rank: tuple[float, ...] = (-math.inf,)
    ids: Ids | None = None
    step: int = 0
    evaluated: int = 0
    saved: int = 0
    cost: Cost = field(default_factory=Cost)
    asked: dict[Ids, int] = field(default_factory=dict)
    curve: list[dict[str, Any]] = field(default_factory=list)


class Race:
    """Keeps the best prompt of every replica.

    Best is the highest validation metric (mean over the scorers); ties go to the lower validation
    loss and then to the earlier step, or with ``ties="latest"`` to the later step at once. A prompt
    whose logits are not all finite loses to any other.
    """

    def __init__(
        self,
        scorers: Sequence[Scorer],
        metric: str,
        replicas: int,
        *,
        ties: str = "loss",
        margin: float | None = None,
        stages: Sequence[int] = STAGES,
        seed: int = 0,
        home: Backbone | None = None,
    ) -> None:
        """A race that has seen nothing yet.

        Args:
            scorers: the models that score; more than one where the choice is made by their mean.
            replicas: R.
            ties: a name of :data:`TIES`.
            margin: if given, a candidate also leaves the race when, on the rows both have read, it
                is right less often than the best so far by more than this many standard errors of
                the paired difference. Then the choice is no longer exact; 3 is careful.
            stages: rows of the first nested parts, rising; the later ones grow by the last of
                these. () reads everything at once.
            seed: of the order in which rows are read.
            home: the model that the prompts are for; None: the first scorer's.
        """
        self._home = home or scorers[0].reading.backbone
        self._lanes = [_Lane(scorer, seed) for scorer in scorers]
        self._metric = metric
        self._rank = TIES[ties]
        self._margin = margin
        self._size = sum(len(lane) for lane in self._lanes)
        self._stages = all_stages(stages, max(len(lane) for lane in self._lanes))
        self._known: dict[Ids, _Known] = {}
        self._best = [_Best() for _ in range(replicas)]

    def offer(
        self, step: int, prompts: torch.Tensor, replicas: Sequence[int] | None = None
    ) -> list[bool]:
        """Score candidates and keep those that are better than what there was.

        Args:
            step: where they come from.
            prompts: ids [R, m], or [R, K, m] for several candidates a replica.
            replicas: whose these R are, where only some offer something.

        Returns:
            For each of them, whether its best prompt is a new one (or the same from a later step).
        """
        listed = prompts[:, None] if prompts.ndim == 2 else prompts
        count = listed.shape[1]
        mine = range(len(self._best)) if replicas is None else replicas
        asked = dict(zip(mine, (_places(row) for row in listed.tolist()), strict=True))
        before = {replica: self._best[replica].rank for replica in asked}
        read = {replica: self._best[replica].evaluated for replica in asked}
        if count > 1:
            # One of several goes ahead: the others then race against it.
            self._race(step, asked, self._stages[:1])
            leaders = {replica: self._leader(asked[replica]) for replica in asked}
            self._race(step, leaders, self._stages)
        self._race(step, asked, self._stages)
        whole = count * self._size
        for replica, candidates in asked.items():
            best = self._best[replica]
            best.saved += whole - (best.evaluated - read[replica])
            best.curve.append(self._entry(step, candidates))
        return [self._best[replica].rank != rank for replica, rank in before.items()]

    def found(self, replica: int, steps: int) -> HardFound:
        """What a replica ends with.

        ``validation`` is the mean over the scorers, ``logits`` are those of the first scorer.
        """
        best = self._best[replica]
        if best.ids is None:
            raise ValueError("no prompt was offered")
        return HardFound(
            ids=best.ids,
            step=best.step,
            steps=steps,
            validation=self._known[best.ids].score,
            logits=self._lanes[0].in_order(self._known[best.ids].logits[0]),
            evaluated=best.evaluated,
            saved=best.saved,
            curve=best.curve,
            unread=self._known[best.ids].unread,
            cost=best.cost + Cost(target_labels=max(best.asked.values())),
        )

    def staying(
        self, step: int, members: Sequence[int], rungs: Rungs, stopped: dict[int, int]
    ) -> list[int]:
        """Ask which of some replicas go on; the others are noted in ``stopped`` with the step."""
        best = {member: self._best[member].ids for member in members}
        told = {member: self._known[ids].score for member, ids in best.items() if ids is not None}
        asked = set(rungs(step, told)) & told.keys()
        stopped.update(dict.fromkeys(asked, step))
        return [member for member in members if member not in asked]

    def _race(self, step: int, asked: _Asked, stages: Sequence[int]) -> None:
        """Let candidates read up to each stage as long as they may win; take those that end."""
        racing = asked
        for stage in stages:
            for ids in {ids for mine in racing.values() for ids in mine}:
                self._known.setdefault(ids, _Known([torch.empty(0) for _ in self._lanes]))
            racing = _filtered(racing, partial(self._may_win, step))
            self._read(racing, stage)
            racing = _filtered(racing, partial(self._near, stage))
        for replica, mine in racing.items():
            for ids, place in mine.items():
                if self._known[ids].rows == self._size:
                    self._take(replica, ids, step, place)

    def _read(self, racing: _Asked, stage: int) -> None:
        """Read what is not known of the first ``stage`` rows; each prompt once for all replicas."""
        askers: dict[Ids, int] = {}
        for replica, mine in racing.items():
            for ids in mine:
                askers.setdefault(ids, replica)
                self._charge(self._best[replica], ids, stage)
        changed = set()
        for number, lane in enumerate(self._lanes):
            stop = min(stage, len(lane))
            by_start: dict[int, list[Ids]] = {}
            for ids in askers:
                by_start.setdefault(len(self._known[ids].logits[number]), []).append(ids)
            for start in (start for start in by_start if start < stop):
                logits = lane.read(by_start[start], start, stop)
                for ids, new in zip(by_start[start], logits, strict=True):
                    kept = self._known[ids].logits
                    kept[number] = torch.cat([kept[number], new]) if start else new.clone()
                    self._best[askers[ids]].evaluated += stop - start
                    changed.add(ids)
        for ids in changed:
            self._judge(self._known[ids])

    def _charge(self, best: _Best, ids: Ids, stage: int) -> None:
        """Count what a replica asks for: another may have read it, but alone it would have to."""
        before = best.asked.get(ids, 0)
        for lane in self._lanes:
            start, stop = min(before, len(lane)), min(stage, len(lane))
            if stop > start:
                best.cost += lane.cost(start, stop, self._home)
        best.asked[ids] = max(before, min(stage, max(map(len, self._lanes))))

    def _judge(self, known: _Known) -> None:
        """Bring the bounds up to what has been read."""
        pairs = list(zip(self._lanes, known.logits, strict=True))
        known.rows = sum(len(logits) for logits in known.logits)
        broken = (lane for lane, logits in pairs if not bool(finite(logits[None])[0]))
        known.unread = next((lane.scorer.reading.backbone.alias for lane in broken), None)
        if known.unread is not None:
            known.score, known.loss = 0.0, math.inf
            return
        known.score = _mean([lane.upper_score(self._metric, logits) for lane, logits in pairs])
        known.loss = _mean([lane.lower_loss(logits) for lane, logits in pairs])

    def _ranked(self, ids: Ids, step: int, place: int, slack: float = 0.0) -> tuple[float, ...]:
        known = self._known[ids]
        if not math.isfinite(known.loss):
            return (-1.0, -step, -place)
        return self._rank(known.score, known.loss - slack, step, place)

    def _may_win(self, step: int, replica: int, ids: Ids, place: int) -> bool:
        return self._ranked(ids, step, place, _ROUNDING) > self._best[replica].rank

    def _near(self, rows: int, replica: int, ids: Ids, place: int) -> bool:
        """Whether a candidate is not clearly worse than the best, by the first ``rows`` rows.

        By no more than those, even if another replica has had more of them read.
        """
        best = self._best[replica].ids
        if self._margin is None or best is None or rows >= self._stages[-1]:
            return True
        both = zip(self._lanes, self._known[ids].logits, self._known[best].logits, strict=True)
        gained = torch.cat(
            [lane.right(mine[:rows]) - lane.right(its[:rows]) for lane, mine, its in both]
        )
        error = float(gained.std(correction=0)) / math.sqrt(len(gained))
        return float(gained.mean()) + self._margin * error >= 0.0

    def _leader(self, mine: _Candidates) -> _Candidates:
        """The candidate that looks best on what has been read."""
        best = max(mine, key=lambda ids: (self._known[ids].score, -self._known[ids].loss))
        return {best: mine[best]}

    def _take(self, replica: int, ids: Ids, step: int, place: int) -> None:
        best = self._best[replica]
        rank = self._ranked(ids, step, place)
        if rank > best.rank:
            best.rank, best.ids, best.step = rank, ids, step

    def _entry(self, step: int, mine: _Candidates) -> dict[str, Any]:
        """A line of the curve: rows known of the candidates; score and loss of the best whole."""
        entry: dict[str, Any] = {"step": step, "rows": max(self._known[ids].rows for ids in mine)}
        whole = {ids: at for ids, at in mine.items() if self._known[ids].rows == self._size}
        known = self._known[next(iter(self._leader(whole)))] if whole else None
        if known is not None and known.unread is None:
            entry |= {"validation": known.score, "loss": known.loss}
        return entry


def source_race(problem: HardProblem, replicas: int, settings: HardSettings) -> Race:
    """The race of a search that is judged on its own source."""
    return Race(
        [Scorer(problem.source, settings.prompt_length)],
        problem.metric,
        replicas,
        ties=settings.ties,
        margin=settings.race_margin,
    )


def _places(prompts: list[list[int]]) -> _Candidates:
    found: _Candidates = {}
    for place, ids in enumerate(prompts):
        found.setdefault(tuple(ids), place)
    return found


def _filtered(racing: _Asked, stays: Callable[[int, Ids, int], bool]) -> _Asked:
    return {
        replica: {ids: place for ids, place in mine.items() if stays(replica, ids, place)}
        for replica, mine in racing.items()
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
