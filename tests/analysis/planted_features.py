"""Made-up observations whose order of source sets has known reasons, and what is found in them.

``python -m tests.analysis.planted_features 1000`` prints the table of all designs.
"""

import itertools
import math
import sys
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from analysis.forecast.features import FEATURES
from analysis.forecast.prediction import Check, past_check, pooled, source_check
from analysis.stats.exchanges import DRAWN


@dataclass(frozen=True)
class Planted:
    """A design, and the shares of the variance of gains that have one reason or another.

    Attributes:
        sources: source models.
        size: of the source sets.
        targets: their number.
        inside: whether the targets are among the sources.
        tasks: their number.
        missing: share of the gains that are not there yet.
        agreement: share of what agreement with the target decides.
        own: share that a model has for itself, on all tasks and targets; no feature knows it.
        passing: share that a model has in one task, on all targets (its tuned prompt).
        heavy: whether the rest, noise of every gain, is drawn from t with 3 degrees of freedom.
    """

    sources: int = 5
    size: int = 1
    targets: int = 1
    inside: bool = False
    tasks: int = 7
    missing: float = 0.0
    agreement: float = 0.0
    own: float = 0.0
    passing: float = 0.0
    heavy: bool = False

    @property
    def truth(self) -> dict[str, bool]:
        """Whether there is an order to find, by question."""
        return {
            "source": self.agreement > 0,
            "task": self.agreement + self.own > 0,
            "target": self.own + self.passing > 0,
        }

    def keys(self) -> list[tuple[tuple[int, ...], int, int]]:
        """Source set, target and task of every gain."""
        sets = itertools.combinations(range(self.sources), self.size)
        everything = itertools.product(sets, range(self.targets), range(self.tasks))
        return [key for key in everything if not (self.inside and key[1] in key[0])]


def draws(design: Planted, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Agreement, gain and level of target and task, of every key of the design."""
    draw = np.random.default_rng(seed)
    keys = design.keys()
    member = np.array([[m in chosen for m in range(design.sources)] for chosen, _, _ in keys])
    # Means over independent models, scaled to a variance of 1.
    mixing = member / math.sqrt(design.size)
    target, task = (np.array([key[place] for key in keys]) for place in (1, 2))
    rows, count = np.arange(len(keys)), len(keys)

    def of_sets(many: int) -> np.ndarray:
        return mixing @ draw.normal(size=(design.sources, many))

    near = of_sets(design.targets)[rows, target]
    noise = draw.standard_t(3, count) / math.sqrt(3) if design.heavy else draw.normal(size=count)
    gain = (
        math.sqrt(design.agreement) * near
        + math.sqrt(design.own) * of_sets(1)[:, 0]
        + math.sqrt(design.passing) * of_sets(design.tasks)[rows, task]
        + math.sqrt(1 - design.agreement - design.own - design.passing) * noise
    )
    level = draw.normal(size=(design.targets, design.tasks))[target, task]
    return 0.5 + 0.1 * near, 0.5 + 0.05 * gain + 0.1 * level, level


def observed(design: Planted, seed: int) -> pd.DataFrame:
    """One draw of a design, as observations of features are; gains in 0 to 1.

    Which gains are missing is the same in all draws.
    """
    keys = design.keys()
    agreement, gain, level = draws(design, seed)
    other = np.random.default_rng(seed + 10**6)
    # A target among the sources has their name.
    names = [f"m{place}" if design.inside else f"t{place}" for place in range(design.targets)]
    sources = ["+".join(f"m{place}" for place in chosen) for chosen, _, _ in keys]
    table = pd.DataFrame(
        {
            "method": "soft",
            "sources": sources,
            "source_ids": sources,
            "target": [names[place] for _, place, _ in keys],
            "target_id": [names[place] for _, place, _ in keys],
            "task": [f"task{place}" for _, _, place in keys],
            "size": design.size,
            "gain": gain,
            "agreement": agreement,
            "cka": other.normal(size=len(keys)),
            "source_score": other.normal(size=len(keys)),
            "empty_entropy": level,
            NUMBER: np.arange(len(keys), dtype="float64"),
        }
    )
    table = table.assign(**{name: np.nan for name in FEATURES if name not in table.columns})
    there = np.random.default_rng(0).random(len(keys)) >= design.missing
    return table[there].reset_index(drop=True)


NUMBER = "target_size"
"""A feature that is made to number the keys."""


@lru_cache
def _pooled(design: Planted) -> tuple[pd.DataFrame, np.ndarray]:
    table = pooled(observed(design, 0))
    table = table[["target_id", "task", "source_ids", "gain", "agreement", NUMBER]]
    return table, table.groupby(["target_id", "task"]).ngroup().to_numpy()


def known(design: Planted, seed: int) -> pd.DataFrame:
    """What is pooled of a draw, without the work that all draws share."""
    table, blocks = _pooled(design)
    agreement, gain, _ = draws(design, seed)
    rows = table[NUMBER].to_numpy().astype(int)
    means = np.bincount(blocks, gain[rows]) / np.bincount(blocks)
    return table.assign(gain=gain[rows] - means[blocks], agreement=agreement[rows])


def ask(question: str, design: Planted, seed: int, drawn: int = DRAWN) -> Check:
    """One question asked of one draw."""
    table = known(design, seed)
    if question == "source":
        return source_check(table, drawn)
    return past_check(table, question, drawn)


def found(question: str, design: Planted, simulations: int, drawn: int = DRAWN) -> float:
    """Share of draws in which the sentence says that the order is better than chance."""
    sentences = (ask(question, design, seed, drawn).sentence() for seed in range(simulations))
    return float(np.mean(["is better than chance" in sentence for sentence in sentences]))


def table(simulations: int) -> pd.DataFrame:
    """Every question of every design: what is true, how often it is found, and the power told."""
    rows = [
        {
            "design": title,
            "question": question,
            "an order is there": truth,
            "found": found(question, design, simulations),
            "power told for R² = 0.5": ask(question, design, 0).power,
        }
        for title, design in DESIGNS.items()
        for question, truth in design.truth.items()
        if question != "target" or design.targets > 1
    ]
    return pd.DataFrame(rows)


DESIGNS = {
    "nothing to find, 5 × 7": Planted(passing=0.5),
    "nothing to find, pairs on two targets": Planted(size=2, targets=2, tasks=3, passing=0.7),
    "sources of their own worth, 3 of 10 are targets": Planted(
        10, targets=3, inside=True, tasks=3, own=0.5
    ),
    "the same, 30 % missing, heavy tails": Planted(
        6, targets=2, tasks=4, own=0.5, missing=0.3, heavy=True
    ),
    "only agreement with three targets": Planted(5, targets=3, tasks=3, agreement=0.5),
    "agreement explains everything, 5 × 7": Planted(agreement=0.95),
    "own worth explains most, 5 × 7": Planted(own=0.7),
}
"""Designs that tests hold, by what is true of them."""


if __name__ == "__main__":
    print(table(int(sys.argv[1]) if len(sys.argv) > 1 else 200).round(3).to_string(index=False))
