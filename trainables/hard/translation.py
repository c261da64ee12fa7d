"""Prompts as text: the text of token ids, and the ids another tokenizer reads in that text."""

from functools import cached_property

from trainables.backbones import Reader
from trainables.hard.scorer import Ids


def surfaces(reader: Reader) -> dict[int, str]:
    """Words that are one token of a model, by their ids."""
    return {number: word for word, number in reader.words.items()}


class Translation:
    """Ids of one tokenizer into ids of another, by way of the text.

    A prompt of word-start tokens is the text of its words with a space between them; where every
    word is one token of the other tokenizer too, its ids are looked up and no text is ever made.
    Everything else is decoded and encoded, once: the number of tokens may change.
    """

    def __init__(self, source: Reader, target: Reader) -> None:
        """From ``source`` to ``target``."""
        self._source = source
        self._target = target
        self._known: dict[Ids, Ids] = {}

    def __call__(self, ids: Ids) -> Ids:
        """Ids on the target of the text that ``ids`` are on the source."""
        looked_up = tuple(self._table[number] for number in ids if number in self._table)
        if len(looked_up) == len(ids):
            return looked_up
        if ids not in self._known:
            self._known[ids] = tuple(self._target.tokens(self._target.lead + self.text(ids)))
        return self._known[ids]

    def text(self, ids: Ids) -> str:
        """The text of source ids, without space around it."""
        words = [self._words[number] for number in ids if number in self._words]
        if len(words) == len(ids):
            return " ".join(words)
        decoded: str = self._source.tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        return decoded.strip()

    @cached_property
    def _words(self) -> dict[int, str]:
        return surfaces(self._source)

    @cached_property
    def _table(self) -> dict[int, int]:
        """Target id of every source token that is the same word on both."""
        target = self._target.words
        return {number: target[word] for number, word in self._words.items() if word in target}
