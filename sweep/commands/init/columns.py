"""Which column is the text and which the label, by rules that can be said in a sentence."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from trainables.errors import InputError, nearest, show
from trainables.files.text_files import named

MOST_CLASSES = 20
_LABEL_WORDS = 4
"""Most words in a label, on average: more of them are a text."""
_ROWS_A_CLASS = 2
_CLEARLY = 2
"""How many times as long as the next one a text column is, to be told by its length."""

LABEL_NAMES = (
    *("label", "labels", "class", "classes", "category", "target", "sentiment", "topic", "y"),
    *("gold", "answer", "intent", "stance", "emotion", "rating", "stars", "kind", "type"),
)
TEXT_NAMES = (
    *("text", "texts", "sentence", "tweet", "content", "review", "body", "message", "comment"),
    *("document", "question", "utterance", "post", "abstract", "headline", "title", "input"),
)


@dataclass
class Column:
    """What a column holds.

    Attributes:
        name: as the file has it.
        count: rows that have it.
        words: words in all of its texts together.
        kinds: types of its values.
        values: rows by value; None once there are more than :data:`MOST_CLASSES` of them.
        blank: number of the first row where it is empty, None where there is none.
    """

    name: str
    count: int = 0
    words: int = 0
    kinds: set[type] = field(default_factory=set)
    values: Counter[str] | None = field(default_factory=Counter)
    blank: int | None = None

    def add(self, number: int, value: Any) -> None:
        self.count += 1
        self.kinds.add(type(value))
        text = str(value)
        self.words += len(text.split())
        if not text.strip() and self.blank is None:
            self.blank = number
        if self.values is not None:
            self.values[text] += 1
            if len(self.values) > MOST_CLASSES:
                self.values = None

    @property
    def length(self) -> float:
        """Words a row."""
        return self.words / max(self.count, 1)


class Choice(NamedTuple):
    """A column and the rule that it was chosen by, for people."""

    column: Column
    why: str


def profile(rows: Iterable[tuple[int, Mapping[str, Any]]]) -> tuple[dict[str, Column], int]:
    """All columns by name, in the order of the file, and the number of rows."""
    columns: dict[str, Column] = {}
    count = 0
    for number, row in rows:
        count += 1
        for name, value in row.items():
            if name not in columns:
                columns[name] = Column(name)
            columns[name].add(number, value)
    return columns, count


def choose_label(
    columns: Mapping[str, Column], rows: int, wanted: str | None = None, text: str | None = None
) -> Choice:
    """The column with the classes.

    The one asked for; else, of the columns with 2 to 20 different values that come twice and more,
    the one that is called like a label; else the only one.

    Args:
        columns: of :func:`profile`.
        rows: how many there are; a column must be in all of them.
        wanted: ``--label``.
        text: ``--text``, which is not looked at.

    Raises:
        InputError: none is one, or several may be.
    """
    choice = _label(columns, rows, wanted, text)
    if choice.column.blank is not None:
        raise InputError(
            f"--label: column {show(choice.column.name)} is empty in line {choice.column.blank};"
            " allowed: a class in every row"
        )
    return choice


def _label(
    columns: Mapping[str, Column], rows: int, wanted: str | None, text: str | None
) -> Choice:
    if wanted is not None:
        column = _asked(columns, wanted, "--label")
        _check_label(column, rows)
        return Choice(column, "as asked")
    others = [column for column in columns.values() if column.name != text]
    fitting = [column for column in others if _reads_as_label(column, rows)]
    by_name = called(fitting, LABEL_NAMES)
    if len(by_name) == 1:
        return Choice(by_name[0], "by its name")
    if len(fitting) == 1:
        return Choice(fitting[0], f"the only one with 2 to {MOST_CLASSES} values")
    if fitting:
        raise _doubt("--label", by_name or fitting)
    for column in called(others, LABEL_NAMES):
        _check_label(column, rows)
    raise InputError(
        f"--label: found no column with 2 to {MOST_CLASSES} different values that come twice and"
        f" more, in {named(columns)}; allowed: a file with a column of classes"
    )


def choose_text(
    columns: Mapping[str, Column], rows: int, label: str, wanted: str | None = None
) -> Choice:
    """The column with the texts.

    The one asked for; else, of the columns of text beside the label, the one that is called like a
    text; else the only one, or the one whose texts are twice as long as the next one's.

    Raises:
        InputError: none is one, or several may be.
    """
    if wanted is not None:
        column = _asked(columns, wanted, "--text")
        if wanted == label:
            raise InputError(
                f"--text: found {show(wanted)}, which is the label; allowed: another column"
            )
        _check_text(column, rows)
        return Choice(column, "as asked")
    fitting = [
        column
        for column in columns.values()
        if column.name != label and column.kinds == {str} and column.count == rows
    ]
    by_name = called(fitting, TEXT_NAMES)
    if len(by_name) == 1:
        return Choice(by_name[0], "by its name")
    left = sorted(by_name or fitting, key=lambda column: -column.length)
    if not left:
        raise InputError(
            f"--text: found no column of texts beside the label {show(label)}, in"
            f" {named(columns)}; allowed: a file with a column of texts"
        )
    if len(left) == 1:
        return Choice(left[0], "the only other one")
    if left[0].length >= _CLEARLY * left[1].length:
        return Choice(left[0], "the longest texts")
    raise _doubt("--text", left)


def called(columns: Sequence[Column], names: Sequence[str]) -> list[Column]:
    """Those of the columns that have one of ``names``; capitals make no difference."""
    return [column for column in columns if column.name.strip().lower() in names]


def _reads_as_label(column: Column, rows: int) -> bool:
    values = column.values
    return (
        column.count == rows
        and column.kinds <= {str, int}
        and values is not None
        and len(values) >= 2
        and rows >= _ROWS_A_CLASS * len(values)
        and column.length < _LABEL_WORDS
    )


def _check_label(column: Column, rows: int) -> None:
    where = f"--label: column {show(column.name)}"
    if column.count < rows:
        raise InputError(
            f"{where} is in {column.count} of {rows} rows; allowed: a column of every row"
        )
    if not column.kinds <= {str, int}:
        kinds = ", ".join(sorted(kind.__name__ for kind in column.kinds))
        raise InputError(f"{where} holds values of type {kinds}; allowed: text or whole numbers")
    if column.values is None or len(column.values) < 2:
        found = f"more than {MOST_CLASSES}" if column.values is None else len(column.values)
        raise InputError(
            f"{where} has {found} different values; allowed: 2 to {MOST_CLASSES} classes"
        )


def _check_text(column: Column, rows: int) -> None:
    if column.count < rows or column.kinds != {str}:
        raise InputError(
            f"--text: column {show(column.name)} does not hold text in every row;"
            " allowed: a column that does"
        )


def _asked(columns: Mapping[str, Column], name: str, option: str) -> Column:
    if name not in columns:
        raise InputError(
            f"{option}: found {show(name)}{nearest(name, columns)}; allowed: {named(columns)}"
        )
    return columns[name]


def _doubt(option: str, columns: Iterable[Column]) -> InputError:
    names = " and ".join(show(column.name) for column in columns)
    return InputError(f"{option}: found {names}, each of which it may be; allowed: one, by name")
