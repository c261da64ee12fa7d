"""Packs of the soft family: tune sources as one stack, carry prompts over, evaluate."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from trainables.backbones import Layout, judged_by, reads_of
from trainables.core.cells import Cell
from trainables.core.frontier import Cost
from trainables.core.registries import METHODS
from trainables.core.settings import SoftSettings, from_mapping
from trainables.core.weight import Weight
from trainables.packs.run import Progress, Run, layout_on
from trainables.packs.stacks import Tell, in_stacks, stopping
from trainables.scoring.evaluate import Found, no_number, together
from trainables.soft.carrying import carried_with, carry_group
from trainables.soft.source import Source
from trainables.soft.stack_size import replicas_that_fit, shape_of
from trainables.soft.tuning import Replica, Tuned, batch_order, tune
from trainables.words.relative import Grams
from trainables.words.vocabulary import Anchors

__all__ = ["TOGETHER", "carried_with", "carry_group", "tune_sources"]

TOGETHER = None
"""All cells that go together are carried over at once."""


def tune_sources(
    run: Run, cells: Sequence[Cell], known: dict[str, torch.Tensor], progress: Progress | None
) -> None:
    """Train the replicas of the pack, as many at once as fit, and evaluate them on sources."""
    pack = run.pack
    settings = from_mapping(METHODS[pack.method], cells[0].settings)
    layouts = {
        alias: layout_on(run.backbone(alias), run.task, cells[0].settings) for alias in pack.sources
    }
    replicas = sorted(
        {_replica(cell) for cell in cells},
        key=lambda item: (item.weight.value is None, item.weight.value or 0, item.seed),
    )
    sources = [
        Source(
            backbone=run.backbone(alias),
            key=pack.models[alias].digest,
            label_ids=run.labels(alias, layouts[alias]),
            train=run.split(alias, "train", layouts[alias]),
            validation=run.split(alias, "validation", layouts[alias]),
            init_file=run.start_file(alias),
            rival=run.open(run.labels(alias, layouts[alias])),
        )
        for alias in pack.sources
    ]
    anchors = Anchors(cells[0].counterparts, settings.anchor_sample, settings.anchor_seed)
    grams = {} if len(sources) == 1 else run.grams(pack.sources, anchors)
    stack = _Stacked(run, cells, sources, settings, layouts)
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


@dataclass
class _Stacked:
    """The tunings of a pack, trained in as many stacks as memory asks for."""

    run: Run
    cells: Sequence[Cell]
    sources: Sequence[Source]
    settings: SoftSettings
    layouts: Mapping[str, Layout]
    grams: Grams = field(default_factory=dict)

    def tune(
        self, part: Sequence[Replica], known: dict[str, torch.Tensor], tell: Tell | None
    ) -> None:
        """Train some replicas as one stack and evaluate them on their sources."""
        run = self.run
        began = time.perf_counter()
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
            readings = self.run.readings(alias, chosen)
            numbers = [
                together(
                    found,
                    {
                        "best_step": tuned.best_step[replica],
                        "steps": tuned.steps,
                        "alignment": tuned.alignment[replica] if len(self.sources) > 1 else None,
                    },
                    reading,
                    {"curve": _curve(tuned.curve, replica), "product": "prompt"},
                    self._cost(source, part[replica].seed, tuned).numbers(),
                )
                for found, reading, replica in zip(evaluated, readings, index, strict=True)
            ]
        gone = [(cell, replica) for cell, replica in wanted if replica in tuned.stopped]
        return [
            *((*pair, chosen[row], numbers[row]) for row, pair in enumerate(kept)),
            *((*pair, tuned.prompts[source][pair[1]], None) for pair in gone),
        ]

    def _cost(self, source: int, seed: int, tuned: Tuned) -> Cost:
        """What a prompt took on one of its models: every step and every evaluation reads it."""
        given = self.sources[source]
        order = batch_order(len(given.train), self.settings, seed)
        checks = len(tuned.curve)
        reads, judged = reads_of(given.label_ids), judged_by(given.label_ids)
        seen = given.train.lengths.cpu()[order].sum()
        trained = reads.of(order.numel(), int(seen))
        chosen = judged.of(
            checks * len(given.validation), checks * int(given.validation.lengths.sum())
        )
        return Cost(
            target_forward_rows=trained[0] + chosen[0],
            target_backward_rows=trained[0],
            target_forward_tokens=trained[1] + chosen[1],
            target_labels=len(order.unique()) + len(given.validation),
            access="gradients",
        )

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
    return Replica(cell.seed, Weight(cell.weight, cell.schedule))
