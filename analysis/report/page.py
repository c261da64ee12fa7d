"""``report.html``: one self-contained page a sweep is read from, beside its tidy tables."""

import base64
import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from analysis.contrasts.examples import Examples, examples_of
from analysis.contrasts.selection import CRITERIA, Choice, Choices, choose
from analysis.contrasts.verdict import MANY
from analysis.data.combinations import leading_parts, titled
from analysis.data.families import HARD, SOFT, has, of_family
from analysis.data.records import Failure
from analysis.data.results import (
    COLUMNS,
    Sweep,
    export,
    finished_between,
    read,
    replace_file,
    unreadable_note,
)
from analysis.dependence.dependence import PARTS, Dependence, dependence
from analysis.dependence.section import dependence_section
from analysis.forecast.features import observations
from analysis.forecast.section import forecast_section
from analysis.hard.section import HardReport, hard_report
from analysis.present.grid import (
    DASH,
    calibration_grid,
    difference_grid,
    percent,
    points,
    score_grid,
    share_grid,
    to_html,
)
from analysis.present.words import ROW_NAMES, sources_name, weight_name
from analysis.report.aside import aside
from analysis.report.figure_files import prompts
from analysis.report.findings import findings, moment, oracle_note, progress, similarity_note
from analysis.report.glossary import COMMON_WORDS, GLOSSARY
from analysis.report.pages import templates
from analysis.report.published import beside_published, published_grids, published_sentence
from analysis.report.search import search_section
from analysis.soft.best_prompts import best_prompts
from analysis.soft.calibrated import calibration_table, missing_note
from analysis.soft.ceiling import gap_note, gap_table
from analysis.soft.figures import (
    MOST_PANELS,
    MOST_SETS,
    drawing,
    encoded,
    gain_heatmap,
    leading_note,
    similarity_points,
    similarity_scatter,
    weight_curves,
)
from analysis.soft.tables import (
    REFERENCES,
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
from analysis.soft.transfer_figures import (
    prompt_map,
    size_surface,
    slope_chart,
    source_target_heatmap,
)

LEFT_OUT = (
    "In a sweep of this size the intervals of single cases and of the best transfer are over seeds "
    "alone; those of the verdicts have the test examples in them."
)
_SHOWN_CELLS = 6
_SHOWN_REASONS = 30


@dataclass(frozen=True)
class Picture:
    """An embedded figure: its data URI, what it shows for those who cannot see it, its caption."""

    uri: str
    alt: str
    caption: str


@dataclass(frozen=True)
class TargetSection:
    """All that is shown for one target (and one of several combinations of settings)."""

    name: str
    anchor: str
    scores: Markup
    differences: Markup | None
    shares: Markup | None
    shares_note: str
    calibrated: Markup | None
    choices: tuple[Choice, ...]
    oracle: str
    heatmap: Picture | None
    curves: Picture | None
    scatter: Picture | None


@dataclass(frozen=True)
class SourceSection:
    """Tables of the source models: joint rows averaged, and one by one; a label if several."""

    label: str
    average: Markup
    detail: Markup


@dataclass(frozen=True)
class Published:
    """The sweep beside the papers: how far it is from them, and titled tables."""

    sentence: str
    tables: tuple[tuple[str, Markup], ...]


@dataclass(frozen=True)
class FailureGroup:
    """Failed cells with one reason; some of them by name."""

    reason: str
    count: int
    examples: tuple[str, ...]


def write_report(folder: Path | str, select_lambda: str = "pair") -> Path:
    """Write ``results.csv``, ``results.parquet`` and ``report.html`` into a sweep's folder.

    Works at any moment of a sweep: rows that are not finished show as dashes and are named.

    Args:
        folder: a sweep's folder.
        select_lambda: by what Ours chooses its weight, see
            :func:`analysis.contrasts.selection.choose`.

    Returns:
        Path of the report.

    Raises:
        InputError: the folder is no sweep's folder, or no cell has finished.
    """
    sweep = read(folder)
    path = sweep.folder / "report.html"
    work = partial(_dependence, folder=sweep.folder, select_lambda=select_lambda)
    with aside(work, sweep.frame) as found:
        export(sweep)
        text = render(sweep, select_lambda, found)
    replace_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    return path


def render(
    sweep: Sweep, select_lambda: str = "pair", found: Callable[[], list[Dependence]] | None = None
) -> str:
    """The report's HTML; equal folders give equal text.

    The sections on targets, sources and best prompts see soft prompts and references alone, those
    of :mod:`analysis.hard.section` hard ones.

    Args:
        sweep: of :func:`analysis.data.results.read`.
        select_lambda: by what Ours chooses its weight.
        found: gives :func:`analysis.dependence.dependence.dependence`, where it is worked out
            elsewhere.
    """
    frame, soft, hard = sweep.frame, of_family(sweep.frame, SOFT), hard_report(sweep.frame)
    shown, more = leading_parts(soft)
    split = [(label, part, choose(part, select_lambda)) for label, part in shown]
    # The verdict has the test examples in it whatever the size; single cases up to here.
    small = len(frame) <= 5 * MANY
    examples = examples_of(sweep.folder, frame) if small else None
    more = more if small else " ".join([more, LEFT_OUT]).strip()
    places = [
        (label, part, choices, target) for label, part, choices in split for target in targets(part)
    ]
    criterion = CRITERIA[select_lambda]
    moments = finished_between(frame)
    sections = [
        _target(replace(sweep, frame=part), target, place, choices, label, examples)
        for place, (label, part, choices, target) in enumerate(places)
    ]
    sources = [_sources(*item) for item in split if source_models(item[1])]
    overview = _overview(sweep)
    # Asked for when all that needs no answer is done: it is worked out beside it.
    answers = found() if found else _dependence(frame, sweep.folder, select_lambda)
    environment = templates()
    environment.filters |= {"points": _points, "weight": _weights, "sources": sources_name}
    environment.filters |= {"share": _share, "nats": _nats}
    return environment.get_template("report.html.j2").render(
        title=str(sweep.meta.get("name") or sweep.folder.resolve().name),
        description=str(sweep.meta.get("description") or ""),
        state=progress(sweep),
        finished=moment(moments[1]) if moments else "",
        facts=_facts(sweep),
        findings=findings(sweep, split, hard, answers, examples),
        targets=sections,
        sources=sources,
        prompts=best_prompts(soft),
        hard=hard,
        search=search_section(sweep.folder),
        published=_published(frame, {label: choices for label, _, choices in split}),
        overview=overview,
        dependence=dependence_section(frame, answers),
        readability_scatter=_readability(hard),
        prediction=Markup(forecast_section(sweep.folder, lambda: observations(sweep))),
        missing=[*filter(None, [more]), *_missing(sweep, split)],
        failures=_failure_groups(sweep.failures),
        spec_text=sweep.spec_text,
        spec_hash=str(sweep.meta.get("spec_hash") or ""),
        program=str(sweep.meta.get("version") or ""),
        versions=sweep.versions,
        glossary={
            name: text.format(criterion=criterion)
            for name, text in GLOSSARY.items()
            if hard is None or has(soft, SOFT) or name in COMMON_WORDS
        },
        criterion=criterion,
        columns={name: COLUMNS.get(name, "further source") for name in frame.columns},
    )


def _dependence(frame: pd.DataFrame, folder: Path, select_lambda: str) -> list[Dependence]:
    return dependence(frame, select_lambda, examples_of(folder, frame))


def _overview(sweep: Sweep) -> list[Picture]:
    """Figures over all targets, those that there is data for."""
    vectors = prompts(sweep.folder, sweep.frame)
    drawn = [
        (
            source_target_heatmap,
            "Heatmap of the gain over Empty by source set and target.",
            "Points gained over Empty on test, mean over rows, tasks, weights and seeds.",
        ),
        (
            slope_chart,
            "Scores on the source and after the transfer, a line per source.",
            "Mean over tasks and seeds of prompts tuned on one model: on that model, and carried "
            "over to the target named above. Metrics are those of the tasks.",
        ),
        (
            size_surface,
            "Gain of neighbour agreement by s and K.",
            "Words kept (s) by neighbours compared (K): mean difference on the targets.",
        ),
    ]
    every: list[tuple[Callable[[Any], Any], str, str]] = [
        (partial(make, frame=part), alt, f"{_of(family, label)}{caption}")
        for family, of in PARTS.items()
        for label, part in of(sweep.frame)
        for make, alt, caption in drawn
    ]
    every.append(
        (
            lambda new: prompt_map(new, sweep.frame, vectors),
            "Map of the tuned prompts of every model.",
            "Principal components of the tuned prompts, one panel a model, as every model has a "
            "space of its own: distances compare within a panel only.",
        )
    )
    found = []
    for make, alt, caption in every:
        with drawing() as new:
            figure = make(new)
            image = None if figure is None else encoded(figure, "svg")
        if picture := _picture(image, alt, caption):
            found.append(picture)
    return found


def _of(family: str, label: str) -> str:
    return f"{titled(f'{family.capitalize()} prompts', label)}. " if label else ""


def _published(frame: pd.DataFrame, choices: Mapping[str, Choices]) -> Published | None:
    table = beside_published(frame, choices)
    if table.empty:
        return None
    tables = [(title, to_html(grid)) for _, title, grid, _ in published_grids(table)]
    return Published(published_sentence(table), tuple(tables))


def _sources(label: str, frame: pd.DataFrame, choices: Choices) -> SourceSection:
    names, units = tasks(frame), metrics(frame)
    detail = source_table(frame, choices)
    average = averaged_joint(detail, frame, choices)
    return SourceSection(
        label,
        to_html(score_grid(average, names, units, "Model")),
        to_html(score_grid(detail, names, units, "Model")),
    )


def _target(
    sweep: Sweep,
    target: str,
    place: int,
    choices: Choices,
    label: str = "",
    examples: Examples | None = None,
) -> TargetSection:
    frame = sweep.frame
    names, units = tasks(frame), metrics(frame)
    pairs = paired_differences(frame, target, choices)
    differences = difference_grid(difference_table(pairs, examples), names, units)
    shares = gap_table(frame, target, choices)
    with_share = [name for name in names if name in set(shares["task"])]
    after = calibration_table(frame, target, choices)
    columns, unit = list(dict.fromkeys(after["task"])), "mean over tasks"
    similar = similarity_note(similarity_points(frame, target))
    return TargetSection(
        name=titled(target, label),
        anchor=f"target-{place + 1}",
        scores=to_html(score_grid(transfer_table(frame, target, choices), names, units)),
        differences=None if pairs.empty else to_html(differences),
        shares=to_html(share_grid(shares, with_share, units)) if with_share else None,
        shares_note=gap_note(frame, target),
        calibrated=to_html(
            calibration_grid(after, columns, unit if len(names) > 1 else units.get(names[0], ""))
        )
        if columns
        else None,
        choices=tuple(choice for key, choice in sorted(choices.items()) if key[0] == target),
        oracle=oracle_note(frame, target, choices),
        heatmap=_picture(
            gain_heatmap(frame, target, choices),
            f"Heatmap of the gain over Empty on {target} by source set and task.",
            "Points gained over Empty on test, mean over seeds. Blue is better than no prompt, red "
            "worse; all panels share one scale. † more than half of the seeds predict one class."
            + leading_note(frame, target, MOST_SETS),
        ),
        curves=_picture(
            weight_curves(frame, target, choices),
            f"Transferred score on {target} against λ for every source set.",
            "Mean score of the transferred prompts over tasks against the weight λ of the alignment"
            " loss; bars are ± one standard deviation over seeds. The ring marks the weight that "
            "the tables call Ours, chosen on validation (dashed); test (solid) chooses nothing."
            + leading_note(frame, target, MOST_PANELS),
        ),
        scatter=_picture(
            similarity_scatter(frame, target),
            f"Achieved similarity against gain over Empty on {target}.",
            f"Each point: one source set, weight and task, averaged over seeds. {similar}".strip(),
        ),
    )


def _picture(image: bytes | None, alt: str, caption: str) -> Picture | None:
    if image is None:
        return None
    # A fifth of what matplotlib writes is comments and line breaks.
    small = re.sub(rb"\s+", b" ", re.sub(rb"<!--.*?-->", b"", image, flags=re.DOTALL))
    small = small.replace(b"> <", b"><")
    uri = f"data:image/svg+xml;base64,{base64.b64encode(small).decode()}"
    return Picture(uri, alt, caption)


def _readability(hard: HardReport | None) -> Picture | None:
    return _picture(
        hard.readability.scatter if hard and hard.readability else None,
        "Readability of hard prompts against their gain over Empty.",
        "Each point: one prompt on one target. Colour is the row, marker the task; shares that are "
        "equal are drawn a little apart.",
    )


def _facts(sweep: Sweep) -> list[tuple[str, str]]:
    """The few numbers at the top."""
    frame = sweep.frame
    planned = f" of {sweep.planned:,}" if sweep.planned and sweep.planned > len(frame) else ""
    sets = frame.loc[frame["row"].isin(("baseline", "ours", "joint")), "sources"].nunique()
    counts = [
        (f"{len(frame):,}{planned}", "cells finished"),
        (str(len(source_models(frame))), "source models"),
        (str(sets), "source sets"),
        (str(len(targets(frame))), "targets"),
        (str(len(tasks(frame))), "tasks"),
        (str(frame["seed"].nunique()), "seeds"),
    ]
    if has(frame, HARD) and not sets:
        counts = [item for item in counts if item[1] != "source sets"]
    return [(number, name[:-1] if number == "1" else name) for number, name in counts]


def _missing(sweep: Sweep, split: Sequence[tuple[str, pd.DataFrame, Choices]]) -> list[str]:
    """Sentences on everything that is not there."""
    frame, notes = sweep.frame, []
    if sweep.planned is not None:
        waiting = sweep.planned - len(frame) - len(sweep.failures)
        if waiting > 0:
            notes.append(
                f"{waiting:,} of {sweep.planned:,} planned cells have not been run yet"
                f"{_by_row(sweep)}."
            )
    for row in REFERENCES:
        have = set(map(tuple, frame.loc[frame["row"] == row, ["target", "task"]].to_numpy()))
        want = {(target, task) for target in targets(frame) for task in tasks(frame)}
        if lacking := sorted(want - have):
            where = ", ".join(f"{task} on {target}" for target, task in lacking[:_SHOWN_CELLS])
            more = ", …" if len(lacking) > _SHOWN_CELLS else ""
            notes.append(f"The reference row {row.capitalize()} is missing for {where}{more}.")
    if note := missing_note(of_family(frame, SOFT)):
        notes.append(note)
    for label, part, choices in split:
        notes += _unchosen(part, choices, tasks(frame), label)
    if sweep.unreadable:
        # Without the folder's place: it may be moved.
        notes.append(f"{unreadable_note(sweep.unreadable, 'DIR')}.")
    return notes


def _unchosen(frame: pd.DataFrame, choices: Choices, every: Sequence[str], label: str) -> list[str]:
    """Sentences on weights that could not be chosen, or not from everything."""
    notes = []
    for choice in choices.values():
        name = titled(f"{sources_name(choice.sources)} to {choice.target}", label)
        if len(choice.tasks) < len(every):
            notes.append(
                f"{name}: only {len(choice.tasks)} of {len(every)} tasks are finished, and "
                f"{_weights(choice)} is chosen on those."
            )
        if choice.incomplete:
            weights = ", ".join(weight_name(weight) for weight in choice.incomplete)
            notes.append(
                f"{name}: {weights} lacks a task or seed and was left out when the weight was "
                "chosen."
            )
    ours = frame[frame["row"] == "ours"]
    for target, sources in sorted(set(zip(ours["target"], ours["sources"], strict=True))):
        if (target, sources) not in choices:
            name = titled(f"{sources_name(sources)} to {target}", label)
            notes.append(
                f"{name}: no weight has every task and seed yet, so none is chosen and Ours is not "
                "shown."
            )
    return notes


def _by_row(sweep: Sweep) -> str:
    """Finished of planned by row, where ``sweep.json`` says what is planned."""
    done = sweep.frame["row"].value_counts()
    parts = [
        f"{ROW_NAMES.get(row, row)} {int(done.get(row, 0)):,} of {planned:,}"
        for row, planned in sweep.planned_rows.items()
        if done.get(row, 0) < planned
    ]
    return f" (finished so far: {', '.join(parts)})" if parts else ""


def _failure_groups(failures: tuple[Failure, ...]) -> list[FailureGroup]:
    """Failures by reason, the most frequent first."""
    groups: Mapping[str, list[Failure]] = defaultdict(list)
    for failure in failures:
        groups[failure.reason].append(failure)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        FailureGroup(
            reason,
            len(group),
            tuple(
                f"{item.row} {sources_name(item.sources)} {item.task} ({item.cell})"
                for item in group[:_SHOWN_CELLS]
            ),
        )
        for reason, group in ordered[:_SHOWN_REASONS]
    ]


def _weights(choice: Choice) -> str:
    """The chosen weight, or the one of each task."""
    each = [f"{task} {weight_name(label)}" for task, label in choice.by_task.items()]
    others = [label for label in choice.left_out.values() if label != choice.weight_label]
    more = f" (other seeds alone: also {', '.join(sorted(set(others)))})" if others else ""
    return ", ".join(each) or f"{weight_name(choice.weight_label)}{more}"


def _share(value: float) -> str:
    return percent(100 * value)


def _nats(value: float) -> str:
    return DASH if math.isnan(value) else f"{value:.2f}"


def _points(value: Any, signed: bool = False) -> str:
    return points(100 * float(value), signed)
