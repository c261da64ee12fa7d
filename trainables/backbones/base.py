"""The backbone: a frozen language model that reads prompt vectors and scores label words.

Shapes: R prompts (replicas), m prompt tokens, d embedding width, N rows, L tokens, C classes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from trainables.backbones.family import CausalFamily, Family, behind
from trainables.backbones.labels import AnswerTexts, Labels, spell
from trainables.backbones.layout import Encoded, Layout, with_prompts
from trainables.backbones.reader import Reader
from trainables.compute.masks import RowMasks
from trainables.compute.memory import in_passes
from trainables.compute.passes import bucket, pass_end, read_tokens, spare_tokens
from trainables.core.precision import FLOAT32, TF32, type_of
from trainables.core.texts import Text, Word
from trainables.errors import InputError


@dataclass(frozen=True)
class Remembered:
    """Prompts that a causal model has read, with the tokens that every row has before them.

    Attributes:
        past: keys and values of every layer [R, layers, 2, K, P, w].
    """

    past: torch.Tensor


_HEAD_NUMBERS = 1 << 25
"""Logits of all words that are held at once (128 MB): more rows take their turns at the head."""

_ROWS = (7, 11)
"""Rows that dropout is tried out on: a table whose length both divide is not to be feared."""

Prompts = torch.Tensor | Remembered
"""Prompt vectors [R, m, d], or what a model remembers of them."""


class Backbone(Reader):
    """A frozen language model with its tokenizer.

    Attributes:
        width: width d of its prompt vectors (that of its word embeddings).
        precision: what the model computes in, of :data:`trainables.core.precision.PRECISIONS`.
        dtype: the same as torch's type.
        embeddings: the usable rows of the embedding table, [V, d], no gradient; float32 whatever
            the model computes in, as prompts live among them.
        scale: mean length of those rows.
        literal: whether every row is read by the library's own forward pass, without the short cuts
            of :mod:`trainables.backbones.answer` and :meth:`remember`. Slower, the same interface.
        remark: a sentence that who uses the model should be told once; empty where there is none.
    """

    def __init__(
        self,
        alias: str,
        family: Family,
        tokenizer: Any,
        device: str = "cpu",
        precision: str = FLOAT32,
        literal: bool = False,
    ) -> None:
        """Freeze the family's model; no weight ever takes part in autograd."""
        super().__init__(alias, family, tokenizer)
        self.literal = literal
        self.remark = ""
        self.device = device
        family.model.eval()
        family.model.requires_grad_(False)
        self._table: torch.Tensor = family.word_vectors()
        self.precision = precision
        self.dtype: torch.dtype = getattr(torch, type_of(precision))
        # Weights alone (buffers hold such as the angles of rotary positions), and each by a new
        # tensor where it is of another type: the table stays as it is. So does a head that the
        # library itself multiplies with: see :meth:`Family.head_logits` on rounding.
        exact = {id(weight) for weight in family.exact(literal)}
        for weight in family.model.parameters():
            if id(weight) not in exact:
                weight.data = weight.data.to(self.dtype)
        self.embeddings = self._table[: self.rows]
        self.width = int(self._table.shape[1])
        self.scale = float(self.embeddings.float().norm(dim=1).mean())

    @property
    def table(self) -> torch.Tensor:
        """Embeddings of every id, those included that no token has [V', d]."""
        return self._table

    @property
    def nbytes(self) -> int:
        weights = {weight.data_ptr(): weight for weight in self.family.model.parameters()}
        weights[self._table.data_ptr()] = self._table
        return sum(weight.nbytes for weight in weights.values())

    def labels(
        self, words: Sequence[Word], task: str, scoring: str | None = None, chat: bool = False
    ) -> Labels:
        """A task's label words on the device; see :func:`trainables.backbones.labels.spell`."""
        return spell(self, words, task, scoring, self.device, chat)

    def read(
        self,
        texts: Sequence[Text],
        gold: Sequence[int],
        layout: Layout,
        task: str = "",
        spare: int = 0,
    ) -> Encoded:
        """:meth:`Reader.encode` on the device."""
        return self.encode(texts, gold, layout, task, spare).to(self.device)

    @contextmanager
    def dropout(self, keys: torch.Tensor, owner: torch.Tensor | None = None) -> Iterator[None]:
        """Within it the model drops out, at its config's rates; its weights stay frozen.

        Every row is then read by itself and through the library's own layers: what is shared
        between rows or worked out by :class:`Focus` would miss masks.

        Args:
            keys: what the masks of rows are made from [u], see
                :func:`trainables.compute.masks.row_keys`; good for one forward pass of these rows.
            owner: index of each row's key [n]; None where each row has its own.

        Raises:
            InputError: the model drops out of something that is no row's.
        """
        if not self._rowwise:
            raise InputError(
                f"dropout: found true on model {self.alias!r}, which also drops out of what all"
                " rows share; allowed: false on this model"
            )
        self.family.model.train()
        try:
            with RowMasks(keys, owner):
                yield
        finally:
            self.family.model.eval()

    @cached_property
    def _rowwise(self) -> bool:
        """Whether each dropout is one of rows; tried out where the layers are not known.

        DeBERTa, for one, also drops out of a table of distances.
        """
        try:
            for count in () if self.family.known else _ROWS:
                nothing = torch.zeros(count, dtype=torch.long, device=self.device)
                ids = nothing[:, None].repeat(1, 2)
                rows = self.opened(Encoded(ids, nothing + 2, nothing, nothing + 1, nothing))
                self.family.model.train()
                with RowMasks(nothing), torch.no_grad():
                    self.row_logits(rows, nothing[:1])
        except ValueError:
            return False
        finally:
            self.family.model.eval()
        return True

    @contextmanager
    def rounding(self) -> Iterator[None]:
        """Within it a GPU multiplies float32 matrices as the precision says.

        What a model computes is in it, and so is the way back through that; its head is not.
        """
        if self.precision != TF32:
            yield
            return
        matmul = torch.backends.cuda.matmul
        before, matmul.fp32_precision = matmul.fp32_precision, "tf32"
        try:
            yield
        finally:
            matmul.fp32_precision = before

    def row_logits(
        self,
        batch: Encoded,
        label_ids: Labels | None,
        prompts: Prompts | None = None,
        owner: torch.Tensor | None = None,
        rival: bool = False,
    ) -> torch.Tensor:
        """Label-word logits of every row, each behind the prompt it belongs to.

        Only the answer position passes the head, and only the label words' rows of it.

        Args:
            batch: N rows.
            label_ids: [C], texts of several tokens, whose scores serve as logits, or None for the V
                usable rows of the vocabulary.
            prompts: [R, m, d], or what :meth:`remember` gives of them, or None for rows without
                prompt.
            owner: [N], index into ``prompts`` of each row's prompt.
            rival: whether one more column is the highest logit of all words but the label words.

        Returns:
            [N, C], or [N, V]; [N, C + 1] with ``rival``.
        """
        if isinstance(label_ids, AnswerTexts):
            return label_ids.scores(self, batch, prompts, owner)
        if batch.guided is not None and isinstance(prompts, torch.Tensor) and owner is not None:
            batch, prompts = batch.arranged(self._table, prompts, owner), None
        if self.literal:
            own = None if prompts is None or owner is None else prompts
            assert not isinstance(own, Remembered)
            with self.rounding():
                every = self._library_reading(batch, None if own is None else own[owner])[1]
            logits = every[:, slice(self.rows) if label_ids is None else label_ids]
            return _with_rival(logits, [every[:, : self.rows]], label_ids) if rival else logits
        with self.rounding():
            if prompts is None or owner is None:
                states = self._states(batch)
            elif batch.deep and isinstance(prompts, torch.Tensor):
                states = self._states_below(batch, prompts, owner)
            elif isinstance(prompts, Remembered):
                states = self._states_behind(batch, prompts, owner)
            elif self.begin_alike(batch) and not self.family.model.training:
                states = self._states_behind(batch, self.remember(batch, prompts), owner)
            else:
                states = self._states(batch, prompts[owner])
        logits = self.head_logits(states, label_ids)
        if not rival:
            return logits
        size = max(1, _HEAD_NUMBERS // self.rows)
        return _with_rival(logits, map(self.head_logits, states.split(size)), label_ids)

    def begin_alike(self, data: Encoded) -> bool:
        """Whether rows of one prompt begin alike, and this is a causal model: it can be shared."""
        shared = data.begin is not None and isinstance(self.family, CausalFamily)
        return shared and not self.literal

    def read_once(self, data: Encoded, prompts: torch.Tensor) -> Prompts:
        """Prompts [R, m, d] for several readings of ``data``: remembered, if they can be."""
        shared = self.begin_alike(data) and not self.family.model.training
        return self.remember(data, prompts) if shared else prompts

    def remember(self, data: Encoded, prompts: torch.Tensor) -> Remembered:
        """Read prompts [R, m, d] once for all rows of ``data``; only if these begin alike."""
        assert isinstance(self.family, CausalFamily)
        begin = self._table[data.ids[:1, : data.begin]].expand(len(prompts), -1, -1)
        prefix = torch.cat([begin, prompts], dim=1)
        with self.rounding():
            return Remembered(self.family.remember(prefix.to(self.dtype)))

    def _states_behind(
        self, batch: Encoded, prompts: Remembered, owner: torch.Tensor
    ) -> torch.Tensor:
        """Last hidden states [N, h] at the answers of rows that begin with what was remembered."""
        assert isinstance(self.family, CausalFamily)
        start = prompts.past.shape[-2]
        past = prompts.past.index_select(0, owner).to(self.dtype)
        rest = self._table[batch.ids[:, start:]].to(self.dtype)
        return self.family.answer_states_behind(past, rest, batch.answers - start)

    def _states_below(
        self, batch: Encoded, prompts: torch.Tensor, owner: torch.Tensor
    ) -> torch.Tensor:
        """Last hidden states [N, h] at the answers, with keys and values [R, m, D] in layers."""
        past = self.past.parted(prompts.to(self.dtype)).index_select(0, owner)
        embeds = self._embeds(batch, None)
        return self.family.answer_states_behind(
            past, embeds, batch.answers, self._padding(batch), **batch.beside
        )

    def keys_and_values(self, vectors: torch.Tensor) -> torch.Tensor:
        """What word vectors [m, d] leave in every layer, read by themselves: [m, D], float32."""
        assert self.past
        with torch.no_grad(), self.rounding():
            read = vectors[None].to(self.device, self.dtype)
            found = self.past.joined(self.family.remember(read))
        return found[0].float().cpu()

    def head_logits(
        self, states: torch.Tensor, label_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits [..., C] of label words, or [..., V] of all words, from last states [..., h]."""
        return self.family.head_logits(states, slice(self.rows) if label_ids is None else label_ids)

    def _features(self, states: torch.Tensor) -> torch.Tensor:
        """What the head's vocabulary matrix is given [..., e], of last states [..., h]."""
        return self.family.head_features(states).float()

    def row_features(self, batch: Encoded) -> torch.Tensor:
        """What the head's vocabulary matrix is given at the answers [N, e], float32, no prompt."""
        with self.rounding():
            if self.literal:
                return self._library_reading(batch)[0]
            states = self._states(batch)
        return self._features(states)

    def _states(self, batch: Encoded, prompts: torch.Tensor | None = None) -> torch.Tensor:
        """Last hidden states [N, h] at the answers, with a prompt [N, m, d] of its own in each."""
        index = torch.arange(batch.ids.shape[1], device=self.device)
        positions = (index + self.family.first_position)[None, :]
        read, mask = self._embeds(batch, prompts), self._padding(batch)
        return self.family.answer_states(read, mask, positions, batch.answers, **batch.beside)

    def _padding(self, batch: Encoded) -> torch.Tensor | None:
        """The mask [N, L] of a batch, where padding would be seen."""
        # Under a causal mask, padding on the right is never seen. To ask a GPU whether there is
        # any would mean to wait for it.
        asked = torch.device(self.device).type == "cpu"
        whole = asked and int(batch.lengths.min()) == batch.ids.shape[1]
        return None if self.family.causal or whole else batch.mask

    def _library_reading(
        self, batch: Encoded, prompts: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Features [N, e] and logits [N, V'] at the answers, as the library works them out."""
        if batch.deep and prompts is not None:
            past = self.past.parted(prompts.to(self.dtype))
            given = self.family.library_past(past, batch.ids.shape[1])
            read, mask = self._embeds(batch, None), behind(batch.deep, batch.mask)
            return self.family.library_reading(read, mask, batch.answers, **given, **batch.beside)
        read = self._embeds(batch, prompts)
        return self.family.library_reading(read, batch.mask, batch.answers, **batch.beside)

    def _embeds(self, batch: Encoded, prompts: torch.Tensor | None) -> torch.Tensor:
        """Input embeddings [N, L, d] of rows, with a prompt [N, m, d] of its own in each."""
        embeds = self._table[batch.ids] if batch.embeds is None else batch.embeds
        if prompts is not None and not batch.deep:
            embeds = with_prompts(embeds, batch.slots, prompts)
        return embeds.to(self.dtype)

    def label_logits(
        self,
        prompts: torch.Tensor,
        batch: Encoded,
        label_ids: Labels,
        rival: bool = False,
    ) -> torch.Tensor:
        """Label-word logits [R, B, C] of every prompt [R, m, d] on the same B rows."""
        replicas = prompts.shape[0]
        owner = torch.arange(replicas, device=self.device).repeat_interleave(len(batch))
        logits = self.row_logits(batch.repeat(replicas), label_ids, prompts, owner, rival)
        return logits.view(replicas, len(batch), -1)

    @torch.no_grad()
    def split_logits(
        self,
        data: Encoded,
        label_ids: Labels,
        prompts: torch.Tensor | None = None,
        rival: bool = False,
    ) -> torch.Tensor:
        """Label-word logits [R, n, C] on a whole split (R = 1 without prompts).

        With ``rival`` [R, n, C + 1], see :meth:`row_logits`; the C are the same to the last bit.

        Rows are grouped by length, so that next to nothing is computed on padding; the order of the
        result is the order of the data. Passes are halved where memory is short.

        Raises:
            NoRoomError: one row behind one prompt does not fit in memory.
        """
        replicas = 1 if prompts is None else prompts.shape[0]
        return self._over_split(
            data,
            (replicas, len(label_ids) + rival),
            lambda batch, budget: self._logits(batch, label_ids, prompts, budget, rival),
        )

    @torch.no_grad()
    def split_features(self, data: Encoded) -> torch.Tensor:
        """:meth:`row_features` of a whole split [n, e], in passes like those of its logits."""
        width = int(self.family.head_output().weight.shape[1])
        return self._over_split(
            data, (1, width), lambda batch, budget: self.row_features(batch)[None]
        )[0]

    def _over_split(
        self,
        data: Encoded,
        shape: tuple[int, int],
        work: Callable[[Encoded, int], torch.Tensor],
    ) -> torch.Tensor:
        """What ``work`` makes [R, B, w] of a split's rows and a pass's tokens, as [R, n, w].

        ``shape``: R and w.
        """
        replicas, width = shape
        lengths = data.lengths.cpu()
        order = torch.argsort(lengths, descending=True, stable=True)
        # Keys and values of a prompt take room beside each row.
        falling, start = (lengths[order] + data.deep).tolist(), 0
        spare = spare_tokens(self.device) / replicas
        order = order.to(self.device)
        out = torch.empty(replicas, len(data), width, device=self.device)
        while start < len(order):

            def read(budget: int, start: int = start) -> int:
                end = pass_end(falling, start, budget / replicas, spare)
                chosen = order[start:end]
                batch = data.take(chosen, bucket(falling[start] - data.deep, self.device))
                out[:, chosen] = work(batch, budget)
                return end

            most = read_tokens(self.device)
            start = in_passes(("evaluate", self.alias, self.device), most, read)
        return out

    def _logits(
        self,
        batch: Encoded,
        label_ids: Labels,
        prompts: torch.Tensor | None,
        budget: int,
        rival: bool,
    ) -> torch.Tensor:
        """Logits [R, B, C] of a batch, as many prompts at once as the tokens of a pass allow."""
        if prompts is None:
            return self.row_logits(batch, label_ids, rival=rival)[None]
        size = max(1, budget // batch.ids.numel())
        if size >= len(prompts) or budget == read_tokens(self.device):
            return self.label_logits(prompts, batch, label_ids, rival)
        return torch.cat(
            [self.label_logits(part, batch, label_ids, rival) for part in prompts.split(size)]
        )


def _with_rival(
    logits: torch.Tensor, every: Iterable[torch.Tensor], label_ids: torch.Tensor | None
) -> torch.Tensor:
    """Logits [N, C] with the highest of all other words beside them.

    ``every``: those of all words, in parts of the rows [n, V]; they are overwritten.
    """
    parts = [
        part.index_fill_(1, label_ids, -torch.inf).amax(1, keepdim=True)
        for part in every
        if label_ids is not None
    ]
    return torch.cat([logits, torch.cat(parts)], dim=1)
