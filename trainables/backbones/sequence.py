"""Models with an encoder that reads the text and a decoder of its own that says the answer.

The prompt stands in the encoder's input embeddings alone; the decoder gets ids, and the label word
is read at the last of them. What ids these are is made in one place,
:meth:`trainables.backbones.reader.Reader.opened`.

Shapes: N rows, L tokens of the encoder, D of the decoder, d embedding width, h of last states.
"""

from dataclasses import replace
from typing import Any

import torch

from trainables.backbones.family import Family, added, at_answers
from trainables.backbones.layout import Encoded
from trainables.models.heads import SEQUENCE


class EncoderDecoder(Family):
    """What families with two stacks of layers have in common."""

    head = SEQUENCE

    @property
    def opening(self) -> list[int]:
        """What the library's ``generate`` gives a decoder first: its start token, else the begin.

        BART and its like have been taught to say one more token before any word, which
        ``generate`` forces on them; it is given here.
        """
        found = [getattr(self.config, name, None) for name in _STARTS]
        start = next((number for number in found if number is not None), None)
        forced = getattr(self.config, FORCED, None)
        return [int(number) for number in (start, forced) if number is not None]

    @property
    def past(self) -> None:  # type: ignore[override]
        """It is not said which of the two stacks would be handed keys and values."""

    @property
    def encoder(self) -> Any:
        return self.model.get_encoder()

    @property
    def decoder(self) -> Any:
        return self.model.get_decoder()

    def answered(self, rows: Encoded, tokens: torch.Tensor, place: int) -> Encoded:
        """Rows whose decoder is given the tokens behind its own beginning."""
        if not tokens.shape[-1] or rows.decoder is None:
            return rows
        given = torch.cat([rows.decoder, tokens.expand(len(rows), -1)], dim=1)
        return replace(rows, decoder=given, answers=rows.answers + place)

    def states(self, embeds: torch.Tensor) -> torch.Tensor:
        """Last states of the encoder."""
        found: torch.Tensor = self.encoder(inputs_embeds=embeds).last_hidden_state
        return found

    def answer_states(
        self,
        embeds: torch.Tensor,
        attention_mask: torch.Tensor | None,
        positions: torch.Tensor,
        answers: torch.Tensor,
        **beside: torch.Tensor,
    ) -> torch.Tensor:
        """Last states of the decoder at one position of each row."""
        states = self.decoder_states(embeds, attention_mask, beside["decoder_input_ids"])
        return at_answers(states, answers)

    def decoder_states(
        self, embeds: torch.Tensor, attention_mask: torch.Tensor | None, ids: torch.Tensor
    ) -> torch.Tensor:
        """Last states of the decoder [N, D, h]; positions are the library's own.

        Args:
            embeds: input embeddings of the encoder [N, L, d].
            attention_mask: [N, L], or None where nothing is padded.
            ids: what the decoder is given [N, D].
        """
        mask = added(attention_mask, embeds) if self.known else attention_mask
        read = self.encoder(inputs_embeds=embeds, attention_mask=mask).last_hidden_state
        states: torch.Tensor = self.decoder(
            inputs_embeds=self.decoder_embeds(ids, embeds.dtype),
            encoder_hidden_states=read,
            encoder_attention_mask=mask,
            use_cache=False,
        ).last_hidden_state
        return states

    def library_reading(
        self,
        embeds: torch.Tensor,
        attention_mask: torch.Tensor,
        answers: torch.Tensor,
        **beside: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """As the families'; the decoder is given the embeddings of its ids."""
        given = self.decoder_embeds(beside.pop("decoder_input_ids"), embeds.dtype)
        return super().library_reading(
            embeds, attention_mask, answers, decoder_inputs_embeds=given, **beside
        )

    def decoder_embeds(self, ids: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Embeddings [N, D, d] of ids, of the type that layers compute in: tables may be exact."""
        found: torch.Tensor = self.decoder.get_input_embeddings()(ids)
        return found.to(dtype)


FORCED = "forced_bos_token_id"
"""The setting of ``generate`` for a token that comes first, whatever the model would say."""
_STARTS = ("decoder_start_token_id", "bos_token_id")
