"""What the engine does per cell, counted: a clock would tell more of the machine than of it."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import sweep.ledger.ledger
import trainables.core.cells
import trainables.files.atomic
import trainables.packs.records
from sweep.ledger.ledger import Ledger
from sweep.planning.plan import Plan
from sweep.testing.simulated import simulate_sweep
from tests.pace import slowness
from tests.sweep.samples import plan_of

WEIGHTS = [0, 0.1, 0.3, 0.5, 0.7, 0.9, "annealing"]


def shaped(tasks: int) -> Plan:
    return plan_of(
        sources=["A", "B", "C", "D"],
        tasks=[f"task{number}" for number in range(tasks)],
        seeds=3,
        methods={"soft": {"lambda": WEIGHTS}},
    )


def _counting(real: Callable[..., Any], calls: Counter[str], name: str) -> Callable[..., Any]:
    def count(*args: Any) -> Any:
        calls[name] += 1
        return real(*args)

    return count


@contextmanager
def counted(module: Any, *names: str) -> Iterator[Counter[str]]:
    """Calls of a module's functions by the code that looks them up there."""
    calls: Counter[str] = Counter()
    with pytest.MonkeyPatch.context() as patch:
        for name in names:
            patch.setattr(module, name, _counting(getattr(module, name), calls, name))
        yield calls


@pytest.mark.parametrize("tasks", [1, 4])
def test_a_plan_hashes_each_cell_once(tasks: int) -> None:
    with counted(trainables.core.cells, "content_hash") as calls:
        plan = shaped(tasks)
        plan.counts()
        plan.remaining(set(list(plan.by_id)[::3]))
    assert calls["content_hash"] == len(plan.cells)


@pytest.mark.slow
@pytest.mark.parametrize("tasks", [1, 3])
def test_a_sweep_syncs_each_file_once_and_hashes_in_proportion(tmp_path: Path, tasks: int) -> None:
    plan = shaped(tasks)
    with (
        counted(trainables.files.atomic.os, "fsync") as syncs,
        counted(trainables.core.cells, "content_hash") as hashes,
    ):
        found = simulate_sweep(plan, tmp_path, workers=2)
    assert found.done == len(plan.cells)
    views = 2  # sweep.json and spec.yaml
    # A record and a file each: prompt and predictions share one, a reference has predictions alone.
    assert syncs["fsync"] == 2 * len(plan.cells) + views
    # Driver and worker each hash a cell once, and a pack; a prompt that is carried on is read.
    assert hashes["content_hash"] <= 2 * len(plan.cells) + 2 * len(plan.packs)

    with counted(trainables.files.atomic.os, "fsync") as syncs:
        assert simulate_sweep(plan, tmp_path, workers=2).done == 0
    assert syncs["fsync"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("tasks", [1, 3])
def test_each_file_of_a_ledger_is_read_once(tmp_path: Path, tasks: int) -> None:
    plan = shaped(tasks)
    simulate_sweep(plan, tmp_path)
    ledger = Ledger(tmp_path)
    with counted(sweep.ledger.ledger, "read_bytes", "read_record") as calls:
        assert ledger.done_ids() == plan.by_id.keys()
        ledger.done_ids()
    assert calls == {"read_bytes": len(plan.cells), "read_record": len(plan.cells)}


@pytest.mark.slow
def test_a_ledger_is_read_in_generous_time(tmp_path: Path) -> None:
    plan = shaped(5)
    simulate_sweep(plan, tmp_path)
    began = time.process_time()
    found = len(Ledger(tmp_path).done_ids())
    # A fifth of the speed that the benchmark asks for.
    spent = (time.process_time() - began) / found * 10_000
    assert spent < 5 * slowness()


def test_long_files_are_read_whole(tmp_path: Path) -> None:
    for size in (0, 1, (1 << 16) - 1, 1 << 16, (1 << 17) + 3):
        content = os.urandom(size)
        (tmp_path / "file").write_bytes(content)
        assert trainables.packs.records.read_bytes(str(tmp_path / "file")) == content
    with pytest.raises(FileNotFoundError):
        trainables.packs.records.read_bytes(str(tmp_path / "none"))
