"""Whether prompts that read like language carry over better (paper B, section 6).

Two measures of a prompt, the share of dictionary words and its log-perplexity on the target, are
held against what it reaches there: score, and gain over the same input without it. A point is one
prompt on one target; a prompt's points are one cluster of the bootstrap.
"""

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.hard.rows import METHOD_NAMES, RANDOM, RANK
from analysis.present.drawing import COLOURS, MARKERS, QUIET, New, cycled, handles, ruled
from analysis.present.grid import DASH, MINUS, Entry, Grid, Line
from analysis.present.words import ALL_TASKS
from analysis.stats.correlation import Correlation, spearman
from analysis.stats.intervals import LEVEL

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = {"dictionary_share": "dictionary words", "log_perplexity": "log-perplexity"}
"""What is measured of a prompt: column and name."""
OUTCOMES = {"score": "score", "gain_over_no_prompt": "gain over Empty"}
"""What it is held against: column and name."""
ALL_ROWS = "all rows"
"""Name of the line over all kinds of prompts; no row is called so."""


def transfers(rows: pd.DataFrame) -> pd.DataFrame:
    moved = rows[rows["kind"] == "transfer"]
    several = moved.loc[moved["method"] != RANDOM, "method"].nunique() > 1
    # Ours of PEZ and Ours of AutoPrompt are two kinds.
    named = [
        f"{name} ({METHOD_NAMES.get(method, method)})"
        if several and line in ("common", "agreement")
        else name
        for name, line, method in zip(moved["name"], moved["line"], moved["method"], strict=True)
    ]
    moved = moved.assign(made=named, rank=moved["line"].map(RANK))
    return moved.sort_values(["rank", "made"], kind="stable").reset_index(drop=True)


def correlations(moved: pd.DataFrame) -> pd.DataFrame:
    """Every correlation, over all tasks and per task, over all rows and within each.

    Returns:
        Columns task (:data:`analysis.present.words.ALL_TASKS` for all), made (:data:`ALL_ROWS` for
        all), measure, outcome and found, a :class:`analysis.stats.correlation.Correlation`.
    """
    names = sorted(moved["task"].unique())
    kinds = [ALL_ROWS, *moved["made"].unique()]
    lines = []
    for task, kind in product([*([ALL_TASKS] if len(names) > 1 else []), *names], kinds):
        part = moved[(moved["task"] == task) | (task == ALL_TASKS)]
        part = part[(part["made"] == kind) | (kind == ALL_ROWS)]
        for measure, outcome in product(MEASURES, OUTCOMES):
            rho = spearman(part[measure], part[outcome], part["prompt"])
            lines.append((task, kind, measure, outcome, rho))
    return pd.DataFrame(lines, columns=["task", "made", "measure", "outcome", "found"])


def correlation_grid(table: pd.DataFrame) -> Grid:
    """Spearman's ρ with its interval: a line per task and row, a column per pair of columns."""
    pairs = list(product(MEASURES, OUTCOMES))
    lines = []
    for (task, kind), part in table.groupby(["task", "made"], sort=False):
        by_pair = dict(zip(zip(part["measure"], part["outcome"], strict=True), part["found"],
                         strict=True))  # fmt: skip
        most = max(item.n for item in by_pair.values())
        prompts = max(item.clusters for item in by_pair.values())
        entries = [_entry(by_pair[pair], most) for pair in pairs]
        lines.append(
            Line(str(task), str(task), str(kind), (*entries, Entry(f"{most} of {prompts}")))
        )
    columns = [(MEASURES[measure], f"with {OUTCOMES[outcome]}") for measure, outcome in pairs]
    return Grid(("Task", "Row"), (*columns, ("n", "transfers of prompts")), tuple(lines))


def _entry(rho: Correlation, most: int) -> Entry:
    note = interval(rho)
    if rho.n != most:
        note = f"{note} (n={rho.n})".strip()
    return Entry(signed(rho.value), bool(rho.direction), note=note)


def signed(value: float) -> str:
    """Two decimals with a sign; a dash for NaN."""
    if value != value:
        return DASH
    value = round(value, 2) or 0.0
    return f"{MINUS if value < 0 else '+'}{abs(value):.2f}"


def interval(rho: Correlation) -> str:
    """The interval in brackets; empty where it is unknown."""
    return "" if rho.low != rho.low else f"[{signed(rho.low)}, {signed(rho.high)}]"


_MEANING: Mapping[tuple[str, int], str] = {
    ("dictionary_share", 1): "prompts with more dictionary words carry over better here",
    ("dictionary_share", -1): "prompts with more dictionary words carry over worse here",
    ("log_perplexity", 1): "prompts that the target finds unlikely carry over better here",
    ("log_perplexity", -1): "prompts that the target finds likely carry over better here",
}
_NAMES = {
    "dictionary_share": "Share of dictionary words",
    "log_perplexity": "Log-perplexity on the target",
}


def readability_sentences(table: pd.DataFrame) -> list[str]:
    """What the correlations over everything say, and what is left of them within rows.

    Returns:
        One sentence or two per measure.
    """
    if table.empty:
        return []
    widest = table[table["task"] == table["task"].iloc[0]]
    sentences = []
    for measure in MEASURES:
        part = widest[widest["measure"] == measure]
        overall = part[part["made"] == ALL_ROWS]
        both = {line["outcome"]: line["found"] for line in overall.to_dict("records")}
        within = part[(part["made"] != ALL_ROWS) & (part["outcome"] == "gain_over_no_prompt")]
        between = bool(both["gain_over_no_prompt"].direction)
        sentences.append(f"{_overall(measure, both)} {_within(within, between)}".strip())
    return sentences


def _overall(measure: str, both: Mapping[Any, Correlation]) -> str:
    name, first = _NAMES[measure], both["score"]
    if first.value != first.value:
        return f"{name}: too few transfers, or all alike, so that no relation can be told."
    parts = [
        f"ρ = {signed(rho.value)} {interval(rho)} with the {OUTCOMES[outcome]} ({_says(rho)})"
        for outcome, rho in both.items()
        if rho.value == rho.value
    ]
    gain = both["gain_over_no_prompt"]
    meaning = _MEANING.get((measure, gain.direction if gain.value == gain.value else 0), "")
    text = f"{name}, over {first.n} transfers of {first.clusters} prompts: {', '.join(parts)}"
    return f"{text}; {meaning}." if meaning else f"{text}."


def _says(rho: Correlation) -> str:
    if rho.low != rho.low:
        return "too few prompts for an interval"
    return "a relation" if rho.direction else "no relation found"


def _within(part: pd.DataFrame, between: bool) -> str:
    """Whether there is a relation with the gain among prompts of one kind, as ``between`` them."""
    known = part.loc[[rho.low == rho.low for rho in part["found"]]]
    if len(part) < 2 or known.empty:
        return ""
    clear = [
        f"{made} {signed(rho.value)}"
        for made, rho in zip(known["made"], known["found"], strict=True)
        if rho.direction
    ]
    level = f"{100 * LEVEL:.0f} % interval"
    if not clear:
        text = (
            f"Within a single row no relation with the gain is found: the {level} covers 0 in all "
            f"{len(known)}"
        )
        return f"{text}, so that the relation is one between kinds of prompts." if between \
            else f"{text}."  # fmt: skip
    chance = f"{(1 - LEVEL) * len(known):.1f}"
    return (
        f"Within a single row the {level} of the relation with the gain excludes 0 in {len(clear)} "
        f"of {len(known)}: {', '.join(clear)}; by chance alone about {chance} would."
    )


_LABELS = {
    "dictionary_share": "share of dictionary words",
    "log_perplexity": "log-perplexity on the target, nats per token",
}
_GAIN = "gain_over_no_prompt"


def readability_scatter(new: New, moved: pd.DataFrame) -> "Figure | None":
    """Both measures against the gain over Empty, a point per prompt and target.

    Colour is the row, marker the task. Points on top of each other are moved sideways by up to 1 %
    of the axis. None where no transfer has a measure and a gain.
    """
    panels = {name: moved.dropna(subset=[name, _GAIN]) for name in MEASURES}
    panels = {name: part for name, part in panels.items() if not part.empty}
    if not panels:
        return None
    known = pd.concat(list(panels.values()))
    colours = cycled([name for name in moved["made"].unique() if name in set(known["made"])],
                     COLOURS)  # fmt: skip
    markers = cycled(sorted(known["task"].unique()), MARKERS)
    fig = new(9.2, 3.6)
    grid = fig.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (measure, part) in zip(grid, panels.items(), strict=True):
        # From -1 to 1, spread evenly by the prompt's number.
        sideways = (part["prompt"] * 0.618034 % 1) * 2 - 1
        places = part[measure] + (0.012 if measure == "dictionary_share" else 0.0) * sideways
        axes.axhline(0, color=QUIET, linewidth=0.8)
        for (kind, task), points in part.groupby(["made", "task"], sort=False):
            axes.scatter(
                places[points.index],
                100 * points[_GAIN],
                s=20,
                marker=markers[str(task)],
                color=colours[str(kind)],
                alpha=0.7,
                linewidth=0.4,
                edgecolor="white",
            )
        axes.set_xlabel(_LABELS[measure])
        ruled(axes)
    grid[0].set_ylabel(f"points of {OUTCOMES[_GAIN]}")
    fig.subplots_adjust(left=0.065, right=0.79, bottom=0.14, top=0.96, wspace=0.06)
    fig.legend(handles=handles(colours, markers), loc="center left", bbox_to_anchor=(0.795, 0.55),
               fontsize=8)  # fmt: skip
    return fig
