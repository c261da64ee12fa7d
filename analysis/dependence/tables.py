"""The tables of what transfer depends on, as people read them and as files."""

from collections.abc import Iterator

import pandas as pd

from analysis.contrasts.verdict import QUESTIONS
from analysis.data.combinations import titled
from analysis.data.families import HARD, SOFT
from analysis.dependence.dependence import Dependence, Spread
from analysis.dependence.figures import term_name
from analysis.dependence.importance import noise_grid
from analysis.present.formats import Table, file_name, plain_grid
from analysis.present.grid import DASH, Grid, points, span
from analysis.present.words import ROW_NAMES, sources_name
from analysis.stats.intervals import LEVEL

_PERCENT = f"{100 * LEVEL:.0f} %"
_HEADS = {"task": "Task", "target": "Target", "sources": "Source set"}
_TITLES = {SOFT: "soft prompts", HARD: "hard prompts"}


def dependence_tables(item: Dependence) -> Iterator[Table]:
    """The tables of one family, those that there are numbers for."""
    start = file_name(*filter(None, [f"dependence_{item.family}", item.label]))
    kind = titled(_TITLES[item.family], item.label)
    name = QUESTIONS[item.family].name
    for column, numbers in item.effects.items():
        title = f"{name} by {_HEADS[column].lower()}, {kind}"
        yield Table(f"{start}_effects_{column}", title, effect_grid(numbers, column), numbers)
    for spread in item.spreads:
        if not spread.shares.table.empty:
            title = f"Where the spread of {spread.what} lies, {kind}"
            yield Table(
                f"{start}_shares_{spread.key}", title, shares_grid(spread), shares_numbers(spread)
            )
    if not item.ranking.ranks.empty:
        ranks = item.ranking.ranks.rename("rank").rename_axis("row").reset_index()
        title = f"Mean ranks over {item.ranking.blocks} tasks, {kind}"
        lines = [(ROW_NAMES.get(str(row), str(row)), [f"{rank:.2f}"])
                 for row, rank in ranks.itertuples(index=False)]  # fmt: skip
        yield Table(f"{start}_ranks", title, plain_grid("Row", ["Mean rank"], lines), ranks)
    if not item.stability.empty:
        title = f"How much rests on one model or task, {kind}"
        yield Table(f"{start}_stability", title, stability_grid(item.stability), item.stability)
    if len(item.best) > 1:
        title = f"Expected score of the best of n candidates, {kind}"
        yield Table(f"{start}_best_of_n", title, best_grid(item.best), item.best)
    if len(item.importance) > 1:
        title = f"Importance of settings (PED-ANOVA), {kind}"
        yield Table(f"{start}_importance", title, noise_grid(item.importance), item.importance)


def effect_grid(table: pd.DataFrame, column: str) -> Grid:
    """Effects by task or source set.

    Args:
        table: of :func:`analysis.contrasts.effects.effect_table`.
        column: what its groups are, ``task``, ``target`` or ``sources``.
    """
    heads = ("Mean", f"{_PERCENT} interval", "Win / tie / loss", "Superiority", "p", "Holm p",
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
    return plain_grid(_HEADS[column], heads, lines)


def shares_numbers(item: Spread) -> pd.DataFrame:
    """Variance shares with the Shapley share of each main factor beside (NaN for the others)."""
    check = item.check.set_index("term")["share"] if len(item.check) else pd.Series(dtype=float)
    return item.shares.table.assign(shapley=item.shares.table["term"].map(check))


def shares_grid(item: Spread) -> Grid:
    """Variance shares in percent with their intervals, and Shapley shares."""
    lines = [
        (
            term_name(line["term"]),
            [
                str(line["levels"]),
                _share(line["share"]),
                DASH if line["low"] != line["low"]
                else f"[{100 * line['low']:.0f}, {100 * line['high']:.0f}]",
                _share(line["shapley"]),
            ],
        )
        for line in shares_numbers(item).to_dict("records")
    ]  # fmt: skip
    return plain_grid("Term", ("Levels", "Share", f"{_PERCENT} interval", "Shapley"), lines)


def stability_grid(table: pd.DataFrame) -> Grid:
    """Every headline number with its range over models and tasks left out.

    Args:
        table: of :func:`analysis.dependence.stability.leave_one_out`.
    """
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
    return plain_grid("Number", heads, lines)


def best_grid(table: pd.DataFrame) -> Grid:
    """Expected scores of the best of n, in points.

    Args:
        table: of :func:`analysis.stats.best_of_n.best_of_n`.
    """
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


def _share(share: float) -> str:
    return DASH if share != share else f"{100 * share:.0f} %"


def _p_value(p: float) -> str:
    if p != p:
        return DASH
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
