"""The task file: its fields, their checks, and one-sentence messages for what is wrong."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    ValidationError,
    field_validator,
    model_validator,
)

from trainables.core.contents import is_hub_name, place_of
from trainables.core.texts import SCORINGS, Word, listed
from trainables.errors import InputError, nearest, show
from trainables.files.strict_yaml import WordLoader, load_yaml
from trainables.files.text_files import named, read_text
from trainables.files.validation import OneOf, sentence
from trainables.tasks.metrics import resolve_metric
from trainables.tasks.sources import READERS, format_of

Name = Annotated[str, Field(min_length=1)]
Rows = Annotated[StrictInt, Field(ge=1)]
Words = Annotated[
    Name | Annotated[tuple[Name, ...], Field(min_length=1)],
    Field(description="text, or a list of texts"),
]

PACKAGED = Path(__file__).parent
"""Folder of the packaged tasks."""

_MASKS = ("[MASK]", "<mask>", "[mask]")


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)


class Hub(_Fields):
    """A data set that ``datasets.load_dataset`` knows.

    Attributes:
        path: a folder of data files, relative to the task file, or else ``owner/name``.
        name: its configuration, where it has several.
        folder: the folder of its files to take, in place of a configuration: the Hub's own
            conversions to Parquet (revision ``refs/convert/parquet``) have one for each.
        revision: of the Hub; where it is no commit (40 hex digits) the data may change, and
            results on it are not shared between sweeps.
    """

    path: Name
    name: Name | None = None
    folder: Name | None = None
    revision: Name | None = None

    @model_validator(mode="after")
    def _one_part(self) -> Self:
        if self.name is not None and self.folder is not None:
            raise ValueError(
                f"found folder {show(self.folder)} beside name {show(self.name)}; allowed: one of"
                " the two"
            )
        return self


class Data(_Fields):
    """Where the rows are: exactly one of the two.

    Attributes:
        files: path by name of the split, relative to the task file; JSONL, CSV or TSV by suffix.
        hub: a data set of the Hub, or a folder of data files.
    """

    files: dict[Name, Name] | None = Field(default=None, min_length=1)
    hub: Hub | None = None

    @field_validator("files")
    @classmethod
    def _known_format(cls, files: dict[str, str] | None) -> dict[str, str] | None:
        for path in (files or {}).values():
            if format_of(path) not in READERS:
                raise ValueError(
                    f"found {show(path)}; allowed: files that end in {', '.join(READERS)}"
                )
        paths = list((files or {}).values())
        for path in paths:
            if paths.count(path) > 1:
                raise ValueError(
                    f"{show(path)} stands there twice; allowed: a file of its own for each split"
                )
        return files

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.files is None) == (self.hub is None):
            found = "neither" if self.hub is None else "both"
            raise ValueError(f"found {found} of files and hub; allowed: one of them")
        return self


class Part(_Fields):
    """A split of the data, or a share of it held out (and removed from the rest).

    Attributes:
        origin: name of the split in the data (``from`` in the file).
        share: part of the origin's rows, in its class proportions; None for all (the rest).
        seed: another seed is another choice; has nothing to do with the runs' seeds.
    """

    origin: Name = Field(alias="from")
    share: float | None = Field(default=None, gt=0, lt=1, allow_inf_nan=False)
    seed: Annotated[StrictInt, Field(ge=0)] = 0

    @model_validator(mode="before")
    @classmethod
    def _plain_name(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"from": value}
        if not isinstance(value, dict):
            raise ValueError(
                f"found {show(value)}; allowed: the name of a split in the data or"
                " {from: NAME, share: 0.1, seed: 0}"
            )
        return value


def _whole(name: str) -> Part:
    return Part.model_validate(name)


class Splits(_Fields):
    """Which rows serve as what; every split means the one of that name if left out."""

    train: Part = Field(default_factory=lambda: _whole("train"))
    validation: Part = Field(default_factory=lambda: _whole("validation"))
    test: Part = Field(default_factory=lambda: _whole("test"))

    @model_validator(mode="after")
    def _no_overlap(self) -> Self:
        parts = (self.train, self.validation, self.test)
        for origin in {part.origin for part in parts}:
            shares = [part.share for part in parts if part.origin == origin]
            if shares.count(None) > 1:
                raise ValueError(
                    f"{show(origin)} stands there twice; allowed: each split of the data once, or"
                    f" a part held out of it ({{from: {origin}, share: 0.1}})"
                )
            held_out = sum(share for share in shares if share is not None)
            if held_out > 1 or (None in shares and held_out >= 1):
                raise ValueError(
                    f"found shares of {show(origin)} that add up to {held_out:g}; allowed: shares"
                    " that leave something"
                )
        return self


class Limit(_Fields):
    """Greatest number of rows of each split, chosen in the class proportions."""

    train: Rows | None = None
    validation: Rows | None = None
    test: Rows | None = None


class _AnyTask(_Fields):
    """What task files of both kinds hold.

    ``extends`` names another task, a packaged one (``sst2``) or a file ending in .yaml (relative to
    this file). Every field given here replaces that task's field as a whole, every other one is
    taken over; its local data files stay where they are. So the same task over a folder of one's
    own is ``extends`` and ``data``.
    """

    name: Name
    version: Annotated[StrictInt, Field(ge=1)] = 1
    description: str = ""
    type: str = ""
    data: Data
    text: Name
    pair: Name | None = None
    manual: Name = "It was"
    splits: Splits = Field(default_factory=Splits)
    limit: Limit = Field(default_factory=Limit)
    extends: Name | None = None

    @field_validator("text", "pair", "manual")
    @classmethod
    def _no_mask(cls, value: str | None) -> str | None:
        for mask in _MASKS:
            if mask in (value or ""):
                raise ValueError(
                    f"found {show(value)}; allowed: text without {mask}, as the place of the answer"
                    " is added at the end, in each model's own way"
                )
        return value

    @field_validator("text", "pair")
    @classmethod
    def _plain_columns(cls, value: str | None) -> str | None:
        if value is not None and not columns_of(value):
            raise ValueError(
                f'found {show(value)}; allowed: text that names a column, such as "{{text}}"'
            )
        return value

    @model_validator(mode="after")
    def _known_origins(self) -> Self:
        if self.data.files is not None:
            self._check_origins(tuple(self.data.files))
        return self

    def _check_origins(self, files: tuple[str, ...]) -> None:
        for role, part in self.splits:
            if part.origin not in files:
                raise ValueError(
                    f"splits.{role}: found {show(part.origin)}{nearest(part.origin, files)};"
                    f" allowed: one of data.files ({named(files)}), or a part held out of one"
                    f" ({{from: {files[0]}, share: 0.1}})"
                )


class TaskFile(_AnyTask):
    """A task with classes; README.md in this folder explains each field."""

    label: Name = "label"
    leave_out: tuple[Name | StrictInt, ...] = ()
    classes: tuple[Name, ...] = Field(min_length=2)
    label_words: tuple[Words, ...]
    label_words_alternatives: tuple[tuple[Words, ...], ...] = ()
    scoring: Annotated[str, OneOf(SCORINGS)] | None = None
    metric: Name = "accuracy"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _distinct("classes", self.classes)
        for value in self.leave_out:
            if value in (*self.classes, *range(len(self.classes))):
                raise ValueError(
                    f"leave_out: found {show(value)}; allowed: labels that are no class"
                )
        choices = {"label_words": self.label_words} | {
            f"label_words_alternatives[{index}]": words
            for index, words in enumerate(self.label_words_alternatives)
        }
        for name, words in choices.items():
            _check_words(name, words, len(self.classes), self.scoring is not None)
        resolve_metric(self.metric, self.classes)
        return self


class AnswerFile(_AnyTask):
    """A task whose answers are free text; the same README.md explains each field."""

    answer: Name
    answer_names: tuple[Name, ...] = ()
    max_answer_tokens: Annotated[StrictInt, Field(ge=1, le=256)] = 8
    metric: Literal["exact_match", "token_f1"] = "exact_match"

    @field_validator("answer")
    @classmethod
    def _one_column(cls, value: str) -> str:
        if not columns_of(value):
            raise ValueError(
                f'found {show(value)}; allowed: text that names a column, such as "{{answer}}"'
            )
        return value


AnyTaskFile = TaskFile | AnswerFile


def kind_of(fields: Mapping[Any, Any]) -> type[AnyTaskFile]:
    """What a file with these fields is held against."""
    return AnswerFile if "answer" in fields else TaskFile


_FIELD = re.compile(r"\{\{|\}\}|\{(?P<column>[^{}]+)\}|[{}]")


def columns_of(text: str) -> tuple[str, ...]:
    """Names of the columns that the format string ``text`` fills in, in order.

    A name is all between two braces, which alone it may not hold; ``{{`` and ``}}`` are braces of
    the text itself. ``{options[0]}`` is the first value of a column that holds lists.

    Raises:
        ValueError: ``text`` has a brace that is neither.
    """
    for found in _FIELD.finditer(text):
        if found[0] in ("{", "}"):
            raise ValueError(
                f"found {show(text)}; allowed: braces around columns only, such as {{text}}, as a"
                " brace of the text itself is written twice"
            )
    return tuple(found["column"] for found in _FIELD.finditer(text) if found["column"])


def filled(text: str, values: Mapping[str, str]) -> str:
    """The format string ``text`` with the columns' ``values`` in it."""
    return _FIELD.sub(
        lambda found: values[found["column"]] if found["column"] else found[0][0], text
    )


def read(file: Path) -> AnyTaskFile:
    """The checked content of a task file and of what it extends.

    Raises:
        InputError: naming the file, the field, what was found and what is allowed.
    """
    fields = _fields(file)
    kind = kind_of(fields)
    try:
        return kind.model_validate(fields)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    except ValidationError as error:
        raise InputError(f"{file}: {sentence(error, kind.model_json_schema())}") from None


def _fields(file: Path, below: tuple[str, ...] = ()) -> dict[Any, Any]:
    """The fields of a task file on top of those of the task it extends.

    Args:
        below: files that extend it, none of which it may extend.
    """
    content = _content(file)
    extended = content.get("extends")
    if extended is None:
        return content
    if not isinstance(extended, str) or not extended:
        raise InputError(f"{file}: extends: found {show(extended)}; allowed: a task's name or path")
    parent = place_of(f"{extended}.yaml", PACKAGED, f"{file}: extends")
    if not parent.is_file():
        parent = place_of(extended, file.parent, f"{file}: extends")
        if parent.suffix not in (".yaml", ".yml"):
            raise InputError(
                f"{file}: extends: found {show(extended)};"
                " allowed: a packaged task, or the path of a task file that ends in .yaml"
            )
    chain = (*below, os.path.realpath(file))
    if os.path.realpath(parent) in chain:
        raise InputError(
            f"{file}: extends: found {show(extended)}, which leads back to {parent.name}; allowed:"
            " another task"
        )
    inherited = _fields(parent, chain)
    if "data" not in content:
        _fix_paths(inherited.get("data"), parent.absolute().parent)
    return {**inherited, **content}


def _fix_paths(data: Any, folder: Path) -> None:
    """Let paths of local data start from the folder of the task file that names them."""
    if not isinstance(data, dict):
        return
    files, hub = data.get("files"), data.get("hub")
    if isinstance(files, dict):
        data["files"] = {
            name: str(folder / path) if isinstance(path, str) else path
            for name, path in files.items()
        }
    if isinstance(hub, dict) and isinstance(path := hub.get("path"), str):
        place = place_of(path, folder, f"{folder}: data.hub.path")
        if place.is_dir() or not is_hub_name(path):
            data["hub"] = {**hub, "path": str(place)}


def _content(file: Path) -> dict[Any, Any]:
    """What the YAML of one task file holds."""
    content = load_yaml(read_text(file, f"the task file {file}"), str(file), WordLoader)
    if not isinstance(content, dict):
        raise InputError(
            f"{file}: found {show(content)}; allowed: a mapping with the keys"
            f" {', '.join(TaskFile.model_fields)}"
        )
    return content


def _distinct(name: str, values: tuple[str, ...]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise ValueError(f"{name}: {show(value)} stands there twice; allowed: each once")


def _check_words(name: str, words: tuple[Word, ...], num_classes: int, texts: bool) -> None:
    """``texts``: whether they may be of several words."""
    every = tuple(word for one in words for word in listed(one))
    _distinct(name, every)
    if len(words) != num_classes:
        raise ValueError(
            f"{name}: found {len(words)} words; allowed: {num_classes}, one for each of the classes"
        )
    for word in every:
        if texts and " ".join(word.split()) != word:
            raise ValueError(
                f"{name}: found {show(word)}; allowed: words with one space between them"
            )
        if not texts and word.split() != [word]:
            raise ValueError(
                f"{name}: found {show(word)}; allowed: words without white space, or texts with"
                f" scoring: {', '.join(SCORINGS)}"
            )
