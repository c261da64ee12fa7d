"""Reference rates: what a machine is told whose own sweeps have left nothing."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sweep.planning.plan import Plan
from sweep.timing import reference
from sweep.timing.estimate import Basis, estimate, format_estimate, unknown
from sweep.timing.reference import core_gflops, layer_weights, with_reference
from sweep.timing.throughput import Device, ModelRate, Profile, TaskSize
from tests.sweep.samples import plan_of
from trainables.core.cells import ModelRef

CONTENT: Mapping[str, Any] = {
    "machine": "a test",
    "measured": "2030-01-01",
    "gflops": 100.0,
    "pack_seconds": 2.0,
    "models": {
        "known": {
            "name": "known",
            "evaluated_text": 0.001,
            "trained_text": {"soft": 0.004, "pez": 0.012},
            "carried": {"distil": 0.002},
        }
    },
    "by_size": [
        {"weights": 2_000, "evaluated_text": 0.001, "trained_text": {"soft": 0.004}},
        {"weights": 12_000, "evaluated_text": 0.011, "trained_text": {"soft": 0.024}},
    ],
}
CONFIG = {"hidden_size": 10, "num_hidden_layers": 5, "intermediate_size": 40}  # 6,000 weights


@pytest.fixture(autouse=True)
def _half_as_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "core_gflops", lambda: 50.0)


def _with(plan: Plan, **models: ModelRef) -> list[Any]:
    """The packs of a plan, some models of which are others."""

    def moved(cell: Any) -> Any:
        digests = {**cell.digests, **{name: ref.digest for name, ref in models.items()}}
        return replace(cell, digests=digests)

    return [
        replace(
            pack,
            cells=tuple(map(moved, pack.cells)),
            models={name: models.get(name, ref) for name, ref in pack.models.items()},
        )
        for pack in plan.packs
    ]


def _sized(folder: Path, config: Mapping[str, Any]) -> ModelRef:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    return ModelRef(folder.name, str(folder), None, f"digest {folder.name}")


def test_rates_are_scaled_by_what_the_machine_does(tmp_path: Path) -> None:
    known = ModelRef("A", "/nowhere", None, "known")
    sized = _sized(tmp_path / "B", CONFIG)
    packs = _with(plan_of(), A=known, B=sized)
    found = with_reference(Device.unknown(), packs, dict(CONTENT))
    assert (found.gflops, found.here, found.machine) == (100.0, 50.0, "a test")
    assert found.models == ("A", "B")
    assert found.device.pack_seconds == 4.0
    assert found.device.models["known"] == ModelRate("A", {"soft": 0.008}, 0.002, {"distil": 0.004})
    rate = found.device.models[sized.digest]
    assert rate.evaluated_text == pytest.approx(2 * 0.005)  # 0.4 of the way
    assert rate.trained_text == pytest.approx({"soft": 2 * 0.012})
    assert unknown(packs, found.device) == ["T"]  # nobody knows its size


def test_what_the_machine_has_measured_itself_stands() -> None:
    plan = plan_of(targets=["A"], sources=["B", "C"])
    names = {"A": "known", "B": "known too", "C": "other"}
    models = {name: ModelRef(name, "/nowhere", None, digest) for name, digest in names.items()}
    packs = _with(plan, **models)
    own = {
        "known too": ModelRate("B", {"soft": 1.0}, 0.5),
        "other": ModelRate("C", {"soft": 2.0}, 0.7),
    }
    tasks = {"x": TaskSize("x", 7)}
    found = with_reference(Device(3, 9.0, own, tasks), packs, dict(CONTENT))
    assert found.models == ("A",)
    assert {digest: found.device.models[digest] for digest in own} == own
    assert (found.device.pack_seconds, found.device.tasks) == (9.0, tasks)
    assert unknown(packs, found.device) == []


def test_a_method_is_as_much_dearer_as_on_a_model_that_had_it(tmp_path: Path) -> None:
    sized = _sized(tmp_path / "B", {"n_embd": 10, "n_layer": 5})
    hard = {"pez": {"steps": 4, "batch_size": 2}}
    packs = _with(plan_of(sources=["B", "A"], pairs=[], methods=hard), B=sized)
    found = with_reference(Device.unknown(), packs, dict(CONTENT)).device.models[sized.digest]
    assert found.trained_text["pez"] == pytest.approx(3 * 2 * 0.012)


@pytest.mark.parametrize(
    ("config", "weights"),
    [
        (CONFIG, 5 * (400 + 800)),
        ({"n_embd": 10, "n_layer": 5, "n_inner": None}, 5 * (400 + 800)),
        ({"hidden_size": 10}, None),
        ({"hidden_size": "x", "num_hidden_layers": 2}, None),
        ([], None),
        (None, None),
    ],
)
def test_weights_in_layers(tmp_path: Path, config: Any, weights: int | None) -> None:
    (tmp_path / "config.json").write_text("{" if config is None else json.dumps(config))
    assert layer_weights(tmp_path) == weights
    assert layer_weights(tmp_path / "none") is None


def test_only_this_machines_own_rates_are_completed() -> None:
    plan = plan_of(resources={"cpu": 1, "gpu": 0})
    other = estimate(plan, (), Basis(Profile(), "another machine"))
    assert (other["seconds"], other["reference"]) == (None, None)
    own = estimate(plan, (), Basis.nothing())
    assert own["unknown"] == ["A", "A trained with soft", "B", "B trained with soft", "T"] or own[
        "unknown"
    ] == ["A", "B", "T"]
    assert "no reference rates on cpu of A, B" in format_estimate(own)


def test_the_file_has_every_embedded_model() -> None:
    from trainables.models.names import resolve_model
    from trainables.pocket.zoo import POCKET_NAMES

    content = json.loads(reference.FILE.read_bytes())
    digests = {resolve_model(name).digest for name in POCKET_NAMES}
    assert digests <= content["models"].keys(), "python -m benchmarks.reference_rates"
    assert all(item["evaluated_text"] > 0 for item in content["models"].values())
    small, large = content["by_size"]
    assert small["weights"] < large["weights"]
    assert small["evaluated_text"] < large["evaluated_text"]
    assert small["trained_text"]["soft"] < large["trained_text"]["soft"]


def test_a_core_is_measured_in_a_moment() -> None:
    core_gflops.cache_clear()
    assert 0.1 < core_gflops() < 10_000
