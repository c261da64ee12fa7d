"""How often a sweep of some design finds an order that is really there, told before any outcome.

Both powers come from simulated sweeps of the design, tested with its own valid permutations, always
with the same random numbers. What is simulated belongs to the *models*, normal and independent; a
set has the mean of its models. That is the careful reading: pairs that share a model are no
independent observations. Likewise what a model has beside the order is the same in all tasks of a
target (:func:`source_power`), or on all targets of a task (:func:`past_power`), as its tuned
prompts are: more tasks, or more targets, do not make it average out.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from analysis.stats.exchanges import Places, SourceSet, exchanges, p_value, sample, separate
from analysis.stats.ordering import Numbers, past_rhos, unit_ranks

R2 = 0.5
"""Share of the variance of gains among source sets that the order is taken to explain."""
LEVEL = 0.05
"""Permutation p-value up to which an order counts as better than chance."""
FEWEST = math.ceil(1 / LEVEL)
"""Valid permutations below which no result at all can be better than chance."""
_FEWEST_RUNS = 25  # of the largest designs, whose power is next to 1


@lru_cache(maxsize=64)
def source_power(
    sets: tuple[SourceSet, ...], places: Places, blocks: tuple[int, ...], r2: float = R2
) -> float:
    """Power for a new source set by one prespecified feature.

    Args:
        places: per target the numbers of the sets that have gains on it.
        blocks: per target its number of blocks (tasks), which weighs it.
        r2: squared correlation of feature and gain among the models, on every target.

    Returns:
        Share of simulated sweeps in which the feature comes out better than chance.
    """
    valid = exchanges(sets, places)
    if valid.count < FEWEST:
        return 0.0
    orders = sample([valid], every=1_000, drawn=199)[0][:, 0]
    runs = _runs(1_000, 5_000_000 // max(len(sets) ** 2, len(orders)))
    generator, mixing = np.random.default_rng(0), _mixing(sets)
    product = np.zeros((runs, len(sets), len(sets)))
    for numbers, count in zip(places, blocks, strict=True):
        here = _there(numbers, len(sets))
        feature, rest = generator.normal(size=(2, runs, mixing.shape[1]))
        gain = math.sqrt(r2) * feature + math.sqrt(1 - r2) * rest
        sides = (unit_ranks(side @ mixing.T, here) for side in (feature, gain))
        product += count * np.einsum("ri,rj->rij", *sides)
    # A valid permutation maps the sets of a target onto themselves: ranks move with their sets.
    columns = np.arange(len(sets))
    p = [p_value(one[orders, columns].sum(1)) for one in product]
    return float(np.mean(np.array(p) <= LEVEL))


@lru_cache(maxsize=64)
def past_power(sets: tuple[SourceSet, ...], units: tuple[Places, ...], r2: float = R2) -> float:
    """Power for a new task (or target) by the past mean.

    Args:
        units: per task and target (or the other way round) the numbers of the sets with gains.
        r2: share of the variance of the models' gains in a unit that is the same in all units.

    Returns:
        Share of simulated sweeps in which the past mean comes out better than chance.
    """
    valid, ways = separate(sets, units)
    if ways < FEWEST:
        return 0.0
    here = np.array([_there(sum(places, ()), len(sets)) for places in units])
    orders, _ = sample(valid, every=200, drawn=99)
    runs = _runs(400, 3_000_000 // orders.size)
    generator, mixing = np.random.default_rng(0), _mixing(sets)
    lasting = generator.normal(size=(runs, 1, mixing.shape[1]))
    passing = generator.normal(size=(runs, len(here), mixing.shape[1]))
    gains = (math.sqrt(r2) * lasting + math.sqrt(1 - r2) * passing) @ mixing.T
    relative = gains - (gains * here).sum(2, keepdims=True) / np.maximum(here.sum(1), 1)[:, None]
    # Every simulated sweep is a lane of its own.
    rho = past_rhos(np.where(here, relative, math.nan), orders).mean(2)
    return float(np.mean([p_value(one) <= LEVEL for one in rho.T]))


def _runs(most: int, affordable: int) -> int:
    return max(_FEWEST_RUNS, min(most, affordable))


def _there(numbers: Sequence[int], size: int) -> npt.NDArray[np.bool_]:
    present = np.zeros(size, dtype=bool)
    present[list(numbers)] = True
    return present


def _mixing(sets: Sequence[SourceSet]) -> Numbers:
    """What every model is of a set's mean [sets, models]."""
    models = {model: place for place, model in enumerate(sorted({m for one in sets for m in one}))}
    shares = np.zeros((len(sets), len(models)))
    for number, one in enumerate(sets):
        shares[number, [models[model] for model in one]] = 1 / len(one)
    return shares
