"""What transfer depends on, worked out once: numbers for the report's section and its tables."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

from analysis.contrasts.effects import PAIRS, Pairs, effect_table
from analysis.contrasts.examples import Examples
from analysis.contrasts.power import Detectable, detectable_effects
from analysis.contrasts.verdict import QUESTIONS, Verdict, verdict
from analysis.data.combinations import HARD, SOFT, has, leading_parts, of_family
from analysis.dependence.stability import leave_one_out
from analysis.hard.rows import block_parts
from analysis.stats.best_of_n import best_of_n
from analysis.stats.importance import against_noise
from analysis.stats.ranks import Ranking, ranking
from analysis.stats.shapley import shapley_shares
from analysis.stats.variance import REPLICATES, Shares, variance_shares

GAIN = "gain_points"
"""Column of the gain over Empty in points."""
_MANY = 20_000
_CASES = 10
"""Cases of a task from which the error of one is taken: they share its examples."""
_GROUPS = ("task", "target", "sources")
Part = tuple[str, pd.DataFrame]


@dataclass(frozen=True)
class Spread:
    """Where the spread of one value lies: its name, file name, shares and the Shapley check."""

    what: str
    key: str
    shares: Shares
    check: pd.DataFrame


@dataclass(frozen=True)
class Dependence:
    """All numbers on one family of prompts, under one combination of settings.

    Attributes:
        family: :data:`analysis.data.combinations.SOFT` or ``HARD``.
        label: the combination; empty if there is only one.
        verdict: whether what the papers propose helped; None without a pair.
        detectable: what the design could have found; None without a pair.
        effects: of :func:`analysis.contrasts.effects.effect_table` by column, those that vary.
        spreads: variance shares of the gain over Empty and of the difference, where there are.
        ranking: of the kinds of prompt over tasks.
        stability: of :func:`analysis.dependence.stability.leave_one_out`.
        best: of :func:`analysis.stats.best_of_n.best_of_n`.
        importance: of :func:`analysis.stats.importance.against_noise`.
    """

    family: str
    label: str
    verdict: Verdict | None
    detectable: Detectable | None
    effects: dict[str, pd.DataFrame]
    spreads: tuple[Spread, ...]
    ranking: Ranking
    stability: pd.DataFrame
    best: pd.DataFrame
    importance: pd.DataFrame

    @property
    def pairs(self) -> pd.DataFrame:
        """What the verdict rests on; empty without one."""
        return self.verdict.pairs if self.verdict else pd.DataFrame()


PARTS: dict[str, Callable[[pd.DataFrame], Iterable[Part]]] = {
    SOFT: lambda frame: leading_parts(of_family(frame, SOFT))[0],
    HARD: block_parts,
}
"""By family, label and rows of each combination of settings that a report has room for."""


def dependence(
    frame: pd.DataFrame, select_lambda: str = "pair", examples: Examples | None = None
) -> list[Dependence]:
    """Everything on every family of prompts that was carried over."""
    moved = frame[frame["kind"] == "transfer"]
    return [
        _of_part(part, family, label, select_lambda, examples)
        for family in QUESTIONS
        if has(moved, family)
        for label, part in PARTS[family](frame)
    ]


def _of_part(
    frame: pd.DataFrame, family: str, label: str, by: str, examples: Examples | None
) -> Dependence:
    question = QUESTIONS[family]
    ways = PAIRS[family](frame, by)
    answer = verdict(family, ways, examples)
    pairs = answer.pairs if answer else ways.every
    moved = frame[(frame["kind"] == "transfer") & (frame["family"] == family)]
    moved = moved.assign(**{GAIN: 100 * moved["gain_over_empty"]})
    candidates = moved[moved["row"] == question.row]
    columns = [] if pairs.empty else [name for name in _GROUPS if pairs[name].nunique() > 1]
    error = examples.error if examples else None
    effects = {
        column: answer.by_task
        if column == "task" and answer and answer.by_task is not None
        else effect_table(pairs, [column], error=error)
        for column in columns
    }
    spreads = (
        _spread(moved, GAIN, "the gain over Empty", "gain", family),
        _spread(pairs, "difference", f"the difference {question.name}", "difference", family),
    )
    return Dependence(
        family=family,
        label=label,
        verdict=answer,
        detectable=_detectable(answer, examples) if answer else None,
        effects=effects,
        spreads=tuple(item for item in spreads if item),
        ranking=_ranks(moved, question.row, ways),
        stability=leave_one_out(frame, family, by, ways),
        best=best_of_n(candidates),
        importance=against_noise(candidates),
    )


def _detectable(answer: Verdict, examples: Examples | None) -> Detectable:
    """What the design could have found, test examples included where they are known."""
    if examples is None or math.isnan(answer.examples):
        return detectable_effects(answer.pairs)
    errors = {
        task: sum(map(examples.error, cases[:_CASES])) / len(cases[:_CASES])
        for task, part in answer.pairs.groupby("task", observed=True)
        if (cases := [case for _, case in part.groupby(["sources", "target"], observed=True)])
    }
    return detectable_effects(answer.pairs, pd.Series(errors), answer.examples)


def _spread(frame: pd.DataFrame, value: str, what: str, key: str, family: str) -> Spread | None:
    if frame.empty or frame[value].notna().sum() == 0:
        return None
    # Singles have sets of one model: their spread is another design's.
    part = frame[frame["row"] != "single"] if family == SOFT and "row" in frame else frame
    part = part if len(part) else frame
    replicates = REPLICATES if len(part) <= _MANY else REPLICATES // 4
    shares = variance_shares(part, value, replicates=replicates)
    check = pd.DataFrame() if shares.table.empty else shapley_shares(part, value)
    return Spread(what, key, shares, check)


def _ranks(moved: pd.DataFrame, row: str, ways: Pairs) -> Ranking:
    mine = ways.asked
    kept = (moved["row"] != row) | moved["cell"].isin(mine["cell"] if len(mine) else [])
    return ranking(moved[kept], "row", ["task"])
