"""The numbers of paper B's tables: hard prompts on their source and carried over as text.

Scores, standard deviations and differences are in points (100 times the metric), deviations over
seeds with ddof=1, as in :mod:`analysis.soft.tables`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from analysis.data.combinations import agreeing
from analysis.hard.rows import BASELINE, LINE_KEY, OURS, RANK, Block, label_of
from analysis.present.grid import DASH, FLAG, Entry, Grid, Row, grid_of, points, span
from analysis.present.words import sources_name
from analysis.soft.tables import over_seeds
from analysis.stats.intervals import Interval, t_interval

AS_TEXT, AS_IDS = "as text", "as ids"
"""Places that a prompt is scored at, besides the targets: its source, read in two ways."""
ON_SOURCE, CARRIED = "on the source", "carried over"
"""Where a gain is measured."""

_KEPT: list[str] = [*LINE_KEY, "name", "place", "points", "seed", "degenerate"]
_CASE = ["task", "sources", "target"]


def places(block: Block) -> list[str]:
    """Columns of a block's tables: the source as text, as ids where known, and every target."""
    own = block.rows["kind"] == "source"
    ids = [AS_IDS] if block.rows.loc[own, "score_as_ids"].notna().any() else []
    return [AS_TEXT, *ids, *block.targets]


def method_table(block: Block, frame: pd.DataFrame, task: str, source: str) -> pd.DataFrame:
    """One table of paper B: a task and a source, a line per row, counterpart, s and K.

    Args:
        block: of :func:`analysis.hard.rows.blocks`.
        frame: table of :func:`analysis.load`, for the references.
        source: the model the prompts were tuned on.

    Returns:
        One line per line and place (:func:`places`); columns of
        :data:`analysis.hard.rows.LINE_KEY`, name, place, mean, sd (points), n (seeds), flagged
        (more than half of the seeds predict one class), better (Ours above PEZ in the mean over
        their common seeds, to the decimal that is printed) and hint (every seed's score).
    """
    scores = pd.concat(
        [_reference_scores(block, frame, task, source), _scores(block, task, source)],
        ignore_index=True,
    )
    by = [*LINE_KEY, "name", "place"]
    table = over_seeds(scores, by)
    baseline = scores[scores["line"] == BASELINE]
    level = baseline.groupby(["place", "seed"])["points"].mean().to_dict()
    groups = scores.groupby(by, dropna=False, sort=False)
    table["better"] = [_above(part, level) for _, part in groups]
    # A constant predictor says one class by construction; a flag on it would say nothing.
    table["flagged"] = (table["degenerate"] > 0.5) & (table["line"] != "constant")
    ranks = table[LINE_KEY].assign(line=table["line"].map(RANK))
    order = ranks.sort_values(LINE_KEY, na_position="first", kind="stable").index
    return table.loc[order].reset_index(drop=True)


def _scores(block: Block, task: str, source: str) -> pd.DataFrame:
    """Every score of the block's prompts of a task and source, with its place."""
    rows = block.rows[(block.rows["task"] == task) & (block.rows["sources"] == source)]
    own, moved = rows[rows["kind"] == "source"], rows[rows["kind"] == "transfer"]
    # Flags are those of the text: the tuned ids were not asked for more than a score.
    parts = [
        own.assign(place=AS_TEXT, points=100 * own["score"]),
        own.assign(place=AS_IDS, points=100 * own["score_as_ids"], degenerate=False),
        moved.assign(place=moved["target"], points=100 * moved["score"]),
    ]
    return pd.concat([part[_KEPT] for part in parts]).dropna(subset=["points"])


def _reference_scores(block: Block, frame: pd.DataFrame, task: str, source: str) -> pd.DataFrame:
    """Empty (the input without the prompt) and the constant predictor at every place."""
    parts = []
    frame = agreeing(frame, str(block.rows["settings"].iloc[0]))
    for line, row, name in (
        ("empty", block.without, "Empty"),
        ("constant", "constant", "Constant"),
    ):
        here = frame[(frame["row"] == row) & (frame["task"] == task)]
        here = here.assign(line=line, name=name, vocabulary="", counterparts="")
        here = here.assign(points=100 * here["score"])
        moved = here[here["target"].isin(block.targets)]
        parts += [
            here[here["target"] == source].assign(place=AS_TEXT),
            moved.assign(place=moved["target"]),
        ]
    return pd.concat([part[_KEPT] for part in parts])


def _above(part: pd.DataFrame, level: Mapping[Any, float]) -> bool:
    """Whether a line of Ours is above PEZ's ``level`` by (place, seed), in the paired mean."""
    if part["line"].iloc[0] != OURS:
        return False
    keys = zip(part["place"], part["seed"], strict=True)
    pairs = zip(part["points"], (level.get(key) for key in keys), strict=True)
    gains = [points - other for points, other in pairs if other is not None]
    return bool(gains) and round(sum(gains) / len(gains), 1) > 0


def paired_gains(block: Block) -> pd.DataFrame:
    """Ours minus PEZ of the same task, source, model and seed, one line per seed.

    Returns:
        Columns s, k, counterparts, task, sources, target, where (:data:`ON_SOURCE` or
        :data:`CARRIED`), seed and difference (points).
    """
    rows = block.rows
    case = [*_CASE, "kind", "seed"]
    base = rows[rows["line"] == BASELINE].groupby(case)["score"].mean().rename("base_score")
    ours = rows[rows["line"] == OURS].merge(base, on=case)
    ours["difference"] = 100 * (ours["score"] - ours["base_score"])
    ours["where"] = ours["kind"].map({"source": ON_SOURCE, "transfer": CARRIED})
    return ours[["s", "k", "counterparts", *_CASE, "where", "seed", "difference"]]


def mean_gain(gains: pd.DataFrame) -> tuple[Interval, int]:
    """Mean over cases with a t-interval over seeds, and the number of cases in it.

    Cases (task, source, counterparts and model) are taken as given; only those that have every
    seed enter, so that all seeds average the same.

    Args:
        gains: of :func:`paired_gains`, at one s and K and one place.
    """
    grid = gains.pivot_table(
        index=["counterparts", *_CASE], columns="seed", values="difference"
    ).dropna()
    return t_interval(grid.mean(axis=0)), len(grid)


def effect_table(block: Block) -> pd.DataFrame:
    """Mean gain of Ours over PEZ by s and K, on the source and carried over.

    Returns:
        Columns where, s, k, mean, low, high (points), n (seeds), cases and direction.
    """
    lines = []
    groups = paired_gains(block).groupby(["where", "s", "k"], sort=True, dropna=False)
    for (where, s, k), part in groups:
        gain, cases = mean_gain(part)
        lines.append((where, s, k, gain.mean, gain.low, gain.high, gain.n, cases, gain.direction))
    columns = ["where", "s", "k", "mean", "low", "high", "n", "cases", "direction"]
    table = pd.DataFrame(lines, columns=columns)
    return table.sort_values("where", key=lambda places: places == CARRIED, kind="stable")


_HEADS = {AS_TEXT: ("Original", AS_TEXT), AS_IDS: ("Original", AS_IDS)}
_REFERENCES = ("empty", "constant")


def method_grid(table: pd.DataFrame, block: Block, metric: str) -> Grid:
    """Mean ± sd per line and place, with n.

    Args:
        table: of :func:`method_table`.
    """

    def heading(line: Row) -> tuple[str, str, str]:
        kind = "references" if line["line"] in _REFERENCES else line["line"]
        return kind, label_of(line, block.shows), sources_name(line["counterparts"]) or DASH

    def entry(line: Row) -> Entry:
        text = points(line["mean"])
        if line["line"] not in _REFERENCES:
            text += f" ± {points(line['sd'])}"
        flag = FLAG if line["flagged"] else ""
        return Entry(text + flag, bool(line["better"]), line["hint"])

    columns = {place: _HEADS.get(place, (place, metric)) for place in places(block)}
    keys = ["name", "s", "k", "counterparts"]
    grid = grid_of(table, ("Row", "Counterpart"), keys, "place", columns, heading, entry)
    lines = (
        replace(line, entries=(*line.entries[:-1], Entry(DASH)))
        if line.block == "references"
        else line
        for line in grid.lines
    )
    return replace(grid, lines=tuple(lines))


def effect_grid(table: pd.DataFrame, block: Block) -> Grid:
    """Mean gain of Ours over PEZ with its interval: a line per place and s, a column per K.

    Args:
        table: of :func:`effect_table`.
    """

    def entry(line: Row) -> Entry:
        hint = f"over {line['cases']} cases of task, source, counterpart and model"
        note = span(line["low"], line["high"])
        return Entry(points(line["mean"], signed=True), bool(line["direction"]), hint, note)

    columns = {k: (f"K = {k}", "points") for k in sorted(table["k"].unique())}
    heads = (f"Gain of Ours over {block.name}", "Words kept")
    return grid_of(
        table,
        heads,
        ["where", "s"],
        "k",
        columns,
        lambda line: (line["where"], line["where"], f"s = {line['s']}"),
        entry,
    )
