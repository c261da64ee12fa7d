"""What looking at more candidates brings: the best of n on validation, read on test."""

import numpy as np
import pandas as pd

UNITS = ["target", "task", "seed"]
"""Within one of these, rows are candidates for the same choice."""


def best_of_n(frame: pd.DataFrame) -> pd.DataFrame:
    """Expected score of the best of n candidates drawn without replacement, for every n.

    With the N candidates of a unit in order of the column they are chosen by, the i-th is the best
    of n draws with probability C(i-1, n-1) / C(N, n). Ties keep the mean of their values. Means run
    over the units, for n up to the smallest number of candidates.

    Args:
        frame: candidates, one a row; rows without either score are left out.

    Returns:
        Columns n, chosen (test score of the best on validation), oracle (best on test: an upper
        bound, not a result) and validation (what the choice promised), each between 0 and 1.
        Empty without candidates.
    """
    chosen_by, value = "validation_score", "score"
    frame = frame.dropna(subset=[chosen_by, value])
    groups = [part for _, part in frame.groupby(UNITS, observed=True)]
    if not groups:
        return pd.DataFrame({name: [] for name in ("n", "chosen", "oracle", "validation")})
    most = min(len(part) for part in groups)
    pieces = {"chosen": (chosen_by, value), "oracle": (value, value),
              "validation": (chosen_by, chosen_by)}  # fmt: skip
    sums = {name: np.zeros(most) for name in pieces}
    for part in groups:
        weights = chances(len(part), most)
        for name, (by, read) in pieces.items():
            # Candidates that tie share their mean, so that the order of rows says nothing.
            values = part.groupby(by)[read].transform("mean")
            order = np.argsort(part[by].to_numpy(), kind="stable")
            sums[name] += weights @ values.to_numpy()[order]
    means = {name: total / len(groups) for name, total in sums.items()}
    return pd.DataFrame({"n": np.arange(1, most + 1), **means})


def expected_best(candidates: pd.DataFrame, n: int) -> float:
    """Expected score of the best of ``n`` of one unit's candidates, as :func:`best_of_n` has it.

    Args:
        candidates: one a row, with ``validation_score``, by which is chosen, and ``score``.
        n: how many are drawn; all of them where there are no more.
    """
    by = candidates.sort_values("validation_score", kind="stable")
    values = by.groupby("validation_score")["score"].transform("mean").to_numpy()
    n = min(n, len(values))
    return float(chances(len(values), n)[n - 1] @ values)


def chances(count: int, most: int) -> np.ndarray:
    """Probability [most, count] that candidate i (from the worst up) is the best of n draws."""
    from scipy.special import gammaln

    i, n = np.arange(1, count + 1)[None, :], np.arange(1, most + 1)[:, None]
    with np.errstate(invalid="ignore"):
        log = (
            gammaln(i) - gammaln(n) - gammaln(i - n + 1)
            - gammaln(count + 1) + gammaln(n + 1) + gammaln(count - n + 1)
        )  # fmt: skip
    return np.where(i >= n, np.exp(log), 0.0)
