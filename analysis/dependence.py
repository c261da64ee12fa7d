"""What transfer depends on, worked out once: numbers for the report's section and its tables."""

from dataclasses import dataclass

import pandas as pd

from analysis.best_of_n import best_of_n
from analysis.bootstrap import Crossed
from analysis.effects import effect_table, hard_differences, overall, paired
from analysis.families import HARD, SOFT, has, of_family
from analysis.importance import importance
from analysis.power import Detectable, detectable_effects
from analysis.ranks import Ranking, ranking
from analysis.shapley import shapley_shares
from analysis.stability import NUMBERS, chosen_rows, leave_one_out
from analysis.variance import REPLICATES, Shares, variance_shares

QUESTIONS = {
    SOFT: ("Ours − Baseline", "joint tuning gains over independent tuning", "ours"),
    HARD: (
        "agreement − all words",
        "words that agree gain over the whole vocabulary",
        "agreement",
    ),
}
"""By family: name of the difference, what it is in words, and the row that is searched over."""
GAIN = "gain_points"
"""Column of the gain over Empty in points."""
_MANY = 20_000


@dataclass(frozen=True)
class Spread:
    """Where the spread of one value lies: its name, file name, shares and the Shapley check."""

    what: str
    key: str
    shares: Shares
    check: pd.DataFrame


@dataclass(frozen=True)
class Dependence:
    """All numbers on one family of prompts.

    Attributes:
        family: :data:`analysis.families.SOFT` or ``HARD``.
        pairs: of :func:`analysis.effects.paired`.
        overall: mean difference; None without a pair.
        detectable: what the design could have found; None without a pair.
        effects: of :func:`analysis.effects.effect_table` by column, those that vary.
        spreads: variance shares of the gain over Empty and of the difference, where there are.
        ranking: of the kinds of prompt over tasks and targets.
        stability: of :func:`analysis.stability.leave_one_out`.
        best: of :func:`analysis.best_of_n.best_of_n`.
        importance: of :func:`analysis.importance.importance`.
    """

    family: str
    pairs: pd.DataFrame
    overall: Crossed | None
    detectable: Detectable | None
    effects: dict[str, pd.DataFrame]
    spreads: tuple[Spread, ...]
    ranking: Ranking
    stability: pd.DataFrame
    best: pd.DataFrame
    importance: pd.DataFrame


def dependence(frame: pd.DataFrame) -> list[Dependence]:
    """Everything on every family of prompts that was carried over.

    Args:
        frame: table of :func:`analysis.results.load`.
    """
    here = [name for name in QUESTIONS if has(frame[frame["kind"] == "transfer"], name)]
    return [_of_family(of_family(frame, family), family) for family in here]


def _of_family(frame: pd.DataFrame, family: str) -> Dependence:
    name, _, row = QUESTIONS[family]
    pairs = _PAIRS[family](frame)
    moved = frame[(frame["kind"] == "transfer") & (frame["family"] == family)]
    moved = moved.assign(**{GAIN: 100 * moved["gain_over_empty"]})
    candidates = moved[moved["row"] == row]
    columns = [] if pairs.empty else [c for c in ("task", "sources") if pairs[c].nunique() > 1]
    spreads = (
        _spread(moved, GAIN, "the gain over Empty", "gain", family),
        _spread(pairs, "difference", f"the difference {name}", "difference", family),
    )
    return Dependence(
        family=family,
        pairs=pairs,
        overall=None if pairs.empty else overall(pairs),
        detectable=None if pairs.empty else detectable_effects(pairs),
        effects={column: effect_table(pairs, [column]) for column in columns},
        spreads=tuple(item for item in spreads if item),
        ranking=_ranks(moved, family),
        stability=leave_one_out(frame, NUMBERS[family]),
        best=best_of_n(candidates),
        importance=importance(candidates),
    )


def _soft_pairs(frame: pd.DataFrame) -> pd.DataFrame:
    """As :func:`analysis.effects.soft_differences`, the weights chosen in one pass."""
    moved = frame[(frame["kind"] == "transfer") & (frame["family"] == SOFT)]
    on = ["combination", "sources", "task", "target", "seed"]
    return paired(chosen_rows(moved), moved[moved["row"] == "baseline"], on)


_PAIRS = {SOFT: _soft_pairs, HARD: hard_differences}


def _spread(frame: pd.DataFrame, value: str, what: str, key: str, family: str) -> Spread | None:
    if frame.empty or frame[value].notna().sum() == 0:
        return None
    # Singles have sets of one model: their spread is another design's.
    part = frame[frame["row"] != "single"] if family == SOFT and "row" in frame else frame
    part = part if len(part) else frame
    replicates = REPLICATES if len(part) <= _MANY else REPLICATES // 4
    found = variance_shares(part, value, replicates=replicates)
    check = pd.DataFrame() if found.table.empty else shapley_shares(part, value)
    return Spread(what, key, found, check)


def _ranks(moved: pd.DataFrame, family: str) -> Ranking:
    rows = moved
    if family == SOFT:
        rows = pd.concat([chosen_rows(moved), moved[moved["row"] != "ours"]])
    return ranking(rows, "row", ["task", "target"])
