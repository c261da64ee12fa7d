"""What a target is taught: texts without labels, and whose label probabilities of them.

After knowledge distillation: what the sources know about the task goes to the target as soft labels
of texts, not as a prompt. Every teacher is calibrated first (batch calibration, see
:mod:`trainables.scoring.calibration`): its preference for some label words is no knowledge.

Shapes: R replicas, U texts of each, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F

from trainables.backbones import Encoded, Layout, reads_of
from trainables.core.cells import Cell
from trainables.core.frontier import Cost
from trainables.core.registries import TEACHERS
from trainables.core.seeds import seeded
from trainables.core.settings import TransferSettings
from trainables.packs.run import Run, plain_layout
from trainables.packs.stacks import Prompts
from trainables.scoring.calibration import calibrate
from trainables.transfer import Lesson
from trainables.transfer.problem import held_out
from trainables.transfer.reading import Meter, own_logits
from trainables.transfer.taught.readout import centred, learnt, states

Taught = tuple[torch.Tensor, list[Cost]]
"""Label probabilities [R, U, C], and what each replica's took."""


def stacked_inputs(cells: Sequence[Cell], known: Prompts, place: int, device: str) -> torch.Tensor:
    """The prompts of an input of each cell [R, m, d]."""
    return torch.stack([known[cell.inputs[place]].to(device) for cell in cells])


@dataclass(frozen=True)
class Classroom:
    """What a teacher may look at.

    Attributes:
        run: the pack.
        cells: a cell a replica, all of the same sources and target.
        known: prompts by cell.
        layouts: per model, how it reads the prompt with a text.
        settings: of the transfer.
    """

    run: Run
    cells: Sequence[Cell]
    known: Prompts
    layouts: Mapping[str, Layout]
    settings: TransferSettings

    @property
    def target(self) -> str:
        """The target's alias."""
        return self.cells[0].target

    @property
    def plain(self) -> Layout:
        """How the target reads a text without prompt."""
        return plain_layout(self.run.backbone(self.target), self.cells[0].settings)

    def texts(self, alias: str, layout: Layout) -> Encoded:
        """All texts that may be drawn, as a model reads them, without labels."""
        return self.run.texts(alias, layout, self.settings.texts_from)

    @cached_property
    def rows(self) -> torch.Tensor:
        """The texts of each replica [R, U], drawn by its seed alone."""
        count = len(self.texts(self.target, self.plain))
        wanted = self.settings.texts or count
        drawn = [
            torch.randperm(count, generator=seeded("lesson", cell.seed or 0))[:wanted]
            for cell in self.cells
        ]
        return torch.stack(drawn)

    def prompts(self, place: int) -> torch.Tensor:
        """The prompts of an input of each cell [R, m, d]."""
        return stacked_inputs(self.cells, self.known, place, self.run.device)

    def logits(self, alias: str, prompts: torch.Tensor | None) -> torch.Tensor:
        """What a model says to the texts of each replica [R, U, C]."""
        layout = self.plain if prompts is None else self.layouts[alias]
        backbone, labels = self.run.backbone(alias), self.run.labels(alias, layout)
        return own_logits(backbone, labels, self.texts(alias, layout), self.rows, prompts)

    def on_target(self, layout: Layout) -> list[Cost]:
        """What it takes each replica to read its texts on the target once."""
        meter = Meter([self.texts_used] * len(self.cells))
        texts = self.texts(self.target, layout)
        reads = reads_of(self.run.labels(self.target, layout))
        meter.add(texts, self.rows, backward=False, access="labels", reads=reads)
        return meter.costs

    @property
    def texts_used(self) -> Cost:
        """The texts themselves."""
        return Cost(unlabelled_texts=self.rows.shape[1])


def lesson(room: Classroom) -> Lesson:
    """What the settings' teacher teaches each replica."""
    soft, costs = TEACHERS[room.settings.teacher or "sources"].load()(room)
    return Lesson(
        texts=room.texts(room.target, room.layouts[room.target]),
        plain=room.texts(room.target, room.plain),
        rows=room.rows,
        soft=soft,
        held=held_out(room.rows.shape[1]),
        costs=costs,
    )


def probabilities(logits: Sequence[torch.Tensor]) -> torch.Tensor:
    """Label probabilities [R, U, C] of one or several models' logits [R, U, C].

    The mean of their calibrated log-probabilities, as a distribution again.
    """
    return torch.stack([calibrate("batch", each) for each in logits]).mean(0).softmax(-1)


def _said(room: Classroom) -> tuple[list[torch.Tensor], Cost]:
    """Logits of every source with its prompt [R, U, C], and what they take each replica."""
    names = room.cells[0].sources
    said = [room.logits(name, room.prompts(place)) for place, name in enumerate(names)]
    count = room.rows.shape[1]
    read = sum(reads_of(room.run.labels(name, room.layouts[name])).rows for name in names)
    cost = Cost(unlabelled_texts=count, source_rows=count * read)
    return [each.to(room.run.device) for each in said], cost


def sources(room: Classroom) -> Taught:
    """The sources with their prompts."""
    said, cost = _said(room)
    return probabilities(said), [cost] * len(room.cells)


def ensemble(room: Classroom) -> Taught:
    """The sources with their prompts and the target without one: where they err apart, all gain."""
    said, cost = _said(room)
    alone = room.logits(room.target, None).to(room.run.device)
    costs = room.on_target(room.plain)
    return probabilities([*said, alone]), [
        replace(own, source_rows=cost.source_rows) for own in costs
    ]


def readout(room: Classroom) -> Taught:
    """What a readout of the target that learnt from the sources says of texts it had not seen.

    It is smoother than the sources, since the target's states say which texts are alike
    (self-training). A ridge shrinks what it says; it is stretched to the size of the sources'.
    """
    soft, costs = sources(room)
    texts = room.texts(room.target, room.plain)
    backbone = room.run.backbone(room.target)
    left_out = learnt(states, backbone, texts, room.rows, soft)[2]
    wanted = centred(soft.to(left_out.device))
    sizes = [each.pow(2).mean((1, 2), keepdim=True).sqrt() for each in (wanted, left_out)]
    stretch = (sizes[0] / sizes[1]).nan_to_num(1.0, 1.0)
    meter = Meter(costs)
    meter.add(texts, room.rows, backward=False, access=states.access)
    return (left_out * stretch).softmax(-1).to(soft), meter.costs


def permuted(room: Classroom) -> Taught:
    """What the sources say, each about another of the texts: nothing of it is knowledge."""
    soft, costs = sources(room)
    moved = [
        own[torch.randperm(len(own), generator=seeded("permuted", cell.seed or 0)).to(own.device)]
        for own, cell in zip(soft, room.cells, strict=True)
    ]
    return torch.stack(moved), costs


def own(room: Classroom) -> Taught:
    """The target itself without a prompt: self-training."""
    return probabilities([room.logits(room.target, None)]), room.on_target(room.plain)


def direct(room: Classroom) -> Taught:
    """A prompt tuned on the target itself, whose own tuning is not counted: the best teacher."""
    said = room.logits(room.target, room.prompts(0))
    return probabilities([said]), room.on_target(room.layouts[room.target])


def gold(room: Classroom) -> Taught:
    """The labels."""
    labels = torch.tensor([row.label for row in room.run.task.rows("train")])
    soft = F.one_hot(labels[room.rows], room.run.task.num_classes).float().to(room.run.device)
    return soft, [Cost(target_labels=room.rows.shape[1])] * len(room.cells)
