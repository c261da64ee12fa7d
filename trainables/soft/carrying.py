"""Carry tuned prompts to a target, by whatever way a cell's settings name, and evaluate them."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import torch

from trainables.backbones import Layout, judged_by
from trainables.compute.process import Moment, now
from trainables.core.cells import Cell, content_hash
from trainables.core.frontier import Cost
from trainables.core.registries import SOLVERS
from trainables.core.settings import TransferSettings, of_one_run, transfer_settings
from trainables.packs.lessons import Classroom, lesson, stacked_inputs
from trainables.packs.run import Run, layout_on, plain_layout
from trainables.packs.stacks import Prompts
from trainables.scoring.evaluate import Found, Numbers, mean_loss, no_number, scores, together
from trainables.soft.decided import Heads, blank_heads, carried_heads
from trainables.transfer import (
    Carried,
    Judgement,
    Judges,
    Lesson,
    Predictor,
    Problem,
    Space,
    TargetTask,
    carry,
    solver_named,
)
from trainables.transfer.reading import own_logits
from trainables.transfer.selection import agreement
from trainables.transfer.solvers.copied import Copy
from trainables.words.vocabulary import Anchors


def carried_with(run: Run, cell: Cell, known: Prompts) -> Hashable:
    """Sources, length of the prompt and settings, without where one run is cut."""
    del run
    return cell.sources, _length(cell, known), content_hash(of_one_run(cell.settings))


def carry_group(run: Run, cells: Sequence[Cell], known: Prompts) -> None:
    """Transfer and evaluate cells of one target."""
    _Group(run, cells, known).settle()


def _length(cell: Cell, known: Prompts) -> int:
    return known[cell.inputs[0]].shape[0] if cell.inputs else int(cell.settings["prompt_length"])


@dataclass
class _Group:
    """Cells with the same sources, target and settings, but for where one run is cut.

    Attributes:
        run: the pack.
        cells: they.
        known: prompts by cell.
    """

    run: Run
    cells: Sequence[Cell]
    known: Prompts

    @cached_property
    def target(self) -> str:
        return self.cells[0].target

    @cached_property
    def sources(self) -> tuple[str, ...]:
        return self.cells[0].sources

    @cached_property
    def anytime(self) -> str | None:
        return SOLVERS[self.cells[0].settings["solver"]].anytime

    def mark(self, cell: Cell) -> int:
        """Where the run is cut for a cell."""
        return int(cell.settings[self.anytime]) if self.anytime else 0

    @cached_property
    def marks(self) -> list[int]:
        return sorted({self.mark(cell) for cell in self.cells}) if self.anytime else []

    @cached_property
    def settings(self) -> TransferSettings:
        """Of the longest run that is asked for."""
        return transfer_settings(max(self.cells, key=self.mark).settings)

    @cached_property
    def replicas(self) -> list[Cell]:
        """One cell of each run."""
        return list({(cell.inputs, cell.seed): cell for cell in self.cells}.values())

    @cached_property
    def _places(self) -> dict[tuple[tuple[str, ...], int | None], int]:
        return {(cell.inputs, cell.seed): place for place, cell in enumerate(self.replicas)}

    def place(self, cell: Cell) -> int:
        """The run that a cell is taken from."""
        return self._places[cell.inputs, cell.seed]

    @cached_property
    def layouts(self) -> dict[str, Layout]:
        """How each model reads the prompt with a text."""
        first = self.cells[0]
        length = _length(first, self.known)
        return {
            alias: layout_on(self.run.backbone(alias), self.run.task, first.settings, length)
            for alias in (*self.sources, self.target)
        }

    def settle(self) -> None:
        """Results of all cells."""
        began = now()
        way, settings = solver_named(self.settings.solver), self.settings
        if isinstance(way, Predictor):
            self._predict(way, began)
            return
        if isinstance(way, Copy):
            inputs = [self._inputs(place) for place in range(len(self.sources))]
            marks = [way.copied(inputs)]
        else:
            marks = carry(self.problem, settings, self._judges(), self.marks)
        share = self.run.spend("transfer_seconds", began) / len(self.cells)
        of_mark = dict(zip(self.marks or [0], marks, strict=True))
        taken = [(of_mark[self.mark(cell)], self.place(cell)) for cell in self.cells]
        heads = self._heads
        prompts = torch.stack(
            [self._whole(carried.prompt[place], heads, place) for carried, place in taken]
        )
        logits = None
        if all(carried.logits is not None for carried, _ in taken):
            logits = torch.stack([carried.logits[place] for carried, place in taken])  # type: ignore[index]
        layout = self.layouts[self.target]
        measured = self.run.evaluate(self.target, layout, prompts, logits)
        readings = self.run.readings(self.target, prompts, layout)
        told = self.run.decisions(self.target, layout, prompts)
        agreed = self._agreement(prompts)
        for place, (cell, (carried, replica)) in enumerate(zip(self.cells, taken, strict=True)):
            if not bool(prompts[place].isfinite().all()):
                self.run.outcome.failures[cell.id] = (
                    f"the solver {settings.solver} found no finite prompt for {self.target}"
                )
                continue
            found = together(
                measured[place],
                self._judged(carried, replica),
                self._said(carried, replica, heads),
                told[place],
                readings[place],
                agreed[place],
                {"transfer_seconds": share},
            )
            self.run.settle(cell, found, prompts[place].cpu().numpy())

    def _judged(self, carried: Carried, replica: int) -> Numbers:
        if carried.judged[replica]:
            return {}
        return no_number(" + ".join(self.sources), self.run.task.name, "validation")

    @cached_property
    def _heads(self) -> Heads | None:
        """What decides about the prompts on the target; None where nothing does."""
        layout, replicas, device = self.layouts[self.target], self.replicas, self.run.device
        if layout.guide is None:
            return None
        if not SOLVERS[self.settings.solver].heads:
            return blank_heads(layout, len(replicas), device)
        whole = stacked_inputs(replicas, self.known, 0, device)
        return carried_heads(self.run, replicas, whole, self.layouts, self.settings.texts or 1)

    def _whole(self, vectors: torch.Tensor, heads: Heads | None, place: int) -> torch.Tensor:
        """Carried vectors [k·m, d], with the heads of a replica behind them."""
        guide = self.layouts[self.target].guide
        if guide is None or heads is None:
            return vectors
        own = [tensor[place][None].to(vectors.device) for tensor in heads.tensors]
        return guide.packed(vectors[None], own)[0]

    def _said(self, carried: Carried, replica: int, heads: Heads | None = None) -> dict[str, Any]:
        """What a result says of its transfer."""
        cost = carried.costs[replica]
        said = {
            "solver": self.settings.solver,
            "selection": self.settings.selection,
            "candidates": carried.candidates,
            "chosen": carried.chosen[replica],
            "product": "prompt",
            **(cost if heads is None else cost + heads.cost).numbers(),
            **carried.numbers[replica],
            **({} if heads is None else heads.numbers[replica]),
        }
        aided = self.settings.aided and carried.similarity.shape[-1] > 0
        if aided:  # else there is nothing that it could be similar to
            said["similarity"] = float(carried.similarity[replica].mean())
            said["similarity_per_token"] = carried.similarity[replica].tolist()
        return said

    def _predict(self, way: Predictor, began: Moment) -> None:
        """Results of cells that end in scores instead of a prompt."""
        predicted = way.predict(self.problem.in_key_order(), self.settings)
        share = self.run.spend("transfer_seconds", began) / len(self.cells)
        measured = self.run.scored(
            self.target, predicted.scores["test"], predicted.scores["validation"]
        )
        numbers = predicted.numbers or [{}] * len(measured)
        agreed = self._agreement(None)
        for cell in self.cells:
            replica = self.place(cell)
            said = {
                "solver": self.settings.solver,
                **predicted.costs[replica].numbers(),
                **numbers[replica],
                "transfer_seconds": share,
            }
            found: Found = together(measured[replica], agreed[replica], said)
            kept = predicted.kept.get("readout")
            readout = None if kept is None else kept[replica].cpu().numpy()
            self.run.settle(cell, found, readout=readout)

    @cached_property
    def taught(self) -> Callable[[TransferSettings], Lesson]:
        """Gives what all replicas are taught."""
        run, cells, known, layouts = self.run, self.replicas, self.known, self.layouts
        return cache(lambda settings: lesson(Classroom(run, cells, known, layouts, settings)))

    def _agreement(self, prompts: torch.Tensor | None) -> list[dict[str, Any]]:
        """How far teacher, result and the target's own calibrated Empty agree, label-free.

        On the texts held out. It says how much a teacher has to say before anything is learnt, and
        how much of it was.
        """
        if not self.settings.taught:
            return [{}] * len(self.cells)
        taught, target = self.taught(self.settings), self.run.backbone(self.target)
        labels = self.run.labels(self.target, self.layouts[self.target])
        rows, soft = taught.rows[:, -taught.held :], taught.soft[:, -taught.held :]
        bare = own_logits(target, labels, taught.plain, rows).log_softmax(-1)
        same = (bare - bare.mean(1, keepdim=True)).argmax(-1) == soft.argmax(-1)
        share = same.float().mean(1).tolist()
        found = [{"teacher_agreement": share[self.place(cell)]} for cell in self.cells]
        if prompts is not None:
            index = torch.tensor([self.place(cell) for cell in self.cells])
            logits = own_logits(target, labels, taught.texts, rows[index], prompts)
            misfits = agreement(logits, soft[index.to(soft.device)]).losses
            for each, misfit in zip(found, misfits, strict=True):
                each["teacher_misfit"] = misfit if misfit == misfit else None
        return found

    @cached_property
    def problem(self) -> Problem:
        """What is to be carried."""
        aliases = (*self.sources, self.target)
        backbones = [self.run.backbone(alias) for alias in aliases]
        settings = self.settings
        anchors = Anchors(sample=settings.anchor_sample, seed=settings.anchor_seed or 0)
        shared = cache(lambda: anchors.among(backbones))
        return Problem(
            prompts=tuple(self._inputs(place) for place in range(len(self.sources))),
            spaces=tuple(
                Space(
                    scale=backbone.scale,
                    key=self.run.pack.models[alias].digest,
                    table=backbone.embeddings,
                    shared=lambda place=place: shared().ids[place],  # type: ignore[misc]
                )
                for place, (alias, backbone) in enumerate(zip(aliases, backbones, strict=True))
            ),
            grams=self.run.grams(aliases, anchors),
            seeds=tuple(cell.seed or 0 for cell in self.replicas),
            norm=settings.norm,
            target_task=lambda: self.target_task,
        )

    def _inputs(self, place: int) -> torch.Tensor:
        """The prompts of one source [R, m, d]; zeros where nothing of a source comes in."""
        device = self.run.device
        if self.replicas[0].inputs:
            guide = self.layouts[self.sources[place]].guide
            found = stacked_inputs(self.replicas, self.known, place, device)
            return found if guide is None else found[:, : guide.vectors]
        width = self.run.backbone(self.sources[place]).width
        return torch.zeros(len(self.replicas), _length(self.cells[0], self.known), width).to(device)

    @cached_property
    def target_task(self) -> TargetTask:
        """The target with the task."""
        run, target = self.run, self.target
        plain = plain_layout(run.backbone(target), self.cells[0].settings)
        return TargetTask(
            backbone=run.backbone(target),
            label_ids=run.labels(target, self.layouts[target]),
            train=run.split(target, "train", self.layouts[target]),
            plain=lambda name: run.split(target, name, plain),
            lesson=self.taught,
            sources=self._said_by_sources,
        )

    def _said_by_sources(self, name: str, prompted: bool) -> torch.Tensor:
        """Label log-probabilities of a split by the sources, in the order of their keys."""
        models = self.run.pack.models
        order = sorted(range(len(self.sources)), key=lambda at: models[self.sources[at]].digest)
        said = []
        for place in order:
            alias = self.sources[place]
            backbone, layout = self.run.backbone(alias), self.layouts[alias]
            layout = layout if prompted else plain_layout(backbone, self.cells[0].settings)
            data, labels = self.run.split(alias, name, layout), self.run.labels(alias, layout)
            logits = backbone.split_logits(data, labels, self._inputs(place) if prompted else None)
            said.append(logits.log_softmax(-1).to(self.run.device))
        return torch.stack(said)

    def _judges(self) -> Judges:
        """Validation on the target and on each source, for the choice among candidates."""

        def judge(alias: str) -> Callable[[torch.Tensor], Judgement]:
            def scored(prompts: torch.Tensor) -> Judgement:
                layout, metric = self.layouts[alias], self.run.task.metric
                data = self.run.split(alias, "validation", layout)
                labels = self.run.labels(alias, layout)
                logits = self.run.backbone(alias).split_logits(data, labels, prompts)
                on_validation = scores(logits, data.gold, metric)
                losses = mean_loss(logits, data.gold, metric).tolist()
                return Judgement(on_validation, losses, logits)

            return scored

        return Judges(
            judge(self.target), [judge(alias) for alias in self.sources], costs=self._choosing()
        )

    def _choosing(self) -> Mapping[str, Cost]:
        """What scoring a candidate takes, per selection."""
        count = len(self.run.task.rows("validation"))
        data = self.run.split(self.target, "validation", self.layouts[self.target])
        here, *there = (
            judged_by(self.run.labels(alias, self.layouts[alias]))
            for alias in (self.target, *self.sources)
        )
        rows, tokens = here.of(count, int(data.lengths.sum()))
        back = sum(one.rows for one in there)
        return {
            "target_validation": Cost(rows, 0, tokens, target_labels=count, access="labels"),
            "source_validation": Cost(source_rows=count * back),
        }
