"""The hard prompts themselves, as in paper B's table 3: every seed's, with what they reach."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.hard.rows import LINES, Block, label_of
from analysis.present.words import sources_name

UNKNOWN = "{unknown}"
"""Stands for bytes that are no text, as in paper B."""

_NEEDED = [
    *("task", "sources", "rank", "name", "s", "k", "counterparts", "seed", "prompt", "text"),
    *("roundtrip_exact", "dictionary_share", "log_perplexity", "validation_score", "score"),
]


@dataclass(frozen=True)
class PromptLine:
    """One prompt; scores and shares are 0 to 1, NaN where unknown.

    Attributes:
        text: what it says, see :func:`shown`.
        seed: its seed.
        exact: whether the text encodes to the tuned ids on the source.
        share: of its words, those of the dictionary.
        log_perplexity: on the source.
        validation: score on the source's validation split.
        score: on the source's test split, as text.
        carried: mean score over the targets it was carried over to.
        targets: how many they are.
    """

    text: str
    seed: str
    exact: bool
    share: float
    log_perplexity: float
    validation: float
    score: float
    carried: float
    targets: int


@dataclass(frozen=True)
class PromptGroup:
    """The prompts of one line of a table (:mod:`analysis.hard.tables`), by seed."""

    name: str
    counterparts: str
    prompts: tuple[PromptLine, ...]


@dataclass(frozen=True)
class PromptTable:
    """The prompts of one task and source."""

    task: str
    source: str
    groups: tuple[PromptGroup, ...]


def prompt_tables(block: Block) -> list[PromptTable]:
    """Every prompt of a block that was scored on its source, by task, source and line."""
    rank = {name: place for place, name in enumerate(LINES)}
    rows = block.rows.assign(rank=block.rows["line"].map(rank))
    moved = rows[rows["kind"] == "transfer"].groupby("prompt")["score"].agg(["mean", "count"])
    own = rows.loc[rows["kind"] == "source", _NEEDED].join(moved, on="prompt")
    line = ["rank", "name", "s", "k", "counterparts"]
    own = own.sort_values([*line, "seed"], na_position="first", kind="stable")
    tables = []
    for (task, source), part in own.groupby(["task", "sources"], sort=True):
        groups = []
        for _, prompts in part.groupby(line, sort=False, dropna=False):
            records = prompts.to_dict("records")
            name = label_of(records[0], block.shows)
            partners = sources_name(str(records[0]["counterparts"]))
            groups.append(PromptGroup(name, partners, tuple(map(_line, records))))
        tables.append(PromptTable(str(task), str(source), tuple(groups)))
    return tables


def _line(row: Mapping[Any, Any]) -> PromptLine:
    return PromptLine(
        text="" if pd.isna(row["text"]) else shown(str(row["text"])),
        seed="" if pd.isna(row["seed"]) else str(row["seed"]),
        exact=bool(pd.isna(row["roundtrip_exact"]) or row["roundtrip_exact"]),
        share=float(row["dictionary_share"]),
        log_perplexity=float(row["log_perplexity"]),
        validation=float(row["validation_score"]),
        score=float(row["score"]),
        carried=float(row["mean"]),
        targets=0 if pd.isna(row["count"]) else int(row["count"]),
    )


def shown(text: str) -> str:
    r"""A prompt as it can be printed on one line.

    Bytes that are no text show as :data:`UNKNOWN`, one for each stretch of them; control and format
    characters, line breaks and unassigned code points as escapes such as ``\n`` or ``\u200d``, so
    that they neither vanish nor turn the line around.
    """
    marked = re.sub("\ufffd+", UNKNOWN, text)
    return "".join(_escaped(char) if _hidden(char) else char for char in marked)


def _hidden(char: str) -> bool:
    kind = unicodedata.category(char)
    return kind[0] == "C" or kind in ("Zl", "Zp")


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
