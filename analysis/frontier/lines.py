"""Every way of having a task on a target, on the same cases, with its price.

A *line* is one such way: no prompt (Empty, with and without calibration), a way of transfer, the
source itself, a prompt tuned on the target (Direct). A *case* is a source set, task and target;
what knows of no source stands in every case alike, so that all lines are compared on equal ground.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from analysis.contrasts.selection import at_choices, choose
from analysis.data.combinations import titled
from analysis.present.words import ROW_NAMES
from trainables.core.frontier import ACCESS, LEAST_GAP, PRODUCTS
from trainables.core.settings import CARRIED, OWN

PLAIN, CALIBRATED = "score", "score_batch"
"""Columns of scores: as they are, and after batch calibration."""
UNTUNED = {"empty": (PLAIN, CALIBRATED), "manual": (PLAIN, CALIBRATED), "constant": (PLAIN,)}
"""Rows that need no tuning, and their scores: what is constant has nothing to calibrate."""
KINDS = ("reference", "source", "way", "own", "direct")
"""What lines there are: no prompt, the source itself, carried over, the target on its own with the
same means, tuned on the target."""
CASE = ["sources", "task", "target"]
UNIT = [*CASE, "seed"]
EMPTY = "Empty"
_PLACE = ["task", "target"]
_TOLD = ["unit", *UNIT, "cell", "score", "validation"]
_REFERENCES = {"empty": EMPTY, "manual": "Manual", "constant": "Constant"}


@dataclass(frozen=True)
class Price:
    """What a line takes, medians over its results; NaN where records do not say.

    Attributes:
        work: rows forward through the target and twice the rows back.
        labels: labels read for the target.
        few: whether these are fewer than a validation split has, or a number a class.
        texts: distinct texts used without labels.
        tokens: tokens the target read.
        access: of :data:`trainables.core.frontier.ACCESS`; empty where it is not known.
        product: of :data:`trainables.core.frontier.PRODUCTS`.
        source: whether the source must run wherever it is used.
    """

    work: float = 0.0
    labels: float = 0.0
    few: bool = False
    texts: float = 0.0
    tokens: float = 0.0
    access: str = ACCESS[0]
    product: str = PRODUCTS[-1]
    source: bool = False

    @property
    def known(self) -> bool:
        """Whether records say what it takes."""
        return self.work == self.work

    @property
    def panel(self) -> int:
        """0 without labels of the target, 1 with few, 2 with all."""
        return 0 if not self.labels > 0 else 1 if self.few else 2

    @property
    def order(self) -> tuple[float, ...]:
        """From cheap to dear: labels first, then work, then what must be given away."""
        rank = ACCESS.index(self.access) if self.access in ACCESS else len(ACCESS)
        return (self.panel, self.work if self.known else np.inf, rank, self.source, self.labels)


@dataclass(frozen=True)
class Line:
    """One way of having the tasks on the targets.

    Attributes:
        name: what it is called.
        kind: of :data:`KINDS`.
        row: the row of the results it is made of.
        calibrated: whether its scores are after batch calibration.
        rows: its results with unit (number of a source set, task, target and seed), the columns of
            :data:`UNIT`, cell, score and validation (0 to 1).
        price: what it takes.
    """

    name: str
    kind: str
    row: str
    calibrated: bool
    rows: pd.DataFrame
    price: Price

    @property
    def title(self) -> str:
        """Its name, and whether it is calibrated."""
        return f"{self.name} + calibration" if self.calibrated else self.name

    def on(self, units: pd.DataFrame) -> pd.DataFrame:
        """Its results on some units, in their order; those it has not are left out."""
        place = self._places.get_indexer(pd.Index(units["unit"]))
        return self.rows.take(place[place >= 0]).reset_index(drop=True)

    @cached_property
    def _places(self) -> "pd.Index[Any]":
        found: pd.Index[Any] = pd.Index(self.rows["unit"])
        return found


@dataclass(frozen=True)
class Field:
    """The lines of one combination of settings of the tuning.

    Attributes:
        lines: references first, then the source, the ways, what is tuned on the target.
        units: number (unit), case and seed of all that the ways carry over, with ``worth``:
            whether the source beats the calibrated Empty target on validation; True where that is
            not known.
        levels: per unit of any line (its index) Empty and Direct: empty, empty_cell, direct (mean
            over seeds), direct_seed (of the seed, else the mean), direct_cell; 0 to 1, NaN without
            Direct.
        row: the row of the results that most ways have.
    """

    lines: tuple[Line, ...]
    units: pd.DataFrame
    levels: pd.DataFrame
    row: str

    @cached_property
    def worthy(self) -> pd.DataFrame:
        """The units with something to carry over; all where there is none at all."""
        return self.units[self.units["worth"]] if self.units["worth"].any() else self.units

    @cached_property
    def poor(self) -> pd.DataFrame:
        """The others."""
        return self.units[~self.units["worth"]] if self.units["worth"].any() else self.units[:0]

    @property
    def targets(self) -> list[str]:
        """Names of the targets."""
        return sorted(self.units["target"].unique())

    def at(self, target: str) -> "Field":
        """The same on one target; its prices are those there."""
        lines = [_at(line, target) for line in self.lines]
        here = self.units["target"] == target
        return Field(
            tuple(line for line in lines if len(line.rows)), self.units[here], self.levels, self.row
        )

    def there(self, line: Line, units: pd.DataFrame) -> pd.DataFrame:
        """Where a line is looked at: on some units, or, of another row, on all its source sets."""
        return line.rows if line.row in CARRIED and line.row != self.row else units

    @property
    def plain(self) -> Line | None:
        """Empty as it is."""
        return next((line for line in self.lines if line.name == EMPTY), None)

    @property
    def empty(self) -> Line | None:
        """Empty, calibrated where that is known: what costs nothing at all."""
        found = [line for line in self.lines if line.name == EMPTY]
        return found[-1] if found else None

    def with_gap(self, units: pd.DataFrame) -> pd.DataFrame:
        """Units with their levels where Direct is far enough above Empty."""
        place = self.levels.index.get_indexer(pd.Index(units["unit"]))
        here = units[["unit", *UNIT]][place >= 0].reset_index(drop=True)
        levels = self.levels.take(place[place >= 0]).reset_index(drop=True)
        both = pd.concat([here, levels], axis=1)
        return both[(both["direct"] - both["empty"]).round(9) >= LEAST_GAP].reset_index(drop=True)


def field(part: pd.DataFrame, criterion: str = "pair", hard: pd.DataFrame | None = None) -> Field:
    """The lines of one tuning (:func:`analysis.data.combinations.tunings`).

    Args:
        part: its rows, with all ways of transfer.
        criterion: by what Ours chooses its weight.
        hard: rows of hard prompts of the same sweep with ``line``, how each is called.
    """
    carried = list(_carried(part, criterion))
    counts = {row: sum(line.row == row for line in carried) for row in CARRIED}
    main = max(CARRIED, key=lambda row: counts[row])  # of equals the first
    texts = list(_hard(hard)) if hard is not None else []
    of_main = [line for line in carried if line.row == main] or texts
    every = _unique([*carried, *texts])
    carried, texts, of_main = (
        [_numbered(line, every, main) for line in some] for some in (carried, texts, of_main)
    )
    here = {unit for line in of_main for unit in line.rows["unit"]}
    units = every[every["unit"].isin(here)].reset_index(drop=True)
    lines = [*_references(part, every), *_sources(part, every)]
    lines += [*carried, *texts, *_own(part, every), *_direct(part, every)]
    return Field(tuple(lines), _worth(lines, units), _levels(part, every), main)


def _carried(part: pd.DataFrame, criterion: str) -> Iterator[Line]:
    moved = part[(part["kind"] == "transfer") & (part["row"] != OWN) & part["way"].notna()]
    rest = part[part["kind"] != "transfer"]
    for way in moved["way"].drop_duplicates():
        mine = moved[moved["way"] == way]
        for row in CARRIED:
            rows = mine[mine["row"] == row]
            if row == "ours" and len(rows):
                whole = pd.concat([rest, mine])
                rows = at_choices(whole, choose(whole, criterion))
            yield from _both(str(way), "way", row, rows)


def _own(part: pd.DataFrame, units: pd.DataFrame) -> Iterator[Line]:
    rows = part[(part["kind"] == "transfer") & (part["row"] == OWN)]
    for way, mine in rows.groupby("way", sort=False):
        spread = _spread(mine, units, [*_PLACE, "seed"])
        yield from _both(f"{way}, no source", "own", OWN, spread)


def _direct(part: pd.DataFrame, units: pd.DataFrame) -> Iterator[Line]:
    rows = _spread(part[part["direct"]], units, [*_PLACE, "seed"])
    yield from _lines("Direct", "direct", "direct", rows, (PLAIN,))


def _references(part: pd.DataFrame, units: pd.DataFrame) -> Iterator[Line]:
    for row, name in _REFERENCES.items():
        rows = _spread(part[part["row"] == row], units, _PLACE)
        # References need nothing; what calibration needs is the label scores of the texts.
        rows = rows.assign(target_work=0.0, target_labels=0, unlabelled_texts=0,
                           target_forward_tokens=0, access=ACCESS[0],
                           source_at_inference=False, product=PRODUCTS[-1])  # fmt: skip
        yield from _lines(name, "reference", row, rows, UNTUNED[row])


def _sources(part: pd.DataFrame, units: pd.DataFrame) -> Iterator[Line]:
    """What the source's own prompt has on the source: of a set the mean over its models."""
    own = part[(part["kind"] == "source") & (part["row"] == "independent")]
    own = own[["target", "task", "seed", "cell", *_scored(own)]].rename(columns={"target": "model"})
    models = [str(names).split("+") for names in units["sources"]]
    sized = units.assign(size=list(map(len, models)))
    sized["model"] = models
    each = sized.explode("model")
    found = each.merge(own, on=["model", "task", "seed"])
    if found.empty:
        return
    groups = found.groupby(["unit", *UNIT], sort=False)
    rows = (
        groups[_scored(found)]
        .mean()
        .assign(cell=groups["cell"].first(), size=groups["size"].first(), found=groups.size())
    )
    rows = rows[rows["found"] == rows["size"]].reset_index()
    rows["cell"] = rows["cell"].where(rows["size"] == 1)  # a mean of cells keeps no predictions
    rows = rows.assign(target_work=0.0, target_labels=0, unlabelled_texts=0,
                       target_forward_tokens=0, access=ACCESS[0], source_at_inference=True,
                       product=PRODUCTS[-1])  # fmt: skip
    yield from _both("source", "source", "source", rows)


def _hard(rows: pd.DataFrame) -> Iterator[Line]:
    for name, mine in rows.groupby("line", sort=False):
        yield from _both(str(name), "way", "single", mine)


def _both(name: str, kind: str, row: str, rows: pd.DataFrame) -> Iterator[Line]:
    yield from _lines(name, kind, row, rows, (PLAIN, CALIBRATED))


def _lines(
    name: str, kind: str, row: str, rows: pd.DataFrame, scores: Sequence[str]
) -> Iterator[Line]:
    for score in scores:
        if score not in rows:
            continue
        known = rows[rows[score].notna()].drop_duplicates(UNIT)
        if len(known):
            calibrated = score == CALIBRATED
            validation = known.get(hidden(score), pd.Series(np.nan, index=known.index))
            told = known.assign(score=known[score], validation=validation)
            kept = [
                *(name for name in _TOLD if name in told),
                *(name for name in PRICED if name in told),
            ]
            yield Line(name, kind, row, calibrated, told[kept].reset_index(drop=True),
                       price_of(told, calibrated))  # fmt: skip


def hidden(score: str) -> str:
    """Column of the same score on validation."""
    return f"validation_{score}"


def strongest(rows: Sequence[Any], validation: Sequence[float], test: Sequence[float]) -> Any:
    """What validation takes of some rows; what is highest on test where it does not know all.

    None of none.
    """
    if not rows:
        return None
    by = test if any(map(math.isnan, validation)) else validation
    return rows[by.index(max(by))]


PRICED = ("target_work", "target_labels", "unlabelled_texts", "target_forward_tokens", "access",
           "product", "source_at_inference", "shots", "n_validation", "solver", "start", "steps",
           "settings")  # fmt: skip
"""Columns that say what a line takes."""


def price_of(rows: pd.DataFrame, calibrated: bool) -> Price:
    def median(name: str) -> float:
        values = rows[name].astype("float64") if name in rows else pd.Series(dtype="float64")
        return float(values.median())

    labels, split = median("target_labels"), median("n_validation")
    access = max((str(text) for text in rows["access"].dropna().unique() if text in ACCESS),
                 key=ACCESS.index, default="")  # fmt: skip
    if calibrated and access:
        access = max(access, "labels", key=ACCESS.index)
    products = rows["product"].dropna().unique()
    return Price(
        work=median("target_work"),
        labels=labels,
        few=bool("shots" in rows and rows["shots"].notna().any()) or labels < split,
        texts=median("unlabelled_texts"),
        tokens=median("target_forward_tokens"),
        access=access,
        product=str(products[0]) if len(products) else PRODUCTS[0],
        source=bool(rows["source_at_inference"].fillna(False).any()),
    )


def _at(line: Line, target: str) -> Line:
    rows = line.rows[line.rows["target"] == target]
    price = price_of(rows, line.calibrated) if len(rows) else line.price
    return Line(line.name, line.kind, line.row, line.calibrated, rows, price)


def _numbered(line: Line, every: pd.DataFrame, main: str) -> Line:
    """A line with the numbers of its units; of another row than most it says which."""
    alike = line.row == main or line.row not in ROW_NAMES
    name = line.name if alike else titled(line.name, ROW_NAMES[line.row])
    rows = every.merge(line.rows, on=UNIT)
    return Line(name, line.kind, line.row, line.calibrated, rows, line.price)


def _unique(lines: Sequence[Line]) -> pd.DataFrame:
    every = [line.rows[UNIT] for line in lines] or [pd.DataFrame(columns=UNIT)]
    units = pd.concat(every).drop_duplicates().sort_values(UNIT, ignore_index=True)
    return units.assign(unit=np.arange(len(units)))


def _spread(rows: pd.DataFrame, units: pd.DataFrame, on: list[str]) -> pd.DataFrame:
    """Results that know of no source, in every case."""
    own = rows.drop(columns=[name for name in UNIT if name not in on]).drop_duplicates(on)
    return units[["unit", *UNIT]].merge(own, on=on)


def _scored(rows: pd.DataFrame) -> list[str]:
    names = [f"{split}{name}" for name in (PLAIN, CALIBRATED) for split in ("", "validation_")]
    return [name for name in names if name in rows]


def _levels(part: pd.DataFrame, units: pd.DataFrame) -> pd.DataFrame:
    empty = _spread(part[part["row"] == "empty"], units, _PLACE)
    empty = empty[["unit", *UNIT, "cell", "score"]]
    empty = empty.rename(columns={"cell": "empty_cell", "score": "empty"})
    tuned = part.loc[part["direct"], [*_PLACE, "seed", "cell", "score"]]
    tuned = tuned.dropna(subset=["score"]).drop_duplicates([*_PLACE, "seed"])
    mean = tuned.groupby(_PLACE)["score"].mean().rename("direct").reset_index()
    tuned = tuned.rename(columns={"cell": "direct_cell", "score": "direct_seed"})
    both = empty.merge(mean, on=_PLACE, how="left").merge(tuned, on=[*_PLACE, "seed"], how="left")
    both = both.assign(direct_seed=both["direct_seed"].fillna(both["direct"]))
    return both.drop(columns=UNIT).set_index("unit")


def _worth(lines: Sequence[Line], units: pd.DataFrame) -> pd.DataFrame:
    """Units with ``worth``: by validation, means over seeds."""
    named = {(line.kind, line.calibrated): line for line in lines
             if line.name in (EMPTY, "source")}  # fmt: skip
    source = named.get(("source", False))
    empty = named.get(("reference", True)) or named.get(("reference", False))
    if source is None or empty is None:
        return units.assign(worth=True)
    means = [line.rows.groupby(CASE)["validation"].mean() for line in (source, empty)]
    both = pd.concat(means, axis=1, keys=["source", "empty"])
    poor = both[both["source"] <= both["empty"]]
    keys = pd.MultiIndex.from_frame(units[CASE])
    return units.assign(worth=~keys.isin(poor.index))
