"""The prompts of target tasks that start elsewhere, beside their control, and how like tasks are.

A *unit* is one target task on one model with one seed. Its *tries* are the prompts tuned from each
source task's prompt, and those tuned from draws of words: the seed's own, which is the control
without transfer, and further ones, so that a choice among several prompts has a control with as
many tries. All tries of a unit read the same examples in the same order.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from analysis.data.columns import STARTED
from analysis.data.combinations import agreeing, telling_labels
from trainables.core.registries import SIMILARITIES

UNIT = ["target", "task", "seed"]
"""Columns of a unit."""
_BEGINNING = ("init", "init_std", "init_text", "init_file")
_KEPT = [*UNIT, "cell", "score", "validation_score"]
Prompts = Mapping[str, np.ndarray]
Early = dict[tuple[Any, ...], np.ndarray]
"""Early prompts by model, task and seed."""


@dataclass(frozen=True)
class Tries:
    """All tries of one combination of settings.

    Attributes:
        label: the combination; empty if there is only one.
        tasks: tries from one source task: the columns of a unit, ``cell``, ``score``,
            ``validation_score`` (0 to 1), ``origin``, and a similarity by its name, NaN where it is
            not known.
        words: tries from words, with ``draw``, of units that have the control.
        averages: tries from averages, with ``top`` and ``retrieval``.
        mixtures: tries from a prompt tuned on several tasks, likewise.
        likeness: of every two early prompts of one model that meet as source and target: columns
            ``target``, ``task``, ``seed`` of the one, ``origin``, ``other_seed`` of the other, and
            the similarities.
    """

    label: str
    tasks: pd.DataFrame
    words: pd.DataFrame
    averages: pd.DataFrame
    mixtures: pd.DataFrame
    likeness: pd.DataFrame

    @property
    def retrievals(self) -> list[str]:
        """Similarities that are known."""
        return [name for name in SIMILARITIES if self.tasks[name].notna().any()]


def without_starts(frame: pd.DataFrame) -> pd.DataFrame:
    """A table without the rows of task transfer, numbered anew."""
    started = frame["row"].isin(STARTED)
    return frame[~started].reset_index(drop=True) if started.any() else frame


def every_try(frame: pd.DataFrame, prompts: Prompts) -> Iterator[Tries]:
    """The tries of each combination of settings.

    Args:
        frame: table of :func:`analysis.load`.
        prompts: tuned prompts [m, d] by cell; where those of row ``embedding`` are missing, no
            similarity is known.
    """
    continued = frame[frame["row"] == "continued"]
    labels = dict(zip(continued["settings"], continued["combination"].fillna(""), strict=True))
    # Source prompts may be tuned otherwise: that is in every label, and tells none from the others.
    telling = telling_labels(list(labels.values()))
    for text, label in labels.items():
        part = agreeing(frame, str(text))
        made = _with_mixtures(part[part["row"] == "continued"], frame)
        words = from_words(frame, str(text))
        single = made[made["top"].isna()]
        if single.empty:
            continue
        controlled = words.loc[words["draw"] == 0, UNIT].drop_duplicates()
        likeness = _likeness(*_early(frame, part, single, prompts))
        tasks = single[[*_KEPT, "origin"]].merge(controlled, on=UNIT)
        same = likeness[likeness["seed"] == likeness["other_seed"]].drop(columns="other_seed")
        several = made[made["top"].notna()].merge(controlled, on=UNIT)
        columns = [*_KEPT, "top", "retrieval"]
        yield Tries(
            label=telling[label] if len(labels) > 1 else "",
            tasks=tasks.merge(same, on=[*UNIT, "origin"], how="left"),
            words=words[[*_KEPT, "draw"]].merge(tasks[UNIT].drop_duplicates(), on=UNIT),
            averages=several.loc[~several["mixed"], columns],
            mixtures=several.loc[several["mixed"], columns],
            likeness=likeness,
        )


def _with_mixtures(continued: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """What continues a mixture of tasks with the ``top`` and ``retrieval`` of that mixture.

    Column ``mixed`` tells which do.
    """
    mixtures = frame[frame["row"] == "mixture"].set_index("cell")[["top", "retrieval"]]
    first = continued["inputs"].map(lambda text: json.loads(text)[0])
    mixed = first.isin(mixtures.index)
    told = {
        name: continued[name].where(~mixed, first.map(mixtures[name])) for name in mixtures.columns
    }
    return continued.assign(mixed=mixed, **told)


def from_words(frame: pd.DataFrame, settings: str) -> pd.DataFrame:
    """Tries from words with settings that differ from these in the start at most."""
    rest = {key: value for key, value in json.loads(settings).items() if key not in _BEGINNING}
    part = agreeing(frame[frame["init"] == "vocabulary"], json.dumps(rest))
    control = part[(part["row"] == "independent")].assign(draw=0)
    return pd.concat([control, part[part["row"] == "restarted"]])


def _early(
    frame: pd.DataFrame, part: pd.DataFrame, single: pd.DataFrame, prompts: Prompts
) -> tuple[Early, Early]:
    """Early prompts of target tasks, and of source tasks.

    Those of source tasks have the settings of the prompts that tries start from.
    """
    first = {json.loads(text)[0] for text in single["inputs"]}
    (origin,) = frame.loc[frame["cell"].isin(first), "settings"].unique()[:1]

    def known(rows: pd.DataFrame, tasks: pd.Series) -> Early:
        early = rows[(rows["row"] == "embedding") & rows["task"].isin(set(tasks))]
        keys = early[UNIT].itertuples(index=False, name=None)
        named = zip(keys, early["cell"], strict=True)
        return {key: prompts[cell] for key, cell in named if cell in prompts}

    return known(part, single["task"]), known(agreeing(frame, str(origin)), single["origin"])


def _likeness(targets: Early, sources: Early) -> pd.DataFrame:
    """Similarities of every early prompt of a target task and of a source task on one model."""
    rows = []
    for (one, mine), (other, theirs) in product(targets.items(), sources.items()):
        if one[0] == other[0] and one != other and mine.shape == theirs.shape:
            named = {name: SIMILARITIES[name](theirs, mine) for name in SIMILARITIES}
            rows.append((*one, *other[1:], *named.values()))
    return pd.DataFrame(rows, columns=[*UNIT, "origin", "other_seed", *SIMILARITIES])
