"""``report.html``: one self-contained page a sweep is read from, beside its tidy tables."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from analysis.contrasts.examples import examples_of
from analysis.contrasts.selection import CRITERIA, Choices
from analysis.contrasts.verdict import MANY
from analysis.data.columns import COLUMNS
from analysis.data.combinations import HARD, SOFT, has, of_family, titled
from analysis.data.results import Sweep, export, read, unreadable_note
from analysis.dependence.dependence import Dependence
from analysis.frontier.section import COSTS
from analysis.present.exhibits import Figure, Section
from analysis.present.pages import rendered, script
from analysis.present.words import ROW_NAMES, sources_name, weight_name
from analysis.report.background import dependence_of
from analysis.report.decision import decisions, still_tasks
from analysis.report.findings import findings
from analysis.report.reading import read_notes
from analysis.report.sections import Results, sections
from analysis.soft.calibrated import missing_note
from analysis.soft.section import SoftPart, chosen_weight
from analysis.soft.tables import REFERENCES, source_models, targets, tasks
from analysis.stats.intervals import PERCENT
from trainables.core.frontier import LEAST_GAP
from trainables.files.atomic import replace_file
from trainables.scoring.calibration import CALIBRATIONS

LEFT_OUT = (
    "In a sweep of this size the intervals of single cases and of the best transfer are over seeds "
    "alone; those of the verdicts have the test examples in them."
)
_SHOWN_CELLS = 6
_SHOWN_REASONS = 30


def write_report(folder: Path | str, select_lambda: str = "pair") -> Path:
    """Write ``results.csv``, ``results.parquet`` and ``report.html`` into a sweep's folder.

    Works at any moment of a sweep: rows that are not finished show as dashes and are named.

    Returns:
        Path of the report.

    Raises:
        InputError: the folder is no sweep's folder, or no cell has finished.
    """
    sweep = read(folder)
    path = sweep.folder / "report.html"
    with dependence_of(sweep, select_lambda) as answers:
        export(sweep)
        text = render(sweep, select_lambda, answers)
    replace_file(path, text.encode())
    return path


def render(
    sweep: Sweep,
    select_lambda: str = "pair",
    answers: Callable[[], Sequence[Dependence]] | None = None,
) -> str:
    """The report's HTML; equal folders give equal text.

    Args:
        sweep: of :func:`analysis.data.results.read`.
        answers: gives :func:`analysis.dependence.dependence.dependence`, where it is worked out
            elsewhere.
    """
    if answers is None:
        with dependence_of(sweep, select_lambda) as work:
            return render(sweep, select_lambda, work)
    frame = sweep.frame
    # The verdict has the test examples in it whatever the size; single cases up to here.
    small = len(frame) <= 5 * MANY
    examples = examples_of(sweep.folder, frame) if small else None
    results = Results(frame, select_lambda, sweep, examples, answers)
    shown = [section for section in sections(results) if section.shown]
    lead, shown = _lead(shown)
    more = [results.leading[1], "" if small else LEFT_OUT]
    code, policy = script()
    return rendered(
        "report.html.j2",
        title=str(sweep.meta.get("name") or sweep.folder.resolve().name),
        description=str(sweep.meta.get("description") or ""),
        script=code,
        policy=policy,
        facts=_facts(sweep),
        decisions=decisions(frame, examples or examples_of(sweep.folder, frame)),
        percent=PERCENT,
        still=still_tasks(frame),
        findings=findings(sweep, results.hard, results.dependence),
        lead=lead,
        sections=shown,
        missing=[*filter(None, [" ".join(more).strip()]), *_missing(sweep, results.parts)],
        failures=_failures_by_reason(sweep),
        readings=read_notes(frame, sweep.meta),
        spec_text=sweep.spec_text,
        spec_hash=str(sweep.meta.get("spec_hash") or ""),
        program=str(sweep.meta.get("version") or ""),
        versions=sweep.versions,
        soft=results.hard is None or has(frame, SOFT),
        criterion=CRITERIA[select_lambda],
        least_gap=f"{100 * LEAST_GAP:g}",
        calibrations="; ".join(
            f"{item.title} subtracts {item.meaning}" for item in CALIBRATIONS.values()
        ),
        columns={name: COLUMNS.get(name, "further source") for name in frame.columns},
    )


def _lead(shown: list[Section]) -> tuple[Figure | None, list[Section]]:
    """The figure of cost and gain, which stands beside the verdict, and the sections without it."""
    for place, section in enumerate(shown):
        if section.anchor == COSTS:
            first, *rest = section.parts
            lead = next((item for item in first.exhibits if isinstance(item, Figure)), None)
            kept = [item for item in first.exhibits if item is not lead]
            here = replace(section, parts=[replace(first, exhibits=kept), *rest])
            return lead, [*shown[:place], here, *shown[place + 1 :]]
    return None, shown


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


def _missing(sweep: Sweep, parts: Sequence[SoftPart]) -> list[str]:
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
    for label, part, choices in parts:
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
                f"{chosen_weight(choice)} is chosen on those."
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


def _failures_by_reason(sweep: Sweep) -> list[tuple[int, str, list[str]]]:
    """Number of failed cells, reason and some of them by name, the most frequent reason first."""
    cells = defaultdict(list)
    for item in sweep.failures:
        name = f"{item.row} {sources_name(item.sources)} {item.task} ({item.cell})"
        cells[item.reason].append(name)
    ordered = sorted(cells.items(), key=lambda item: (-len(item[1]), item[0]))
    return [
        (len(names), reason, names[:_SHOWN_CELLS]) for reason, names in ordered[:_SHOWN_REASONS]
    ]
