"""Words that prompts start from: the frequent ones of a model, in the order a seed draws them."""

from collections.abc import Sequence

import torch

from trainables.core.seeds import beginning
from trainables.errors import InputError
from trainables.words.vocabulary import Vocabulary

FREQUENT = 5000
"""Words that are sampled from (Lester et al. 2021, section 3.2)."""


def frequent_words(
    reader: Vocabulary, field: str = "init", instead: str = "normal, uniform, text or file"
) -> list[int]:
    """Ids of the some 5,000 most frequent words, as far as a tokenizer tells.

    Tokenizers hold no counts, so the order of their ids stands in for frequency. In WordPiece
    vocabularies, RoBERTa's dictionary and SentencePiece's unigrams (by log probability) words are
    sorted by it, or nearly so. In byte-level and SentencePiece BPE ids follow the merges: a word
    comes once its last pair is the most frequent one left, its pieces before it, so that the start
    of longer words may stand among the words. WordPiece and BPE list their characters first; words
    are therefore whole, word-initial tokens of two letters and more, no digits, no punctuation.
    Where a tokenizer has fewer than 5,000 of them, all are taken.

    Args:
        reader: the model.
        field: the setting that asks for words, for the message.
        instead: its values that do without.

    Returns:
        At most :data:`FREQUENT` ids, the most frequent first.

    Raises:
        InputError: the tokenizer has no such token.
    """
    ids = [number for word, number in reader.words.items() if len(word) > 1 and word.isalpha()]
    if not ids:
        raise InputError(
            f"{field}: model {reader.alias!r} has no whole word among its tokens to sample from;"
            f" allowed: {instead} for such a model"
        )
    return sorted(ids)[:FREQUENT]


def sampled_words(reader: Vocabulary, count: int, seed: int, key: str) -> list[int]:
    """``count`` different frequent words of a model; over again where there are fewer.

    Args:
        reader: the model.
        count: how many.
        seed: of the draw.
        key: stands for the model in it, e.g. its content digest.
    """
    pool = frequent_words(reader)
    order = torch.randperm(len(pool), generator=beginning(seed, key)).tolist()
    return filled([pool[place] for place in order], count)


def words_first(
    reader: Vocabulary, own: torch.Tensor, table: torch.Tensor, count: int, seed: int, key: str
) -> torch.Tensor:
    """Vectors [count, d]: label words, then sampled words; labels beyond that are left out.

    Args:
        reader: the model.
        own: a vector a label word [W, d]. Lester et al. average a label's pieces, as is done here.
        table: embeddings of the model [V, d].
        count: how many.
        seed: of the draw.
        key: stands for the model in it.
    """
    first = own[:count].to(table)
    more = sampled_words(reader, count - len(first), seed, key)
    return torch.cat([first, table[torch.tensor(more, dtype=torch.long, device=table.device)]])


def text_tokens(reader: Vocabulary, text: str, field: str = "init_text") -> list[int]:
    """Token ids of a text without special tokens.

    Args:
        reader: the model.
        text: what is read.
        field: the setting that it comes from, for the message.

    Raises:
        InputError: there are none.
    """
    ids = list(reader.tokenizer(reader.lead + text, add_special_tokens=False)["input_ids"])
    if not ids:
        raise InputError(
            f"{field}: found {text!r}, which has no token on model {reader.alias!r};"
            " allowed: a text with at least one token"
        )
    return ids


def filled(ids: Sequence[int], count: int) -> list[int]:
    """Cut or repeated to ``count``."""
    return [ids[place % len(ids)] for place in range(count)]
