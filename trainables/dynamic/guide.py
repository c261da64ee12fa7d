"""What is decided about a prompt, from what, and how it lies in one matrix with the prompt.

Dynamic prompting (Yang et al. 2023) decides of a prompt P of m vectors how many of them stand
behind the text (*position*, 0 to m), how many are there at all (*length*, m down to 1), and which
mean of a pool of k prompts P is (*representation*): once a task, from free logits, or of each text,
by a linear head on what the frozen model makes of the text without a prompt.

Vectors and heads are kept as one matrix [M, d]: the vectors of the pool, then the numbers of the
heads one after another, filled up with zeros to whole rows. So a stack of them is a stack of
prompts, and whatever keeps, moves and checks prompts does so with these.

Shapes: R prompts, N rows, m vectors, d embedding width, k prompts of a pool, h width of states, C
choices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Protocol

import torch
import torch.nn.functional as F

from trainables.dynamic.gumbel import gumbel

POSITION, LENGTH, REPRESENTATION = "position", "length", "representation"
PARTS = (POSITION, LENGTH, REPRESENTATION)
"""What may be decided."""
UNIFIED = "unified"
"""All of it."""
TASK, INSTANCE, FIXED, PARAMETERS = "task", "instance", "fixed", "parameters"
"""Levels: decided once, or of each text; the controls: a position that is given, and a longer
prompt at one, of as many numbers as vectors and heads have together."""


class Widths(Protocol):
    """What a family of models knows of itself."""

    @property
    def width(self) -> int:
        """Width d of its word embeddings."""

    @property
    def state_width(self) -> int:
        """Width h of its last states."""


@dataclass(frozen=True)
class Head:
    """What decides on one part.

    Attributes:
        bias: logits of the task, [R, C].
        weight: what a text's state adds to them [R, h, C]; None: nothing.
    """

    bias: torch.Tensor
    weight: torch.Tensor | None = None

    def logits(self, owner: torch.Tensor, states: torch.Tensor | None) -> torch.Tensor:
        """Of rows [N, C]: W z + b, by their prompts' heads."""
        bias = self.bias[owner]
        if self.weight is None or states is None:
            return bias
        return torch.einsum("nh,nhc->nc", states, self.weight[owner]) + bias


@dataclass(frozen=True)
class Guide:
    """What is decided, and of what size everything is.

    Attributes:
        parts: of :data:`PARTS`.
        by_text: whether of each text; else of the task.
        length: vectors m of a prompt.
        pool: prompts k of the pool; 1 where the representation is not decided.
        width: d.
        states: h.
        behind: how many vectors stand behind the text where that is not decided.
    """

    parts: tuple[str, ...]
    by_text: bool
    length: int
    pool: int
    width: int
    states: int
    behind: int = 0

    @classmethod
    def of(cls, settings: Mapping[str, Any], family: Widths) -> "Guide | None":
        """The guide of a method's settings on a model; None where the method decides nothing."""
        level = settings.get("level")
        if level is None:
            return None
        named = settings.get("adapt", UNIFIED)
        parts = PARTS if named == UNIFIED else tuple(str(named).split("+"))
        many = int(settings.get("pool", 1)) if REPRESENTATION in parts else 1
        length = int(settings["prompt_length"])
        widths = family.width, family.state_width
        behind = int(settings.get("behind", 0))
        if level == FIXED:
            return cls((), False, length, 1, *widths, behind)
        by_text = level in (INSTANCE, PARAMETERS)
        found = cls(parts, by_text, length, many, *widths)
        if level != PARAMETERS:
            return found
        return cls((), False, found.rows, 1, *widths, round(behind * found.rows / length))

    @property
    def reads(self) -> bool:
        """Whether texts' states are read."""
        return self.by_text and bool(self.parts)

    def choices(self, part: str) -> int:
        """C of a part: what is chosen by 0 is what a static prompt before the text has."""
        return {POSITION: self.length + 1, LENGTH: self.length, REPRESENTATION: self.pool}[part]

    @property
    def vectors(self) -> int:
        """Rows of the matrix that are vectors."""
        return self.pool * self.length

    @property
    def _shapes(self) -> list[tuple[int, ...]]:
        """Of the heads' tensors, in the order in which they are kept: W and b of each part."""
        return [
            shape
            for part in self.parts
            for shape in (
                *([(self.states, self.choices(part))] if self.by_text else []),
                (self.choices(part),),
            )
        ]

    @property
    def parameters(self) -> int:
        """Numbers that are trained."""
        return self.vectors * self.width + sum(map(prod, self._shapes))

    @property
    def rows(self) -> int:
        """Rows M of the matrix."""
        return -(-self.parameters // self.width)

    def blank(self) -> list[torch.Tensor]:
        """Heads that decide nothing yet: zeros, so that every choice is as likely as another."""
        return [torch.zeros(shape) for shape in self._shapes]

    def packed(self, pool: torch.Tensor, heads: Sequence[torch.Tensor]) -> torch.Tensor:
        """Vectors [R, k·m, d] and the heads' tensors [R, ...] as matrices [R, M, d]."""
        if not heads:
            return pool
        numbers = torch.cat([head.flatten(1) for head in heads], dim=1)
        more = (self.rows - self.vectors) * self.width - numbers.shape[1]
        rest = F.pad(numbers, (0, more)).view(len(pool), -1, self.width)
        return torch.cat([pool, rest], dim=1)

    def unpacked(self, prompts: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Inverse of :meth:`packed`.

        Raises:
            ValueError: matrices of another shape.
        """
        if prompts.shape[1:] != (self.rows, self.width):
            raise ValueError(
                f"found a prompt of shape {list(prompts.shape[1:])};"
                f" allowed: {[self.rows, self.width]}, its vectors and its heads"
            )
        numbers = prompts[:, self.vectors :].flatten(1)
        sizes = [prod(shape) for shape in self._shapes]
        split = numbers[:, : sum(sizes)].split(sizes, dim=1)
        heads = [
            part.view(len(prompts), *shape) for part, shape in zip(split, self._shapes, strict=True)
        ]
        return prompts[:, : self.vectors], heads

    def heads(self, prompts: torch.Tensor) -> tuple[torch.Tensor, dict[str, Head]]:
        """The pools [R, k, m, d] of matrices [R, M, d], and who decides on each part."""
        pool, tensors = self.unpacked(prompts)
        given, found = iter(tensors), {}
        for part in self.parts:
            weight = next(given) if self.by_text else None
            found[part] = Head(next(given), weight)
        return pool.view(len(pool), self.pool, self.length, self.width), found


@dataclass(frozen=True)
class Decided:
    """What is decided about rows.

    Attributes:
        vectors: of each row's prompt [N, m, d].
        behind: how many of them stand behind the text, where all m are there [N].
        kept: how many of them, the first ones, are there [N].
        shares: by part, what the gradient of a decision goes through [N, C]; empty in evaluation.
        pool: shares of the pool's prompts [N, k].
    """

    vectors: torch.Tensor
    behind: torch.Tensor
    kept: torch.Tensor
    shares: Mapping[str, torch.Tensor]
    pool: torch.Tensor | None


@dataclass(frozen=True)
class Guided:
    """Rows that a guide decides about.

    Attributes:
        guide: it.
        ends: place right behind each text in a row whose prompt stands before it [n].
        states: of each text, what the model makes of it without a prompt [n, h]; None where
            nothing reads it.
        keys: in training, what each row's noise is made from [n]; None: no noise, the likeliest
            choice is taken.
        temperature: in training, of the Gumbel softmax.
    """

    guide: Guide
    ends: torch.Tensor
    states: torch.Tensor | None = None
    keys: torch.Tensor | None = None
    temperature: float = 1.0

    def _each(self, change: Any) -> "Guided":
        own = {name: getattr(self, name) for name in ("ends", "states", "keys")}
        return replace(
            self, **{name: change(item) for name, item in own.items() if item is not None}
        )

    def take(self, index: torch.Tensor) -> "Guided":
        """Rows ``index``."""
        return self._each(lambda item: item[index])

    def repeat(self, times: int) -> "Guided":
        """All rows ``times`` over."""
        return self._each(lambda item: item.repeat(times, *[1] * (item.dim() - 1)))

    def to(self, device: str) -> "Guided":
        """On a device."""
        return self._each(lambda item: item.to(device))

    @staticmethod
    def joined(every: Sequence["Guided"]) -> "Guided":
        """Rows of several tasks as those of one."""
        ends = torch.cat([one.ends for one in every])
        states = [one.states for one in every if one.states is not None]
        return replace(every[0], ends=ends, states=torch.cat(states) if states else None)

    def training(self, keys: torch.Tensor, temperature: float) -> "Guided":
        """The same rows with the noise of a training step."""
        return replace(self, keys=keys, temperature=temperature)

    def logits(self, prompts: torch.Tensor, owner: torch.Tensor) -> dict[str, torch.Tensor]:
        """By part, the logits [N, C] of rows behind prompts [R, M, d]."""
        return {
            part: head.logits(owner, self.states)
            for part, head in self.guide.heads(prompts)[1].items()
        }

    def decided(self, prompts: torch.Tensor, owner: torch.Tensor) -> Decided:
        """Decide about N rows.

        Position and length: in training the one-hot of the largest of logits plus Gumbel noise,
        and as shares softmax((logits + noise) / temperature), through which its gradient goes
        (straight through); in evaluation the largest logit. Of the pool a mean, by softmax(logits).

        Args:
            prompts: matrices [R, M, d].
            owner: index into them of each row's [N].
        """
        guide = self.guide
        pool, heads = guide.heads(prompts)
        found = {part: head.logits(owner, self.states) for part, head in heads.items()}
        chosen: dict[str, torch.Tensor] = {}
        shares: dict[str, torch.Tensor] = {}
        for place, part in enumerate((POSITION, LENGTH)):
            if part not in found:
                continue
            logits = found[part]
            if self.keys is not None:
                logits = logits + gumbel(self.keys, logits.shape[1], place)
                shares[part] = (logits / self.temperature).softmax(-1)
            chosen[part] = logits.detach().argmax(-1)
        count = torch.zeros_like(owner)
        mixed = found[REPRESENTATION].softmax(-1) if REPRESENTATION in found else None
        vectors = pool[owner, 0] if mixed is None else torch.einsum(
            "nk,nkmd->nmd", mixed, pool[owner]
        )  # fmt: skip
        return Decided(
            vectors,
            chosen.get(POSITION, count + guide.behind),
            guide.length - chosen.get(LENGTH, count),
            shares,
            mixed,
        )
