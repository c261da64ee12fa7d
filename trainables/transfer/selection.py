"""The choice among a solver's candidates, replica by replica.

``none``
    The solver's own: the smallest γ of ``ridge`` (the best by the objective), the last step of
    ``adam`` and ``projector``. Nothing is evaluated.
``source_validation``
    No label is ever read through the target. Each candidate is carried *back* to every source by
    the closed form (``norm: match``) and scored there on the task's validation split; the candidate
    with the best mean over sources is kept. It asks how much of what the sources know about the
    task survives the way there and back. It is blind to what only the target does to a prompt: a
    candidate that the way back undoes exactly (same width, a bijection) is as good as any other.
``agreement``
    Each candidate is scored on the target by its cross-entropy against the teacher's label
    probabilities of the texts held out, both calibrated; no label is read.
``target_validation``
    Each candidate is scored on the target with the task's validation split and the best is kept, as
    in the released code of Wu et al. (which calls itself zero-shot because it needs no target
    gradients; it does use target labels).

Scores are the task's metric; ties go to the lower loss, then to the solver's own candidate, then to
the earlier one. The test split plays no part.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from trainables.core.frontier import Cost
from trainables.core.registries import SELECTIONS
from trainables.core.settings import TransferSettings
from trainables.scoring.calibration import calibrate
from trainables.scoring.evaluate import finite
from trainables.transfer.problem import Candidates, Problem, Space
from trainables.transfer.solvers.closed_form import ClosedForm
from trainables.words.relative import Grams

# Means over sources of equal scores may differ in the last bits.
_DECIMALS = 6


@dataclass(frozen=True)
class Judgement:
    """R prompts scored on a validation split.

    Attributes:
        scores: R values of the task's metric; NaN where logits are not all finite.
        losses: R values of cross-entropy.
        logits: label-word logits [R, v, C].
    """

    scores: Sequence[float]
    losses: Sequence[float]
    logits: torch.Tensor


Judge = Callable[[torch.Tensor], Judgement]


@dataclass(frozen=True)
class Judges:
    """How prompts are scored where a choice is made.

    Attributes:
        target: on the target's validation split; takes prompts [R, m, d_t].
        sources: per source in the order of the problem, on its validation split; takes prompts
            [R, m, d_s].
        teacher: on texts held out, against the teacher; takes prompts [R, m, d_t].
        costs: per selection what each candidate's scoring takes.
    """

    target: Judge
    sources: Sequence[Judge]
    teacher: Judge | None = None
    costs: Mapping[str, Cost] = field(default_factory=dict)


@dataclass(frozen=True)
class Chosen:
    """The chosen candidates.

    Attributes:
        index: per replica.
        logits: validation logits of the chosen prompts on the target [R, v, C], where known.
        judged: per replica, whether any candidate had finite logits where they were judged; without
            one, the solver's own stands there and nothing speaks for it. Empty: none was judged.
    """

    index: list[int]
    logits: torch.Tensor | None = None
    judged: Sequence[bool] = ()


def own(candidates: Candidates, problem: Problem, judges: Judges) -> Chosen:
    """The solver's own candidate; nothing is evaluated."""
    del judges
    return Chosen([candidates.own] * len(problem.seeds))


def on_target(candidates: Candidates, problem: Problem, judges: Judges) -> Chosen:
    """The best on the target's validation split."""
    best = _Best(len(problem.seeds), candidates.own)
    logits: torch.Tensor | None = None
    for number in _own_first(candidates):
        judged = judges.target(candidates.prompts[number])
        better = best.offer(number, judged.scores, judged.losses)
        if logits is None:
            logits = judged.logits.clone()
        logits[better] = judged.logits[better]
    return Chosen(best.index, logits, best.judged)


def with_teacher(candidates: Candidates, problem: Problem, judges: Judges) -> Chosen:
    """The one that agrees best with the teacher on texts held out."""
    if judges.teacher is None:
        raise ValueError("agreement needs a teacher")
    best = _Best(len(problem.seeds), candidates.own)
    for number in _own_first(candidates):
        judged = judges.teacher(candidates.prompts[number])
        best.offer(number, judged.scores, judged.losses)
    return Chosen(best.index, judged=best.judged)


def agreement(logits: torch.Tensor, soft: torch.Tensor) -> Judgement:
    """How well label scores agree with a teacher, after taking off the mean over the texts.

    Args:
        logits: label-word logits of texts [R, U, C].
        soft: the teacher's label probabilities, calibrated [R, U, C].

    Returns:
        As scores minus the mean cross-entropy -Σ_c t_c log p_c, as losses the same without minus.
    """
    losses = -(soft * calibrate("batch", logits).log_softmax(-1)).sum(-1).mean(1)
    known = finite(logits)
    losses = losses.where(known, torch.full_like(losses, math.nan))
    return Judgement((-losses).tolist(), losses.tolist(), logits)


def on_sources(candidates: Candidates, problem: Problem, judges: Judges) -> Chosen:
    """The best on the sources' validation splits, carried back to them."""
    best = _Best(len(problem.seeds), candidates.own)
    for number in _own_first(candidates):
        judged = [
            judge(way_back(candidates.prompts[number], problem, source))
            for source, judge in enumerate(judges.sources)
        ]
        scores = torch.tensor([one.scores for one in judged], dtype=torch.float64).mean(0)
        losses = torch.tensor([one.losses for one in judged], dtype=torch.float64).mean(0)
        best.offer(number, scores.tolist(), losses.tolist())
    return Chosen(best.index, judged=best.judged)


def choose(selection: str, candidates: Candidates, problem: Problem, judges: Judges) -> Chosen:
    """Choose as the setting ``selection`` asks for; a single candidate needs no evaluation."""
    if len(candidates) == 1:
        return own(candidates, problem, judges)
    found: Chosen = SELECTIONS[selection](candidates, problem, judges)
    return found


def way_back(prompts: torch.Tensor, problem: Problem, source: int) -> torch.Tensor:
    """Target prompts [R, m, d_t] carried back to one source in closed form, [R, m, d_s]."""
    target = problem.count
    pair = (target, source)
    grams: Grams = {(a, b): problem.grams[pair[a], pair[b]] for a in (0, 1) for b in (0, 1)}
    back = Problem(
        prompts=(prompts,),
        spaces=(Space(problem.target.scale), Space(problem.spaces[source].scale)),
        grams=grams,
        seeds=problem.seeds,
    )
    found = ClosedForm().solve(back, TransferSettings())
    return back.finish(found.prompts[0]).float()


def _own_first(candidates: Candidates) -> list[int]:
    others = (number for number in range(len(candidates)) if number != candidates.own)
    return [candidates.own, *others]


class _Best:
    """Best candidate of every replica so far."""

    def __init__(self, replicas: int, own: int) -> None:
        self.index = [own] * replicas
        self._rank = [(-math.inf, -math.inf)] * replicas

    @property
    def judged(self) -> list[bool]:
        """Per replica, whether it has been offered a candidate whose predictions mean something."""
        return [rank[0] > -math.inf for rank in self._rank]

    def offer(self, number: int, scores: Sequence[float], losses: Sequence[float]) -> list[int]:
        """Take a candidate where it is better; which replicas these are."""
        better = []
        for replica, (score, loss) in enumerate(zip(scores, losses, strict=True)):
            # Predictions of a prompt that is no longer finite mean nothing.
            if not (math.isfinite(score) and math.isfinite(loss)):
                continue
            rank = (round(score, _DECIMALS), -loss)
            if rank > self._rank[replica]:
                self._rank[replica], self.index[replica] = rank, number
                better.append(replica)
        return better
