"""Predictions of finished cells, read back from the files beside their records.

Each file holds, per split that is kept, the log-probabilities of the label words in half precision
and the true classes (:mod:`trainables.core.predictions`). They are read by hand, without pandas and
without a copy of the prompt: 100,000 cells take a few seconds.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from trainables.core.predictions import GOLD, SPLITS
from trainables.errors import InputError, check_known
from trainables.packs.records import (
    LARGEST_FILE,
    OPEN,
    check_regular,
    file_place,
    parsed,
    read_bytes,
    read_record,
    record_files,
)
from trainables.tasks import metrics

Array = npt.NDArray[Any]

_AT_ONCE = 1 << 14  # the whole file of a reference or a text, the header of any other
_LONGEST = 1 << 20
"""Bytes of a header, at most: those of sweeps have less than a thousand, and a text's length."""
_DTYPES: dict[str, np.dtype[Any]] = {
    "F16": np.dtype("<f2"),
    "U8": np.dtype("u1"),
    "U16": np.dtype("<u2"),
}
_SCORES = {"validation": "validation_score", "test": "score"}
"""Per split the key of its score in a result."""


class Kept(NamedTuple):
    """What one cell said of one split.

    Attributes:
        cell: its id.
        gold: true classes, int64 [n].
        predicted: predicted classes, int64 [n]; the result's score is theirs.
        log_probs: log-probabilities of the label words, float32 [n, C], rounded to half precision;
            those of a class that cannot be are -inf.
    """

    cell: str
    gold: Array
    predicted: Array
    log_probs: Array


def read_predictions(
    folder: Path | str,
    cells: Iterable[str] | None = None,
    split: str = "test",
    damaged: Callable[[str], None] | None = None,
) -> Iterator[Kept]:
    """Kept predictions of one split, cell by cell; some 50 µs each.

    Cells that keep none are left out. Rows of two cells of a task are the same examples in the same
    order. Digests are not checked (``sweep run`` and ``sweep status`` do).

    Args:
        cells: ids of cells, in the order wanted; None for all finished ones, by id.
        split: ``test`` or ``validation``.
        damaged: takes one line for each unusable file; without it the first one raises.

    Raises:
        InputError: no such split, no sweep's folder, or a damaged file.
    """
    check_known(split, SPLITS, "split")
    place = _sweep_folder(folder)
    if cells is None:
        cells = (cell_id for _, cell_id in record_files(place / "ledger"))
    prompts = str(place / "prompts")
    for cell in cells:
        path = f"{prompts}/{cell[:2]}/{cell}.safetensors"
        try:
            arrays = _read(path, split)
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            sentence = (
                f"{path}: cannot be used ({error}); allowed: the file as sweep run wrote it (sweep"
                " run computes damaged cells again)"
            )
            if damaged is None:
                raise InputError(sentence) from None
            damaged(sentence)
            continue
        if arrays is not None:
            gold, log_probs = arrays
            yield Kept(cell, gold, log_probs.argmax(1), log_probs)


def predictions(
    folder: Path | str, cells: Iterable[str] | None = None, split: str | None = None
) -> pd.DataFrame:
    """Kept predictions as a tidy table, one row an example of a split of a cell.

    Args:
        cells: ids of cells; None for all finished ones.
        split: ``test`` or ``validation``; None for both.

    Returns:
        ``cell`` and ``split`` (categories), ``example`` (row of the split, from 0), ``gold`` and
        ``predicted`` (class numbers from 0, in the task's order), and ``log_prob_0`` to
        ``log_prob_(C-1)`` (natural logarithm, float32; empty where a task has fewer classes than
        another).

    Raises:
        InputError: as :func:`read_predictions`.
    """
    wanted = SPLITS if split is None else (split,)
    chosen = None if cells is None else list(cells)
    parts = [(name, kept) for name in wanted for kept in read_predictions(folder, chosen, name)]
    sizes = [len(kept.gold) for _, kept in parts]
    width = max((kept.log_probs.shape[1] for _, kept in parts), default=0)
    columns: dict[str, Any] = {
        "cell": _category([kept.cell for _, kept in parts], sizes),
        "split": _category([name for name, _ in parts], sizes),
        "example": _joined([np.arange(size) for size in sizes]),
        "gold": _joined([kept.gold for _, kept in parts]),
        "predicted": _joined([kept.predicted for _, kept in parts]),
    }
    values = np.full((sum(sizes), width), np.nan, dtype=np.float32)
    end = 0
    for (_, kept), size in zip(parts, sizes, strict=True):
        values[end : end + size, : kept.log_probs.shape[1]] = kept.log_probs
        end += size
    return pd.DataFrame(columns | {f"log_prob_{c}": values[:, c] for c in range(width)})


def recompute_scores(folder: Path | str) -> pd.DataFrame:
    """Scores worked out anew from the kept predictions, beside the recorded ones.

    Every record and file is checked against its digest.

    Returns:
        ``cell``, ``split``, ``recorded`` and ``recomputed`` (0 to 1), one row a cell and split that
        is kept. The two are equal to the last bit.

    Raises:
        InputError: no sweep's folder, or a damaged record or file.
    """
    place = _sweep_folder(folder)
    rows = []
    for path, cell_id in record_files(place / "ledger"):
        try:
            record = read_record(path, cell_id)
            kept = record.get("predictions")
            splits = _checked_splits(place, cell_id, kept) if kept else ()
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be used ({error})") from None
        for split in splits:
            for said in read_predictions(place, [cell_id], split):
                result, classes = record["result"], said.log_probs.shape[1]
                new = metrics.compute(result["metric"], said.gold, said.predicted, classes)
                rows.append((cell_id, split, result[_SCORES[split]], new))
    return pd.DataFrame(rows, columns=["cell", "split", "recorded", "recomputed"])


def _checked_splits(place: Path, cell: str, kept: Mapping[str, Any]) -> list[str]:
    """The splits that a record names, once its file is known to be what was written."""
    if kept["file"] != file_place(cell):
        raise ValueError(f"its file {kept['file']!r} is not in its place")
    content = read_bytes(str(place / kept["file"]), LARGEST_FILE)
    if hashlib.sha256(content).hexdigest() != kept["sha256"]:
        raise ValueError(f"its file {kept['file']} is damaged")
    return [split for split in SPLITS if split in kept["splits"]]


def _read(path: str, split: str) -> tuple[Array, Array] | None:
    """True classes int64 [n] and log-probabilities float32 [n, C]; None where there are none."""
    try:
        file = os.open(path, OPEN)
    except FileNotFoundError:
        return None
    try:
        check_regular(file, LARGEST_FILE)
        head = os.read(file, _AT_ONCE)
        start = 8 + int.from_bytes(head[:8], "little")
        if not 8 < start <= _LONGEST:
            raise ValueError("it has no header")
        if start > len(head):
            head += os.pread(file, start - len(head), len(head))
        header = parsed(head[8:start])
        if not isinstance(header, dict):
            raise ValueError("its header is no mapping")
        if split not in header:
            return None
        values, gold = (_tensor(file, head, start, header[name]) for name in (split, split + GOLD))
    finally:
        os.close(file)
    if values.ndim != 2 or gold.shape != values.shape[:1] or values.dtype != _DTYPES["F16"]:
        raise ValueError(f"its {split} has the shapes {values.shape} and {gold.shape}")
    if np.isnan(values).any() or gold.max(initial=0) >= values.shape[1]:
        raise ValueError(f"its {split} holds no log-probabilities with true classes")
    return gold.astype(np.int64), values.astype(np.float32)


def _tensor(file: int, head: bytes, start: int, entry: Mapping[str, Any]) -> Array:
    begin, end = entry["data_offsets"]
    content, offset = head, start + begin
    if start + end > len(head):
        content, offset = os.pread(file, end - begin, start + begin), 0
    shape = entry["shape"]
    dtype = _DTYPES[entry["dtype"]]
    count = (end - begin) // dtype.itemsize
    return np.frombuffer(content, dtype, count, offset).reshape(shape)


def _sweep_folder(folder: Path | str) -> Path:
    place = Path(folder)
    if not (place / "ledger").is_dir():
        raise InputError(f"{place}: found no ledger; allowed: a sweep's folder")
    return place


def _category(names: list[str], sizes: list[int]) -> "pd.Categorical[Any]":
    known = {name: code for code, name in enumerate(dict.fromkeys(names))}
    codes = np.repeat(np.array([known[name] for name in names], dtype=np.int32), sizes)
    return pd.Categorical.from_codes(codes, categories=pd.Index(list(known), dtype=object))


def _joined(parts: list[Array]) -> Array:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)
