"""The check of a card, on the CPU with small models: what it counts, tells and works out."""

import ast
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu.bench import BATCH, Bench, Line, Speed, Stack, Way, sentences
from benchmarks.gpu.costs import TOKENS, Cost, cost_of
from benchmarks.gpu.gradients import MOST, compared
from benchmarks.gpu.models import MODELS, PROMPT, TASKS, build, encoded, source_of
from benchmarks.gpu.packs import MAKERS, Shape, close, computed, difference
from benchmarks.gpu.projection import (
    FRAME,
    READING,
    Work,
    add_pack,
    flops,
    hours,
    paper_a,
    projected,
    row_tokens,
    speed_of,
    total,
)
from benchmarks.gpu.speed import cut, timed
from trainables.compute import replay
from trainables.compute.replay import Tensors
from trainables.compute.replay import Work as Replayable
from trainables.testing.work import counted

COST = Cost(calm=2e6, dropout=4e6, reading=1e6)


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.slow
def test_one_line_a_check_and_all_of_them_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new" / "gpu.json"
    place = ["--device", "cpu", "--tiny", "--json", str(file)]
    assert gpu.main([*place, "--only", "projection", "recording", "new_shapes"]) == 0
    lines = told(capsys)
    assert [line["check"] for line in lines] == [
        "environment",
        "recording",
        "recording refused",
        "new_shapes without cuDNN's attention",
        "new_shapes with cuDNN's attention",
        "projection as shipped",
        "projection without dropout",
    ]
    assert lines[0]["ok"] and all(line["ok"] is None for line in lines[1:])
    record = json.loads(file.read_text())
    assert record["lines"] == lines
    assert next(iter(record)) == "device" and record["device"] == lines[0]["device"]
    assert record["costs"].keys() == MODELS.keys()
    shipped, calm = lines[-2:]
    assert (shipped["packs"], shipped["joint"], shipped["independent"]) == (112, 2100, 175)
    assert 0 < calm["exaflop"] < shipped["exaflop"]
    assert shipped["hours"] == pytest.approx(
        shipped["exaflop"] * 1e18 / (0.3 * 989e12 * 3600), 1e-3
    )
    assert shipped["assumed"] == "30% of 989 TFLOP/s, not measured"


def test_lines_are_written_as_they_come_and_an_error_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, seen = tmp_path / "gpu.json", []

    def first(bench: Bench) -> Iterator[Line]:
        yield Line("first", True, {"small": 0.00012346, "lost": float("nan")})
        seen.append(json.loads(file.read_text())["lines"])
        raise RuntimeError("no such kernel")

    def second(bench: Bench) -> Iterator[Line]:
        yield Line("second", True)

    checks = {"environment": (second, 0.0), "first": (first, 0.0), "last": (second, 1e9)}
    monkeypatch.setattr(gpu, "CHECKS", checks)
    assert gpu.main(["--device", "cpu", "--json", str(file)]) == 1
    lines = told(capsys)
    assert [(line["check"], line["ok"]) for line in lines] == [
        ("second", True),
        ("first", True),
        ("first", False),
        ("last", None),
    ]
    assert lines[2]["error"] == "RuntimeError: no such kernel"
    assert lines[3]["skipped"].endswith(" s of the budget left")
    assert seen == [lines[:2]]
    assert (lines[1]["small"], lines[1]["lost"]) == (0.0001235, "nan")


def test_nothing_begins_after_the_budget(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--device", "cpu", "--tiny", "--budget", "0"]) == 0
    lines = told(capsys)
    assert [line["check"] for line in lines] == list(gpu.CHECKS)
    assert {line["skipped"] for line in lines} == {"0 s of the budget left"}


def test_a_machine_without_a_card_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([]) == 1
    assert "finds no card" in told(capsys)[0]["error"]


def test_a_bare_machine_will_do() -> None:
    """Modules import torch, transformers and what is here; ``sweep`` only when it is asked."""
    allowed = {"benchmarks", "torch", "trainables", "transformers", *sys.stdlib_module_names}
    for file in Path(gpu.__file__).parent.glob("*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.partition(".")[0] for name in names} <= allowed, file
            assert "trainables.tune" not in names  # it is Ray's


@pytest.mark.slow
def test_gradients_are_compared_in_every_way() -> None:
    found = compared(Bench("cpu", tiny=True), "GPT-2")
    assert found.keys() == MOST.keys()
    assert all(value < MOST[what] for what, value in found.items())
    assert found["bfloat16_against_float32"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("method", MAKERS)
def test_packs_run_and_differ_where_they_are_other_packs(method: str) -> None:
    one, other = (
        (pack, computed(pack, "cpu"))
        for pack in (MAKERS[method](Shape(steps, 4, 1, 8), "float32") for steps in (1, 3))
    )
    assert close(method, difference(one, one))
    told = difference(other, one)
    assert told["loss"] > 0
    assert not close("soft", told | {"loss": 0.5}) and not close("pez", told | {"same_texts": 0})


@pytest.mark.slow
@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize(("name", "dropout"), [("BERT-base", True), ("GPT-2", False)])
def test_tokens_of_a_step_are_those_that_pass(
    name: str, dropout: bool, recorded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(work: Replayable, inputs: Tensors) -> Callable[[], tuple[torch.Tensor, ...]]:
        replay.counts.recorded += 1
        return replay.plain(work, inputs)

    if recorded:
        monkeypatch.setitem(replay.RECORDERS, "cpu", lambda: record)
    monkeypatch.setattr(replay, "counts", replay.Counts())
    bench = Bench("cpu", tiny=True)
    stack = Stack(source_of(bench.model(name), sentences(bench)), 2, Way(2, dropout, True))
    rows = stack.rows(0)
    assert len(rows) == 4 * BATCH and torch.equal(*rows.view(2, -1))
    with counted() as work:
        stack.step(0)
    passes = cut(bench, stack, rows)
    assert (sum(passes), len(passes)) == (work.read, work.passes)
    # Rows that a recorded pass is filled up with count as read.
    assert int(stack.source.lengths[rows].sum()) == work.needed or recorded
    found = timed(bench, stack)
    assert found["replicas"] == 4 and found["read_for_each_needed"] >= 1
    seen = found["recorded"] + found["recorded_while_timed"]
    assert (seen > 0) == recorded == (replay.counts.recorded > 0)
    assert found["seconds_a_recording"] >= 0 and found["refused"] == 0


@pytest.mark.slow
def test_the_count_is_that_of_the_layers_matrices() -> None:
    """BERT's FLOPs a token by hand: 2 a weight read, as much again for the way back."""
    cost = cost_of(build("BERT-base", "tiny", "cpu", "float32"))
    width, inner = 16, 32
    layer = 2 * (4 * width**2 + 2 * width * inner)
    attention = 2 * 2 * (TOKENS + FRAME + PROMPT) * width
    # The last layer: keys and values of all tokens, the rest of the answer alone.
    reading = layer + attention + 2 * 2 * width**2
    assert cost.reading == pytest.approx(reading, rel=0.08)
    assert 1.9 < cost.calm / cost.reading < 2.6
    assert cost.dropout > 2 * layer * 2


def test_hours_of_a_small_plan_by_hand() -> None:
    work = Work(
        Counter({("a", "joint dropout"): 7_200_000, ("b", READING): 3_600_000}),
        Counter({("a", "joint dropout"): 30}),
    )
    speeds = {
        ("a", "joint dropout"): Speed(1000.0, shapes=40, recording=0.3),
        ("b", READING): Speed(2000.0),
    }
    assert hours(work, speeds) == pytest.approx(
        {"joint dropout": 2.0, READING: 0.5, "recording": 30 * 40 * 0.3 / 3600}
    )
    assert flops(work, {"a": COST, "b": COST}) == 7.2e6 * 4e6 + 3.6e6 * 1e6


def test_a_speed_is_measured_or_that_of_like_work_or_assumed() -> None:
    double = Cost(4e6, 8e6, 2e6)
    costs = {"a": COST, "b": double}
    measured = {("a", "joint dropout"): Speed(1000.0, 40, 0.3)}
    assert speed_of(("a", "joint dropout"), measured, costs) == (
        Speed(1000.0, 40, 0.3),
        "measured",
    )
    assert speed_of(("b", "joint dropout"), measured, costs) == (
        Speed(500.0, 40, 0.3),
        "other models, by FLOPs",
    )
    assert speed_of(("b", READING), measured, costs) == (Speed(0.3 * 989e12 / 2e6), "assumed")


@pytest.mark.slow
def test_work_of_paper_a() -> None:
    packs = paper_a()
    pack = next(each for each in packs if len(each.sources) == 2 and each.task.name == "mrpc")
    work = Work()
    add_pack(work, pack)
    alias, row, mrpc = pack.sources[0], row_tokens("mrpc"), TASKS["mrpc"]
    assert FRAME + PROMPT + 40 < row < FRAME + PROMPT + 70
    steps = 10 * -(-mrpc.train // BATCH)
    assert work.tokens[alias, "joint dropout"] == round(steps * 30 * BATCH * row)
    settings = next(cell.settings for cell in pack.cells if cell.kind == "source")
    read = settings["evaluations"] * mrpc.validation + mrpc.test
    assert work.tokens[alias, READING] == round(30 * read * row)
    assert work.stacks == Counter({(name, "joint dropout"): 1 for name in pack.sources})
    whole = total(packs, dropout=False)
    assert sum(whole.stacks.values()) == 2 * 70 + 35
    assert {kind for _, kind in whole.tokens} == {"joint calm", "single calm", READING}


def test_measured_speeds_are_projected_for_passes_as_they_were() -> None:
    bench = Bench("cpu")
    bench.costs = {"a": COST}
    bench.training["a", "joint calm", True] = Speed(2000.0)
    bench.training["a", "joint calm", False] = Speed(1000.0)
    work = Work(Counter({("a", "joint calm"): 7_200_000}))
    assert [projected(bench, work, graphs)["hours"] for graphs in (True, False)] == [1.0, 2.0]
    assert projected(bench, work, True)["basis"] == {"measured": 1}
    bench.tiny = True
    assert projected(bench, work, True)["basis"] == {"assumed": 1}


@pytest.mark.parametrize("name", MODELS)
def test_random_rows_are_framed_as_the_model_reads_text(name: str) -> None:
    backbone = build(name, "tiny", "cpu", "float32")
    lengths = TASKS["mrpc"].lengths(5, torch.Generator().manual_seed(0))
    data = encoded(backbone, lengths, PROMPT)
    assert data.begin == len(backbone.begin)
    assert torch.equal(data.slots, torch.full_like(data.slots, data.begin))
    if backbone.family.masked:
        assert torch.equal(data.answers + 1 + len(backbone.end), data.lengths)
    else:
        assert torch.equal(data.answers + 1, data.lengths)
    prompts = torch.randn(2, PROMPT, backbone.width)
    labels = torch.tensor([10, 20])
    assert torch.isfinite(backbone.split_logits(data, labels, prompts)).all()
