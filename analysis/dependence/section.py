"""What transfer depends on, as the report's section: sentences, tables and figures."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

import pandas as pd

from analysis.contrasts.effects import ROPE
from analysis.contrasts.verdict import QUESTIONS, explanations, verdict_text
from analysis.data.combinations import titled
from analysis.dependence import figures, tables
from analysis.dependence.dependence import Dependence, Spread
from analysis.present.exhibits import Figure, Part, Section, Table, file_name
from analysis.present.grid import Grid, points, span
from analysis.present.words import term_name
from analysis.stats.bootstrap import Crossed
from analysis.stats.importance import LABEL
from analysis.stats.intervals import PERCENT
from analysis.stats.ranks import Ranking
from analysis.stats.shapley import REST
from analysis.stats.variance import Shares


def dependence_sections(items: Sequence[Dependence]) -> Iterator[Section]:
    """A section for each of :func:`analysis.dependence.dependence.dependence`.

    Their ids are ``dependence-soft``, ``dependence-hard`` and, where a family has several,
    ``dependence-soft-2`` and so on.
    """
    counts: Counter[str] = Counter()
    for item in items:
        counts[item.family] += 1
        anchor = f"dependence-{item.family}"
        if counts[item.family] > 1:
            anchor += f"-{counts[item.family]}"
        made = _Made(item)
        parts = [
            *made.effects(),
            *(made.variance(spread) for spread in item.spreads),
            *made.interaction(),
            made.ranks(),
            *made.stability(),
            *made.best(),
            *made.importance(),
        ]
        title = f"What transfer depends on: {made.kind}"
        yield Section(anchor, title, parts, link=f"What {made.kind} depend on")


_MORE = "More on this difference, and what this sweep could have shown"


class _Made:
    def __init__(self, item: Dependence) -> None:
        self.item = item
        self.kind = titled(f"{item.family} prompts", item.label)
        self.start = file_name(f"dependence_{item.family}", item.label)

    def table(
        self, name: str, title: str, grid: Grid, numbers: pd.DataFrame, on_page: bool = True
    ) -> Table:
        return Table(f"{self.start}_{name}", f"{title}, {self.kind}", grid, numbers, on_page)

    def effects(self) -> Iterator[Part]:
        item, question = self.item, QUESTIONS[self.item.family]
        title = f"How much {question.words}"
        if item.verdict is None or item.detectable is None:
            yield Part(title, [f"There is no pair of results to take {question.name} of."])
            return
        note = (
            f"Points, mean over models, tasks, targets and seeds with its {PERCENT} interval over "
            "new ones of each (crossed). Cases are source set × task × target; a tie lies within "
            f"± {ROPE:g} points. Superiority: share of pairs above 0, ties half. p: the t-test "
            "that goes with the interval; Holm over the lines."
        )
        about = [
            *explanations(item.verdict),
            bootstrap_sentence(item.verdict.answer),
            tables.power_sentence(item.detectable),
        ]
        shown = [
            self.table(
                f"effects_{column}",
                f"{question.name} by {tables.GROUPS[column].lower()}",
                tables.effect_grid(numbers, column),
                numbers,
            )
            for column, numbers in item.effects.items()
        ]
        # A table whose every interval has 0 in it says nothing that the sentences do not.
        says = any(((numbers["low"] > 0) | (numbers["high"] < 0)).any()
                   for numbers in item.effects.values())  # fmt: skip
        yield Part(title, [verdict_text(item.verdict)])
        groups = ", ".join(tables.GROUPS[column].lower() for column in item.effects)
        if shown:
            folded = "" if says else f"By {groups}: no clear effect"
            yield Part(note=note, exhibits=shown, folded=folded)
        tasks, power = item.detectable.by_task, []
        if len(tasks) > 1:
            grid = tables.power_grid(tasks)
            power = [self.table("power", "What a case of a task could show", grid, tasks)]
        yield Part(texts=about, exhibits=power, folded=_MORE)

    def variance(self, spread: Spread) -> Part:
        title = f"Where the spread of {spread.what} lies"
        if spread.shares.table.empty:
            return Part(folded=title, texts=[spread.shares.note])
        figure = Figure(
            f"{self.start}_shares_{spread.key}",
            f"Variance shares of {spread.what}.",
            f"Share of the variance of single results by random effects; lines: {PERCENT} "
            "intervals (crossed bootstrap, wider where levels are few). Shares describe this "
            "design.",
            partial(figures.variance_bars, table=spread.shares.table),
        )
        numbers = tables.shares_numbers(spread)
        table = self.table(
            f"shares_{spread.key}", title, tables.shares_grid(numbers), numbers, False
        )
        text = shares_sentence(spread.shares, spread.check)
        return Part(folded=title, texts=[text], exhibits=[figure, table])

    def interaction(self) -> Iterator[Part]:
        pairs, name = self.item.pairs, QUESTIONS[self.item.family].name
        if pairs.empty or pairs["task"].nunique() < 2:
            return
        captions = {
            "sources": "Mean over seeds and targets. Lines that run alike: source set and task add "
            "up; lines that cross: the best source set depends on the task.",
            "target": "The same by target, mean over seeds and source sets.",
        }
        plots = [
            Figure(
                f"{self.start}_interaction{'' if not place else '_' + lines}",
                f"{name} across tasks by {lines}.",
                captions[lines if place else "sources"],
                partial(figures.interaction_plot, frame=pairs, value="difference", across="task",
                        lines=lines, label=f"{name}, points"),
            )
            for place, lines in enumerate(
                lines for lines in captions if pairs[lines].nunique() > 1
            )
        ]  # fmt: skip
        if plots:
            yield Part(folded="Source set and task together", exhibits=plots)

    def ranks(self) -> Part:
        ranking, title = self.item.ranking, "Ranks over tasks"
        files = []
        if not ranking.ranks.empty:
            numbers = ranking.ranks.rename("rank").rename_axis("row").reset_index()
            name = f"Mean ranks over {ranking.blocks} tasks"
            files.append(self.table("ranks", name, tables.ranks_grid(numbers), numbers, False))
        if ranking.note:  # too little for a test: the file of ranks is all there is
            return Part(exhibits=files)
        figure = Figure(
            f"{self.start}_ranks",
            "Critical-difference diagram.",
            f"Mean rank of each kind of prompt over {ranking.blocks} tasks, 1 is best; "
            "bars join ranks that Nemenyi's test does not tell apart at 5 %. Ranks alone: sizes of "
            "differences do not enter.",
            partial(figures.critical_difference_diagram, ranking=ranking),
        )
        return Part(folded=title, texts=[_friedman(ranking)], exhibits=[figure, *files])

    def stability(self) -> Iterator[Part]:
        numbers, title = self.item.stability, "How much rests on one model or task"
        if not numbers.empty:
            table = self.table("stability", title, tables.stability_grid(numbers), numbers)
            note = (
                "Every number computed anew without each model (as source, as target) and task; λ "
                "chosen anew. Points; the model or task in brackets is the one left out."
            )
            yield Part(folded=title, note=note, exhibits=[table])

    def best(self) -> Iterator[Part]:
        table = self.item.best
        if len(table) < 2:
            return
        gains = table.iloc[-1] - table.iloc[0]
        text = (
            f"Choosing the best of {len(table)} candidates per task, target and seed on validation "
            f"brings {points(100 * gains['chosen'], signed=True)} points on test over a random "
            f"one; validation promises {points(100 * gains['validation'], signed=True)}."
        )
        figure = Figure(
            f"{self.start}_best_of_n",
            "Expected score against the number of candidates.",
            "Expected over random draws of n candidates, mean over tasks, targets and seeds.",
            partial(figures.best_of_n_curve, table=table),
        )
        title = "Expected score of the best of n candidates"
        numbers = self.table("best_of_n", title, tables.best_grid(table), table, False)
        yield Part(folded="What a larger search brings", texts=[text], exhibits=[figure, numbers])

    def importance(self) -> Iterator[Part]:
        numbers, title = self.item.importance, "Importance of settings (PED-ANOVA)"
        if len(numbers) > 1:
            table = self.table("importance", title, tables.noise_grid(numbers), numbers)
            texts = [tables.noise_sentence(numbers)]
            yield Part(folded=title, texts=texts, note=LABEL, exhibits=[table])


def bootstrap_sentence(effect: Crossed) -> str:
    """The plain crossed bootstrap beside the interval; empty without draws."""
    if not effect.boot_high > effect.boot_low:
        return ""
    return f"The plain crossed bootstrap gives {span(effect.boot_low, effect.boot_high)}."


def shares_sentence(shares: Shares, check: pd.DataFrame) -> str:
    """The largest shares, the Shapley check, the design's fill and what weakens it all."""
    top = shares.table.sort_values("share", ascending=False, kind="stable").head(3)
    named = ", ".join(
        f"{term_name(line['term'])} {100 * line['share']:.0f} %"
        f" {tables.share_ends(line['low'], line['high'])}".rstrip()
        for line in top.to_dict("records")
    )
    mains = check[check["term"] != REST].sort_values("share", ascending=False, kind="stable")
    other = ", ".join(
        f"{term_name(term)} {100 * share:.0f} %"
        for term, share in mains.head(3).itertuples(index=False)
    )
    fill = (
        f"The design has {shares.cells_present:,} of {shares.cells_expected:,} combinations "
        f"({100 * shares.fill:.0f} %)."
    )
    shapley = f"Shapley shares of R² of the main factors: {other}." if other else ""
    return " ".join(filter(None, [f"Largest: {named}.", shapley, fill, shares.note]))


def _friedman(ranking: Ranking) -> str:
    if math.isnan(ranking.p):
        return "All rows tie on every task."
    size = "< 0.001" if ranking.p < 0.001 else f"= {ranking.p:.3f}"
    return f"Friedman's test over {ranking.blocks} tasks: p {size}."
