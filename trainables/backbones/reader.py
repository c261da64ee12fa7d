"""The tokenizer's side of a backbone: texts, label words and layouts turned into token ids."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import torch

from trainables.backbones.chat import ChatFrame, rendered
from trainables.backbones.family import Family, PastShape
from trainables.backbones.layout import BARE, LAYERS, SENTINEL, Encoded, Layout, cut
from trainables.core.texts import Text, joined
from trainables.dynamic.guide import Guided
from trainables.errors import InputError
from trainables.models.heads import SEQUENCE
from trainables.words.vocabulary import word_table

FIRST_SENTINEL = "<extra_id_0>"
"""What T5 and its like have been taught to fill in first."""


class Reader:
    """A tokenizer with its model family's conventions; no weights needed.

    Attributes:
        alias: the model's name in tables.
        family: what the architecture asks for.
        rows: usable rows of the embedding table: none behind the tokenizer's last token.
        begin: special token ids before the prompt; end: after the answer.
        separator: special token ids between the two texts of a pair; where there are none, as on
            every model that is not masked, a pair is read as one text with a space between.
        second_type: token type of all that follows a separator.
        lead: what a text is prefixed with so that its first word is a word-start token.
        blank: token that stands for what the model is to fill in: a mask, or the first sentinel of
            a sequence-to-sequence model; None where it knows no such thing.
    """

    def __init__(self, alias: str, family: Family, tokenizer: Any) -> None:
        """Read the tokenizer's conventions.

        Raises:
            InputError: a masked model whose tokenizer has no mask token.
        """
        self.alias = alias
        self.family = family
        self.tokenizer = tokenizer
        last = max(tokenizer.get_vocab().values(), default=-1)
        self.rows = min(last + 1, int(family.config.vocab_size))
        self.begin, self.end = self._special_frame()
        self.separator, self.second_type = self._pair_frame()
        # Byte-level tokenizers need a space before a text (else its first word is glued to what
        # stands before); some SentencePiece ones add it by themselves.
        self.lead = " " if len(self.tokens(" the")) <= len(self.tokens("the")) else ""
        self.blank = self._blank()
        if family.masked and self.blank is None:
            raise InputError(f"model {alias!r}: its tokenizer has no mask token")

    def check_ids(self) -> None:
        """Refuse a tokenizer that gives ids beyond the embedding table: any text might hold one.

        Raises:
            InputError: a token of the vocabulary, added ones included, or a special token that the
                tokenizer puts around texts has no row in the table.
        """
        table = int(self.family.config.vocab_size)
        known = {number: token for token, number in self.tokenizer.get_vocab().items()}
        around = (*self.begin, *self.end, *self.separator)
        beyond = sorted(number for number in {*known, *around} if number >= table)
        if not beyond:
            return
        more = f" and {len(beyond) - 1} more beyond it" if len(beyond) > 1 else ""
        raise InputError(
            f"model {self.alias!r}: its tokenizer has the token"
            f" {known.get(beyond[0], '(unnamed)')!r} with id {beyond[0]}{more}, but its embedding"
            f" table has {table} rows; allowed: ids 0 to {table - 1}, so resize the table"
            " (resize_token_embeddings) or take the token out"
        )

    def vector_width(self, position: str) -> int:
        """Numbers of one vector of a prompt at a position: d, in layers keys and values D.

        Raises:
            InputError: a prompt in the layers of a model that takes none there.
        """
        return self.past.width if position == LAYERS else self.family.width

    @property
    def past(self) -> PastShape:
        """Keys and values that its layers may be handed.

        Raises:
            InputError: they take none.
        """
        found = self.family.past
        if found is None:
            raise InputError(
                f"model {self.alias!r}: found one of type {self.family.model_type!r}, whose layers"
                " take no keys and values of a prompt, or look back through a window; allowed in"
                " the method prefix: causal models without windows (GPT-2, LLaMA, OPT, Qwen and"
                " the like), BERT, RoBERTa and their like"
            )
        return found

    @cached_property
    def tokenless(self) -> list[int]:
        """Usable rows that no token has: gaps in the tokenizer's ids."""
        return sorted(set(range(self.rows)) - set(self.tokenizer.get_vocab().values()))

    @cached_property
    def words(self) -> dict[str, int]:
        """Words that are one token of this model, with their ids."""
        return word_table(self)

    @cached_property
    def chat(self) -> ChatFrame | None:
        """The model's chat template; None where it has none, as all that are not causal.

        Raises:
            InputError: it cannot be rendered.
        """
        if not self.family.causal or not getattr(self.tokenizer, "chat_template", None):
            return None
        return ChatFrame(
            rendered(self.tokenizer, self.alias),
            lambda texts: self.tokenizer(list(texts), add_special_tokens=False)["input_ids"],
        )

    def _chat(self, layout: Layout) -> ChatFrame | None:
        if layout.chat and self.chat is None:
            raise InputError(no_chat(self.alias))
        return self.chat if layout.chat else None

    def _special_frame(self) -> tuple[list[int], list[int]]:
        """Special tokens that the tokenizer itself puts before and after a text."""
        bare = self.tokens("a")
        framed = list(self.tokenizer("a", add_special_tokens=True)["input_ids"])
        for start in range(len(framed) - len(bare) + 1):
            if framed[start : start + len(bare)] == bare:
                # A causal model predicts after the last word: nothing may follow it.
                end = [] if self.family.causal else framed[start + len(bare) :]
                return framed[:start], end
        return [], []

    def _pair_frame(self) -> tuple[list[int], int]:
        """What the tokenizer itself puts between two texts, and its token type for the second.

        Separators of causal tokenizers are left out: they are the begin token once more (OPT,
        LLaMA) or nothing (GPT-2), and no such model has learned to read one. T5 has not either: its
        tasks on pairs were one text.
        """
        if not self.family.masked:
            return [], 0
        bare = self.tokens("a")
        framed = self.tokenizer("a", "a", return_token_type_ids=True)
        ids, left = list(framed["input_ids"]), [*self.begin, *bare]
        right = [*bare, *self.end]
        between = ids[len(left) : len(ids) - len(right)]
        if ids != [*left, *between, *right]:
            return [], 0
        second = int(framed["token_type_ids"][len(left) + len(between)])
        known = second < int(getattr(self.family.config, "type_vocab_size", 1))
        return between, second if between and known else 0

    def tokens(self, text: str) -> list[int]:
        """Token ids of ``text`` as it stands, without special tokens."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def answer_tokens(self, word: str, chat: bool = False) -> list[int]:
        """Token ids of ``word`` as an answer: at the start of a word, or of an assistant's turn."""
        if chat and self.chat is not None:
            return self.chat.answer(word)
        return self.tokens(self.lead + word)

    def known(self, ids: Sequence[int]) -> bool:
        """Whether there are tokens, and the model knows every one of them."""
        unknown = self.tokenizer.unk_token_id
        return bool(ids) and all(number != unknown and number < self.rows for number in ids)

    def word_id(self, word: str) -> int | None:
        """Id of ``word`` at the start of a word, or None if it is not a single known token."""
        ids = self.answer_tokens(word)
        return ids[0] if len(ids) == 1 and self.known(ids) else None

    def room(self, layout: Layout, task: str, pair: bool = False, spare: int = 0) -> int:
        """Tokens left for a text, or for both of a ``pair`` together, under a layout.

        ``spare``: positions that answers of several tokens take besides.

        Raises:
            InputError: prompt and template leave no room for a text.
        """
        fixed = len(self.frame(layout)) + layout.prompt_length + len(self.template_ids(layout))
        fixed += len(self.end) + len(self.answer_ids(layout))
        fixed += len(self.closing(layout))
        fixed += len(self.separator) if pair else 0
        fixed += spare
        room = self.family.max_tokens - fixed
        if room < 1:
            raise InputError(
                f"model {self.alias!r}, task {task!r}: prompt_length {layout.prompt_length} with"
                f" template and special tokens takes {fixed} positions;"
                f" allowed: fewer than {self.family.max_tokens}"
            )
        return room if layout.text_tokens is None else min(room, layout.text_tokens)

    def template_ids(self, layout: Layout) -> list[int]:
        """Token ids of the words that a layout puts after the text."""
        if not layout.template:
            return []
        if chat := self._chat(layout):
            return chat.ends(_behind(layout.template))[0]
        # ". It was" goes on where the text ends, "It was" is a word of its own.
        own_word = layout.template[0].isalnum()
        return self.tokens((self.lead if own_word else "") + layout.template)

    def frame(self, layout: Layout) -> list[int]:
        """Token ids that a row begins with."""
        if chat := self._chat(layout):
            return chat.begin
        return self.begin if layout.bos else []

    def _blank(self) -> int | None:
        if self.family.head is not SEQUENCE:
            return self.tokenizer.mask_token_id if self.family.masked else None
        ids = self.tokens(FIRST_SENTINEL)
        return ids[0] if len(ids) == 1 and ids[0] != self.tokenizer.unk_token_id else None

    def answer_ids(self, layout: Layout) -> list[int]:
        """What stands in a row where its answer belongs; empty where nothing does.

        Raises:
            InputError: a sentinel is asked for, and the tokenizer has none.
        """
        asked = self.family.head is SEQUENCE and layout.answer == SENTINEL
        if not (asked or self.family.masked):
            return []
        if self.blank is None:
            raise InputError(
                f"answer: found {SENTINEL!r} on model {self.alias!r}, whose tokenizer has no token"
                f" {FIRST_SENTINEL}; allowed: {BARE!r} on this model"
            )
        return [self.blank]

    def opened(self, data: Encoded, answer: str = BARE) -> Encoded:
        """Rows with what the decoder is given, at whose end the answer is read.

        Rows of a model without a decoder of its own stay as they are.

        Args:
            data: rows of the encoder.
            answer: see :attr:`Layout.answer`.
        """
        ids = self.decoder_ids(answer)
        if not ids:
            return data
        given = torch.tensor(ids, device=data.ids.device).repeat(len(data), 1)
        return replace(
            data, decoder=given, answers=torch.full_like(data.answers, len(ids) - 1), begin=None
        )

    def decoder_ids(self, answer: str = BARE) -> list[int]:
        """Ids that the decoder is given before its answer; empty where there is no decoder."""
        opening = self.family.opening
        return [*opening, *self.answer_ids(Layout(answer=answer))] if opening else []

    def closing(self, layout: Layout) -> list[int]:
        """Token ids between the user's turn of a chat template and the answer."""
        chat = self._chat(layout)
        return chat.ends(_behind(layout.template))[1] if chat else []

    def text_lead(self, layout: Layout) -> str:
        """What a text is prefixed with under a layout."""
        chat = self._chat(layout)
        if chat and not layout.behind_prompt:
            return chat.text.lead
        return self.lead if layout.seam == "space" else ""

    def encode(
        self,
        texts: Sequence[Text],
        gold: Sequence[int],
        layout: Layout,
        task: str = "",
        spare: int = 0,
    ) -> Encoded:
        """Tokenise texts under a layout; only the text is ever cut, never prompt or template.

        A pair stands where a text stands: first text, separator, second text. All that follows the
        separator, to the end of the row, has the second text's token type.

        Args:
            texts: n texts or pairs of texts; of a pair the longer one is cut first.
            gold: n labels.
            layout: where the prompt, the template and the answer go.
            spare: positions left free for answers of several tokens.

        Raises:
            InputError: no room for a text, or nothing at all to read before the answer.
        """
        pair = any(isinstance(text, tuple) for text in texts)
        room = self.room(layout, task, pair, spare)
        template = self.template_ids(layout)
        blank = self.answer_ids(layout)
        answer = [*blank, *self.closing(layout)]
        filler = [0] * layout.prompt_length
        rows: list[list[int]] = []
        seconds: list[int] = []
        slots: list[int] = []
        answers: list[int] = []
        ends: list[int] = []
        begin = self.frame(layout)
        for pieces in self._pieces(texts, layout):
            first, *second = cut(pieces, room)
            opening = [*first, *self.separator] if second else first
            parts = {
                "prompt": filler,
                "text": [*opening, *chain(*second), *template],
                "answer": answer,
            }
            row, starts = [*begin], {}
            for part in layout.parts:
                starts[part] = len(row)
                row += parts[part]
            if not (row or self.end):
                raise InputError(f"task {task!r}: an empty text cannot be scored without a prompt")
            slots.append(starts.get("prompt", len(begin)))
            ends.append(starts["text"] + len(parts["text"]))
            answers.append(starts["answer"] if blank else len(row) - 1)
            rows.append([*row, *self.end])
            seconds.append(starts["text"] + len(opening) if second else len(rows[-1]))
        lengths = [len(row) for row in rows]
        padded = np.zeros((len(rows), max(lengths)), dtype=np.int64)
        for place, row in enumerate(rows):
            padded[place, : len(row)] = row
        behind = len(begin) + layout.prompt_length
        guided = None if layout.guide is None else Guided(layout.guide, torch.tensor(ends))
        alike = layout.position == "prefix" and min(answers) >= behind and guided is None
        data = Encoded(
            ids=torch.from_numpy(padded),
            lengths=torch.tensor(lengths),
            slots=torch.tensor(slots),
            answers=torch.tensor(answers),
            gold=torch.tensor(list(gold)),
            begin=len(begin) if alike else None,
            types=self._types(padded.shape, seconds, lengths),
            deep=layout.deep,
            guided=guided,
        )
        return self.opened(data, layout.answer)

    def _pieces(self, texts: Sequence[Text], layout: Layout) -> list[list[list[int]]]:
        """Token ids of every text, in two pieces where it is a pair and is read as one."""
        lead = self.text_lead(layout)
        if chat := self._chat(layout):
            flat, behind = [joined(text) for text in texts], layout.behind_prompt
            found = chat.texts(flat, _behind(layout.template), lead if behind else None)
            return [[row] for row in found]
        split = [
            text if isinstance(text, tuple) and self.separator else (joined(text),)
            for text in texts
        ]
        flat = [lead + piece for pieces in split for piece in pieces]
        ids = iter(self.tokenizer(flat, add_special_tokens=False)["input_ids"])
        return [[list(next(ids)) for _ in pieces] for pieces in split]

    def _types(
        self, shape: tuple[int, ...], seconds: Sequence[int], lengths: Sequence[int]
    ) -> torch.Tensor | None:
        """Token types [n, L] of rows whose second segment begins at ``seconds``."""
        if not self.second_type or list(seconds) == list(lengths):
            return None
        types = torch.zeros(shape, dtype=torch.long)
        for place, (start, end) in enumerate(zip(seconds, lengths, strict=True)):
            types[place, start:end] = self.second_type
        return types


def _behind(words: str) -> str:
    """Words as they follow a text: with a space, unless they begin with a mark."""
    return f" {words}" if words[:1].isalnum() else words


def no_chat(alias: str) -> str:
    """What there is to say of a model without a chat template."""
    return (
        f"model {alias!r}: its tokenizer has no chat template; allowed under template: chat: causal"
        " models with one, or template: all"
    )
