"""Gram matrices of large models, kept between processes and sweeps by what they are made of.

With 12,000 common words and three models of width 768 they take some 5 s of one core to compute and
0.6 s to read; with the width of small models it is the other way round, and nothing is kept.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load, save

from trainables.core.cells import content_hash
from trainables.core.contents import is_pinned
from trainables.files.cache import keep, recall
from trainables.words.relative import Grams
from trainables.words.vocabulary import CommonVocabulary

FORMAT = 1
"""Version of the stored form and of how the matrices are computed."""
WORTH = 5 * 10**9
"""Multiplications (words times the square of all widths together) from which keeping pays."""
MOST_BYTES = 2 << 30
"""Bytes of all files together; those not read for the longest time go first."""


def kept_grams(
    compute: Callable[[], Grams],
    digests: Sequence[str],
    widths: Sequence[int],
    shared: CommonVocabulary,
    device: str,
    folder: Path | None,
) -> Grams:
    """Gram matrices from the folder, or computed and put there.

    Args:
        compute: gives them, float64 [d_a, d_b] for all ordered pairs (a, b) of places.
        digests: of the models, in order.
        shared: the words they are made of, with the ids of each model.
        device: where they shall be; devices round differently, and each has its own.
        folder: None: nothing is kept.
    """
    moving = not all(map(is_pinned, digests))
    if folder is None or moving or len(shared) * sum(widths) ** 2 < WORTH:
        return compute()
    content = {
        "format": FORMAT,
        "models": list(digests),
        "ids": hashlib.sha256(json.dumps(shared.ids).encode()).hexdigest(),
        "device": device.partition(":")[0],
    }
    path = folder / f"{content_hash(content)}.safetensors"
    found = _read(recall(path), widths, device)
    if found is None:
        found = compute()
        keep(path, _written(found))
        _prune(folder)
    return found


def _written(grams: Grams) -> bytes:
    content: bytes = save({f"{a} {b}": table.cpu().contiguous() for (a, b), table in grams.items()})
    return content


def _read(content: bytes | None, widths: Sequence[int], device: str) -> Grams | None:
    """What :func:`_written` gave, or None where it is not of these widths."""
    if content is None:
        return None
    tables = load(content)
    places = range(len(widths))
    found = {(a, b): tables.get(f"{a} {b}") for a in places for b in places}
    whole = {
        (a, b): table.to(device)
        for (a, b), table in found.items()
        if table is not None and table.shape == (widths[a], widths[b])
    }
    fits = len(whole) == len(found) and all(t.dtype == torch.float64 for t in whole.values())
    return whole if fits else None


def _prune(folder: Path) -> None:
    known = []
    for path in folder.glob("*.safetensors"):
        with contextlib.suppress(FileNotFoundError):
            known.append((path.stat().st_mtime, path.stat().st_size, path))
    total = sum(size for _, size, _ in known)
    for _, size, path in sorted(known):
        if total <= MOST_BYTES:
            return
        path.unlink(missing_ok=True)
        total -= size
