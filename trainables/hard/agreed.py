"""Neighbour agreement of loaded models, worked out once: kept in the process and in a folder.

A result depends on the models' words and embeddings and on how they are compared, on no task, no
run's seed and no number of words kept. It is found again by a hash of exactly that content.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from weakref import WeakKeyDictionary

import torch

from trainables.backbones import Backbone
from trainables.core.cells import content_hash
from trainables.files.cache import keep, recall
from trainables.words.agreement import (
    Agreement,
    Comparison,
    Hubness,
    effective_k,
    neighbour_agreement,
)
from trainables.words.vocabulary import CANONICALISER, CommonVocabulary, common_vocabulary

FORMAT = 1
"""Version of the stored form and of the scores in it."""

RESIDENT = 64
_resident: OrderedDict[str, Agreement] = OrderedDict()
_fingerprints: WeakKeyDictionary[Backbone, str] = WeakKeyDictionary()


def fingerprint(model: Backbone) -> str:
    """SHA-256 of a model's words and word embeddings; worked out once for each loaded model."""
    if model not in _fingerprints:
        digest = hashlib.sha256(json.dumps(sorted(model.words.items())).encode())
        table = model.embeddings.detach().cpu().contiguous()
        digest.update(f"{table.dtype} {list(table.shape)}".encode())
        digest.update(table.view(torch.uint8).numpy().data.cast("B"))
        _fingerprints[model] = digest.hexdigest()
    return _fingerprints[model]


def model_agreement(
    models: Sequence[Backbone],
    ks: Collection[int],
    comparison: Comparison,
    folder: Path | None = None,
    shared: CommonVocabulary | None = None,
) -> dict[int, Agreement]:
    """Neighbour agreement of models over their common vocabulary, per K.

    What is neither in this process nor in ``folder`` is computed, all of it in one pass.

    Args:
        models: two or more different ones.
        folder: where results are kept between processes; None: nowhere. A file there that is not
            what was written is computed again; one that cannot be written is left out.
        shared: the models' common vocabulary, where it is known already.

    Raises:
        InputError: a K that is not below the number of words.
    """
    shared = shared or common_vocabulary(models)
    for k in ks:
        effective_k(k, len(shared), comparison)
    # One result for all orders of the models; what is told per model is put in theirs.
    order = sorted(range(len(models)), key=lambda place: fingerprint(models[place]))
    content = {
        "format": FORMAT,
        "canonicaliser": CANONICALISER,
        "models": [fingerprint(models[place]) for place in order],
        **asdict(comparison),
    }
    keys = {k: content_hash({**content, "k": k}) for k in sorted(set(ks))}
    for k, key in keys.items():
        if key not in _resident:
            kept = _read(recall(_file(folder, key)), k, len(shared), len(models))
            if kept is not None:
                _keep(key, kept)
    # Taken before more is kept: the least recently used are forgotten then.
    found = {k: _recall(key) for k, key in keys.items() if key in _resident}
    missing = [k for k in keys if k not in found]
    if missing:
        tables = [
            models[place].embeddings[torch.tensor(shared.ids[place], device=models[place].device)]
            for place in order
        ]
        found |= neighbour_agreement(tables, missing, comparison)
        for k in missing:
            _keep(keys[k], found[k])
            keep(_file(folder, keys[k]), _written(found[k]))
    return {k: _in_order(found[k], order) for k in keys}


def _in_order(agreement: Agreement, order: Sequence[int]) -> Agreement:
    """With what is told per model at the place that ``order`` says instead of its own."""
    places = [order.index(place) for place in range(len(order))]
    return replace(agreement, hubness=tuple(agreement.hubness[place] for place in places))


def _file(folder: Path | None, key: str) -> Path | None:
    return None if folder is None else folder / f"{key}.agreement"


def _recall(key: str) -> Agreement:
    _resident.move_to_end(key)
    return _resident[key]


def _keep(key: str, agreement: Agreement) -> None:
    _resident[key] = agreement
    while len(_resident) > RESIDENT:
        _resident.popitem(last=False)


def _written(agreement: Agreement) -> bytes:
    """A line of JSON, and the scores as float64."""
    record = {
        "k": agreement.k,
        "neighbours": agreement.neighbours,
        "among": agreement.among,
        "hubness": [asdict(one) for one in agreement.hubness],
    }
    line = json.dumps(record, sort_keys=True).encode()
    return line + b"\n" + agreement.scores.contiguous().numpy().tobytes()


def _read(content: bytes | None, k: int, words: int, models: int) -> Agreement | None:
    """What :func:`_written` gave, or None where it is of something else."""
    if content is None:
        return None
    line, _, numbers = content.partition(b"\n")
    record = json.loads(line)
    hubness = tuple(Hubness(**one) for one in record["hubness"])
    if (record["k"], len(numbers), len(hubness)) != (k, 8 * words, models):
        return None
    scores = torch.frombuffer(bytearray(numbers), dtype=torch.float64)
    return Agreement(k, record["neighbours"], record["among"], scores, hubness)
