"""What a model is given to read, one text or a pair of texts; what people read: times, lists."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

Text = str | tuple[str, str]
Word = str | tuple[str, ...]
"""What a class is called by: one word or text, or several that count alike."""


SCORINGS = ("first_token", "mean", "sum")
"""How texts of several tokens are scored, see :mod:`trainables.backbones.labels`."""


Token = TypeVar("Token")


class Passes(NamedTuple):
    """How often a model reads a row: in training, and where a prompt is scored."""

    trained: int = 1
    judged: int = 1


ONCE = Passes()


def begun(
    word: tuple[Token, ...], at: int, mask: Token | None
) -> tuple[tuple[Token, ...], int, int]:
    """What is read for token ``at`` of an answer, see :mod:`trainables.backbones.labels`.

    Args:
        word: its tokens.
        at: which of them is predicted.
        mask: of a masked model; None: what stands before the token is read.

    Returns:
        What begins the answer, where it is read, and how many tokens a row has besides.
    """
    if mask is None:
        return word[:at], at, at
    if len(word) == 1:
        return (), 0, 0
    return (*word[:at], mask, *word[at + 1 :]), at, len(word) - 1


def listed(word: Word) -> tuple[str, ...]:
    """The words of a class."""
    return (word,) if isinstance(word, str) else tuple(word)


def written(words: Iterable[Word]) -> str:
    """Label words of all classes on one line: ``bad|poor/very good``."""
    return "/".join("|".join(listed(word)) for word in words)


def joined(text: Text) -> str:
    """One text; of a pair, both with a space between them."""
    return text if isinstance(text, str) else " ".join(filter(None, text))


def some(names: Sequence[str], most: int) -> str:
    """The first names with commas, and how many more there are: ``a, b and 3 more``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def duration(seconds: float) -> str:
    """Seconds in words: ``42 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"
