"""Run a pack: load, tune, carry over, evaluate. Knows torch, not Ray."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from trainables.backbones.loading import resident
from trainables.compute import replay
from trainables.compute.devices import check_device
from trainables.compute.memory import Room, halvings, settle
from trainables.compute.process import now
from trainables.core.cells import Cell, Pack, PackOutcome
from trainables.core.registries import FAMILIES
from trainables.core.settings import family_of
from trainables.packs.references import evaluate_references
from trainables.packs.run import Progress, Run, Rungs, plain_layout
from trainables.packs.stacks import Family, carry_over


def run_pack(
    pack: Pack,
    prompts: Mapping[str, np.ndarray],
    device: str = "cpu",
    progress: Progress | None = None,
    room: Mapping[str, Any] | None = None,
    rungs: Rungs | None = None,
) -> PackOutcome:
    """Compute a pack's cells.

    Args:
        prompts: per id in ``pack.needs``, a prompt tuned elsewhere: float32 [m, d], or the
            UTF-8 bytes of a text.
        progress: called with (phase, done, total).
        room: what the pack may take of the device's memory, a
            :class:`trainables.compute.memory.Room` as a mapping; nothing of it changes a result.
        rungs: asked after each evaluation in training which cells are to stop, see
            :data:`trainables.packs.run.Rungs`.

    Returns:
        Results and prompts by cell id; a cell that cannot be had is in ``failures``, one that was
        stopped (or takes a prompt that was) in ``stopped``. ``cost`` counts ``model_loads`` and
        ``oom_halvings``, how often a stack or a pass was halved because memory was short; with
        graphs also ``graphs_recorded`` and ``graphs_refused``.

    Raises:
        InputError: a model or the task does not fit (a label word of two tokens, say), or torch
            cannot use the device.
    """
    began = now()
    check_device(device)
    for plugin in pack.plugins:
        plugin.load()
    allowed = Room(**room) if room else Room()
    settle(allowed)
    if torch.device(device).type == "cuda":
        # It makes a plan, a third of a second, for every new shape of a batch.
        torch.backends.cuda.enable_cudnn_sdp(False)
    loads, halved, graphs = resident.made, halvings(), replace(replay.counts)
    run = Run(pack, device, allowed, rungs)
    for alias in dict.fromkeys((*pack.sources, *(cell.target for cell in pack.cells))):
        backbone = run.backbone(alias)
        for layout in {plain_layout(backbone, cell.settings) for cell in pack.cells}:
            run.labels(alias, layout)
        if backbone.remark:
            run.outcome.remarks.append(backbone.remark)
    run.spend("load_seconds", began)
    known = {key: torch.from_numpy(value) for key, value in prompts.items()}
    by_kind: dict[str, list[Cell]] = {
        kind: [] for kind in ("reference", "source", "transfer", "crossed")
    }
    twins = run.twins()
    for cell in pack.cells:
        if cell.id not in twins:
            by_kind[cell.kind].append(cell)
    evaluate_references(run, by_kind["reference"])
    family: Family | None = None
    if any(cell.kind != "reference" for cell in pack.cells):
        family = FAMILIES[family_of(pack.method)]
    if family and by_kind["source"]:
        family.tune_sources(run, by_kind["source"], known, progress)
    run.repeat(twins)
    known |= {cell: known[same] for cell, same in twins.items() if same in known}
    if family:
        carry_over(run, family, by_kind["transfer"], known, progress)
        if by_kind["crossed"]:
            family.evaluate_crossed(run, by_kind["crossed"], known)
    run.spend("seconds", began)
    run.outcome.cost |= {
        "model_loads": resident.made - loads,
        "oom_halvings": halvings() - halved,
    }
    if allowed.graphs and torch.device(device).type in replay.RECORDERS:
        _tell_of_graphs(run.outcome, graphs)
    return run.outcome


def _tell_of_graphs(outcome: PackOutcome, before: replay.Counts) -> None:
    refused = replay.counts.refused - before.refused
    outcome.cost |= {
        "graphs_recorded": replay.counts.recorded - before.recorded,
        "graphs_refused": refused,
    }
    if refused:
        outcome.remarks.append(
            f"some passes could not be recorded as CUDA graphs ({replay.counts.reason}): they ran"
            " without, with the same results"
        )
