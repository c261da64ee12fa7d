"""Searches that score many prompts, against the best of as many random ones (line ``drawn``).

Differences are in points (100 times the metric), of the same words, task, source, model and seed.
"""

import pandas as pd

from analysis.hard.rows import DRAWN, LINE_KEY, Block, label_of
from analysis.present.grid import Entry, Grid, Row, grid_of, points, span
from analysis.present.words import sources_name
from analysis.stats.intervals import PERCENT, Interval, t_interval

PLACE, OWN = "place", "on the source"
_WORDS = [key for key in LINE_KEY if key != "line"]
_CASE = ["task", "sources", PLACE, *_WORDS]


def control_pairs(block: Block) -> pd.DataFrame:
    """Every prompt that has a control, beside it.

    Returns:
        Columns task, sources, place (a target, or on the source), vocabulary, s, k, counterparts,
        name, seed, found and drawn (points), difference, and prompts_scored (by the search; missing
        of carried prompts).
    """
    rows = block.rows[block.rows["method"] == block.method]
    place = rows["target"].astype(object).where(rows["kind"] != "source", OWN)
    rows = rows.assign(**{PLACE: place, "found": 100 * rows["score"]})
    keys = [*_CASE, "seed"]
    controls = rows.loc[rows["line"] == DRAWN, [*keys, "found"]]
    controls = controls.rename(columns={"found": "drawn"})
    pairs = rows[rows["line"] != DRAWN].merge(controls, on=keys).dropna(subset=["found", "drawn"])
    pairs["difference"] = pairs["found"] - pairs["drawn"]
    return pairs[[*keys, "name", "found", "drawn", "difference", "prompts_scored"]]


def control_table(block: Block) -> pd.DataFrame:
    """Mean difference of each case with its t-interval over seeds.

    Returns:
        A line per case: its columns as in :func:`control_pairs`, name, found and drawn (means),
        mean, low, high (points), n (seeds), direction and prompts_scored (mean).
    """
    lines = []
    pairs = control_pairs(block)
    for case, part in pairs.groupby([*_CASE, "name"], sort=False, dropna=False):
        gain = t_interval(part["difference"])
        lines.append(
            {
                **dict(zip([*_CASE, "name"], case, strict=True)),
                "found": part["found"].mean(),
                "drawn": part["drawn"].mean(),
                "mean": gain.mean,
                "low": gain.low,
                "high": gain.high,
                "n": gain.n,
                "direction": gain.direction,
                "prompts_scored": part["prompts_scored"].astype("float64").mean(),
            }
        )
    return pd.DataFrame(lines)


def control_grid(table: pd.DataFrame, block: Block) -> Grid:
    """The differences: a line per task, source and words, a column per place.

    Args:
        table: of :func:`control_table`.
    """

    def heading(line: Row) -> tuple[str, str, str]:
        words = [label_of(line, block.shows), sources_name(line["counterparts"])]
        place = f"{line['task']}, tuned on {line['sources']}"
        return str(line["task"]), place, ", ".join(filter(None, words))

    def entry(line: Row) -> Entry:
        hint = f"{points(line['found'])}, best of random {points(line['drawn'])}"
        if line["prompts_scored"] == line["prompts_scored"]:
            hint += f", {line['prompts_scored']:.0f} prompts each"
        text = points(line["mean"], signed=True)
        return Entry(text, bool(line["direction"]), hint, span(line["low"], line["high"]))

    columns = {place: (place, "points") for place in (OWN, *block.targets)}
    there = {place: head for place, head in columns.items() if (table[PLACE] == place).any()}
    keys = ["task", "sources", *_WORDS, "name"]
    return grid_of(table, ("Task", "Words"), keys, PLACE, there, heading, entry)


def control_text(block: Block) -> str:
    """What a search is worth beyond its number of tries, in a sentence; empty without controls."""
    pairs = control_pairs(block)
    if pairs.empty:
        return ""
    own = pairs[pairs[PLACE] == OWN]
    texts = [
        _against(part, where)
        for part, where in ((own, OWN), (pairs.drop(own.index), "carried over"))
        if len(part)
    ]
    scored = own["prompts_scored"].astype("float64").mean()
    tries = f" ({scored:.0f} different prompts each, on average)" if scored == scored else ""
    return f"{block.name} against the best of as many random prompts{tries}: {'; '.join(texts)}."


def _against(pairs: pd.DataFrame, where: str) -> str:
    means = pairs.groupby(_CASE, dropna=False)["difference"].mean().round(9)
    gain = t_interval(pairs.groupby("seed")["difference"].mean())
    return f"{where} above in {int((means > 0).sum())} of {len(means)} cases, by {_size(gain)}"


def _size(gain: Interval) -> str:
    text = f"{points(gain.mean, signed=True)} points on average"
    if gain.n < 2:
        return text
    return f"{text} ({PERCENT} interval {span(gain.low, gain.high)} over {gain.n} seeds)"
