"""What a model is given to read: one text, or a pair of texts."""

Text = str | tuple[str, str]


def joined(text: Text) -> str:
    """One text; of a pair, both with a space between them."""
    return text if isinstance(text, str) else " ".join(filter(None, text))
