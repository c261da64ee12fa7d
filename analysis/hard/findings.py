"""What a sweep of hard prompts found, in plain sentences."""

import pandas as pd

from analysis.hard.rows import RANK, Block
from analysis.hard.tables import ON_SOURCE, mean_gain, paired_gains
from analysis.present.grid import points, span
from analysis.present.words import Finding, counted, listed
from analysis.stats.intervals import PERCENT, Interval


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
