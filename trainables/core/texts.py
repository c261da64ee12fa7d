"""What a model is given to read, one text or a pair of texts; what people read: times, lists."""

from collections.abc import Iterable, Sequence

Text = str | tuple[str, str]
Word = str | tuple[str, ...]
"""What a class is called by: one word or text, or several that count alike."""


SCORINGS = ("first_token", "mean", "sum")
"""How texts of several tokens are scored, see :mod:`trainables.backbones.labels`."""


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
