"""What differs between architectures: one small subclass a family, found by ``model_type``."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import nn


class Family(ABC):
    """Contract of a model family.

    A new family is one new file with one subclass; defining it registers it.

    Attributes:
        model_type: the ``model_type`` of the Hugging Face config.
        masked: the answer is read at a mask (else: predicted after the last token).
    """

    model_type: ClassVar[str]
    masked: ClassVar[bool]
    registry: ClassVar[dict[str, type["Family"]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Register the family under the ``model_type`` it names."""
        super().__init_subclass__(**kwargs)
        if "model_type" in cls.__dict__:
            Family.registry[cls.model_type] = cls

    def __init__(self, config: Any, model: Any = None) -> None:
        """Conventions of ``config``; with ``model`` (body and head), its computations too."""
        self.config = config
        self.model = model
        self._answers: torch.Tensor | None = None
        feed_forward = None if model is None else self.last_feed_forward()
        if feed_forward is not None:
            feed_forward.register_forward_pre_hook(self._keep_answers)

    def _keep_answers(self, module: nn.Module, inputs: tuple[torch.Tensor]) -> Any:
        """Cut the last feed-forward's input [N, L, h] to the answer positions [N, 1, h]."""
        del module
        if self._answers is None:
            return None
        (states,) = inputs
        index = self._answers[:, None, None].expand(-1, 1, states.shape[-1])
        return (states.gather(1, index),)

    @property
    def first_position(self) -> int:
        """Position id of the first token."""
        return 0

    @property
    def max_tokens(self) -> int:
        """Longest sequence the positions allow, in tokens, prompt included."""
        return int(self.config.max_position_embeddings) - self.first_position

    def answer_states(
        self,
        embeds: torch.Tensor,
        attention_mask: torch.Tensor | None,
        positions: torch.Tensor,
        answers: torch.Tensor,
    ) -> torch.Tensor:
        """Last hidden states [N, h] at one position of each row.

        Args:
            embeds: input embeddings [N, L, d].
            attention_mask: [N, L], or None where nothing is padded.
            positions: position ids [N, L].
            answers: index of the wanted position [N].
        """
        self._answers = answers
        try:
            states: torch.Tensor = self.model.base_model(
                inputs_embeds=embeds,
                attention_mask=attention_mask,
                position_ids=positions,
                **self.body_arguments(),
            ).last_hidden_state
        finally:
            self._answers = None
        return states[torch.arange(len(answers), device=states.device), answers]

    def last_feed_forward(self) -> nn.Module | None:
        """Module whose input may be cut to the answer position in the last layer, or None.

        What it returns is added to a residual [N, L, h] by broadcasting, so that the sum is right
        at the answer and meaningless elsewhere, where nobody looks. It saves two thirds of the last
        layer; a family for which that does not hold returns None.
        """
        return None

    def body_arguments(self) -> dict[str, Any]:
        """Further arguments of the body's forward."""
        return {}

    @abstractmethod
    def head_features(self, states: torch.Tensor) -> torch.Tensor:
        """What the head does before its vocabulary matrix: [N, h] to [N, e]."""

    @abstractmethod
    def head_output(self) -> nn.Linear:
        """The head's vocabulary matrix [V, e], with its bias if it has one."""


class CausalFamily(Family):
    """Families that predict the next token and whose head is one matrix."""

    masked = False

    def body_arguments(self) -> dict[str, Any]:
        """No key-value cache: nothing is generated."""
        return {"use_cache": False}

    def head_features(self, states: torch.Tensor) -> torch.Tensor:
        """The body ends in its own norm: nothing to do."""
        return states

    def head_output(self) -> nn.Linear:
        """The ``lm_head`` matrix."""
        output: nn.Linear = self.model.lm_head
        return output
