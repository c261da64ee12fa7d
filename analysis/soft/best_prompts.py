"""The best transferred prompt of each target and task, with the words it is nearest to."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

import pandas as pd

from analysis.data.combinations import titled, tuning_label
from analysis.present.words import row_label, sources_name
from analysis.soft.tables import targets, tasks
from trainables.core.frontier import PRODUCTS
from trainables.core.settings import OWN
from trainables.words.dictionary import is_dictionary_word

PROMPT = PRODUCTS[0]
WORDS = 3
"""Nearest words shown per prompt vector."""


@dataclass(frozen=True)
class NearestWords:
    """A prompt on one model: per prompt vector its nearest words, best first.

    Attributes:
        model: alias of the model.
        role: ``target`` or ``source``.
        words: per vector up to :data:`WORDS` different words: whole ones, where the records name
            them, else tokens.
        cosines: their cosines with the vector, None where the records lack them.
        tokens: per vector the nearest tokens of all, pieces of words among them, as one line.
        link: the prompt file relative to the report, quoted for a URL; empty where there is none.
        cell: id of the cell.
    """

    model: str
    role: str
    words: tuple[tuple[str, ...], ...]
    cosines: tuple[tuple[float | None, ...], ...]
    tokens: tuple[str, ...]
    link: str
    cell: str

    @property
    def vectors(self) -> list[tuple[list[tuple[str, str]], str]]:
        """Per vector its words with their cosines as text, and the line of tokens."""
        return [
            ([(word, _number(cosine)) for word, cosine in zip(words, cosines, strict=True)], line)
            for words, cosines, line in zip(self.words, self.cosines, self.tokens, strict=True)
        ]


@dataclass(frozen=True)
class BestPrompt:
    """The prompt with the best validation score on one target and task; scores are 0 to 1."""

    target: str
    task: str
    metric: str
    label: str
    sources: str
    seed: str
    validation: float
    score: float
    gain: float
    similarity: float
    candidates: int
    readings: tuple[NearestWords, ...]


def best_prompts(frame: pd.DataFrame) -> list[BestPrompt]:
    """Per target and task the transferred prompt with the best validation score.

    Every seed, source set and weight is a candidate; ties go to the higher achieved similarity.
    Prompts that a target got on its own are no transfers.
    """
    frame = frame[frame["row"] != OWN]
    cells = frame.drop_duplicates("cell").set_index("cell")
    return [_best(rows.iloc[0], len(rows), cells) for rows in ranked(frame)]


def ranked(frame: pd.DataFrame, product: str = PROMPT) -> Iterator[pd.DataFrame]:
    """Per target and task its transferred prompts, by validation score, the best first.

    Ties go to the higher achieved similarity; a target and task without any is left out. So is what
    leaves something else than ``product``.
    """
    moved = frame[(frame["kind"] == "transfer") & (frame["product"].fillna(PROMPT) == product)]
    moved = moved.dropna(subset=["validation_score"])
    order = ["validation_score", "similarity"]
    for target in targets(frame):
        for task in tasks(frame):
            rows = moved[(moved["target"] == target) & (moved["task"] == task)]
            if not rows.empty:
                yield rows.sort_values(order, ascending=False, kind="stable")


def _best(row: pd.Series, candidates: int, cells: pd.DataFrame) -> BestPrompt:
    inputs = [name for name in json.loads(row["inputs"]) if name in cells.index]
    readings = [_nearest_words(row, "target", str(row["cell"]))]
    readings += [_nearest_words(cells.loc[name], "source", name) for name in inputs]
    return BestPrompt(
        target=row["target"],
        task=row["task"],
        metric=_text(row["metric"]),
        label=_label(row),
        sources=sources_name(row["sources"]),
        seed=_text(row["seed"]),
        validation=float(row["validation_score"]),
        score=float(row["score"]),
        gain=float(row["gain_over_empty"]),
        similarity=float(row["similarity"]),
        candidates=candidates,
        readings=tuple(readings),
    )


def _label(row: pd.Series) -> str:
    """Row and weight, the way where there are several, and other settings that differ."""
    every = _text(row["combination"])
    tuning = tuning_label(every)
    named = row_label(row["row"], row["weight_label"])
    return titled(named if tuning == every else f"{named}, {row['way']}", tuning)


def _nearest_words(row: pd.Series, role: str, cell: str) -> NearestWords:
    tokens, words = _near(row, "nearest"), _near(row, "nearest_words")
    # Records of older sweeps name tokens only.
    shown = [
        _distinct(_whole(words[place]) if place < len(words) and words[place] else near)[:WORDS]
        for place, near in enumerate(tokens)
    ]
    return NearestWords(
        model=row["target"],
        role=role,
        words=tuple(tuple(word for word, _ in near) for near in shown),
        cosines=tuple(tuple(cosine for _, cosine in near) for near in shown),
        tokens=tuple(
            ", ".join(f"{word} {_number(cosine)}".strip() for word, cosine in near if word.strip())
            for near in tokens
        ),
        link=_link(row["prompt_file"]),
        cell=cell,
    )


Near = list[tuple[str, float | None]]


def _near(row: pd.Series, column: str) -> list[Near]:
    """Per vector the entries of a column of words, each with its cosine."""
    names, cosines = _json(row.get(column)), _json(row.get(f"{column}_cosine"))
    vectors = []
    for place, token in enumerate(names):
        texts = token if isinstance(token, list) else [token]
        numbers = cosines[place] if place < len(cosines) else []
        known = numbers if isinstance(numbers, list) and len(numbers) == len(texts) else []
        vectors.append(list(zip(map(str, texts), known or [None] * len(texts), strict=True)))
    return vectors


def _whole(near: Near) -> Near:
    """Those that a dictionary has: a token that starts a word may be a piece of one ("cartrid").

    All where it has none, as in another language.
    """
    return [entry for entry in near if is_dictionary_word(entry[0])] or near


def _json(value: Any) -> list[Any]:
    content = json.loads(value) if isinstance(value, str) else []
    return content if isinstance(content, list) else []


def _distinct(near: Near) -> Near:
    """Each word once, whatever its case and the spaces around it; blanks left out."""
    kept: dict[str, tuple[str, float | None]] = {}
    for word, cosine in near:
        kept.setdefault(word.strip().casefold(), (word, cosine))
    kept.pop("", None)
    return list(kept.values())


def _number(cosine: float | None) -> str:
    return "" if cosine is None else f"{cosine:.2f}"


def _link(name: object) -> str:
    """URL of a prompt file beside the report; empty for a path that leads elsewhere."""
    if not isinstance(name, str) or not name:
        return ""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        return ""
    return quote(path.as_posix())


def _text(value: Any) -> str:
    return "" if pd.isna(value) else str(value)
