"""Paper A on one card: ``python -m benchmarks.gpu`` (``--device cpu --scale tiny`` to try it).

Models of the paper's sizes with random weights read random texts of its tasks' lengths:

* FLOPs of a replica-step of each model, counted through the code that trains;
* with ``--time``, replica-steps a second against pack size, and the fraction of the device's
  matrix rate, measured too, that they reach;
* hours of all of ``paper_a`` as the preset's plan has it: a projection from FLOPs for a stated
  rate (``--rate``), not measured; with ``--time`` also for the rates measured here.

Left out are loading, the solvers of the transfer and the report; they are no work of the models.
"""

import argparse
import json
import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_models import MODELS, TASKS, build, encoded
from sweep.plan import make_plan
from sweep.spec import load_spec
from trainables.backbones import Backbone
from trainables.backbones.base import TOKEN_BUDGET
from trainables.cells import ModelRef, Pack, TaskRef
from trainables.losses import StackLoss
from trainables.passes import PASS_TOKENS, SPARE_TOKENS, length_batches
from trainables.precision import PRECISIONS
from trainables.settings import SoftSettings, from_mapping, transfer_settings
from trainables.source import Source, TaskGradient
from trainables.testing.work import counted

COUNTED_ROWS, COUNTED_TOKENS = 16, 24
SAMPLED_STEPS = 20
FRAME = 3
"""Special tokens of a row beside its text and prompt."""
WAYS = ("calm", "dropout")


@dataclass(frozen=True)
class Cost:
    """FLOPs for each token that passes a model: in a training step, and read only."""

    calm: float
    dropout: float
    reading: float


def source_of(backbone: Backbone, lengths: torch.Tensor, prompt: int) -> Source:
    data = encoded(backbone, lengths, prompt)
    labels = torch.tensor([10, 20], device=backbone.device)
    return Source(backbone, backbone.alias, labels, data, data)


def stack_loss(settings: SoftSettings, replicas: int) -> StackLoss:
    """Of so many replicas, each with a seed of its own."""
    return StackLoss(settings.loss, settings.dropout, range(replicas))


def cost_of(backbone: Backbone, settings: SoftSettings) -> Cost:
    """Counted on rows of one length through the code that trains and evaluates."""
    lengths = torch.full((COUNTED_ROWS,), COUNTED_TOKENS)
    source = source_of(backbone, lengths, settings.prompt_length)
    prompts = torch.randn(1, settings.prompt_length, backbone.width, device=backbone.device)
    found = {}
    for way in WAYS:
        loss = stack_loss(replace(settings, dropout=way == "dropout"), 1)
        with counted() as work:
            TaskGradient(source, loss)(prompts, torch.arange(COUNTED_ROWS), torch.ones(1), 1)
        found[way] = work.flops / work.read
    with counted() as work:
        backbone.split_logits(source.validation, source.label_ids, prompts)
    return Cost(**found, reading=work.flops / work.read)


def step_tokens(task: str, settings: SoftSettings, replicas: int) -> float:
    """Tokens that pass a model in a training step of a stack, padding included; a mean."""
    generator = torch.Generator().manual_seed(0)
    total = 0
    for _ in range(SAMPLED_STEPS):
        texts = TASKS[task].lengths(replicas * settings.batch_size, generator)
        lengths = texts + FRAME + settings.prompt_length
        for part in length_batches(lengths, PASS_TOKENS["cuda"], SPARE_TOKENS["cuda"]):
            total += len(part) * int(lengths[part].max())
    return total / SAMPLED_STEPS


def split_tokens(task: str, rows: int, prompt: int) -> float:
    """Tokens of a split behind one prompt, padding included."""
    lengths = TASKS[task].lengths(rows, torch.Generator().manual_seed(1)) + FRAME + prompt
    parts = length_batches(lengths, TOKEN_BUDGET, SPARE_TOKENS["cuda"])
    return float(sum(len(part) * int(lengths[part].max()) for part in parts))


def pack_work(pack: Pack, dropout: bool | None = None) -> Counter[tuple[str, str]]:
    """Tokens that pass each model in a pack, by model and kind of work.

    Args:
        pack: of the preset's plan.
        dropout: instead of what the preset says.
    """
    work: Counter[tuple[str, str]] = Counter()
    texts = TASKS[pack.task.name]
    sources = [cell for cell in pack.cells if cell.kind == "source"]
    carried = [cell for cell in pack.cells if cell.kind == "transfer"]
    validation, test = (
        split_tokens(pack.task.name, rows, 5) for rows in (texts.validation, texts.test)
    )
    if sources:
        settings = from_mapping(SoftSettings, sources[0].settings)
        settings = settings if dropout is None else replace(settings, dropout=dropout)
        replicas = len({cell.tuning for cell in sources})
        steps = settings.steps_for(texts.train)
        tokens = step_tokens(pack.task.name, settings, replicas)
        for alias in pack.sources:
            work[alias, WAYS[settings.dropout]] += round(steps * tokens)
            passes = min(settings.evaluations, steps) * validation + test
            work[alias, "reading"] += round(replicas * passes)
    for cell in carried:
        asked = transfer_settings(cell.settings)
        candidates = len(asked.gammas or (0,)) if asked.selection != "none" else 1
        work[cell.target, "reading"] += round(candidates * validation + test)
    return work


def paper_a() -> tuple[Pack, ...]:
    """The packs of the shipped preset; models and tasks are known by name alone."""
    plan = make_plan(
        load_spec("paper_a"),
        lambda name, aliases, base: ModelRef(name, name, None, name),
        lambda name, base: TaskRef(name, name, name),
    )
    return plan.packs


def total_work(packs: Sequence[Pack], dropout: bool | None) -> Counter[tuple[str, str]]:
    return sum((pack_work(pack, dropout) for pack in packs), Counter())


def flops_of(work: Mapping[tuple[str, str], int], costs: Mapping[str, Cost]) -> float:
    return sum(tokens * getattr(costs[name], kind) for (name, kind), tokens in work.items())


def synchronise(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def matrix_rate(device: str, precision: str, size: int) -> float:
    """FLOP/s of the best of ten square matrix products."""
    kind = getattr(torch, precision)
    left, right = (torch.randn(size, size, device=device).to(kind) for _ in "ab")
    best = float("inf")
    for _ in range(10):
        synchronise(device)
        began = time.perf_counter()
        left @ right
        synchronise(device)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def step_seconds(
    source: Source, settings: SoftSettings, replicas: int, steps: int, graphs: bool
) -> float:
    """Median seconds of a training step of a stack; the first two warm up."""
    device = source.backbone.device
    shape = (replicas, settings.prompt_length, source.backbone.width)
    prompts, loss = torch.randn(shape, device=device), stack_loss(settings, replicas)
    gradient = TaskGradient(source, loss, graphs)
    seconds = []
    for step in range(steps + 2):
        generator = torch.Generator().manual_seed(step)
        count = (replicas * settings.batch_size,)
        rows = torch.randint(len(source.train), count, generator=generator)
        synchronise(device)
        began = time.perf_counter()
        gradient(prompts, rows, torch.ones(replicas), step)
        synchronise(device)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[2:])


def timed(
    backbone: Backbone, cost: Cost, options: argparse.Namespace, rate: float
) -> list[dict[str, Any]]:
    """Replica-steps a second by pack size, on texts as long as those of the sentences' task."""
    lines = []
    task = TASKS["rotten_tomatoes"].lengths(2000, torch.Generator().manual_seed(2))
    settings = SoftSettings(steps=1, evaluations=1, dropout=options.dropout)
    source = source_of(backbone, task, settings.prompt_length)
    for replicas in options.packs:
        seconds = step_seconds(source, settings, replicas, options.steps, options.graphs)
        tokens = step_tokens("rotten_tomatoes", settings, replicas)
        flops = tokens * getattr(cost, WAYS[settings.dropout])
        lines.append(
            {
                "replicas": replicas,
                "replica_steps_per_second": replicas / seconds,
                "tokens_per_second": tokens / seconds,
                "fraction_of_matrix_rate": flops / seconds / rate,
            }
        )
    return lines


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    here = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=here)
    parser.add_argument("--scale", choices=("base", "tiny"), default="base")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--time", action="store_true", help="measure on the device")
    parser.add_argument("--packs", type=int, nargs="+", default=[1, 5, 15, 30, 60])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--dropout", action="store_true", help="time the preset's way")
    parser.add_argument("--graphs", action="store_true", help="record and replay passes (CUDA)")
    parser.add_argument("--rate", type=float, default=989.0, help="TFLOP/s (H200, bfloat16: 989)")
    parser.add_argument("--fraction", type=float, default=0.3, help="of that rate, assumed")
    parser.add_argument("--hours", type=float, default=20.0, help="a budget to stay within")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/gpu.json"))
    return parser.parse_args(arguments)


def projected(
    packs: Sequence[Pack], costs: Mapping[str, Cost], options: argparse.Namespace
) -> dict[str, Any]:
    """Hours of the whole preset, as it is and without dropout."""
    found = {}
    for name, dropout in (("as_shipped", None), ("without_dropout", False)):
        work = total_work(packs, dropout)
        flops = flops_of(work, costs)
        found[name] = {
            "tokens": sum(work.values()),
            "exaflop": flops / 1e18,
            "hours": flops / (options.fraction * options.rate * 1e12) / 3600,
            "fraction_needed": flops / (options.hours * 3600 * options.rate * 1e12),
        }
    return found


def measured_hours(
    packs: Sequence[Pack],
    costs: Mapping[str, Cost],
    times: Mapping[str, Sequence[Mapping[str, float]]],
    rate: float,
    dropout: bool | None,
) -> float:
    """Hours at the best fraction of the matrix rate that each model reached here."""
    seconds = 0.0
    for (name, kind), tokens in total_work(packs, dropout).items():
        best = max(line["fraction_of_matrix_rate"] for line in times[name])
        seconds += tokens * getattr(costs[name], kind) / (best * rate)
    return seconds / 3600


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    packs, settings = paper_a(), SoftSettings(steps=1, evaluations=1)
    rate = 0.0
    if options.time:
        size = 8192 if torch.device(options.device).type == "cuda" else 1024
        rate = matrix_rate(options.device, options.precision, size)
        print(f"matrix rate {rate / 1e12:.2f} TFLOP/s ({options.precision}, {options.device})")
    costs: dict[str, Cost] = {}
    times: dict[str, list[dict[str, Any]]] = {}
    for name in MODELS:
        backbone = build(name, options.scale, options.device, options.precision)
        costs[name] = cost = cost_of(backbone, settings)
        row = COUNTED_TOKENS + FRAME + settings.prompt_length
        gflop = cost.calm * settings.batch_size * row / 1e9
        print(
            f"{name}: {cost.calm / 1e6:.1f} MFLOP a token and step, {cost.dropout / 1e6:.1f} with"
            f" dropout, {cost.reading / 1e6:.1f} read only; {gflop:.1f} GFLOP a replica-step of"
            f" {settings.batch_size} rows of {row} tokens"
        )
        if options.time:
            times[name] = timed(backbone, cost, options, rate)
            for line in times[name]:
                print(
                    f"    {line['replicas']} replicas: {line['replica_steps_per_second']:.1f}"
                    f" replica-steps/s, {line['fraction_of_matrix_rate']:.0%} of the matrix rate"
                )
        del backbone
    tunings = Counter(
        len(pack.sources)
        for pack in packs
        for _ in {cell.tuning for cell in pack.cells if cell.kind == "source"}
    )
    projection = projected(packs, costs, options)
    print(f"paper_a: {tunings[2]} joint and {tunings[1]} independent tunings in {len(packs)} packs")
    for name, figures in projection.items():
        print(
            f"  {name.replace('_', ' ')}: {figures['exaflop']:.1f} EFLOP on"
            f" {figures['tokens'] / 1e9:.1f} G tokens. Projected from FLOPs, not measured:"
            f" {figures['hours']:.1f} h at {options.fraction:.0%} of {options.rate:g} TFLOP/s;"
            f" {options.hours:g} h need {figures['fraction_needed']:.1%} of it"
        )
    record: dict[str, Any] = {
        "device": options.device,
        "scale": options.scale,
        "precision": options.precision,
        "costs": {name: vars(cost) for name, cost in costs.items()},
        "projection": {
            **projection,
            "basis": f"FLOPs at {options.fraction} of {options.rate} TFLOP/s, not measured",
        },
    }
    if options.time:
        hours = measured_hours(packs, costs, times, rate, None if options.dropout else False)
        print(f"  at the rates measured here: {hours:.1f} h")
        record |= {"matrix_tflops": rate / 1e12, "times": times, "hours_at_measured_rates": hours}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"written to {options.json}")


if __name__ == "__main__":
    main()
