"""What a model is given to read, one text or a pair of texts; what people read: times, lists."""

from collections.abc import Sequence

Text = str | tuple[str, str]


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
