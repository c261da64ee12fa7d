"""The report's sections on soft prompts: the transfer to each target, and the source models."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from analysis.contrasts.examples import Examples
from analysis.contrasts.selection import CRITERIA, Choice, Choices, at_choices, oracle
from analysis.data.combinations import titled
from analysis.present.exhibits import Figure, Part, Section, Table, file_name
from analysis.present.grid import plain_grid, points
from analysis.present.words import PER_TASK, joined, short_weight, sources_name, weight_name
from analysis.soft import figures, tables
from analysis.soft.calibrated import calibration_finding, calibration_table
from analysis.soft.ceiling import gap_finding, gap_note, gap_table

SoftPart = tuple[str, pd.DataFrame, Choices]
"""Label, rows and chosen weights of one combination of settings."""


def target_section(
    part: SoftPart, target: str, number: int, criterion: str, examples: Examples | None = None
) -> Section:
    """Everything on the transfer to one target.

    Args:
        target: alias of the target.
        criterion: key of :data:`analysis.contrasts.selection.CRITERIA`.
        examples: reads the kept predictions; without it, intervals leave test examples out.
    """
    made = _Target(part, target)
    parts = [
        made.scores(),
        made.heatmap(),
        *made.weights(criterion),
        *made.differences(examples),
        *made.shares(),
        *made.calibrated(),
        made.similarity(),
    ]
    return Section(f"target-{number}", f"Transfer to {made.place}", parts)


class _Target:
    def __init__(self, part: SoftPart, target: str) -> None:
        self.label, self.frame, self.choices = part
        self.target, self.place = target, titled(target, self.label)
        self.tasks, self.units = tables.tasks(self.frame), tables.metrics(self.frame)

    def name(self, kind: str) -> str:
        return file_name(kind, self.target, self.label)

    def scores(self) -> Part:
        numbers = tables.transfer_table(self.frame, self.target, self.choices)
        grid = tables.score_grid(numbers, self.tasks, self.units)
        return Part(
            "Scores on test",
            texts=[case_sentence(self.frame, self.target, self.choices)],
            note="Points, mean ± standard deviation over n seeds. Bold: the better of Baseline and"
            " Ours. † more than half of the seeds predict a single class. Point at a number for its"
            " seeds.",
            exhibits=[Table(self.name("transfer"), f"Transfer to {self.place}", grid, numbers)],
        )

    def shares(self) -> Iterator[Part]:
        numbers = gap_table(self.frame, self.target, self.choices)
        small = gap_note(self.frame, self.target)
        known = [task for task in self.tasks if task in set(numbers["task"])]
        grid = tables.share_grid(numbers, known, self.units)
        title = f"Share of the gap to Direct recovered on {self.place}"
        if known or small:
            yield Part(
                folded="Share of the gap to Direct that is recovered",
                texts=[gap_finding(self.frame, self.target, self.choices)],
                note="(score − Empty) / (Direct − Empty) in percent, mean ± standard deviation over"
                f" n seeds; pooled: all gain over all gap. {small}",
                exhibits=[Table(self.name("gap"), title, grid, numbers)] if known else [],
            )

    def calibrated(self) -> Iterator[Part]:
        numbers = calibration_table(self.frame, self.target, self.choices)
        columns = list(dict.fromkeys(numbers["task"]))
        unit = "mean over tasks" if len(self.tasks) > 1 else self.units.get(self.tasks[0], "")
        grid = tables.calibration_grid(numbers, columns, unit)
        title = f"Transfer to {self.place} after calibration"
        if columns:
            yield Part(
                folded="Scores after calibration",
                texts=[calibration_finding(self.frame, self.target, self.choices)],
                note="The same prompts, with the model's preference for some label words taken off"
                " its scores without any labels, the same way for every row. Weights are those"
                " chosen without calibration.",
                exhibits=[Table(self.name("calibration"), title, grid, numbers)],
            )

    def differences(self, examples: Examples | None) -> Iterator[Part]:
        pairs = tables.paired_differences(self.frame, self.target, self.choices)
        if pairs.empty:
            return
        numbers = tables.difference_table(pairs, examples)
        grid = tables.difference_grid(numbers, self.tasks, self.units)
        title = f"Ours minus Baseline on {self.place}"
        yield Part(
            folded="Ours minus Baseline on the same seed",
            note="Mean paired difference in points and its 95 % t-interval over seeds, not"
            " corrected for the number of cases. Bold: the interval excludes 0.",
            exhibits=[Table(self.name("differences"), title, grid, numbers)],
        )

    def heatmap(self) -> Part:
        return self._figure(
            "Gain over Empty",
            "gain",
            f"Heatmap of the gain over Empty on {self.target} by source set and task.",
            "Points gained over Empty on test, mean over seeds. Blue is better than no prompt, red "
            "worse; all panels share one scale. † more than half of the seeds predict one class."
            + figures.leading_note(self.frame, self.target, figures.MOST_SETS),
            partial(figures.gain_heatmap, choices=self.choices),
            across=True,
        )

    def weights(self, criterion: str) -> Iterator[Part]:
        yield self._figure(
            "Choice of λ",
            "weights",
            f"Transferred score on {self.target} against λ for every source set.",
            "Mean score of the transferred prompts over tasks against the weight λ of the alignment"
            " loss; bars are ± one standard deviation over seeds. The ring marks the weight that "
            "the tables call Ours, chosen on validation (dashed); test (solid) chooses nothing."
            + figures.leading_note(self.frame, self.target, figures.MOST_PANELS),
            partial(figures.weight_curves, choices=self.choices),
            across=True,
        )
        chosen = [item for key, item in sorted(self.choices.items()) if key[0] == self.target]
        if chosen:
            numbers = pd.DataFrame(
                {
                    "sources": item.sources,
                    "chosen": chosen_weight(item),
                    "mean": item.mean,
                    "compared": ", ".join(map(short_weight, item.compared)),
                }
                for item in chosen
            )
            lines = [
                (sources_name(sources), [label, points(100 * mean), compared])
                for sources, label, mean, compared in numbers.itertuples(index=False)
            ]
            heads = ("Chosen", "Mean validation score", "Compared")
            grid = plain_grid("Source set", heads, lines, words=(0, 2))
            title = f"Weights chosen for {self.place}"
            yield Part(
                folded="The chosen weights and what they were compared with",
                texts=[oracle_note(self.frame, self.target, self.choices)],
                note=f"Chosen per source set by the {CRITERIA[criterion]}.",
                exhibits=[Table(self.name("choices"), title, grid, numbers)],
            )

    def similarity(self) -> Part:
        note = similarity_note(figures.similarity_points(self.frame, self.target))
        return self._figure(
            "",
            "similarity",
            f"Achieved similarity against gain over Empty on {self.target}.",
            f"Each point: one source set, weight and task, averaged over seeds. {note}".strip(),
            figures.similarity_scatter,
            "Similarity and gain",
        )

    def _figure(
        self, title: str, kind: str, alt: str, caption: str, draw: Callable[..., Any],
        folded: str = "", across: bool = False,
    ) -> Part:  # fmt: skip
        drawn = partial(draw, frame=self.frame, target=self.target)
        narrow = partial(drawn, across=1) if across else None
        figure = Figure(self.name(kind), alt, caption, drawn, narrow)
        return Part(title, exhibits=[figure], folded=folded)


def case_sentence(frame: pd.DataFrame, target: str, choices: Choices) -> str:
    """In how many cases the transferred prompts of Ours, or else of Single, beat the references."""
    here = frame[frame["target"] == target]
    rows, name = at_choices(here, choices), "Ours"
    if rows.empty:
        rows, name = here[here["row"] == "single"], "Single"
    means = rows.groupby(["sources", "task"], as_index=False)["score"].mean()
    told = []
    for row, words in (("empty", "Empty"), ("constant", "the constant predictor")):
        level = here[here["row"] == row].groupby("task")["score"].mean()
        known = means[means["task"].isin(level.index)]
        if not known.empty:
            above = int((known["score"] > known["task"].map(level)).sum())
            told.append(f"{words} in {above} of {len(known)}")
    kind = "source set × task" if name == "Ours" else "source × task"
    return f"{name} beats {joined(told)} {kind} cases." if told else ""


def chosen_weight(choice: Choice) -> str:
    each = [f"{task} {weight_name(label)}" for task, label in choice.by_task.items()]
    others = [label for label in choice.left_out.values() if label != choice.weight_label]
    also = ", ".join(map(short_weight, sorted(set(others))))
    more = f" (other seeds alone: also {also})" if others else ""
    return ", ".join(each) or f"{weight_name(choice.weight_label)}{more}"


def oracle_note(frame: pd.DataFrame, target: str, choices: Choices) -> str:
    """How much the choice of λ on validation leaves on the table; clearly marked as oracle."""
    by = "task" if any(item.weight_label == PER_TASK for item in choices.values()) else "pair"
    frame = frame[frame["target"] == target]
    best = oracle(frame, by)
    # The same seeds on both sides: what a look at test adds, not what cross-fitting takes away.
    same = {key: replace(item, by_seed={}) for key, item in choices.items() if key[0] == target}
    means = at_choices(frame, same).groupby("sources")["score"].mean()
    lost = [
        100 * (choice.mean - float(means[choice.sources]))
        for choice in best.values()
        if choice.sources in means.index
    ]
    if not lost:
        return ""
    mean = points(sum(lost) / len(lost))
    gain = f"gain {mean} points" if mean != "0.0" else "gain nothing"
    return (
        f"Oracle, not a result: choosing λ on the test split itself would {gain} on average over "
        "the source sets."
    )


def similarity_note(means: pd.DataFrame) -> str:
    """Rank correlation of similarity and gain within tasks, as a description."""
    values = []
    for _, part in means.groupby("task"):
        ranks = part[["similarity", "gain_over_empty"]].rank()
        if len(part) >= 3 and (ranks.nunique() > 1).all():
            values.append(float(ranks.corr().to_numpy()[0, 1]))
    if not values:
        return ""
    inside = f"{min(values):+.2f} to {max(values):+.2f}" if len(values) > 1 else f"{values[0]:+.2f}"
    return (
        f"Spearman's rank correlation within a task: {inside.replace('-', '−')}. The points share "
        "sources and seeds, so this describes the cloud and is no test."
    )


def source_section(every: list[SoftPart]) -> Section:
    """What the tuned prompts reach on the models they were tuned on."""
    parts = []
    for label, frame, choices in every:
        if not tables.source_models(frame):
            continue
        detail = tables.source_table(frame, choices)
        average = tables.averaged_joint(detail, frame, choices)
        both = [
            Table(
                file_name(name, label),
                titled(title, label),
                tables.score_grid(numbers, tables.tasks(frame), tables.metrics(frame), "Model"),
                numbers,
            )
            for name, title, numbers in (
                ("sources", "On the source models", average),
                ("source_sets", "On the source models, every source set on its own", detail),
            )
            if len(numbers)
        ]
        parts.append(Part(folded=titled("Scores", label), exhibits=both[:1]))
        parts.append(Part(folded=titled("Every source set on its own", label), exhibits=both[1:]))
    text = (
        "What the tuned prompts reach where they were tuned. Joint is the mean over the source "
        "sets a model is part of, each at its chosen weight."
    )
    return Section("sources", "On the source models", [Part(texts=[text]), *parts] if parts else [])
