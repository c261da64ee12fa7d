"""Features of a (source set, target, task), and the gain they are to predict.

Features that need a model are worked out by :mod:`trainables.features` and lie in the sweep's
folder as ``features.parquet``; those of finished cells are read off the ledger here.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from analysis.contrasts.selection import crossfitted_rows
from analysis.data.combinations import SOFT, main_ways, matched, of_family, parts
from analysis.data.results import Sweep, read
from trainables.errors import InputError

FILE = "features.parquet"
KEY = ["sources", "target", "task"]
"""What a row of ``features.parquet`` is about, after the method for features of tuned prompts."""
RANDOM_METHOD = "random"
"""Prompts that are drawn, not tuned: nothing to predict."""


class Feature(NamedTuple):
    """One feature.

    Attributes:
        name: its column.
        title: in tables and figures.
        before: whether it is known before anything is tuned.
        labels: whether it reads validation labels (no feature reads test labels).
        unit: of its values.
        meaning: one sentence.
    """

    name: str
    title: str
    before: bool
    labels: bool
    unit: str
    meaning: str


# fmt: off
_TABLE = (
    ("agreement", "neighbour agreement", True, False, "0 to 1",
     "neighbour agreement J_u (paper B, equation 7; K = 10, exact) of a source and the target, "
     "mean over their common words and over sources"),
    ("vocabulary_overlap", "vocabulary overlap", True, False, "0 to 1",
     "Jaccard overlap of the one-token words of a source and the target, mean over sources"),
    ("cka", "CKA of embeddings", True, False, "0 to 1",
     "linear centred kernel alignment of the word embeddings of a source and the target over "
     "their common words, mean over sources"),
    ("common_words", "common words", True, False, "log10 of a count",
     "words that are one token in all sources and the target"),
    ("agreement_within", "neighbour agreement within", True, False, "0 to 1",
     "neighbour agreement of the sources with one another, mean over pairs; empty for one "
     "source"),
    ("cka_within", "CKA within", True, False, "0 to 1",
     "CKA of the sources' embeddings with one another; empty for one source"),
    ("source_size", "source size", True, False, "log10 of a count",
     "parameters of a source, mean of the logarithm over sources"),
    ("target_size", "target size", True, False, "log10 of a count", "parameters of the target"),
    ("same_family", "same family", True, False, "share",
     "share of the sources with the target's architecture"),
    ("same_kind", "same kind", True, False, "share",
     "share of the sources that are masked, causal or sequence-to-sequence as the target is"),
    ("empty_score", "Empty score", True, True, "0 to 1",
     "metric of the target without a prompt on the first validation texts"),
    ("empty_entropy", "Empty entropy", True, False, "0 to 1",
     "entropy of the target's label distribution without a prompt, mean over unlabelled texts, "
     "over log C"),
    ("empty_balance", "Empty balance", True, False, "0 to 1",
     "entropy of the target's mean label distribution without a prompt, over log C"),
    ("source_entropy", "source entropy", True, False, "0 to 1",
     "as empty_entropy for the sources, mean over sources"),
    ("source_balance", "source balance", True, False, "0 to 1",
     "as empty_balance for the sources, mean over sources"),
    ("reading_correlation", "reading correlation", True, False, "-1 to 1",
     "correlation over unlabelled texts of what a source and the target make of them without a "
     "prompt, mean over sources"),
    ("similarity", "achieved similarity", False, False, "-1 to 1",
     "relative-space similarity that the transfer achieved, mean over cells"),
    ("alignment", "alignment loss", False, False, "0 to 2",
     "alignment loss at the kept checkpoint of the joint tuning, mean over cells"),
    ("source_score", "source score", False, True, "0 to 1",
     "validation metric of the tuned prompts on their own sources, mean over cells"),
    ("teacher_agreement", "teacher agreement", False, False, "share",
     "share of the texts held out on which the sources with their prompts and the target's "
     "calibrated Empty give the same class, mean over the cells that are taught by them; needs a "
     "way of transfer with teacher sources"),
    ("teacher_misfit", "teacher misfit", False, False, "nats",
     "mean cross-entropy of what such ways end in against the sources on texts held out, mean over "
     "their cells"),
    ("prompt_norm", "prompt norm", False, False, "mean embedding lengths",
     "mean length of the tuned prompts' vectors over the mean length of their source's word "
     "embeddings"),
    ("prompt_cosine", "cosine with Direct", False, False, "-1 to 1",
     "mean cosine of the tokens of the carried prompt with those of the prompt tuned on the "
     "target itself, same task (Su et al. 2022); needs the row Direct"),
    ("neuron_overlap", "activated neurons shared with Direct", False, False, "0 to 1",
     "overlap of the feed-forward neurons that the carried prompt and the prompt tuned on the "
     "target itself activate in the target (Su et al. 2022); needs the row Direct"),
)
# fmt: on
FEATURES = {row[0]: Feature(*row) for row in _TABLE}
"""Every feature by name, those known before tuning first."""

_TAUGHT = ["teacher_agreement", "teacher_misfit"]
_LEDGER = ("similarity", "alignment", "source_score", *_TAUGHT)


def observations(sweep: Sweep | Path | str) -> pd.DataFrame:
    """One row a (method, settings, source set, target, task): its gain, and its features.

    Of several sources, jointly tuned prompts count if there are any, at the weight that the other
    seeds choose (all weights with one seed). Random prompts do not count.

    Args:
        sweep: a sweep or its folder.

    Returns:
        Columns method, combination, sources, target, task, size (sources in the set), n, gain,
        gain_sd, source_ids and target_id (content of the models, or their names), features.

    Raises:
        InputError: the folder is no sweep's folder, or nothing was carried over.
    """
    whole = sweep if isinstance(sweep, Sweep) else read(sweep)
    rows = _carried(whole.frame)
    if rows.empty:
        raise InputError(
            f"Folder {whole.folder} holds no carried prompt with an Empty row beside it yet;"
            " a sweep needs both before its gains can be predicted."
        )
    by = ["method", "combination", *KEY]
    grouped = rows.groupby(by, sort=True)
    table = grouped.agg(
        n=("gain", "size"),
        gain=("gain", "mean"),
        gain_sd=("gain", "std"),
        **{name: (name, "mean") for name in _LEDGER},
    ).reset_index()
    table["size"] = table["sources"].str.count(r"\+") + 1
    ids = model_ids(whole.meta)
    table["source_ids"] = [_named(name, ids) for name in table["sources"]]
    table["target_id"] = [ids.get(name, name) for name in table["target"]]
    return with_features(table, stored_features(whole.folder))


def with_features(table: pd.DataFrame, stored: pd.DataFrame | None) -> pd.DataFrame:
    """``table`` of :func:`observations` with the columns of ``features.parquet``."""
    if stored is not None:
        names = [name for name in FEATURES if name in stored.columns and name not in _LEDGER]
        table = table.merge(stored[["method", *KEY, *names]], on=["method", *KEY], how="left")
    missing = [name for name in FEATURES if name not in table.columns]
    return table.assign(**dict.fromkeys(missing, np.nan))


def stored_features(folder: Path) -> pd.DataFrame | None:
    """``features.parquet`` of a sweep's folder, None where there is none that can be read."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        stored = pd.read_parquet(path)
    except (OSError, ValueError):
        return None
    return stored if {"method", *KEY} <= set(stored.columns) else None


def model_ids(meta: Mapping[str, object]) -> dict[str, str]:
    """Per alias of a sweep's models the digest of its content: one model under two names is one."""
    spec = meta.get("spec")
    models = spec.get("models") if isinstance(spec, Mapping) else None
    if not isinstance(models, Mapping):
        return {}
    return {str(alias): str(model.get("digest", alias)) for alias, model in models.items()}


def members(source_ids: str) -> tuple[str, ...]:
    return tuple(source_ids.split("+"))


def _named(sources: str, ids: Mapping[str, str]) -> str:
    return "+".join(ids.get(name, name) for name in sources.split("+"))


def _carried(frame: pd.DataFrame) -> pd.DataFrame:
    """Transfer cells that count, with their gain and what the ledger says of their tuning."""
    taught = frame[frame["teacher"] == "sources"]
    frame = main_ways(frame)
    rows = frame[(frame["kind"] == "transfer") & (frame["method"] != RANDOM_METHOD)].copy()
    empty = frame[frame["row"] == "empty"]
    level = matched(rows, empty, ["target", "task"], "validation_score")
    rows["gain"] = rows["validation_score"] - level
    rows = rows[~rows["cell"].isin(_not_chosen(frame))]
    joint = set(map(tuple, rows.loc[rows["row"] == "ours", ["method", *KEY]].to_numpy()))
    ours = [
        row == "ours" or tuple(key) not in joint
        for row, key in zip(rows["row"], rows[["method", *KEY]].to_numpy(), strict=True)
    ]
    rows = rows.loc[ours].dropna(subset=["gain"])
    tuned = frame[frame["kind"] == "source"].set_index("cell")
    inputs = [json.loads(text) for text in rows["inputs"]]
    rows["source_score"] = list(_over_inputs(tuned["validation_score"], inputs))
    rows["alignment"] = list(_over_inputs(tuned["alignment"], inputs))
    return rows.assign(**_of_teachers(taught, rows))


def _of_teachers(taught: pd.DataFrame, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """What ways that the same prompts have taught say of them, per row; NaN where there is none."""
    by = ["inputs", "target", "task"]
    known = taught.groupby(by)[_TAUGHT].mean()
    found = known.reindex(pd.MultiIndex.from_frame(rows[by]))
    return {name: found[name].to_numpy(dtype="float64") for name in _TAUGHT}


def _not_chosen(frame: pd.DataFrame) -> set[str]:
    """Cells of Ours at weights that the other seeds do not choose, of sets that have a choice."""
    left: set[str] = set()
    for _, part in parts(of_family(frame, SOFT)):
        chosen, ours = crossfitted_rows(part), part[part["row"] == "ours"]
        sets = set(zip(chosen["target"], chosen["sources"], strict=True))
        places = zip(ours["target"], ours["sources"], strict=True)
        known = ours.loc[[place in sets for place in places]]
        left |= set(known["cell"]) - set(chosen["cell"])
    return left


def _over_inputs(values: pd.Series, inputs: Sequence[Sequence[str]]) -> Iterator[float]:
    """Per cell the mean of what its inputs have; NaN where they are not there."""
    known = values.astype("float64").dropna().to_dict()
    for names in inputs:
        values_of = [known[name] for name in names if name in known]
        yield float(np.mean(values_of)) if values_of else np.nan
