"""Packs of one cell on embedded models and a task of a few sentences: read in a moment."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from trainables.backbones import load_backbone
from trainables.core.cells import Cell, Pack
from trainables.core.settings import SoftSettings, TransferSettings, stored
from trainables.models.names import resolve_model
from trainables.tasks import resolve_task

TASK = "toy/films"
SOURCES, TARGET = ("pocket-bert", "pocket-llama"), "pocket-gpt2"
TUNED = asdict(SoftSettings(steps=5, evaluations=2, prompt_length=2, batch_size=4))
_SIZES = {"train": 12, "validation": 8, "test": 6}
_WORDS = [["a fine day", "it is a good film", "we liked it , really"], ["bad", "never again , no"]]


WORDS = "label_words: [good, bad]"
TEXTS = "label_words: [very good, [bad, rather poor]]\nscoring: sum"


def write_task(folder: Path, turned: tuple[str, ...] = (), words: str = WORDS) -> str:
    """The path of a task; ``turned``: splits in which every label is the other one."""
    folder.mkdir()
    for split, size in _SIZES.items():
        rows = []
        for number in range(size):
            texts, label = _WORDS[number % 2], number % 2
            text = " ".join(texts[(number + place) % len(texts)] for place in range(1 + number % 3))
            rows.append({"text": f"{text} {split} {number}", "label": label})
            if split in turned:
                rows[-1]["label"] = 1 - label
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    path = folder / "toy.yaml"
    path.write_text(
        "name: toy/films\ndata: {files: {train: train.jsonl, validation: validation.jsonl,"
        ' test: test.jsonl}}\ntext: "{text}"\nlabel: label\nclasses: [positive, negative]\n'
        f"{words}\n"
    )
    return str(path)


def tuned(name: str) -> Cell:
    """A prompt tuned on one model."""
    return Cell(
        "source", "independent", "soft", "toy/films", name, (name,), 0, 0.0, "none", (), TUNED
    )


def carried(settings: TransferSettings) -> Cell:
    """Prompts of both sources carried to the target."""
    inputs = tuple(tuned(name).id for name in SOURCES)
    more = {"prompt_length": 2, "position": "prefix"}
    return Cell(
        kind="transfer",
        row="baseline",
        method="soft",
        task=TASK,
        target=TARGET,
        sources=SOURCES,
        seed=0,
        weight=0.0,
        inputs=inputs,
        settings={**stored(settings), **more},
    )


def pack_of(cell: Cell, task: str) -> tuple[Pack, Mapping[str, Any]]:
    """A pack of the cell alone, and the prompts that it needs: made up."""
    models = {name: resolve_model(name) for name in dict.fromkeys((*cell.sources, cell.target))}
    tuning = cell.kind == "source"
    pack = Pack(
        "tune" if tuning else "transfer",
        "soft",
        resolve_task(task),
        models,
        cell.sources if tuning else (),
        (cell,),
        cell.inputs,
    )
    draw = np.random.default_rng(0)
    return pack, {
        tuned(name).id: draw.standard_normal((2, load_backbone(models[name]).width), np.float32)
        for name in cell.sources
        if cell.inputs
    }
