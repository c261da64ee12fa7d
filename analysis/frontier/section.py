"""The report's section on cost and gain, and what it finds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import pandas as pd

from analysis.contrasts.effects import ROPE, hard_pairs
from analysis.contrasts.examples import Examples
from analysis.data.combinations import HARD, MOST, SOFT, of_family, titled, tunings
from analysis.frontier.advice import advice_text
from analysis.frontier.figure import MOST as MOST_WAYS
from analysis.frontier.figure import cost_figure
from analysis.frontier.frontier import LEAST, PANELS, Ground, ground, summaries
from analysis.frontier.frontier import MOST as MOST_WORK
from analysis.frontier.lines import CASE, Field, field
from analysis.frontier.shares import acceptance
from analysis.frontier.tables import acceptance_grid, line_grid, line_table, summary_grid
from analysis.frontier.warm import warm_grid, warm_table, warm_text
from analysis.hard.rows import DRAWN, block_parts
from analysis.present.drawing import New
from analysis.present.exhibits import Figure, Part, Section, Table, file_name
from analysis.present.grid import MINUS
from analysis.present.words import Finding, counted
from trainables.core.frontier import CHEAP, LEAST_GAP

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawn

COSTS = "costs"
"""Anchor of the section."""
NOTE = (
    "Work: texts that the target read until the prompt was final, twice as much for those it was "
    "differentiated through; the final evaluation is not in it, nor is the tuning on the source. "
    "Gap recovered: all gain over Empty by all gap between Empty and Direct, where that is at "
    f"least {100 * LEAST_GAP:g} points; a calibrated score counts from the same Empty and Direct. "
    "Intervals (95 %) are over new source models, tasks, targets, seeds and, where predictions are "
    "kept, test examples."
)

WARM_NOTE = (
    "Start vocabulary is the control: sampled words, and with the same seed the same examples in "
    "the same order. The sentence above: the mean difference over all numbers of steps; two "
    f"do as well where the interval of their difference lies above {MINUS}{ROPE:g} points. At "
    "Direct: the share of cases (source set, task, target; means over seeds; only those with a "
    f"gap of at least {100 * LEAST_GAP:g} points) that with at most so many steps come within "
    f"{ROPE:g} points of Direct on test; behind it, over these cases, medians of the fewest steps "
    "that do, with their labels and work. Luck on test makes some of them early, with every "
    "start alike."
)


@dataclass(frozen=True)
class CostAndGain:
    """What there is to say on one combination of settings of the tuning.

    Attributes:
        label: the combination; empty if there is only one.
        whole: all its lines.
        examples: reads the kept predictions.
    """

    label: str
    whole: Field
    examples: Examples | None = None

    @cached_property
    def places(self) -> list[tuple[str, Field]]:
        """Name and lines of all targets together, where several, and of each."""
        each = [(target, self.whole.at(target)) for target in self.whole.targets]
        return each if len(each) == 1 else [("", self.whole), *each]

    def findings(self) -> Iterator[Finding]:
        """What to do on every target by what it takes, where a sweep is about that alone."""
        for target, here in self.places:
            if target and (text := advice_text(here, self.examples)):
                yield Finding(titled(f"What to do on {target}", self.label), text)

    def parts(self) -> Iterator[Part]:
        """Figures and tables of every target."""
        for target, here in self.places:
            yield from _Place(self.whole, self.label, target, here, self.examples).parts()


def costs_and_gains(
    frame: pd.DataFrame, criterion: str = "pair", examples: Examples | None = None
) -> list[CostAndGain]:
    """One for each combination of settings of the tuning; none where no record tells its costs.

    Args:
        frame: table of :func:`analysis.load`.
        criterion: by what Ours chooses its weight.
        examples: reads the kept predictions.
    """
    moved = frame[(frame["kind"] == "transfer") & frame["target_work"].notna()]
    if moved.empty:
        return []
    texts = _hard_lines(frame[(frame["family"] != HARD) | frame["target_work"].notna()])
    found = []
    for label, part in list(tunings(of_family(frame, SOFT)))[:MOST]:
        lines = field(part, criterion, texts)
        if len(lines.units):
            found.append(CostAndGain(label, lines, examples))
    return found


def _hard_lines(frame: pd.DataFrame) -> pd.DataFrame | None:
    """Rows of hard prompts that were carried over, each with the name of its line."""
    parts = []
    for label, block in block_parts(frame):
        moved = block[(block["kind"] == "transfer") & (block["family"] == HARD)]
        plain = moved[moved["row"] == "all"]
        drawn = moved[(moved["row"] == DRAWN) & (moved["vocabulary"] == "all")]
        agreeing = moved[moved["cell"].isin(list(hard_pairs(block, among=False).chosen["cell"]))]
        for name, rows in (
            ("all words", plain),
            ("best of random", drawn),
            ("words that agree", agreeing),
        ):
            parts.append(rows.assign(line=f"{label}, {name}, as text"))
    rows = pd.concat(parts) if parts else pd.DataFrame()
    return rows if len(rows) else None


class _Place:
    """Figures and tables of one target, or of all together."""

    def __init__(self, whole: Field, label: str, target: str, here: Field,
                 examples: Examples | None) -> None:  # fmt: skip
        self.whole, self.label, self.target = whole, label, target
        self.here, self.examples = here, examples
        self.place = titled(target or "All targets", label)
        self.level = here.empty.title if here.empty else "Empty"

    def name(self, kind: str) -> str:
        return file_name(kind, self.target or "all", self.label)

    @cached_property
    def numbers(self) -> pd.DataFrame:
        return line_table(self.here, self.here.worthy, self.examples)

    @cached_property
    def ground(self) -> Ground:
        return ground(self.here, self.here.worthy)

    def parts(self) -> Iterator[Part]:
        figure = Figure(
            self.name("cost_and_gain"),
            f"Work on the target against what is gained: {self.place}.",
            f"{self.place}: what every way takes, and gains on test, mean over {self._over()}, "
            "calibrated where it can be. Bars: 95 % intervals over new models, tasks and seeds. "
            "Line: what validation chooses for at most so much work. Of more than "
            f"{MOST_WAYS} ways those best on validation.",
            self._draw,
            partial(self._draw, stacked=True),
        )
        several = len(self.whole.targets) > 1 or self.label
        yield Part(self.place if several else "", exhibits=[figure])
        if text := advice_text(self.here, self.examples):
            yield Part(folded="What validation chooses, mean over source sets", texts=[text])
        yield self._table("costs", "Cost and gain", self.numbers)
        if len(self.here.poor):
            poor = line_table(self.here, self.here.poor, self.examples, others=False)
            yield self._table("costs_poor", "Where the source is no better than Empty", poor)
        yield self._summary()
        cheap = acceptance(self.here, self.here.worthy)
        if len(cheap):
            title = f"Cheap ways without labels: {self.place}"
            grid = acceptance_grid(cheap, self.level)
            yield Part(
                folded="Median share of the gap of cheap ways without labels",
                note=f"Ways with at most {CHEAP:,} row equivalents, no label of the target and"
                " no source to run: median over cases (source set, task, target) and its lower"
                " bound by the crossed bootstrap. Bold: the bound is above the median of"
                f" {self.level}.",
                exhibits=[Table(self.name("cheap"), title, grid, cheap)],
            )
        yield from self._warm()

    def _warm(self) -> Iterator[Part]:
        numbers = warm_table(self.here, self.here.worthy, self.examples)
        if len(numbers):
            title = f"What a start saves of tuning on the target: {self.place}"
            yield Part(
                folded="What a start saves of tuning on the target",
                texts=[warm_text(self.here, self.here.worthy, self.examples)],
                note=WARM_NOTE,
                exhibits=[Table(self.name("warm"), title, warm_grid(numbers), numbers)],
            )

    @cached_property
    def _shares(self) -> bool:
        """Whether the figure is in shares of the gap: where most of all pairs have one."""
        return 2 * len(self.here.with_gap(self.here.units)) >= len(self.here.units)

    def _over(self) -> str:
        """What the figure's means are over: all there is, as in the verdict beside it."""
        units = self.here.with_gap(self.here.units) if self._shares else self.here.units
        text = counted(len(units.drop_duplicates(CASE)), "case")
        return f"{text} (source set, task, target)" + (" with a gap" if self._shares else "")

    @cached_property
    def _drawn(self) -> tuple[pd.DataFrame, Ground]:
        """What the figure shows: every case, with something to carry over or without."""
        units = self.here.units
        same = len(self.here.worthy) == len(units)
        numbers = self.numbers if same else line_table(self.here, units, self.examples)
        return numbers, ground(self.here, units, self._shares)

    def _draw(self, new: New, stacked: bool = False) -> "Drawn | None":
        numbers, every = self._drawn
        found = [every.frontier(panel) for panel in range(len(PANELS))]
        return cost_figure(new, numbers, found, (100 * every.empty, 100 * every.gap), stacked)

    def _table(self, kind: str, title: str, numbers: pd.DataFrame) -> Part:
        grid = line_grid(numbers, self.level)
        return Part(
            folded=title,
            note=NOTE,
            exhibits=[Table(self.name(kind), f"{title}: {self.place}", grid, numbers)],
        )

    def _summary(self) -> Part:
        numbers = summaries(self.ground, self.examples)
        title = f"Area under the frontier: {self.place}"
        return Part(
            folded="Area under the frontier, and the work for half of the gap",
            note=f"Mean share of the gap over budgets from {LEAST} to {MOST_WORK:,} row"
            " equivalents on a log scale, choosing by validation within each, among what the"
            " target gives away.",
            exhibits=[Table(self.name("frontier"), title, summary_grid(numbers), numbers)],
        )


def cost_section(every: Sequence[CostAndGain]) -> Section | None:
    """The section; None where no costs are known."""
    parts = [part for item in every for part in item.parts()]
    return Section(COSTS, "Cost and gain", parts) if parts else None
