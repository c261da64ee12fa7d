"""Label-free corrections of label-word scores, shown beside the uncorrected ones.

A model prefers some label words whatever the text says. Each calibration estimates that preference
without labels, as log-probabilities of the label words, and takes it off before the best class is
looked up. Registered in :data:`CALIBRATIONS`; a new one is one function and one entry.

Torch-free at import (tensors bring their own methods), so that specs and reports know the names.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainables.core.registry import Registry

if TYPE_CHECKING:
    import torch

    from trainables.backbones.layout import Layout
    from trainables.backbones.reader import Reader
    from trainables.core.texts import Text

ROUNDING = 1e-4
"""Log-probabilities closer than this are equal: batches of other shapes round otherwise."""


@dataclass(frozen=True)
class Calibration:
    """One way of estimating a preference.

    Attributes:
        preference: from log-probabilities of the split [R, n, C] and of content-free inputs
            [R, k, C] (None where ``content_free`` is false) to what is subtracted, [R, 1, C].
        content_free: whether it reads content-free inputs.
        title: how tables call it.
        meaning: what it subtracts, for the column dictionary.
    """

    preference: "Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]"
    content_free: bool
    title: str
    meaning: str


def _batch(split: "torch.Tensor", free: "torch.Tensor | None") -> "torch.Tensor":
    """Mean log-probability over the split's own inputs (batch calibration, Zhou et al. 2024)."""
    return split.mean(1, keepdim=True)


def _content_free(split: "torch.Tensor", free: "torch.Tensor | None") -> "torch.Tensor":
    """Log of the mean probability over content-free inputs (Zhao et al. 2021, W = diag(p)⁻¹).

    In logarithms throughout: a probability that is 0 in float32 would give an infinite score.
    """
    if free is None:
        raise ValueError("content-free calibration needs content-free inputs")
    return free.logsumexp(1, keepdim=True) - math.log(free.shape[1])


CALIBRATIONS: Registry[Calibration] = Registry(
    "calibration",
    {
        "batch": Calibration(
            _batch,
            content_free=False,
            title="batch",
            meaning="the mean label log-probability over the split's unlabelled inputs",
        ),
        "content_free": Calibration(
            _content_free,
            content_free=True,
            title="content-free",
            meaning="the label log-probability of inputs without content (N/A, the mask, nothing)",
        ),
    },
)
"""Per name as specs write it, the calibration."""


def calibrate(
    name: str, logits: "torch.Tensor", free: "torch.Tensor | None" = None
) -> "torch.Tensor":
    """Label-word scores with the preference taken off.

    A prompt under which every input gets the same scores predicts a constant: there is nothing but
    preference, and taking it off would leave rounding errors to decide. It stays as it is.

    Args:
        name: key of :data:`CALIBRATIONS`.
        logits: label-word logits of a split [R, n, C].
        free: those of content-free inputs [R, k, C], where the calibration reads them.

    Returns:
        [R, n, C], to be compared within a row only.
    """
    scores = logits.log_softmax(-1)
    known = None if free is None else free.log_softmax(-1)
    corrected = scores - CALIBRATIONS[name].preference(scores, known)
    constant = (scores.amax(1) - scores.amin(1)).amax(-1) <= ROUNDING
    return scores.where(constant[:, None, None], corrected)


def content_free_texts(reader: "Reader", layout: "Layout", pair: bool = False) -> "list[Text]":
    """Inputs without content for a model: ``N/A``, its mask token and the empty text.

    These are the three of Zhao et al. (2021). A model without a mask token reads the word
    ``[MASK]``, as theirs did. Texts are read as any other, so that a byte-level tokenizer makes the
    empty one a lone space. It is left out where nothing at all would stand before
    the answer (a causal model without begin token, prompt and template).

    Args:
        layout: how its inputs are put together.
        pair: whether the task is one on pairs: a model that reads them as two segments then gets
            each input twice, one a segment.
    """
    texts = ["N/A", str(reader.tokenizer.mask_token or "[MASK]")]
    something = (
        reader.family.masked
        or reader.begin
        or reader.end
        or layout.prompt_length
        or layout.template
        or layout.chat
        or reader.tokens(reader.lead)
    )
    if something:
        texts.append("")
    return [(text, text) if pair and reader.separator else text for text in texts]
