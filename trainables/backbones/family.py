"""What differs between architectures: one small subclass a family, found by ``model_type``."""

from abc import ABC, abstractmethod
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from trainables.backbones.answer import AnswerLayer, Focus
from trainables.backbones.layout import Encoded
from trainables.compute.passes import additive
from trainables.models.heads import CAUSAL, MASKED, Head

Chosen = torch.Tensor | slice
"""Rows of the vocabulary: ids [C], or a slice."""

UNBOUNDED = 1 << 20
"""Tokens a row may have where nothing says how many there may be (ALiBi, relative positions,
recurrent models): more than any text has, so that nothing is cut."""


class PastShape(NamedTuple):
    """What keys and values of a model are: equal in all of its layers.

    Attributes:
        layers: how many.
        heads: key-value heads K of each; a group of query heads may share one.
        size: numbers w of a head.
    """

    layers: int
    heads: int
    size: int

    @property
    def width(self) -> int:
        """Numbers D of the keys and values of one token."""
        return self.layers * 2 * self.heads * self.size

    def parted(self, prompts: torch.Tensor) -> torch.Tensor:
        """Keys and values [R, layers, 2, K, m, w] that prompts [R, m, D] are made of.

        D runs over layers, then key and value, then heads: the order of PEFT's prefix tuning.
        """
        parts = prompts.unflatten(-1, (self.layers, 2, self.heads, self.size))
        found: torch.Tensor = parts.permute(0, 2, 3, 4, 1, 5)
        return found

    @staticmethod
    def joined(past: torch.Tensor) -> torch.Tensor:
        """Inverse of :meth:`parted`."""
        return past.permute(0, 4, 1, 2, 3, 5).flatten(2)


class Family(ABC):
    """Contract of a model family.

    A new family is one new file with one subclass and one entry in
    :data:`trainables.core.registries.BACKBONES`. None is needed for a model to work
    (:mod:`trainables.backbones.general`): a family knows its layers, and is faster for it.

    Attributes:
        model_type: the ``model_type`` of the Hugging Face config.
        head: which kind of language model it is; by default one that is read at a mask.
        first_matrix: where in a layer stands the matrix whose output enters the activation; None:
            the neurons are not known.
        layers_return_tuples: the body expects a tuple of each of its layers.
        known: whether its layers are known here: that none asks a GPU for a number, so that passes
            can be recorded, and that all drop out of rows alone.
        takes_past: whether its attention looks back to keys and values that are handed in.
        focus: where answers are read in the forward pass under way, None outside of one.
    """

    model_type: str
    head: ClassVar[Head] = MASKED
    first_matrix: ClassVar[str | None] = None
    layers_return_tuples: ClassVar[bool] = False
    known: ClassVar[bool] = True
    takes_past: ClassVar[bool] = False

    def __init__(self, config: Any, model: Any = None) -> None:
        """Conventions of ``config``; with ``model`` (body and head), its computations too."""
        self.config = config
        self.model = model
        self.focus: Focus | None = None
        layers = None if model is None else self.layers()
        if layers is not None:
            layers[-1] = AnswerLayer(layers[-1], self)

    @property
    def masked(self) -> bool:
        """Whether the answer is read at a mask."""
        return self.head is MASKED

    @property
    def causal(self) -> bool:
        """Whether the answer is predicted after the last token, and nothing may follow it."""
        return self.head is CAUSAL

    @property
    def opening(self) -> list[int]:
        """Ids that a decoder of its own begins with; empty: there is none."""
        return []

    @property
    def first_position(self) -> int:
        return 0

    @property
    def max_tokens(self) -> int:
        """Longest sequence the positions allow, in tokens, prompt included."""
        return int(self.config.max_position_embeddings) - self.first_position

    @property
    def fault(self) -> str:
        """Why the model cannot be read with prompt vectors, in words; empty: it can."""
        return ""

    @property
    def width(self) -> int:
        """Width d of the word embeddings, in which prompts live."""
        return int(self.config.hidden_size)

    @property
    def past(self) -> PastShape | None:
        """What its attention may be handed as keys and values; None: it takes none."""
        if not self.takes_past:
            return None
        config = self.config
        asking = int(config.num_attention_heads)
        size = getattr(config, "head_dim", None) or int(config.hidden_size) // asking
        heads = getattr(config, "num_key_value_heads", None) or asking
        return PastShape(int(config.num_hidden_layers), int(heads), int(size))

    @property
    def state_width(self) -> int:
        """Width h of its last states."""
        return int(self.config.hidden_size)

    def word_vectors(self) -> torch.Tensor:
        """What stands for each word in ``inputs_embeds`` [V, d], no gradient."""
        table: torch.Tensor = self.model.get_input_embeddings().weight.detach()
        return table

    def exact(self, literal: bool) -> list[nn.Parameter]:
        """Weights that stay float32 whatever the model computes in.

        Args:
            literal: whether the library itself multiplies with the head.
        """
        output = self.model.get_output_embeddings() if literal else None
        return [] if output is None else [*output.parameters()]

    def answered(self, rows: Encoded, tokens: torch.Tensor, place: int) -> Encoded:
        """Rows whose answers are begun, to read what comes next.

        Args:
            rows: with nothing of an answer.
            tokens: ids that they begin with, [T] or each row's own [N, T]; on a masked model all of
                the answer, with a mask where it is read; on an encoder–decoder what the decoder
                reads behind its own beginning.
            place: of the answer that is then read, 0 the first.
        """
        return rows.answered(tokens, place, behind=not self.masked)

    def states(self, embeds: torch.Tensor) -> torch.Tensor:
        """Last hidden states [N, L, h] of rows without padding [N, L, d]."""
        positions = torch.arange(embeds.shape[1], device=embeds.device) + self.first_position
        found: torch.Tensor = self.model.base_model(
            inputs_embeds=embeds, position_ids=positions[None, :], **self.body_arguments()
        ).last_hidden_state
        return found

    def answer_states(
        self,
        embeds: torch.Tensor,
        attention_mask: torch.Tensor | None,
        positions: torch.Tensor,
        answers: torch.Tensor,
        **beside: torch.Tensor,
    ) -> torch.Tensor:
        """Last hidden states [N, h] at one position of each row.

        Args:
            embeds: input embeddings [N, L, d].
            attention_mask: [N, L], or None where nothing is padded.
            positions: position ids [1, L].
            answers: index of the wanted position [N].
            **beside: what else the rows have, :attr:`Encoded.beside`.
        """
        if not self.model.training:  # dropout is the library's, layer by layer
            self.focus = Focus(answers, self._visible(embeds.shape[1], attention_mask, answers))
        try:
            states: torch.Tensor = self.model.base_model(
                inputs_embeds=embeds,
                attention_mask=added(attention_mask, embeds),
                position_ids=positions,
                **beside,
                **self.body_arguments(),
            ).last_hidden_state
        finally:
            self.focus = None
        return at_answers(states, answers)

    def remember(self, prefix: torch.Tensor) -> torch.Tensor:
        """Keys and values of what rows begin with, read once for all of them.

        A causal model's states of a prefix do not depend on what follows. The cache is not made
        from the config: a window named there, which these architectures do not look through, would
        cut off what is remembered.

        Args:
            prefix: embeddings [R, P, d].

        Returns:
            Of each layer, keys and values: [R, layers, 2, K, P, w].
        """
        cache = DynamicCache()
        self._remembering(prefix, cache)
        layers = [torch.stack([layer.keys, layer.values], dim=1) for layer in cache.layers]
        return torch.stack(layers, dim=1)

    def _remembering(self, prefix: torch.Tensor, cache: DynamicCache) -> None:
        """Read rows [R, P, d] with a cache, which then has their keys and values."""
        positions = torch.arange(prefix.shape[1], device=prefix.device) + self.first_position
        self.model.base_model(
            inputs_embeds=prefix,
            position_ids=positions[None, :],
            past_key_values=cache,
            use_cache=True,
        )

    def answer_states_behind(
        self,
        past: torch.Tensor,
        embeds: torch.Tensor,
        answers: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        **beside: torch.Tensor,
    ) -> torch.Tensor:
        """As :meth:`answer_states`, for rows with keys and values before them.

        Args:
            past: of each row [N, layers, 2, K, P, w]: what :meth:`remember` gives of its beginning,
                or any.
            embeds: the rest of each row [N, L, d], at least one token.
            answers: index of the wanted position, counted from the start of the rest [N].
            attention_mask: of the rest [N, L], or None where nothing is padded.
            **beside: what else the rows have, :attr:`Encoded.beside`.

        Returns:
            [N, h].
        """
        start, length = past.shape[-2], embeds.shape[1]
        cache = cache_of(past)
        mask = None if attention_mask is None else behind(start, attention_mask)
        if self.layers() is not None and not self.model.training:
            keys = self._visible(start + length, mask, answers + start)
            last = cache.layers[-1]
            self.focus = Focus(answers, keys, (last.keys, last.values))
        positions = torch.arange(start, start + length, device=embeds.device) + self.first_position
        try:
            states: torch.Tensor = self.model.base_model(
                inputs_embeds=embeds,
                attention_mask=added(mask, embeds),
                position_ids=positions[None, :],
                past_key_values=cache,
                use_cache=True,
                **beside,
            ).last_hidden_state
        finally:
            self.focus = None
        return at_answers(states, answers)

    def library_past(self, past: torch.Tensor, length: int) -> dict[str, Any]:
        """What the library's forward pass takes beside rows of ``length`` tokens behind a past.

        Positions are said: where rows come as embeddings, the library counts them from the past's
        end on some models and from 0 on others.

        Args:
            past: of each row [N, layers, 2, K, P, w].
            length: tokens of a row.
        """
        start = past.shape[-2] + self.first_position
        positions = torch.arange(start, start + length, device=past.device)
        return {"past_key_values": cache_of(past), "position_ids": positions[None, :]}

    def library_reading(
        self,
        embeds: torch.Tensor,
        attention_mask: torch.Tensor,
        answers: torch.Tensor,
        **beside: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits [N, V'] of every row of the head at one position of each row, in float32.

        Nothing but the library's own forward pass: its positions, its masks, its layers, its head.
        Only the matrix at the end, which works on each position by itself, is read at the answers
        alone.

        Args:
            embeds: input embeddings [N, L, d].
            attention_mask: [N, L].
            answers: index of the wanted position [N].
            **beside: what else the rows have, :attr:`Encoded.beside`.

        Returns:
            What that matrix is given [N, e], and the logits.
        """
        given: list[torch.Tensor] = []

        def answers_alone(module: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
            given.append(at_answers(args[0], answers))
            return (given[0][:, None].to(next(module.parameters()).dtype),)

        hook = self.model.get_output_embeddings().register_forward_pre_hook(answers_alone)
        try:
            logits: torch.Tensor = self.model(
                inputs_embeds=embeds,
                attention_mask=attention_mask,
                **beside,
                **self.body_arguments(),
            ).logits
        finally:
            hook.remove()
        return given[0].float(), logits[:, 0].float()

    def _visible(
        self, length: int, attention_mask: torch.Tensor | None, answers: torch.Tensor
    ) -> torch.Tensor | None:
        """Positions an answer may look at, [N, 1, 1, L], or None for all."""
        return None if attention_mask is None else attention_mask.bool()[:, None, None, :]

    def layers(self) -> nn.ModuleList | None:
        """The body's layers, if :meth:`answer_layer` is there for the last of them, else None."""
        return None

    def matrices(self) -> list[nn.Module]:
        """Of each layer read at the answer, the matrix whose output enters the activation.

        None at all where the neurons are not known.
        """
        layers, place = self.layers(), self.first_matrix
        if layers is None or place is None:
            return []
        plain = [layer.layer if isinstance(layer, AnswerLayer) else layer for layer in layers]
        return [attrgetter(place)(layer) for layer in plain]

    def answer_layer(
        self, layer: Any, states: torch.Tensor, focus: Focus, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """The last layer's output at the answer positions alone.

        Args:
            states: its input [N, L, h].
            *args: what the body hands to a layer besides.
            **kwargs: likewise.

        Returns:
            [N, 1, h].
        """
        raise NotImplementedError

    def body_arguments(self) -> dict[str, Any]:
        """Further arguments of the body's forward."""
        return {}

    def head_logits(self, states: torch.Tensor, chosen: Chosen) -> torch.Tensor:
        """Logits [..., C] of chosen words from last states [..., h], in float32.

        Logits lie close together: in eight bits, rounding would tell classes apart.
        """
        features = self.head_features(states).float()
        output = self.head_output()
        logits = features @ output.weight[chosen].float().T
        return logits if output.bias is None else logits + output.bias[chosen].float()

    @abstractmethod
    def head_features(self, states: torch.Tensor) -> torch.Tensor:
        """What the head does before its vocabulary matrix: [N, h] to [N, e]."""

    @abstractmethod
    def head_output(self) -> nn.Linear:
        """The head's vocabulary matrix [V, e], with its bias if it has one."""


def cache_of(past: torch.Tensor) -> DynamicCache:
    """Keys and values [N, layers, 2, K, P, w] as the library takes them."""
    cache = DynamicCache()
    for kept in past.unbind(1):
        layer = DynamicLayer()
        keys, values = kept.unbind(1)
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values  # ``update`` would copy them
        cache.layers.append(layer)
    return cache


def behind(start: int, mask: torch.Tensor) -> torch.Tensor:
    """A mask [N, L] with ``start`` positions before it that all may look at [N, start + L]."""
    return F.pad(mask, (start, 0), value=1)


def at_answers(states: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """Of states [N, L, h] those at one position of each row [N], [N, h]."""
    return states[torch.arange(len(answers), device=states.device), answers]


def steady_positions(config: Any, most: int) -> int:
    """How many of ``most`` positions have the same angles in every batch.

    With ``longrope`` angles change for a whole batch that holds one longer row: none may. A config
    may have one such setting for each kind of layer.
    """
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [rope, *(value for value in rope.values() if isinstance(value, dict))]
    long = [kind for kind in kinds if kind.get("rope_type") == "longrope"]
    return min([most, *(int(kind.get(_BEFORE, getattr(config, _BEFORE, most))) for kind in long)])


_BEFORE = "original_max_position_embeddings"


def added(mask: torch.Tensor | None, embeds: torch.Tensor) -> torch.Tensor | None:
    """A mask [N, L] as what attention adds to its scores [N, 1, 1, L].

    The library makes the same of it, but first asks whether it hides anything: on a GPU that waits
    for everything asked before.
    """
    if mask is None:
        return None
    least = torch.finfo(embeds.dtype).min
    return additive(mask.bool(), embeds.dtype, least)[:, None, None, :]


class CausalFamily(Family):
    """Families that predict the next token and whose head is one matrix."""

    head = CAUSAL
    takes_past = True

    def _visible(
        self, length: int, attention_mask: torch.Tensor | None, answers: torch.Tensor
    ) -> torch.Tensor:
        index = torch.arange(length, device=answers.device)
        return (index[None, :] <= answers[:, None])[:, None, None, :]

    def body_arguments(self) -> dict[str, Any]:
        """No key-value cache: nothing is generated."""
        return {"use_cache": False}

    def head_features(self, states: torch.Tensor) -> torch.Tensor:
        """The body ends in its own norm: nothing to do."""
        return states

    def head_output(self) -> nn.Linear:
        output: nn.Linear = self.model.lm_head
        return output
