"""Verdicts against truth: made-up sweeps whose effect is known, and what the report says of them.

``python -m benchmarks.planted [--runs 200]`` prints, for each planted design, how often the verdict
says that joint tuning helped or hurt, how often its interval covers the truth, and the bias. Every
result is scored on examples of its own task: a cell is right on an example where the example's
difficulty, which all cells share, and the cell's own luck stay below what the cell can do.
"""

import argparse
import itertools
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.contrasts.effects import soft_pairs
from analysis.contrasts.examples import Examples
from analysis.contrasts.verdict import Verdict, explanations, verdict, verdict_text
from analysis.data.predictions import Kept

WEIGHTS = ("0", "0.1", "0.3", "0.5", "0.7", "0.9")
"""λ = 0 is Baseline."""
LEVEL = 60.0
"""Points that every cell has by itself."""
_SHARED = 0.5
"""Part of an example's luck that all cells share."""


@dataclass(frozen=True)
class Planted:
    """A design: sizes, standard deviations in points, and the effect of joint tuning.

    Attributes:
        sources: source models; all pairs of them are tuned.
        tasks: tasks.
        targets: targets.
        seeds: seeds.
        test: test examples of a task.
        effect: what joint tuning adds, in the mean over new tasks and models.
        by_task: spread of the effect between tasks.
        by_source: spread of the effect between source models.
        shared: noise of an independent tuning, which every pair with that source shares.
        own: noise of a joint tuning, which is each weight's own.
        heavy: draws noise from Student's t with 3 degrees of freedom.
        missing: share of transferred cells that are not there.
        alone: what carries the whole effect: one task, or the pairs with one source.
        flat: every prediction is class 0.
    """

    sources: int = 4
    tasks: int = 5
    targets: int = 1
    seeds: int = 4
    test: int = 200
    effect: float = 0.0
    by_task: float = 0.5
    by_source: float = 0.5
    shared: float = 2.0
    own: float = 3.0
    heavy: bool = False
    missing: float = 0.0
    alone: str = ""
    flat: bool = False


DESIGNS: dict[str, Planted] = {
    "λ does nothing": Planted(),
    "λ does nothing, much noise": Planted(own=6.0),
    "joint tuning adds 2": Planted(effect=2.0),
    "joint tuning takes 2": Planted(effect=-2.0),
    "heavy tails": Planted(heavy=True),
    "heavy tails, adds 2": Planted(heavy=True, effect=2.0),
    "30 % of cells missing": Planted(missing=0.3),
    "30 % missing, adds 2": Planted(missing=0.3, effect=2.0),
    "shared tunings": Planted(shared=6.0, own=1.0),
    "two targets": Planted(targets=2, shared=4.0),
    "few test examples": Planted(test=40, shared=0.5, own=0.5),
    "one task, few examples": Planted(tasks=1, test=60, by_task=0.0, shared=0.5, own=0.5),
    "one task only": Planted(effect=2.0, alone="task", by_task=0.0, by_source=0.0),
    "one source only": Planted(effect=2.0, alone="source", by_task=0.0, by_source=0.0),
    "everything degenerate": Planted(flat=True),
}
"""Designs by name."""


def sweep(design: Planted, generator: np.random.Generator) -> tuple[pd.DataFrame, Examples]:
    """The transferred cells of a made-up sweep, and their predictions.

    Returns:
        Columns as of :func:`analysis.load`, those that a verdict reads.
    """
    pairs = list(itertools.combinations(range(design.sources), 2))
    ends = np.array(pairs)
    shape = (len(pairs), design.tasks, design.targets, design.seeds, len(WEIGHTS))
    draw = _draws(design, generator)
    grid = np.indices(shape)
    pair, task, target, seed, weight = (place.ravel() for place in grid)
    shared = draw(design.shared, (design.sources, design.tasks, design.seeds))
    base = shared[ends[pair, 0], task, seed] + shared[ends[pair, 1], task, seed]
    # A joint tuning shares nothing with other pairs; all targets read the same tuned prompt.
    tuned = draw(design.own, (len(pairs), design.tasks, design.seeds, len(WEIGHTS)))
    points = LEVEL + draw(4.0, (design.tasks,))[task] + draw(2.0, (design.targets,))[target]
    joint = weight > 0
    points = points + np.where(joint, tuned[pair, task, seed, weight], base / 2)
    points = points + np.where(joint, effects(design, generator, ends)[pair, task], 0.0)
    points = points + draw(0.5, (len(pair),))
    frame = pd.DataFrame(
        {
            "cell": np.char.mod("c%d", np.arange(len(pair))),
            "kind": "transfer",
            "family": "soft",
            "method": "soft",
            "row": np.where(joint, "ours", "baseline"),
            "sources": np.array([f"m{a}+m{b}" for a, b in pairs])[pair],
            "task": np.char.mod("t%d", task),
            "target": np.char.mod("g%d", target),
            "seed": seed,
            "weight_label": np.array(WEIGHTS)[weight],
            "metric": "accuracy",
        }
    )
    places = dict(zip(frame["cell"], range(len(frame)), strict=True))
    golds = generator.integers(0, 2, (design.tasks, design.test))
    right = _answers(points, task, design.test, generator)
    frame["validation_score"] = _answers(points, task, 100, generator).mean(1)
    predicted = np.where(right, golds[task], 1 - golds[task])
    if design.flat:
        predicted = np.zeros_like(predicted)
        frame["validation_score"] = 0.5
    frame["score"] = (predicted == golds[task]).mean(1)

    def reader(cells: Collection[str]) -> Iterator[Kept]:
        for cell in cells:
            at = places[cell]
            yield Kept(cell, golds[task[at]], predicted[at], np.zeros((design.test, 2)))

    if design.missing:
        frame = frame[generator.random(len(frame)) >= design.missing].reset_index(drop=True)
    return frame, Examples(reader, dict.fromkeys(frame["task"], "accuracy"))


def effects(design: Planted, generator: np.random.Generator, ends: np.ndarray) -> np.ndarray:
    """What joint tuning adds by pair and task, [pairs, tasks]."""
    if design.alone == "task":
        return design.effect * design.tasks * np.eye(design.tasks)[[0] * len(ends)]
    if design.alone == "source":
        held = (ends == 0).any(axis=1)
        return np.outer(design.effect * held / held.mean(), np.ones(design.tasks))
    by_source = design.by_source * generator.normal(size=design.sources)
    by_task = design.by_task * generator.normal(size=design.tasks)
    return design.effect + by_source[ends].mean(axis=1)[:, None] + by_task[None, :]


def _draws(design: Planted, generator: np.random.Generator) -> Callable[..., np.ndarray]:
    def draw(spread: float, shape: tuple[int, ...]) -> np.ndarray:
        if design.heavy:
            return spread * generator.standard_t(3, shape) / math.sqrt(3)
        return spread * generator.normal(size=shape)

    return draw


def _answers(
    points: np.ndarray, task: np.ndarray, count: int, generator: np.random.Generator
) -> np.ndarray:
    """Whether each cell is right on each example of its task, bool [cells, count]."""
    from scipy.special import ndtri

    hard = generator.normal(size=(int(task.max()) + 1, count))
    luck = generator.normal(size=(len(points), count))
    reach = ndtri(np.clip(points / 100, 0.01, 0.99))
    return math.sqrt(_SHARED) * hard[task] + math.sqrt(1 - _SHARED) * luck < reach[:, None]


@dataclass(frozen=True)
class Outcome:
    """What the verdicts of one design were, shares of runs and points.

    Attributes:
        helped: verdicts that joint tuning helped.
        hurt: verdicts that it hurt.
        covered: intervals that hold the truth; NaN where nothing varies.
        bias: mean of estimate minus truth.
        warned: of the sweeps with an effect, in the verdict or on the models and tasks as they are,
            those with a warning that one task or model carries it; NaN without any.
        worst: of the mean over all weights, covered.
    """

    helped: float
    hurt: float
    covered: float
    bias: float
    warned: float
    worst: float


def run(design: Planted, runs: int, seed: int = 0) -> Outcome:
    """The verdicts on ``runs`` sweeps of a design."""
    found = [_verdict(design, np.random.default_rng([seed, number])) for number in range(runs)]
    spoke = [item for item in found if item.answer.direction or item.here.direction]
    wide = [item for item in found if item.answer.high > item.answer.low]

    def covers(ends: Any) -> bool:
        return bool(ends.low <= design.effect <= ends.high)

    return Outcome(
        helped=float(np.mean([item.answer.direction > 0 for item in found])),
        hurt=float(np.mean([item.answer.direction < 0 for item in found])),
        covered=float(np.mean([covers(item.answer) for item in wide])) if wide else math.nan,
        bias=float(np.mean([item.answer.mean - design.effect for item in found])),
        warned=float(np.mean([bool(item.leans) for item in spoke])) if spoke else math.nan,
        worst=float(np.mean([covers(item.every) for item in wide])) if wide else math.nan,
    )


def _verdict(design: Planted, generator: np.random.Generator) -> Verdict:
    frame, examples = sweep(design, generator)
    answer = verdict("soft", soft_pairs(frame), examples, draws=0)
    if answer is None:
        raise ValueError("a planted sweep has no pair")
    return answer


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--only", default="", help="designs whose name holds this")
    parser.add_argument("--say", action="store_true", help="print one report's sentences as well")
    wanted = parser.parse_args()
    print("| design | truth | helped | hurt | covered | all weights | bias | warned |")
    print("|---|---|---|---|---|---|---|---|")
    for name, design in DESIGNS.items():
        if wanted.only not in name:
            continue
        each = run(design, wanted.runs)
        shares = (each.helped, each.hurt, each.covered, each.worst)
        cells = " | ".join(f"{100 * value:.1f} %" for value in shares)
        print(f"| {name} | {design.effect:+g} | {cells} | {each.bias:+.2f} | "
              f"{100 * each.warned:.0f} % |", flush=True)  # fmt: skip
        if wanted.say:
            item = _verdict(replace(design), np.random.default_rng(0))
            print("\n".join([verdict_text(item), *explanations(item)]))


if __name__ == "__main__":
    main()
