"""A model that scores prompts given as token ids, each on the rows it is asked for.

Shapes: P prompts, m tokens of a prompt, d embedding width, n rows, L tokens of a row, C classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from trainables.backbones import Encoded, Reader, reads_of
from trainables.compute.memory import in_passes
from trainables.compute.passes import length_batches, spare_tokens
from trainables.core.frontier import Cost
from trainables.hard.problem import TaskModel

Ids = tuple[int, ...]
"""Token ids of a prompt."""

PROMPTS_AT_ONCE = 32
"""Prompts that share a forward pass; more gain nothing and only take memory."""

PASS_TOKENS = 4096
"""Tokens of a forward pass. A part of a split has few rows of each length: with larger passes, more
of what is computed is padding."""


def same_ids(ids: Ids) -> Ids:
    """The ids as they are: of a scorer that has the tokenizer the prompts come from."""
    return ids


def with_slots(data: Encoded, old: int, new: int) -> Encoded:
    """Rows with ``old`` prompt slots, given ``new`` of them; text and template stay as they are."""
    grown = new - old
    if not grown:
        return data
    columns = torch.arange(data.ids.shape[1] + grown, device=data.ids.device)
    slots = data.slots[:, None]
    behind = columns >= slots + new
    origin = torch.where(behind, columns - grown, columns).clamp(0, data.ids.shape[1] - 1)
    ids = data.ids.gather(1, origin)
    ids = ids.masked_fill((columns >= slots) & ~behind, 0)
    return replace(
        data,
        ids=ids,
        lengths=data.lengths + grown,
        # A decoder of its own begins as before.
        answers=data.answers
        if data.decoder is not None
        else data.answers + grown * (data.answers >= data.slots),
    )


@dataclass(frozen=True)
class Scorer:
    """A model with its reading of the task.

    Attributes:
        reading: the model, and the task with prompt slots.
        slots: prompt slots m that the rows of ``reading`` hold.
        tokens: turns ids of the tokenizer that prompts come from into ids of this model; the
            number of tokens may change.
    """

    reading: TaskModel
    slots: int
    tokens: Callable[[Ids], Ids] = same_ids

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest row without its prompt."""
        reading = self.reading
        splits = (reading.train, reading.validation)
        return max(int(data.lengths.max()) for data in splits) - self.slots

    def fits(self, ids: Ids) -> bool:
        """Whether the prompt has tokens here, all of them known, and room beside the texts."""
        tokens, backbone = self.tokens(ids), self.reading.backbone
        room = backbone.family.max_tokens - self.longest
        room -= reads_of(self.reading.label_ids).longest
        return 0 < len(tokens) <= room and max(tokens) < backbone.rows

    @torch.no_grad()
    def logits(self, data: Encoded, prompts: Sequence[Ids]) -> torch.Tensor:
        """Label-word logits [P, n, C] of every prompt on the same rows of one of the splits."""
        return in_passes(
            self._pass, PASS_TOKENS, lambda budget: self._logits(data, prompts, budget)
        )

    @property
    def _pass(self) -> tuple[str, str, str]:
        return ("judge", self.reading.backbone.alias, str(self.reading.backbone.device))

    def _logits(self, data: Encoded, prompts: Sequence[Ids], budget: int) -> torch.Tensor:
        backbone, label_ids = self.reading.backbone, self.reading.label_ids
        spare = spare_tokens(backbone.device)
        out = torch.empty(len(prompts), len(data), len(label_ids), device=data.ids.device)
        small = max(1, budget // max(1, self.longest))
        together = PROMPTS_AT_ONCE if budget >= PASS_TOKENS else min(PROMPTS_AT_ONCE, small)
        for places, ids in self._alike(prompts, together):
            rows = with_slots(data, self.slots, ids.shape[1])
            vectors = backbone.embeddings[ids]
            which = torch.tensor(places, device=out.device)[:, None]
            for part in length_batches(
                rows.lengths.cpu(), budget // len(places), spare // len(places)
            ):
                chosen = part.to(out.device)
                found = backbone.label_logits(vectors, rows.take(chosen), label_ids)
                out[which, chosen] = found.to(out.dtype)
        return out

    @torch.no_grad()
    def own_logits(self, prompts: Sequence[Ids], rows: torch.Tensor) -> torch.Tensor:
        """Label-word logits [P, B, C] of prompts, each on training examples of its own [P, B].

        Prompts and examples pass together, sorted by length: next to nothing is computed on
        padding, and prompts on the same example lie side by side.
        """
        return in_passes(
            self._pass, PASS_TOKENS, lambda budget: self._own_logits(prompts, rows, budget)
        )

    def _own_logits(self, prompts: Sequence[Ids], rows: torch.Tensor, budget: int) -> torch.Tensor:
        reading, backbone = self.reading, self.reading.backbone
        device = backbone.device
        spare, count = spare_tokens(device), rows.shape[1]
        out = torch.empty(len(prompts), count, len(reading.label_ids), device=device)
        for places, ids in self._alike(prompts, len(prompts)):
            train = with_slots(reading.train, self.slots, ids.shape[1])
            owner = torch.arange(len(places)).repeat(count)
            example = torch.arange(count).repeat_interleave(len(places))
            row = rows[torch.tensor(places)][owner, example]
            for part in length_batches(train.lengths.cpu()[row], budget, spare):
                used, own = owner[part].unique(return_inverse=True)
                vectors = backbone.embeddings[ids[used.to(device)]]
                batch = train.take(row[part].to(device))
                logits = backbone.row_logits(batch, reading.label_ids, vectors, own.to(device))
                out[torch.tensor(places)[owner[part]].to(device), example[part].to(device)] = logits
        return out

    def _alike(self, prompts: Sequence[Ids], size: int) -> list[tuple[list[int], torch.Tensor]]:
        """Prompts of one length together, ``size`` at most: their places and ids."""
        by_length: dict[int, list[int]] = {}
        tokens = [self.tokens(ids) for ids in prompts]
        for place, ids in enumerate(tokens):
            by_length.setdefault(len(ids), []).append(place)
        device = self.reading.backbone.device
        return [
            (chosen, torch.tensor([tokens[place] for place in chosen], device=device))
            for places in by_length.values()
            for chosen in _chunks(places, size)
        ]


def gradient_cost(source: TaskModel, rows: torch.Tensor) -> Cost:
    """Of the gradient of the loss on training examples, each as often as it stands there."""
    tokens = int(source.train.lengths.cpu()[rows].sum())
    count, tokens = reads_of(source.label_ids).of(rows.numel(), tokens)
    return Cost(
        target_forward_rows=count,
        target_backward_rows=count,
        target_forward_tokens=tokens,
        target_labels=len(rows.unique()),
        access="gradients",
    )


def _chunks(items: list[int], size: int) -> list[list[int]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


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
