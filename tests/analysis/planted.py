"""Tidy tables with planted effects: known variances, known pair × task effects, or none."""

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Planted:
    """Standard deviations of a score's parts, in points, and the design's size."""

    source: float = 0.0
    pair: float = 0.0
    task: float = 0.0
    target: float = 0.0
    seed: float = 0.0
    pair_task: float = 0.0
    noise: float = 1.0
    effect: float = 0.0
    models: int = 8
    tasks: int = 7
    targets: int = 1
    seeds: int = 5


def planted(design: Planted, rng: np.random.Generator) -> pd.DataFrame:
    """Columns sources, task, target, seed and difference (points)."""
    pairs = list(itertools.combinations(range(design.models), 2))
    names = np.array([f"m{a}+m{b}" for a, b in pairs])
    ends = np.array(pairs)
    sizes = (len(pairs), design.tasks, design.targets, design.seeds)
    pair, task, target, seed = (place.ravel() for place in np.indices(sizes))
    model = design.source * rng.normal(size=design.models)
    y = design.effect + (model[ends[pair, 0]] + model[ends[pair, 1]]) / 2
    for place, sd in (
        (pair, design.pair),
        (task, design.task),
        (target, design.target),
        (seed, design.seed),
        (pair * design.tasks + task, design.pair_task),
    ):
        y = y + sd * rng.normal(size=place.max() + 1)[place]
    y = y + design.noise * rng.normal(size=len(y))
    return pd.DataFrame(
        {
            "sources": names[pair],
            "task": np.char.add("t", task.astype(str)),
            "target": np.char.add("g", target.astype(str)),
            "seed": seed,
            "difference": y,
        }
    )


@dataclass(frozen=True)
class Tuned:
    """A comparison of joint with independent tuning, whose tunings are shared.

    Attributes:
        joint: standard deviation of the joint tuning of a pair (per task and seed), points.
        alone: of the independent tuning of a source (per task and seed), in all pairs with it.
        reading: of every reading of a prompt on a target.
        source_task, pair_task: of true effects of source × task and pair × task.
        effect: true mean.
        freedom: of t-distributed tunings and readings (scaled to these deviations); 0 for normal.
        missing: share of rows left out at random.
    """

    joint: float = 2.0
    alone: float = 2.0
    reading: float = 1.0
    source_task: float = 0.0
    pair_task: float = 0.0
    effect: float = 0.0
    freedom: int = 0
    missing: float = 0.0
    models: int = 6
    tasks: int = 7
    targets: int = 1
    seeds: int = 5


def tuned(design: Tuned, rng: np.random.Generator) -> pd.DataFrame:
    """Columns sources, task, target, seed and difference (points): joint minus mean of alone."""

    def noise(sd: float, *shape: int) -> np.ndarray:
        if not design.freedom:
            return sd * rng.normal(size=shape)
        scale = sd / (design.freedom / (design.freedom - 2)) ** 0.5
        return scale * rng.standard_t(design.freedom, size=shape)

    ends = np.array(list(itertools.combinations(range(design.models), 2)))
    tasks, targets, seeds = design.tasks, design.targets, design.seeds
    alone = noise(design.alone, design.models, tasks, 1, seeds)
    alone = alone + noise(design.reading, design.models, tasks, targets, seeds)
    joint = noise(design.joint, len(ends), tasks, 1, seeds)
    joint = joint + noise(design.reading, len(ends), tasks, targets, seeds)
    true = design.source_task * rng.normal(size=(design.models, tasks, 1, 1))
    y = design.effect + joint + (true - alone)[ends].mean(axis=1)
    y = y + design.pair_task * rng.normal(size=(len(ends), tasks, 1, 1))
    pair, task, target, seed = (place.ravel() for place in np.indices(y.shape))
    table = pd.DataFrame(
        {
            "sources": np.array([f"m{a}+m{b}" for a, b in ends])[pair],
            "task": np.char.add("t", task.astype(str)),
            "target": np.char.add("g", target.astype(str)),
            "seed": seed,
            "difference": y.ravel(),
        }
    )
    return table[rng.uniform(size=len(table)) >= design.missing] if design.missing else table


def ledger(
    models: int, tasks: int, targets: int, seeds: int, rng: np.random.Generator
) -> pd.DataFrame:
    """A soft sweep's tidy table (transfer rows) with Baseline and Ours at four weights.

    Empty is 0.4; the task adds a known level, λ = 0.5 adds 2 points, and noise is 1 point.
    """
    base = planted(
        Planted(
            task=5.0,
            target=3.0,
            noise=1.0,
            models=models,
            tasks=tasks,
            targets=targets,
            seeds=seeds,
        ),
        rng,
    )
    parts = []
    for row, label, add in (
        ("baseline", "0", 0.0),
        ("ours", "0.1", 0.0),
        ("ours", "0.5", 2.0),
        ("ours", "0.9", -2.0),
        ("ours", "annealing", 0.5),
    ):
        gain = (base["difference"] + add + rng.normal(size=len(base))) / 100
        parts.append(
            base.drop(columns="difference").assign(
                row=row,
                weight_label=label,
                score=0.5 + gain,
                gain_over_empty=0.1 + gain,
                validation_score=0.5 + gain + 0.01 * rng.normal(size=len(base)),
            )
        )
    frame = pd.concat(parts, ignore_index=True)
    cells = [f"c{number}" for number in range(len(frame))]
    return frame.assign(kind="transfer", family="soft", combination="", method="joint",
                        settings="{}", metric="accuracy", cell=cells)  # fmt: skip
