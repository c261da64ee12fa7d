"""Every table of a report, as numbers and as people read them."""

from collections.abc import Iterator, Sequence
from functools import partial

import pandas as pd

from analysis.contrasts.examples import Examples
from analysis.contrasts.selection import Choices, choose
from analysis.data.combinations import leading_parts, titled
from analysis.data.families import SOFT, of_family
from analysis.dependence.dependence import Dependence, dependence
from analysis.dependence.tables import dependence_tables
from analysis.hard.layout import effect_grid, method_grid
from analysis.hard.readability import correlation_grid, correlations, transfers
from analysis.hard.rows import Block, blocks, hard_rows
from analysis.hard.tables import effect_table, method_table, places
from analysis.present.formats import Table, file_name
from analysis.present.grid import calibration_grid, difference_grid, score_grid, share_grid
from analysis.report.aside import aside
from analysis.report.published import beside_published, published_grids
from analysis.soft.calibrated import calibration_table
from analysis.soft.ceiling import gap_table
from analysis.soft.tables import (
    averaged_joint,
    difference_table,
    metrics,
    paired_differences,
    source_models,
    source_table,
    targets,
    tasks,
    transfer_table,
)


def report_tables(
    frame: pd.DataFrame,
    select_lambda: str = "pair",
    found: Sequence[Dependence] | None = None,
    examples: Examples | None = None,
) -> list[Table]:
    """The tables of papers A and B, those beside their published values and those of effects.

    Args:
        frame: table of :func:`analysis.data.results.load`.
        select_lambda: by what Ours chooses its weight, see
            :func:`analysis.contrasts.selection.choose`.
        found: of :func:`analysis.dependence.dependence.dependence`, where it is already worked out.
        examples: reads the kept predictions; without it, intervals leave test examples out.

    Returns:
        Tables with distinct names, in the order of the report.
    """
    work = partial(dependence, select_lambda=select_lambda, examples=examples)
    with aside(work, frame if found is None else frame.head(0)) as effects:
        shown, _ = leading_parts(of_family(frame, SOFT))
        split = {label: (part, choose(part, select_lambda)) for label, part in shown}
        tables = list(_published(frame, {label: chosen for label, (_, chosen) in split.items()}))
        for label, (part, choices) in split.items():
            for target in targets(part):
                tables += _transfer(part, target, choices, label, examples)
        for label, (part, choices) in split.items():
            tables += _sources(part, choices, label)
        tables += _hard(frame)
        for item in effects() if found is None else found:
            tables += dependence_tables(item)
    return _distinct(tables)


def _published(frame: pd.DataFrame, choices: dict[str, Choices]) -> Iterator[Table]:
    for name, title, grid, numbers in published_grids(beside_published(frame, choices)):
        yield Table(name, f"{title}: here and as published", grid, numbers)


def _transfer(
    frame: pd.DataFrame, target: str, choices: Choices, label: str, examples: Examples | None
) -> Iterator[Table]:
    names, units, place = tasks(frame), metrics(frame), titled(target, label)

    def name(kind: str) -> str:
        return file_name(*filter(None, [kind, target, label]))

    scores = transfer_table(frame, target, choices)
    grid = score_grid(scores, names, units)
    yield Table(name("transfer"), f"Transfer to {place}", grid, scores)
    shares = gap_table(frame, target, choices)
    known = [task for task in names if task in set(shares["task"])]
    if known:
        title = f"Share of the gap to Direct recovered on {place}"
        yield Table(name("gap"), title, share_grid(shares, known, units), shares)
    after = calibration_table(frame, target, choices)
    columns = list(dict.fromkeys(after["task"]))
    if columns:
        unit = "mean over tasks" if len(names) > 1 else units.get(names[0], "")
        grid = calibration_grid(after, columns, unit)
        yield Table(name("calibration"), f"Transfer to {place} after calibration", grid, after)
    pairs = paired_differences(frame, target, choices)
    if not pairs.empty:
        table = difference_table(pairs, examples)
        title = f"Ours minus Baseline on {place}"
        yield Table(name("differences"), title, difference_grid(table, names, units), table)


def _sources(frame: pd.DataFrame, choices: Choices, label: str) -> Iterator[Table]:
    if not source_models(frame):
        return
    names, units = tasks(frame), metrics(frame)
    detail = source_table(frame, choices)
    for kind, title, table in (
        ("sources", "On the source models", averaged_joint(detail, frame, choices)),
        ("source_sets", "On the source models, every source set on its own", detail),
    ):
        if len(table):
            grid = score_grid(table, names, units, "Model")
            yield Table(file_name(*filter(None, [kind, label])), titled(title, label), grid, table)


def _hard(frame: pd.DataFrame) -> Iterator[Table]:
    rows = hard_rows(frame)
    if rows.empty:
        return
    units = metrics(frame)
    for block in blocks(rows):
        yield from _block(block, frame, units)
    moved = transfers(rows)
    if not moved.empty:
        found = correlations(moved)
        title = "Rank correlations of readability and transfer"
        yield Table("readability", title, correlation_grid(found), found)


def _block(block: Block, frame: pd.DataFrame, units: dict[str, str]) -> Iterator[Table]:
    there = set(zip(block.rows["task"], block.rows["sources"], strict=True))
    for task, source in sorted(there):
        table = method_table(block, frame, task, source)
        grid = method_grid(table, block, places(block), units.get(task, ""))
        title = f"{block.title}: {task}, tuned on {source}"
        yield Table(file_name("hard", block.title, task, source), title, grid, table)
    effect = effect_table(block)
    if not effect.empty:
        title = f"{block.title}: effect of s and K"
        yield Table(
            file_name("hard", block.title, "s-K"), title, effect_grid(effect, block), effect
        )


def _distinct(tables: Sequence[Table]) -> list[Table]:
    """The tables, a number behind the names that are there already in any case of letters."""
    seen: dict[str, int] = {}
    found = []
    for table in tables:
        key = table.name.casefold()
        seen[key] = seen.get(key, 0) + 1
        name = table.name if seen[key] == 1 else f"{table.name}-{seen[key]}"
        found.append(Table(name, table.title, table.grid, table.numbers))
    return found
