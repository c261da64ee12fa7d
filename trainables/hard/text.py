"""A hard prompt as text: out of the source's tokens, through the ledger, into a target's tokens."""

from collections.abc import Sequence

import numpy as np

from trainables.backbones.reader import Reader


def decode(reader: Reader, ids: Sequence[int]) -> str:
    """The text of a prompt, as it is carried to other models.

    The space that a byte-level tokenizer has before its first word is left out: :func:`encode` puts
    it there again where a model needs it.
    """
    tokenizer = reader.tokenizer
    text: str = tokenizer.decode(
        list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    return text.removeprefix(" ")


def encode(reader: Reader, text: str) -> list[int]:
    """Token ids of a prompt's text on a model; its first word starts a word there.

    Tokens beyond the rows of the embedding table are the unknown token.
    """
    if not text:
        return []
    unknown = reader.tokenizer.unk_token_id
    ids = reader.tokens(reader.lead + text)
    return [number if number < reader.rows else int(unknown or 0) for number in ids]


def to_bytes(text: str) -> np.ndarray:
    """UTF-8 bytes of a text, as prompts of hard cells are kept: uint8 [n]."""
    return np.frombuffer(text.encode(), dtype=np.uint8).copy()


def from_bytes(array: np.ndarray) -> str:
    return bytes(np.asarray(array, dtype=np.uint8)).decode()
