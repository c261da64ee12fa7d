"""Which settings tell good results from the rest: PED-ANOVA over the cells of a sweep, with noise.

PED-ANOVA shares sum to 1 whatever the scores are: of pure noise, a setting with many values gets
most. They are therefore shown beside what scores without any order give. Where a search chose the
settings, they were not drawn evenly: such numbers describe the search, not the landscape.
:data:`LABEL` has to stand beside them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

SETTINGS = (
    "method", "sources", "counterparts", "weight_label", "s", "k", "prompt_length", "position",
    "init", "solver",
)  # fmt: skip
"""Settings looked at, as far as they vary."""
LABEL = (
    "Conditional on the settings that were tried: it tells what sets the best tenth of them apart, "
    "not how the score would answer elsewhere."
)
LEAST_POINTS = 10
PERMUTATIONS = 200
ALPHA = 0.05
"""Probability that pure noise makes any setting exceed its bound."""
_TOP = 0.1  # the best share of points, as in the paper and in Optuna
_MISSING = "–"
_COLUMNS = ["setting", "importance", "values", "noise", "bound"]

Numbers = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Points:
    """Distinct combinations of settings, and their scores in every block (task and seed).

    Attributes:
        codes: by setting, the value's number at every point, [points].
        totals: sum of the centred scores, [points, blocks].
        counts: scores in it, [points, blocks].
    """

    codes: dict[str, Codes]
    totals: Numbers
    counts: Numbers

    def means(self) -> Numbers:
        return _ratio(self.totals.sum(axis=1), self.counts.sum(axis=1))


def against_noise(
    frame: pd.DataFrame,
    settings: Sequence[str] = SETTINGS,
    value: str = "validation_score",
    permutations: int = PERMUTATIONS,
) -> pd.DataFrame:
    """Importance of settings for the score (PED-ANOVA, Watanabe et al. 2023), beside noise.

    Scores are centred per task and target and averaged over seeds, tasks and targets. Importance is
    Pearson's divergence of a setting's values in the best tenth of points from those in all, both
    with one even point more (Optuna's kernels for categories count five of six equal values for
    more than six of six).

    Noise: if a setting does not matter, its values could change names within a task and seed. So
    names are drawn anew there, for all results alike (other settings and targets share tunings and
    noise), after the values' own means were taken out. Only values tried with the same other
    settings and targets are exchanged. One task and one seed tell nothing.

    Args:
        frame: cells that compete, e.g. the transfer rows of Ours.
        settings: columns looked at.
        value: score, higher is better; the test split chooses nothing, so validation by default.
        permutations: draws per setting; 0 for none.

    Returns:
        Columns setting, importance (descending, sum 1), values (distinct ones), noise (mean of the
        draws) and bound (which pure noise exceeds in any setting with probability :data:`ALPHA`),
        both on the scale of importance; NaN where names cannot be exchanged or draws are too few.
        Empty with fewer than ten points or where nothing varies.
    """
    empty = pd.DataFrame({name: [] for name in _COLUMNS})
    frame = frame[frame[value].notna()]
    names = [name for name in settings if name in frame and frame[name].nunique(dropna=False) > 1]
    if not names:
        return empty
    points, targets = _points(frame, names, value)
    means = points.means()
    if len(means) < LEAST_POINTS or len(np.unique(means)) < 2:
        return empty
    top = top_tenth(means[None])
    raw = {name: float(divergence(top, points.codes[name])[0]) for name in names}
    total = sum(raw.values()) or 1.0
    generator = np.random.default_rng(0)
    lines = []
    for name in names:
        drawn = _permuted(points, targets, name, permutations, generator) / total
        noise, bound = noise_bounds(drawn, len(names))
        share = raw[name] / total if any(raw.values()) else 1 / len(names)
        lines.append((name, share, int(points.codes[name].max()) + 1, noise, bound))
    table = pd.DataFrame(lines, columns=_COLUMNS)
    return table.sort_values("importance", ascending=False, kind="stable", ignore_index=True)


def noise_bounds(drawn: Numbers, looked_at: int) -> tuple[float, float]:
    """Mean of what noise gives, and what it exceeds with probability :data:`ALPHA` / ``looked_at``.

    Args:
        drawn: of permuted scores, [draws].
        looked_at: settings that are judged together.

    Returns:
        NaN for both without a draw; NaN for the bound where the draws are too few for it.
    """
    if not len(drawn):
        return math.nan, math.nan
    # What was found is one more draw of the same kind: it is above the k-th largest with
    # probability k / (draws + 1).
    place = int(ALPHA / looked_at * (len(drawn) + 1) + 1e-9)
    bound = float(np.sort(drawn)[-place]) if place else math.nan
    return float(drawn.mean()), bound


def beyond_noise(table: pd.DataFrame) -> pd.Series:
    """Whether each setting's importance is more than noise gives.

    Args:
        table: of :func:`against_noise`; a setting without a bound is never beyond it.
    """
    # Equal but for rounding is equal.
    return table["importance"] > table["bound"] + 1e-9


def _points(frame: pd.DataFrame, names: Sequence[str], value: str) -> tuple[_Points, Codes]:
    """The points, and by point and target whether there is a score, [points, targets]."""
    level = frame.groupby(["task", "target"], observed=True)[value].transform("mean")
    left = (frame[value] - level).to_numpy(dtype=np.float64)
    every = {name: _codes(frame[name].astype("string").fillna(_MISSING)) for name in names}
    point, first = _joint([every[name] for name in names])
    blocks = ["task", "seed"] if "seed" in frame else ["task"]
    block, _ = _joint([_codes(frame[name]) for name in blocks])
    shape = (len(first), int(block.max()) + 1)
    place = point * shape[1] + block
    totals, counts = (
        np.bincount(place, weights, shape[0] * shape[1]).astype(np.float64).reshape(shape)
        for weights in (left, np.ones(len(left)))
    )
    target = _codes(frame["target"])
    seen = np.zeros((shape[0], int(target.max()) + 1), dtype=np.int64)
    seen[point, target] = 1
    codes = {name: every[name][first] for name in names}
    return _Points(codes, totals.astype(np.float64), counts.astype(np.float64)), seen


def _codes(column: pd.Series) -> Codes:
    return pd.factorize(column, sort=True, use_na_sentinel=False)[0].astype(np.int64)


def _joint(columns: Sequence[Codes]) -> tuple[Codes, Codes]:
    """Number of every row's combination, and the first row of each."""
    _, first, code = np.unique(
        np.stack(columns, axis=1), axis=0, return_index=True, return_inverse=True
    )
    return code.reshape(-1).astype(np.int64), first.astype(np.int64)


def _ratio(totals: Numbers, counts: Numbers) -> Numbers:
    """Means; NaN where there is nothing. Equal but for the order of summation is equal."""
    means: Numbers = (totals / np.where(counts > 0, counts, np.nan)).round(12)
    return means


def top_tenth(means: Numbers) -> npt.NDArray[np.bool_]:
    """Which points are among the best tenth of each line (ties with the last one are in).

    Args:
        means: higher is better, NaN for a point without a value, [lines, points].
    """
    known = np.isfinite(means)
    size = np.ceil(_TOP * known.sum(axis=1)).astype(np.int64)
    rising = np.sort(np.where(known, -means, np.inf), axis=1)
    cut = np.take_along_axis(rising, size[:, None] - 1, axis=1)
    return known & (-means <= cut)


def divergence(top: npt.NDArray[np.bool_], codes: Codes) -> Numbers:
    """Pearson's divergence of a setting's values in the top from those in all points, [lines].

    Args:
        top: which points are in the top, [lines, points].
        codes: number of the setting's value at every point, [points].
    """
    values = int(codes.max()) + 1
    each = np.zeros((len(codes), values))
    each[np.arange(len(codes)), codes] = 1.0
    inside = _shares(top.astype(np.float64) @ each)
    outside = _shares(each.sum(axis=0, keepdims=True))
    pearson: Numbers = (outside * (inside / outside - 1) ** 2).sum(axis=1)
    return pearson


def _shares(counts: Numbers) -> Numbers:
    """Probabilities [lines, values] from counts, with one even result more as the prior."""
    shares: Numbers = (counts + 1 / counts.shape[1]) / (counts.sum(axis=1, keepdims=True) + 1)
    return shares


def _permuted(
    points: _Points, targets: Codes, name: str, draws: int, generator: np.random.Generator
) -> Numbers:
    """The divergence of a setting under new names of its values, [draws]; empty if there are none.

    Args:
        targets: by point, which targets it has, [points, targets].
    """
    groups = _exchangeable(points, targets, name)
    blocks = points.totals.shape[1]
    if not groups or not draws or blocks < 2:
        return np.zeros(0)
    means = np.tile(points.means(), (draws, 1))
    each = np.arange(blocks)[:, None]
    for members in groups:
        levels = np.tile(np.arange(len(members)), (blocks, 1))
        left, counts = _without(points.totals[members], points.counts[members])
        for draw in range(draws):
            # [blocks, values, others]: in every block each value gets another one's results.
            place = generator.permuted(levels, axis=1)
            means[draw, members] = _ratio(
                left[place, :, each].sum(axis=0), counts[place, :, each].sum(axis=0)
            )
    return divergence(top_tenth(means), points.codes[name])


def _without(totals: Numbers, counts: Numbers) -> tuple[Numbers, Numbers]:
    """Sums [values, others, blocks] without the values' means, and their counts.

    With the means in, new names would spread a large effect over all values, like noise (Freedman &
    Lane 1983). The spread that a block's shared results lose with the means, 1 of the number of
    blocks, is given back.
    """
    mean = totals.sum() / counts.sum()
    values = _ratio(totals.sum(axis=(1, 2)), counts.sum(axis=(1, 2)))[:, None, None]
    left = totals - counts * values
    here = counts.sum(axis=1, keepdims=True)
    shared = left.sum(axis=1, keepdims=True) / np.where(here > 0, here, 1.0)
    blocks = totals.shape[2]
    return left + counts * (mean + (math.sqrt(blocks / (blocks - 1)) - 1) * shared), counts


def _exchangeable(points: _Points, targets: Codes, name: str) -> list[Codes]:
    """Groups of values that stand with the same other settings and targets.

    Returns:
        Numbers of points, [values, others] a group; groups of one value are left out.
    """
    mine = points.codes[name]
    rest = [codes for other, codes in points.codes.items() if other != name]
    other, _ = _joint(rest) if rest else (np.zeros(len(mine), dtype=np.int64), mine)
    order = np.lexsort((other, mine))
    alike: dict[bytes, list[Codes]] = {}
    for members in np.split(order, np.flatnonzero(np.diff(mine[order])) + 1):
        mark = other[members].tobytes() + b"/" + targets[members].tobytes()
        alike.setdefault(mark, []).append(members)
    return [np.stack(group) for group in alike.values() if len(group) > 1]
