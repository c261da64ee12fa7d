"""The records of a sweep's folder as one tidy table: one row a cell.

The folder's layout is the ledger's (``sweep.json``, ``ledger/<2 hex>/<cell>.json``,
``ledger/failed/<cell>.json``); this reader needs nothing but the files.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.data.columns import COLUMNS, ROWS, typed
from analysis.data.combinations import HARD, combinations, matched
from analysis.data.records import Failure, failures_in, row_of
from analysis.data.snapshot import FILE, kept, kept_bytes, signature
from analysis.data.ways import ways
from trainables.compute.process import no_collection
from trainables.core.frontier import gap_recovered, work
from trainables.errors import InputError
from trainables.files.atomic import replace_file
from trainables.packs.records import damage_note, read_record, record_files

_KINDS = ("reference", "source", "transfer", "crossed")
CARRIED = ("vocabulary", "s", "k", "state", "template", "counterparts")
"""Columns in which a carried hard prompt is what its source was tuned with."""
_SHOWN = 5


@dataclass(frozen=True)
class Sweep:
    """All that a sweep's folder says.

    Attributes:
        folder: the folder.
        frame: one row a finished cell, columns as in :data:`COLUMNS`.
        meta: the content of ``sweep.json``.
        spec_text: ``spec.yaml`` verbatim; empty where there is none.
        planned: cells planned; None where ``sweep.json`` does not say.
        planned_rows: cells planned by row; empty where ``sweep.json`` does not say.
        failures: cells that failed and have not been finished since.
        unreadable: record files that are no valid record, relative to the folder.
        costs: per pack, its measured seconds by part.
        versions: per package, the versions that computed the records.
        signature: of the ledger when it was read, see :mod:`analysis.data.snapshot`.
    """

    folder: Path
    frame: pd.DataFrame
    meta: Mapping[str, Any]
    spec_text: str
    planned: int | None
    planned_rows: Mapping[str, int]
    failures: tuple[Failure, ...]
    unreadable: tuple[str, ...]
    costs: Mapping[str, Mapping[str, float]]
    versions: Mapping[str, str]
    signature: str = ""


def read(folder: Path | str) -> Sweep:
    """Everything in a sweep's folder that the analysis needs.

    Raises:
        InputError: the folder is no sweep's folder, or no cell has finished.
    """
    folder = Path(folder)
    meta = _meta(folder)
    sign = signature(folder)
    frame, told = kept(folder, sign) or _from_ledger(folder, meta)
    spec = folder / "spec.yaml"
    return Sweep(
        folder=folder,
        frame=frame,
        meta=meta,
        spec_text=spec.read_text(encoding="utf-8", errors="replace") if spec.is_file() else "",
        planned=_count(meta.get("planned_cells")),
        planned_rows={row: int(count) for row, count in (meta.get("rows") or {}).items()},
        failures=failures_in(folder / "ledger" / "failed", set(frame["cell"])),
        unreadable=tuple(told["unreadable"]),
        costs=told["costs"],
        versions=told["versions"],
        signature=sign,
    )


def _from_ledger(folder: Path, meta: Mapping[str, Any]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table of all records, and what else they say."""
    rows: list[dict[str, Any]] = []
    unreadable: list[str] = []
    costs: dict[str, Mapping[str, float]] = {}
    versions: dict[str, set[str]] = {}
    with no_collection():
        for path, cell_id in record_files(folder / "ledger"):
            try:
                record = read_record(path, cell_id)
                rows.append(row_of(cell_id, record))
            except (OSError, ValueError):
                unreadable.append(Path(path).relative_to(folder).as_posix())
                continue
            costs[record["pack"]] = record["cost"]
            for name, version in record["versions"].items():
                versions.setdefault(name, set()).add(version)
        if not rows:
            raise InputError(
                f"Folder {folder} holds no finished cell yet; run the sweep into it first."
            )
        frame = _frame(rows, _planned_targets(meta))
    told = {name: ", ".join(sorted(several)) for name, several in sorted(versions.items())}
    return frame, {"unreadable": unreadable, "costs": costs, "versions": told}


def export(folder: Path | str | Sweep) -> tuple[Path, Path]:
    """Write ``results.csv`` and ``results.parquet`` into the sweep's folder, each atomically.

    Args:
        folder: a sweep's folder, or what :func:`read` makes of it.

    Returns:
        Paths of the two files.

    Raises:
        InputError: as :func:`read`.
    """
    sweep = folder if isinstance(folder, Sweep) else read(folder)
    csv, parquet = sweep.folder / "results.csv", sweep.folder / FILE
    told = {"unreadable": sweep.unreadable, "costs": sweep.costs, "versions": sweep.versions}
    replace_file(csv, sweep.frame.to_csv(index=False).encode())
    replace_file(parquet, kept_bytes(sweep.frame, told, sweep.signature))
    return csv, parquet


def weight_rank(label: str) -> float:
    """Order of weight labels: by number, annealing after all numbers."""
    try:
        return float(label)
    except ValueError:
        return float("inf")


def source_columns(frame: pd.DataFrame) -> list[str]:
    """Names of the columns ``source_1``, ``source_2``, … of a table."""
    return [name for name in frame.columns if is_source(name)]


def is_source(name: str) -> bool:
    """Whether a column names one source of a set."""
    return name.removeprefix("source_").isdigit()


def _meta(folder: Path) -> dict[str, Any]:
    path = folder / "sweep.json"
    if not path.is_file():
        raise InputError(
            f"Folder {folder} is no sweep's folder: it has no sweep.json; "
            "give the folder that was the --out of a sweep."
        )
    try:
        meta = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"File {path} is no valid JSON ({error}).") from None
    if not isinstance(meta, dict):
        raise InputError(f"File {path} holds no mapping; it should be as the sweep wrote it.")
    return _with_zero(meta)


def _with_zero(meta: dict[str, Any]) -> dict[str, Any]:
    """Folders of earlier versions have λ = 0 as ``none`` among their methods: it is read as 0."""
    spec = meta.get("spec")
    methods = spec.get("methods") if isinstance(spec, Mapping) else None
    for method in methods.values() if isinstance(methods, Mapping) else ():
        weights = method.get("lambda") if isinstance(method, Mapping) else None
        if isinstance(weights, list):
            method["lambda"] = [0.0 if weight == "none" else weight for weight in weights]
    return meta


def _planned_targets(meta: Mapping[str, Any]) -> tuple[str, ...]:
    spec = meta.get("spec")
    return tuple(spec.get("targets") or ()) if isinstance(spec, Mapping) else ()


def _frame(rows: Sequence[Mapping[str, Any]], targets: Sequence[str] = ()) -> pd.DataFrame:
    """The table of all records; ``targets`` are those planned, beside those already reached."""
    widest = max(sum(map(is_source, row)) for row in rows)
    columns = list(COLUMNS)
    further = [f"source_{number}" for number in range(3, widest + 1)]
    place = columns.index("source_2") + 1
    columns[place:place] = further
    described = zip(_with_sources(rows), combinations(rows), ways(rows), strict=True)
    lines = [
        row | {"combination": label, "settings": text, "way": way}
        for row, (label, text), way in described
    ]
    frame = typed(pd.DataFrame(lines, columns=columns))
    passes = (frame[f"target_{name}_rows"].astype("float64") for name in ("forward", "backward"))
    frame["target_work"] = [work(*rows) for rows in zip(*passes, strict=True)]
    frame["degenerate"] = frame["degenerate"].astype(bool)
    reached = {*targets, *frame.loc[frame["kind"] == "transfer", "target"]}
    frame["direct"] = ((frame["row"] == "independent") & frame["target"].isin(reached)).astype(bool)
    empty = matched(frame, frame[frame["row"] == "empty"], ["target", "task"])
    frame["gain_over_empty"] = frame["score"] - empty
    frame["gap_recovered"] = _gap_recovered(frame, empty)
    frame["gain_over_no_prompt"] = frame["score"] - _without_prompt(frame)
    return _ordered(frame)


def _with_sources(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows; carried prompts also with what their first source was tuned with.

    Their own settings are those of the transfer.
    """
    known = {row["cell"]: row for row in rows}
    for row in rows:
        source = known.get(next(iter(json.loads(row["inputs"])), None))
        if source is None or row["kind"] == "source":
            yield dict(row)
            continue
        hard = row["family"] == HARD and row["kind"] == "transfer"
        lacking = [name for name in CARRIED if row[name] is None] if hard else []
        yield {**row, **{name: source[name] for name in ("init", *lacking)}}


def _without_prompt(frame: pd.DataFrame) -> pd.Series:
    """Per hard row, the score of its input without the prompt; NaN for all others."""
    rows = frame.assign(row=[reference_row(value) for value in frame["template"]])
    scores = matched(rows, frame[frame["kind"] == "reference"], ["row", "target", "task"])
    return scores.where(frame["family"] == HARD)


def reference_row(template: Any) -> str:
    """The reference row that is a hard prompt's input without the prompt (paper B's Empty)."""
    return "empty" if pd.notna(template) and not template else "manual"


def _gap_recovered(frame: pd.DataFrame, empty: pd.Series) -> pd.Series:
    """Per transfer row, its share of the gap between Empty and the mean of Direct."""
    direct = matched(frame, frame[frame["direct"]], ["method", "target", "task"])
    columns = (frame["kind"], frame["score"], empty, direct)
    shares = [
        gap_recovered(score, below, level) if kind == "transfer" else None
        for kind, score, below, level in zip(*columns, strict=True)
    ]
    return pd.Series(shares, index=frame.index, dtype="float64")


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    ranks = pd.DataFrame(
        {
            "kind": frame["kind"].map({name: rank for rank, name in enumerate(_KINDS)}),
            "row": frame["row"].map({name: rank for rank, name in enumerate(ROWS)}),
            "target": frame["target"],
            "task": frame["task"],
            "size": frame[source_columns(frame)].notna().sum(axis=1),
            "sources": frame["sources"],
            "combination": frame["combination"],
            **{name: frame[name] for name in ("counterparts", "s", "k")},
            "weight": frame["weight_label"].map(weight_rank),
            "seed": frame["seed"].astype("float64"),
            "cell": frame["cell"],
        }
    )
    order = ranks.sort_values(list(ranks.columns), na_position="first", kind="stable").index
    return frame.loc[order].reset_index(drop=True)


def unreadable_note(files: Sequence[str], folder: Path | str) -> str:
    """How many records of a sweep could not be read, and the command that computes them.

    Args:
        files: :attr:`Sweep.unreadable`, not empty.
        folder: the sweep's, as the command names it.
    """
    shown = ", ".join(files[:_SHOWN]) + (", …" if len(files) > _SHOWN else "")
    were = "was" if len(files) == 1 else "were"
    return damage_note(len(files), folder, f" and {were} left out ({shown})")


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def finished_between(frame: pd.DataFrame) -> tuple[datetime, datetime] | None:
    """First and last moment at which a cell was finished; None where no record says."""
    moments = []
    for text in frame["finished"].dropna():
        try:
            moments.append(datetime.fromisoformat(text))
        except ValueError:
            continue
    return (min(moments), max(moments)) if moments else None
