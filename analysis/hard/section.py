"""The report's sections on hard prompts: everything the template needs, worked out."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from analysis.hard.findings import hard_design, hard_findings
from analysis.hard.layout import effect_grid, method_grid
from analysis.hard.prompts import PromptTable, prompt_tables
from analysis.hard.readability import (
    correlation_grid,
    correlations,
    readability_sentences,
    transfers,
)
from analysis.hard.readability_figure import readability_scatter
from analysis.hard.rows import Block, blocks, hard_rows
from analysis.hard.tables import effect_table, method_table, places
from analysis.present.grid import to_html
from analysis.present.words import Finding
from analysis.soft.tables import metrics


@dataclass(frozen=True)
class HardTable:
    """One table of paper B."""

    task: str
    source: str
    scores: Markup


@dataclass(frozen=True)
class HardSection:
    """All that is shown of one block (:class:`analysis.hard.rows.Block`)."""

    name: str
    anchor: str
    about: str
    tables: tuple[HardTable, ...]
    effect: Markup | None
    prompts: tuple[PromptTable, ...]


@dataclass(frozen=True)
class Readability:
    """Correlations of readability and transfer: table, sentences and figure."""

    table: Markup
    sentences: tuple[str, ...]
    scatter: bytes | None


@dataclass(frozen=True)
class HardReport:
    """Everything on the hard prompts of a sweep.

    Attributes:
        design: what was run, as a sentence.
        findings: what came out.
        sections: one a block.
        readability: None where nothing was carried over.
    """

    design: str
    findings: tuple[Finding, ...]
    sections: tuple[HardSection, ...]
    readability: Readability | None


def hard_report(frame: pd.DataFrame) -> HardReport | None:
    """The report's part on hard prompts; None where a sweep has none.

    Args:
        frame: table of :func:`analysis.data.results.load`.
    """
    rows = hard_rows(frame)
    if rows.empty:
        return None
    each = list(blocks(rows))
    moved = transfers(rows)
    table = correlations(moved)
    sentences = readability_sentences(table)
    return HardReport(
        design=hard_design(rows),
        findings=tuple(hard_findings(each, sentences)),
        sections=tuple(_section(place, block, frame) for place, block in enumerate(each, 1)),
        readability=None
        if moved.empty
        else Readability(
            table=to_html(correlation_grid(table)),
            sentences=tuple(sentences),
            scatter=readability_scatter(moved),
        ),
    )


def _section(place: int, block: Block, frame: pd.DataFrame) -> HardSection:
    effect = effect_table(block)
    units = metrics(frame)
    return HardSection(
        name=block.title,
        anchor=f"hard-{place}",
        about=block.about,
        tables=tuple(_tables(block, frame, units)),
        effect=None if effect.empty else to_html(effect_grid(effect, block)),
        prompts=tuple(prompt_tables(block)),
    )


def _tables(block: Block, frame: pd.DataFrame, units: Mapping[str, str]) -> list[HardTable]:
    columns = places(block)
    there = set(zip(block.rows["task"], block.rows["sources"], strict=True))
    found = []
    for task, source in sorted(there):
        table = method_table(block, frame, task, source)
        grid = method_grid(table, block, columns, units.get(task, ""))
        found.append(HardTable(task, source, to_html(grid)))
    return found
