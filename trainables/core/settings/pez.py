"""Parameters of PEZ (Wen et al. 2023), each with the reason for its default."""

from dataclasses import dataclass
from typing import ClassVar

from trainables.core.registries import OPTIMISERS
from trainables.core.settings.base import at_least, axis, check, finite_number, one_of
from trainables.core.settings.descent import DescentSettings

STATES = ("continuous", "projected")


@dataclass(frozen=True)
class PezSettings(DescentSettings):
    """PEZ: the gradient at the nearest words moves a prompt of vectors.

    Attributes:
        state: ``continuous``: the vectors keep what the steps add up (the published algorithm).
            ``projected``: after a step they are put back to the nearest words, as the released
            code for text does, so that a step that reaches no other word is lost.
        project_every: with ``projected``, after how many steps they are put back.
        optimiser: ``adafactor`` (the released code for text, paper B) or ``adamw`` (for images).
        weight_decay: decoupled; 0.1 in the released code for images.
        clip_gradient: largest norm of a replica's gradient (null: any). Adafactor hardly notices.
        norm_clip: largest length of a vector after a step, in mean lengths of the model's word
            embeddings (null: any). Under Adafactor a ``continuous`` state grows with every step,
            so that its direction turns less and less; this keeps it turning.
    """

    search: ClassVar[str] = "trainables.hard.methods.pez:search"

    state: str = axis("continuous")
    project_every: int = 1
    optimiser: str = "adafactor"
    weight_decay: float = 0.0
    clip_gradient: float | None = 1.0
    norm_clip: float | None = None

    def __post_init__(self) -> None:
        """Raise InputError for the first value out of its range."""
        super().__post_init__()
        one_of(self, "state", STATES)
        OPTIMISERS.check(self.optimiser, "optimiser")
        at_least(self, 1, "project_every")
        check(self, "weight_decay", 0.0 <= self.weight_decay < float("inf"), "a number from 0")
        for name in ("clip_gradient", "norm_clip"):
            value = getattr(self, name)
            good = value is None or (finite_number(value) and value > 0)
            check(self, name, good, "a finite number above 0, or null")
