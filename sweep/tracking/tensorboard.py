"""Runs as TensorBoard's event files: a folder each, with its parameters for the page HParams.

A file holds one run, whole, and depends on nothing but the run: what is there with the same bytes
is left alone, so nothing is written twice, however often a sweep is begun again.
"""

import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sweep.tracking.facts import Place
from sweep.tracking.view import SWEEP, RunData
from trainables.files.atomic import replace_file

FOLDER = "tensorboard"
FILE = "events.out.tfevents.promptsweep"
_KEY = 8
_LONGEST = 180
_ODD = re.compile(r"[^\w+=,. -]", re.ASCII)


class TensorBoardTracker:
    """TensorBoard as a :class:`sweep.tracking.sink.Tracker`: files in the sweep's folder."""

    def __init__(self, place: Place) -> None:
        """Nothing is written yet."""
        self._folder = place.folder / FOLDER

    @property
    def where(self) -> str:
        return str(self._folder)

    @property
    def shown(self) -> str:
        return f"tensorboard --logdir {self._folder}"

    def prepare(self) -> None:
        # As with MLflow: Ray imports it too, and not in two threads at once.
        import tensorboardX  # noqa: F401

    def open(self, parent: RunData) -> "EventWriter":
        return EventWriter(self._folder, parent)

    def close(self) -> None:
        """Nothing is held."""


class EventWriter:
    """Writes the event file of each run.

    A run's folder is known by the key at the end of its name: it goes by the name that the run has
    now.
    """

    def __init__(self, folder: Path, parent: RunData) -> None:
        """List the runs that are there."""
        self._folder = folder
        self._parent = parent
        self._known = {path.name.rpartition(" ")[2]: path for path in folder.glob("*/*")}

    def write(self, runs: Sequence[RunData], done: Callable[[RunData], None]) -> None:
        for run in runs:
            self._write(run, self._place(run), run.metrics)
            done(run)

    def end(self, status: str, summary: Mapping[str, float]) -> None:
        self._write(self._parent, self._folder / SWEEP, summary)

    def tidy(self) -> None:
        """A file is there whole or not at all."""

    def _place(self, run: RunData) -> Path:
        key = run.key[:_KEY]
        name = _ODD.sub("_", run.name.replace("λ", "lambda").replace("/", "-"))
        place = self._folder / run.kind / f"{name[:_LONGEST]} {key}"
        known = self._known.get(key)
        if known is not None and known != place:
            place.parent.mkdir(parents=True, exist_ok=True)
            known.replace(place)
        self._known[key] = place
        return place

    def _write(self, run: RunData, place: Path, metrics: Mapping[str, float]) -> None:
        content = b"".join(map(_record, events(run, metrics)))
        file = place / FILE
        if not file.is_file() or file.read_bytes() != content:
            place.mkdir(parents=True, exist_ok=True)
            replace_file(file, content)


def events(run: RunData, metrics: Mapping[str, float]) -> Iterator[bytes]:
    """The events of a run's file: parameters, curves with their steps, and metrics at step 0."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary

    seconds = run.ended / 1000

    def event(**content: Any) -> bytes:
        return bytes(Event(wall_time=seconds, **content).SerializeToString(deterministic=True))

    yield event(file_version="brain.Event:2")
    for tag, metadata in _session(run) if run.params else ():
        yield event(summary=Summary(value=[Summary.Value(tag=tag, metadata=metadata)]))
    for name, value, step in (*run.points, *((name, value, 0) for name, value in metrics.items())):
        yield event(summary=Summary(value=[Summary.Value(tag=name, simple_value=value)]), step=step)


def _session(run: RunData) -> Iterator[tuple[str, Any]]:
    """Tags and metadata that make a run a line of the page HParams.

    tensorboardX has a function for them, but it writes parameters in another order each time, and
    says in each run what the parameters and metrics of all runs are.
    """
    from tensorboardX.proto.api_pb2 import Status
    from tensorboardX.proto.plugin_hparams_pb2 import (
        HParamsPluginData,
        SessionEndInfo,
        SessionStartInfo,
    )
    from tensorboardX.proto.summary_pb2 import SummaryMetadata

    begin = SessionStartInfo(group_name=run.name, start_time_secs=run.began / 1000)
    for name, text in run.params.items():
        try:
            begin.hparams[name].number_value = float(text)
        except ValueError:
            begin.hparams[name].string_value = text
    success = Status.Value("STATUS_SUCCESS")
    end = SessionEndInfo(status=success, end_time_secs=run.ended / 1000)
    for what, data in (
        ("session_start_info", HParamsPluginData(session_start_info=begin)),
        ("session_end_info", HParamsPluginData(session_end_info=end)),
    ):
        content = data.SerializeToString(deterministic=True)
        plugin = SummaryMetadata.PluginData(plugin_name="hparams", content=content)
        yield f"_hparams_/{what}", SummaryMetadata(plugin_data=plugin)


def _record(content: bytes) -> bytes:
    """One record of a TFRecord file: length, content, and a checksum of each."""
    from tensorboardX.crc32c import crc32c

    def masked(data: bytes) -> bytes:
        sum_ = crc32c(data)
        return struct.pack("<I", (((sum_ >> 15) | (sum_ << 17)) + 0xA282EAD8) & 0xFFFFFFFF)

    length = struct.pack("<Q", len(content))
    return length + masked(length) + content + masked(content)
