"""Rates for a machine whose sweeps have left none: measured on another one, scaled to this one.

``reference.json`` is made by ``python -m benchmarks.reference_rates``. It has the rates of the
embedded models on one core, and those of a small and of a larger model of one family: any other
model lies on the line through them by the number of weights in its layers.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sweep.planning.work import backwards
from sweep.timing.throughput import Device, ModelRate
from trainables.core.cells import Cell, ModelRef, Pack

FILE = Path(__file__).with_name("reference.json")
DEVICE = "cpu"
"""What the rates are of; of a card there are none."""

_SIDE = 64
"""Of the matrices that are multiplied: so small that one core does it, whatever is set."""
_SECONDS = 0.1
_BATCH = 50
_SOFT = "soft"
_HIDDEN = ("hidden_size", "n_embd", "d_model", "dim")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_INNER = ("intermediate_size", "n_inner", "ffn_dim", "hidden_dim")
"""How configs call a model's width, its number of layers and the width within a layer."""


@dataclass(frozen=True)
class Reference:
    """Reference rates as they are on this machine.

    Attributes:
        device: rates; where something was known of this machine, that.
        models: aliases of the models whose rates are not this machine's own.
        machine: what the rates were measured on.
        gflops: what one core of that does, float32.
        here: what one core of this machine does.
    """

    device: Device
    models: tuple[str, ...]
    machine: str
    gflops: float
    here: float

    def facts(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "models": list(self.models),
            "machine": self.machine,
            "gflops": self.gflops,
            "gflops_here": round(self.here, 1),
        }


def with_reference(
    known: Device, packs: Iterable[Pack], content: dict[str, Any] | None = None
) -> Reference:
    """What is known of this machine, and of what it lacks for some packs the reference rates.

    Args:
        content: of ``reference.json``, if it is not to be read.
    """
    content = content or json.loads(FILE.read_text(encoding="utf-8"))
    here = core_gflops()
    slower = content["gflops"] / here
    models = dict(known.models)
    lacking: dict[str, None] = {}
    asked: dict[tuple[str, str], tuple[ModelRef, set[str]]] = {}
    for pack in packs:
        for cell in pack.cells:
            _ask(asked, pack, cell)
    for (alias, digest), (model, methods) in asked.items():
        own = models.get(digest, ModelRate(alias))
        lacks = methods - own.trained_text.keys()
        if not lacks and own.evaluated_text is not None:
            continue
        found = _rate(content, model, lacks)
        if found is None:
            continue
        lacking[alias] = None
        read = found.evaluated_text or 0.0
        trained = {name: slower * found.trained_text[name] for name in lacks}
        carried = {name: slower * each for name, each in found.carried.items()}
        models[digest] = ModelRate(
            alias,
            {**trained, **own.trained_text},
            slower * read if own.evaluated_text is None else own.evaluated_text,
            {**carried, **own.carried},
        )
    beside = known.pack_seconds if known.packs else slower * content["pack_seconds"]
    device = Device(known.packs, beside, models, known.tasks)
    return Reference(device, tuple(lacking), content["machine"], content["gflops"], here)


def _ask(asked: dict[Any, tuple[ModelRef, set[str]]], pack: Pack, cell: Cell) -> None:
    place = (cell.target, cell.digests[cell.target])
    _, methods = asked.setdefault(place, (pack.models[cell.target], set()))
    if cell.kind == "source":
        methods.add(cell.method)


def _rate(content: dict[str, Any], model: ModelRef, methods: set[str]) -> ModelRate | None:
    """Rates of a model on the reference machine; None where its size cannot be told."""
    known = content["models"].get(model.digest)
    found = _by_size(content, model) if known is None else ModelRate(**known)
    if found is None:
        return None
    # How much dearer than soft prompts a method is, is told from a model that had them all; what
    # only scores prompts reads texts as whatever scores one does.
    every = max((item["trained_text"] for item in content["models"].values()), key=len)
    for name in methods - found.trained_text.keys():
        if not backwards(name) and found.evaluated_text is not None:
            found.trained_text[name] = found.evaluated_text
            continue
        dearer = every.get(name, every[_SOFT]) / every[_SOFT]
        found.trained_text[name] = dearer * found.trained_text[_SOFT]
    return found


def _by_size(content: dict[str, Any], model: ModelRef) -> ModelRate | None:
    folder = _folder(model)
    weights = None if folder is None else layer_weights(folder)
    if weights is None:
        return None
    small, large = content["by_size"]
    share = (weights - small["weights"]) / (large["weights"] - small["weights"])

    def between(low: float, high: float) -> float:
        return float(max(low + share * (high - low), low / 2))

    trained = between(small["trained_text"][_SOFT], large["trained_text"][_SOFT])
    read = between(small["evaluated_text"], large["evaluated_text"])
    return ModelRate(model.alias, {_SOFT: trained}, read)


def _folder(model: ModelRef) -> Path | None:
    """Where a model's config lies on this machine; None where it does not."""
    place = Path(model.location)
    if place.is_absolute():
        return place
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model.location, "config.json", revision=model.revision)
    return Path(found).parent if isinstance(found, str) else None


def layer_weights(folder: Path) -> int | None:
    """Weights in the layers of a model, by its config; None where that does not say it."""
    try:
        config = json.loads((folder / "config.json").read_bytes())
        width, layers, inner = (
            next((config[name] for name in names if isinstance(config.get(name), int)), None)
            for names in (_HIDDEN, _LAYERS, _INNER)
        )
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    if not width or not layers:
        return None
    return int(layers * (4 * width**2 + 2 * width * (inner or 4 * width)))


@cache
def core_gflops() -> float:
    """Billions of operations a second that one core does in a product of small matrices, float32.

    The best of many tries in a tenth of a second: what else runs on the machine slows down some.
    """
    import numpy as np

    left = np.ones((_SIDE, _SIDE), np.float32)
    right = left.copy()
    began = now = time.perf_counter()
    best = float("inf")
    while now - began < _SECONDS:
        for _ in range(_BATCH):
            left @ right
        before, now = now, time.perf_counter()
        best = min(best, now - before)
    return 2 * _SIDE**3 * _BATCH / max(best, 1e-9) / 1e9
