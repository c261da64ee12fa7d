"""Estimates of time: rates from costs that are known, and what is said where none are."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sweep.cli import app
from sweep.ledger.ledger import Ledger
from sweep.planning.plan import Plan
from sweep.planning.work import cost, runs_of
from sweep.spec.spec import Resources
from sweep.testing.tabulated import tabulated_result
from sweep.timing.estimate import (
    Basis,
    at_once,
    basis,
    device_of,
    estimate,
    format_estimate,
    pack_seconds,
    weights,
)
from sweep.timing.throughput import Profile, explain, learn, load_profile, measured, save_profile
from tests.sweep.samples import plan_of
from trainables.core.cells import Pack, processor_time
from trainables.errors import InputError
from trainables.files.cache import VARIABLE

TRAINED = {"A": 0.002, "B": 0.03, "C": 0.0005, "T": 0.004}
EVALUATED = {"A": 0.001, "B": 0.008, "C": 0.0002, "T": 0.02}
LOAD = 1.5
TEXTS = 280  # of the tabulated results


def _plan(**changes: Any) -> Plan:
    methods = {"soft": {"lambda": [0, 0.5], "steps": 20, "evaluations": 2, "batch_size": 4}}
    base: dict[str, Any] = {"sources": ["A", "B", "C"], "seeds": 2, "methods": methods}
    return plan_of(**{**base, "direct": True, **changes})


def _true_cost(pack: Pack) -> dict[str, float]:
    train = sum(TRAINED[cell.target] * 20 * 4 for cell in pack.cells if cell.kind == "source")
    other = sum(EVALUATED[cell.target] * TEXTS for cell in pack.cells)
    return {"seconds": LOAD + train + other, "train_seconds": train, "load_seconds": LOAD}


def _filled(
    folder: Path, plan: Plan, costs: Callable[[Pack], dict[str, float]] = _true_cost
) -> Ledger:
    ledger = Ledger(folder)
    for pack in plan.packs:
        for cell in pack.cells:
            result = {**tabulated_result(cell), **({"steps": 20} if cell.kind == "source" else {})}
            ledger.write(cell, result, pack.id, costs(pack))
    return ledger


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_rates_that_made_the_costs_are_found(tmp_path: Path) -> None:
    plan = _plan()
    found = measured(_filled(tmp_path, plan).records(), "cpu")
    device = found.devices["cpu"]
    by_name = {rate.name: rate for rate in device.models.values()}
    for name, rate in by_name.items():
        assert rate.trained_text["soft"] == pytest.approx(TRAINED[name], rel=0.02)
        assert rate.evaluated_text == pytest.approx(EVALUATED[name], rel=0.02)
    assert device.pack_seconds == pytest.approx(LOAD)
    assert [task.texts for task in device.tasks.values()] == [TEXTS]
    seconds = pack_seconds(device)
    for pack in plan.packs:
        assert seconds(pack) == pytest.approx(_true_cost(pack)["seconds"], rel=0.02)


WAYS = [
    {"solver": "closed_form"},
    {"solver": "distil", "texts": 16, "steps": [5, 20], "batch_size": 4, "rows": ["single"]},
    {"solver": "readout", "texts": 64, "rows": ["single"]},
]
CARRIED = {"closed_form": 0.01, "distil": 0.05, "readout": 0.02}


def test_what_ways_of_transfer_take_is_found_apart(tmp_path: Path) -> None:
    """Not as if each prompt that they leave took its share of them to be scored."""
    plan = _plan(transfer=WAYS, direct=False)

    def costs(pack: Pack) -> dict[str, float]:
        runs = runs_of(pack.cells)
        moved = sum(CARRIED[run.solver] * run.units for run in runs)
        true = _true_cost(pack)
        more = {"transfer_seconds": 0.9 * moved, "evaluate_seconds": true["seconds"] - LOAD}
        more["evaluate_seconds"] -= true["train_seconds"]
        return {**true, "seconds": true["seconds"] + moved, **(more if runs else {})}

    device = measured(_filled(tmp_path, plan, costs).records(), "cpu").devices["cpu"]
    rate = next(rate for rate in device.models.values() if rate.name == "T")
    assert rate.evaluated_text == pytest.approx(EVALUATED["T"], rel=0.02)
    assert rate.carried == pytest.approx(CARRIED, rel=0.02)
    seconds = pack_seconds(device)
    for pack in plan.packs:
        assert seconds(pack) == pytest.approx(costs(pack)["seconds"], rel=0.02)
    # A way that was never measured takes as long as reading its texts does.
    del rate.carried["distil"]
    pack = next(pack for pack in plan.packs if any(run.steps for run in runs_of(pack.cells)))
    runs = runs_of(pack.cells)
    moved = sum(16 + 3 * 20 * 4 for run in runs) * EVALUATED["T"]
    told = LOAD + len(pack.cells) * TEXTS * EVALUATED["T"] + moved
    assert seconds(pack) == pytest.approx(told, rel=0.02)


def test_what_a_lost_cell_took_is_nobody_elses(tmp_path: Path) -> None:
    plan = _plan(transfer=WAYS, direct=False)
    ledger = Ledger(tmp_path)
    for pack in plan.packs:
        for cell in pack.cells:
            if cell.kind == "transfer":
                continue
            more = {"transfer_seconds": 500.0} if pack.kind == "transfer" else {}
            true = _true_cost(replace(pack, cells=tuple(
                cell for cell in pack.cells if cell.kind != "transfer"
            )))  # fmt: skip
            true["seconds"] += sum(more.values())
            ledger.write(cell, {**tabulated_result(cell), "steps": 20}, pack.id, {**true, **more})
    device = measured(ledger.records(), "cpu").devices["cpu"]
    rate = next(rate for rate in device.models.values() if rate.name == "T")
    assert rate.evaluated_text == pytest.approx(EVALUATED["T"], rel=0.02)


@pytest.mark.parametrize(("device", "factor"), [("cpu", 1.0), ("cuda", 3.0)])
def test_others_on_the_machine_make_no_rate_worse(
    tmp_path: Path, device: str, factor: float
) -> None:
    """A card works while the processor waits: of one, the clock's seconds are what counts."""
    plan = _plan(transfer=WAYS, direct=False)

    def costs(pack: Pack) -> dict[str, float]:
        moved = sum(CARRIED[run.solver] * run.units for run in runs_of(pack.cells))
        true = _true_cost(pack)
        scoring = true["seconds"] - LOAD - true["train_seconds"]
        true |= {"seconds": true["seconds"] + moved, "transfer_seconds": moved}
        true |= {"evaluate_seconds": scoring} if moved else {}
        worked = {processor_time(name): seconds for name, seconds in true.items()}
        return {name: 3 * seconds for name, seconds in true.items()} | worked

    found = measured(_filled(tmp_path, plan, costs).records(), device).devices[device]
    rate = next(rate for rate in found.models.values() if rate.name == "T")
    assert rate.evaluated_text == pytest.approx(factor * EVALUATED["T"], rel=0.02)
    assert rate.carried["distil"] == pytest.approx(factor * CARRIED["distil"], rel=0.02)
    assert found.pack_seconds == pytest.approx(factor * LOAD)
    source = next(rate for rate in found.models.values() if rate.name == "A")
    assert source.trained_text["soft"] == pytest.approx(factor * TRAINED["A"], rel=0.02)


def test_rates_explain_what_packs_took() -> None:
    found = explain([({("a", ""): 1.0, ("b", ""): 1.0}, 4.0), ({("a", ""): 2.0}, 2.0)])
    assert found == pytest.approx({("a", ""): 1.0, ("b", ""): 3.0}, rel=0.01)
    # What no pack tells apart is shared.
    assert explain([({("a", ""): 3.0, ("b", ""): 1.0}, 8.0)]) == pytest.approx(
        {("a", ""): 2.0, ("b", ""): 2.0}
    )
    assert explain([]) == {}
    assert explain([({}, 3.0), ({("a", ""): 2.0}, 0.0)]) == {}


def test_an_estimate_adds_up(tmp_path: Path) -> None:
    plan = _plan(resources={"cpu": 1, "gpu": 0})
    profile = measured(_filled(tmp_path, plan).records(), "cpu")
    found = Basis(profile, "a test")
    told = estimate(plan, (), found, workers=1)
    total = sum(_true_cost(pack)["seconds"] for pack in plan.packs)
    assert told["seconds"] == told["pack_seconds"] == pytest.approx(total, rel=0.02)
    assert told["gpu_hours"] == 0
    assert told["basis"] == "a test"
    assert "on 1 pack at once (from a test)" in format_estimate(told)
    half = set(list(plan.by_id)[::2])
    assert estimate(plan, half, found, workers=1)["seconds"] < told["seconds"]
    nothing = estimate(plan, plan.by_id.keys(), Basis.nothing())
    assert nothing["seconds"] == 0
    assert "nothing is left" in format_estimate(nothing)


def test_gpu_hours_count_the_share_of_a_gpu(tmp_path: Path) -> None:
    plan = _plan(resources={"cpu": 1, "gpu": 0.5})
    profile = measured(_filled(tmp_path, plan).records(), "cuda")
    told = estimate(plan, (), Basis(profile, "a test"), workers=1)
    assert told["gpu_hours"] == pytest.approx(told["pack_seconds"] * 0.5 / 3600)
    # What a processor has been measured to take says nothing of a GPU.
    other = Basis(measured(Ledger(tmp_path).records(), "cpu"), "a test")
    told = estimate(plan, (), other)
    assert told["seconds"] is None
    assert "has no rates on cuda of A, B, C and 1 more" in format_estimate(told)


def test_what_was_never_measured_is_named(tmp_path: Path) -> None:
    profile = measured(_filled(tmp_path, _plan()).records(), "cpu")
    told = estimate(_plan(targets=["T", "New"]), (), Basis(profile, "a test"))
    assert (told["seconds"], told["unknown"]) == (None, ["New"])
    nothing = estimate(_plan(), (), Basis.nothing())
    assert nothing["seconds"] is None
    assert "no sweep has finished on this machine yet" in format_estimate(nothing)


def test_packs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert at_once(Resources(cpu=2, gpu=0)) == 4
    assert at_once(Resources(cpu=1, gpu=0.5)) == 4
    assert at_once(Resources(cpu=1, gpu=1)) == 2
    assert at_once(Resources(cpu=1, gpu=0), workers=3) == 3
    assert at_once(Resources(cpu=16, gpu=0)) == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert at_once(Resources(cpu=1, gpu=1)) == 1


def test_a_machine_learns_and_forgets_nothing(tmp_path: Path, cache: Path) -> None:
    plan = _plan()
    assert basis() == Basis.nothing()
    assert weights(plan, plan.packs) is cost
    learn(_filled(tmp_path / "one", plan).records(), "cpu")
    own = basis()
    assert own.source.startswith("sweeps on this machine until 2")
    assert weights(plan, plan.packs) is not cost
    learn(_filled(tmp_path / "two", _plan(targets=["A"], sources=["B"])).records(), "cuda")
    learn([], "cpu")
    both = load_profile(cache / "throughput.json")
    assert set(both.devices) == {"cpu", "cuda"}
    assert both.devices["cpu"] == own.profile.devices["cpu"]
    (cache / "throughput.json").write_text("{")
    assert weights(plan, plan.packs) is cost
    learn(Ledger(tmp_path / "one").records(), "cpu")
    assert set(load_profile(cache / "throughput.json").devices) == {"cpu"}


def test_a_profile_is_read_as_it_was_written(tmp_path: Path) -> None:
    profile = measured(_filled(tmp_path, _plan()).records(), "cpu")
    save_profile(tmp_path / "profile.json", profile)
    assert load_profile(tmp_path / "profile.json") == profile
    assert profile.with_newer(Profile()) == profile
    assert Profile().with_newer(profile) == profile


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": 2}', '{"format": 1, "measured": "", "devices": []}']
    + [
        json.dumps({"format": 1, "measured": "x", "devices": {"cpu": device}})
        for device in (
            {},
            {"packs": 1, "pack_seconds": -1, "models": {}, "tasks": {}},
            {"packs": 1, "pack_seconds": "NaN", "models": {}, "tasks": {}},
            {"packs": 1, "pack_seconds": 1, "models": {"x": 3}, "tasks": {}},
            {"packs": 1, "pack_seconds": 1, "models": {}, "tasks": {"x": {"name": "y"}}},
        )
    ],
)
def test_a_bad_profile_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "profile.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"^--profile: [^\n]*$"):
        basis(path)


def test_no_profile_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        basis(tmp_path / "none.json")
    with pytest.raises(InputError, match="no sweep's folder"):
        basis(tmp_path)


def test_sweep_plan_tells(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app(["plan", "smoke"], standalone_mode=False)
    text = capsys.readouterr().out
    assert "time: about" in text
    assert "reference rates, measured on one core of" in text
    assert "no sweep has finished on this machine yet" in text
    assert "  work: 16 optimisation steps, about 5,560 texts through models (160 of" in text
    app(["plan", "smoke", "--json"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    told = found["estimate"]
    assert {"seconds", "gpu_hours", "basis"} <= told.keys()
    assert (told["basis"], told["unknown"]) == (None, [])
    assert set(told["reference"]["models"]) == {"pocket-bert", "pocket-gpt2", "pocket-gpt2-large"}
    assert found["work"].keys() == {"steps", "texts", "backward", "tokens"}
    with pytest.raises(InputError, match="--workers"):
        app(["plan", "smoke", "--workers", "0"], standalone_mode=False)


def test_rates_of_one_precision_say_nothing_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    names = [
        device_of(Resources(gpu=gpu), precision)
        for gpu in (0.0, 1.0)
        for precision in ("float32", "bfloat16")
    ]
    assert names == ["cpu", "cpu bfloat16", "cuda", "cuda bfloat16"]
