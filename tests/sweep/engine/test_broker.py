"""Broker and worker side of a pack, without processes."""

from typing import Any

import numpy as np

from sweep.engine.broker import Broker
from sweep.engine.cluster import threads_of, worker_environment
from sweep.spec.resources import Share
from sweep.testing.tabulated import EXECUTOR, FAULTS, tabulated_prompt, tabulated_result
from tests.sweep.samples import plan_of
from trainables.core.cells import Pack, PackOutcome
from trainables.errors import InputError
from trainables.tune import run_once, smaller


def _inputs(pack: Pack) -> dict[str, Any]:
    plan = plan_of()
    prompts = {name: tabulated_prompt(plan.by_id[name]) for name in pack.needs}
    return {"pack": pack.to_json(), "prompts": prompts}


def complain(pack: Pack, prompts: Any, **options: Any) -> PackOutcome:
    raise InputError("task x: the label word 'great' is two tokens of A")


def crash(pack: Pack, prompts: Any, **options: Any) -> PackOutcome:
    raise ZeroDivisionError


def write_into(pack: Pack, prompts: Any, **options: Any) -> PackOutcome:
    for array in prompts.values():
        array[0, 0] = 1.0
    return PackOutcome(results={}, prompts={}, failures={}, cost={"threads": options["device"]})


def test_an_outcome_is_what_the_executor_gave() -> None:
    for pack in plan_of().packs:
        phases: list[str] = []

        def progress(phase: str, done: int, total: int, phases: list[str] = phases) -> None:
            phases.append(phase)

        outcome = run_once(_inputs(pack), EXECUTOR, "cpu", 1, progress)
        assert outcome["results"] == {cell.id: tabulated_result(cell) for cell in pack.cells}
        assert outcome["failures"] == {}
        assert phases


def test_a_crash_is_an_outcome_too(monkeypatch: Any, tmp_path: Any) -> None:
    inputs = _inputs(plan_of().packs[0])
    for name, error in (
        ("complain", "task x: the label word 'great' is two tokens of A"),
        ("crash", "ZeroDivisionError"),
        (
            "missing",
            "AttributeError: module 'tests.sweep.engine.test_broker' has no attribute 'missing'",
        ),
    ):
        outcome = run_once(inputs, f"{__name__}:{name}", "cpu", 1)
        assert outcome["error"] == error
        assert outcome["traceback"].startswith("Traceback")
    monkeypatch.setenv(FAULTS, str(tmp_path))
    (tmp_path / "error-x-one").touch()
    assert run_once(inputs, EXECUTOR, "cpu", 1)["error"] == "RuntimeError: no luck with x/one"


def ask(pack: Pack, prompts: Any, rungs: Any = None, room: Any = None, **more: Any) -> PackOutcome:
    stopped = dict.fromkeys(rungs(3, {"cell": 0.5}) if rungs else (), 3)
    return PackOutcome({}, {}, {}, {"replicas": (room or {}).get("replicas", 0)}, stopped)


def test_room_and_rungs_are_handed_on_where_given() -> None:
    inputs = _inputs(plan_of().packs[0])
    outcome = run_once(
        *(inputs, f"{__name__}:ask", "cpu", 1),
        room={"replicas": 4},
        rungs=lambda step, scores: set(scores),
    )
    assert outcome["stopped"] == {"cell": 3}
    assert outcome["cost"] == {"replicas": 4}
    assert run_once(inputs, f"{__name__}:ask", "cpu", 1)["stopped"] == {}


def test_prompts_may_be_written_to() -> None:
    """Arrays from the object store may not; those an executor gets may."""
    pack = next(pack for pack in plan_of().packs if pack.needs)
    inputs = _inputs(pack)
    for array in inputs["prompts"].values():
        array.flags.writeable = False
    assert "error" not in run_once(inputs, f"{__name__}:write_into", "cpu", 1)


def test_the_broker_keeps_a_pack_until_its_outcome_is_taken() -> None:
    broker = Broker()
    inputs = {"pack": {}, "prompts": {"a": np.zeros((1, 1))}}
    broker.offer("p", inputs)
    assert broker.progress() == {}
    for attempt in (1, 2):  # a worker may die and another one take over
        assert broker.payload("p") == {**inputs, "attempt": attempt}
        assert broker.progress() == {"p": ("start", 0, 1)}
    broker.set_progress("p", "train", 3, 4)
    assert broker.progress() == {"p": ("train", 3, 4)}
    broker.report("p", 5, {"cell": 0.5})
    assert broker.stopping("p") == set()
    broker.stop("p", ["cell"])
    broker.stop("p", ["other"])
    broker.stop("q", ["cell"])  # over already
    assert broker.stopping("p") == {"cell", "other"}
    assert broker.reports() == [("p", 5, {"cell": 0.5})]
    assert broker.reports() == []
    broker.deliver("p", {"results": {}})
    assert broker.take("p") == {"results": {}}
    assert broker.take("p") is None
    assert broker == Broker()


def tell_threads(pack: Pack, prompts: Any, **options: Any) -> PackOutcome:
    import torch

    return PackOutcome({}, {}, {}, {"threads": torch.get_num_threads()})


def test_a_pack_has_the_threads_of_its_cores() -> None:
    """Packs beside each other on one machine: as many threads as cores, no more."""
    import torch

    before, inputs = torch.get_num_threads(), _inputs(plan_of().packs[0])
    try:
        for cores, threads in ((0.5, 1), (1.0, 1), (2.0, 2), (3.5, 3)):
            assert threads_of(Share(cores, 0.0)) == threads
            outcome = run_once(inputs, f"{__name__}:tell_threads", "cpu", threads)
            assert outcome["cost"] == {"threads": threads}
            found = worker_environment(threads)
            assert found["OMP_NUM_THREADS"] == found["MKL_NUM_THREADS"] == str(threads)
    finally:
        torch.set_num_threads(before)


def test_who_takes_over_takes_less_memory() -> None:
    room = {"share": 0.5, "replicas": 8, "graphs": False}
    assert smaller(room, 1) == room
    assert smaller(room, 3) == {"share": 0.125, "replicas": 2, "graphs": False}
    assert smaller({**room, "replicas": 1}, 3)["replicas"] == 1
    assert smaller({**room, "replicas": None}, 2)["replicas"] is None
