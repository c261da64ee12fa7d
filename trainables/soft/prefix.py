"""Parameters of deep prompts: keys and values in every layer."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from trainables.core.settings.soft import SoftSettings


@dataclass(frozen=True)
class PrefixSettings(SoftSettings):
    """Prefix tuning (Li & Liang 2021; of masked models P-tuning v2, Liu et al. 2022).

    A prompt is m keys and values before every text, in each layer. Everything else is as in
    :class:`SoftSettings`; what starts from words starts from the keys and values that these leave
    (Li & Liang, section 7.4).

    Attributes:
        position: ``layers``: there is no other.
    """

    code_version: ClassVar[str] = "prefix-1"
    joint: ClassVar[bool] = False

    position: Literal["layers"] = "layers"  # type: ignore[assignment]
