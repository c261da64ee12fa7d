"""A method that computes nothing: its results are a fixed function of the cell.

With it the whole engine (plan, Ray Tune, ledger, MLflow, report) runs in milliseconds a pack, and
an undisturbed run and one that was killed and continued must agree to the last bit.
"""

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trainables.core.cells import Cell, ModelRef, Pack, PackOutcome, TaskRef, content_hash
from trainables.core.predictions import GOLD, SPLITS
from trainables.core.settings import family_of
from trainables.scoring.open_vocabulary import KEYS, OPEN

EXECUTOR = f"{__name__}:run_tabulated"
SECONDS = "PROMPTSWEEP_TABULATED_SECONDS"
"""Environment variable: how long a pack takes, in seconds (default 0)."""
FAULTS = "PROMPTSWEEP_TABULATED_FAULTS"
"""Environment variable: a folder; see :func:`run_tabulated`."""

_WIDTH = 8
_EXAMPLES = {"validation": 80, "test": 200}
_SCORED = {"validation": ("validation",), "test": ("score",)}
_READING = {
    "nearest": [["a", "b"]],
    "nearest_cosine": [[0.5, 0.25]],
    "nearest_words": [["a", "b"]],
    "nearest_words_cosine": [[0.5, 0.25]],
}


def find_model(
    name: str, aliases: Mapping[str, Mapping[str, Any]] | None = None, base: Path | None = None
) -> ModelRef:
    """Any name is a model."""
    return ModelRef(name, f"/tabulated/{name}", None, content_hash(name))


def find_task(name: str, base: Path | None = None) -> TaskRef:
    """Any name is a task."""
    return TaskRef(name, f"/tabulated/{name}.yaml", content_hash(["task", name]))


def tabulated_result(
    cell: Cell, calibration: Sequence[str] = ("batch",), evaluation: Sequence[str] = ()
) -> dict[str, Any]:
    """The result of a cell, with the keys of a real one; by default those of a default spec."""
    score = _fraction(cell.id, "score")
    result: dict[str, Any] = {
        "score": score,
        "metric": "accuracy",
        "validation_score": _fraction(cell.id, "validation"),
        "n_test": _EXAMPLES["test"],
        "n_validation": _EXAMPLES["validation"],
        "histogram": [100, 100],
        "degenerate": False,
        "loss": 1.0 - score,
    }
    for name in calibration:
        result[f"score_{name}"] = _fraction(cell.id, "score", name)
        result[f"validation_score_{name}"] = _fraction(cell.id, "validation", name)
    for name in KEYS if OPEN in evaluation else ():
        result[name] = _fraction(cell.id, name)
    if cell.kind != "reference" and family_of(cell.method) == "hard":
        return result | _hard_result(cell)
    if cell.kind == "source":
        result |= {
            "best_step": 3,
            "steps": 4,
            "alignment": None if cell.row == "independent" else 0.5,
            **_READING,
            "train_seconds": 0.001,
        }
    if cell.kind == "crossed" and cell.inputs:
        names = ("average_tokens", "per_token", "neurons", "neurons_1-1", "neurons_2-4")
        result["likeness"] = {name: _fraction(cell.id, name) for name in names}
    if cell.kind == "source" and cell.settings.get("spacing") == "geometric":
        result["curve"] = [
            {"step": step, "validation": _fraction(cell.id, str(step)), "loss": 0.5}
            for step in (0, 1, 2, 4)
        ]
    if cell.kind == "transfer":
        result |= {
            "similarity": 0.5,
            "similarity_per_token": [0.5],
            **_READING,
            "transfer_seconds": 0.001,
        }
    return result


def tabulated_predictions(cell: Cell, splits: Sequence[str] = SPLITS) -> dict[str, np.ndarray]:
    """Kept predictions whose accuracy is as near to the cell's scores as the examples allow."""
    found: dict[str, np.ndarray] = {}
    for split in splits:
        score, count = _fraction(cell.id, *_SCORED[split]), _EXAMPLES[split]
        generator = np.random.default_rng(int(cell.id[:8], 16))
        gold = np.arange(count, dtype=np.uint8) % 2
        right = generator.permutation(count) < round(score * count)
        sure = generator.uniform(0.55, 0.95, count)
        first = np.where(right == (gold == 0), sure, 1 - sure)
        found[split] = np.log(np.stack([first, 1 - first], 1)).astype(np.float16)
        found[split + GOLD] = gold
    return found


def _hard_result(cell: Cell) -> dict[str, Any]:
    source = cell.kind == "source"
    found: dict[str, Any] = {
        "text": _text(cell.id if source else cell.inputs[0]),
        "ids": [1, 2, 3],
        "n_tokens": 3,
        "roundtrip_exact": True,
        "log_perplexity": 10 * _fraction(cell.id, "perplexity"),
        "dictionary_share": _fraction(cell.id, "dictionary"),
    }
    if source:
        return found | {
            "tuned_ids": [1, 2, 3],
            "score_as_ids": _fraction(cell.id, "score"),
            "best_step": 3,
            "steps": 4,
            "train_seconds": 0.001,
        }
    return found | {"transfer_seconds": 0.001}


def _text(cell_id: str) -> str:
    return f"words of {cell_id[:6]}"


def tabulated_prompt(cell: Cell) -> np.ndarray | None:
    """The prompt of a cell: [m, 8], or a text's bytes; None for references and carried texts."""
    if cell.kind in ("reference", "crossed"):
        return None
    if family_of(cell.method) == "hard":
        if cell.kind == "transfer":
            return None
        return np.frombuffer(_text(cell.id).encode(), dtype=np.uint8)
    seed, length = int(cell.id[:8], 16), cell.settings.get("prompt_length", 5)
    return np.random.default_rng(seed).standard_normal((length, _WIDTH)).astype(np.float32)


def tabulated_arrays(cell: Cell) -> tuple[np.ndarray | None, dict[str, np.ndarray]]:
    return tabulated_prompt(cell), tabulated_predictions(cell)


def run_tabulated(
    pack: Pack,
    prompts: Mapping[str, np.ndarray],
    device: str = "cpu",
    progress: Callable[[str, int, int], None] | None = None,
    **more: Any,
) -> PackOutcome:
    """Stands in for :func:`trainables.packs.pack.run_pack`; nothing here asks for memory or stops.

    In the folder that the variable :data:`FAULTS` names, a file ``error-TASK`` makes the packs that
    train on that task (its slashes written as dashes) raise, ``die-TASK`` ends their process the
    first time, and every pack run appends its id to ``packs.log``.

    Raises:
        RuntimeError: asked for, or an input is missing or not the prompt that was tuned.
    """
    del more
    began = time.perf_counter()
    _cause_faults(pack)
    time.sleep(float(os.environ.get(SECONDS, "0")))
    if progress:
        progress("train", 1, 2)
    outcome = tabulated_outcome(pack, prompts)
    outcome.cost["seconds"] = time.perf_counter() - began
    return outcome


def tabulated_outcome(pack: Pack, prompts: Mapping[str, np.ndarray]) -> PackOutcome:
    """What :func:`run_tabulated` gives back, its costs aside; nothing but the arguments decides.

    Raises:
        RuntimeError: an input is missing.
    """
    outcome = PackOutcome(results={}, prompts={}, failures={}, cost={})
    here = {cell.id for cell in pack.cells}
    if set(prompts) != set(pack.needs):
        raise RuntimeError("the prompts handed in are not those the pack needs")
    for cell in pack.cells:
        missing = [name for name in cell.inputs if name not in prompts and name not in here]
        if missing:
            raise RuntimeError(f"cell {cell.id} misses its input {missing[0]}")
        outcome.results[cell.id] = tabulated_result(cell, pack.calibration, pack.evaluation)
        prompt = tabulated_prompt(cell)
        if prompt is not None:
            outcome.prompts[cell.id] = prompt
        if pack.predictions:
            outcome.predictions[cell.id] = tabulated_predictions(cell, pack.predictions)
    return outcome


def _cause_faults(pack: Pack) -> None:
    place = os.environ.get(FAULTS)
    if not place:
        return
    folder, task = Path(place), pack.task.name.replace("/", "-")
    with (folder / "packs.log").open("a", encoding="utf-8") as log:
        log.write(f"{pack.id}\n")
    if pack.kind == "tune" and (folder / f"error-{task}").exists():
        raise RuntimeError(f"no luck with {pack.task.name}")
    if (folder / f"die-{task}").exists():
        (folder / f"die-{task}").unlink()
        os._exit(1)


def _fraction(*parts: str) -> float:
    digest = hashlib.sha256("/".join(parts).encode()).digest()
    return int.from_bytes(digest[:4]) / 2**32
