"""Any language model that transformers loads as one, through the library's own forward.

An architecture needs no file here. What differs between models is asked of the library's class for
the config, built without memory: which table words are looked up in, how many positions there are,
which arguments the forward pass takes. Two things are done for speed, both without knowing layers:
the head reads each row's answer alone, and of its last matrix only the rows that are asked for.
What that gives is compared with the library's own forward on ids when a model is loaded
(:mod:`trainables.backbones.parity`); where it differs, the whole forward pass is read.

**Prompt vectors live where ``inputs_embeds`` lives**: they stand for what the body gets once a word
is looked up. Where looking up scales (Gemma: √d), words and prompts are scaled ones; where the
body scales or projects what it gets (Granite's multiplier, ALBERT's and ELECTRA's factored
embeddings), they are what stands before that.

Shapes: N rows, L tokens, d width of word embeddings, h of last states, C words asked for, V rows of
the vocabulary matrix.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import cached_property
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
import transformers
from torch import nn
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    DynamicCache,
)
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from trainables.backbones.family import (
    UNBOUNDED,
    Chosen,
    Family,
    PastShape,
    added,
    at_answers,
    behind,
    steady_positions,
)
from trainables.backbones.sequence import EncoderDecoder
from trainables.errors import InputError
from trainables.models.heads import CAUSAL

MORE = "ForConditionalGeneration"
"""How the names of classes end that read something besides one text."""

_LENGTHS = ("max_position_embeddings", "max_seq_len", "max_sequence_length")
"""How configs call the positions there are."""


class General(Family):
    """A model whose layers are not known here.

    Attributes:
        classes: the library's class with a vocabulary head, by ``model_type``.
        made: the same by the config's class.
        outline: the model, or one of its shapes without numbers where there is none.
    """

    known = False
    classes: ClassVar[Mapping[str, Any]]
    made: ClassVar[Mapping[Any, Any]]

    def __init__(self, config: Any, model: Any = None) -> None:
        """Conventions of ``config``; builds the outline where there is no ``model``."""
        super().__init__(config, model)
        self.model_type = config.model_type
        self.outline = self._shapes() if model is None else model

    def _shapes(self) -> Any:
        """The model without numbers."""
        with torch.device("meta"):
            return self.made[type(self.config)](deepcopy(self.config))

    @classmethod
    def of(cls, model_type: str, architectures: Sequence[str]) -> bool:
        """Whether a model of that type is of this kind, with a head of this kind in its weights.

        Args:
            model_type: of its config.
            architectures: what its config says was saved; empty: nothing.
        """
        made = cls.classes.get(model_type, MORE)
        return not made.endswith(MORE) and (
            not architectures
            or any(name.endswith((made, *cls.head.endings)) for name in architectures)
        )

    @property
    def fault(self) -> str:
        """What forbids prompt vectors, in words; empty where nothing does."""
        name = type(self.outline).__name__
        if not isinstance(self._looked_up, nn.Embedding):
            return f"{name} has no table of word embeddings"
        if "inputs_embeds" not in self._arguments:
            return f"the forward pass of {name} takes no inputs_embeds"
        return ""

    @property
    def _looked_up(self) -> Any:
        """The module that looks words up; None where there is none."""
        try:
            return self.outline.get_input_embeddings()
        except NotImplementedError:
            return None

    @cached_property
    def _arguments(self) -> frozenset[str]:
        return frozenset(inspect.signature(self.outline.forward).parameters)

    @property
    def width(self) -> int:
        return int(self._looked_up.embedding_dim)

    @cached_property
    def max_tokens(self) -> int:  # type: ignore[override]
        """The least of what config and position tables allow."""
        found = [getattr(self.config, name, None) for name in _LENGTHS]
        most = [size for size in found if type(size) is int]
        most += [_room(module) for module in _position_tables(self.outline)]
        return steady_positions(self.config, min(most, default=UNBOUNDED))

    def word_vectors(self) -> torch.Tensor:
        """What looking up gives of each word, which may be more than the table's row."""
        looked_up = self.model.get_input_embeddings()
        if type(looked_up) is nn.Embedding:
            return super().word_vectors()
        with torch.no_grad():
            every = torch.arange(len(looked_up.weight), device=looked_up.weight.device)
            vectors: torch.Tensor = looked_up(every)
        return vectors

    def exact(self, literal: bool) -> list[nn.Parameter]:
        """The whole head, and the table that it may share."""
        if literal or self.model.base_model is self.model:
            return super().exact(literal=True)
        body = {id(weight) for weight in self.model.base_model.parameters()}
        head = [weight for weight in self.model.parameters() if id(weight) not in body]
        output = self.model.get_output_embeddings()
        tied = [] if output is None else [*output.parameters()]
        return [*head, *tied, *self.model.get_input_embeddings().parameters()]

    def answer_states(
        self,
        embeds: torch.Tensor,
        attention_mask: torch.Tensor | None,
        positions: torch.Tensor,
        answers: torch.Tensor,
        **beside: torch.Tensor,
    ) -> torch.Tensor:
        """As the families', with the library's own positions and masks."""
        states = self._body(embeds, attention_mask=attention_mask, **beside)
        return at_answers(states, answers)

    def states(self, embeds: torch.Tensor) -> torch.Tensor:
        return self._body(embeds)

    @cached_property
    def past(self) -> PastShape | None:  # type: ignore[override]
        """What a first token leaves in an empty cache; None where that is nothing, or not alike.

        Tried out without numbers: a model at hand may compute in several precisions. A cache that
        is narrower than a row (a window) is none: texts would soon look past it.
        """
        outline = self._shapes() if self.model is self.outline else self.outline
        body = outline.base_model
        windows = set(getattr(self.config, "layer_types", None) or ()) - {"full_attention"}
        if windows or _window(self.config) or body is outline:
            return None
        cache = DynamicCache()
        token = torch.zeros(1, 1, self.width, device="meta")
        try:
            with torch.no_grad():
                body(inputs_embeds=token, past_key_values=cache, use_cache=True)
            found = {(*layer.keys.shape, *layer.values.shape) for layer in cache.layers}
            ((rows, heads, tokens, size, *values),) = found
        except Exception:  # whatever a model says that has no such thing
            return None
        good = (rows, tokens) == (1, 1) and values == [rows, heads, tokens, size]
        return PastShape(len(cache.layers), heads, size) if good else None

    def _remembering(self, prefix: torch.Tensor, cache: DynamicCache) -> None:
        self.model.base_model(inputs_embeds=prefix, past_key_values=cache, use_cache=True)

    def answer_states_behind(
        self,
        past: torch.Tensor,
        embeds: torch.Tensor,
        answers: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        **beside: torch.Tensor,
    ) -> torch.Tensor:
        """As the families', with the library's own masks."""
        given = self.library_past(past, embeds.shape[1])
        mask = None if attention_mask is None else behind(past.shape[-2], attention_mask)
        states = self._body(embeds, attention_mask=added(mask, embeds), **given, **beside)
        return at_answers(states, answers)

    def library_past(self, past: torch.Tensor, length: int) -> dict[str, Any]:
        """As the families'; causal models count positions from the past's end by themselves."""
        found = super().library_past(past, length)
        if self.causal or "position_ids" not in self._arguments:
            del found["position_ids"]
        return found

    @property
    def first_position(self) -> int:
        """Of a table of positions, the first row that is used."""
        return max((_unused(module) for module in _position_tables(self.outline)), default=0)

    def _body(self, embeds: torch.Tensor, **more: Any) -> torch.Tensor:
        """Last states [N, L, h]."""
        body = self.model.base_model
        if body is self.model:
            raise ValueError("body and head are one module")
        found = body(inputs_embeds=embeds, **more, **self.body_arguments())
        states: torch.Tensor = found.last_hidden_state
        return states

    def head_logits(self, states: torch.Tensor, chosen: Chosen) -> torch.Tensor:
        """Logits of the library's head, with all that it does before and after its matrix.

        Where its last matrix is a plain one, only the chosen rows of that are multiplied with: what
        follows (a scale, a soft cap) then works on these alone. BART's bias does not: it is as long
        as the vocabulary.
        """
        output = self.model.get_output_embeddings()
        plain = isinstance(output, nn.Linear) and not hasattr(self.model, "final_logits_bias")
        if not plain or output.out_features < self.config.vocab_size:
            return self._behind_body(states)[..., chosen].float()
        weight = output.weight[chosen]
        bias = None if output.bias is None else output.bias[chosen]
        with _instead(output, lambda given: F.linear(given, weight, bias)):
            return self._behind_body(states).float()

    def head_features(self, states: torch.Tensor) -> torch.Tensor:
        given: list[torch.Tensor] = []

        def note(features: torch.Tensor) -> torch.Tensor:
            given.append(features)
            return features[..., :1]

        with _instead(self.head_output(), note):
            self._behind_body(states)
        return given[0].view(*states.shape[:-1], -1)

    def head_output(self) -> nn.Linear:
        """Raise InputError for a head whose last step is no matrix of its own."""
        output = self.model.get_output_embeddings()
        if not isinstance(output, nn.Linear):
            raise InputError(
                f"features: found a {type(self.model).__name__}, whose head does not end in a"
                " matrix of its own; allowed: words, or another model"
            )
        return output

    def _behind_body(self, states: torch.Tensor) -> torch.Tensor:
        """What the head makes [..., V] of last states [..., h]: the library's forward without body.

        In float32, whatever the body computes in: classes lie closer together than eight bits tell.
        """
        rows = states.float().reshape(-1, 1, states.shape[-1])
        with _instead(self.model.base_model, lambda *_, **__: _States(last_hidden_state=rows)):
            found = self.model(inputs_embeds=rows, **self.body_arguments()).logits
        logits: torch.Tensor = found.view(*states.shape[:-1], -1)
        return logits

    def library_reading(
        self,
        embeds: torch.Tensor,
        attention_mask: torch.Tensor,
        answers: torch.Tensor,
        **beside: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As the families'; where the head's last step is no matrix, every word at every position.

        The features of such a head are not known: [N, 0].
        """
        if isinstance(self.model.get_output_embeddings(), nn.Linear):
            return super().library_reading(embeds, attention_mask, answers, **beside)
        logits: torch.Tensor = self.model(
            inputs_embeds=embeds, attention_mask=attention_mask, **beside, **self.body_arguments()
        ).logits
        every = torch.arange(len(answers), device=answers.device)
        return embeds.new_zeros(len(answers), 0), logits[every, answers].float()

    def body_arguments(self) -> dict[str, Any]:
        """No cache, where there could be one: nothing is generated."""
        return {"use_cache": False} if "use_cache" in self._arguments else {}


class GeneralMasked(General):
    classes = MODEL_FOR_MASKED_LM_MAPPING_NAMES
    made = MODEL_FOR_MASKED_LM_MAPPING


class GeneralCausal(General):
    head = CAUSAL
    classes = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    made = MODEL_FOR_CAUSAL_LM_MAPPING


class GeneralSequence(EncoderDecoder, General):
    classes = MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
    made = MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING

    @classmethod
    def of(cls, model_type: str, architectures: Sequence[str]) -> bool:
        """As the others; the library's table has models of sound too, which have no such decoder.

        A head that the library itself makes from nothing but the body (BART's) may be missing: what
        was saved is the body then.
        """
        name = cls.classes.get(model_type)
        if name is None:
            return False
        made = getattr(transformers, name)
        arguments = inspect.signature(made.forward).parameters
        if "decoder_input_ids" not in arguments or "pixel_values" in arguments:
            return False
        whole = getattr(made, "_keys_to_ignore_on_load_missing", None)
        body = (f"{name.removesuffix(MORE)}Model",) if whole else ()
        endings = (name, *body, *cls.head.endings)
        return not architectures or any(each.endswith(endings) for each in architectures)

    def word_vectors(self) -> torch.Tensor:
        """Where an encoder scales what it looks up itself (Pegasus), scaled ones."""
        vectors = super().word_vectors()
        if type(self.model.get_input_embeddings()) is not nn.Embedding:
            return vectors
        scale = float(getattr(self.encoder, "embed_scale", None) or 1.0)
        return vectors if scale == 1.0 else scale * vectors

    def _behind_body(self, states: torch.Tensor) -> torch.Tensor:
        rows = states.float().reshape(-1, 1, states.shape[-1])
        found = _States(last_hidden_state=rows)
        with (
            _instead(self.encoder, lambda *_, **__: found),
            _instead(self.decoder, lambda *_, **__: found),
        ):
            logits: torch.Tensor = self.model(
                inputs_embeds=rows, decoder_inputs_embeds=rows, **self.body_arguments()
            ).logits
        return logits.view(*states.shape[:-1], -1)


KINDS = (GeneralMasked, GeneralCausal, GeneralSequence)


class _States(BaseModelOutputWithPastAndCrossAttentions):
    """Last states in place of what a body returns; whatever else a head asks for is None."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


@contextmanager
def _instead(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Within it, a module computes something else."""
    module.forward = forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        del module.forward


def _position_tables(model: nn.Module) -> Iterator[nn.Embedding]:
    """Learned absolute positions: tables whose name says so, each row one position."""
    for name, module in model.named_modules():
        last = name.rpartition(".")[2]
        if isinstance(module, nn.Embedding) and last in _POSITIONS:
            yield module


_POSITIONS = ("position_embeddings", "embed_positions", "wpe", "positions_embed")
"""How the library calls them."""


def _room(table: nn.Embedding) -> int:
    """Tokens for which a table of positions has rows."""
    return int(table.num_embeddings) - int(getattr(table, "offset", _unused(table)))


def _unused(table: nn.Embedding) -> int:
    """Rows of a table of positions up to its padding row: they stay unused."""
    return 0 if table.padding_idx is None else int(table.padding_idx) + 1


def _window(config: Any) -> bool:
    """Whether some layer sees no further back than a window."""
    size = getattr(config, "sliding_window", None)
    return bool(size) and bool(getattr(config, "use_sliding_window", True))
