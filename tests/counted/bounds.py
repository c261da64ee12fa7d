"""How much work the project may do, and why no more.

Work is counted, not timed. ``ideal`` of a training step is 4 FLOPs for each weight of the layers
and each token needed: 2 to read, 2 for the way back to the prompt. (Weights are frozen: their own
gradients would be another 2.) ``ideal`` of an evaluation is 2.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Bound:
    """What a count may be at most.

    Attributes:
        most: the bound; what is counted now is a few percent below.
        why: what keeps it there.
    """

    most: float
    why: str


BOUNDS = {
    "tuning, FLOPs by ideal": Bound(
        0.80,
        "of the last layer only keys and values of all tokens, of the head only the answer and the"
        " label words; prompts of a causal model are read twice a step; padding is small",
    ),
    "PEZ, FLOPs by ideal": Bound(
        0.95, "the same, and the nearest of 2,000 words for each prompt token: 0.15 on this model"
    ),
    "tuning, tokens read by needed": Bound(1.20, "rows pass together with those of like length"),
    "tuning, passes of six prompts": Bound(10, "replicas share a pass: 2 steps of 48 rows"),
    "evaluation, FLOPs by ideal": Bound(0.85, "as in tuning"),
    "evaluation, tokens read by needed": Bound(1.05, "rows sorted by length; six prompts at once"),
    "evaluation, passes of six prompts": Bound(12, "prompts share a pass"),
    "transfer, FLOPs by product": Bound(
        24,
        "in units of (prompt tokens × width²): a few products with Gram matrices, whatever the"
        " number of anchors; no search, and no pass through a model",
    ),
    "model loads of a sweep": Bound(3, "each of three models stays resident between packs"),
    "MLflow calls for each result": Bound(0.5, "results are inserted a batch a transaction"),
}
