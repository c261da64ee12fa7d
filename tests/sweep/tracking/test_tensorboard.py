"""TensorBoard's files: whole, the same bytes each time, and read by TensorBoard where it is."""

import struct
from pathlib import Path
from typing import Any

import pytest

from sweep.engine.runner import make_sink
from sweep.ledger.ledger import Ledger
from sweep.planning.plan import Plan
from sweep.tracking.tensorboard import FILE, FOLDER
from tests.sweep.ledger.test_ledger import fill
from tests.sweep.samples import plan_of

pytest.importorskip("tensorboardX")


def _written(plan: Plan, folder: Path) -> dict[Path, bytes]:
    sinks = make_sink(plan, folder)
    sinks.start(Ledger(folder).records())
    assert sinks.close() is None
    return {path: path.read_bytes() for path in (folder / FOLDER).rglob(FILE)}


def _events(content: bytes) -> list[Any]:
    from tensorboardX.proto.event_pb2 import Event

    found, place = [], 0
    while place < len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        found.append(Event.FromString(content[place + 12 : place + 12 + length]))
        place += length + 16
    return found


def test_a_file_a_run_and_none_twice(tmp_path: Path) -> None:
    plan = plan_of(tracking=["tensorboard"], methods={"soft": {"lambda": [0, 0.5, "annealing"]}})
    fill(Ledger(tmp_path), plan.cells)
    first = _written(plan, tmp_path)
    kinds = [path.parent.parent.name for path in first]
    assert kinds.count("result") + kinds.count("source") == len(plan.cells)
    (annealed,) = [p for p in first if p.parent.name.startswith("lambda=annealing")]
    assert annealed.parent.name.startswith("lambda=annealing seed=0, A+B to T, x-one ")
    events = _events(first[annealed])
    assert events[0].file_version == "brain.Event:2"
    values = [value for event in events for value in event.summary.value]
    assert [value.tag for value in values[:2]] == [
        "_hparams_/session_start_info",
        "_hparams_/session_end_info",
    ]
    assert b"annealing" in values[0].metadata.plugin_data.content
    scalars = {value.tag: value.simple_value for value in values[2:]}
    assert {"test/score", "validation/score", "test/gain_over_empty"} <= scalars.keys()

    stamps = {path: path.stat().st_mtime_ns for path in first}
    annealed.unlink()
    (tmp_path / FOLDER / "sweep" / FILE).write_bytes(b"half")
    again = _written(plan, tmp_path)
    assert again == first
    same = [path for path in first if path.stat().st_mtime_ns == stamps[path]]
    assert len(same) == len(first) - 2


def test_a_run_by_another_name_moves(tmp_path: Path) -> None:
    plan = plan_of(tracking=["tensorboard"])
    fill(Ledger(tmp_path), plan.cells)
    first = _written(plan, tmp_path)
    place = next(path.parent for path in first if path.parent.parent.name == "result")
    place.rename(place.with_name(f"an older name {place.name.rpartition(' ')[2]}"))
    assert _written(plan, tmp_path) == first


@pytest.mark.slow
def test_tensorboard_reads_them(tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    plan = plan_of(tracking=["tensorboard"])
    fill(Ledger(tmp_path), plan.cells)
    for path in _written(plan, tmp_path):
        found = reader.EventAccumulator(str(path.parent)).Reload()
        if path.parent.parent.name == "result":
            (score,) = found.Scalars("test/score")
            assert 0 <= score.value <= 1 and score.step == 0
            begin = found.summary_metadata["_hparams_/session_start_info"]
            assert begin.plugin_data.plugin_name == "hparams"
