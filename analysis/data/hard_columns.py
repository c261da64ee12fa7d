"""What records of hard prompts add to the table of results."""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.data.combinations import flat, matched
from analysis.data.families import HARD

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
"""Part of the column dictionary, :data:`analysis.data.results.COLUMNS`."""


def hard_values(cell: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of one record; for soft prompts and references all None."""
    settings = flat(cell.get("settings") or {})
    row: dict[str, Any] = {name: result.get(name) for name in MEASURED}
    row |= {name: settings.get(name) for name in TUNED}
    ids = result.get("ids")
    row["ids"] = None if ids is None else json.dumps(ids)
    row["counterparts"] = "+".join(cell.get("counterparts") or ()) or None
    return row


def fill_hard(frame: pd.DataFrame) -> None:
    """Give the hard columns of the table under way their types, and what follows; in place."""
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
    rows = frame.assign(row=[reference_row(value) for value in frame["template"]])
    found = matched(rows, frame[frame["kind"] == "reference"], ["row", "target", "task"])
    return found.where(frame["family"] == HARD)


def reference_row(template: Any) -> str:
    """The reference row that is a hard prompt's input without the prompt (paper B's Empty)."""
    return "empty" if pd.notna(template) and not template else "manual"
