"""Parameters of dynamic prompting (Yang et al. 2023), each with the reason for its default."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge

from trainables.core.settings.base import Number, Positive, axis, check
from trainables.core.settings.soft import SoftSettings

_CONTROLS = ("fixed", "parameters")
_ALIKE = ("text", "file", "label_words")


@dataclass(frozen=True)
class DynamicSettings(SoftSettings):
    """Soft prompts whose position, length and vectors are decided (Yang et al. 2023).

    Attributes:
        adapt: what is decided: how many vectors stand behind the text (``position``), how many are
            there at all (``length``), which mean of a pool of prompts they are
            (``representation``), two of these, or all (``unified``).
        level: at which it is decided: of the ``task``, from free logits, or of each text
            (``instance``), by linear heads on the mean last state of the text without a prompt. The
            controls beside them: ``fixed`` stands where ``behind`` says and decides nothing;
            ``parameters`` is such a prompt of as many numbers as the vectors and heads of
            ``instance`` have together.
        pool: prompts k whose mean is taken where the representation is decided; the released code
            has 4.
        behind: of ``fixed``, how many of its vectors stand behind the text; of ``parameters`` the
            same share of its vectors.
        temperature: of the Gumbel softmax at the first step; by default the released code's.
        temperature_end: at the last step; it falls by the same factor every step. 0.5 is the floor
            that the released code reaches within its first steps.
    """

    parametrisation: ClassVar[Any] = "trainables.soft.forms.heads:Heads"
    heads: ClassVar[bool] = True
    code_version: ClassVar[str] = "dynamic-1"

    adapt: Literal[
        "position",
        "length",
        "representation",
        "position+length",
        "position+representation",
        "length+representation",
        "unified",
    ] = axis("position")
    level: Literal["task", "instance", "fixed", "parameters"] = axis("instance")
    pool: Annotated[int, Ge(2)] = axis(4)
    behind: Number = axis(0)
    temperature: Positive = axis(1.0)
    temperature_end: Positive = 0.5

    @classmethod
    def fitted(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """The temperature falls: of its two ends the one that is given decides."""
        end = given.get("temperature_end", cls.temperature_end)
        start = given.get("temperature", max(cls.temperature, end))
        return {
            **super().fitted(given),
            "temperature": start,
            "temperature_end": min(cls.temperature_end, start),
        }

    def unread(self) -> frozenset[str]:
        """Controls decide nothing, and what is decided is not given."""
        chosen = self.adapt == "unified" or "representation" in self.adapt
        discrete = self.adapt != "representation"
        left: set[str] = set() if chosen and self.level != "fixed" else {"pool"}
        if self.level in _CONTROLS or not discrete:
            left |= {"temperature", "temperature_end"}
        if self.level not in _CONTROLS:
            left.add("behind")
        if self.level == "fixed":
            left.add("adapt")
        return super().unread() | left

    def complete(self) -> None:
        """The temperature does not rise; what a pool starts from differs; no other position."""
        super().complete()
        good = self.temperature_end <= self.temperature
        check(self, "temperature_end", good, f"at most temperature ({self.temperature})")
        good = self.behind <= self.prompt_length
        check(self, "behind", good, f"0 to the prompt's length ({self.prompt_length})")
        good = self.position == "prefix"
        check(self, "position", good, "prefix; behind says how many vectors stand behind the text")
        good = self.level != "parameters" or self.init != "file"
        check(self, "init", good, "another one at level parameters, whose prompts are longer")
        pooled = "pool" not in self.unread() and self.level != "parameters"
        good = not pooled or self.init not in _ALIKE
        check(self, "init", good, "one that draws each prompt of a pool anew (normal, uniform,"
              " vocabulary)")  # fmt: skip

    @property
    def carried(self) -> bool:
        """A control of as many numbers as on its own model has no counterpart on another."""
        return self.level != "parameters"

    @property
    def decides(self) -> bool:
        return self.level not in _CONTROLS

    def temperatures(self, steps: int) -> Sequence[float]:
        """Of the Gumbel softmax at steps t = 1..T: start · (end / start)^((t − 1) / (T − 1)).

        It falls by the same factor every step; a single step has the start's.
        """
        factor, last = self.temperature_end / self.temperature, max(1, steps - 1)
        return [float(self.temperature * factor ** (step / last)) for step in range(steps)]
