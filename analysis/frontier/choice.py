"""Which line is best by validation, each seed's chosen on the other seeds, the cheaper of equals.

A line that is chosen and reported on the same seeds had its luck there twice, on validation and
test alike. With one seed there is no other: the choice is then on the seed itself, and says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.contrasts.effects import ROPE
from analysis.frontier.lines import UNIT, Line

TIE = ROPE / 100
"""Scores this near to the best one are equal to it: the cheaper line is taken."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Scores of L lines by S seeds, means over the same cases.

    Attributes:
        lines: those that have every unit, on validation too, from cheap to dear.
        seeds: the seeds.
        validation: [L, S].
        test: [L, S].
        cases: cases in each seed [S].
        left: titles of the lines left out as incomplete.
    """

    lines: tuple[Line, ...]
    seeds: tuple[int, ...]
    validation: Numbers
    test: Numbers
    cases: Numbers
    left: tuple[str, ...]

    @property
    def crossfitted(self) -> bool:
        """Whether there are other seeds to choose on."""
        return len(self.seeds) > 1

    def best(self, among: Sequence[int], without: int | None = None) -> int:
        """The best of some lines, on all seeds or all but one.

        Args:
            among: their places, one or more.
            without: place of the seed that is left out.
        """
        kept = self.cases * (np.arange(len(self.seeds)) != without)
        means = self.validation[list(among)] @ kept / kept.sum()
        # Lines stand from cheap to dear: the first that is as good as the best.
        return int(among[int((means >= means.max() - TIE - 1e-12).argmax())])

    def chosen(self, among: Sequence[int]) -> list[int]:
        """Per seed the line that the other seeds choose; with one seed that of the seed itself."""
        places = range(len(self.seeds)) if self.crossfitted else [None]
        return [self.best(among, place) for place in places]


def table(lines: Sequence[Line], units: pd.DataFrame) -> Table:
    """Scores of the lines on some units.

    Args:
        lines: of :class:`analysis.frontier.lines.Field`.
        units: columns of a unit.
    """
    seeds = tuple(sorted(units["seed"].unique()))
    place = {seed: number for number, seed in enumerate(seeds)}
    code = units["seed"].map(place).to_numpy(dtype=np.int64)
    cases = np.bincount(code, minlength=len(seeds)).astype(np.float64)
    kept, left, scores = [], [], []
    for line in sorted(lines, key=lambda line: line.price.order):
        rows = line.on(units).dropna(subset=["validation", "score"])
        if len(rows) < len(units):
            left.append(line.title)
            continue
        at = rows["seed"].map(place).to_numpy(dtype=np.int64)
        sums = [np.bincount(at, rows[name].to_numpy(dtype=np.float64), len(seeds)) / cases
                for name in ("validation", "score")]  # fmt: skip
        kept.append(line)
        scores.append(sums)
    both = np.array(scores, dtype=np.float64).reshape(len(kept), 2, len(seeds))
    return Table(tuple(kept), seeds, both[:, 0], both[:, 1], cases, tuple(left))


def rows_of(found: Table, chosen: Sequence[int], units: pd.DataFrame) -> pd.DataFrame:
    """The results that a choice stands at: columns of a line's rows, and ``calibrated``."""
    parts = []
    for seed, place in zip(found.seeds, chosen, strict=True):
        line = found.lines[place]
        mine = line.on(units[units["seed"] == seed])
        parts.append(mine.assign(calibrated=line.calibrated))
    kept = ["unit", *UNIT, "cell", "score", "calibrated"]
    return pd.concat(parts)[kept].reset_index(drop=True)
