"""What a solver is asked: the sources' prompts, the models as they see words, the target.

Shapes: S sources, R replicas, m prompt tokens, d_s / d_t widths of a source and of the target,
k common words, C candidates.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F

from trainables.backbones import Backbone, Encoded, Labels
from trainables.core.frontier import Cost
from trainables.core.registries import NORMS
from trainables.core.settings import TransferSettings
from trainables.transfer.norms import Lengths, Norm
from trainables.words.relative import Grams, relative_cosine


@dataclass(frozen=True)
class Space:
    """One model's embedding space.

    Attributes:
        scale: mean length of its embedding rows.
        key: names the model; the order of the sources' keys is the order solvers see them in, and
            it enters the random start of what is trained per source.
        table: the usable rows of its embedding table [V, d]; only some solvers and norms need it.
        shared: gives the ids of the k common words; only some solvers need it.
    """

    scale: float
    key: str = ""
    table: torch.Tensor | None = None
    shared: Callable[[], Sequence[int]] | None = None

    @cached_property
    def words(self) -> torch.Tensor:
        """Embedding rows of the common words as they are, float64 [k, d]."""
        if self.shared is None:
            raise ValueError("the common words of this model were not handed in")
        return self._rows[torch.tensor(list(self.shared()), device=self._rows.device)].double()

    @property
    def anchors(self) -> torch.Tensor:
        """The same rows with unit length: Â of equation 4."""
        return F.normalize(self.words, dim=1)

    @cached_property
    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation over all entries of the table."""
        table = self._rows.double()
        return float(table.mean()), float(table.std())

    @property
    def _rows(self) -> torch.Tensor:
        if self.table is None:
            raise ValueError("the embedding table of this model was not handed in")
        return self.table


def held_out(texts: int) -> int:
    """How many of so many texts are kept from what is learnt: a quarter, at least 1."""
    return max(1, texts // 4)


@dataclass(frozen=True)
class Lesson:
    """What each replica is taught: texts, and label probabilities of them.

    Shapes: n texts that any replica uses, U of each replica's own, C classes.

    Attributes:
        texts: under the layout the prompt is used in; no label is in it (``gold`` is -1).
        plain: the same texts without a prompt.
        rows: each replica's texts in a random order [R, U]; the last ``held`` are held out.
        soft: label probabilities of them [R, U, C].
        held: texts held out, a quarter of U.
        costs: per replica what it took to have the probabilities, and what they were read from.
    """

    texts: Encoded
    plain: Encoded
    rows: torch.Tensor
    soft: torch.Tensor
    held: int
    costs: Sequence[Cost]

    def take(self, places: Sequence[int]) -> "Lesson":
        """The same for some of the replicas."""
        index = torch.tensor(list(places))
        costs = [self.costs[place] for place in places]
        return replace(self, rows=self.rows[index], soft=self.soft[index], costs=costs)

    @property
    def degenerate(self) -> list[bool]:
        """Per replica, whether the teacher gives all texts one class."""
        classes = self.soft.argmax(-1)
        return (classes == classes[:, :1]).all(1).tolist()


@dataclass(frozen=True)
class TargetTask:
    """The target with the task, for what trains or reads through it.

    Attributes:
        backbone: the target, frozen.
        label_ids: what answers are compared by, C classes.
        train: training split with labels, under the layout the prompt is used in.
        plain: gives a split by name without a prompt.
        lesson: gives what all replicas are taught, as settings ask for it.
        sources: gives, of a split and with their prompts or without, label log-probabilities of
            the sources [S, R, n, C] ([S, 1, n, C] without), in the order of the problem.
    """

    backbone: Backbone
    label_ids: Labels
    train: Encoded
    plain: Callable[[str], Encoded] | None = None
    lesson: Callable[[TransferSettings], Lesson] | None = None
    sources: Callable[[str, bool], torch.Tensor] | None = None


@dataclass(frozen=True)
class Problem:
    """Prompts of S sources to be carried to one target.

    Attributes:
        prompts: per source, [R, m, d_s].
        spaces: per source, then of the target.
        grams: Gram matrices over the same models in the same order.
        seeds: R seeds; the only source of randomness.
        norm: a name of :data:`trainables.core.registries.NORMS`.
        last: index of the source that masks of ``ptfer_release`` are taken from.
        target_task: gives the target with its data; None where no solver may train through it.
        places: where its replicas stand among those that ``target_task`` knows of; empty: all.
        marks: values of the setting along which a run of the solver is cut, in rising order.
    """

    prompts: tuple[torch.Tensor, ...]
    spaces: tuple[Space, ...]
    grams: Grams
    seeds: tuple[int, ...]
    norm: str = "match"
    last: int = -1
    target_task: Callable[[], TargetTask] | None = None
    places: tuple[int, ...] = ()
    marks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError where the parts do not fit together."""
        if not self.prompts:
            raise ValueError("transfer needs at least one source prompt")
        if len(self.spaces) != len(self.prompts) + 1:
            raise ValueError(f"{len(self.prompts)} prompts and {len(self.spaces)} models")
        if any(len(prompt) != len(self.seeds) for prompt in self.prompts):
            raise ValueError(f"{len(self.seeds)} seeds for {len(self.prompts[0])} replicas")

    @property
    def count(self) -> int:
        """Number of sources S, and the index of the target."""
        return len(self.prompts)

    @property
    def target(self) -> Space:
        """The target's space."""
        return self.spaces[-1]

    @property
    def shape(self) -> tuple[int, int, int]:
        """R, m and d_t: shape of what is looked for."""
        width = self.grams[self.count, self.count].shape[0]
        return (*self.prompts[0].shape[:2], width)

    @cached_property
    def lengths(self) -> Lengths:
        """What the norms go by."""
        relative = torch.stack(
            [
                prompt.double().norm(dim=-1) / space.scale
                for prompt, space in zip(self.prompts, self.spaces, strict=False)
            ]
        )
        return Lengths(relative.mean(0), self.target.scale, lambda: self.target.moments)

    def finish(self, found: torch.Tensor) -> torch.Tensor:
        """Give vectors [..., R, m, d_t] the length that ``norm`` asks for."""
        norm: Norm = NORMS[self.norm]
        return norm(found, self.lengths)

    def similarity(self, found: torch.Tensor) -> torch.Tensor:
        """Cosine of relative representations over all anchors, mean over sources.

        Args:
            found: [..., R, m, d_t].

        Returns:
            [..., R, m].
        """
        wide, target = found.double(), self.count
        grams = self.exact_grams
        return torch.stack(
            [
                relative_cosine(prompt.double(), wide, grams, s, target)
                for s, prompt in enumerate(self.prompts)
            ]
        ).mean(0)

    @cached_property
    def exact_grams(self) -> Grams:
        """The Gram matrices in float64."""
        return {key: value.double() for key, value in self.grams.items()}

    def take(self, part: slice) -> "Problem":
        """The same for some of the replicas."""
        return replace(
            self,
            prompts=tuple(prompt[part] for prompt in self.prompts),
            seeds=self.seeds[part],
            places=(self.places or tuple(range(len(self.seeds))))[part],
        )

    @property
    def on_target(self) -> TargetTask:
        """The target with its data; ValueError where it was not handed in."""
        if self.target_task is None:
            raise ValueError("the target with its data was not handed in")
        return self.target_task()

    def lesson(self, settings: TransferSettings) -> Lesson:
        """What its replicas are taught."""
        given = self.on_target.lesson
        if given is None:
            raise ValueError("nothing to teach was handed in")
        return given(settings).take(self.places or range(len(self.seeds)))

    def in_key_order(self) -> "Problem":
        """The same with the sources sorted by key, so that their order cannot matter.

        Sums of floating-point numbers depend on the order of summation, and a search of thousands
        of steps carries that on.
        """
        order = sorted(range(self.count), key=lambda s: self.spaces[s].key)
        moved = [*order, self.count]
        return replace(
            self,
            prompts=tuple(self.prompts[s] for s in order),
            spaces=tuple(self.spaces[s] for s in moved),
            grams={
                (a, b): self.grams[moved[a], moved[b]]
                for a in range(len(moved))
                for b in range(len(moved))
            },
            last=order.index(self.last % self.count),
        )


@dataclass(frozen=True)
class Candidates:
    """What a solver offers, with the lengths of the norm.

    Attributes:
        prompts: [C, R, m, d_t], float32.
        labels: per candidate its γ, step or budget; None where there is no such thing.
        own: index of the one taken without selection.
        similarity: [C, R, m], float32, see :meth:`Problem.similarity`.
        costs: [C][R] what it took to have each; empty where that is nothing.
    """

    prompts: torch.Tensor
    labels: tuple[float | None, ...]
    own: int
    similarity: torch.Tensor
    costs: Sequence[Sequence[Cost]] = ()

    def __len__(self) -> int:
        """Number of candidates C."""
        return len(self.labels)

    def until(self, mark: float, common: Callable[[float], bool]) -> "Candidates":
        """What a run that ends at ``mark`` offers, which is then the solver's own.

        ``common``: whether a run offers what has this label wherever it ends.
        """
        labels = [-1.0 if label is None else label for label in self.labels]
        kept = [
            place
            for place, label in enumerate(labels)
            if label == mark or (label < mark and common(label))
        ]
        return Candidates(
            self.prompts[kept],
            tuple(self.labels[place] for place in kept),
            kept.index(labels.index(mark)),
            self.similarity[kept],
            [self.costs[place] for place in kept] if self.costs else (),
        )
