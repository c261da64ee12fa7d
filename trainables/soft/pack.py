"""Packs of the soft family: tune sources as one stack, carry prompts over, evaluate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from trainables.backbones import Layout, judged_by, reads_of
from trainables.compute.process import now
from trainables.core.cells import Cell
from trainables.core.frontier import Cost
from trainables.core.registries import METHODS
from trainables.core.settings import SoftSettings, from_mapping
from trainables.core.settings.starts import parted
from trainables.core.weight import Weight
from trainables.packs.run import Progress, Run, layout_on
from trainables.packs.stacks import Tell, in_stacks, stopping
from trainables.scoring.evaluate import Found, no_number, together
from trainables.soft.carrying import carried_with, carry_group
from trainables.soft.crossed import evaluate_crossed
from trainables.soft.mixture import mixed, mixed_order, single_tokens
from trainables.soft.source import Source
from trainables.soft.stack_size import replicas_that_fit, shape_of
from trainables.soft.starts import Begun, Given, given
from trainables.soft.tuning import Replica, Tuned, order_of, tune
from trainables.words.relative import Grams
from trainables.words.vocabulary import Anchors

__all__ = ["TOGETHER", "carried_with", "carry_group", "evaluate_crossed", "tune_sources"]

TOGETHER = None
"""All cells that go together are carried over at once."""


def tune_sources(
    run: Run, cells: Sequence[Cell], known: dict[str, torch.Tensor], progress: Progress | None
) -> None:
    """Train the replicas of the pack, as many at once as fit, and evaluate them on sources."""
    pack = run.pack
    settings = from_mapping(METHODS[pack.method], parted(cells[0].settings)[0])
    cells = [cell for cell in cells if _startable(run, cell, known)]
    if not cells:
        return
    run = run.few(settings.shots, settings.shots_seed)
    layouts = {
        alias: layout_on(run.backbone(alias), run.task, cells[0].settings) for alias in pack.sources
    }
    replicas = sorted(
        {_replica(cell) for cell in cells},
        key=lambda item: (
            *(item.weight.value is None, item.weight.value or 0, item.seed),
            *item.begun.order,
        ),
    )
    guide = layouts[pack.sources[0]].guide
    vectors = None if guide is None else guide.vectors
    starts = {
        begun: found
        for begun in {replica.begun for replica in replicas}
        if (found := given(begun, known, vectors))
    }
    sources = [
        Source(
            backbone=run.backbone(alias),
            key=pack.models[alias].digest,
            label_ids=run.labels(alias, layouts[alias]),
            train=run.split(alias, "train", layouts[alias]),
            validation=run.split(alias, "validation", layouts[alias]),
            init_file=run.start_file(alias),
            given={begun: item.prompt for begun, item in starts.items() if item.prompt is not None},
            rival=run.open(run.labels(alias, layouts[alias])),
        )
        for alias in pack.sources
    ]
    if any(begun.mixed for begun in starts):
        sources = [_mixture(run, sources[0], replicas, starts, settings, cells[0])]
    anchors = Anchors(cells[0].counterparts, settings.anchor_sample, settings.anchor_seed)
    grams = {} if len(sources) == 1 else run.grams(pack.sources, anchors)
    stack = _Stacked(run, cells, sources, settings, layouts)
    stack.starts = {begun: found.numbers for begun, found in starts.items()}
    stack.grams = {key: value.float() for key, value in grams.items()}
    size = run.room.replicas or replicas_that_fit(sources, settings, len(replicas))
    kind = shape_of(sources, settings)
    lost = in_stacks(
        replicas, size, kind, lambda part, tell: stack.tune(part, known, tell), progress
    )
    for cell in cells:
        if _replica(cell) in lost:
            run.outcome.failures[cell.id] = (
                f"out of memory: one prompt in training with batch_size {settings.batch_size} does"
                f" not fit beside {' + '.join(pack.sources)} on {run.device}, a smaller batch_size"
                " or text_tokens takes less"
            )


def _mixture(
    run: Run,
    source: Source,
    replicas: Sequence[Replica],
    starts: Mapping[Begun, Given],
    settings: SoftSettings,
    cell: Cell,
) -> Source:
    """The source with the examples of every task that may be in a mixture, its own first."""
    (alias,) = run.pack.sources
    read = [(run.task.name, source.train, source.label_ids)]
    shots = next(iter(starts)).settings.origin_shots
    for name in cell.origin:
        other = run.of(name).few(shots, settings.shots_seed)
        layout = layout_on(other.backbone(alias), other.task, cell.settings)
        read.append((name, other.split(alias, "train", layout), other.labels(alias, layout)))
    every = mixed([(data, single_tokens(labels, name, alias)) for name, data, labels in read])

    def order(replica: Replica) -> torch.Tensor:
        chosen = [0, *(place + 1 for place in starts[replica.begun].tasks)]
        steps = settings.steps_for(sum(every.sizes[place] for place in chosen))
        cap, size = replica.begun.settings.cap, settings.batch_size
        return mixed_order(every.sizes, chosen, cap, steps, size, replica.seed)

    orders = {(replica.seed, replica.begun): order(replica) for replica in replicas}
    return replace(source, mixed=every, orders=orders)


@dataclass
class _Stacked:
    """The tunings of a pack, trained in as many stacks as memory asks for."""

    run: Run
    cells: Sequence[Cell]
    sources: Sequence[Source]
    settings: SoftSettings
    layouts: Mapping[str, Layout]
    grams: Grams = field(default_factory=dict)
    starts: Mapping[Begun, Mapping[str, Any]] = field(default_factory=dict)

    def tune(
        self, part: Sequence[Replica], known: dict[str, torch.Tensor], tell: Tell | None
    ) -> None:
        """Train some replicas as one stack and evaluate them on their sources."""
        run = self.run
        began = now()
        tuned = tune(
            self.sources,
            part,
            self.settings,
            self.grams,
            run.task.metric,
            tell,
            stopping(run.rungs, self._members(part)),
            run.room.graphs,
        )
        share = run.spend("train_seconds", began) / len(part)
        measured = [self._measured(place, part, tuned) for place in range(len(self.sources))]
        for found in measured:  # all of it or nothing: the part may have to be done again
            for cell, replica, prompt, evaluated in found:
                if replica in tuned.failed:
                    run.outcome.failures[cell.id] = (
                        f"the loss was no longer a finite number at step {tuned.failed[replica]}"
                    )
                elif replica in tuned.unread:
                    source, step = tuned.unread[replica]
                    why = no_number(run.pack.sources[source], run.task.name, "validation")
                    run.outcome.failures[cell.id] = f"{why} at step {step}"
                elif replica in tuned.stopped:
                    run.outcome.stopped[cell.id] = tuned.stopped[replica]
                elif evaluated is not None and run.settle(
                    cell, together(evaluated, {"train_seconds": share}), prompt.cpu().numpy()
                ):
                    known[cell.id] = prompt

    def _cells(self, part: Sequence[Replica], alias: str) -> list[tuple[Cell, int]]:
        """The cells of a source that come from a part, each with its replica's place there."""
        places = {replica: place for place, replica in enumerate(part)}
        return [
            (cell, places[_replica(cell)])
            for cell in self.cells
            if cell.target == alias and _replica(cell) in places
        ]

    def _measured(
        self, source: int, part: Sequence[Replica], tuned: Tuned
    ) -> list[tuple[Cell, int, torch.Tensor, Found | None]]:
        """Per cell of a source its replica, prompt and numbers; none where it was stopped."""
        alias = self.run.pack.sources[source]
        wanted = self._cells(part, alias)
        kept = [(cell, replica) for cell, replica in wanted if replica not in tuned.stopped]
        index = [replica for _, replica in kept]
        chosen = tuned.prompts[source][index]
        numbers: list[Found] = []
        if kept:
            logits = tuned.validation[source][index]
            evaluated = self.run.evaluate(alias, self.layouts[alias], chosen, logits)
            layout = self.layouts[alias]
            readings = self.run.readings(alias, chosen, layout)
            told = self.run.decisions(alias, layout, chosen)
            numbers = [
                together(
                    found,
                    {
                        "best_step": tuned.best_step[replica],
                        "steps": tuned.steps,
                        "alignment": tuned.alignment[replica] if len(self.sources) > 1 else None,
                        **self.starts.get(part[replica].begun, {}),
                    },
                    reading,
                    decided,
                    {"curve": _curve(tuned.curve, replica), "product": "prompt"},
                    self._cost(source, part[replica], tuned).numbers(),
                )
                for found, reading, decided, replica in zip(
                    evaluated, readings, told, index, strict=True
                )
            ]
        gone = [(cell, replica) for cell, replica in wanted if replica in tuned.stopped]
        return [
            *((*pair, chosen[row], numbers[row]) for row, pair in enumerate(kept)),
            *((*pair, tuned.prompts[source][pair[1]], None) for pair in gone),
        ]

    def _cost(self, source: int, replica: Replica, tuned: Tuned) -> Cost:
        """What a prompt took on one of its models: every step and every evaluation reads it."""
        given = self.sources[source]
        order = order_of(given, replica, self.settings)
        checks = len(tuned.curve)
        reads, judged = reads_of(given.words), judged_by(given.label_ids)
        trained = reads.of(order.numel(), int(given.lengths[order].sum()))
        chosen = judged.of(
            checks * len(given.validation), checks * int(given.validation.lengths.sum())
        )
        own = order.unique() < len(given.train)  # of other tasks' labels none is the target's
        bare = self._bare(source, order)
        return Cost(
            target_forward_rows=trained[0] + chosen[0] + bare[0],
            target_backward_rows=trained[0],
            target_forward_tokens=trained[1] + chosen[1] + bare[1],
            target_labels=int(own.sum()) + len(given.validation),
            access="gradients",
        )

    def _bare(self, source: int, order: torch.Tensor) -> tuple[int, int]:
        """Rows and tokens that were read without a prompt, each once: heads decide by them."""
        guide = self.layouts[self.run.pack.sources[source]].guide
        if guide is None or not guide.reads:
            return 0, 0
        given = self.sources[source]
        lengths = torch.cat([given.lengths[order.unique()], given.validation.lengths.cpu()])
        return len(lengths), int((lengths - guide.length).sum())

    def _members(self, part: Sequence[Replica]) -> list[tuple[Cell, int, int]]:
        return [
            (cell, place, source)
            for source, alias in enumerate(self.run.pack.sources)
            for cell, place in self._cells(part, alias)
        ]


def _curve(lines: Sequence[Mapping[str, Any]], replica: int) -> list[dict[str, Any]]:
    """One replica's validation score, loss and alignment at each evaluation."""
    return [
        {name: value if name == "step" else value[replica] for name, value in line.items()}
        for line in lines
    ]


def _replica(cell: Cell) -> Replica:
    if cell.seed is None:
        raise ValueError(f"cell {cell.id}: a tuned cell needs a seed")
    return Replica(cell.seed, Weight(cell.weight, cell.schedule), Begun.of(cell))


def _startable(run: Run, cell: Cell, known: Mapping[str, torch.Tensor]) -> bool:
    """Whether the prompts that a cell starts from are there; else it has failed."""
    missing = [name for name in cell.inputs if name not in known]
    if missing:
        run.outcome.failures[cell.id] = (
            f"the tuned prompt it starts from ({missing[0]}) is not available"
        )
    return not missing
