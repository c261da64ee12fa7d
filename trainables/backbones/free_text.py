"""Answers of free text: what a model says behind a row, and what it makes of the gold answer.

A causal or sequence-to-sequence model says the likeliest token (of the usable vocabulary), and the
next behind that, until its end token or as many as are allowed; a line ends an answer too. Every
token takes a reading of the whole row: nothing is remembered but prompts, so that every model and
layout can do it.

What is trained is the negative log-likelihood of the first gold answer with the end token behind
it, summed over tokens.

Shapes: N rows, A different gold answers, T tokens of the longest, d embedding width, V usable rows
of the vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from trainables.backbones.labels import AnswerTexts, Asked, Given, Reads
from trainables.errors import InputError

if TYPE_CHECKING:
    from trainables.backbones.layout import Encoded
    from trainables.backbones.reader import Reader

SCORE, LOSS = 0, 1
"""Columns of what stands in place of logits: the answer's score, the gold answer's loss."""


@dataclass(frozen=True, eq=False)
class FreeText(AnswerTexts):
    """Gold answers as a model spells them; the gold of a row is its number among them.

    Attributes:
        golds: the texts that count as right, per number.
        table: tokens of the first of each, the end token behind it [A, T].
        lengths: how many of them there are [A].
        judge: score of a text against the gold ones, 0 to 1.
        most: tokens that an answer may have.
        end: id of the end token; None where there is none.
        tokenizer: of the model.
        inside: whether an answer stands in the row, and not in a decoder of its own.
    """

    golds: Sequence[Sequence[str]]
    table: torch.Tensor
    lengths: torch.Tensor
    judge: Callable[[str, Sequence[str]], float]
    most: int
    end: int | None
    tokenizer: Any
    inside: bool = True

    def __len__(self) -> int:
        return 2

    def vectors(self, table: torch.Tensor) -> torch.Tensor:
        """Of each gold answer the mean of its tokens' rows in a table [V, d], float32 [A, d].

        In the order of the texts, whatever row each was first met in.
        """
        found = []
        for place in sorted(range(len(self.golds)), key=lambda place: tuple(self.golds[place])):
            ids = self.table[place, : self.lengths[place]].tolist()
            ids = ids[:-1] if ids[-1] == self.end else ids
            found.append(table[ids].float().mean(0))
        return torch.stack(found)

    @property
    def reads(self) -> Reads:
        """Of training: a reading for each token of the longest gold answer."""
        return self._readings(self.table.shape[1])

    @property
    def judged(self) -> Reads:
        """Of an evaluation, which also says an answer: at most so much."""
        one, other = self.reads, self._readings(self.most)
        longest = max(one.longest, other.longest)
        return Reads(one.rows + other.rows, one.tokens + other.tokens, longest)

    def _readings(self, count: int) -> Reads:
        return Reads(count, count * (count - 1) // 2, count - 1) if self.inside else Reads(count)

    def scores(
        self,
        backbone: Asked,
        batch: "Encoded",
        prompts: Given = None,
        owner: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Score of what is said and loss of the gold answer [N, 2], no gradient."""
        with torch.no_grad():
            prompts = self.once(backbone, batch, prompts, owner)
            said = self.said(backbone, batch, prompts, owner)
            losses = self.losses(backbone, batch, prompts, owner)
        golds = (self.golds[number] for number in batch.gold.tolist())
        right = [self.judge(text, gold) for text, gold in zip(said, golds, strict=True)]
        return torch.stack([losses.new_tensor(right), losses], dim=1)

    def losses(
        self,
        backbone: Asked,
        batch: "Encoded",
        prompts: Given = None,
        owner: torch.Tensor | None = None,
        whole: bool = True,
    ) -> torch.Tensor:
        """Negative log-likelihood [N] of each row's gold answer, over the vocabulary."""
        del whole
        prompts = self.once(backbone, batch, prompts, owner)
        gold, found = self.table[batch.gold], []
        for place in range(gold.shape[1]):
            rows = backbone.family.answered(batch, gold[:, :place], place)
            logits = backbone.row_logits(rows, None, prompts, owner)
            own = logits.gather(1, gold[:, place, None])[:, 0] - logits.logsumexp(-1)
            found.append(torch.where(place < self.lengths[batch.gold], -own, 0.0))
        return torch.stack(found).sum(0)

    def said(
        self,
        backbone: Asked,
        batch: "Encoded",
        prompts: Given = None,
        owner: torch.Tensor | None = None,
    ) -> list[str]:
        """What the model answers to each row: greedy, the first line of it."""
        tokens = batch.ids.new_empty(len(batch), 0)
        over = torch.zeros(len(batch), dtype=torch.bool, device=tokens.device)
        for place in range(self.most):
            rows = backbone.family.answered(batch, tokens, place)
            logits = backbone.row_logits(rows, None, prompts, owner)
            tokens = torch.cat([tokens, logits.argmax(-1, keepdim=True)], dim=1)
            over |= tokens[:, -1] == (-1 if self.end is None else self.end)
            if bool(over.all()):
                break
        return [self._text(ids) for ids in tokens.tolist()]

    def _text(self, ids: list[int]) -> str:
        kept = ids[: ids.index(self.end)] if self.end in ids else ids
        text: str = self.tokenizer.decode(kept, clean_up_tokenization_spaces=False)
        return next(iter(text.strip().splitlines()), "").strip()


def free_text(
    reader: "Reader",
    golds: Sequence[Sequence[str]],
    judge: Callable[[str, Sequence[str]], float],
    most: int,
    task: str,
    device: str | torch.device = "cpu",
    chat: bool = False,
) -> FreeText:
    """A task's gold answers on a model.

    Args:
        reader: of the model; no weights are needed.
        golds: texts that count as right; the first of each is what is trained.
        judge: score of a text against them.
        most: tokens that an answer may have; of longer gold answers the first ones are trained.
        task: its name, for messages.
        device: where ids are to be.
        chat: whether answers stand behind the chat template.

    Raises:
        InputError: a masked model, or a gold answer without tokens.
    """
    where = f"model {reader.alias!r}, task {task!r}"
    if reader.family.masked:
        raise InputError(
            f"{where}: found a masked model, which cannot say answers of free text; allowed: causal"
            " and sequence-to-sequence models, or a task with classes"
        )
    end = reader.tokenizer.eos_token_id
    end = end if end is not None and end < reader.rows else None
    rows = []
    for texts in golds:
        ids = [number for number in reader.answer_tokens(texts[0], chat) if number < reader.rows]
        if not ids:
            raise InputError(
                f"{where}: found the answer {texts[0]!r}, which has no token; allowed: answers with"
                " at least one"
            )
        rows.append(ids[:most] if len(ids) >= most or end is None else [*ids, end])
    longest = max(map(len, rows))
    table = torch.tensor([ids + [0] * (longest - len(ids)) for ids in rows], device=device)
    lengths = torch.tensor([len(ids) for ids in rows], device=device)
    inside = not reader.family.opening
    return FreeText(golds, table, lengths, judge, most, end, reader.tokenizer, inside)
