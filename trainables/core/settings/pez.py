"""Parameters of PEZ (Wen et al. 2023), each with the reason for its default."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from trainables.core.registries import OPTIMISERS
from trainables.core.settings.base import Count, NotNegative, Positive, axis
from trainables.core.settings.descent import DescentSettings


@dataclass(frozen=True)
class PezSettings(DescentSettings):
    """PEZ: the gradient at the nearest words moves a prompt of vectors.

    Attributes:
        state: ``continuous``: the vectors keep what the steps add up (the published algorithm).
            ``projected``: after a step they are put back to the nearest words, as the released
            code for text does, so that a step that reaches no other word is lost.
        project_every: with ``projected``, after how many steps they are put back.
        optimiser: ``adafactor`` (the released code for text, paper B) or ``adamw`` (for images);
            ``adafactor_whole`` is Lester et al.'s.
        weight_decay: decoupled; 0.1 in the released code for images.
        clip_gradient: largest norm of a replica's gradient (null: any). Adafactor hardly notices.
        norm_clip: largest length of a vector after a step, in mean lengths of the model's word
            embeddings (null: any). Under Adafactor a ``continuous`` state grows with every step,
            so that its direction turns less and less; this keeps it turning.
    """

    search: ClassVar[str] = "trainables.hard.methods.pez:search"

    state: Literal["continuous", "projected"] = axis("continuous")
    project_every: Count = 1
    optimiser: Annotated[str, OPTIMISERS] = "adafactor"
    weight_decay: NotNegative = 0.0
    clip_gradient: Positive | None = 1.0
    norm_clip: Positive | None = None
