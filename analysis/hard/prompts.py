"""The hard prompts themselves, as in paper B's table 3: every seed's, with what they reach."""

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analysis.hard.rows import RANK, Block, label_of
from analysis.present.exhibits import Table, file_name
from analysis.present.grid import DASH, Entry, Grid, Line, percent, points
from analysis.present.words import sources_name

UNKNOWN = "{unknown}"
"""Stands for bytes that are no text, as in paper B."""
_HEADS = ("Prompt", "Words", "Log-perplexity", "Validation", "Test on source", "Carried over")
_NUMBERS = [
    *("name", "s", "k", "counterparts", "seed", "text", "roundtrip_exact", "dictionary_share"),
    *("log_perplexity", "validation_score", "score", "carried", "targets"),
]


def prompt_tables(block: Block) -> Iterator[tuple[str, Table]]:
    """Every prompt of a block that was scored on its source: a table per task and source.

    Scores and shares are 0 to 1 in the numbers; ``carried`` is the mean score over the ``targets``
    that a prompt was carried over to.

    Returns:
        Task and source in words, and the table; one line a prompt.
    """
    rows = block.rows.assign(rank=block.rows["line"].map(RANK))
    moved = rows[rows["kind"] == "transfer"].groupby("prompt")["score"].agg(["mean", "count"])
    moved = moved.rename(columns={"mean": "carried", "count": "targets"})
    own = rows[rows["kind"] == "source"].join(moved, on="prompt")
    own["targets"] = own["targets"].fillna(0).astype(int)
    line = ["rank", "name", "s", "k", "counterparts"]
    own = own.sort_values([*line, "seed"], na_position="first", kind="stable")
    for (task, source), part in own.groupby(["task", "sources"], sort=True):
        place = f"{task}, tuned on {source}"
        name = file_name("hard", block.title, str(task), str(source), "prompts")
        lines = tuple(_line(row, block) for row in part.to_dict("records"))
        grid = Grid(("Row", "Seed"), tuple((head, "") for head in _HEADS), lines, words=(0,))
        yield place, Table(name, f"{block.title}: prompts of {place}", grid, part[_NUMBERS])


def _line(row: Mapping[Any, Any], block: Block) -> Line:
    partners = sources_name(str(row["counterparts"]))
    group = label_of(row, block.shows) + (f" with {partners}" if partners else "")
    exact = pd.isna(row["roundtrip_exact"]) or row["roundtrip_exact"]
    text = "" if pd.isna(row["text"]) else shown(str(row["text"]))
    perplexity = float(row["log_perplexity"])
    texts = (
        text if exact else f"{text} ‡",
        percent(100 * row["dictionary_share"]),
        DASH if math.isnan(perplexity) else f"{perplexity:.2f}",
        *(points(100 * row[name]) for name in ("validation_score", "score", "carried")),
    )
    seed = "" if pd.isna(row["seed"]) else str(row["seed"])
    return Line(group, group, seed, tuple(map(Entry, texts)))


def shown(text: str) -> str:
    r"""A prompt as it can be printed on one line.

    Bytes that are no text become :data:`UNKNOWN`, one a stretch. Control and format characters,
    line breaks and unassigned code points become escapes such as ``\n`` or ``\u200d``.
    """
    marked = re.sub("\ufffd+", UNKNOWN, text)
    return "".join(
        char.encode("unicode_escape").decode("ascii") if _hidden(char) else char for char in marked
    )


def _hidden(char: str) -> bool:
    kind = unicodedata.category(char)
    return kind[0] == "C" or kind in ("Zl", "Zp")
