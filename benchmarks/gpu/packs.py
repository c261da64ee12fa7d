"""Whole packs of the embedded models: equal numbers on every device, in every way, short of memory.

A pack tunes, carries over and evaluates as a sweep does; the embedded models are trained ones.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.gpu.bench import Bench, Line, gap, recording, reserved
from benchmarks.gpu.models import TASKS, source_of
from trainables.backbones import Backbone, Encoded
from trainables.compute import memory
from trainables.core.cells import Cell, Pack, PackOutcome
from trainables.core.settings import SoftSettings, stored
from trainables.core.settings.pez import PezSettings
from trainables.models.names import resolve_model
from trainables.packs.pack import run_pack
from trainables.soft.stack_size import replicas_that_fit
from trainables.tasks import resolve_task
from trainables.words import dictionary

PAIR, TARGET, TASK = ("pocket-bert", "pocket-gpt2"), "pocket-llama", "mini/topics"
CLOSE = 0.02
"""Of a prompt's length, or of a loss: rounding grows with the steps, of which there are few."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a pack."""

    steps: int
    batch: int
    replicas: int
    tokens: int


Maker = Callable[[Shape, str], Pack]


def _pack(method: str, sources: tuple[str, ...], models: set[str], cells: list[Cell]) -> Pack:
    refs = {name: resolve_model(name) for name in sorted(models)}
    return Pack("tune", method, resolve_task(TASK), refs, sources, tuple(cells))


def _soft(shape: Shape, precision: str) -> Pack:
    """A joint tuning of two models, carried over to a third."""
    size = {"prompt_length": 4, "text_tokens": shape.tokens}
    settings = asdict(
        SoftSettings(
            steps=shape.steps,
            evaluations=1,
            batch_size=shape.batch,
            learning_rate=0.02,
            prompt_length=4,
            text_tokens=shape.tokens,
        )
    )
    carry = size | {
        "solver": "ridge",
        "gammas": (0.1,),
        "selection": "target_validation",
        "norm": "match",
    }
    cells: list[Cell] = []
    for number in range(shape.replicas):
        cell = Cell(
            "source",
            "joint",
            "soft",
            TASK,
            PAIR[0],
            sources=PAIR,
            seed=number // 2,
            weight=(0.0, 0.5)[number % 2],
            schedule="constant",
            settings=settings,
            precision=precision,
        )
        made = [replace(cell, target=alias) for alias in PAIR]
        carried = replace(
            cell,
            kind="transfer",
            row="ours",
            target=TARGET,
            inputs=tuple(each.id for each in made),
            settings=carry,
        )
        cells += [*made, carried]
    return _pack("soft", PAIR, {*PAIR, TARGET}, cells)


def _pez(shape: Shape, precision: str) -> Pack:
    """Words that agree between two models, searched by one and carried over to a third."""
    other, source = PAIR
    settings = stored(
        PezSettings(
            steps=shape.steps,
            evaluations=1,
            prompt_length=3,
            batch_size=shape.batch,
            text_tokens=shape.tokens,
            vocabulary="agreement",
            s=256,
            k=8,
        )
    )
    shared = ("template", "seam", "bos", "text_tokens", "prompt_length")
    cells: list[Cell] = []
    for seed in range(shape.replicas):
        found = Cell(
            "source",
            "agreement",
            "pez",
            TASK,
            source,
            sources=(source,),
            seed=seed,
            settings=settings,
            counterparts=(other,),
            precision=precision,
        )
        carried = replace(
            found,
            kind="transfer",
            target=TARGET,
            inputs=(found.id,),
            settings={key: settings[key] for key in shared if key in settings},
        )
        cells += [found, carried]
    return _pack("pez", (source,), {source, other, TARGET}, cells)


MAKERS: dict[str, Maker] = {"soft": _soft, "pez": _pez}


def computed(pack: Pack, device: str, **room: Any) -> PackOutcome:
    # Which words are English is not asked here, and the list of them is one more package.
    with patch.object(dictionary, "_dictionary", frozenset):
        found = run_pack(pack, {}, device=device, room=room or None)
    if found.failures:
        raise RuntimeError(f"a cell failed: {next(iter(found.failures.values()))}")
    return found


Run = tuple[Pack, PackOutcome]


def difference(found: Run, expected: Run) -> dict[str, float]:
    """Largest differences between two runs of the same cells, of whatever precision."""
    most = {"prompts": 0.0, "score": 0.0, "loss": 0.0}
    same = 0
    for mine, theirs in zip(found[0].cells, expected[0].cells, strict=True):
        one, two = found[1].results[mine.id], expected[1].results[theirs.id]
        for name in ("score", "loss"):
            most[name] = max(most[name], abs(one[name] - two[name]))
        same += one.get("text") == two.get("text")
        if mine.method == "soft" and mine.id in found[1].prompts:
            prompts = (run[1].prompts[cell.id] for run, cell in ((found, mine), (expected, theirs)))
            most["prompts"] = max(most["prompts"], gap(*map(torch.from_numpy, prompts)))
    return most | {"same_texts": same / len(found[0].cells)}


def close(method: str, difference: dict[str, float]) -> bool:
    if method == "soft":
        return difference["prompts"] < CLOSE and difference["loss"] < CLOSE
    # PEZ takes words: where two are equally near, rounding decides.
    return difference["same_texts"] >= 0.5


def parity(bench: Bench) -> Iterator[Line]:
    """On the CPU and on the card, twice, recorded, and in eight bits."""
    for method, make in MAKERS.items():
        shape = Shape(1, 4, 2, 10) if bench.tiny else Shape(8, 16, 6, 24)
        pack, rounded = make(shape, "float32"), make(shape, "bfloat16")
        found = (pack, computed(pack, bench.device))

        def line(what: str, run: Run, other: Run, method: str = method, **more: Any) -> Line:
            told = difference(run, other)
            return Line(f"parity {method}: {what}", close(method, told), told | more)

        yield line("against the CPU", found, (pack, computed(pack, "cpu")))
        yield line("the same twice", (pack, computed(pack, bench.device)), found)
        with recording() as seen:
            graphs = computed(pack, bench.device, graphs=True)
        told = line("graphs against none", (pack, graphs), found, recorded=vars(seen))
        # PEZ's passes are not recorded.
        missed = seen.refused > 0 or (bench.cuda and method == "soft" and not seen.recorded)
        yield replace(told, ok=told.ok and not missed)
        far = difference((rounded, computed(rounded, bench.device)), found)
        good = far["score"] <= 0.15 if method == "soft" else None
        yield Line(f"parity {method}: bfloat16 against float32", good, dict(far))


@contextmanager
def _shortage(bench: Bench, cap: int, rows: int) -> Iterator[None]:
    """A card with ``cap`` bytes; elsewhere passes with gradient of at most so many rows."""
    if bench.cuda:
        total = torch.cuda.get_device_properties(bench.device).total_memory
        bench.free()
        torch.cuda.set_per_process_memory_fraction(min(1.0, cap / total))
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return
    real = Backbone.row_logits

    def row_logits(model: Backbone, batch: Encoded, *args: Any, **more: Any) -> torch.Tensor:
        if torch.is_grad_enabled() and len(batch) > rows:
            raise torch.OutOfMemoryError("out of memory")
        return real(model, batch, *args, **more)

    with patch.object(Backbone, "row_logits", row_logits):
        yield


def _held(bench: Bench) -> int:
    bench.free()
    return torch.cuda.memory_allocated() if bench.cuda else 0


def shortage(bench: Bench) -> Iterator[Line]:
    """Allocations that fail: work is halved, numbers stay, and nothing is left behind."""
    shape = Shape(4, 64, 12, 24) if bench.cuda and not bench.tiny else Shape(1, 4, 2, 10)
    for method, make in MAKERS.items():
        pack = make(shape, "float32")
        memory.forget()
        computed(pack, bench.device, replicas=shape.replicas)  # models are there afterwards
        held, start = _held(bench), reserved(bench)
        expected = (pack, computed(pack, bench.device, replicas=shape.replicas))
        peak = torch.cuda.max_memory_reserved() if bench.cuda else 0
        with _shortage(bench, start + (peak - start) // 2, shape.batch):
            short = computed(pack, bench.device, replicas=shape.replicas)
            again = computed(pack, bench.device, replicas=shape.replicas)
        memory.forget()
        told = difference((pack, short), expected)
        first, second = (run.cost["oom_halvings"] for run in (short, again))
        left = _held(bench) - held
        good = first > 0 and second == 0 and left < 2**24 and close(method, told)
        sizes = {"peak_mib": (peak - start) >> 20, "left_behind_mib": left >> 20}
        more = {"halvings": first, "halvings_of_the_next_pack": second, **sizes}
        yield Line(f"memory {method}", good, more | told)
    if bench.cuda:
        yield _stack_size(bench)


def _stack_size(bench: Bench) -> Line:
    """How many replicas the measurement allows in little memory, and in all there is."""
    bench.free()
    lengths = TASKS["mrpc"].lengths(400, torch.Generator().manual_seed(4))
    source = source_of(bench.model("BERT-base"), lengths)
    settings = SoftSettings(steps=1, evaluations=1)
    spare = max(0, torch.cuda.mem_get_info()[0] - 3 * 2**30)
    ballast = torch.empty(spare, dtype=torch.uint8, device=bench.device)
    few = replicas_that_fit([source], settings, 30)
    del ballast
    bench.free()
    most = replicas_that_fit([source], settings, 30)
    return Line("memory stack size", 1 <= few <= most, {"in_3_gib": few, "in_all": most})
