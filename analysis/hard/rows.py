"""The hard prompts of a sweep as the rows of paper B's tables.

A *block* is one method under one combination of settings (state, prompt length and whatever else a
spec may list): one set of tables. Within it vocabulary, counterparts, s and K make the lines.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.data.combinations import HARD, agreeing, of_family, titled
from analysis.data.results import reference_row

RANDOM = "random"
"""Method whose prompts are drawn, not tuned: a row in the tables of every other method."""
OURS, BASELINE = "agreement", "all"
"""Lines that are compared: prompts of words that agree, and of any word (PEZ)."""
DRAWN = "drawn"
"""Line of the best of as many random prompts as a search has scored, beside that search."""
LINES = ("empty", "constant", "random", DRAWN, "all", "pruned", "common", "agreement")
"""Lines of a table, from top to bottom."""
RANK = {name: place for place, name in enumerate(LINES)}
METHOD_NAMES = {
    "random": "Random",
    "pez": "PEZ",
    "autoprompt": "AutoPrompt",
    "fluentprompt": "FluentPrompt",
    "mixed": "Mixed training",
    "rlprompt": "RLPrompt",
    "proposals": "Proposals",
}
"""How methods are called in tables; others by the name they have in the spec."""

LINE_KEY = ["line", "vocabulary", "s", "k", "counterparts"]
"""What makes a line of a table, beside the block."""
PROMPT_KEY = ["method", "combination", *LINE_KEY, "sources", "task", "seed"]
"""What makes a prompt: its rows are one source score and its transfers."""


@dataclass(frozen=True)
class Block:
    """One method under one combination of settings.

    Attributes:
        method: its name in the spec.
        title: how it is called, e.g. ``PEZ (state projected)``.
        about: what all its prompts have in common, as a sentence.
        rows: of :func:`hard_rows`, those of the method and the random prompts of its length.
        without: reference row that is the input without the prompt.
        shows: which of ``s`` and ``k`` differ, so that lines have to name them.
    """

    method: str
    title: str
    about: str
    rows: pd.DataFrame
    without: str
    shows: tuple[str, ...]

    @property
    def name(self) -> str:
        """How the method is called, and its row with the whole vocabulary."""
        return METHOD_NAMES.get(self.method, self.method)

    @property
    def targets(self) -> list[str]:
        return sorted(self.rows.loc[self.rows["kind"] == "transfer", "target"].unique())


def hard_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Every hard prompt on every model once, with what makes its line.

    ``s`` is emptied where the vocabulary is ``all``, ``k`` where it is not ``agreement``: they mean
    nothing there, and one prompt may have been planned under several.

    Returns:
        Hard rows with further columns line (of :data:`LINES`), name (as in tables) and prompt (a
        number by :data:`PROMPT_KEY`).
    """
    rows = of_family(frame, HARD)
    rows = rows[rows["family"] == HARD].copy()
    rows["vocabulary"] = rows["vocabulary"].fillna("all")
    rows["counterparts"] = rows["counterparts"].fillna("")
    rows["s"] = rows["s"].where(rows["vocabulary"] != "all")
    rows["k"] = rows["k"].where(rows["vocabulary"] == "agreement")
    made = list(zip(rows["method"], rows["vocabulary"], rows["row"] == DRAWN, strict=True))
    rows["line"] = [line_of(*each) for each in made]
    rows["name"] = [name_of(*each) for each in made]
    rows = rows.drop_duplicates([*PROMPT_KEY, "kind", "target"])
    rows["prompt"] = rows.groupby(PROMPT_KEY, dropna=False, sort=False).ngroup()
    return rows.reset_index(drop=True)


def line_of(method: str, vocabulary: str, drawn: bool = False) -> str:
    """Which of :data:`LINES` a prompt belongs to."""
    if drawn:
        return DRAWN
    return RANDOM if method == RANDOM else {"random": "pruned"}.get(vocabulary, vocabulary)


def name_of(method: str, vocabulary: str, drawn: bool = False) -> str:
    """How a row is called in tables, as in paper B."""
    name = "Best of random" if drawn else METHOD_NAMES.get(method, method)
    if drawn or method == RANDOM:
        return titled(name, "" if vocabulary == "all" else f"vocabulary {vocabulary}")
    names = {
        "all": name,
        "random": f"{name}-pruned",
        "common": "CommonVocab-pruned",
        "agreement": "Ours",
    }
    return names.get(vocabulary, f"{name} ({vocabulary})")


def blocks(rows: pd.DataFrame) -> Iterator[Block]:
    """Each method under each combination of settings; random prompts alone only if all there is."""
    tuned = rows[rows["method"] != RANDOM]
    chosen = tuned if not tuned.empty else rows
    for (method, combination), part in chosen.groupby(["method", "combination"], sort=True):
        drawn = rows["method"] == RANDOM
        lengths = set(part["prompt_length"])
        drawn &= rows["prompt_length"].isin(lengths) & (method != RANDOM)
        both = pd.concat([part, rows[drawn]]).reset_index(drop=True)
        name = METHOD_NAMES.get(str(method), str(method))
        yield Block(
            method=str(method),
            title=titled(name, str(combination)),
            about=_about(part),
            rows=both,
            without=reference_row(part["template"].iloc[0]),
            shows=tuple(key for key in ("s", "k") if both[key].nunique() > 1),
        )


def block_parts(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Label and rows, references included, of each block; without label if there is only one."""
    every = list(blocks(hard_rows(frame)))
    references = frame[frame["kind"] == "reference"]
    for block in every:
        settings = str(block.rows["settings"].iloc[0])
        rows = pd.concat([agreeing(references, settings), block.rows], ignore_index=True)
        yield block.title if len(every) > 1 else "", rows


def _about(rows: pd.DataFrame) -> str:
    """Prompt length, state, s and K of a block in words."""
    parts = []
    for column, words in (
        ("prompt_length", "{} tokens"),
        ("state", "state {}"),
        ("s", "s = {}"),
        ("k", "K = {}"),
    ):
        values = sorted(rows[column].dropna().unique())
        if values:
            parts.append(words.format(" and ".join(str(value) for value in values)))
    return f"Prompts of {', '.join(parts)}." if parts else ""


def label_of(line: Mapping[Any, Any], shows: Sequence[str]) -> str:
    """Name of a line with the s and K that tell it from others, e.g. ``Ours s=512, K=16``."""
    known = [key for key in shows if not pd.isna(line[key])]
    parts = [f"{'K' if key == 'k' else key}={line[key]}" for key in known]
    return f"{line['name']} {', '.join(parts)}".strip()
