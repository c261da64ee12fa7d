"""Ridge regression on standardised features, its strength chosen by a grouped cross-validation.

Shapes: n observations, p features, G candidate strengths.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.ordering import LEAST_VARIATION, Indices, Numbers

STRENGTHS: Numbers = np.logspace(-2, 4, 13)
"""Ridge strengths tried, for standardised features and the sum of squared errors."""


@dataclass(frozen=True)
class Ridge:
    """A fitted ridge regression on standardised features.

    Attributes:
        mean: of the features [p].
        scale: their standard deviations [p]; 1 where a feature does not vary.
        weights: per standard deviation of a feature [p].
        offset: prediction at the mean.
        strength: of the penalty.
    """

    mean: Numbers
    scale: Numbers
    weights: Numbers
    offset: float
    strength: float

    def predict(self, x: Numbers) -> Numbers:
        """Predictions [n] for features [n, p]."""
        found: Numbers = (x - self.mean) / self.scale @ self.weights + self.offset
        return found


def fit_ridge(x: Numbers, y: Numbers, groups: Sequence[Indices]) -> Ridge:
    """Ridge regression whose strength leaves the smallest held-out squared error over ``groups``.

    Args:
        x: features [n, p].
        y: [n].
        groups: rows of each inner validation group; a row may be in several. With fewer than two
            that leave something to train on, the strength is the middle one of :data:`STRENGTHS`.
    """
    errors = np.zeros(len(STRENGTHS))
    used = 0
    for held in groups:
        rest = np.setdiff1d(np.arange(len(y)), held)
        if len(rest) < 2 or not len(held):
            continue
        mean, scale, weights, offset = _path(x[rest], y[rest])
        off = (x[held] - mean) / scale @ weights + offset - y[held][:, None]
        errors += (off**2).sum(0)
        used += 1
    best = int(np.argmin(errors)) if used > 1 else len(STRENGTHS) // 2
    mean, scale, weights, offset = _path(x, y)
    return Ridge(mean, scale, weights[:, best], offset, float(STRENGTHS[best]))


def _path(x: Numbers, y: Numbers) -> tuple[Numbers, Numbers, Numbers, float]:
    """Mean and scale of the features [p], weights for every strength [p, G], and the offset."""
    mean, scale = x.mean(0), x.std(0)
    scale = np.where(scale > LEAST_VARIATION, scale, 1.0)
    z, centred = (x - mean) / scale, y - y.mean()
    values, vectors = np.linalg.eigh(z.T @ z)
    inner = (vectors.T @ (z.T @ centred))[:, None]
    weights = vectors @ (inner / (np.clip(values, 0, None)[:, None] + STRENGTHS))
    return mean, scale, weights, float(y.mean())
