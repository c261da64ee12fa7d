"""What to do on a target, in a few sentences: what is best by validation, and what it costs.

Two questions: what to do without a label of the target, and whether its labels are worth their
price. Each is answered by the line that validation chooses (:mod:`analysis.frontier.choice`), which
is reported on other seeds than it was chosen on.
"""

from dataclasses import dataclass

import pandas as pd

from analysis.contrasts.examples import Examples
from analysis.frontier.choice import Table, rows_of, table
from analysis.frontier.lines import CASE, UNIT, Field, Line
from analysis.frontier.shares import difference
from analysis.present.grid import points, share, span
from analysis.present.words import counted, joined
from analysis.stats.bootstrap import Crossed
from analysis.stats.intervals import PERCENT


@dataclass(frozen=True)
class Advice:
    """An answer.

    Attributes:
        line: what all seeds choose.
        others: titles of what single seeds choose instead.
        score: mean on test of what is chosen, points.
        over: its gain over Empty (calibrated where that is known), points.
        share: of the gap to Direct, on cases with one; NaN without.
        crossfitted: whether it is reported on other seeds than it was chosen on.
        among: lines it was chosen from.
    """

    line: Line
    others: tuple[str, ...]
    score: float
    over: Crossed
    share: float
    crossfitted: bool
    among: int

    @property
    def verb(self) -> str:
        """What is to be done, in words."""
        price, name = self.line.price, self.line.title
        if self.line.kind == "reference":
            return _REFERENCES.get(name, f"use {name}")
        if self.line.kind == "direct":
            return "tune a prompt on it (Direct)"
        if price.product == "readout":
            return f"read out ({name})"
        if price.panel:
            return f"tune from a start ({name})"
        if not price.work > 0:
            return f"keep the carried prompt ({name})"
        return f"{'distil' if price.access == 'gradients' else 'search'} ({name})"


_REFERENCES = {
    "Empty": "use it without a prompt (Empty)",
    "Empty + calibration": "recalibrate and use no prompt (Empty + calibration)",
    "Manual": "use the written template (Manual)",
    "Manual + calibration": "recalibrate the written template (Manual + calibration)",
    "Constant": "use no model (Constant)",
}


def advice(
    field: Field, units: pd.DataFrame, labelled: bool, examples: Examples | None = None
) -> Advice | None:
    """The best line by validation that runs without a source; None where none is complete.

    Args:
        field: all lines.
        units: of ``field``, those to look at.
        labelled: whether labels of the target may be used.
        examples: reads the kept predictions.
    """
    level = field.empty
    if level is None:
        return None
    found = table(
        [line for line in field.lines
         if not line.price.source and (labelled or not line.price.panel)],
        units,
    )  # fmt: skip
    if not found.lines:
        return None
    return _advice(field, units, found, level, examples)


def _advice(
    field: Field, units: pd.DataFrame, found: Table, level: Line, examples: Examples | None
) -> Advice:
    among = range(len(found.lines))
    chosen = found.chosen(among)
    best = found.best(among)
    rows = rows_of(found, chosen, units)
    over = difference(rows, rows["calibrated"], level, examples)
    known = rows.merge(field.with_gap(units).drop(columns=UNIT), on="unit")
    gap = float((known["direct"] - known["empty"]).sum())
    others = {found.lines[place].title for place in chosen} - {found.lines[best].title}
    return Advice(
        line=found.lines[best],
        others=tuple(sorted(others)),
        score=100 * float(rows["score"].mean()),
        over=over,
        share=float((known["score"] - known["empty"]).sum()) / gap if gap else float("nan"),
        crossfitted=found.crossfitted,
        among=len(found.lines),
    )


def advice_text(field: Field, examples: Examples | None = None) -> str:
    """What to do on the targets of a field; empty where nothing can be said."""
    units = field.worthy
    free = advice(field, units, False, examples)
    if free is None:
        return ""
    texts = [_told(free, "Without labels of it: ", _name(field))]
    paid = advice(field, units, True, examples)
    if paid and paid.line.price.panel:
        texts.append(_told(paid, "With its labels: ", _name(field)))
        more = paid.over.mean - free.over.mean
        texts.append(f"That is {points(more, signed=True)} points over the answer without labels.")
    texts.append(poor_note(field))
    texts.append(
        "Chosen by validation, each seed's on the other seeds; of equals (within half a point) the "
        "cheaper."
        if free.crossfitted
        else "Chosen by validation on the one seed that there is: the choice's luck is in it."
    )
    return " ".join(filter(None, texts))


def _name(field: Field) -> str:
    empty = field.empty
    return empty.title if empty else ""


def _told(item: Advice, start: str, level: str) -> str:
    text = f"{start}{item.verb}"
    spread = item.over.high > item.over.low
    if spread and item.over.direction <= 0 and item.line.title != level:
        text = (
            f"{start}for new models and tasks nothing is shown to be better than {level}, which"
            f" costs nothing. Validation's choice, to {item.verb}"
        )
    if item.others:
        text += f"; some seeds choose {joined(list(item.others[:3]))}"
    text += f": {points(item.score)} on test"
    if item.line.title != level or item.others:
        text += f", {_over(item.over, level)}"
    if item.share == item.share and (item.line.kind not in ("reference", "direct")):
        part = f"{share(item.share)} of the gap to Direct" if item.share >= 0 else "below Empty"
        text += f", {part}"
    return f"{text}. {_cost(item.line)}"


def _over(gain: Crossed, level: str) -> str:
    text = f"{points(gain.mean, signed=True)} points over {level}"
    if gain.high > gain.low:
        text += f", {PERCENT} interval {span(gain.low, gain.high)}"
    return text


def _cost(line: Line) -> str:
    price = line.price
    if not price.known:
        return "What it costs is not recorded."
    if not price.work and not price.labels:
        return "It costs nothing on the target."
    parts = []
    if price.work:
        parts.append(f"{counted(round(price.work), 'row')} of work on the target")
    if price.texts:
        parts.append(f"{counted(round(price.texts), 'text')} without labels")
    if price.labels:
        parts.append(counted(round(price.labels), "label"))
    text = f"It costs {joined(parts)}"
    return f"{text} and needs its {_ACCESS.get(price.access, price.access)}."


_ACCESS = {
    "none": "embedding table",
    "labels": "scores of label words",
    "vocabulary": "scores of words",
    "states": "hidden states",
    "gradients": "gradients",
}


def poor_note(field: Field) -> str:
    """How many pairs have nothing to carry over; empty where all have."""
    every = field.units.drop_duplicates(CASE)
    poor = int((~every["worth"]).sum())
    if not poor:
        return ""
    pairs = f"{counted(len(every), 'pair')} of source set and task"
    beats = f"the source itself is better on validation than {_name(field)}"
    if poor == len(every):
        return f"In none of {pairs} {beats}: there is nothing to carry over."
    return f"Only in {len(every) - poor} of {pairs} {beats}; the others are set apart."
