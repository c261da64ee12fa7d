"""Stacks cut by memory: same results whatever the cut, halved where memory is short."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainables.soft.test_tuning import SETTINGS, source
from trainables.backbones import load_backbone
from trainables.backbones.base import Backbone
from trainables.compute import memory
from trainables.compute.memory import NoRoomError, Resident, in_parts, in_passes, out_of_memory
from trainables.compute.passes import PASS_TOKENS
from trainables.core.cells import Cell, Pack, PackOutcome
from trainables.core.settings import SoftSettings, stored
from trainables.core.settings.pez import PezSettings
from trainables.models.names import resolve_model
from trainables.packs.pack import run_pack
from trainables.soft import stack_size
from trainables.soft import tuning as soft
from trainables.tasks import resolve_task

pytestmark = pytest.mark.slow

PAIR, TARGET, TASK = ("pocket-bert", "pocket-gpt2"), "pocket-llama", "mini/topics"
SOFT = asdict(SoftSettings(steps=4, evaluations=2, prompt_length=2, batch_size=4, text_tokens=12))
PEZ = {
    **stored(PezSettings(steps=4, evaluations=2, prompt_length=2, batch_size=4, text_tokens=12)),
    "vocabulary": "all",
}
CARRY = {"solver": "closed_form", "norm": "match", "prompt_length": 2, "text_tokens": 12}


@pytest.fixture(autouse=True)
def nothing_learned() -> Iterator[None]:
    memory.forget()
    yield
    memory.forget()


def soft_pack(settings: dict[str, Any] = SOFT) -> Pack:
    cells: list[Cell] = []
    for seed, weight in ((0, 0.0), (1, 0.0), (0, 0.5)):
        made = [
            Cell(
                "source", "joint", "soft", TASK, alias, PAIR, seed, weight, "constant", (), settings
            )
            for alias in PAIR
        ]
        inputs = tuple(cell.id for cell in made)
        tuned = (PAIR, seed, weight, "constant")
        cells += [*made, Cell("transfer", "ours", "soft", TASK, TARGET, *tuned, inputs, CARRY)]
    models = {name: resolve_model(name) for name in (*PAIR, TARGET)}
    return Pack("tune", "soft", resolve_task(TASK), models, PAIR, tuple(cells))


def hard_pack() -> Pack:
    source = PAIR[1]
    cells = tuple(
        Cell("source", "all", "pez", TASK, source, (source,), seed, None, "none", (), PEZ)
        for seed in range(3)
    )
    models = {source: resolve_model(source)}
    return Pack("tune", "pez", resolve_task(TASK), models, (source,), cells)


def same(one: PackOutcome, other: PackOutcome, cells: Sequence[str]) -> None:
    for name in cells:
        np.testing.assert_allclose(one.prompts[name], other.prompts[name], atol=1e-6)
        for key in ("score", "validation_score", "loss", "best_step"):
            if key in other.results[name]:
                assert one.results[name][key] == pytest.approx(other.results[name][key], abs=1e-6)


@pytest.fixture(scope="module")
def whole() -> tuple[Pack, PackOutcome]:
    pack = soft_pack()
    return pack, run_pack(pack, {})


@pytest.mark.parametrize("size", [1, 2])
def test_results_do_not_depend_on_the_cut(whole: tuple[Pack, PackOutcome], size: int) -> None:
    pack, expected = whole
    assert expected.cost["oom_halvings"] == 0
    told: list[tuple[str, int, int]] = []
    outcome = run_pack(pack, {}, progress=lambda *at: told.append(at), room={"replicas": size})
    assert outcome.failures == {}
    same(outcome, expected, [cell.id for cell in pack.cells])
    train = [done for phase, done, total in told if phase == "train"]
    assert train == sorted(train)
    assert told[0][2] == train[-1] == 12


def test_hard_searches_do_not_depend_on_the_cut() -> None:
    pack = hard_pack()
    expected = run_pack(pack, {})
    outcome = run_pack(pack, {}, room={"replicas": 2})
    assert {name: outcome.results[name]["text"] for name in outcome.results} == {
        cell.id: expected.results[cell.id]["text"] for cell in pack.cells
    }


class Allocator:
    """Stands in for a device on which a pass of more than so many rows does not fit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, rows: int, training: bool) -> None:
        self.largest = 0
        inner = Backbone.row_logits

        def row_logits(backbone: Backbone, batch: Any, *args: Any, **more: Any) -> torch.Tensor:
            if torch.is_grad_enabled() == training:
                if len(batch) > rows:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
                self.largest = max(self.largest, len(batch))
            return inner(backbone, batch, *args, **more)

        monkeypatch.setattr(Backbone, "row_logits", row_logits)


def trained(told: Sequence[tuple[str, int, int]]) -> list[int]:
    """How far training was when progress was told: by steps times the replicas of a stack."""
    return [done for phase, done, _ in told if phase == "train"]


def test_passes_are_halved_first_and_the_size_is_kept(
    whole: tuple[Pack, PackOutcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack, expected = whole
    allocator = Allocator(monkeypatch, rows=5, training=True)  # of three times four examples
    told: list[tuple[str, int, int]] = []
    outcome = run_pack(pack, {}, progress=lambda *at: told.append(at), room={"replicas": 3})
    assert outcome.failures == {}
    assert outcome.cost["oom_halvings"] == len(PAIR) * 5, "2,048 tokens to 64, on each model"
    assert allocator.largest > 1
    assert trained(told) == [3, 6, 9, 12], "one stack"
    same(outcome, expected, [cell.id for cell in pack.cells])
    assert run_pack(pack, {}, room={"replicas": 3}).cost["oom_halvings"] == 0


def test_a_stack_is_halved_where_smaller_passes_do_not_help(
    whole: tuple[Pack, PackOutcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack, expected = whole
    inner = soft.alignment_loss

    def alignment_loss(prompts: Sequence[torch.Tensor], grams: Any) -> torch.Tensor:
        if len(prompts[0]) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        return inner(prompts, grams)

    monkeypatch.setattr(soft, "alignment_loss", alignment_loss)
    told: list[tuple[str, int, int]] = []
    outcome = run_pack(pack, {}, progress=lambda *at: told.append(at), room={"replicas": 3})
    assert outcome.failures == {}
    assert outcome.cost["oom_halvings"] == 1, "three, then one by one"
    assert trained(told) == list(range(1, 13))
    same(outcome, expected, [cell.id for cell in pack.cells])
    assert run_pack(pack, {}, room={"replicas": 3}).cost["oom_halvings"] == 0


@pytest.fixture
def dropping() -> Iterator[None]:
    """The pair with a dropout of 0.1 everywhere; the pocket models have none."""
    models = [load_backbone(resolve_model(name)).family.model for name in PAIR]
    layers = [item for model in models for item in model.modules()]
    dropouts = [item for item in layers if isinstance(item, torch.nn.Dropout)]
    for item in dropouts:
        item.p = 0.1
    yield
    for item in dropouts:
        item.p = 0.0


@pytest.mark.usefixtures("dropping")
def test_memory_changes_nothing_under_dropout_either(
    whole: tuple[Pack, PackOutcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Little is free, or less than was thought: other stacks, other passes, the same results."""
    pack = soft_pack({**SOFT, "dropout": True})
    expected = run_pack(pack, {})
    known = [cell.id for cell in pack.cells]
    moved = [
        np.abs(expected.prompts[cell.id] - whole[1].prompts[other.id]).max()
        for cell, other in zip(pack.cells, whole[0].cells, strict=True)
    ]
    assert min(moved) > 1e-3, "dropout must show"
    with monkeypatch.context() as patch:
        patch.setattr(stack_size, "free_bytes", lambda device: 1)
        patch.setitem(PASS_TOKENS, "cpu", 100)
        told: list[tuple[str, int, int]] = []
        outcome = run_pack(pack, {}, progress=lambda *at: told.append(at))
        assert trained(told) == list(range(1, 13)), "one by one"
        same(outcome, expected, known)
    Allocator(monkeypatch, rows=5, training=True)
    outcome = run_pack(pack, {})
    assert outcome.cost["oom_halvings"] > 0
    same(outcome, expected, known)


def test_evaluation_is_halved_too(
    whole: tuple[Pack, PackOutcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack, expected = whole
    allocator = Allocator(monkeypatch, rows=40, training=False)
    outcome = run_pack(pack, {})
    assert outcome.failures == {}
    assert outcome.cost["oom_halvings"] > 0
    assert allocator.largest <= 40
    same(outcome, expected, [cell.id for cell in pack.cells])


@pytest.mark.usefixtures("whole")  # models are there: the check when they are loaded reads too
@pytest.mark.parametrize("training", [True, False])
def test_what_does_not_fit_alone_fails_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, training: bool
) -> None:
    Allocator(monkeypatch, rows=0, training=training)
    for pack in (soft_pack(), hard_pack()):
        outcome = run_pack(pack, {})
        assert outcome.results == {}
        assert set(outcome.failures) == {cell.id for cell in pack.cells}
        sources = [cell for cell in pack.cells if cell.kind == "source"]
        assert all("out of memory: one" in outcome.failures[cell.id] for cell in sources)
        assert not any("\n" in reason for reason in outcome.failures.values())


def test_only_what_does_not_fit_is_lost() -> None:
    def work(part: Sequence[int], first: int) -> None:
        if sum(part) > 4 or 9 in part:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        done.append((list(part), first))

    done: list[tuple[list[int], int]] = []
    assert in_parts([1, 1, 1, 9, 4], 5, "here", work) == [9]
    assert [item for part, _ in done for item in part] == [1, 1, 1, 4]
    assert [first for _, first in done] == sorted(first for _, first in done)
    with pytest.raises(ZeroDivisionError):
        in_parts([1], 1, "there", lambda part, first: 1 / 0)
    with pytest.raises(NoRoomError):
        in_passes("nowhere", 8, lambda size: work([9], 0))


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("x"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_shortage_is_known_by_what_it_says(error: Exception, short: bool) -> None:
    assert out_of_memory(error) is short


def test_the_stack_is_as_large_as_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [source("bert"), source("gpt2")]
    bytes_of = [stack_size.step_bytes(sources, SETTINGS, count) for count in (1, 2, 3, 5)]
    one, two, three, five = bytes_of
    assert three - two == pytest.approx(two - one, rel=0.05), "bytes grow with replicas"
    assert five - two == pytest.approx(3 * (two - one), rel=0.05)
    for count in (1, 3, 7):
        room = (one + (count - 0.5) * (two - one)) / (1.0 - memory.RESERVE)
        monkeypatch.setattr(stack_size, "free_bytes", lambda device, room=room: int(room))
        fit = stack_size.replicas_that_fit(sources, SETTINGS, 100)
        assert fit == max(1, count)
    assert stack_size.replicas_that_fit(sources, SETTINGS, 4) == 4
    # Where a full pass fits, here of about three replicas, any number does.
    longest = max(int(item.lengths.max()) for item in sources)
    monkeypatch.setitem(PASS_TOKENS, "cpu", 3 * SETTINGS.batch_size * longest)
    assert stack_size.replicas_that_fit(sources, SETTINGS, 100) == 100


def test_the_longest_unused_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "total_bytes", lambda device: 100)
    kept: Resident[str, str] = Resident(0.5, lambda item: 20)
    for name in "abac":
        assert kept.get(name, "cpu", lambda name=name: name * 2) == name * 2  # type: ignore[misc]
    assert ["a" in kept, "b" in kept, "c" in kept] == [True, False, True]
    assert kept.made == 3
    kept.get("d", "cpu", lambda: "d", lambda: 45)
    assert len(kept) == 1, "room is made before"
    kept = Resident(0.5, lambda item: 80)
    kept.get("huge", "cpu", lambda: "x")
    assert "huge" in kept, "the newest stays whatever it takes"


@pytest.mark.parametrize("make", [soft_pack, hard_pack])
def test_stopped_members_leave_and_the_others_do_not_notice(make: Any) -> None:
    pack = make()
    expected = run_pack(pack, {})
    sources = [cell for cell in pack.cells if cell.kind == "source"]
    gone = sources[-1]
    told: list[tuple[int, dict[str, float]]] = []

    def rungs(step: int, scores: Any) -> set[str]:
        told.append((step, dict(scores)))
        return {gone.id}

    outcome = run_pack(pack, {}, rungs=rungs)
    halted = {cell.id for cell in pack.cells if cell.tuning == gone.tuning}
    assert outcome.stopped == dict.fromkeys(halted, 2)
    assert outcome.failures == {}
    left = [cell.id for cell in pack.cells if cell.id not in halted]
    assert sorted(outcome.results) == sorted(left)
    if pack.method == "soft":
        same(outcome, expected, left)
    else:
        assert [outcome.results[name]["ids"] for name in left] == [
            expected.results[name]["ids"] for name in left
        ]
    assert [step for step, _ in told] == [2], "nothing is asked after the last step"
    assert set(told[0][1]) == {cell.id for cell in sources}
    assert all(0.0 <= value <= 1.0 for value in told[0][1].values())
    everyone = run_pack(pack, {}, rungs=lambda step, scores: set(scores))
    assert everyone.results == {}
    assert set(everyone.stopped) == {cell.id for cell in pack.cells}
