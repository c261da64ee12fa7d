"""Facts that cost a model's forward pass or a comparison of vocabularies, kept by content hash."""

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trainables.core.cells import content_hash

FORMAT = 1
"""Version of the facts: raised whenever one of them is worked out differently."""

Facts = dict[str, Any]


def kept(folder: Path | None, key: Mapping[str, Any], compute: Callable[[], Facts]) -> Facts:
    """The facts under ``key``, computed where they are not kept yet.

    Args:
        folder: where they are kept between processes; None: nowhere. A file there that is not
            what was written counts as missing; one that cannot be written is left out.
        key: JSON-able, all that the facts depend on.
        compute: gives them, JSON-able.
    """
    key = {"format": FORMAT, **key}
    path = None if folder is None else folder / f"{content_hash(key)}.json"
    if path is not None:
        found = _read(path, key)
        if found is not None:
            return found
    facts = compute()
    if path is not None:
        # A cache that cannot be written costs time, not results.
        with contextlib.suppress(OSError):
            _write(path, {"key": key, "facts": facts})
    return facts


def _read(path: Path, key: Mapping[str, Any]) -> Facts | None:
    try:
        record = json.loads(path.read_bytes())
        facts: Facts = record["facts"]
        return facts if record["key"] == key and isinstance(facts, dict) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, record: Facts) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(json.dumps(record, sort_keys=True), encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
