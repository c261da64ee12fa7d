"""In which settings the cells of a sweep differ, so that unlike results never meet in one mean.

Two cells differ in everything that enters their ids. What tables have columns or lines for (models,
task, seed, λ, the words of a hard prompt) is told apart there; all the rest is here: the method,
where there are several, every setting of the tuning and of the transfer, the precision. A cell
has only the settings it depends on: a Baseline none of the alignment loss, a reference row no more
than how texts are cut. Cells *agree* where no setting that both have differs; what agrees with a
combination belongs to it.

Soft prompts are vectors that a solver carries over, hard prompts are tokens, carried over as text:
no table or mean ever holds both. Whatever reads a frame asks :func:`of_family` first; reference
rows belong to both.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import lru_cache
from typing import Any

import pandas as pd

from trainables.core.registries import METHODS, SOLVERS
from trainables.core.settings import ALIGNMENT, OWN, TransferSettings
from trainables.core.settings.base import CHAT
from trainables.core.settings.hard import WORDS
from trainables.core.settings.starts import NAMES

SOFT, HARD = "soft", "hard"
"""Families of prompts."""
METHOD, PRECISION = "method", "precision"
FRAME = "frame"
"""Whether a cell was asked to read in chat templates: also told of reference rows, which have no
other template."""
_HOW = {CHAT: "in its chat template", "plain": "without a chat template"}
"""How a frame is called."""
TRANSFER = "transfer."
"""What stands before settings of the transfer among those of a cell."""
_JOINT = ("joint", "ours")
"""Rows that depend on the alignment loss."""
_EARLY = "embedding"
"""Row of prompts that are tuned for a number of steps of its own."""
_LENGTH = ("steps", "epochs", "max_steps", "evaluations", "spacing", "checkpoint")
"""Settings of the tuning that say nothing of this row."""
_NOTHING = "{}"
MOST = 8
"""Combinations of settings that a page has room for."""

Values = dict[str, Any]


def flat(settings: Mapping[str, Any]) -> Values:
    """Settings at the top and in the groups below it, by name; the top goes first."""
    values: Values = {}
    for value in settings.values():
        if isinstance(value, Mapping):
            values |= value
    return values | {
        name: value for name, value in settings.items() if not isinstance(value, Mapping)
    }


@dataclass(frozen=True)
class _Kind:
    """Cells that differ in nothing but what tables tell apart."""

    method: str
    family: str | None
    values: Values


def combinations(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Per record, the settings in which the sweep's cells differ: in words, and as JSON.

    Words name only what differs within the record's method. A reference row has none: it belongs to
    every combination it agrees with. A carried prompt has the settings of its tuning.

    Args:
        rows: per record its columns, and its cell's ``settings`` and ``precision``.
    """
    kinds, numbers = _kinds(rows)
    shared = {key for kind in kinds if kind.family is None for key in kind.values}
    soft = {kind.method for kind in kinds if kind.family == SOFT}
    by_method: dict[tuple[str, str], set[str]] = {}
    by_all: dict[str, set[str]] = {}
    for kind in kinds:
        for key, value in kind.values.items():
            by_method.setdefault((kind.method, key), set()).add(_shown(value))
            by_all.setdefault(key, set()).add(_shown(value))
    described = []
    for kind in kinds:
        named = [key for key in kind.values if len(by_method[kind.method, key]) > 1]
        common = [key for key in kind.values if key in shared and len(by_all[key]) > 1]
        values = {key: kind.values[key] for key in dict.fromkeys((*named, *common))}
        named = [key for key in named if key != FRAME]  # the template says it
        if kind.family is None:
            named = []
        elif kind.family == SOFT and len(soft) > 1:
            named, values = [METHOD, *named], {METHOD: kind.method, **values}
        label = ", ".join(f"{key} {_shown(values[key])}" for key in named)
        described.append((label, json.dumps(values, ensure_ascii=False)))
    return [described[number] for number in numbers]


def _kinds(rows: Sequence[Mapping[str, Any]]) -> tuple[list[_Kind], list[int]]:
    """The kinds of cell there are, and which of them each record is."""
    places = {row["cell"]: row for row in rows}
    known: dict[tuple[str, ...], int] = {}
    kinds: list[_Kind] = []
    numbers = []
    for row in rows:
        origin = _tuned(row, places)
        key = (
            str(row["method"]),
            str(row["family"]),
            str((row["row"] in _JOINT, row["row"] == _EARLY)),
            row["kind"],
            str(row.get(PRECISION)),
            *(json.dumps(each["settings"], sort_keys=True) for each in (row, origin)),
        )
        if key not in known:
            known[key] = len(kinds)
            kinds.append(_Kind(key[0], row["family"], _values(row, origin)))
        numbers.append(known[key])
    return kinds, numbers


def _tuned(row: Mapping[str, Any], places: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The record of the tuning of a record's prompt; itself where that is not known."""
    found = row
    while found["kind"] != "source":
        first = next(iter(json.loads(found["inputs"])), "")
        if first not in places:
            return row
        found = places[first]
    return found


def _values(row: Mapping[str, Any], origin: Mapping[str, Any]) -> Values:
    """What a record depends on beside its models, task, seed, λ and words."""
    cut = {PRECISION: row.get(PRECISION), FRAME: _frame(row["settings"])}
    if row["kind"] == "reference":
        values = {"text_tokens": None, **flat(row["settings"]), **cut}
        return {key: value for key, value in values.items() if key != "template"}
    method, own = str(row["method"]), flat(origin["settings"])
    unread = set(WORDS if row["family"] == HARD else () if row["row"] in _JOINT else ALIGNMENT)
    # Tables have columns for what a prompt starts from.
    unread |= set(NAMES) if row["kind"] == "source" else set()
    unread |= set(_LENGTH) if row["row"] == _EARLY else set()
    moved = {item.name for item in fields(TransferSettings)}
    if origin is row and row["kind"] != "source":  # what it was tuned with is not known
        values = {key: value for key, value in own.items() if key not in moved}
    else:
        # Younger settings are not stored while at their default.
        values = {**_defaults(method), **own}
    values = {"text_tokens": None, **values, **cut}
    values = {key: value for key, value in values.items() if key not in unread}
    if row["family"] == SOFT and row["kind"] == "transfer":
        given = {key: value for key, value in flat(row["settings"]).items() if key in moved}
        values |= {f"{TRANSFER}{key}": value for key, value in (later_defaults() | given).items()}
    return values


def _frame(settings: Mapping[str, Any]) -> str:
    return CHAT if settings.get("template") == CHAT else "plain"


@lru_cache
def _defaults(method: str) -> Values:
    cls = METHODS.get(method)
    items = () if cls is None else fields(cls)
    return {item.name: item.default for item in items if item.default is not MISSING}


@lru_cache
def later_defaults() -> Values:
    """Settings of a transfer that cells leave out at their default."""
    return {item.name: item.default for item in fields(TransferSettings)
            if item.metadata.get("later")}  # fmt: skip


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def parts(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each combination's label and the rows that agree with it; without label if only one.

    Rows of different combinations must never meet in one mean: the functions of this package work
    on one part. What two combinations share (references; independent tunings, where they differ
    in the alignment loss alone) is in both.

    Of several ways of transfer of the same tuned prompts only those are parts that map them between
    embedding tables (where any does) and carry most kinds of row. The others are compared under
    "Cost and gain" alone, and so are rows ``own``, in which nothing of a source comes in.
    """
    settings = frame["settings"].fillna(_NOTHING)
    moved = frame["kind"] == "transfer"
    tuned = moved if moved.any() else frame["kind"] != "reference"
    labels = dict(zip(settings[tuned], frame.loc[tuned, "combination"].fillna(""), strict=True))
    whole = [text for text in labels if not any(_within(text, other) for other in labels)]
    kept = _fullest(whole, zip(settings[moved], frame.loc[moved, "row"], strict=True))
    if len(whole) < 2:
        yield "", _read_alike(frame, whole)
        return
    for text in kept:
        part = agreeing(frame, text)
        alone = (part["kind"] != "transfer") | (part["row"] != OWN)
        part = part[alone] if alone.any() else part
        yield labels[text] if len(kept) > 1 else "", part.reset_index(drop=True)


def _read_alike(frame: pd.DataFrame, whole: Sequence[str]) -> pd.DataFrame:
    """Without reference rows that were read otherwise (in chat templates, say) than all prompts."""
    other = frame["kind"] == "reference"
    settings = frame["settings"].fillna(_NOTHING)
    for text in whole:
        other &= ~settings.map(lambda own, text=text: agree(text, own)).astype(bool)
    return frame[~other].reset_index(drop=True) if whole and other.any() else frame


def _fullest(whole: Sequence[str], carried: Iterable[tuple[str, str]]) -> list[str]:
    """Of the ways of transfer of one tuning those that map prompts, with the most kinds of row.

    Ways that work through the target only where there is no other.
    """
    kinds: dict[str, set[str]] = {}
    for text, row in dict.fromkeys(carried):
        if row != OWN:
            kinds.setdefault(text, set()).add(row)
    held = {
        text: (_maps(text), len(set().union(*(rows for other, rows in kinds.items()
                                              if agree(text, other)))))
        for text in whole
    }  # fmt: skip
    if len(set(held.values())) < 2:
        return list(whole)
    tuning = {text: json.dumps(without_transfer(text)) for text in whole}
    return [
        text
        for text in whole
        if not any(
            held[text] < held[other] and agree(tuning[text], tuning[other]) for other in whole
        )
    ]


def _maps(text: str) -> bool:
    """Whether a combination's prompts are mapped between embedding tables."""
    solver = json.loads(text).get(f"{TRANSFER}solver")
    return solver is None or not SOLVERS[solver].through


def main_ways(frame: pd.DataFrame) -> pd.DataFrame:
    """A table without the soft prompts of ways of transfer that are no :func:`parts`."""
    shown = {cell for _, part in parts(of_family(frame, SOFT)) for cell in part["cell"]}
    left = (frame["kind"] == "transfer") & (frame["family"] == SOFT) & ~frame["cell"].isin(shown)
    return frame[~left] if left.any() else frame


def tunings(frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Label and rows of each combination of settings of the tuning, with all ways of transfer.

    Args:
        frame: soft prompts and references.
    """
    settings = frame["settings"].fillna(_NOTHING)
    moved = frame["kind"] == "transfer"
    short = {text: json.dumps(without_transfer(text)) for text in settings.unique()}
    texts = list(dict.fromkeys(short[text] for text in settings[moved]))
    whole = [text for text in texts if not any(_within(text, other) for other in texts)]
    if len(whole) < 2:
        yield "", _read_alike(frame, whole)
        return
    tuning = settings.map(short)
    for text in whole:
        own = _read(text)
        named = [key for key in own if any(_read(other).get(key) != own[key] for other in whole)]
        part = frame[tuning.isin([other for other in set(tuning) if agree(text, other)])]
        yield ", ".join(f"{key} {_shown(own[key])}" for key in named), part.reset_index(drop=True)


def without_transfer(settings: str) -> Values:
    """The column ``settings`` of a cell without those of the transfer."""
    return {key: value for key, value in _read(settings).items() if not key.startswith(TRANSFER)}


def leading_parts(frame: pd.DataFrame) -> tuple[list[tuple[str, pd.DataFrame]], str]:
    """The combinations that a page has room for, and a sentence on the others.

    Beyond :data:`MOST` (a search has one a point), the best mean validation score of carried
    prompts decides.
    """
    every = list(parts(frame))
    if len(every) <= MOST:
        return every, ""
    means = [part.loc[part["kind"] == "transfer", "validation_score"].mean() for _, part in every]
    order = sorted(range(len(every)), key=lambda place: (-means[place], place))
    kept = sorted(place for place in order[:MOST] if means[place] == means[place])
    note = (
        f"{len(every)} combinations of settings were tuned. Shown are the {len(kept)} with the best"
        " mean validation score; results.csv has all."
    )
    return [every[place] for place in kept], note


def agreeing(frame: pd.DataFrame, settings: str) -> pd.DataFrame:
    every = frame["settings"].fillna(_NOTHING)
    return frame[every.isin([text for text in every.unique() if agree(settings, text)])]


def agree(one: str, other: str) -> bool:
    """Whether two cells (their column ``settings``) share no setting with different values."""
    first, second = _read(one), _read(other)
    return all(second[key] == value for key, value in first.items() if key in second)


def _within(one: str, other: str) -> bool:
    """Whether ``other`` has all settings of ``one``, and more."""
    return set(_read(one)) < set(_read(other)) and agree(one, other)


@lru_cache(maxsize=4096)
def _read(text: str) -> Values:
    values: Values = json.loads(text)
    return values


def matched(
    frame: pd.DataFrame, rows: pd.DataFrame, on: Sequence[str], value: str = "score"
) -> pd.Series:
    """Per row of a table, the mean of other rows with the same keys that agree in settings.

    Args:
        frame: table with the columns of ``on`` and ``settings``.
        rows: rows to match, with ``value`` besides.
        on: columns that must be equal, two or more.
        value: column averaged.

    Returns:
        Values in the order of ``frame``; NaN where nothing matches.
    """
    mine = frame["settings"].fillna(_NOTHING)
    means = pd.Series(float("nan"), index=frame.index)
    for text, part in frame.groupby(mine, sort=False):
        level = agreeing(rows, str(text)).groupby(list(on), dropna=False)[value].mean()
        if len(level):
            keys = pd.MultiIndex.from_frame(part[list(on)])
            means[part.index] = level.reindex(keys).to_numpy(dtype="float64")
    return means


def read_how(rows: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Reference rows by how they were read, in words where there are several ways; else all."""
    settings = rows["settings"].fillna(_NOTHING)
    ways = list(dict.fromkeys(settings))
    values = [_read(text) for text in ways]
    for text, own in zip(ways, values, strict=True):
        named = [key for key in own if any(other.get(key) != own[key] for other in values)]
        told = [_HOW.get(str(own[key]), f"{key} {_shown(own[key])}") for key in named]
        yield ", ".join(told), rows[settings == text]


def telling_labels(combinations: Sequence[str]) -> dict[str, str]:
    """Each combination's label without what all of these have in common."""
    told = {label: label.split(", ") for label in combinations}
    shared = set.intersection(*map(set, told.values())) if told else set()
    return {
        label: ", ".join(part for part in parts if part not in shared)
        for label, parts in told.items()
    }


def tuning_label(combination: str) -> str:
    """What a combination's label says of the tuning, without the way that prompts are carried."""
    return ", ".join(part for part in combination.split(", ") if not part.startswith(TRANSFER))


def titled(name: str, label: str) -> str:
    return f"{name} ({label})" if label else name


def family_of(cell: Mapping[str, Any], result: Mapping[str, Any]) -> str | None:
    """Family of a record's cell: its method's; None for references.

    A method that names none, or that this program does not know, is hard where its result holds
    token ids.
    """
    if cell["kind"] == "reference":
        return None
    named = getattr(METHODS.get(str(cell.get("method"))), "family", None)
    return str(named) if named else HARD if "ids" in result else SOFT


def of_family(frame: pd.DataFrame, family: str) -> pd.DataFrame:
    """The rows of one family and the references, numbered anew.

    Args:
        frame: table of :func:`analysis.load`.
        family: :data:`SOFT` or :data:`HARD`.
    """
    kept = (frame["family"] == family) | (frame["kind"] == "reference")
    return frame[kept].reset_index(drop=True)


def has(frame: pd.DataFrame, family: str) -> bool:
    return bool((frame["family"] == family).any())
