"""How often label words are among the words that tuned prompts are nearest to.

Lester et al. (2021), section 7: the five nearest words of a prompt vector, by cosine, often name
the classes. The nearest words are those that results hold (``nearest_words``): whole words, each
once whatever its case.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from analysis.present.grid import Entry, Grid, Line, share

COLUMNS = ["panel", "method", "start", "prompt_length", "vectors", "slots", "found", "n"]


def label_words_of(meta: Mapping[str, Any]) -> dict[str, set[str]]:
    """Label words in small letters by task, as a sweep's folder remembers its tasks."""
    found: dict[str, set[str]] = {}
    tasks = meta.get("tasks")
    for task, known in (tasks if isinstance(tasks, Mapping) else {}).items():
        fields = known.get("fields") if isinstance(known, Mapping) else None
        words = fields.get("label_words") if isinstance(fields, Mapping) else None
        if words:
            found[str(task)] = {word.strip().casefold() for word in _flat(words)}
    return found


def _flat(words: Any) -> Iterable[str]:
    if isinstance(words, str):
        return [words]
    inner = words.values() if isinstance(words, Mapping) else words
    return [word for item in inner for word in _flat(item)]


def of_prompt(nearest: list[list[str]], labels: set[str]) -> tuple[float, float, float]:
    """Of one prompt's nearest words, how many are label words.

    Args:
        nearest: up to five words for each of the m vectors.
        labels: label words in small letters, not empty.

    Returns:
        Share of vectors with a label word among theirs, share of all these words, and share of the
        label words that stand somewhere among them.
    """
    words = [[word.strip().casefold() for word in row] for row in nearest]
    hits = [[word for word in row if word in labels] for row in words]
    count = sum(map(len, words))
    return (
        sum(map(bool, hits)) / len(words),
        sum(map(len, hits)) / count if count else 0.0,
        len({word for row in hits for word in row}) / len(labels),
    )


def label_word_table(rows: pd.DataFrame, labels: Mapping[str, set[str]]) -> pd.DataFrame:
    """Means over prompts by model, start and length.

    Args:
        rows: of :func:`analysis.tuned.length_and_start.tuned_alone`.
        labels: of :func:`label_words_of`.

    Returns:
        :data:`COLUMNS`: the three shares of :func:`of_prompt` as vectors, slots and found, and n
        (prompts). Prompts whose nearest words or whose task's label words are not known are left
        out.
    """
    lines = []
    for row in rows[rows["nearest_words"].notna()].to_dict("records"):
        nearest = json.loads(row["nearest_words"])
        if nearest and labels.get(row["task"]):
            shares = of_prompt(nearest, labels[row["task"]])
            place = (row[name] for name in COLUMNS[:4])
            lines.append((*place, *shares))
    table = pd.DataFrame(lines, columns=COLUMNS[:-1])
    by = table.groupby(COLUMNS[:4], sort=True)
    means = by[["vectors", "slots", "found"]].mean()
    return means.assign(n=by.size()).reset_index()[COLUMNS]


def label_word_grid(table: pd.DataFrame) -> Grid:
    lines = tuple(
        Line(
            str(row["panel"]),
            str(row["panel"]),
            f"{row['start']}, m = {row['prompt_length']}",
            (
                *(Entry(share(row[name])) for name in ("vectors", "slots", "found")),
                Entry(str(row["n"])),
            ),
        )
        for row in table.to_dict("records")
    )
    columns = (
        ("Vectors near one", "share"),
        ("Nearest words that are one", "share"),
        ("Label words found", "share"),
        ("n", "prompts"),
    )
    return Grid(("Model", "Start and length"), columns, lines)
