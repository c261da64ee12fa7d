"""The Ray Tune Trainable: fetch a pack, run it, hand in its outcome. The only module here with Ray.

One step is one pack. With actor reuse the process stays, and with it the backbones that
:mod:`trainables.backbones` keeps resident; everything else is freed between packs.
"""

import gc
import importlib
import pickle
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import ray
from ray import tune

from trainables.cells import Pack, PackOutcome
from trainables.heap import keep_freed_memory

Executor = Callable[..., PackOutcome]
_TELL_EVERY = 1.0  # seconds between two messages on progress


class PackTrainable(tune.Trainable):
    """Runs the packs that Tune's config names, one a trial.

    Config keys: ``pack`` (id), ``broker`` and ``namespace`` (of the actor that holds packs and
    takes outcomes), ``executor`` (import string ``module:function``, called like
    :func:`trainables.packs.run_pack`), ``device`` and ``threads``.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Prepare the process for the first pack."""
        keep_freed_memory()
        self._task = config

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another pack; always possible."""
        self._task = new_config
        return True

    def step(self) -> dict[str, Any]:
        """Run the pack. A failure of the pack is an outcome too, never an error of the trial."""
        task = self._task
        broker = ray.get_actor(task["broker"], namespace=task["namespace"])
        inputs = ray.get(broker.inputs.remote(task["pack"]))
        last = 0.0

        def tell(phase: str, done: int, total: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= _TELL_EVERY:
                last = now
                broker.tell.remote(task["pack"], phase, done, total)

        outcome = run_once(inputs, task["executor"], task["device"], task["threads"], tell)
        try:
            ray.get(broker.deliver.remote(task["pack"], outcome))
        except (TypeError, AttributeError, RecursionError, pickle.PicklingError) as error:
            # Something in it cannot travel; the driver must not take that for a dead worker.
            ray.get(broker.deliver.remote(task["pack"], _failure(error)))
        _free()
        return {"done": True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing to save: a pack that is interrupted starts anew."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to load."""


def run_once(
    inputs: Mapping[str, Any],
    executor: str,
    device: str,
    threads: int,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Run one pack and turn whatever happens into an outcome.

    Args:
        inputs: ``{"pack": JSON of the pack, "prompts": {cell id: float32 [m, d]}}``.
        executor: import string ``module:function``.
        device: torch device.
        threads: CPU threads for torch.
        progress: called with (phase, done, total).

    Returns:
        ``{"results", "prompts", "failures", "cost"}`` as :class:`trainables.cells.PackOutcome`, or
        ``{"error": one sentence, "traceback": text}``.
    """
    try:
        run = _import(executor)
        _limit_threads(threads)
        # Arrays out of the object store are read-only, which torch.from_numpy refuses.
        prompts = {name: array.copy() for name, array in inputs["prompts"].items()}
        outcome = run(Pack.from_json(inputs["pack"]), prompts, device=device, progress=progress)
        return {
            "results": outcome.results,
            "prompts": outcome.prompts,
            "failures": outcome.failures,
            "cost": outcome.cost,
        }
    except Exception as error:
        return _failure(error)


def _failure(error: Exception) -> dict[str, Any]:
    """What :func:`run_once` returns for an error that is being handled."""
    text = str(error).strip()
    kind = type(error).__name__
    return {
        "error": text if kind == "InputError" else f"{kind}: {text}" if text else kind,
        "traceback": traceback.format_exc(),
    }


def _import(executor: str) -> Executor:
    module, _, name = executor.partition(":")
    found: Executor = getattr(importlib.import_module(module), name)
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
