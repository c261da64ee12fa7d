"""A model's own chat template: what it puts around a user's words, and how an answer follows.

The library renders the template once, around a word that no template holds (``apply_chat_template``
with ``add_generation_prompt``). What stands before that word and behind it is fixed; a text, the
task's words and a prompt stand in its place, in the user's turn. No system turn is asked for; one
that the template writes by itself is part of what stands before.

**Tokens are those of the whole.** Where no prompt stands between the frame and a text, the rendered
string is tokenised as one, as the library does it, and the frame's tokens are taken off both ends.
Where a text grows together with the frame at a seam (it begins with a line break, say), it is
tokenised by itself between the frame's usual tokens: every row has the same frame. A prompt is
vectors or tokens of its own, so that there is nothing it could grow together with. The template
writes its special tokens itself: none is added, and none is there twice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from trainables.errors import InputError
from trainables.files.text_files import one_line

TokensOf = Callable[[Sequence[str]], list[list[int]]]
"""Token ids of each text as it stands, without special tokens."""

_WORDS, _ANSWER = "promptsweepwords", "promptsweepanswer"
"""Stand in for a user's words and for an answer when a template is rendered."""
_SAMPLES = ("a", "The", "7")
"""Texts that begin and end with unlike tokens: what all rows with them share is the frame."""
_CLOCK = "strftime_now"
_DAY = datetime(2024, 7, 26, tzinfo=UTC)
"""For templates that write today's date (LLaMA 3.2, which names this day where it has no clock): a
result could not be had again tomorrow."""
_LONGEST = 160
"""Characters of a library's reason at most."""


@dataclass(frozen=True)
class Rendered:
    """A chat template around a user's words.

    Attributes:
        before: all that stands before them, but for ``lead``.
        lead: spaces that their first word begins with (Mistral: one).
        after: all that stands behind them until the answer begins.
        answer: spaces that the answer's first word begins with: those that the template puts
            between its generation prompt and an assistant's words. After a line break or the end of
            a header there are none.
        trims: whether it takes white space around the words away.
    """

    before: str
    lead: str
    after: str
    answer: str
    trims: bool


def rendered(tokenizer: Any, alias: str) -> Rendered:
    """The chat template of a tokenizer that has one.

    Raises:
        InputError: it cannot be rendered, or does not hold the user's words as they are.
    """
    words = _render(tokenizer, alias, _WORDS)
    before, mark, after = words.partition(_WORDS)
    if not mark or _WORDS in after:
        raise InputError(
            f"model {alias!r}: its chat template holds the user's words"
            f" {words.count(_WORDS)} times; allowed: a template that holds them once, or"
            " template: all, which reads the model without it"
        )
    head, tail = before.rstrip(" "), after.rstrip(" ")
    return Rendered(
        before=head,
        lead=before[len(head) :],
        after=tail,
        answer=after[len(tail) :] + _between(tokenizer, alias, words),
        trims=_render(tokenizer, alias, f" {_WORDS} ") == words,
    )


def _render(tokenizer: Any, alias: str, words: str, answer: str | None = None) -> str:
    turns = [{"role": "user", "content": words}]
    if answer is not None:
        turns.append({"role": "assistant", "content": answer})
    try:
        found = tokenizer.apply_chat_template(
            turns,
            chat_template=_on_one_day(tokenizer.get_chat_template()),
            tokenize=False,
            add_generation_prompt=answer is None,
        )
    except Exception as error:  # a template may raise anything
        reason = one_line(str(error) or type(error).__name__)[:_LONGEST].rstrip(".")
        raise InputError(
            f"model {alias!r}: its chat template cannot be rendered ({reason}); allowed: a template"
            " that takes a single user's turn, or template: all, which reads the model without it"
        ) from error
    return str(found)


def _on_one_day(template: str) -> str:
    """A template for which it is always the same day: its clock is a macro of its own."""
    if _CLOCK not in template:
        return template
    parts = "".join(f" | replace('%{code}', '{_DAY:%{code}}')" for code in "aAbBdmyYHMS")
    return f"{{% macro {_CLOCK}(format) %}}{{{{ format{parts} }}}}{{% endmacro %}}{template}"


def _between(tokenizer: Any, alias: str, opened: str) -> str:
    """Spaces between the generation prompt and an assistant's words; none where it is not seen."""
    try:
        closed = _render(tokenizer, alias, _WORDS, _ANSWER)
    except InputError:
        return ""
    start, mark, _ = closed.partition(_ANSWER)
    between = start.removeprefix(opened) if mark and start.startswith(opened) else ""
    return between if between.strip(" ") == "" else ""


class ChatFrame:
    """A chat template in a model's tokens.

    Attributes:
        text: the template as text.
    """

    def __init__(self, text: Rendered, tokens: TokensOf) -> None:
        self.text = text
        self._tokens = tokens
        self._ends: dict[str, tuple[list[int], list[int]]] = {}

    @cached_property
    def begin(self) -> list[int]:
        """Ids before the user's words."""
        rows = self._tokens([self._before + text + self.text.after for text in _SAMPLES])
        return _shared(rows)

    @property
    def _before(self) -> str:
        return self.text.before + self.text.lead

    def ends(self, words: str) -> tuple[list[int], list[int]]:
        """Ids of ``words`` that end the user's turn, as they stand there, and of what follows."""
        if words not in self._ends:
            bare, told = (
                _shared(self._tokens([self._before + text + tail for text in _SAMPLES]), last=True)
                for tail in (self.text.after, words + self.text.after)
            )
            if words and told[len(told) - len(bare) :] == bare:
                told = told[: len(told) - len(bare)]
            elif words:  # they grow together with what follows
                told = self._tokens([words])[0]
            self._ends[words] = (told if words else [], bare)
        return self._ends[words]

    def texts(self, texts: Sequence[str], words: str, lead: str | None = None) -> list[list[int]]:
        """Ids of each text in the user's turn, without the frame and without ``words`` behind it.

        Args:
            texts: as a user writes them.
            words: what follows them in the turn, with a space in front where there is to be one.
            lead: what a text is prefixed with behind a prompt (None: the turn begins with it).
        """
        first = lead is None
        begin, end = (self.begin if first else []), [*self.ends(words)[0], *self.ends(words)[1]]
        inner = [self._trimmed((lead or "") + text + words, first) for text in texts]
        before = self._before if first else ""
        whole = self._tokens([before + text + self.text.after for text in inner])
        found = [_within(row, begin, end) for row in whole]
        odd = [place for place, row in enumerate(found) if row is None]
        head = self.text.lead if first else ""
        bare = [head + self._trimmed((lead or "") + texts[place], first) for place in odd]
        alone = self._tokens(bare) if odd else []
        for place, row in zip(odd, alone, strict=True):
            found[place] = row if texts[place] else []
        return [row or [] for row in found]

    def _trimmed(self, text: str, first: bool) -> str:
        if not self.text.trims:
            return text
        return text.strip() if first else text.rstrip()

    def answer(self, word: str) -> list[int]:
        """Ids of a word at the beginning of the answer."""
        opened = self._before + _SAMPLES[0] + self.text.after
        begun, whole = self._tokens([opened, opened + self.text.answer + word])
        if whole[: len(begun)] == begun:
            return whole[len(begun) :]
        return self._tokens([self.text.answer + word])[0]


def _shared(rows: Sequence[Sequence[int]], last: bool = False) -> list[int]:
    """The ids that all rows begin with, or end with."""
    turned = [row[::-1] if last else row for row in rows]
    count = 0
    while all(len(row) > count and row[count] == turned[0][count] for row in turned):
        count += 1
    found = list(turned[0][:count])
    return found[::-1] if last else found


def _within(row: list[int], begin: list[int], end: list[int]) -> list[int] | None:
    """What stands between two ends of a row; None where it has others."""
    stop = len(row) - len(end)
    if stop < len(begin) or row[: len(begin)] != begin or row[stop:] != end:
        return None
    return row[len(begin) : stop]
