"""Packs of the soft family: tune sources as one stack, carry prompts over, evaluate."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from trainables.backbones import Layout
from trainables.cells import Cell, content_hash
from trainables.evaluate import mean_loss, scores
from trainables.reading import read_prompts
from trainables.run import Progress, Run, layout_on
from trainables.settings import (
    METHOD_SETTINGS,
    TransferSettings,
    from_mapping,
    transfer_settings,
)
from trainables.soft import Replica, Source, tune
from trainables.transfer import Judgement, Judges, Problem, Space, TargetTask, carry
from trainables.vocabulary import Anchors


def tune_sources(
    run: Run, cells: Sequence[Cell], known: dict[str, torch.Tensor], progress: Progress | None
) -> None:
    """Train all replicas of the pack as one stack and evaluate them on their sources."""
    pack = run.pack
    settings = from_mapping(METHOD_SETTINGS[pack.method], cells[0].settings)
    layouts = {
        alias: layout_on(run.backbone(alias), run.task, cells[0].settings) for alias in pack.sources
    }
    replicas = sorted(
        {_replica(cell) for cell in cells}, key=lambda r: (r.weight is None, r.weight or 0, r.seed)
    )
    sources = [
        Source(
            backbone=run.backbone(alias),
            key=pack.models[alias].digest,
            label_ids=run.labels(alias),
            train=run.split(alias, "train", layouts[alias]),
            validation=run.split(alias, "validation", layouts[alias]),
            init_file=Path(pack.files[alias]) if alias in pack.files else None,
        )
        for alias in pack.sources
    ]
    anchors = Anchors(cells[0].counterparts, settings.anchor_sample, settings.anchor_seed)
    grams = {} if len(sources) == 1 else run.grams(pack.sources, anchors)
    began = time.perf_counter()
    tuned = tune(
        sources,
        replicas,
        settings,
        {key: value.float() for key, value in grams.items()},
        run.task.metric,
        (lambda step, steps: progress("train", step, steps)) if progress else None,
    )
    share = run.spend("train_seconds", began) / len(replicas)
    for alias, found, logits in zip(pack.sources, tuned.prompts, tuned.validation, strict=True):
        wanted = [cell for cell in cells if cell.target == alias]
        index = [replicas.index(_replica(cell)) for cell in wanted]
        chosen = found[index]
        measured = run.evaluate(alias, layouts[alias], chosen, logits[index])
        readings = read_prompts(run.backbone(alias), chosen)
        for place, cell in enumerate(wanted):
            replica = index[place]
            if replica in tuned.failed:
                run.outcome.failures[cell.id] = (
                    f"the loss was no longer a finite number at step {tuned.failed[replica]}"
                )
                continue
            known[cell.id] = chosen[place]
            run.outcome.prompts[cell.id] = chosen[place].cpu().numpy()
            run.outcome.results[cell.id] = {
                **measured[place],
                "best_step": tuned.best_step[replica],
                "steps": tuned.steps,
                "alignment": tuned.alignment[replica] if len(sources) > 1 else None,
                **readings[place],
                "curve": _curve(tuned.curve, replica),
                "train_seconds": share,
            }


def _curve(lines: Sequence[Mapping[str, Any]], replica: int) -> list[dict[str, Any]]:
    """One replica's validation score, loss and alignment at each evaluation."""
    return [
        {name: value if name == "step" else value[replica] for name, value in line.items()}
        for line in lines
    ]


def _replica(cell: Cell) -> Replica:
    if cell.seed is None:
        raise ValueError(f"cell {cell.id}: a tuned cell needs a seed")
    return Replica(cell.seed, None if cell.schedule == "annealing" else cell.weight)


def carry_over(
    run: Run, cells: Sequence[Cell], known: Mapping[str, torch.Tensor], progress: Progress | None
) -> None:
    """Transfer and evaluate, the cells of one target and one set of sources at a time."""
    groups: dict[tuple[object, ...], list[Cell]] = {}
    for cell in cells:
        missing = [item for item in cell.inputs if item not in known]
        if missing:
            run.outcome.failures[cell.id] = (
                f"the tuned prompt it carries over ({missing[0]}) is not available"
            )
            continue
        shape = known[cell.inputs[0]].shape[0]
        key = (cell.target, cell.sources, shape, content_hash(dict(cell.settings)))
        groups.setdefault(key, []).append(cell)
    done = 0
    for group in groups.values():
        _carry_group(run, group, known)
        done += len(group)
        if progress:
            progress("transfer", done, len(cells))


def _carry_group(run: Run, cells: Sequence[Cell], known: Mapping[str, torch.Tensor]) -> None:
    target = cells[0].target
    began = time.perf_counter()
    settings = transfer_settings(cells[0].settings)
    length = known[cells[0].inputs[0]].shape[0]
    read = {**cells[0].settings, "prompt_length": length}
    layouts = {
        alias: layout_on(run.backbone(alias), run.task, read)
        for alias in (*cells[0].sources, target)
    }
    problem = _problem(run, cells, known, layouts[target], settings)
    carried = carry(problem, settings, _judges(run, cells[0], layouts))
    share = run.spend("transfer_seconds", began) / len(cells)
    measured = run.evaluate(target, layouts[target], carried.prompt, carried.logits)
    readings = read_prompts(run.backbone(target), carried.prompt)
    for place, cell in enumerate(cells):
        if not bool(carried.prompt[place].isfinite().all()):
            run.outcome.failures[cell.id] = (
                f"the solver {settings.solver} found no finite prompt for {target}"
            )
            continue
        run.outcome.prompts[cell.id] = carried.prompt[place].cpu().numpy()
        run.outcome.results[cell.id] = {
            **measured[place],
            "solver": settings.solver,
            "selection": settings.selection,
            "candidates": carried.candidates,
            "chosen": carried.chosen[place],
            "similarity": float(carried.similarity[place].mean()),
            "similarity_per_token": carried.similarity[place].tolist(),
            **readings[place],
            "transfer_seconds": share,
        }


def _problem(
    run: Run,
    cells: Sequence[Cell],
    known: Mapping[str, torch.Tensor],
    layout: Layout,
    settings: TransferSettings,
) -> Problem:
    """What is to be carried for cells with the same sources, target and settings."""
    target, sources = cells[0].target, cells[0].sources
    aliases = (*sources, target)
    backbones = [run.backbone(alias) for alias in aliases]
    anchors = Anchors(sample=settings.anchor_sample, seed=settings.anchor_seed or 0)
    shared = cache(lambda: anchors.among(backbones))

    def target_task() -> TargetTask:
        train = run.split(target, "train", layout)
        return TargetTask(run.backbone(target), run.labels(target), train)

    return Problem(
        prompts=tuple(
            torch.stack([known[cell.inputs[place]].to(run.device) for cell in cells])
            for place in range(len(sources))
        ),
        spaces=tuple(
            Space(
                scale=backbone.scale,
                key=run.pack.models[alias].digest,
                table=backbone.embeddings,
                shared=lambda place=place: shared().ids[place],  # type: ignore[misc]
            )
            for place, (alias, backbone) in enumerate(zip(aliases, backbones, strict=True))
        ),
        grams=run.grams(aliases, anchors),
        seeds=tuple(cell.seed or 0 for cell in cells),
        norm=settings.norm,
        target_task=target_task,
    )


def _judges(run: Run, cell: Cell, layouts: Mapping[str, Layout]) -> Judges:
    """Validation on the target and on each source, for the choice among candidates."""

    def judge(alias: str) -> Callable[[torch.Tensor], Judgement]:
        def scored(prompts: torch.Tensor) -> Judgement:
            data = run.split(alias, "validation", layouts[alias])
            logits = run.backbone(alias).split_logits(data, run.labels(alias), prompts)
            on_validation = scores(logits, data.gold, run.task.metric)
            return Judgement(on_validation, mean_loss(logits, data.gold).tolist(), logits)

        return scored

    return Judges(judge(cell.target), [judge(alias) for alias in cell.sources])
