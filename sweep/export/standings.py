"""How prompts of a sweep stand beside what needs no tuning, as its report counts it."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from analysis.contrasts.examples import Examples

SILENCE = "--force leaves this warning out"
Facts = Mapping[str, Any]


class Standings:
    """Of a sweep's folder, which is read when the first one is asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, Facts | None] = {}

    @cached_property
    def _read(self) -> "tuple[pd.DataFrame, Examples]":
        from analysis import load
        from analysis.contrasts.examples import examples_of

        frame = load(self._folder)
        return frame, examples_of(self._folder, frame)

    def of(self, cell: str) -> Facts | None:
        """Facts of :class:`analysis.frontier.standing.Standing` of a cell; None without any."""
        from analysis.frontier.standing import standing

        if cell not in self._known:
            found = standing(self._read[0], cell, self._read[1])
            self._known[cell] = found.facts() if found else None
        return self._known[cell]


def line_of(facts: Facts | None) -> list[str]:
    """A line for people below a prompt's own; none where nothing is known."""
    return [f"  {facts['text']}"] if facts else []


def warnings_of(prompts: Iterable[tuple[str, Facts | None]]) -> list[str]:
    """A sentence on each prompt that is not shown to be worth using.

    Args:
        prompts: where each one is, in words, and how it stands.
    """
    return [
        f"{place}: {facts['warning']}; {SILENCE}"
        for place, facts in prompts
        if facts and facts["warning"]
    ]
