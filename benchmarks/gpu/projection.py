"""Hours of paper A on the card: what its models have to read, by the speeds measured here."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import torch

from benchmarks.gpu.bench import Bench, Line, Speed, kind_of
from benchmarks.gpu.costs import Cost
from benchmarks.gpu.models import PROMPT, TASKS
from trainables.core.cells import ModelRef, Pack, TaskRef
from trainables.core.settings import SoftSettings, from_mapping, transfer_settings

FRAME = 3
"""Special tokens of a row beside its text and prompt."""
SHARE, RATE = 0.3, 989e12
"""Where nothing was measured: of an H100's or H200's FLOP/s in bfloat16, assumed."""
READING = "reading"

Job = tuple[str, str]
"""A model and a kind of work: ``joint dropout``, ``single calm``, ``reading`` and so on."""


@dataclass
class Work:
    """What a sweep's models have to do.

    Attributes:
        tokens: needed ones, by job: rows at their own lengths, without padding.
        stacks: that are trained, by job.
    """

    tokens: Counter[Job] = field(default_factory=Counter)
    stacks: Counter[Job] = field(default_factory=Counter)


@cache
def row_tokens(task: str) -> float:
    """Mean tokens of a row behind a prompt."""
    lengths = TASKS[task].lengths(10000, torch.Generator().manual_seed(0))
    return float(lengths.double().mean()) + FRAME + PROMPT


def add_pack(work: Work, pack: Pack, dropout: bool | None = None) -> None:
    """Add a pack's work.

    Args:
        work: that is added to.
        pack: of the preset's plan.
        dropout: instead of what the preset says.
    """
    texts, row = TASKS[pack.task.name], row_tokens(pack.task.name)
    sources = [cell for cell in pack.cells if cell.kind == "source"]
    if sources:
        settings = from_mapping(SoftSettings, sources[0].settings)
        settings = settings if dropout is None else replace(settings, dropout=dropout)
        replicas = len({cell.tuning for cell in sources})
        steps = settings.steps_for(texts.train)
        kind = kind_of(len(pack.sources) > 1, settings.dropout)
        rows = min(settings.evaluations, steps) * texts.validation + texts.test
        for alias in pack.sources:
            work.tokens[alias, kind] += round(steps * replicas * settings.batch_size * row)
            work.stacks[alias, kind] += 1
            work.tokens[alias, READING] += round(replicas * rows * row)
    for cell in pack.cells:
        if cell.kind == "transfer":
            asked = transfer_settings(cell.settings)
            candidates = len(asked.gammas or (0,)) if asked.selection != "none" else 1
            rows = candidates * texts.validation + texts.test
            work.tokens[cell.target, READING] += round(rows * row)


def total(packs: Sequence[Pack], dropout: bool | None) -> Work:
    """Work of all packs."""
    work = Work()
    for pack in packs:
        add_pack(work, pack, dropout)
    return work


def hours(work: Work, speeds: Mapping[Job, Speed]) -> dict[str, float]:
    """Hours by kind of work, those of recording passes apart."""
    found: dict[str, float] = defaultdict(float)
    for job, tokens in work.tokens.items():
        speed = speeds[job]
        found[job[1]] += tokens / speed.tokens / 3600
        found["recording"] += work.stacks[job] * speed.shapes * speed.recording / 3600
    return dict(found)


def flops(work: Work, costs: Mapping[str, Cost]) -> float:
    """Of all needed tokens."""
    return sum(tokens * costs[name].of(kind) for (name, kind), tokens in work.tokens.items())


def speed_of(
    job: Job, measured: Mapping[Job, Speed], costs: Mapping[str, Cost]
) -> tuple[Speed, str]:
    """A job's speed and what it is known from.

    Its own measurement; else what other models reached in work of its kind, in FLOP/s; else
    :data:`SHARE` of :data:`RATE`.
    """
    if job in measured:
        return measured[job], "measured"
    name, kind = job
    alike = [
        (speed.tokens * costs[other].of(kind), speed)
        for (other, what), speed in measured.items()
        if what == kind
    ]
    cost = costs[name].of(kind)
    if not alike:
        return Speed(SHARE * RATE / cost), "assumed"
    rate = statistics.median(each for each, _ in alike)
    shapes = statistics.median_high(speed.shapes for _, speed in alike)
    recording = statistics.median(speed.recording for _, speed in alike)
    return Speed(rate / cost, shapes, recording), "other models, by FLOPs"


def paper_a() -> tuple[Pack, ...]:
    """The packs of the shipped preset; models and tasks are known by name alone."""
    # Here and not above: all else does without what a plan needs.
    from sweep.planning.plan import make_plan
    from sweep.spec.spec import load_spec

    plan = make_plan(
        load_spec("paper_a"),
        lambda name, aliases, base: ModelRef(name, name, None, name),
        lambda name, base: TaskRef(name, name, name),
    )
    return tuple(plan.packs)


def _tunings(packs: Sequence[Pack]) -> dict[str, int]:
    """How many prompts, or sets of them, are tuned."""
    found = Counter(
        len(pack.sources)
        for pack in packs
        for _ in {cell.tuning for cell in pack.cells if cell.kind == "source"}
    )
    return {"packs": len(packs), "joint": found[2], "independent": found[1]}


def _measured(bench: Bench, graphs: bool) -> dict[Job, Speed]:
    """Nothing where the models are small ones."""
    if bench.tiny:
        return {}
    training = {
        (name, kind): speed
        for (name, kind, recorded), speed in bench.training.items()
        if recorded == graphs
    }
    return training | {(name, READING): speed for name, speed in bench.reading.items()}


def projected(bench: Bench, work: Work, graphs: bool) -> dict[str, Any]:
    """Hours of some work, and of how many jobs the speed is known from what."""
    measured = _measured(bench, graphs)
    known = {job: speed_of(job, measured, bench.costs) for job in work.tokens}
    parts = hours(work, {job: speed for job, (speed, _) in known.items()})
    basis = Counter(told for _, told in known.values())
    return {"hours": sum(parts.values()), "parts": parts, "basis": dict(basis)}


def projection(bench: Bench) -> Iterator[Line]:
    """Of the preset as it is and without dropout, with graphs and without."""
    packs = paper_a()
    for name, dropout in (("as shipped", None), ("without dropout", False)):
        work = total(packs, dropout)
        for model, _ in work.tokens:
            bench.cost(model)
        exaflop = flops(work, bench.costs) / 1e18
        told = {"tokens": sum(work.tokens.values()), "exaflop": exaflop, **_tunings(packs)}
        ways = {graphs: projected(bench, work, graphs) for graphs in (True, False)}
        if ways[True] == ways[False]:
            del ways[False]  # nothing was measured in training
        for graphs, found in ways.items():
            more = {"assumed": f"{SHARE:.0%} of {RATE / 1e12:g} TFLOP/s, not measured"}
            more = more if "assumed" in found["basis"] else {}
            how = f"{name}, graphs" if graphs else f"{name}, no graphs"
            how = name if len(ways) == 1 else how
            yield Line(f"projection {how}", None, told | found | more)
