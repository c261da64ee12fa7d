"""Which words are English: a word list, and no model."""

import math
import unicodedata
from collections.abc import Sequence
from functools import cache

SHORT = 2
"""Letters up to which a word has to be frequent to count."""
FREQUENT = 100_000


def dictionary_share(text: str | Sequence[str]) -> float:
    """Share of a prompt's words that are English words, 0 to 1; NaN where there is no word.

    A word is what stands between spaces, so that a glued ``LucMor`` is one word and none of the
    dictionary. Punctuation around it does not matter, nor does case (names and abbreviations of the
    dictionary count). Of a word with hyphens or slashes every part must be in the dictionary. What
    holds a digit, a sign or a character that is no text is no dictionary word, and neither is
    punctuation alone; all of them count among the words. Of words of one or two letters only the
    frequent ones count (a, I, of, we, …): the dictionary holds every letter and many abbreviations.

    The dictionary is the English one of the package ``pyspellchecker``, some 160,000 word forms,
    inflected ones and genitives included; nothing is downloaded.

    Args:
        text: a text, or its words.
    """
    words = (text if isinstance(text, str) else " ".join(text)).split()
    if not words:
        return math.nan
    return sum(map(is_dictionary_word, words)) / len(words)


def is_dictionary_word(word: str) -> bool:
    """Whether ``word`` is an English word under the rules of :func:`dictionary_share`."""
    plain = unicodedata.normalize("NFC", word).replace("’", "'").lower()
    parts = _stripped(plain).replace("/", "-").split("-")
    known = _dictionary()
    return all(part in known for part in parts)


def _stripped(word: str) -> str:
    """The word without punctuation and signs at its ends."""
    kept = [place for place, char in enumerate(word) if unicodedata.category(char)[0] not in "PS"]
    return word[kept[0] : kept[-1] + 1] if kept else ""


@cache
def _dictionary() -> frozenset[str]:
    from spellchecker import SpellChecker  # imported late: it reads its list, a third of a second

    counts = SpellChecker(language="en").word_frequency.dictionary
    return frozenset(
        word for word, count in counts.items() if len(word) > SHORT or count >= FREQUENT
    )
