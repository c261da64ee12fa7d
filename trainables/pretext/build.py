"""Pretext tasks as ordinary task files with their data beside them."""

import json
import os
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from trainables.core.registries import PRETEXTS
from trainables.core.texts import listed
from trainables.errors import InputError
from trainables.files.text_files import reason_of
from trainables.pretext.choices import lettered, letters
from trainables.pretext.documents import Sentences, parted
from trainables.pretext.material import Kind, Labelled, Material, Row
from trainables.tasks import SPLITS, Task
from trainables.tasks.schema import PACKAGED

FOLDER = "pretext"
"""What the names of pretext tasks begin with."""
LETTERS = "letters"
"""Likewise those of tasks whose answers are letters."""


@dataclass(frozen=True)
class Asked:
    """What is to be built of a corpus.

    Attributes:
        kinds: of :data:`trainables.core.registries.PRETEXTS`.
        rows: examples to train on; the kind with labels may have fewer.
        held_rows: examples for each of validation and test.
        held_out: share of the documents for each of these.
        option_words: words that an option of a multiple choice is cut to.
        seed: of all choices.
        labelled: labels of sentences, for the kind that needs them.
    """

    kinds: tuple[str, ...]
    rows: int = 3000
    held_rows: int = 300
    held_out: float = 0.1
    option_words: int = 20
    seed: int = 0
    labelled: Labelled | None = None


@dataclass(frozen=True)
class Built:
    """A pretext task that was written.

    Attributes:
        name: of the task.
        file: its task file.
        classes: how many examples of each class every split has, by split.
    """

    name: str
    file: Path
    classes: Mapping[str, Mapping[str, int]]


def build(documents: Sequence[Sentences], out: Path, asked: Asked) -> list[Built]:
    """Write a task file and its examples for each kind into ``out``; the same for the same seed.

    Raises:
        InputError: there are too few documents or sentences, or files of that name already.
    """
    parts = parted(documents, asked.held_out, asked.seed)
    files: dict[Path, str] = {}
    found = []
    for name in asked.kinds:
        kind: Kind = PRETEXTS[name]
        splits: dict[str, list[Row]] = {}
        for split in SPLITS:
            draws = random.Random(f"pretext|{name}|{split}|{asked.seed}")
            rows = asked.rows if split == "train" else asked.held_rows
            material = Material(parts[split], rows, draws, asked.option_words, asked.labelled)
            try:
                splits[split] = kind.rows(material)
            except InputError as error:
                raise InputError(f"{FOLDER}/{name}, {split}: {error}") from None
            lines = (json.dumps(row, ensure_ascii=False) for row in splits[split])
            files[out / name / f"{split}.jsonl"] = "".join(f"{line}\n" for line in lines)
        fields = {
            "name": f"{FOLDER}/{name}",
            "description": kind.description,
            "data": {"files": {split: f"{name}/{split}.jsonl" for split in SPLITS}},
            **kind.fields(asked.labelled),
        }
        files[out / f"{name}.yaml"] = _yaml(fields)
        counts = {split: Counter(row["label"] for row in rows) for split, rows in splits.items()}
        found.append(Built(str(fields["name"]), out / f"{name}.yaml", counts))
    _write(files)
    return found


def check_letters(task: Task) -> None:
    """See that a task has classes, and a letter for each.

    Raises:
        InputError: it has not.
    """
    task.need_classes("--letters", "tasks with classes")
    if len(letters(task.num_classes)) < task.num_classes:
        raise InputError(
            f"--letters: found task {task.name!r} with {task.num_classes} classes; allowed: at most"
            f" {len(letters(task.num_classes))}, a letter each"
        )


def letter_task(task: Task, out: Path) -> Path:
    """Write a task file in which the classes of ``task`` are options and its answers letters.

    That is how a target task is asked where the prompt comes from the unified pretext task: the
    label words follow the text as ``A. bad B. good``, and the answer is ``A`` or ``B``.

    Raises:
        InputError: the task has no classes, or more than letters, or the file is there already.
    """
    check_letters(task)
    names = letters(task.num_classes)
    options = lettered([listed(word)[0] for word in task.label_words])
    options = options.replace("{", "{{").replace("}", "}}")
    last = "text" if task.pair is None else "pair"
    file = out / LETTERS / f"{task.name}.yaml"
    fields = {
        "name": f"{LETTERS}/{task.name}",
        "extends": _extended(task.file, file.parent),
        last: f"{getattr(task, last)} {options}",
        "label_words": names,
        "label_words_alternatives": [],
        "manual": "The correct one is",
    }
    _write({file: _yaml(fields)})
    return file


def _extended(file: Path, base: Path) -> str:
    """A task file as another one names it: packaged ones by their names."""
    if file.is_relative_to(PACKAGED):
        return file.relative_to(PACKAGED).with_suffix("").as_posix()
    return Path(os.path.relpath(file, base)).as_posix()


def _yaml(fields: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(fields), sort_keys=False, allow_unicode=True, width=100)


def check_new(paths: Iterable[Path]) -> None:
    """Refuse to write what is there already.

    Raises:
        InputError: one of the files is there.
    """
    for path in paths:
        if path.exists():
            raise InputError(
                f"--out: found {path}; allowed: a folder without it, as nothing is overwritten"
            )


def _write(files: Mapping[Path, str]) -> None:
    check_new(files)
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"--out: {path} cannot be written ({reason_of(error)}); allowed: a folder that can"
            ) from None
