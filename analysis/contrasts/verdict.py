"""Whether one way of finding prompts helped: one question, one interval, one sentence.

The question is about new models, tasks, seeds and test examples of the same kinds: the interval is
the crossed one of :mod:`analysis.stats.bootstrap`, with the drawing of test examples in it.
Everything else that could be asked of the same pairs stands under it as an explanation, and is
named as one.
"""

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.contrasts.by_group import Replicated, replicated, replicated_sentence
from analysis.contrasts.effects import CASE, Pairs, effect_table, overall
from analysis.contrasts.examples import Examples
from analysis.data.combinations import HARD, SOFT
from analysis.present.grid import points, span
from analysis.present.words import counted, joined
from analysis.stats.bootstrap import REPLICATES, Crossed, crossed_interval
from analysis.stats.intervals import PERCENT

_UNITS = {"source": "models", "task": "tasks", "target": "targets", "seed": "seeds"}
MANY = 20_000
"""Pairs beyond which not every cell's predictions are read."""
LEAST_PARTS = 3
"""Tasks or models from which on it can be said that one of them carries an effect."""


@dataclass(frozen=True)
class Question:
    """What is asked of a family of prompts.

    Attributes:
        name: of the difference.
        words: what it is, in words.
        row: the table row that has candidates.
        subject: what helps or hurts.
        candidate: what the candidates are, one and several.
        other: the row that has one candidate.
    """

    name: str
    words: str
    row: str
    subject: str
    candidate: tuple[str, str]
    other: str


QUESTIONS = {
    SOFT: Question(
        "Ours − Baseline",
        "joint tuning gains over independent tuning",
        "ours",
        "joint tuning",
        ("weight λ", "weights λ"),
        "Baseline (λ = 0)",
    ),
    HARD: Question(
        "agreement − all words",
        "words that agree gain over the whole vocabulary",
        "agreement",
        "neighbour agreement",
        ("s and K", "pairs of s and K"),
        "the whole vocabulary",
    ),
}
"""By family, what the papers ask."""


@dataclass(frozen=True)
class Lean:
    """A task or model without which less than half of a mean difference is left, or the reverse."""

    kind: str
    name: str
    without: float


@dataclass(frozen=True)
class Verdict:
    """The answer, and what explains it. Differences in points.

    Attributes:
        question: what is asked.
        pairs: :attr:`analysis.contrasts.effects.Pairs.asked`.
        crossfitted: whether each seed stands at the candidate that the other seeds choose; if not,
            the mean is over all candidates.
        tries: candidates of Ours.
        answer: mean and interval over new models, tasks, seeds and test examples.
        examples: standard error from the test examples alone; NaN without kept predictions.
        every: as ``answer`` over all candidates.
        among: as ``answer`` with the other way among the candidates; None without a choice.
        here: as ``answer`` for the models and tasks as they are.
        by_task: of :func:`analysis.contrasts.effects.effect_table`; None with one task.
        tasks: on which tasks there is an effect; None with one task.
        leans: what alone carries the effect, if anything.
    """

    question: Question
    pairs: pd.DataFrame
    crossfitted: bool
    tries: int
    answer: Crossed
    examples: float
    every: Crossed
    among: Crossed | None
    here: Crossed
    by_task: pd.DataFrame | None
    tasks: Replicated | None
    leans: tuple[Lean, ...]

    @property
    def spread(self) -> bool:
        """Whether the answer has an interval."""
        return self.answer.high > self.answer.low


def verdict(
    family: str, ways: Pairs, examples: Examples | None = None, draws: int = REPLICATES
) -> Verdict | None:
    """The answer for one combination of settings; None without a pair.

    Args:
        family: key of :data:`QUESTIONS`.
        ways: of :data:`analysis.contrasts.effects.PAIRS`.
        examples: reads the kept predictions; without it, intervals leave test examples out.
        draws: of the bootstrap that is shown beside the interval.
    """
    pairs = ways.asked
    if pairs.empty:
        return None

    def error(part: pd.DataFrame) -> float:
        return examples.error(part) if examples else math.nan

    drawn = error(pairs)
    tables = {"every": ways.every, "among": ways.among}
    # Of very many pairs the error of those chosen stands in: they have the same examples, and to
    # read what every cell keeps would take longer than all the rest.
    others = {
        name: overall(table, 0, error(table) if len(table) <= MANY else drawn)
        for name, table in tables.items()
        if len(table)
    }
    answer = overall(pairs, draws, drawn)
    here = crossed_interval(pairs, "difference", ["seed"], replicates=0, examples=drawn)
    several = pairs["task"].nunique() > 1
    by_task = effect_table(pairs, ["task"], error=error) if several else None
    shown = answer.direction or here.direction
    return Verdict(
        question=QUESTIONS[family],
        pairs=pairs,
        crossfitted=pairs is ways.chosen,
        tries=ways.tries,
        answer=answer,
        examples=drawn,
        every=others["every"],
        among=others.get("among") if pairs is ways.chosen else None,
        here=here,
        by_task=by_task,
        tasks=None if by_task is None else replicated(by_task, "task"),
        leans=leans(pairs) if shown else (),
    )


def leans(pairs: pd.DataFrame) -> tuple[Lean, ...]:
    """The tasks and source models that carry a mean difference alone, the heaviest first."""
    mean = float(pairs["difference"].mean())
    sets = pairs["sources"].map(lambda text: frozenset(str(text).split("+")))
    models = sorted(frozenset().union(*sets)) if len(sets) else []
    parts: list[tuple[str, str, Any]] = []
    if pairs["task"].nunique() >= LEAST_PARTS:
        parts += [("task", name, pairs["task"] == name) for name in sorted(pairs["task"].unique())]
    if len(models) >= LEAST_PARTS:
        parts += [("source model", name, sets.map(lambda held, name=name: name in held))
                  for name in models]  # fmt: skip
    heavy = []
    for kind, name, inside in parts:
        rest = pairs.loc[~inside.astype(bool), "difference"]
        if len(rest) and float(rest.mean()) * math.copysign(1, mean) < abs(mean) / 2:
            heavy.append(Lean(kind, str(name), float(rest.mean())))
    return tuple(sorted(heavy, key=lambda lean: lean.without * math.copysign(1, mean)))


def verdict_text(item: Verdict) -> str:
    """The answer in one sentence, how Ours was chosen, and what weakens it."""
    weak = item.answer.note
    return " ".join(filter(None, [_answer(item), tries_text(item) if item.spread else "", weak]))


def brief(item: Verdict) -> str:
    """The answer in one sentence, on which tasks, and what alone carries it."""
    shown = item.tasks if item.tasks and (item.tasks.better or item.tasks.worse) else None
    return " ".join(
        filter(None, [_answer(item), replicated_sentence(shown) if shown else "", _leaning(item)])
    )


def _answer(item: Verdict) -> str:
    name, answer = item.question.name, item.answer
    cases = counted(len(item.pairs.drop_duplicates(CASE)), "case")
    seeds = counted(item.pairs["seed"].nunique(), "seed")
    text = f"{name} is {points(answer.mean, signed=True)} points over {cases} and {seeds}"
    if not item.spread:
        return f"{text}; no interval can be given, as nothing varies."
    text += f", {PERCENT} interval {span(answer.low, answer.high)} over new {_over(item)}"
    return f"{text}: {_shows(item)}"


def _leaning(item: Verdict) -> str:
    """What alone carries the difference; empty where nothing does."""
    if not item.leans:
        return ""
    names = joined(
        [f"{lean.kind} {lean.name} ({points(lean.without, signed=True)} without it)"
         for lean in item.leans[:3]]
    )  # fmt: skip
    return f"Read with care: less than half of the difference is left without {names}."


def _over(item: Verdict) -> str:
    names = [_UNITS[name] for name in item.answer.units if name in _UNITS]
    return joined([*names, "test examples"] if item.examples > 0 else names)


def _shows(item: Verdict) -> str:
    subject = item.question.subject
    texts = {
        1: f"{subject} helped.",
        -1: f"{subject} hurt.",
        0: f"this sweep does not show that {subject} helps or hurts.",
    }
    return texts[item.answer.direction]


def tries_text(item: Verdict) -> str:
    """How many candidates each side had, and how Ours came by its own."""
    if item.tries < 2:
        return ""
    one, several = item.question.candidate
    if item.crossfitted:
        return (
            f"Ours had {item.tries} {several} to choose from and {item.question.other} none: each "
            f"seed stands at the {one} that the other seeds choose on validation."
        )
    return (
        f"No {one} can be chosen on other seeds here: it is the mean over all {item.tries} "
        f"{several}, none of them chosen."
    )


def explanations(item: Verdict) -> list[str]:
    """What else the same pairs say, a sentence each."""
    texts = []
    _, several = item.question.candidate
    if item.crossfitted and item.tries > 1:
        text = f"Mean over all {item.tries} {several}, none chosen: {_with_span(item.every)}."
        if item.among is not None:
            text += (
                f" With {item.question.other} among the candidates, chosen likewise: "
                f"{_with_span(item.among)}."
            )
        texts.append(text)
    if item.here.high > item.here.low and item.here.units != item.answer.units:
        over = "seeds and test examples" if item.examples > 0 else "seeds"
        over = over if item.here.units else "test examples"
        only = item.here.direction and not item.answer.direction
        texts.append(
            f"On these models and tasks as they are, over new {over} alone: "
            f"{_with_span(item.here)}" + ("; for others this is not shown." if only else ".")
        )
    if item.tasks is not None:
        texts.append(replicated_sentence(item.tasks))
    texts.append(_leaning(item))
    if math.isnan(item.examples):
        texts.append(
            "The drawing of test examples is not in these intervals, as not all cells keep their "
            "predictions."
        )
    return [text for text in texts if text]


def _with_span(effect: Crossed) -> str:
    text = f"{points(effect.mean, signed=True)}"
    return f"{text} {span(effect.low, effect.high)}" if effect.high > effect.low else text
