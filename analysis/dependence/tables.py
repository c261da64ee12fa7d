"""The tables of what transfer depends on as people read them, and sentences on them."""

from collections.abc import Callable

import pandas as pd

from analysis.contrasts.power import Detectable, seeds_needed
from analysis.dependence.dependence import Spread
from analysis.present.grid import DASH, Grid, plain_grid, points, share, span
from analysis.present.words import ROW_NAMES, sources_name, term_name
from analysis.stats.importance import beyond_noise
from analysis.stats.intervals import PERCENT

GROUPS = {"task": "Task", "target": "Target", "sources": "Source set"}
"""What effects are grouped by, as the head of a table."""


def effect_grid(table: pd.DataFrame, column: str) -> Grid:
    """Effects by task or source set.

    Args:
        table: of :func:`analysis.contrasts.effects.effect_table`.
        column: what its groups are, ``task``, ``target`` or ``sources``.
    """
    heads = ("Mean", f"{PERCENT} interval", "Win / tie / loss", "Superiority", "p", "Holm p",
             "n")  # fmt: skip
    lines = [
        (
            sources_name(str(line[column])),
            [
                points(line["mean"], signed=True),
                span(line["low"], line["high"]),
                f"{line['win']} / {line['tie']} / {line['loss']}",
                f"{line['superiority']:.2f}",
                _p_value(line["p"]),
                _p_value(line["holm"]),
                str(line["n"]),
            ],
        )
        for line in table.to_dict("records")
    ]
    return plain_grid(GROUPS[column], heads, lines)


def shares_numbers(item: Spread) -> pd.DataFrame:
    """Variance shares with the Shapley share of each main factor beside (NaN for the others)."""
    check = item.check.set_index("term")["share"] if len(item.check) else pd.Series(dtype=float)
    return item.shares.table.assign(shapley=item.shares.table["term"].map(check))


def shares_grid(numbers: pd.DataFrame) -> Grid:
    lines = [
        (
            term_name(line["term"]),
            [
                str(line["levels"]),
                share(line["share"]),
                share_ends(line["low"], line["high"]) or DASH,
                share(line["shapley"]),
            ],
        )
        for line in numbers.to_dict("records")
    ]
    return plain_grid("Term", ("Levels", "Share", f"{PERCENT} interval", "Shapley"), lines)


def share_ends(low: float, high: float) -> str:
    """An interval of a share in percent; empty where it is not known."""
    return "" if low != low else f"[{100 * low:.0f}, {100 * high:.0f}]"


def ranks_grid(numbers: pd.DataFrame) -> Grid:
    lines = [(ROW_NAMES.get(str(row), str(row)), [f"{rank:.2f}"])
             for row, rank in numbers.itertuples(index=False)]  # fmt: skip
    return plain_grid("Row", ["Mean rank"], lines)


def stability_grid(table: pd.DataFrame) -> Grid:
    lines = []
    for number, part in table.groupby("number", sort=False):
        entries = [points(part["all"].iloc[0], signed=True)]
        for kind in ("model", "task"):
            known = part[(part["left_out"] == kind) & part["value"].notna()]
            entries.append(_range(known))
        flips = part[part["flips"].astype(bool)]["name"]
        entries.append(", ".join(flips) or "none")
        lines.append((str(number), entries))
    heads = ("All", "Without one model", "Without one task", "Sign changes without")
    return plain_grid("Number", heads, lines, words=(1, 2, 3))


def best_grid(table: pd.DataFrame) -> Grid:
    """Expected scores of the best of n, in points."""
    heads = ("Chosen on validation", "Best on test (oracle)", "Validation")
    lines = [
        (f"{int(n)}", [points(100 * value) for value in values])
        for n, *values in table[["n", "chosen", "oracle", "validation"]].itertuples(index=False)
    ]
    return plain_grid("n", heads, lines)


def _range(known: pd.DataFrame) -> str:
    if known.empty:
        return DASH
    low, high = known.iloc[known["value"].argmin()], known.iloc[known["value"].argmax()]
    return (
        f"{points(low['value'], signed=True)} ({low['name']}) to "
        f"{points(high['value'], signed=True)} ({high['name']})"
    )


def _p_value(p: float) -> str:
    if p != p:
        return DASH
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def noise_grid(table: pd.DataFrame, called: Callable[[str], str] = term_name) -> Grid:
    """Importance of every setting in percent, beside its mean and bound under pure noise.

    Args:
        table: of :func:`analysis.stats.importance.against_noise`; ``values`` may be missing.
    """
    heads = ["Importance", "By noise alone", "Noise stays below", "More than noise"]
    lines = []
    for line, beyond in zip(table.to_dict("records"), beyond_noise(table), strict=True):
        entries = [share(line[name]) for name in ("importance", "noise", "bound")]
        entries.append(DASH if line["bound"] != line["bound"] else ("yes" if beyond else "no"))
        values = [str(line["values"])] if "values" in line else []
        lines.append((called(str(line["setting"])), [*entries, *values]))
    return plain_grid("Setting", heads + ["Values"] * ("values" in table), lines)


def noise_sentence(table: pd.DataFrame, called: Callable[[str], str] = term_name) -> str:
    """Which settings matter more than noise does; empty for an empty table.

    Args:
        table: columns setting, importance and bound, as of
            :func:`analysis.stats.importance.against_noise`.
    """
    names = [called(str(name)) for name in table["setting"]]
    beyond, known = beyond_noise(table).tolist(), table["bound"].notna().tolist()
    words = {
        (True, True): "more than noise gives",
        (True, False): "indistinguishable from noise",
        (False, False): "not comparable with noise in this design",
    }
    kinds = list(zip(known, beyond, strict=True))
    texts = [
        f"{', '.join(those)}: {text}"
        for kind, text in words.items()
        if (those := [name for name, mine in zip(names, kinds, strict=True) if mine == kind])
    ]
    return f"{'; '.join(texts)}." if texts else ""


def power_sentence(item: Detectable) -> str:
    """What the design could have found, by task, and the seeds that it takes for a point."""
    spread, (one, mean) = item.spread, item.examples
    texts = []
    if item.one_case == item.one_case:
        seeds = seeds_needed(1.0, spread.between_seeds, examples=one)
        many = f"finding 1 point there takes {seeds:,} seeds" if seeds else (
            "no number of seeds finds 1 point there"
        )  # fmt: skip
        texts.append(
            f"With {spread.seeds:g} seeds a single case shows differences from "
            f"{points(item.one_case)} points up (two-sided paired t-test, power 80 %, level 5 %"
            f"{_with(one)}){_task_range(item.by_task)}; {many}."
        )
    if item.over_cases == item.over_cases:
        texts.append(
            f"The mean over {spread.cases} cases shows differences from {points(item.over_cases)} "
            f"points up if cases were independent (spread between cases "
            f"{points(spread.between_cases)}, between seeds {points(spread.between_seeds)} points"
            f"{_with(mean)})."
        )
    return " ".join([*texts, item.note]).strip()


def power_grid(table: pd.DataFrame) -> Grid:
    """Spread between seeds and smallest difference by task, in points."""
    lines = [
        (
            str(line["task"]),
            [
                points(line["between_seeds"]),
                points(line["one_case"]),
                str(line["cases"]),
                f"{line['seeds']:g}",
            ],
        )
        for line in table.to_dict("records")
    ]
    heads = ("Spread between seeds", "A case shows from", "Cases", "Seeds")
    return plain_grid("Task", heads, lines)


def _task_range(table: pd.DataFrame) -> str:
    """The range over tasks; those where nothing varies are named so, not counted as 0."""
    if len(table) < 2:
        return ""
    known = table["one_case"].dropna()
    still = int((table["between_seeds"] == 0).sum())
    texts = []
    if len(known) > 1:
        texts.append(f"by task from {points(known.min())} to {points(known.max())}")
    if still:
        texts.append(f"on {still} of {len(table)} tasks seeds do not vary and nothing can be told")
    return "".join(f"; {text}" for text in texts)


def _with(error: float) -> str:
    return f", test examples with a standard error of {points(error)}" if error else ""
