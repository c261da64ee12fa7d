"""Made-up observations whose order of source sets has known reasons, and what is found in them.

``python -m tests.analysis.planted_features 1000`` prints the table of all designs.
"""

import itertools
import math
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.exchanges import DRAWN
from analysis.features import FEATURES
from analysis.prediction import Check, past_check, pooled, source_check


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


def observed(design: Planted, seed: int) -> pd.DataFrame:
    """One draw of a design, as :func:`analysis.features.observations` gives it; gains in 0 to 1."""
    draw = np.random.default_rng(seed)
    keys = design.keys()
    mixing = np.array([[m in chosen for m in range(design.sources)] for chosen, _, _ in keys])
    # Means over independent models, scaled to a variance of 1.
    mixing = mixing / math.sqrt(design.size)
    target, task = (np.array([key[place] for key in keys]) for place in (1, 2))

    def of_sets(*shape: int) -> np.ndarray:
        return mixing @ draw.normal(size=(design.sources, *shape))

    rows = np.arange(len(keys))
    near = of_sets(design.targets)[rows, target]
    noise = (
        draw.standard_t(3, len(keys)) / math.sqrt(3)
        if design.heavy
        else draw.normal(size=len(keys))
    )
    rest = 1 - design.agreement - design.own - design.passing
    gain = (
        math.sqrt(design.agreement) * near
        + math.sqrt(design.own) * of_sets(1)[:, 0]
        + math.sqrt(design.passing) * of_sets(design.tasks)[rows, task]
        + math.sqrt(rest) * noise
    )
    level = draw.normal(size=(design.targets, design.tasks))[target, task]
    # A target among the sources has their name.
    names = [f"m{place}" if design.inside else f"t{place}" for place in range(design.targets)]
    table = pd.DataFrame(
        {
            "method": "soft",
            "sources": ["+".join(f"m{place}" for place in chosen) for chosen, _, _ in keys],
            "target": [names[place] for place in target],
            "task": [f"task{place}" for place in task],
            "size": design.size,
            "gain": 0.5 + 0.05 * gain + 0.1 * level,
            "agreement": 0.5 + 0.1 * near,
            "cka": draw.normal(size=len(keys)),
            "source_size": of_sets(1)[:, 0],
            "source_score": draw.normal(size=len(keys)),
            "empty_entropy": level,
        }
    )
    table = table.assign(source_ids=table["sources"], target_id=table["target"])
    table = table.assign(**{name: np.nan for name in FEATURES if name not in table.columns})
    return table[draw.random(len(keys)) >= design.missing].reset_index(drop=True)


def checks(design: Planted, seed: int, drawn: int = DRAWN) -> dict[str, Check]:
    """Every question that the design has an answer to, asked of one draw."""
    known = pooled(observed(design, seed))
    found = {"source": source_check(known, drawn)}
    if design.tasks > 1:
        found["task"] = past_check(known, "task", drawn)
    if design.targets > 1:
        found["target"] = past_check(known, "target", drawn)
    return found


def rates(design: Planted, simulations: int, drawn: int = DRAWN) -> pd.DataFrame:
    """How often every question is answered with "better than chance", read off the sentences.

    Returns:
        Per question: truth, found (share), rho (mean) and told (the power told in the first draw).
    """
    rows = [
        {
            "question": question,
            "truth": design.truth[question],
            "found": "is better than chance" in check.sentence(),
            "rho": check.rho,
            "told": check.power,
        }
        for seed in range(simulations)
        for question, check in checks(design, seed, drawn).items()
    ]
    table = pd.DataFrame(rows).groupby("question", sort=False)
    return table.agg(
        truth=("truth", "first"),
        found=("found", "mean"),
        rho=("rho", "mean"),
        told=("told", "first"),
    )


DESIGNS = {
    "nothing to find, 5 × 7": Planted(passing=0.5),
    "nothing to find, pairs on two targets": Planted(size=2, targets=2, tasks=3, passing=0.7),
    "sources of their own worth, 3 of 10 are targets": Planted(
        10, targets=3, inside=True, tasks=3, own=0.5
    ),
    "the same, 30 % missing, heavy tails": Planted(
        6, targets=2, tasks=4, own=0.5, missing=0.3, heavy=True
    ),
    "agreement explains everything, 5 × 7": Planted(agreement=0.95),
    "own worth explains most, 5 × 7": Planted(own=0.7),
}
"""Designs that tests hold, by what is true of them."""


if __name__ == "__main__":
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    for title, planted in DESIGNS.items():
        print(f"{title}\n{rates(planted, times).round(3)}\n")
