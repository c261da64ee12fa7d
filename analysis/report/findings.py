"""The findings of a sweep in plain sentences, computed from its table and honest where weak."""

import math
from collections.abc import Sequence
from datetime import datetime

import pandas as pd

from analysis.contrasts.verdict import QUESTIONS, brief
from analysis.data.columns import STARTED
from analysis.data.combinations import HARD, SOFT, has, of_family, parts, titled
from analysis.data.results import Sweep, finished_between, weight_rank
from analysis.dependence.dependence import Dependence
from analysis.hard.section import HardReport
from analysis.present.words import Finding, short_weight
from analysis.present.words import counted as _count
from analysis.present.words import listed as _listed
from analysis.soft.tables import source_models, targets, tasks
from trainables.core.texts import duration

_MOST_WEIGHTS = 12


def findings(
    sweep: Sweep, hard: HardReport | None = None, answers: Sequence[Dependence] = ()
) -> list[Finding]:
    """Whether joint tuning and agreement paid, what else came out, and what was run.

    Whether to use a prompt is no finding: :mod:`analysis.report.decision` says it.

    Args:
        hard: what there is to say on its hard prompts.
        answers: of :func:`analysis.dependence.dependence.dependence`.
    """
    every = []
    if not targets(sweep.frame) and not sweep.frame["row"].isin(STARTED).any():
        text = "No transferred prompt has been evaluated yet, so there is nothing to compare."
        every.append(Finding("Transfer", text))
    every += verdict_findings(answers) + verdict_findings(answers, hard=True)
    every += hard.findings if hard else ()
    if caution := _caution(sweep.frame) if targets(sweep.frame) else "":
        every.append(Finding("Read with care", caution))
    designs = [hard.design] if hard else []
    if hard is None or has(sweep.frame, SOFT):
        designs.insert(0, _design(of_family(sweep.frame, SOFT)))
    ran = f"{' '.join(designs)} {progress(sweep)} {_time(sweep)}"
    return [*every, Finding("What was run", ran.strip())]


def progress(sweep: Sweep) -> str:
    done = len(sweep.frame)
    failed = len(sweep.failures)
    tail = f"; {_count(failed, 'cell')} failed" if failed else ""
    if sweep.planned is None:
        return f"{_count(done, 'cell')} finished{tail}."
    if done >= sweep.planned:
        return f"All {_count(sweep.planned, 'planned cell')} are finished."
    return (
        f"{done:,} of {_count(sweep.planned, 'planned cell')} are finished{tail}; "
        "everything below rests on those alone."
    )


def verdict_findings(answers: Sequence[Dependence], hard: bool = False) -> list[Finding]:
    """Whether joint tuning (or agreement) helped: in short what the section on dependence says.

    Args:
        answers: of :func:`analysis.dependence.dependence.dependence`.
        hard: of hard prompts, else of soft ones.
    """
    family = HARD if hard else SOFT
    question = QUESTIONS[family]
    subject, asked = question.subject.capitalize(), [a for a in answers if a.family == family]
    open_ones = [item for item in asked if not item.verdict]
    findings = [
        Finding(titled(subject, item.label), brief(item.verdict)) for item in asked if item.verdict
    ]
    if open_ones:
        one = len(open_ones) == 1
        where = "" if one else f" in {len(open_ones)} combinations of settings"
        text = (
            f"No source set has both sides of {question.name}{where}, so {question.subject} cannot"
            f" be judged{'' if one else ' there'}."
        )
        findings.append(Finding(titled(subject, open_ones[0].label if one else ""), text))
    return findings


def _design(frame: pd.DataFrame) -> str:
    sources = source_models(frame)
    sets = sorted(set(frame.loc[frame["row"].isin(("baseline", "ours", "joint")), "sources"]))
    seeds = frame["seed"].nunique()
    weights = sorted({label for label in frame["weight_label"] if label}, key=weight_rank)
    names = tasks(frame)
    lengths = sorted({int(value) for value in frame["prompt_length"].dropna()})
    of = f" of {' and '.join(str(value) for value in lengths)} vectors" if lengths else ""
    ends = targets(frame)
    if not sources:
        return f"So far only reference rows for {_listed('task', names)}."
    text = f"Prompts{of} were tuned on {_listed('source model', sources)}"
    if sets:
        text += f", alone and jointly in {_count(len(sets), 'source set')}"
    text += f", for {_listed('task', names)}"
    if ends:
        text += f", and carried over to {_listed('target', ends)}"
    text += f", with {_count(seeds, 'seed')}"
    combinations = sum(1 for _ in parts(frame))
    if combinations > 1:
        text += f", {combinations} combinations of settings (each reported by itself)"
    if len(weights) > _MOST_WEIGHTS:
        return f"{text} and {len(weights)} weights λ."
    shown = ", ".join(map(short_weight, weights))
    return text + (f" and λ from {{{shown}}}." if len(weights) > 1 else ".")


def _time(sweep: Sweep) -> str:
    seconds = [float(cost["seconds"]) for cost in sweep.costs.values() if "seconds" in cost]
    text = ""
    if seconds:
        text = f"{_count(len(seconds), 'pack')} took {duration(sum(seconds))} of computing"
    moments = finished_between(sweep.frame)
    if moments is None:
        return f"{text}." if text else ""
    first, last = moments
    end = f"the last cell was finished on {moment(last)}"
    span_text = duration((last - first).total_seconds())
    end += f", {span_text} after the first" if last > first else ""
    return f"{text}; {end}." if text else f"{end[0].upper()}{end[1:]}."


def _caution(frame: pd.DataFrame) -> str:
    notes = []
    moved = frame[frame["kind"] == "transfer"]
    flat = int(moved["degenerate"].sum())
    if flat:
        notes.append(
            f"{flat:,} of {_count(len(moved), 'transferred result')} predict one class for every "
            "test example (†): their scores are those of a constant."
        )
    seeds = moved["seed"].nunique()
    if seeds == 1:
        notes.append("One seed gives no spread: no standard deviation and no interval is shown.")
    elif seeds < 5:
        notes.append(
            f"{seeds} seeds give wide intervals: the t-quantile alone is "
            f"{'12.7' if seeds == 2 else '4.3' if seeds == 3 else '3.2'} standard errors."
        )
    smallest = moved["n_test"].min()
    if pd.notna(smallest):
        error = 50 / math.sqrt(float(smallest))
        notes.append(
            f"The smallest test split has {int(smallest):,} examples, whose drawing alone gives a "
            f"score a standard error of up to {error:.1f} points: in intervals where predictions "
            "are kept, never in the ± of the tables."
        )
    return " ".join(notes)


def moment(time: datetime) -> str:
    """Date and time to the minute, with its zone where it has one."""
    return f"{time:%Y-%m-%d %H:%M} {time.tzname() or ''}".strip()
