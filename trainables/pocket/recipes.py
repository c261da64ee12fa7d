"""What each pocket model is made of: one entry a model, read by :mod:`trainables.pocket.train`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PocketRecipe:
    """Architecture, tokenizer and token budget of one embedded model.

    Attributes:
        family: Hugging Face ``model_type``.
        tokenizer: one of ``wordpiece``, ``bytelevel``, ``metaspace`` (see ``corpus.py``).
        masked: trained to fill masks (else to predict the next token).
        cycles: training tokens of each cycle; windows and learning rate start anew in each, from
            the second on with half the peak rate.
        causal_share: share of the first cycle a masked model spends on next-token prediction.
            Masked training starts with a long plateau on a small budget; next-token prediction
            teaches embeddings and heads from every position and skips it.
        moved_share: per cycle, share of the masked steps that are of the *moved word* kind: one
            line a row, one of its rarer words taken out and asked for at a mask behind the line.
            Without it a small model never learns to gather a whole text at a final mask, which is
            where a prompt wants its answer; with it alone, plain masks suffer.
        muon_lr / adam_lr: peak learning rates of matrices / of everything else.
    """

    family: str
    tokenizer: str
    masked: bool
    vocab_size: int
    width: int
    layers: int
    heads: int
    cycles: tuple[int, ...]
    causal_share: float = 0.0
    moved_share: tuple[float, ...] = ()
    batch_tokens: int = 4096
    muon_lr: float = 0.02
    adam_lr: float = 3e-3


RECIPES: dict[str, PocketRecipe] = {
    "pocket-bert": PocketRecipe(
        "bert",
        "wordpiece",
        True,
        6144,
        128,
        3,
        4,
        cycles=(16_000_000, 5_000_000, 2_500_000),
        causal_share=0.35,
        moved_share=(0.0, 1.0, 0.5),
    ),
    "pocket-gpt2": PocketRecipe("gpt2", "gpt-bytelevel", False, 6144, 128, 3, 4, (10_000_000,)),
    "pocket-roberta": PocketRecipe(
        "roberta",
        "bytelevel",
        True,
        5120,
        160,
        3,
        4,
        cycles=(8_400_000, 13_000_000),
        causal_share=0.51,
        moved_share=(0.5, 0.4),
    ),
    "pocket-llama": PocketRecipe(
        "llama", "metaspace", False, 5120, 96, 4, 4, (3_000_000, 9_000_000)
    ),
    "pocket-gpt2-large": PocketRecipe(
        "gpt2", "gpt-bytelevel", False, 6144, 192, 4, 6, (7_600_000,)
    ),
}
