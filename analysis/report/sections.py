"""The one list of what a report shows: every section with its tables and figures."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import pandas as pd

from analysis.contrasts.examples import Examples
from analysis.contrasts.selection import Choices, choose
from analysis.data.combinations import SOFT, has, leading_parts, of_family, titled
from analysis.data.results import Sweep
from analysis.dependence.dependence import PARTS, Dependence, dependence
from analysis.dependence.section import dependence_sections
from analysis.dynamic.section import dynamic_section
from analysis.forecast.features import observations
from analysis.forecast.section import forecast_section
from analysis.frontier.section import CostAndGain, cost_section, costs_and_gains
from analysis.hard.section import HardReport, hard_report
from analysis.present.exhibits import Figure, Part, Section, Table, exhibits, file_name
from analysis.report.published import beside_published, published_grids, published_sentence
from analysis.report.search import search_section
from analysis.soft.best_prompts import best_prompts
from analysis.soft.section import SoftPart, source_section, target_section
from analysis.soft.tables import targets
from analysis.soft.transfer_figures import (
    prompt_map,
    size_surface,
    slope_chart,
    source_target_heatmap,
    tuned_prompts,
)
from analysis.starts.section import task_section
from analysis.starts.tries import without_starts
from analysis.starts.zero_shot import task_types
from analysis.tuned.section import tuned_section


@dataclass(frozen=True)
class Results:
    """A sweep's results as every section needs them, worked out once.

    Attributes:
        frame: table of :func:`analysis.load`.
        criterion: by what Ours chooses its weight, key of
            :data:`analysis.contrasts.selection.CRITERIA`.
        sweep: the sweep it is of; without it there is no section that reads more than the table.
        examples: reads the kept predictions; without it, intervals leave test examples out.
        answers: gives :func:`analysis.dependence.dependence.dependence`, where it is worked out
            elsewhere.
    """

    frame: pd.DataFrame
    criterion: str = "pair"
    sweep: Sweep | None = None
    examples: Examples | None = None
    answers: Callable[[], Sequence[Dependence]] | None = None

    @cached_property
    def plain(self) -> pd.DataFrame:
        """Without the rows of task transfer, which has a section of its own."""
        return without_starts(self.frame)

    @cached_property
    def soft(self) -> pd.DataFrame:
        return of_family(self.plain, SOFT)

    @cached_property
    def leading(self) -> tuple[list[tuple[str, pd.DataFrame]], str]:
        """The combinations of settings that there is room for, and a note on the others."""
        return leading_parts(self.soft)

    @cached_property
    def parts(self) -> list[SoftPart]:
        """Label, rows and chosen weights of each of them."""
        return [(label, part, choose(part, self.criterion)) for label, part in self.leading[0]]

    @cached_property
    def hard(self) -> HardReport | None:
        return hard_report(self.plain)

    @cached_property
    def costs(self) -> Sequence[CostAndGain]:
        """What every way of transfer costs and gains, where records tell it."""
        return costs_and_gains(self.plain, self.criterion, self.examples)

    @cached_property
    def dependence(self) -> Sequence[Dependence]:
        if self.answers:
            return self.answers()
        return dependence(self.plain, self.criterion, self.examples)


def sections(results: Results) -> Iterator[Section]:
    """Every section that has exhibits, in the order of the page."""
    sweep = results.sweep
    folder = sweep.folder if sweep else None
    yield from [section] if (section := cost_section(results.costs)) else []
    types = task_types(sweep.meta) if sweep else {}
    yield from [section] if (section := task_section(results.frame, folder, types)) else []
    yield from [section] if (section := dynamic_section(results.frame)) else []
    yield _overview(results.plain, folder)
    if sweep and (search := search_section(sweep.folder)):
        yield search
    yield from _published(results)
    where = (sweep.folder, sweep.meta) if sweep else ()
    tuned = tuned_section(results.soft, results.examples, *where)
    # Where settings vary, how they compare comes before what each of them gives.
    several = len(results.parts) > 1
    yield from [tuned] if several else []
    places = [(part, target) for part in results.parts for target in targets(part[1])]
    for number, (part, target) in enumerate(places, 1):
        yield target_section(part, target, number, results.criterion, results.examples)
    yield source_section(results.parts)
    yield from [] if several else [tuned]
    prompts = best_prompts(results.soft)
    yield Section("prompts", "Best prompts", template="prompts.html.j2", content=prompts)
    yield from results.hard.sections if results.hard else ()
    yield from dependence_sections(results.dependence)
    if sweep:
        forecast = forecast_section(sweep.folder, lambda: observations(sweep))
        yield from [forecast] if forecast else []


def report_tables(
    frame: pd.DataFrame, select_lambda: str = "pair", answers: Sequence[Dependence] | None = None
) -> list[Table]:
    """The tables of a report that need nothing but a sweep's results.

    Args:
        frame: table of :func:`analysis.load`.
        select_lambda: by what Ours chooses its weight, see
            :func:`analysis.contrasts.selection.choose`.
        answers: of :func:`analysis.dependence.dependence.dependence`, where it is already worked
            out.

    Returns:
        Tables with distinct names, in the order of the report.
    """
    known = None if answers is None else lambda: answers
    return list(exhibits(sections(Results(frame, select_lambda, answers=known)), Table))


def _overview(frame: pd.DataFrame, folder: Path | None) -> Section:
    families = [family for family in PARTS if has(frame[frame["kind"] == "transfer"], family)]
    figures = [
        Figure(
            file_name(name, family if len(families) > 1 else "", label),
            alt,
            f"{titled(f'{family.capitalize()} prompts', label)}. {caption}" if label else caption,
            partial(make, frame=part),
        )
        for family in families
        for label, part in PARTS[family](frame)
        for name, make, alt, caption in (
            (
                "source_target",
                source_target_heatmap,
                "Heatmap of the gain over Empty by source set and target.",
                "Points gained over Empty on test, mean over rows, tasks, weights and seeds.",
            ),
            (
                "slopes",
                slope_chart,
                "Scores on the source and after the transfer, a line per source.",
                "Mean over tasks of prompts tuned on one model: on that model, and carried over to "
                "the target named above. Bars: one standard deviation over seeds.",
            ),
            (
                "sizes",
                size_surface,
                "Gain of neighbour agreement by s and K.",
                "Words kept (s) by neighbours compared (K): mean difference on the targets.",
            ),
        )
    ]
    prompts = Figure(
        "prompt_map",
        "Map of the tuned prompts of every model.",
        "Principal components of the tuned prompts: every model has a space of its own, so that "
        "distances compare within a panel only.",
        lambda new: prompt_map(new, frame, tuned_prompts(folder, frame) if folder else {}),
    )
    # Of one target the sections below say the same, and more.
    one = len(set(frame.loc[frame["kind"] == "transfer", "target"])) < 2
    parts = [
        Part(exhibits=figures, folded="Gains by source, and slopes" if one else ""),
        Part(exhibits=[prompts], folded="Map of the tuned prompts"),
    ]
    return Section("overview", "Sources and targets at a glance", parts, link="At a glance")


def _published(results: Results) -> Iterator[Section]:
    choices: Mapping[str, Choices] = {label: chosen for label, _, chosen in results.parts}
    table = beside_published(results.plain, choices)
    if table.empty:
        return
    note = (
        "Points, mean ± standard deviation over seeds; below it the published mean and the "
        "difference, here minus published. Ours stands at the weight chosen here."
    )
    parts = [
        Part(title, exhibits=[Table(name, f"{title}: here and as published", grid, numbers)])
        for name, title, grid, numbers in published_grids(table)
    ]
    said = Part(texts=[published_sentence(table)], note=note)
    title = "Beside the papers' own numbers"
    yield Section("published", title, [said, *parts], link="Beside the papers")
