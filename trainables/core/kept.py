"""Facts that cost a model's forward pass or a comparison of vocabularies, kept by content hash."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trainables.core.cells import content_hash
from trainables.files.cache import keep, recall

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
    path = None if folder is None else folder / f"{content_hash(key)}.facts"
    found = recall(path)
    if found is not None:
        facts: Facts = json.loads(found)
        return facts
    facts = compute()
    keep(path, json.dumps(facts, sort_keys=True).encode())
    return facts
