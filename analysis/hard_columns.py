"""What records of hard prompts add to the table of results."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.families import HARD
from trainables.settings import default_of
from trainables.settings.hard import WORDS

HARD_ROWS = ("random", "all", "common", "agreement")
"""Table rows of hard prompts, as the cells name them."""
TUNED = ("vocabulary", "s", "k", "state", "template")
"""Settings that become columns."""
MEASURED = (
    "text",
    "n_tokens",
    "roundtrip_exact",
    "score_as_ids",
    "log_perplexity",
    "dictionary_share",
)
"""Keys of a result that become columns unchanged."""
INTEGERS = ("s", "k", "n_tokens")
FLOATS = ("score_as_ids", "log_perplexity", "dictionary_share")
BOOLEANS = ("template", "roundtrip_exact")

HARD_COLUMNS: dict[str, str] = {
    "counterparts": "hard prompts: models whose vocabulary was shared with the source's, joined "
    "by +",
    "vocabulary": "hard prompts: the words allowed: all, random, common or agreement",
    "s": "hard prompts: how many words were kept; means nothing for vocabulary all",
    "k": "hard prompts: neighbours K compared; means nothing but for vocabulary agreement",
    "state": "hard prompts: what PEZ keeps between steps, continuous or projected",
    "template": "hard prompts: whether the task's template stands after the text",
    "text": "hard prompts: the prompt, as text",
    "ids": "hard prompts, JSON: its token ids on the model it was evaluated on",
    "n_tokens": "hard prompts: how many they are",
    "roundtrip_exact": "hard prompts: whether the text encodes to exactly the tuned ids on the "
    "source",
    "score_as_ids": "hard prompts on their source: score with the tuned ids instead of the text",
    "log_perplexity": "hard prompts: mean negative log-likelihood per token of the prompt alone, "
    "in nats, on the model it was evaluated on (masked models: pseudo-log-likelihood)",
    "dictionary_share": "hard prompts: share of its words that are English dictionary words",
    "gain_over_no_prompt": "hard prompts: score minus that of the same input without the prompt "
    "(Manual, or Empty where there is no template) on the same target and task",
}
"""Part of the column dictionary, :data:`analysis.results.COLUMNS`."""


def hard_values(cell: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of one record; for soft prompts and references all None."""
    settings = flat(cell.get("settings") or {})
    row: dict[str, Any] = {name: result.get(name) for name in MEASURED}
    row |= {name: settings.get(name) for name in TUNED}
    ids = result.get("ids")
    row["ids"] = None if ids is None else json.dumps(ids)
    row["counterparts"] = "+".join(cell.get("counterparts") or ()) or None
    return row


def flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings at the top and in the groups below it, by name; the top goes first."""
    found: dict[str, Any] = {}
    for value in settings.values():
        if isinstance(value, Mapping):
            found |= value
    return found | {
        name: value for name, value in settings.items() if not isinstance(value, Mapping)
    }


def combinations(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Per hard cell, the settings in which the prompts of its method differ, e.g. ``state …``.

    What says which words a prompt may use (vocabulary, s, K) is not among them: these are rows of
    one table. A carried prompt has the settings it was tuned with.

    Args:
        rows: per record its columns, and its cell's ``settings``.
    """
    hard = [row for row in rows if row["family"] == HARD]
    own = {row["cell"]: flat(row["settings"]) for row in hard}
    methods = {row["cell"]: str(row["method"]) for row in hard}
    tuned = [row["cell"] for row in hard if row["kind"] == "source"] or list(own)
    values: dict[tuple[str, str], set[str]] = {}
    for name in tuned:
        for key in own[name]:
            values.setdefault((methods[name], key), set())
    for name in tuned:
        for method, key in values:
            if method == methods[name]:
                values[method, key].add(_shown(own[name], method, key))
    varied = sorted(
        place for place, found in values.items() if len(found) > 1 and place[1] not in WORDS
    )
    labels = {}
    for row in hard:
        first = next(iter(json.loads(row["inputs"])), None)
        settings = own.get(first, own[row["cell"]])
        labels[row["cell"]] = ", ".join(
            f"{key} {_shown(settings, method, key)}"
            for method, key in varied
            if method == row["method"]
        )
    return labels


def _shown(settings: Mapping[str, Any], method: str, key: str) -> str:
    # Younger settings are not stored while at their default.
    value = settings[key] if key in settings else default_of(method, key)
    return value if isinstance(value, str) else json.dumps(value)


def fill_hard(frame: pd.DataFrame, rows: Sequence[Mapping[str, Any]]) -> None:
    """Give the hard columns their types, and what follows from other rows; in place.

    Args:
        frame: the table under way, one row a record.
        rows: what it was made from, see :func:`combinations`.
    """
    found = combinations(rows)
    both = zip(frame["cell"], frame["combination"], strict=True)
    frame["combination"] = [found.get(cell, soft) for cell, soft in both]
    first = [next(iter(json.loads(text)), None) for text in frame["inputs"]]
    carried = (frame["family"] == HARD) & (frame["kind"] == "transfer")
    for name in (*TUNED, "counterparts"):
        tuned = pd.Series(first).map(dict(zip(frame["cell"], frame[name], strict=True)))
        frame[name] = frame[name].where(frame[name].notna() | ~carried, tuned)
    for name in INTEGERS:
        frame[name] = pd.to_numeric(frame[name]).astype("Int64")
    for name in FLOATS:
        frame[name] = pd.to_numeric(frame[name]).astype("float64")
    for name in BOOLEANS:
        frame[name] = frame[name].astype("boolean")
    frame["gain_over_no_prompt"] = frame["score"] - _without_prompt(frame)


def _without_prompt(frame: pd.DataFrame) -> pd.Series:
    """Per hard row, the score of its input without the prompt; NaN for all others."""
    levels = frame[frame["kind"] == "reference"].groupby(["row", "target", "task"])["score"].mean()
    rows = [reference_row(value) for value in frame["template"]]
    keys = pd.MultiIndex.from_arrays([rows, frame["target"], frame["task"]])
    found = pd.Series(levels.reindex(keys).to_numpy(dtype="float64"), index=frame.index)
    return found.where(frame["family"] == HARD)


def reference_row(template: Any) -> str:
    """The reference row that is a hard prompt's input without the prompt (paper B's Empty)."""
    return "empty" if pd.notna(template) and not template else "manual"
