"""What a sweep of hard prompts found, in plain sentences."""

import pandas as pd

from analysis.hard_rows import LINES, Block
from analysis.hard_tables import CARRIED, ON_SOURCE, chosen_sizes, mean_gain, paired_gains
from analysis.layout import points, span
from analysis.statistics import LEVEL, Interval
from analysis.wording import Finding, counted, listed

_PERCENT = f"{100 * LEVEL:.0f} %"


def hard_design(rows: pd.DataFrame) -> str:
    """What was run, in one sentence.

    Args:
        rows: of :func:`analysis.hard_rows.hard_rows`.
    """
    lengths = " and ".join(str(value) for value in sorted(rows["prompt_length"].dropna().unique()))
    rank = {name: place for place, name in enumerate(LINES)}
    ordered = rows.sort_values("line", key=lambda lines: lines.map(rank), kind="stable")
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
    """Per block whether neighbour agreement paid, and how readability and transfer go together.

    Args:
        blocks: of :func:`analysis.hard_rows.blocks`.
        sentences: of :func:`analysis.readability.readability_sentences`.
    """
    found = [
        Finding(f"Neighbour agreement: {block.title}", text)
        for block in blocks
        if (text := agreement(block))
    ]
    return [*found, Finding("Readability", " ".join(sentences))] if sentences else found


def agreement(block: Block) -> str:
    """Ours against PEZ at the s and K chosen on the sources' validation; empty without either."""
    sizes, gains = chosen_sizes(block), paired_gains(block)
    if sizes is None or gains.empty:
        return ""
    s, k = sizes
    gains = gains[(gains["s"] == s) & (gains["k"] == k)]
    compared = block.rows.loc[block.rows["line"] == "agreement", ["s", "k"]].drop_duplicates()
    chosen = ", chosen on the sources' validation" if len(compared) > 1 else ""
    parts = []
    for where in (CARRIED, ON_SOURCE):
        part = gains[gains["where"] == where]
        if part.empty:
            continue
        means = part.groupby(["counterparts", "task", "sources", "target"])["difference"].mean()
        up, down = int((means.round(9) > 0).sum()), int((means.round(9) < 0).sum())
        gain, cases = mean_gain(part)
        every = "" if cases == len(means) else f" over the {cases} cases that have every seed"
        parts.append(
            f"{where[0].upper()}{where[1:]}, it is above in {up} of {len(means)} cases ({down} "
            f"lower), by {_size(gain)} on average{every}: {_verdict(gain)}"
        )
    return (
        f"Words that agree (Ours, s = {s} and K = {k}{chosen}) against the whole vocabulary "
        f"({block.name}), on test and the same seeds. {' '.join(parts)}"
    )


def _size(gain: Interval) -> str:
    text = f"{points(gain.mean, signed=True)} points"
    if gain.n < 2:
        return text
    return f"{text} ({_PERCENT} interval {span(gain.low, gain.high)} over {gain.n} seeds)"


def _verdict(gain: Interval) -> str:
    if gain.n < 2:
        return "without more seeds this shows nothing either way."
    return {
        1: "agreement helped on these models and tasks.",
        -1: "agreement hurt on these models and tasks.",
        0: "this sweep does not show that agreement helps or hurts.",
    }[gain.direction]
