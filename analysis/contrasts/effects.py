"""What one way of finding prompts gains over another, paired on everything else.

A *case* is one source set, task and target; seeds and settings within it are repeats, no new cases.
All differences are in points (100 times the metric).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.contrasts.by_group import group_effects
from analysis.contrasts.crossfit import ALL_SEEDS, best_candidates
from analysis.contrasts.keys import codes_of, numbered, places
from analysis.contrasts.selection import crossfitted_rows
from analysis.data.combinations import HARD, SOFT
from analysis.stats.bootstrap import Crossed, crossed_interval

ROPE = 0.5
"""Points either way that count as a tie (region of practical equivalence)."""
CASE = ["sources", "task", "target"]
"""What makes a case."""
_DECIMALS = 9
_COLUMNS = [
    "family",
    "method",
    "combination",
    "counterparts",
    "s",
    "k",
    *CASE,
    "seed",
    "weight_label",
    "metric",
    "cell",
    "partner",
    "ours",
    "baseline",
    "difference",
]
_PAIR = [*CASE, "seed"]

READ = ("kind", "row", "score", "validation_score", "gain_over_empty", *_COLUMNS)
"""Columns of results that pairs are made from; a table of nothing else is cut much faster."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pairs:
    """One way of finding prompts beside another, on the same models, tasks and seeds.

    Ours has several candidates (λ, or s and K), the other way one. So there are three fair
    pairings, each a table of :func:`paired`.

    Attributes:
        chosen: each seed at the candidate that the other seeds choose on validation; empty with one
            seed or without a complete candidate.
        every: every candidate.
        among: as ``chosen``, with the other way as one more candidate; empty where validation
            scores cannot be compared.
        tries: most candidates that Ours had.
    """

    chosen: pd.DataFrame
    every: pd.DataFrame
    among: pd.DataFrame
    tries: int

    @property
    def asked(self) -> pd.DataFrame:
        """What the question is answered with: ``chosen`` if it has half of all cases, else all."""
        cases = [len(set(codes_of(table, CASE))) for table in (self.chosen, self.every)]
        return self.chosen if 2 * cases[0] >= cases[1] > 0 else self.every


def paired(ours: pd.DataFrame, baseline: pd.DataFrame, on: Sequence[str] = _PAIR) -> pd.DataFrame:
    """Rows of ``ours`` beside the row of ``baseline`` with the same values in ``on``.

    Args:
        ours: rows with a ``score`` between 0 and 1.
        baseline: likewise; one per value of ``on``, of several the first.
        on: columns that both share; a missing value equals a missing value.

    Returns:
        Settings, case and seed (those columns that ``ours`` has), cell and partner (ids), then
        ours, baseline and difference in points. Rows without a partner are left out.
    """
    place = places(ours, baseline, on)
    here = np.flatnonzero(place >= 0)
    level = 100 * baseline["score"].to_numpy(dtype=np.float64)[place[here]]
    points = 100 * ours["score"].to_numpy(dtype=np.float64)[here]
    difference = (points - level).round(_DECIMALS)
    known = ~np.isnan(difference)
    here = here[known]
    table = ours[[name for name in _COLUMNS if name in ours]].take(here).reset_index(drop=True)
    table = table.assign(ours=points[known], baseline=level[known])
    if "cell" in baseline:
        table["partner"] = baseline["cell"].take(place[here]).to_numpy()
    return table.assign(difference=difference[known])


def narrow(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns of :data:`READ` that a table has."""
    return frame[[name for name in frame.columns if name in READ]]


def soft_pairs(part: pd.DataFrame, by: str = "pair", among: bool = True) -> Pairs:
    """Joint tuning (Ours) beside independent tuning (Baseline).

    Args:
        part: rows of one combination of settings (:func:`analysis.data.combinations.parts`).
        by: by what λ is chosen, key of :data:`analysis.contrasts.selection.CRITERIA`.
        among: whether ``among`` is worked out; else it is empty.
    """
    part = narrow(part)
    moved = part[part["kind"] == "transfer"]
    ours, base = moved[moved["row"] == "ours"], moved[moved["row"] == "baseline"]
    chosen, every = paired(crossfitted_rows(part, by), base), paired(ours, base)
    either = every[:0]
    if among and by != "source":  # independent prompts have no score as a set on its sources
        both = part.assign(row=part["row"].replace("baseline", "ours"))
        either = paired(crossfitted_rows(both, by), base)
    return Pairs(chosen, every, either, _most(ours, "weight_label"))


def hard_pairs(part: pd.DataFrame, by: str = "", among: bool = True) -> Pairs:
    """Words that agree beside all words, of one method; s and K are chosen on the sources.

    Args:
        part: rows of one method and combination (:func:`analysis.hard.rows.blocks`).
        by: unused; s and K have one way of being chosen.
        among: as for :func:`soft_pairs`.
    """
    part = narrow(part)
    if not (part["row"] == "agreement").any():
        nothing = paired(part[:0], part[:0])
        return Pairs(nothing, nothing, nothing, 0)
    size = [f"{s}/{k}" for s, k in zip(part["s"], part["k"], strict=True)]
    rows = part.assign(size=np.where(part["row"] == "all", _ALL_WORDS, size))
    rows = rows[rows["method"] != "random"]
    moved = rows[rows["kind"] == "transfer"]
    ours, base = moved[moved["row"] == "agreement"], moved[moved["row"] == "all"]
    tables = []
    for names in (["agreement"], ["agreement", "all"] if among else []):
        tuned = rows[(rows["kind"] == "source") & rows["row"].isin(names)]
        best, _ = best_candidates(
            tuned, ["method"], "size", ["task", "sources"], "validation_score", _size_order
        )
        best = best[best["seed"] != ALL_SEEDS][["seed", "size"]]
        mine = moved[moved["row"].isin(names)]
        tables.append(paired(mine.merge(best, on=["seed", "size"]), base))
    return Pairs(tables[0], paired(ours, base), tables[1], _most(ours, "size"))


_ALL_WORDS = "all"


def _size_order(size: str) -> tuple[float, ...]:
    """All words first, then by s and K."""
    return () if size == _ALL_WORDS else tuple(float(part) for part in size.split("/"))


def _most(rows: pd.DataFrame, candidate: str) -> int:
    first, _ = numbered(codes_of(rows, [*CASE, candidate]))
    return int(np.bincount(codes_of(rows, CASE)[first]).max()) if len(rows) else 0


PAIRS: dict[str, Callable[..., Pairs]] = {SOFT: soft_pairs, HARD: hard_pairs}
"""By family, the two ways that the papers compare."""


def case_means(pairs: pd.DataFrame) -> pd.DataFrame:
    """Mean difference of every case over its seeds (and settings).

    Returns:
        Columns of :data:`CASE`, difference and n (rows).
    """
    means = pairs.groupby(CASE, observed=True)["difference"].agg(["mean", "size"]).reset_index()
    means["mean"] = means["mean"].round(_DECIMALS)
    return means.rename(columns={"mean": "difference", "size": "n"})


def overall(pairs: pd.DataFrame, replicates: int = 2000, examples: float = 0.0) -> Crossed:
    """Mean difference over everything with its crossed interval.

    Args:
        pairs: of :func:`paired`.
        replicates: draws of the bootstrap beside it.
        examples: standard error from the test examples,
            :meth:`analysis.contrasts.examples.Examples.error`.
    """
    return crossed_interval(pairs, "difference", replicates=replicates, examples=examples)


def effect_table(
    pairs: pd.DataFrame, by: Sequence[str], error: Callable[[pd.DataFrame], float] | None = None
) -> pd.DataFrame:
    """Effects per group: size, interval, tests, superiority and win/tie/loss.

    Args:
        pairs: of :func:`paired`.
        by: columns that make a group, e.g. ``["task"]`` or ``["sources"]``.
        error: standard error of a group's mean from the drawing of test examples.

    Returns:
        Columns of :func:`analysis.contrasts.by_group.group_effects`, cases, win, tie, loss (cases)
        and superiority.
    """
    table = group_effects(pairs, by, error=error)
    more = []
    for _, part in pairs.groupby(list(by), sort=True, observed=True):
        means = case_means(part)["difference"].to_numpy(dtype=np.float64)
        more.append(
            {
                "cases": len(means),
                **win_tie_loss(means),
                "superiority": superiority(part["difference"]),
            }
        )
    return pd.concat([table, pd.DataFrame(more)], axis=1)


def win_tie_loss(differences: Numbers) -> dict[str, int]:
    win, loss = int((differences > ROPE).sum()), int((differences < -ROPE).sum())
    return {"win": win, "tie": len(differences) - win - loss, "loss": loss}


def superiority(differences: "pd.Series | Numbers") -> float:
    """Probability that a paired difference is above 0, ties counting half; NaN without any."""
    values = np.asarray(differences, dtype=np.float64)
    if not len(values):
        return float("nan")
    return float((values > 0).mean() + 0.5 * (values == 0).mean())
