"""A sweep over several combinations of settings, taken apart: each is a sweep of its own to report.

Rows of different prompt lengths, positions or starts must never meet in one mean. The functions of
this package work on one combination; :func:`parts` yields them.
"""

from collections.abc import Iterator

import pandas as pd

from analysis.families import SOFT

AXES = ("prompt_length", "position", "init")
"""Columns that a spec may list several values for, of soft prompts."""


def labels(frame: pd.DataFrame) -> pd.Series:
    """Per row, the axes in which the soft prompts of the sweep differ, e.g. ``position infix``.

    Empty where they do not differ, for references, which have no prompt, and for hard prompts,
    whose axes are others (:func:`analysis.hard_columns.combinations`).
    """
    tuned = frame["family"] == SOFT
    text = pd.Series("", index=frame.index)
    for name in AXES:
        if frame.loc[tuned, name].nunique() > 1:
            values = frame[name].astype("string").fillna("unknown")
            text = text.where(text == "", text + ", ") + f"{name} " + values
    return text.where(tuned, "")


def parts(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each combination's label and rows, references included; one part without label if only one.

    Args:
        frame: table of :func:`analysis.results.load`.
    """
    reference = frame["kind"] == "reference"
    names = list(dict.fromkeys(frame.loc[~reference, "combination"]))
    if len(names) < 2:
        yield "", frame
        return
    for name in names:
        yield name, frame[reference | (frame["combination"] == name)].reset_index(drop=True)


def titled(name: str, label: str) -> str:
    """``name (label)``, or the name alone."""
    return f"{name} ({label})" if label else name
