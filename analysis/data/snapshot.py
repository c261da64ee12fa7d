"""The table of a ledger kept as Parquet, so that a second look need not read every record.

It stands for the ledger as long as no record has been added, taken away or written anew: as long as
every record file has the size and the time it had. What damages a file without a trace in either is
found by the sweep itself, which checks digests whenever it runs.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.data.columns import COLUMNS

FILE = "results.parquet"
_KEY = b"promptsweep"
_VERSION = 3
"""To be raised with every change of what a column means."""


def signature(folder: Path) -> str:
    """Digest of what a sweep's folder holds, by names, sizes and times of its files.

    And of what a table would have: one of an earlier program may lack columns.
    """
    digest = hashlib.sha256(f"{_VERSION} {pd.__version__} {' '.join(COLUMNS)}".encode())
    for line in _files(folder):
        digest.update(line.encode())
    return digest.hexdigest()


def kept_bytes(frame: pd.DataFrame, told: Mapping[str, Any], sign: str) -> bytes:
    """A table as a Parquet file, with all that is needed to take it for its ledger.

    Args:
        told: what else the ledger says, as JSON can hold it.
        sign: :func:`signature` from before the ledger was read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    own = json.dumps({"signature": sign, "told": told}).encode()
    file = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: own}), file
    )
    return file.getvalue()


def kept(folder: Path, sign: str) -> tuple[pd.DataFrame, dict[str, Any]] | None:
    """The table of a folder and what else its ledger says; None where it must be read.

    Args:
        sign: its :func:`signature` now.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / FILE
    try:
        own = json.loads((pq.read_schema(path).metadata or {}).get(_KEY, b"{}"))
        if own.get("signature") != sign:
            return None
        return pq.read_table(path).to_pandas(), own["told"]
    except (OSError, ValueError, KeyError, pa.ArrowException):
        return None


def _files(folder: Path) -> Iterator[str]:
    meta = folder / "sweep.json"
    yield meta.read_text(encoding="utf-8", errors="replace") if meta.is_file() else ""
    ledger = folder / "ledger"
    if not ledger.is_dir():
        return
    for shard in sorted(entry.name for entry in os.scandir(ledger) if entry.is_dir()):
        if len(shard) == 2:
            for entry in sorted(os.scandir(ledger / shard), key=lambda item: item.name):
                seen = entry.stat()
                yield f"{shard}/{entry.name} {seen.st_size} {seen.st_mtime_ns}\n"
