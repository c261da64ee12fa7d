"""What one way of finding prompts gains over another, paired on everything else.

A *case* is one source set, task and target; seeds and settings within it are repeats, no new cases.
All differences are in points (100 times the metric).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.bootstrap import Crossed, crossed_interval
from analysis.families import HARD, SOFT, of_family
from analysis.selection import Choices, at_choices, choose

ROPE = 0.5
"""Points either way that count as a tie (region of practical equivalence)."""
CASE = ["sources", "task", "target"]
"""What makes a case."""
_HARD_KEY = ["method", "combination", "sources", "task", "target", "seed"]
_DECIMALS = 9
_COLUMNS = [
    "family",
    "combination",
    "counterparts",
    "s",
    "k",
    *CASE,
    "seed",
    "ours",
    "baseline",
    "difference",
]

Numbers = npt.NDArray[np.float64]


def paired(ours: pd.DataFrame, baseline: pd.DataFrame, on: Sequence[str]) -> pd.DataFrame:
    """Rows of ``ours`` beside the row of ``baseline`` with the same values in ``on``.

    Args:
        ours: rows with a ``score`` between 0 and 1.
        baseline: likewise; at most one per value of ``on``, else their mean is taken.
        on: columns that both share; a missing value equals a missing value.

    Returns:
        Settings, case and seed (those columns that ``ours`` has), then ours, baseline and
        difference in points. Rows without a partner are left out.
    """
    level = baseline.groupby(list(on), dropna=False)["score"].mean()
    keys = pd.MultiIndex.from_frame(ours[list(on)])
    found = level.reindex(keys).to_numpy(dtype=np.float64) if len(level) else np.full(len(ours), 0)
    kept = [name for name in _COLUMNS if name in ours]
    table = ours[kept].assign(ours=100 * ours["score"], baseline=100 * found)
    if not len(level):
        table = table[:0]
    table["difference"] = (table["ours"] - table["baseline"]).round(_DECIMALS)
    return table[table["difference"].notna()].reset_index(drop=True)


def soft_differences(frame: pd.DataFrame, choices: Choices | None = None) -> pd.DataFrame:
    """Ours (at the weight chosen on validation) minus Baseline on every target, per seed.

    Args:
        frame: table of :func:`analysis.results.load`.
        choices: of :func:`analysis.selection.choose`; made here where not given.

    Returns:
        As :func:`paired`.
    """
    soft = of_family(frame, SOFT)
    parts = []
    for _, part in soft[soft["kind"] == "transfer"].groupby("combination", dropna=False):
        mine = choose(part) if choices is None else choices
        on = ["sources", "task", "target", "seed"]
        parts.append(paired(at_choices(part, mine), part[part["row"] == "baseline"], on))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=_COLUMNS)


def hard_differences(frame: pd.DataFrame) -> pd.DataFrame:
    """Neighbour agreement minus the whole vocabulary, per seed; every s and K is a row.

    Returns:
        As :func:`paired`.
    """
    hard = of_family(frame, HARD)
    moved = hard[hard["kind"] == "transfer"]
    ours, base = moved[moved["row"] == "agreement"], moved[moved["row"] == "all"]
    return paired(ours, base, _HARD_KEY)


DIFFERENCES = {SOFT: soft_differences, HARD: hard_differences}
"""By family, the differences that the papers ask about."""


def case_means(pairs: pd.DataFrame) -> pd.DataFrame:
    """Mean difference of every case over its seeds (and settings).

    Returns:
        Columns of :data:`CASE`, difference and n (rows).
    """
    found = pairs.groupby(CASE, observed=True)["difference"].agg(["mean", "size"]).reset_index()
    found["mean"] = found["mean"].round(_DECIMALS)
    return found.rename(columns={"mean": "difference", "size": "n"})


def overall(pairs: pd.DataFrame, replicates: int = 2000) -> Crossed:
    """Mean difference over everything with its crossed-bootstrap interval."""
    return crossed_interval(pairs, "difference", replicates=replicates)


def effect_table(pairs: pd.DataFrame, by: Sequence[str] = (), rope: float = ROPE) -> pd.DataFrame:
    """Effects per group: size, interval, tests, superiority and win/tie/loss.

    The unit of Wilcoxon's signed-rank test is a case (its mean over seeds): seeds are repeats.
    Cases that share a model or task are taken as independent, which the interval does not.
    Holm's correction runs over the groups.

    Args:
        pairs: of :func:`paired`.
        by: columns that make a group, e.g. ``["task"]`` or ``["sources"]``; empty for one group.
        rope: half-width in points within which a case is a tie.

    Returns:
        Columns of ``by``, mean, low, high (points), cases, n, win, tie, loss (cases), superiority,
        p, holm, note.
    """
    lines = []
    groups = pairs.groupby(list(by), observed=True) if by and len(pairs) else [((), pairs)]
    for key, part in groups:
        means = case_means(part)["difference"].to_numpy(dtype=np.float64)
        found = crossed_interval(part, "difference", replicates=0)
        lines.append(
            {
                **dict(zip(by, key, strict=False)),
                "mean": found.mean,
                "low": found.low,
                "high": found.high,
                "cases": len(means),
                "n": found.n,
                **win_tie_loss(means, rope),
                "superiority": superiority(part["difference"]),
                "p": wilcoxon_p(means),
                "note": found.note,
            }
        )
    table = pd.DataFrame(lines)
    table["holm"] = holm(table["p"].to_numpy(dtype=np.float64))
    return table


def win_tie_loss(differences: Numbers, rope: float = ROPE) -> dict[str, int]:
    """How many differences lie above, within and below ± ``rope`` points (ends are ties)."""
    win, loss = int((differences > rope).sum()), int((differences < -rope).sum())
    return {"win": win, "tie": len(differences) - win - loss, "loss": loss}


def superiority(differences: "pd.Series | Numbers") -> float:
    """Probability that a paired difference is above 0, ties counting half; NaN without any."""
    values = np.asarray(differences, dtype=np.float64)
    if not len(values):
        return float("nan")
    return float((values > 0).mean() + 0.5 * (values == 0).mean())


def wilcoxon_p(differences: Numbers) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; 1 where all differences are 0, NaN without any.

    Zeros are left out (Wilcoxon's way). n differences cannot give a p below 2 / 2ⁿ.
    """
    if not len(differences):
        return float("nan")
    if not np.any(differences):
        return 1.0
    from scipy.stats import wilcoxon

    return float(wilcoxon(differences).pvalue)


def holm(p: Numbers) -> Numbers:
    """Holm's step-down correction of p-values; NaN stays NaN and does not count."""
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    raised = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return adjusted


def welch_counts(table: pd.DataFrame, alpha: float = 0.05) -> dict[str, int]:
    """Of published pairs of means: how many go up or down, and how many by Welch's test.

    Args:
        table: columns ours, ours_sd, baseline, baseline_sd and n (seeds on either side).
        alpha: level of each test, uncorrected.

    Returns:
        up, down, equal, and significant_up, significant_down.
    """
    from scipy.stats import ttest_ind_from_stats

    ours, ours_sd, base, base_sd, n = (
        table[name].to_numpy(dtype=np.float64)
        for name in ("ours", "ours_sd", "baseline", "baseline_sd", "n")
    )
    test = ttest_ind_from_stats(ours, ours_sd, n, base, base_sd, n, equal_var=False)
    difference = (ours - base).round(_DECIMALS)
    clear = np.asarray(test.pvalue) < alpha
    return {
        "up": int((difference > 0).sum()),
        "down": int((difference < 0).sum()),
        "equal": int((difference == 0).sum()),
        "significant_up": int((clear & (difference > 0)).sum()),
        "significant_down": int((clear & (difference < 0)).sum()),
    }
