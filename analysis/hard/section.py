"""What the report says of hard prompts: findings, a section for each block, and readability."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import pandas as pd

from analysis.hard.control import control_grid, control_table, control_text
from analysis.hard.prompts import prompt_tables
from analysis.hard.readability import (
    correlation_grid,
    correlations,
    readability_scatter,
    readability_sentences,
    transfers,
)
from analysis.hard.rows import RANK, Block, blocks, hard_rows
from analysis.hard.tables import (
    ON_SOURCE,
    effect_grid,
    effect_table,
    mean_gain,
    method_grid,
    method_table,
    paired_gains,
)
from analysis.present.exhibits import Figure, Part, Section, Table, file_name
from analysis.present.grid import points, span
from analysis.present.words import Finding, counted, listed
from analysis.soft.tables import metrics
from analysis.stats.intervals import PERCENT, Interval

_ROWS = {
    "Empty": "the same input without a prompt (reference row Manual; Empty where there is no"
    " template).",
    "Random": "tokens drawn from the source's vocabulary, not tuned.",
    "Best of random": "beside a search, the best of as many random prompts of the same words as it"
    " has scored, on the same examples and chosen in the same way.",
    "-pruned": "tuned on s words drawn at random, from the source's vocabulary or (CommonVocab)"
    " from the words it shares with the counterpart.",
    "Ours": "tuned on the s words shared with the counterpart whose K nearest neighbours agree best"
    " in both models.",
    "Original": "the score on the source itself: of the decoded text, as the targets read it, and"
    " of the tuned ids.",
}


@dataclass(frozen=True)
class HardReport:
    """Everything on the hard prompts of a sweep.

    Attributes:
        design: what was run, as a sentence.
        findings: what came out.
        sections: one a block, and readability where something was carried over.
    """

    design: str
    findings: Sequence[Finding]
    sections: Sequence[Section]


def hard_report(frame: pd.DataFrame) -> HardReport | None:
    """The report's part on hard prompts; None where a sweep has none."""
    rows = hard_rows(frame)
    if rows.empty:
        return None
    each, moved = list(blocks(rows)), transfers(rows)
    table = correlations(moved)
    sentences = readability_sentences(table)
    sections = [_section(number, block, frame) for number, block in enumerate(each, 1)]
    if not moved.empty:
        sections.append(_readability(moved, table, sentences))
    return HardReport(hard_design(rows), hard_findings(each, sentences), sections)


def _section(number: int, block: Block, frame: pd.DataFrame) -> Section:
    text = "Tuned on one source model, decoded once and read as plain text by every model."
    about = Part(
        texts=[f"{block.about} {text}".strip()],
        note="Points on test, mean ± standard deviation over n seeds. Bold: Ours above the whole"
        " vocabulary in the mean over their common seeds, nothing else. † more than half of the"
        " seeds predict a single class. Point at a number for its seeds.",
    )
    tables = [part if not number else replace(part, title="", folded=part.title)
              for number, part in enumerate(_tables(block, frame))]  # fmt: skip
    terms = [Part(terms=_ROWS, folded="What the rows are")] if number == 1 else []
    parts = [about, *terms, *tables, *_control(block), *_effect(block), *_prompts(block)]
    return Section(f"hard-{number}", f"Hard prompts: {block.title}", parts)


def _tables(block: Block, frame: pd.DataFrame) -> Iterator[Part]:
    units = metrics(frame)
    there = set(zip(block.rows["task"], block.rows["sources"], strict=True))
    for task, source in sorted(there):
        numbers = method_table(block, frame, task, source)
        grid = method_grid(numbers, block, units.get(task, ""))
        place = f"{task}, tuned on {source}"
        name = file_name("hard", block.title, task, source)
        yield Part(place, exhibits=[Table(name, f"{block.title}: {place}", grid, numbers)])


def _control(block: Block) -> Iterator[Part]:
    text = control_text(block)
    if not text:
        return
    table = control_table(block)
    name, title = file_name("hard", block.title, "control"), f"{block.title}: against chance"
    yield Part(
        "Against as many random prompts",
        texts=[text],
        note="Score minus that of the best of as many random prompts (same words, examples, choice"
        " and seed), in points, mean with its 95 % t-interval over seeds, not corrected for the"
        " number of cases. Bold: the interval excludes 0.",
        exhibits=[Table(name, title, control_grid(table, block), table)],
    )


def _effect(block: Block) -> Iterator[Part]:
    effect = effect_table(block)
    if not effect.empty:
        name, title = file_name("hard", block.title, "s-K"), f"{block.title}: effect of s and K"
        yield Part(
            folded="Effect of s and K",
            note="Mean over tasks, sources, counterparts and models of Ours minus the whole"
            " vocabulary on the same seed, in points, with its 95 % t-interval over seeds, not"
            " corrected for the number of cases. Bold: the interval excludes 0.",
            exhibits=[Table(name, title, effect_grid(effect, block), effect)],
        )


def _prompts(block: Block) -> Iterator[Part]:
    tables = list(prompt_tables(block))
    if tables:
        yield Part(
            "Prompts",
            note="Words: share of English dictionary words. Log-perplexity: of the prompt alone on"
            " its source, nats per token. Carried over: mean over the targets. {unknown}: bytes"
            " that are no text. ‡ the text does not encode to exactly the tuned ids on the source.",
        )
    for place, table in tables:
        yield Part(exhibits=[table], folded=place)


def _readability(moved: pd.DataFrame, table: pd.DataFrame, sentences: Sequence[str]) -> Section:
    scatter = Figure(
        "readability",
        "Readability of hard prompts against their gain over Empty.",
        "Each point: one prompt on one target. Colour is the row, marker the task; shares that are "
        "equal are drawn a little apart.",
        partial(readability_scatter, moved=moved),
    )
    title = "Rank correlations of readability and transfer"
    ranks = Part(
        folded="Rank correlations",
        note="Spearman's ρ and its 95 % interval from 1,000 draws of whole prompts with"
        " replacement; not corrected for the number of cases, and prompts of one seed share their"
        " data order. Bold: the interval excludes 0. Empty is the same input without the prompt.",
        exhibits=[Table("readability", title, correlation_grid(table), table)],
    )
    parts = [Part(texts=sentences), ranks, Part(exhibits=[scatter], folded="Every prompt")]
    return Section("readability", "Readability and transfer", parts, link="Readability")


def hard_design(rows: pd.DataFrame) -> str:
    """What was run, in one sentence."""
    lengths = " and ".join(str(value) for value in sorted(rows["prompt_length"].dropna().unique()))
    ordered = rows.sort_values("line", key=lambda lines: lines.map(RANK), kind="stable")
    text = (
        f"Hard prompts{f' of {lengths} tokens' if lengths else ''} "
        f"({', '.join(ordered['name'].unique())}) were found on "
        f"{listed('source model', sorted(rows['sources'].unique()))}, for "
        f"{listed('task', sorted(rows['task'].unique()))}"
    )
    moved = rows[rows["kind"] == "transfer"]
    if not moved.empty:
        text += (
            f", and carried over as text to {listed('target', sorted(moved['target'].unique()))}"
        )
    return f"{text}, with {counted(rows['seed'].nunique(), 'seed')}."


def hard_findings(blocks: list[Block], sentences: list[str]) -> list[Finding]:
    """Per block what agreement does on the source, and how readability and transfer go together.

    Args:
        blocks: of :func:`analysis.hard.rows.blocks`.
        sentences: of :func:`analysis.hard.readability.readability_sentences`.
    """
    findings = [
        Finding(f"Neighbour agreement on the source: {block.title}", text)
        for block in blocks
        if (text := agreement(block))
    ]
    findings += [
        Finding(f"Against as many random prompts: {block.title}", text)
        for block in blocks
        if (text := control_text(block))
    ]
    return [*findings, Finding("Readability", " ".join(sentences))] if sentences else findings


def agreement(block: Block) -> str:
    """Ours against PEZ on the sources themselves, over all s and K; empty without either.

    What it is after the transfer is the question of :mod:`analysis.contrasts.verdict`.
    """
    gains = paired_gains(block)
    part = gains[gains["where"] == ON_SOURCE]
    if part.empty:
        return ""
    means = part.groupby(["counterparts", "task", "sources"])["difference"].mean().round(9)
    up, down = int((means > 0).sum()), int((means < 0).sum())
    gain, cases = mean_gain(part)
    every = "" if cases == len(means) else f" over the {cases} cases that have every seed"
    return (
        f"Words that agree (Ours, mean over s and K) against the whole vocabulary ({block.name}), "
        f"on the source and the same seeds: above in {up} of {len(means)} cases ({down} lower), by "
        f"{_size(gain)} on average{every}. That is no transfer yet."
    )


def _size(gain: Interval) -> str:
    text = f"{points(gain.mean, signed=True)} points"
    if gain.n < 2:
        return text
    return f"{text} ({PERCENT} interval {span(gain.low, gain.high)} over {gain.n} seeds)"
