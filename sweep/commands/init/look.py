"""What a data file holds, looked at as a task will read it."""

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.commands.init.columns import (
    LABEL_NAMES,
    TEXT_NAMES,
    Choice,
    Column,
    called,
    choose_label,
    choose_text,
    profile,
)
from sweep.commands.init.files import find_files, split_section
from sweep.commands.init.words import number_order
from trainables.errors import InputError, show
from trainables.files.text_files import one_line
from trainables.tasks import SPLITS, Example, Task
from trainables.tasks.schema import columns_of
from trainables.tasks.sources import FileSource, format_of


@dataclass(frozen=True)
class Look:
    """What was found in the data.

    Attributes:
        data: as given.
        files: the data files, see :func:`sweep.commands.init.files.find_files`.
        columns: names of those in the first of them.
        text, label: the columns chosen.
        classes: their names, in order.
        examples: by split, as the task file divides them.
        notes: what else is to be said.
    """

    data: Path
    files: Mapping[str, Path]
    columns: tuple[str, ...]
    text: Choice
    label: Choice
    classes: tuple[str, ...]
    examples: Mapping[str, Sequence[Example]]
    notes: tuple[str, ...]

    @property
    def sizes(self) -> dict[str, int]:
        """Rows by class, over all splits."""
        labels = Counter(row.label for rows in self.examples.values() for row in rows)
        return {name: labels[place] for place, name in enumerate(self.classes)}


def look(data: Path, text: str | None = None, label: str | None = None) -> Look:
    """What a data file or folder holds; every row is read as a task reads it.

    Raises:
        InputError: it cannot be read, or is no set of texts in classes.
    """
    files = find_files(data)
    source = FileSource(files)
    first = next(iter(files))
    columns, rows = profile(source.rows(first))
    _check_table(files[first], columns, rows)
    if text is None or label is None:
        _check_header(files[first], columns.values())
    chosen = choose_label(columns, rows, label, text)
    texts = choose_text(columns, rows, chosen.column.name, text)
    _check_name(texts.column.name)
    used, notes, values = {first: files[first]}, [], set(chosen.column.values or ())
    for role in list(files)[1:]:
        others, count = profile(source.rows(role))
        lacking = [item.column.name for item in (texts, chosen) if item.column.name not in others]
        if lacking or not count:
            why = f"has no column {show(lacking[0])}" if lacking else "holds no rows"
            notes.append(f"{files[role].name} {why} and is left out")
            continue
        used[role] = files[role]
        values |= set(others[chosen.column.name].values or ())
    classes = tuple(number_order(values))
    return Look(
        data=data,
        files=used,
        columns=tuple(columns),
        text=texts,
        label=chosen,
        classes=classes,
        examples=_examples(_fields(used, texts, chosen, classes), classes),
        notes=tuple(notes),
    )


def _fields(
    files: Mapping[str, Path],
    text: Choice,
    label: Choice,
    classes: Sequence[str],
) -> dict[str, Any]:
    """What a task file must hold for these columns; its label words stand for none."""
    return {
        "name": "draft",
        "data": {"files": {role: str(path.absolute()) for role, path in files.items()}},
        "text": f"{{{text.column.name}}}",
        "label": label.column.name,
        "classes": list(classes),
        "label_words": [f"w{place}" for place in range(len(classes))],
        "splits": split_section(files),
    }


def _examples(fields: Mapping[str, Any], classes: Sequence[str]) -> Mapping[str, Sequence[Example]]:
    """The rows of each split, after all checks that a task makes."""
    with tempfile.TemporaryDirectory(prefix="promptsweep-init-") as folder:
        file = Path(folder) / "task.yaml"
        file.write_text(json.dumps(fields), encoding="utf-8")
        try:
            task = Task.read(file)
            found = {split: task.rows(split) for split in SPLITS}
        except InputError as error:
            raise InputError(
                str(error).replace(f"{file}: ", "").replace(file.name, "the task")
            ) from None
    for split, rows in found.items():
        missing = set(range(len(classes))) - {row.label for row in rows}
        if missing:
            name = classes[min(missing)]
            raise InputError(
                f"--data: class {show(name)} has no row in {split} ({len(rows)} rows); allowed:"
                " several rows of each class for train, validation and test"
            )
    return found


def _check_table(file: Path, columns: Mapping[str, Column], rows: int) -> None:
    if not rows:
        raise InputError(f"--data: {file} holds no rows; allowed: rows with a text and a class")
    if len(columns) < 2:
        only = one_line(next(iter(columns), ""))
        separated = next((sign for sign in ";\t|" if sign in only), None)
        hint = f" (values are separated by {show(separated)})" if separated else ""
        raise InputError(
            f"--data: {file} has one column, {show(only)}{hint}; allowed: a column of texts and one"
            " of classes; a CSV file has commas between them, a TSV file tabulators"
        )


def _check_header(file: Path, columns: Iterable[Column]) -> None:
    """See that a file without column names is not read as if its first row were names."""
    columns = list(columns)
    named = called(columns, LABEL_NAMES) or called(columns, TEXT_NAMES)
    if format_of(file) == ".jsonl" or named:
        return
    for column in columns:
        if column.values is not None and column.values.get(column.name, 0) > 0:
            raise InputError(
                f"--data: line 1 of {file} holds {show(column.name)}, which is a value of that"
                " column too; allowed: a first line with the names of the columns, or --text and"
                " --label where these are names"
            )


def _check_name(column: str) -> None:
    try:
        good = columns_of(f"{{{column}}}") == (column,)
    except ValueError:
        good = False
    if not good:
        raise InputError(f"--data: found the column {show(column)}; allowed: a name without braces")
