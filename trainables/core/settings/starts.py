"""What a tuned prompt starts from where that is no draw of its own."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any

from trainables.core.registries import SIMILARITIES
from trainables.core.settings.base import Count, Number, Settings, check, later

CAP = 2**19
"""Examples that a task counts as at most in a mixture of tasks (Raffel et al. 2020)."""


@dataclass(frozen=True)
class StartSettings(Settings):
    """Settings of ``source`` cells beside their method's, see :mod:`trainables.soft.starts`.

    Attributes:
        draw: which draw of ``init``; 0 is the seed's own.
        top: so many tasks are retrieved, and the prompt starts from the average of their prompts,
            weighted by similarity (Vu et al. 2022); None: from the one prompt that it is given.
        retrieval: the similarity of tasks that retrieves them.
        mixture: whether instead it is tuned on a mixture of their examples and its own task's,
            from a draw of its own.
        origin_shots: examples a class of each of them in the mixture; None: all.
        cap: examples that a task counts as at most in it (2^19 in the paper).
    """

    draw: Number = later(0)
    top: Count | None = later(None)
    retrieval: Annotated[str, SIMILARITIES] | None = later(None)
    mixture: bool = later(False)
    origin_shots: Count | None = later(None)
    cap: Count = later(CAP)

    def complete(self) -> None:
        """Retrieval needs a similarity, and nothing else does."""
        good = (self.top is None) == (self.retrieval is None)
        check(self, "retrieval", good, "a similarity with top, else null")


NAMES = tuple(item.name for item in fields(StartSettings))
"""Names of these settings."""


def parted(settings: Mapping[str, Any]) -> tuple[dict[str, Any], StartSettings]:
    """A ``source`` cell's settings of its method, and those of its start."""
    own = {name: value for name, value in settings.items() if name not in NAMES}
    return own, StartSettings(**{name: settings[name] for name in NAMES if name in settings})
