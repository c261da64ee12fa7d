"""The Ray Tune Trainable: fetch a pack, run it, hand in its outcome. The only module here with Ray.

One step is one pack. With actor reuse the process stays, and with it the backbones that
:mod:`trainables.backbones` keeps resident; everything else is freed between packs.
"""

import gc
import importlib
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any

import ray
from ray import tune

from trainables.compute.process import keep_freed_memory, lasting
from trainables.core.cells import Pack, PackOutcome
from trainables.errors import InputError
from trainables.packs.shipping import Item, Places

Executor = Callable[..., PackOutcome]
AGAIN = (
    "a worker process was killed or died; its pack was done again with half the memory and replicas"
)
_PROGRESS_EVERY = 1.0  # seconds between two messages on progress


class PackTrainable(tune.Trainable):
    """Runs the packs that Tune's config names, one a trial.

    Config keys: ``pack`` (id), ``broker`` and ``namespace`` (of the actor that holds packs and
    takes outcomes), ``executor`` (import string ``module:function``, called like
    :func:`trainables.packs.pack.run_pack`), ``device`` and ``threads``; where given, ``room``
    (:class:`trainables.compute.memory.Room` as a mapping, ``share`` None for as many packs at once
    as this node has room for, of ``cpu`` cores each) and ``rungs`` (True: after each evaluation the
    broker is told the scores and asked which cells are to stop; each costs two messages). On a
    cluster also ``shipper``, the actor that hands out what a node lacks, and ``look``, whether
    nodes may have it themselves.
    """

    def setup(self, config: dict[str, Any]) -> None:
        keep_freed_memory()
        self._task = config
        self._places: Places | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another pack; always possible."""
        self._task = new_config
        return True

    def step(self) -> dict[str, Any]:
        """Run the pack. A failure of the pack is an outcome too, never an error of the trial."""
        task = self._task
        broker = ray.get_actor(task["broker"], namespace=task["namespace"])
        here = ray.get_runtime_context().get_node_id()
        payload = ray.get(broker.payload.remote(task["pack"], here))
        last = 0.0

        def progress(phase: str, done: int, total: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= _PROGRESS_EVERY:
                last = now
                broker.set_progress.remote(task["pack"], phase, done, total)

        if self._places is None and task.get("shipper"):
            self._places = _places(task)

        def rungs(step: int, scores: Mapping[str, float]) -> Collection[str]:
            broker.report.remote(task["pack"], step, dict(scores))
            asked: Collection[str] = ray.get(broker.stopping.remote(task["pack"]))
            return asked

        more: dict[str, Any] = {"rungs": rungs} if task.get("rungs") else {}
        if "room" in task:
            room = {**task["room"], "share": task["room"]["share"] or _share(task)}
            more["room"] = smaller(room, payload["attempt"])
        outcome = run_once(
            payload,
            task["executor"],
            task["device"],
            task["threads"],
            progress,
            places=self._places,
            **more,
        )
        if payload["attempt"] > 1 and "remarks" in outcome:
            outcome["remarks"] = [*outcome["remarks"], AGAIN]
        try:
            ray.get(broker.deliver.remote(task["pack"], outcome))
        except ray.exceptions.RayError:
            raise
        except Exception as error:
            # Something in it cannot travel; the driver must not take that for a dead worker.
            ray.get(broker.deliver.remote(task["pack"], _failure(error)))
        _free()
        return {"done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save: a pack that is interrupted starts anew."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load."""


def smaller(room: Mapping[str, Any], attempt: int) -> dict[str, Any]:
    """What a pack may take of the memory at an attempt, from 1: half of it after each death.

    A killed process cannot say what it died of; too little memory is the usual reason.
    """
    parts = 2 ** (attempt - 1)
    replicas = room.get("replicas")
    return {
        **room,
        "share": room["share"] / parts,
        "replicas": replicas and max(1, replicas // parts),
    }


def run_once(
    payload: Mapping[str, Any],
    executor: str,
    device: str,
    threads: int,
    progress: Callable[[str, int, int], None] | None = None,
    places: Callable[[Pack], Pack] | None = None,
    room: Mapping[str, Any] | None = None,
    rungs: Callable[[int, Mapping[str, float]], Collection[str]] | None = None,
) -> dict[str, Any]:
    """Run one pack and turn whatever happens into an outcome.

    Args:
        payload: ``{"pack": JSON of the pack, "prompts": {cell id: float32 [m, d]}}``.
        executor: import string ``module:function``.
        progress: called with (phase, done, total).
        places: gives the pack with the places that its files have on this node.
        room: what the pack may take of the memory, handed on if given.
        rungs: who is to stop, handed on if given.

    Returns:
        The fields of :class:`trainables.core.cells.PackOutcome` by name, or ``{"error": one
        sentence, "traceback": text, "ends": whether no other pack can do better}``.
    """
    try:
        run = _import(executor)
        _limit_threads(threads)
        # Arrays out of the object store are read-only, which torch.from_numpy refuses.
        prompts = {name: array.copy() for name, array in payload["prompts"].items()}
        more: dict[str, Any] = {"rungs": rungs} if rungs else {}
        if room is not None:
            more["room"] = room
        pack = Pack.from_json(payload["pack"])
        pack = places(pack) if places else pack
        outcome = run(pack, prompts, device=device, progress=progress, **more)
        return {item.name: getattr(outcome, item.name) for item in fields(PackOutcome)}
    except Exception as error:
        return _failure(error)


def _failure(error: Exception) -> dict[str, Any]:
    """What :func:`run_once` returns for an error that is being handled."""
    text = str(error).strip()
    kind = type(error).__name__
    return {
        "error": text if isinstance(error, InputError) else f"{kind}: {text}" if text else kind,
        "traceback": traceback.format_exc(),
        "ends": isinstance(error, InputError) and error.ends,
    }


def _places(task: Mapping[str, Any]) -> Places:
    """Where files are on this node; what it lacks comes from the shipper beside the driver."""
    shipper = ray.get_actor(task["shipper"], namespace=task["namespace"])

    def fetch(item: Item) -> Iterator[tuple[str, Iterator[bytes]]] | None:
        found = ray.get(shipper.hand_out.remote(asdict(item)))
        if found is None:
            return None
        if "error" in found:
            raise InputError(found["error"])
        return ((name, map(ray.get, parts)) for name, parts in found["files"].items())

    return Places(fetch, look=task["look"])


def _share(task: Mapping[str, Any]) -> float:
    """Part of this node's main memory that is one pack's: packs at once are as many as cores."""
    here = ray.get_runtime_context().get_node_id()
    node = next((item for item in ray.nodes() if item["NodeID"] == here), None)
    cores = float(node["Resources"].get("CPU", 1.0)) if node else 1.0
    at_once = max(1.0, cores // max(float(task.get("cpu", 1.0)), 0.01))
    if task.get("most"):
        at_once = min(at_once, float(task["most"]))
    return 1.0 / at_once


def _import(executor: str) -> Executor:
    module, _, name = executor.partition(":")
    if module not in sys.modules:
        with lasting():
            importlib.import_module(module)
    found: Executor = getattr(sys.modules[module], name)
    return found


def _limit_threads(threads: int) -> None:
    # Only where the executor brought torch along: importing it takes seconds.
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def _free() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
