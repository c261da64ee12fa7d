"""Run a pack: load, tune, carry over, evaluate. Knows torch, not Ray."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainables.backbones import Backbone, Encoded, Layout, load_backbone
from trainables.calibration import CALIBRATIONS, content_free_texts
from trainables.cells import Cell, Pack, PackOutcome, content_hash
from trainables.errors import InputError
from trainables.evaluate import mean_loss, measure, scores
from trainables.reading import read_prompts
from trainables.relative import Grams, gram_matrices, normalised_anchors
from trainables.settings import METHOD_SETTINGS, from_mapping, transfer_settings
from trainables.soft import Replica, Source, tune
from trainables.tasks import Task, load_task, metrics
from trainables.transfer import Judgement, Judges, Problem, Space, TargetTask, carry
from trainables.vocabulary import common_vocabulary

Progress = Callable[[str, int, int], None]
RESIDENT_GRAMS = 64
_resident_grams: dict[tuple[str, ...], Grams] = {}
"""Gram matrices by device and model digests, kept for the next packs of this process."""

_CONTENT_FREE = "content-free inputs"
"""Stands where the name of a split stands; no split is called so."""

LAYOUT_KEYS = ("prompt_length", "position", "text_tokens")


class _Run:
    """One pack on its way: what is loaded, what is found, what it cost."""

    def __init__(self, pack: Pack, device: str) -> None:
        self.pack = pack
        self.device = device
        self.task: Task = load_task(pack.task)
        self.outcome = PackOutcome(results={}, prompts={}, failures={}, cost={})
        self._splits: dict[tuple[str, str, Layout], Encoded] = {}

    def backbone(self, alias: str) -> Backbone:
        return load_backbone(self.pack.models[alias], self.device)

    def labels(self, alias: str) -> torch.Tensor:
        return self.backbone(alias).labels(self.task.label_words, self.task.name)

    def split(self, alias: str, name: str, layout: Layout) -> Encoded:
        key = (alias, name, layout)
        if key not in self._splits:
            rows = self.task.rows(name)
            self._splits[key] = self.backbone(alias).read(
                [row.text for row in rows], [row.label for row in rows], layout, self.task.name
            )
        return self._splits[key]

    def content_free(self, alias: str, layout: Layout) -> Encoded:
        """The content-free inputs of a model, their labels mean nothing."""
        key = (alias, _CONTENT_FREE, layout)
        if key not in self._splits:
            backbone = self.backbone(alias)
            texts = content_free_texts(backbone, layout)
            self._splits[key] = backbone.read(texts, [0] * len(texts), layout, self.task.name)
        return self._splits[key]

    def grams(self, aliases: Sequence[str]) -> Grams:
        """Gram matrices over the common vocabulary of these models, in their order."""
        key = (self.device, *(self.pack.models[alias].digest for alias in aliases))
        if key not in _resident_grams:
            if len(_resident_grams) >= RESIDENT_GRAMS:
                _resident_grams.clear()
            _resident_grams[key] = _gram_table([self.backbone(alias) for alias in aliases])
        return _resident_grams[key]

    def spend(self, name: str, since: float) -> float:
        seconds = time.perf_counter() - since
        self.outcome.cost[name] = self.outcome.cost.get(name, 0.0) + seconds
        return seconds

    def evaluate(
        self,
        alias: str,
        layout: Layout,
        prompts: torch.Tensor | None,
        on_validation: torch.Tensor | None = None,
    ) -> list[dict[str, Any]]:
        """Numbers of each prompt [R, m, d] (or of no prompt) on one model.

        ``on_validation``: its validation logits [R, v, C], where tuning has them already.
        """
        began = time.perf_counter()
        backbone, labels = self.backbone(alias), self.labels(alias)
        test = self.split(alias, "test", layout)
        validation = self.split(alias, "validation", layout)
        if on_validation is None:
            on_validation = backbone.split_logits(validation, labels, prompts)
        free = None
        if any(CALIBRATIONS[name].content_free for name in self.pack.calibration):
            free = backbone.split_logits(self.content_free(alias, layout), labels, prompts)
        found = measure(
            backbone.split_logits(test, labels, prompts),
            test.gold,
            on_validation,
            validation.gold,
            self.task.metric,
            self.pack.calibration,
            free,
        )
        self.spend("evaluate_seconds", began)
        return found


def _gram_table(models: Sequence[Backbone]) -> Grams:
    shared = common_vocabulary(models)
    if not len(shared):
        names = ", ".join(model.alias for model in models)
        raise InputError(
            f"models {names}: no word is a single token in all of them;"
            " allowed: models with a common vocabulary"
        )
    return gram_matrices(normalised_anchors(models, shared), torch.float64)


def layout_of(settings: Mapping[str, Any], **more: Any) -> Layout:
    """The input layout a cell's settings ask for."""
    return Layout(**{key: settings[key] for key in LAYOUT_KEYS if key in settings}, **more)


def run_pack(
    pack: Pack,
    prompts: Mapping[str, np.ndarray],
    device: str = "cpu",
    progress: Progress | None = None,
) -> PackOutcome:
    """Compute a pack's cells.

    Args:
        pack: what to compute.
        prompts: per id in ``pack.needs``, float32 [m, d] of a prompt tuned elsewhere.
        device: torch device.
        progress: called with (phase, done, total).

    Returns:
        Results and prompts by cell id; a cell that cannot be had is in ``failures``.

    Raises:
        InputError: a model or the task does not fit (a label word of two tokens, say).
    """
    began = time.perf_counter()
    run = _Run(pack, device)
    for alias in pack.models:
        run.labels(alias)
    run.spend("load_seconds", began)
    known = {key: torch.from_numpy(value) for key, value in prompts.items()}
    by_kind: dict[str, list[Cell]] = {"reference": [], "source": [], "transfer": []}
    for cell in pack.cells:
        by_kind[cell.kind].append(cell)
    _references(run, by_kind["reference"])
    if by_kind["source"]:
        _tune_sources(run, by_kind["source"], known, progress)
    _carry_over(run, by_kind["transfer"], known, progress)
    run.spend("seconds", began)
    return run.outcome


def _references(run: _Run, cells: Sequence[Cell]) -> None:
    for cell in cells:
        run.outcome.results[cell.id] = REFERENCES[cell.row](run, cell)


def _empty(run: _Run, cell: Cell) -> dict[str, Any]:
    layout = layout_of({"text_tokens": cell.settings.get("text_tokens")})
    return run.evaluate(cell.target, layout, None)[0]


def _manual(run: _Run, cell: Cell) -> dict[str, Any]:
    text_tokens = cell.settings.get("text_tokens")
    layout = layout_of({"text_tokens": text_tokens}, template=run.task.manual)
    return run.evaluate(cell.target, layout, None)[0]


def _constant(run: _Run, cell: Cell) -> dict[str, Any]:
    """The training split's most frequent class, whatever the text says.

    It has no label probabilities: a calibration leaves it as it is.
    """
    del cell
    golds = {
        name: [row.label for row in run.task.rows(name)] for name in ("train", "validation", "test")
    }
    metric, classes = run.task.metric, run.task.num_classes

    def score(gold: list[int]) -> float:
        return metrics.constant_score(metric, gold, classes, golds["train"])[0]

    choice = metrics.majority_class(golds["train"], classes)
    found = {"score": score(golds["test"]), "validation_score": score(golds["validation"])}
    return {
        **found,
        "metric": metric,
        "loss": None,
        "histogram": metrics.histogram([choice] * len(golds["test"]), classes),
        "degenerate": True,
        "n_test": len(golds["test"]),
        "n_validation": len(golds["validation"]),
        **{f"{key}_{name}": value for key, value in found.items() for name in run.pack.calibration},
    }


REFERENCES: dict[str, Callable[[_Run, Cell], dict[str, Any]]] = {
    "empty": _empty,
    "manual": _manual,
    "constant": _constant,
}


def _tune_sources(
    run: _Run, cells: Sequence[Cell], known: dict[str, torch.Tensor], progress: Progress | None
) -> None:
    """Train all replicas of the pack as one stack and evaluate them on their sources."""
    pack = run.pack
    settings = from_mapping(METHOD_SETTINGS[pack.method], cells[0].settings)
    layout = layout_of(cells[0].settings)
    replicas = sorted(
        {_replica(cell) for cell in cells}, key=lambda r: (r.weight is None, r.weight or 0, r.seed)
    )
    sources = [
        Source(
            backbone=run.backbone(alias),
            key=pack.models[alias].digest,
            label_ids=run.labels(alias),
            train=run.split(alias, "train", layout),
            validation=run.split(alias, "validation", layout),
            init_file=Path(pack.files[alias]) if alias in pack.files else None,
        )
        for alias in pack.sources
    ]
    grams = {} if len(sources) == 1 else run.grams(pack.sources)
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
        measured = run.evaluate(alias, layout, chosen, logits[index])
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
                "train_seconds": share,
            }


def _replica(cell: Cell) -> Replica:
    if cell.seed is None:
        raise ValueError(f"cell {cell.id}: a tuned cell needs a seed")
    return Replica(cell.seed, None if cell.schedule == "annealing" else cell.weight)


def _carry_over(
    run: _Run, cells: Sequence[Cell], known: Mapping[str, torch.Tensor], progress: Progress | None
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


def _carry_group(run: _Run, cells: Sequence[Cell], known: Mapping[str, torch.Tensor]) -> None:
    target = cells[0].target
    began = time.perf_counter()
    settings = transfer_settings(cells[0].settings)
    length = known[cells[0].inputs[0]].shape[0]
    layout = layout_of({**cells[0].settings, "prompt_length": length})
    problem = _problem(run, cells, known, layout, settings.norm)
    carried = carry(problem, settings, _judges(run, cells[0], layout))
    share = run.spend("transfer_seconds", began) / len(cells)
    measured = run.evaluate(target, layout, carried.prompt, carried.logits)
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
    run: _Run,
    cells: Sequence[Cell],
    known: Mapping[str, torch.Tensor],
    layout: Layout,
    norm: str,
) -> Problem:
    """What is to be carried for cells with the same sources, target and settings."""
    target, sources = cells[0].target, cells[0].sources
    aliases = (*sources, target)
    backbones = [run.backbone(alias) for alias in aliases]
    shared = cache(lambda: common_vocabulary(backbones))

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
        grams=run.grams(aliases),
        seeds=tuple(cell.seed or 0 for cell in cells),
        norm=norm,
        target_task=target_task,
    )


def _judges(run: _Run, cell: Cell, layout: Layout) -> Judges:
    """Validation on the target and on each source, for the choice among candidates."""

    def judge(alias: str) -> Callable[[torch.Tensor], Judgement]:
        def scored(prompts: torch.Tensor) -> Judgement:
            data = run.split(alias, "validation", layout)
            logits = run.backbone(alias).split_logits(data, run.labels(alias), prompts)
            on_validation = scores(logits, data.gold, run.task.metric)
            return Judgement(on_validation, mean_loss(logits, data.gold).tolist(), logits)

        return scored

    return Judges(judge(cell.target), [judge(alias) for alias in cell.sources])
