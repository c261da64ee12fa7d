"""Kinds of language models, by what their vocabulary head is for. No torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Head:
    """One kind.

    Attributes:
        name: how sentences call it.
        auto: the library's class that loads such a model.
        mapping: the library's table from a config's class to the model's.
        endings: how the names of classes with such a head end.
        task_type: how PEFT calls it.
    """

    name: str
    auto: str
    mapping: str
    endings: tuple[str, ...]
    task_type: str


# PEFT has no type for masked models; this one hands on what the model returns.
MASKED = Head(
    "masked",
    "AutoModelForMaskedLM",
    "MODEL_FOR_MASKED_LM_MAPPING",
    ("ForMaskedLM", "ForPreTraining", "WithLMHeadModel"),
    "FEATURE_EXTRACTION",
)
"""The answer is read at a mask."""
CAUSAL = Head(
    "causal",
    "AutoModelForCausalLM",
    "MODEL_FOR_CAUSAL_LM_MAPPING",
    ("ForCausalLM", "LMHeadModel", "DoubleHeadsModel"),
    "CAUSAL_LM",
)
"""The answer is predicted after the last token."""
SEQUENCE = Head(
    "sequence-to-sequence",
    "AutoModelForSeq2SeqLM",
    "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING",
    ("ForConditionalGeneration", "WithLMHeadModel"),
    "SEQ_2_SEQ_LM",
)
"""An encoder reads the text, and a decoder of its own says the answer."""
HEADS = (MASKED, CAUSAL, SEQUENCE)

SUPPORTED = "masked, causal or sequence-to-sequence language model"
