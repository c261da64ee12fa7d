"""What each pocket model is made of: one entry a model, read by :mod:`trainables.pocket.train`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PocketRecipe:
    """Architecture, tokenizer and token budget of one embedded model.

    Attributes:
        family: Hugging Face ``model_type``.
        tokenizer: one of ``wordpiece``, ``bytelevel``, ``metaspace``, ``sentinels`` (see
            ``corpus.py``).
        masked: trained to fill masks, or the gaps of span corruption (else to predict the next
            token, or to continue a text).
        cycles: training tokens of each cycle; windows and learning rate start anew in each, from
            the second on with half the peak rate.
        causal_share: share of the first cycle a masked model spends on next-token prediction, an
            encoder–decoder on continuing texts.
            Masked training starts with a long plateau on a small budget; next-token prediction
            teaches embeddings and heads from every position and skips it.
        moved_share: per cycle, share of the masked steps that are of the *moved word* kind: one
            line a row, one of its rarer words taken out and asked for at a mask behind the line.
            Without it a small model never learns to gather a whole text at a final mask, which is
            where a prompt wants its answer; with it alone, plain masks suffer.
        muon_lr / adam_lr: peak learning rates of matrices / of everything else.
        start: the model whose weights and tokenizer it goes on with; empty: none.
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
    start: str = ""


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
    "pocket-t5": PocketRecipe(
        "t5",
        "sentinels",
        True,
        6144,
        128,
        3,
        4,
        cycles=(7_500_000, 3_500_000),
        causal_share=0.25,
        moved_share=(0.0, 0.3),
        muon_lr=0.01,
        adam_lr=1e-2,
    ),
    "pocket-t5-lm": PocketRecipe(
        "t5",
        "sentinels",
        False,
        6144,
        128,
        3,
        4,
        cycles=(1_100_000,),
        muon_lr=0.005,
        adam_lr=5e-3,
        start="pocket-t5",
    ),
}
