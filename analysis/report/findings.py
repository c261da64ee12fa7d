"""The findings of a sweep in plain sentences, computed from its table and honest where weak."""

import math
from collections.abc import Sequence
from datetime import datetime

import pandas as pd

from analysis.contrasts.crossfit import complete
from analysis.contrasts.effects import paired
from analysis.contrasts.examples import Examples
from analysis.contrasts.selection import Choices, at_choices
from analysis.contrasts.verdict import QUESTIONS, explanations, verdict_text
from analysis.data.combinations import HARD, SOFT, has, of_family, parts, titled
from analysis.data.results import Sweep, finished_between, weight_rank
from analysis.dependence.dependence import Dependence
from analysis.frontier.section import CostAndGain
from analysis.hard.section import HardReport
from analysis.present.grid import points, span
from analysis.present.words import Finding, row_label, sources_name
from analysis.present.words import counted as _count
from analysis.present.words import listed as _listed
from analysis.soft.calibrated import calibration_finding
from analysis.soft.ceiling import gap_finding
from analysis.soft.tables import source_models, targets, tasks
from analysis.stats.intervals import PERCENT, Interval, t_interval
from trainables.core.texts import duration


def findings(
    sweep: Sweep,
    split: Sequence[tuple[str, pd.DataFrame, Choices]],
    hard: HardReport | None = None,
    answers: Sequence[Dependence] = (),
    examples: Examples | None = None,
    costs: Sequence[CostAndGain] = (),
) -> list[Finding]:
    """What was run, what to do and what transferred on each target, whether joint tuning paid.

    Args:
        split: label, rows and chosen weights of each combination of settings of soft prompts.
        hard: what there is to say on its hard prompts.
        answers: of :func:`analysis.dependence.dependence.dependence`.
        examples: reads the kept predictions.
        costs: of :func:`analysis.frontier.section.costs_and_gains`.
    """
    designs = [hard.design] if hard else []
    if hard is None or has(sweep.frame, SOFT):
        designs.insert(0, _design(of_family(sweep.frame, SOFT)))
    ran = f"{' '.join(designs)} {progress(sweep)} {_time(sweep)}"
    every = [Finding("What was run", ran.strip())]
    every += [finding for item in costs for finding in item.findings()]
    if not targets(sweep.frame):
        text = "No transferred prompt has been evaluated yet, so there is nothing to compare."
        every.append(Finding("Transfer", text))
    names = targets(of_family(sweep.frame, SOFT))
    for label, part, choices in split:
        for target in targets(part):
            suffix = titled(f" to {target}" if len(names) > 1 else "", label)
            text = best_transfer(part, target, choices, examples)
            every.append(Finding(f"Best transfer{suffix}", text))
            if text := gap_finding(part, target, choices):
                every.append(Finding(f"Ceiling{suffix}", text))
            if text := calibration_finding(part, target, choices):
                every.append(Finding(f"Calibration{suffix}", text))
    every += verdict_findings(answers) + verdict_findings(answers, hard=True)
    every += hard.findings if hard else ()
    caution = _caution(sweep.frame) if targets(sweep.frame) else ""
    return [*every, Finding("Read with care", caution)] if caution else every


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


def best_transfer(
    frame: pd.DataFrame, target: str, choices: Choices, examples: Examples | None = None
) -> str:
    """The row with the best mean validation score on a target, and what it gains on test.

    Rows compared are Single, Baseline and Ours at the chosen weights, all with every task and seed.
    """
    here = frame[frame["target"] == target]
    rows = pd.concat([here[here["row"].isin(("single", "baseline"))], at_choices(here, choices)])
    means, _ = complete(rows, ["row", "sources", "weight_label"], "validation_score")
    if means.empty:
        return f"No row has every task and seed on {target} yet, so no best one can be named."
    row, sources, label = means.index[int(means.to_numpy().argmax())]
    mine = rows[
        (rows["row"] == row) & (rows["sources"] == sources) & (rows["weight_label"] == label)
    ]
    score = 100 * mine["score"].mean()
    count = mine["task"].nunique()
    over = f"on average over {count} tasks" if count > 1 else f"on {mine['task'].iloc[0]}"
    name = f"{row_label(row, label)} from {sources_name(sources)}"
    among = f", the best of {len(means)}," if len(means) > 1 else ""
    start = f"By validation{among} the way to {target} is {name}: {points(score)} on test {over}"
    gains = paired(mine, here[here["row"] == "empty"], ["target", "task"])
    if len(gains) < len(mine):
        return f"{start}. Empty is not finished for every task, so the gain is not known yet."
    error = examples.error(gains) if examples else 0.0
    gain = t_interval(gains.groupby("seed")["difference"].mean(), examples=error)
    text = f"{start}, {_against(gain, score - gain.mean, error > 0)}"
    if gain.mean <= 0:
        text += f" {_others(here, rows)}"
    return f"{text} {_cases(frame, target, choices)}".strip()


def _others(here: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Where what validation chooses is of no use: whether anything else was above Empty on test."""
    direct = here[here["direct"]].assign(row="direct")
    every = pd.concat([rows, direct]).dropna(subset=["gain_over_empty"])
    gains = every.groupby(["row", "sources", "weight_label"])["gain_over_empty"].mean()
    above = gains[gains > 0]
    if above.empty:
        return "No other tuned prompt was above Empty on test either."
    row, sources, label = above.index[int(above.to_numpy().argmax())]
    name = row_label(row, label) + ("" if row == "direct" else f" from {sources_name(sources)}")
    return (
        f"Of {len(gains)} rows {len(above)} are above Empty on test, {name} by most "
        f"({points(100 * above.max(), signed=True)}); test chooses nothing."
    )


def verdict_findings(answers: Sequence[Dependence], hard: bool = False) -> list[Finding]:
    """Whether joint tuning (or agreement) helped: the verdict of the section on dependence.

    Args:
        answers: of :func:`analysis.dependence.dependence.dependence`.
        hard: of hard prompts, else of soft ones.
    """
    findings = []
    for item in answers:
        if (item.family == HARD) != hard:
            continue
        question = QUESTIONS[item.family]
        text = (
            f"No source set has both sides of {question.name}, so {question.subject} cannot be "
            "judged."
        )
        if item.verdict:
            text = " ".join([verdict_text(item.verdict), *explanations(item.verdict)])
        findings.append(Finding(titled(question.subject.capitalize(), item.label), text))
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
    return text + (f" and λ from {{{', '.join(weights)}}}." if len(weights) > 1 else ".")


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


def _against(gain: Interval, empty: float, examples: bool) -> str:
    size = f"{points(abs(gain.mean))} points {'above' if gain.mean >= 0 else 'below'} Empty"
    text = f"{size} ({points(empty)})"
    if gain.high > gain.low:
        over = f"over {_count(gain.n, 'seed')}" + (" and the test examples" if examples else "")
        text += f", {PERCENT} interval of the gain {span(gain.low, gain.high)} {over}"
    elif gain.n < 2:
        return f"{text}, from a single seed."
    if gain.mean <= 0:
        return f"{text}."
    if gain.direction == 0 and gain.high > gain.low:
        return f"{text}, which includes 0: no clear gain."
    return f"{text}."


def _cases(frame: pd.DataFrame, target: str, choices: Choices) -> str:
    """In how many cases the transferred prompts of Ours, or else of Single, beat the references."""
    here = frame[frame["target"] == target]
    rows, name = at_choices(here, choices), "Ours"
    if rows.empty:
        rows, name = here[here["row"] == "single"], "Single"
    means = rows.groupby(["sources", "task"], as_index=False)["score"].mean()
    if means.empty:
        return ""
    parts = []
    for row, words in (("empty", "Empty"), ("constant", "the constant predictor")):
        level = here[here["row"] == row].groupby("task")["score"].mean()
        known = means[means["task"].isin(level.index)]
        if not known.empty:
            above = int((known["score"] > known["task"].map(level)).sum())
            parts.append(f"{words} in {above} of {len(known)}")
    kind = "source set × task" if name == "Ours" else "source × task"
    return f"{name} beats {' and '.join(parts)} {kind} cases." if parts else ""


def _caution(frame: pd.DataFrame) -> str:
    notes = []
    moved = frame[frame["kind"] == "transfer"]
    flat = int(moved["degenerate"].sum())
    if flat:
        notes.append(
            f"{flat:,} of {_count(len(moved), 'transferred result')} predict one class for every "
            "test example (marked † where more than half of the seeds do): their scores are those "
            "of a constant."
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
            f"The smallest test split has {int(smallest):,} examples: chance in its drawing alone "
            f"gives a score a standard error of up to {error:.1f} points. The ± of the tables is "
            "over seeds alone and does not have it; intervals have it where predictions are kept."
        )
    return " ".join(notes)


def moment(time: datetime) -> str:
    """Date and time to the minute, with its zone where it has one."""
    return f"{time:%Y-%m-%d %H:%M} {time.tzname() or ''}".strip()
