"""How a row is put together, and rows that are: tensors of token ids, no tokenizer and no model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from trainables.dynamic.arrange import arranged
from trainables.dynamic.guide import Guide, Guided

BARE, SENTINEL = "bare", "sentinel"
"""How a sequence-to-sequence model is asked, see :attr:`Layout.answer`."""

LAYERS = "layers"
"""The position of a prompt that stands in no row: keys and values before it, in every layer."""

ARRANGEMENTS: dict[str, tuple[str, ...]] = {
    "prefix": ("prompt", "text", "answer"),
    "infix": ("text", "prompt", "answer"),
    "suffix": ("text", "answer", "prompt"),
    LAYERS: ("text", "answer"),
}
"""Per position, what follows what between the special tokens; the template is part of the text.

A causal model has no answer token, it predicts after the last one, nor has a sequence-to-sequence
model that is asked ``bare``: there, ``suffix`` is ``infix``.
"""


@dataclass(frozen=True)
class Layout:
    """How an input is put together.

    Attributes:
        prompt_length: prompt vectors m (0: none, the Empty and Manual rows).
        position: ``prefix``: begin, prompt, text, template, answer; ``infix``: begin, text,
            template, prompt, answer; ``suffix``: begin, text, template, answer, prompt, for causal
            models the same as ``infix``, as nothing may stand behind their answer; ``layers``:
            begin, text, template, answer, and in every layer the prompt before them all.
        template: words after the text (the Manual row), may be empty.
        text_tokens: texts are cut to this many tokens (None: to what positions allow).
        seam: ``space`` before the text, or ``glued`` to what stands before it, as it is.
        bos: whether what the tokenizer puts before a text stands there.
        answer: how a sequence-to-sequence model is asked for the label word; no other model reads
            it. ``bare``: as the first word of its decoder. ``sentinel``: as what stands for the
            first sentinel, which ends the encoder's text (in the place of a masked model's mask)
            and begins the decoder's.
        chat: whether prompt, text and template stand in the user's turn of the model's chat
            template, which then also says what special tokens there are; the answer is the
            assistant's first token, and ``suffix`` is ``infix``.
        guide: what decides about prompts that are no static ones (None: they are). Rows are put
            together as with ``prefix`` first.
    """

    prompt_length: int = 0
    position: str = "prefix"
    template: str = ""
    text_tokens: int | None = None
    seam: str = "space"
    bos: bool = True
    answer: str = BARE
    chat: bool = False
    guide: Guide | None = None

    @property
    def behind_prompt(self) -> bool:
        """Whether a text stands behind a prompt."""
        return self.position == "prefix" and self.prompt_length > 0

    @property
    def deep(self) -> int:
        """Tokens of a prompt that stands in layers, else 0."""
        return self.prompt_length if self.position == LAYERS else 0

    @property
    def parts(self) -> tuple[str, ...]:
        """What follows what, see :data:`ARRANGEMENTS`."""
        ended = self.chat and self.position == "suffix"
        return ARRANGEMENTS["infix" if ended else self.position]


@dataclass(frozen=True)
class Encoded:
    """A split's texts under one layout, right-padded to the longest.

    Of a model with a decoder of its own, ``ids`` are what its encoder reads.

    Attributes:
        ids: token ids [n, L]; prompt slots and padding hold a filler.
        lengths: true length of each row [n].
        slots: index of each row's first prompt slot [n].
        answers: index of the position where each row's answer is read [n], in ``decoder`` where
            there is one.
        gold: label of each row [n].
        begin: tokens before the prompt where all rows begin alike and go on behind the prompt
            (None: they do not).
        types: token types [n, L], where a row has others than 0 (None: none has).
        decoder: ids that the decoder is given [n, D] (None: the model has none).
        deep: tokens of a prompt that stands before the rows in every layer, 0 where it stands in
            them; they take positions, and are in no length here.
        guided: what is decided about the rows when they are read (None: nothing).
        embeds: what is read in place of ``ids`` [n, L, d] (None: these).
    """

    ids: torch.Tensor
    lengths: torch.Tensor
    slots: torch.Tensor
    answers: torch.Tensor
    gold: torch.Tensor
    begin: int | None = None
    types: torch.Tensor | None = None
    decoder: torch.Tensor | None = None
    deep: int = 0
    guided: Guided | None = None
    embeds: torch.Tensor | None = None

    def __len__(self) -> int:
        return int(self.ids.shape[0])

    @property
    def mask(self) -> torch.Tensor:
        """Attention mask [n, L]: 1 at tokens, 0 at padding."""
        index = torch.arange(self.ids.shape[1], device=self.ids.device)
        return (index[None, :] < self.lengths[:, None]).long()

    @property
    def beside(self) -> dict[str, torch.Tensor]:
        """What a forward pass takes beside embeddings and mask, by the library's names."""
        found = {"token_type_ids": self.types, "decoder_input_ids": self.decoder}
        return {name: value for name, value in found.items() if value is not None}

    def take(self, index: torch.Tensor, longest: int | None = None) -> "Encoded":
        """Rows ``index`` [N], cut to the longest of them.

        ``longest``: to at least how many tokens, where it is known: a GPU need not be asked then.
        """
        lengths = self.lengths[index]
        longest = int(lengths.max()) if longest is None else longest
        return Encoded(
            ids=self.ids[index, :longest],
            lengths=lengths,
            slots=self.slots[index],
            answers=self.answers[index],
            gold=self.gold[index],
            begin=self.begin,
            types=None if self.types is None else self.types[index, :longest],
            decoder=None if self.decoder is None else self.decoder[index],
            deep=self.deep,
            guided=None if self.guided is None else self.guided.take(index),
        )

    def repeat(self, times: int) -> "Encoded":
        """All rows ``times`` over: row i of copy r stands at r · n + i."""
        return Encoded(
            ids=self.ids.repeat(times, 1),
            lengths=self.lengths.repeat(times),
            slots=self.slots.repeat(times),
            answers=self.answers.repeat(times),
            gold=self.gold.repeat(times),
            begin=self.begin,
            types=None if self.types is None else self.types.repeat(times, 1),
            decoder=None if self.decoder is None else self.decoder.repeat(times, 1),
            deep=self.deep,
            guided=None if self.guided is None else self.guided.repeat(times),
        )

    def answered(self, tokens: torch.Tensor, place: int, behind: bool) -> "Encoded":
        """The same rows with their answers begun; what stood behind the answers moves on.

        Args:
            tokens: ids of the answer [T], or of each row's own [n, T]; none: the rows as they are.
            place: where the answer is now read, counted from where it was.
            behind: whether they stand behind the position of the answer (else in its place).
        """
        count = tokens.shape[-1]
        if not count:
            return self
        grown = count - (0 if behind else 1)
        answers = self.answers[:, None]
        columns = torch.arange(self.ids.shape[1] + grown, device=self.ids.device)
        inside = columns - answers - (1 if behind else 0)
        origin = torch.where(inside >= count, columns - grown, columns.minimum(answers))
        own = tokens.expand(len(self), -1).gather(1, inside.clamp(0, count - 1))
        moved = (inside >= 0) & (inside < count)
        return replace(
            self,
            ids=torch.where(moved, own, self.ids.gather(1, origin)),
            lengths=self.lengths + grown,
            slots=self.slots + grown * (self.slots > self.answers),
            answers=self.answers + place,
            types=None if self.types is None else self.types.gather(1, origin),
        )

    def arranged(
        self, table: torch.Tensor, prompts: torch.Tensor, owner: torch.Tensor
    ) -> "Encoded":
        """Guided rows with their prompts in them, as is decided about each.

        Args:
            table: embeddings of all tokens [V, d].
            prompts: matrices of vectors and heads [R, M, d].
            owner: index of each row's [n].
        """
        guided = self.guided
        assert guided is not None
        decided = guided.decided(prompts, owner)
        read = with_prompts(table[self.ids], self.slots, decided.vectors)
        embeds, places, late = arranged(read, decided, self.slots, guided.ends, self.lengths)
        gone = guided.guide.length - decided.kept
        kinds = None
        if self.types is not None:  # behind a text, vectors are of its last segment
            kinds = self.types.gather(1, torch.where(late, guided.ends[:, None], places))
        return replace(
            self,
            lengths=self.lengths - gone,
            answers=self.answers if self.decoder is not None else self.answers - gone,
            types=kinds,
            guided=None,
            embeds=embeds,
        )

    def to(self, device: str) -> "Encoded":
        return replace(
            self,
            ids=self.ids.to(device),
            lengths=self.lengths.to(device),
            slots=self.slots.to(device),
            answers=self.answers.to(device),
            gold=self.gold.to(device),
            types=None if self.types is None else self.types.to(device),
            decoder=None if self.decoder is None else self.decoder.to(device),
            guided=None if self.guided is None else self.guided.to(device),
        )


def with_prompts(embeds: torch.Tensor, slots: torch.Tensor, prompts: torch.Tensor) -> torch.Tensor:
    """Input embeddings [N, L, d] with each row's prompt [N, m, d] from its slot [N] on."""
    every = torch.arange(len(embeds), device=embeds.device)[:, None]
    columns = slots[:, None] + torch.arange(prompts.shape[1], device=embeds.device)
    return embeds.index_put((every, columns), prompts)


def cut(pieces: Sequence[list[int]], room: int) -> list[list[int]]:
    """One or two pieces cut to ``room`` tokens together: the longer one until both are as long.

    As tokenizers do with ``longest_first``: an odd token goes to the one that was longer, between
    equals to the second.
    """
    if len(pieces) == 1:
        return [pieces[0][:room]]
    first, second = map(len, pieces)
    if first + second > room:
        short = min(first, second, room // 2)
        first, second = (room - short, short) if first > second else (short, room - short)
    return [pieces[0][:first], pieces[1][:second]]
