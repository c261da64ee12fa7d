"""What ensembles of a sweep's prompts score, beside their members."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.contrasts.examples import Examples, influence, variance_of_mean
from analysis.data.predictions import Kept
from analysis.present.grid import Entry, Grid, Line, change, points
from analysis.present.words import row_label
from analysis.stats.bootstrap import crossed_interval
from analysis.tuned.ensembles import RULES, best_member
from trainables.tasks.metrics import compute, counts_of

SEEDS, SOURCES = "seeds", "sources"
OVER = {SEEDS: ["seed"], SOURCES: ["sources"], f"{SEEDS} and {SOURCES}": ["seed", "sources"]}
"""What the members of an ensemble differ in, and the columns that say it."""
ROWS = ("independent", "single", "baseline", "own")
"""Rows whose prompts are put together: those of each weight λ of a joint tuning are left out."""
_ONE = "single"
"""The row whose prompts come from one source each: only they are put together over sources."""
_SAME = ["row", "method", "combination", "way", "target", "task", "sources", "seed", "weight_label"]
_GAINS = tuple(RULES)
_DECIMALS = 9

Numbers = npt.NDArray[np.float64]


def ensemble_table(frame: pd.DataFrame, examples: Examples) -> pd.DataFrame:
    """Every ensemble of at least two prompts that keep their predictions on the test split.

    Args:
        frame: results of soft prompts, see :func:`analysis.load`.
        examples: reads the predictions.

    Returns:
        One row an ensemble: over (key of :data:`OVER`), the columns that its members share (empty
        where they differ), members, and in points member (their mean), best (the one that
        validation chooses), vote, mean, and for these two what they gain over the mean member, as
        vote_gain and mean_gain. ``attrs["influences"]`` holds per row and rule the influence of
        every test example on that gain.
    """
    rows = frame[frame["row"].isin(ROWS) & frame["seed"].notna()]
    rows = rows[rows["product"].fillna("prompt") == "prompt"]
    lines: list[dict[str, object]] = []
    influences: list[dict[str, Numbers]] = []
    for task, part in rows.groupby("task", sort=True):
        kept = {item.cell: item for item in examples.reader(part["cell"].tolist())}
        metric = examples.metrics.get(str(task), "accuracy")
        for over, members in _groups(part):
            said = [kept[cell] for cell in members["cell"] if cell in kept]
            if len(said) < max(2, len(members)):
                continue
            line, drawn = _scored(said, members["validation_score"].tolist(), metric)
            same = {name: _shared(members[name]) for name in _SAME}
            lines.append({"over": over, **same, "members": len(said), **line})
            influences.append(drawn)
    names = ["over", *_SAME, "members", "member", "best", *RULES, *(f"{x}_gain" for x in _GAINS)]
    table = pd.DataFrame(lines, columns=names)
    table.attrs["influences"] = influences
    return table


def _groups(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for over, columns in OVER.items():
        here = rows[rows["row"] == _ONE] if "sources" in columns else rows
        by = [name for name in _SAME if name not in columns]
        for _, members in here.groupby(by, sort=True, dropna=False, observed=True):
            enough = all(members[name].nunique() > 1 for name in columns)
            if enough:
                yield over, members.sort_values(["sources", "seed"])


def _shared(column: pd.Series) -> object:
    values = column.unique()
    return values[0] if len(values) == 1 else None


def _scored(
    said: Sequence[Kept], validation: list[float], metric: str
) -> tuple[dict[str, float], dict[str, Numbers]]:
    gold, log_probs = said[0].gold, np.stack([item.log_probs for item in said])
    classes = log_probs.shape[-1]

    def score(predicted: npt.NDArray[np.int64]) -> float:
        return 100 * compute(metric, gold, predicted, classes)

    def influenced(predicted: npt.NDArray[np.int64]) -> Numbers:
        table = influence(metric, counts_of(gold, predicted, classes))
        influences: Numbers = 100 * table[gold, predicted]
        return influences

    alone = [score(item.predicted) for item in said]
    ours: Numbers = np.mean([influenced(item.predicted) for item in said], axis=0)
    member = float(np.mean(alone))
    found = {"member": member, "best": alone[best_member(validation)]}
    drawn: dict[str, Numbers] = {}
    for name, rule in RULES.items():
        answer = rule(log_probs)
        found[name] = score(answer)
        found[f"{name}_gain"] = round(found[name] - member, _DECIMALS)
        drawn[name] = influenced(answer) - ours
    return found, drawn


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means over the ensembles of one kind and way on one target, with what they gain.

    Intervals are over tasks, source models and test examples, as far as there are several; members
    are what an ensemble is made of, and no unit.

    Args:
        table: of :func:`ensemble_table`.

    Returns:
        Columns target, row, way, over, members (fewest and most, as text), n (ensembles), member,
        best, vote, mean, and per rule NAME_gain, NAME_low and NAME_high, all in points.
    """
    lines = []
    drawn = table.attrs["influences"]
    by = ["target", "row", "way", "over"]
    for key, part in table.fillna({"way": ""}).groupby(by, sort=True):
        sizes = sorted(set(part["members"]))
        line: dict[str, object] = {
            **dict(zip(by, key, strict=True)),
            "members": "–".join(map(str, dict.fromkeys((sizes[0], sizes[-1])))),
            "n": len(part),
            **{name: part[name].mean() for name in ("member", "best", *RULES)},
        }
        known = part.assign(sources=part["sources"].fillna("several"))
        for name in RULES:
            error = _error(part, [drawn[place][name] for place in part.index])
            units = [unit for unit in ("source", "task") if known[_column(unit)].nunique() > 1]
            effect = crossed_interval(known, f"{name}_gain", units, replicates=0, examples=error)
            line |= {
                f"{name}_gain": effect.mean,
                f"{name}_low": effect.low,
                f"{name}_high": effect.high,
            }
        lines.append(line)
    return pd.DataFrame(lines)


def _column(unit: str) -> str:
    return "sources" if unit == "source" else unit


def _error(part: pd.DataFrame, influences: list[Numbers]) -> float:
    """Standard error of a mean gain from the drawing of test examples; tasks share none."""
    totals: dict[str, Numbers] = {}
    for task, mine in zip(part["task"], influences, strict=True):
        share = mine / len(part)
        if task in totals and len(totals[task]) != len(mine):
            return math.nan
        totals[task] = totals[task] + share if task in totals else share
    return math.sqrt(sum(map(variance_of_mean, totals.values())))


def ensemble_grid(numbers: pd.DataFrame) -> Grid:
    """Lines of :func:`summary`, those of one target together."""
    ways = len(set(numbers["way"]) - {""})
    lines: list[Line] = []
    for row in numbers.to_dict("records"):
        gains = [
            change(row[f"{name}_gain"], row[f"{name}_low"], row[f"{name}_high"]) for name in RULES
        ]
        levels = [Entry(points(row[name])) for name in ("member", "best", *RULES)]
        entries = (Entry(str(row["members"])), *levels, *gains, Entry(str(row["n"])))
        way = f", {row['way']}" if row["way"] and ways > 1 else ""
        label = f"{row_label(str(row['row']))}{way}, over {row['over']}"
        lines.append(Line(str(row["target"]), str(row["target"]), label, entries))
    columns = (
        ("Members", "passes an example"),
        ("Mean member", "points"),
        ("Best member", "by validation"),
        ("Vote", "points"),
        ("Mean", "of probabilities"),
        ("Vote − mean member", "95 % interval"),
        ("Mean − mean member", "95 % interval"),
        ("Ensembles", ""),
    )
    return Grid(("Target", "Prompts"), columns, tuple(lines))
