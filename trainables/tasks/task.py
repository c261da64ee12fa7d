"""A loaded task: its fields, and its examples by split."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.core.cells import TaskRef, content_hash
from trainables.core.contents import UNPINNED
from trainables.core.texts import Word
from trainables.errors import InputError, show
from trainables.files.text_files import check_characters, named
from trainables.tasks.answers import gold_texts
from trainables.tasks.metrics import resolve_metric
from trainables.tasks.sources import FileSource, FolderSource, Row, Source, hub_source
from trainables.tasks.splits import SPLITS, Example, choose, take

if TYPE_CHECKING:
    from trainables.tasks.schema import AnyTaskFile, Part

_OF_CLASSES = ("leave_out", "classes", "label_words", "label_words_alternatives")
_LATER = ("pair", "scoring", "leave_out")
"""Fields that came later: tasks without them keep their digest."""
_LISTED = re.compile(r"(?P<column>.+)\[(?P<place>\d+)\]")
_FOLDER = "data"
"""Name of a data folder that travels with its task."""


@dataclass(frozen=True, eq=False)
class Task:
    """A task of classes, or of answers in free text. Rows are read when a split is first asked for.

    Attributes:
        name: e.g. ``mini/topics``.
        version: raised by hand when the task changes in a way that its file does not show.
        description: one line for people.
        text: format string over the data's columns.
        pair: likewise for a second text; None for tasks on one.
        label: the column that holds the class, as an index or by name; empty: there are none.
        leave_out: labels whose rows do not count.
        classes: class names in label order, [C].
        label_words: the word or text, or several, that stand for each class, [C].
        label_words_alternatives: further choices of label words, each [C].
        scoring: how texts of several tokens are scored, see
            :mod:`trainables.backbones.labels`; None: every word is one token.
        answer: format string of the gold answer over the data's columns, or the one column that
            holds a list of them; empty: there are classes.
        answer_names: what whole numbers in its column stand for.
        max_answer_tokens: tokens that an answer may have.
        manual: hand-written template of the Manual reference row, appended after the text.
        metric: for :func:`trainables.tasks.metrics.compute`; ``f1:`` carries a class index.
        file: the task file, absolute.
        digest: over the task file's content (not its description) and the data; ends in
            :data:`trainables.core.contents.UNPINNED` where the data may change on the Hub.
        type: what kind of task it is; changes no result and no digest.
    """

    name: str
    version: int
    description: str
    text: str
    pair: str | None
    label: str
    leave_out: tuple[str | int, ...]
    classes: tuple[str, ...]
    label_words: tuple[Word, ...]
    label_words_alternatives: tuple[tuple[Word, ...], ...]
    scoring: str | None
    answer: str
    answer_names: tuple[str, ...]
    max_answer_tokens: int
    manual: str
    metric: str
    file: Path
    digest: str
    type: str
    _content: AnyTaskFile = field(repr=False)
    _source: Source = field(repr=False)
    _fingerprint: Mapping[str, Any] = field(repr=False)
    _cache: dict[str, tuple[Example, ...]] = field(default_factory=dict, repr=False)
    _golds: dict[tuple[str, ...], int] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, file: Path) -> Task:
        """The task that ``file`` describes.

        Raises:
            InputError: the file or a data file it names is missing, or the file is wrong.
        """
        # pydantic and yaml take a while to import; a mere `import trainables.tasks` goes without.
        from trainables.tasks import schema

        content = schema.read(file)
        try:
            source = _source_of(content, file.absolute().parent)
            fingerprint = source.fingerprint()
        except InputError as error:
            raise InputError(f"{file}: {error}") from None
        return cls._of(content, source, fingerprint, file)

    @classmethod
    def _of(
        cls, content: AnyTaskFile, source: Source, fingerprint: Mapping[str, Any], file: Path
    ) -> Task:
        from trainables.tasks import schema

        # A task that extends another is what its fields say, however they came together.
        unhashed = {"description", "type", "data", "extends"}
        unhashed |= {name for name in _LATER if not getattr(content, name, None)}
        fields = content.model_dump(mode="json", by_alias=True, exclude=unhashed)
        classes: dict[str, Any] = dict.fromkeys(_OF_CLASSES, ()) | {"label": "", "scoring": None}
        answers: dict[str, Any] = {"answer": "", "answer_names": (), "max_answer_tokens": 0}
        own = answers if isinstance(content, schema.AnswerFile) else classes
        own.update({name: getattr(content, name) for name in own})
        metric = content.metric
        if isinstance(content, schema.TaskFile):
            metric = resolve_metric(metric, content.classes)
        return cls(
            name=content.name,
            version=content.version,
            description=content.description,
            text=content.text,
            pair=content.pair,
            **classes,
            **answers,
            manual=content.manual,
            metric=metric,
            file=file.absolute(),
            digest=content_hash({"fields": fields, "data": fingerprint})
            + ("" if source.pinned else UNPINNED),
            type=content.type,
            _content=content,
            _source=source,
            _fingerprint=fingerprint,
        )

    def remembered(self) -> dict[str, Any]:
        """JSON-able: all but the rows, for :meth:`recall` when file and data are gone."""
        fields = self._content.model_dump(mode="json", by_alias=True, exclude={"extends"})
        return {"fields": fields, "data": dict(self._fingerprint)}

    @classmethod
    def recall(cls, found: Any, ref: TaskRef) -> Task | None:
        """The task that :meth:`remembered` told of, which has no rows; None where it is another."""
        from trainables.tasks import schema

        try:
            content = schema.kind_of(found["fields"]).model_validate(found["fields"])
            source = _Gone(ref.name, not ref.digest.endswith(UNPINNED))
            task = cls._of(content, source, found["data"], Path(ref.file))
        except (InputError, ValueError, KeyError, TypeError):
            return None
        return task if (task.name, task.digest) == (ref.name, ref.digest) else None

    def portable(self) -> dict[str, bytes | Path]:
        """What makes the same task in a folder of its own, by file name.

        ``task.yaml`` is the task file with all that it extends, as bytes; the others are the paths
        of the local data files it names, those of a folder under its name there. Data of the Hub
        is named, not brought along.
        """
        data = self._content.data
        fields = self._content.model_dump(mode="json", by_alias=True, exclude={"extends"})
        found: dict[str, bytes | Path] = {}
        if data.files is not None:
            names = {}
            for number, (split, path) in enumerate(data.files.items()):
                names[split] = f"data-{number}{Path(path).suffix}"
                found[names[split]] = self.file.parent / path
            fields["data"]["files"] = names
        elif isinstance(self._source, FolderSource):
            fields["data"]["hub"]["path"] = _FOLDER
            found = {f"{_FOLDER}/{name}": path for name, path in self._source.files.items()}
        # JSON is YAML in which no text is taken for a number.
        return {"task.yaml": json.dumps(fields, ensure_ascii=False).encode(), **found}

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def free(self) -> bool:
        """Whether answers are free text: then there are no classes."""
        return bool(self.answer)

    @property
    def golds(self) -> list[tuple[str, ...]]:
        """All different gold answers of all splits, by the number that is their rows' label.

        Raises:
            InputError: as :meth:`rows`.
        """
        self.check()
        return list(self._golds)

    def need_classes(self, wanted_by: str, instead: str) -> None:
        """Refuse a task of free text.

        Args:
            wanted_by: what needs classes, for the message.
            instead: what it allows.

        Raises:
            InputError: answers are free text.
        """
        if self.free:
            raise InputError(
                f"{wanted_by}: found task {self.name!r}, whose answers are free text; allowed:"
                f" {instead}"
            )

    @property
    def ref(self) -> TaskRef:
        """What a cell and a pack hold of this task."""
        return TaskRef(self.name, str(self.file), self.digest, self.type)

    def rows(self, split: str) -> tuple[Example, ...]:
        """The examples of ``train``, ``validation`` or ``test``, read once.

        Raises:
            InputError: unknown split; the data cannot be read, lacks a column, or has a label
                outside the classes; nothing is left in the split.
        """
        if split not in SPLITS:
            raise InputError(f"split: found {show(split)}; allowed: {', '.join(SPLITS)}")
        if split not in self._cache:
            part: Part = getattr(self._content.splits, split)
            self._divide(part.origin)
        return self._cache[split]

    def check(self) -> None:
        """Read all splits, so that whatever is wrong with the data shows before any training.

        Raises:
            InputError: see :meth:`rows`.
        """
        for split in SPLITS:
            self.rows(split)

    def _divide(self, origin: str) -> None:
        """Fill the cache for every split made of ``origin``."""
        examples = self._load(origin)
        if self._source.fingerprint() != self._fingerprint:
            # A pack may ask hours after its task was read: what it gets must be what it counts as.
            raise InputError(
                f"{self.file}: {self._source.where(origin)} has changed since the task was planned;"
                " allowed: the data as it was, or a new plan"
            )
        parts = {split: getattr(self._content.splits, split) for split in SPLITS}
        left = list(range(len(examples)))
        # Gold answers are numbered as they come up: what is chosen must not depend on that.
        alike = [Example(one.text, 0, one.pair) for one in examples] if self.free else examples
        divided: dict[str, list[int]] = {}
        # Held-out parts first, in the fixed order of SPLITS; the one without a share gets the rest.
        for split in sorted(SPLITS, key=lambda name: parts[name].share is None):
            part = parts[split]
            if part.origin != origin:
                continue
            if part.share is None:
                divided[split] = left
                continue
            size = round(part.share * len(examples))
            chosen = choose(take(alike, left), size, part.seed)
            divided[split] = [left[index] for index in chosen]
            gone = set(divided[split])
            left = [index for index in left if index not in gone]
        for split, indices in divided.items():
            rows = take(examples, indices)
            limit = getattr(self._content.limit, split)
            if limit is not None:
                rows = take(rows, choose(take(alike, indices), limit))
            if not rows:
                raise InputError(
                    f"{self.file}: the split {split} is empty: "
                    f"{self._source.where(origin)} has {len(examples)} rows"
                )
            self._cache[split] = rows

    def _load(self, origin: str) -> list[Example]:
        from trainables.tasks.schema import columns_of, filled

        formats = {"text": self.text} | ({} if self.pair is None else {"pair": self.pair})
        columns = {name: columns_of(form) for name, form in formats.items()}
        found: list[tuple[int, list[str], Any]] = []
        for number, row in self._rows_of(origin):
            where = functools.partial(self._source.where, origin, number)
            texts = []
            for name, form in formats.items():
                values = {column: self._text(row, column, name, where) for column in columns[name]}
                texts.append(filled(form, values).strip())
            if self.free:
                values = {
                    column: self._value(row, column, "answer", where)
                    for column in columns_of(self.answer)
                }
                right = gold_texts(self.answer, values, self.answer_names, where)
                gold = self._golds.setdefault(right, len(self._golds))
                found.append((number, texts, gold))
                continue
            label = self._value(row, self.label, "label", where)
            if not any(type(label) is type(each) and label == each for each in self.leave_out):
                found.append((number, texts, label))
        if self.free:
            return [Example(texts[0], gold, *texts[1:]) for _, texts, gold in found]
        index_of = self._class_indices()
        if found and "-1" not in index_of and all(str(value) == "-1" for *_, value in found):
            raise InputError(
                f"all labels of {self._source.where(origin)} are -1, which means that they are "
                "not public; let the task file's splits name another one, such as validation"
            )
        examples = []
        for number, texts, value in found:
            # True is an int and 1.0 equals one, but neither is a label.
            index = index_of.get(str(value)) if type(value) in (int, str) else None
            if index is None:
                raise InputError(
                    f"{self._source.where(origin, number)} has the label {show(value)}, "
                    f"but must have {self._allowed_labels()}"
                )
            examples.append(Example(texts[0], index, *texts[1:]))
        return examples

    def _rows_of(self, origin: str) -> Iterator[tuple[int, Row]]:
        """The source's rows; its errors get the task file's name."""
        try:
            for number, row in self._source.rows(origin):
                for text in (*row, *row.values()):
                    if isinstance(text, str):
                        check_characters(text, self._source.where(origin, number))
                yield number, row
        except InputError as error:
            raise InputError(f"{self.file}: {error}") from error.__cause__

    def _class_indices(self) -> dict[str, int]:
        """Class index by what may stand in the label column."""
        known = (
            {}
            if self._numeric_names()
            else {str(index): index for index in range(self.num_classes)}
        )
        return known | {name: index for index, name in enumerate(self.classes)}

    def _numeric_names(self) -> bool:
        """Whether a class is named by a number: classes 1 to 5 must not be taken for indices."""
        return any(name.lstrip("-").isdecimal() for name in self.classes)

    def _allowed_labels(self) -> str:
        names = f"one of {named(self.classes)}"
        return names if self._numeric_names() else f"0 to {self.num_classes - 1} or {names}"

    def _value(self, row: Row, column: str, wanted_by: str, where: Callable[[], str]) -> Any:
        within = _LISTED.fullmatch(column)
        if column not in row and within and isinstance(row.get(within["column"]), list):
            values, place = row[within["column"]], int(within["place"])
            if place < len(values):
                return values[place]
            raise InputError(
                f"{where()} has {len(values)} values in the column {show(within['column'])}, but"
                f" {self.file.name} names {show(column)} under {wanted_by}"
            )
        if column not in row:
            raise InputError(
                f"{where()} has no column {show(column)}, which {self.file.name} names under "
                f"{wanted_by}, but only {named(row)}"
            )
        return row[column]

    def _text(self, row: Row, column: str, wanted_by: str, where: Callable[[], str]) -> str:
        value = self._value(row, column, wanted_by, where)
        if not isinstance(value, (str, int, float)) or value != value:  # NaN: no text was there
            raise InputError(
                f"{where()} has {show(value)} in the column {show(column)}, but text is needed"
            )
        return str(value)


class _Gone(Source):
    """In place of the rows of a task that is only remembered."""

    def __init__(self, task: str, pinned: bool) -> None:
        self._task, self.pinned = task, pinned

    def fingerprint(self) -> dict[str, Any]:
        return {}

    def rows(self, name: str) -> Iterator[tuple[int, Row]]:
        raise InputError(f"{self.where(name)}: the sweep's folder remembers the task, not its rows")

    def where(self, name: str, number: int | None = None) -> str:
        return f"split {name!r} of {self._task}"


def _source_of(content: AnyTaskFile, folder: Path) -> Source:
    """Where the rows of a task file in ``folder`` are."""
    data = content.data
    if data.files is not None:
        return FileSource({name: folder / path for name, path in data.files.items()})
    assert data.hub is not None, "the schema demands files or hub"
    hub = data.hub
    return hub_source(hub.path, hub.name, hub.revision, folder, hub.folder)
