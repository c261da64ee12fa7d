"""A made-up sweep's folder in the ledger's layout, with an effect that is known.

The score of every cell is a plain formula of what it is (:func:`score_of`) plus a small noise drawn
from its name, so that a test can recompute any number of the report by slow loops.
"""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.core.cells import Cell

EMPTY = 0.40
MANUAL = 0.45
CONSTANT = 0.35
SINGLE = 0.55
BASELINE = 0.60
TUNED = 0.80
DIRECT = 0.90
EFFECT = {0.1: 0.01, 0.3: 0.05, 0.5: 0.03, 0.7: 0.0, 0.9: -0.04, None: 0.02}
"""What joint tuning adds to the transferred score by weight (None: annealing)."""
TASK_SHIFT = 0.05
NOISE = 0.01
N_TEST = 200
N_VALIDATION = 80


HARD_LEVELS = {
    "random": 0.42,
    "drawn": 0.45,
    "all": 0.50,
    "pruned": 0.48,
    "common": 0.52,
    "agreement": 0.56,
}
"""Planted transferred score by kind of hard prompt; on its source it is ON_SOURCE more."""
ON_SOURCE = 0.12
AS_IDS = 0.01
HARD_EFFECT = {(16, 2): 0.0, (16, 4): 0.02, (64, 2): 0.01, (64, 4): -0.08}
"""What s and K add to neighbour agreement."""
PROJECTED = -0.03
HELPED = ("rlprompt", "proposals")
"""Methods with a control beside them, planned for all words alone."""
SCORED = 100
"""Different prompts that such a search has scored, and one more for each seed."""
TARGET_SHIFT = 0.04
REAL = ("movie", "great", "boring", "theatre", "music")
NOT_REAL = ("uf", "oxluc", "ression", "zq", "ODSam")


@dataclass(frozen=True)
class Hard:
    """What a sweep of hard prompts varies."""

    sources: Sequence[str] = ("ant", "bee")
    counterparts: Sequence[str] = ("ant", "bee", "cat")
    methods: Sequence[str] = ("pez",)
    states: Sequence[str] = ("continuous",)
    lengths: Sequence[int] = (4,)
    s: Sequence[int] = (16,)
    k: Sequence[int] = (2,)


@dataclass(frozen=True)
class Design:
    """What the sweep varies."""

    sources: Sequence[str] = ("ant", "bee", "cat", "dog")
    targets: Sequence[str] = ("elk",)
    tasks: Sequence[str] = ("mini/a", "mini/b", "mini/c")
    weights: Sequence[float | None] = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, None)
    seeds: Sequence[int] = (0, 1, 2)
    pair_size: int = 2
    direct: bool = False
    hard: Hard | None = None

    @property
    def pairs(self) -> list[tuple[str, ...]]:
        """Every source set."""
        return list(itertools.combinations(self.sources, self.pair_size))


def noise(*parts: object) -> float:
    """Between -NOISE and NOISE, by name."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return NOISE * (2 * int.from_bytes(digest[:4], "big") / 2**32 - 1)


def is_hard(cell: Cell) -> bool:
    """Whether it is the cell of a hard prompt."""
    return "vocabulary" in cell.settings


def hard_kind(cell: Cell) -> str:
    """Key of :data:`HARD_LEVELS`."""
    return "pruned" if cell.row == "random" and cell.method != "random" else cell.row


def hard_score_of(cell: Cell, design: Design, split: str) -> float:
    """The planted score of a hard prompt."""
    level = HARD_LEVELS[hard_kind(cell)] + TASK_SHIFT * design.tasks.index(cell.task)
    if cell.row == "agreement":
        level += HARD_EFFECT[cell.settings["s"], cell.settings["k"]]
    if cell.settings.get("state") == "projected":
        level += PROJECTED
    if cell.kind == "source":
        level += ON_SOURCE
    else:
        level += TARGET_SHIFT * design.targets.index(cell.target)
    return level + noise(split, cell.to_json())


def hard_result_of(cell: Cell) -> dict[str, Any]:
    """What the result of a hard prompt holds besides scores: words as readable as its kind."""
    length, kind = cell.settings["prompt_length"], hard_kind(cell)
    real = {"random": 0, "drawn": 0, "all": 1, "pruned": 1, "common": 3, "agreement": 4}[kind]
    start = int(cell.seed or 0)
    words = [
        (REAL if place < real else NOT_REAL)[(start + place) % len(REAL)] for place in range(length)
    ]
    result: dict[str, Any] = {
        "text": " ".join(words),
        "ids": [place + start for place in range(length)],
        "n_tokens": length,
        "roundtrip_exact": kind != "random",
        "dictionary_share": min(real, length) / length,
        **(
            {"prompts_scored": SCORED + start}
            if cell.method in HELPED and cell.kind == "source"
            else {}
        ),
        "log_perplexity": 9 - real + 30 * noise("fluency", cell.target, words, cell.task),
    }
    return result


def score_of(cell: Cell, design: Design, split: str) -> float:
    """The planted score of a cell on ``test`` or ``validation``."""
    if is_hard(cell):
        return hard_score_of(cell, design, split)
    shift = TASK_SHIFT * design.tasks.index(cell.task)
    flat = {"empty": EMPTY, "manual": MANUAL, "constant": CONSTANT}
    if cell.row in flat:
        return flat[cell.row] + shift
    level = {"single": SINGLE, "independent": TUNED}.get(cell.row, BASELINE)
    if cell.row == "independent" and cell.target in design.targets:
        level = DIRECT
    if cell.row == "joint":
        level = TUNED - 0.01
    if cell.row == "ours":
        level += EFFECT[cell.weight]
    return level + shift + noise(split, cell.row, cell.sources, cell.task, cell.seed, cell.weight)


def cells_of(design: Design) -> Iterator[Cell]:
    """Every cell of the sweep, inputs first."""
    hard = design.hard.sources if design.hard else ()
    models = list(dict.fromkeys((*design.sources, *design.targets, *hard)))
    for model, task, row in itertools.product(
        models, design.tasks, ("empty", "manual", "constant")
    ):
        yield Cell("reference", row, "none", task, model)
    for task, seed in itertools.product(design.tasks, design.seeds):
        yield from _cells_of_seed(design, task, seed)
        if design.hard:
            yield from _hard_cells(design, design.hard, task, seed)


def _hard_cells(design: Design, hard: Hard, task: str, seed: int) -> Iterator[Cell]:
    """Every hard prompt of one task and seed on its source, and on every target."""
    for source in hard.sources:
        for method, row, counterpart, settings in _hard_prompts(hard, source):
            common: dict[str, Any] = {
                "method": method, "task": task, "sources": (source,), "seed": seed, "weight": 0.0,
                "settings": settings, "digests": {"counterparts": counterpart},
            }  # fmt: skip
            tuned = Cell("source", row, target=source, **common)
            yield tuned
            for target in design.targets:
                yield Cell("transfer", row, target=target, inputs=(tuned.id,), **common)


def _hard_prompts(hard: Hard, source: str) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Method, row, counterpart and settings of every hard prompt of a source."""
    partners = [name for name in hard.counterparts if name != source]
    for length in hard.lengths:
        base = {"prompt_length": length, "template": True, "s": hard.s[0], "k": hard.k[0]}
        yield "random", "random", "", {**base, "vocabulary": "all"}
        for method, state in itertools.product(hard.methods, hard.states):
            if method != "pez" and state != hard.states[0]:
                continue
            own = {**base, "state": state} if method == "pez" else base
            yield method, "all", "", {**own, "vocabulary": "all"}
            if method in HELPED:
                yield method, "drawn", "", {**own, "vocabulary": "all"}
                continue
            for s in hard.s:
                yield method, "random", "", {**own, "vocabulary": "random", "s": s}
                for partner in partners:
                    yield method, "common", partner, {**own, "vocabulary": "common", "s": s}
            for partner, s, k in itertools.product(partners, hard.s, hard.k):
                settings = {**own, "vocabulary": "agreement", "s": s, "k": k}
                yield method, "agreement", partner, settings


def _cells_of_seed(design: Design, task: str, seed: int) -> Iterator[Cell]:
    soft = {"prompt_length": 5}
    move = {"solver": "closed_form"}
    alone = {
        name: Cell("source", "independent", "soft", task, name, (name,), seed, 0.0, settings=soft)
        for name in (*design.sources, *(design.targets if design.direct else ()))
    }
    yield from alone.values()
    for target in design.targets:
        for name in design.sources:
            if name != target:
                yield _transfer("single", task, target, (name,), seed, 0.0, "none",
                                [alone[name]], soft | move)  # fmt: skip
    for pair, weight in itertools.product(design.pairs, design.weights):
        schedule = "annealing" if weight is None else "constant"
        if weight == 0.0:
            inputs, row, schedule = [alone[name] for name in pair], "baseline", "none"
        else:
            inputs = [
                Cell("source", "joint", "soft", task, name, pair, seed, weight, schedule,
                     settings=soft)
                for name in pair
            ]  # fmt: skip
            row = "ours"
            yield from inputs
        for target in design.targets:
            if target not in pair:
                yield _transfer(row, task, target, pair, seed, weight, schedule, inputs,
                                soft | move)  # fmt: skip


def _transfer(
    row: str,
    task: str,
    target: str,
    sources: tuple[str, ...],
    seed: int,
    weight: float | None,
    schedule: str,
    inputs: Sequence[Cell],
    settings: dict[str, Any],
) -> Cell:
    return Cell("transfer", row, "soft", task, target, sources, seed, weight, schedule,
                tuple(cell.id for cell in inputs), settings)  # fmt: skip


def record_of(cell: Cell, design: Design) -> dict[str, Any]:
    """The record of a finished cell."""
    result: dict[str, Any] = {
        "score": score_of(cell, design, "test"),
        "metric": "accuracy",
        "validation_score": score_of(cell, design, "validation"),
        "n_test": N_TEST,
        "n_validation": N_VALIDATION,
        "histogram": [N_TEST, 0] if cell.row == "constant" else [120, 80],
        "degenerate": cell.row == "constant",
        "loss": 0.6,
    }
    words = [[f"word{place}", f"near{place}", f"far{place}"] for place in range(5)]
    if is_hard(cell):
        result |= hard_result_of(cell)
        if cell.kind == "source":
            result["score_as_ids"] = result["score"] + AS_IDS
    elif cell.kind == "source":
        alignment = 0.1 if cell.row == "joint" else None
        result |= {"best_step": 40, "steps": 60, "alignment": alignment, "nearest": words,
                   "train_seconds": 0.5}  # fmt: skip
    elif cell.kind == "transfer":
        similarity = 0.8 + 4 * noise("similarity", cell.id)
        result |= {"similarity": similarity, "similarity_per_token": [similarity] * 5,
                   "nearest": words, "transfer_seconds": 0.01}  # fmt: skip
    partners = [name for name in (cell.digests.get("counterparts", ""),) if name]
    pack = hashlib.sha256(repr((cell.sources, cell.task, cell.kind)).encode()).hexdigest()[:16]
    record: dict[str, Any] = {
        "id": cell.id,
        "cell": cell.to_json() | {"counterparts": partners},
        "result": result,
        "pack": pack,
        "cost": {"seconds": 2.0, "train_seconds": 1.5},
        "finished": f"2031-05-04T10:{cell.seed or 0:02d}:00+00:00",
        "versions": {"torch": "9.9.9", "transformers": "8.8"},
        "prompt": None,
    }
    if cell.kind != "reference" and not is_hard(cell):
        file = f"prompts/{cell.id[:2]}/{cell.id}.safetensors"
        record["prompt"] = {"file": file, "sha256": "0" * 64}
    return record


def build(
    folder: Path,
    design: Design | None = None,
    keep: Callable[[Cell], bool] = lambda cell: True,
    alter: Callable[[Cell, dict[str, Any]], None] = lambda cell, record: None,
) -> list[Cell]:
    """Write a sweep's folder.

    Args:
        folder: made where it does not exist.
        design: what it varies.
        keep: cells that are finished; the others are only planned.
        alter: changes a record in place before it is written.

    Returns:
        The finished cells.
    """
    design = design or Design()
    cells = list(cells_of(design))
    kept = [cell for cell in cells if keep(cell)]
    folder.mkdir(parents=True, exist_ok=True)
    meta = {
        "format": 1,
        "name": "made up",
        "spec": {},
        "description": "A sweep whose effect is known.",
        "spec_hash": "abcdef0123456789",
        "planned_cells": len(cells),
        "rows": dict(Counter(cell.row for cell in cells)),
    }
    (folder / "sweep.json").write_text(json.dumps(meta))
    (folder / "spec.yaml").write_text("name: made up\nlambda: [0, 0.3]  # <as written>\n")
    for cell in kept:
        record = record_of(cell, design)
        alter(cell, record)
        write_record(folder, cell.id, record)
    return kept


def write_record(folder: Path, cell: str, record: dict[str, Any]) -> None:
    """Write one record where the ledger would."""
    path = folder / "ledger" / cell[:2] / f"{cell}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps(record | {"digest": digest}))


def fail(folder: Path, cell: Cell, reason: str) -> None:
    """Write the record of a failure."""
    path = folder / "ledger" / "failed" / f"{cell.id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cell": cell.to_json(), "reason": reason}))
