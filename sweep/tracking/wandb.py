"""Runs for Weights & Biases: a process of its own writes them, which can be ended at any time.

Its client talks to a server of its own making, waits where there is no network, and may wait on
when a program ends. None of that shall hold a sweep up.
"""

import json
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweep.process.caretaker import caretaker
from sweep.process.setup import child_command, child_environment
from sweep.tracking.facts import Facts, Place
from sweep.tracking.view import SWEEP, RunData
from trainables.core.cells import content_hash
from trainables.packs.records import canonical, parsed

FOLDER = "wandb"
"""Where the client keeps its files, in the sweep's folder."""
OFFLINE = "offline-run-*"
"""Folders there, one for each run that was not uploaded."""
WRITTEN = "promptsweep.jsonl"
"""File there: the runs that were written, a line each."""
BEGIN_PATIENCE, PATIENCE = 60.0, 40.0
"""Seconds that the process may take to begin, and for one run."""
FOREIGN = (
    *("WANDB_RUN_ID", "WANDB_RESUME", "WANDB_NAME", "WANDB_RUN_GROUP", "WANDB_JOB_TYPE"),
    *("WANDB_SWEEP_ID", "WANDB_NOTES", "WANDB_DIR"),
)
"""Variables that make every run another program's; project, entity, mode and key are the user's."""


class WandbTracker:
    """Weights & Biases as a :class:`sweep.tracking.sink.Tracker`."""

    def __init__(self, place: Place) -> None:
        """Nothing is started yet."""
        self._folder, self._facts = place.folder, place.facts
        self._writer: WandbWriter | None = None
        self._said = ""

    @property
    def where(self) -> str:
        if self._said:
            return self._said
        files = self._folder / FOLDER / OFFLINE
        if any(not any(path.glob("*.synced")) for path in files.parent.glob(OFFLINE)):
            return f"{files}, offline; wandb sync {files} uploads them"
        return f"project {project_of(self._facts)}"

    @property
    def shown(self) -> str:
        return self.where

    def prepare(self) -> None:
        """Nothing: the process is started where it is needed."""

    def open(self, parent: RunData) -> "WandbWriter":
        self.close()
        self._writer = WandbWriter(self._folder, self._facts, parent, self._say)
        return self._writer

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _say(self, where: str) -> None:
        self._said = where


class WandbWriter:
    """Has a process write runs one after the other, and remembers which it has written.

    What stands between the sweep and its results is written at the end: its curves are whole by
    then, and Weights & Biases takes no step twice.
    """

    def __init__(
        self, folder: Path, facts: Facts, parent: RunData, say: Callable[[str], None]
    ) -> None:
        """Start the process.

        Args:
            say: told where the runs are, as soon as that is known.
        """
        self._facts, self._parent, self._say = facts, parent, say
        self._groups: dict[str, tuple[RunData, Callable[[RunData], None]]] = {}
        self._place = folder / FOLDER
        self._place.mkdir(parents=True, exist_ok=True)
        self._written = _read_written(self._place / WRITTEN, self._target)
        self._folder, self._offline = folder, False
        self._child = self._begin("")

    def write(self, runs: Sequence[RunData], done: Callable[[RunData], None]) -> None:
        for run in runs:
            if run.record is None:
                self._groups[run.key] = (run, done)
            else:
                self._write(run, self._group_of(run))
                done(run)

    def end(self, status: str, summary: Mapping[str, float]) -> None:
        for run, done in self._groups.values():
            self._write(run, run.name)
            done(run)
        self._groups.clear()
        self._write(replace(self._parent, metrics=summary), None, status != "FINISHED")

    def tidy(self) -> None:
        """A run has one id, however often it is written."""

    def close(self) -> None:
        self._child.close()

    def _begin(self, offline: str) -> "_Child":
        return _Child(self._folder, project_of(self._facts), offline)

    def _ask(self, asked: Mapping[str, Any]) -> str:
        """Where the runs are.

        Where the first try fails or hangs (no key, no network), it is ended, and all that follows
        is written without a network: a try costs seconds, and there may be thousands of runs.
        """
        try:
            return self._child.ask(asked)
        except OSError as error:
            if self._offline:
                raise
            self._offline = True
            self._child = self._begin(str(error))
            return self._child.ask(asked)

    @property
    def _target(self) -> list[str]:
        names = ("WANDB_BASE_URL", "WANDB_ENTITY")
        return [*(os.environ.get(name, "") for name in names), project_of(self._facts)]

    def _group_of(self, run: RunData) -> str | None:
        known = self._groups.get(run.parent or "")
        return known[0].name if known else None

    def _write(self, run: RunData, group: str | None, failed: bool = False) -> None:
        asked = self._question(run, group, failed)
        digest = content_hash(asked)
        if self._written.get(run.key) == digest:
            return
        self._say(self._ask(asked))
        line = canonical({"key": run.key, "digest": digest, "target": self._target})
        with (self._place / WRITTEN).open("ab") as file:
            file.write(b"\n" + line + b"\n")  # what a kill has left of a line stands alone
        self._written[run.key] = digest

    def _question(self, run: RunData, group: str | None, failed: bool) -> dict[str, Any]:
        facts = self._facts
        config: dict[str, Any] = {name: _number(text) for name, text in run.params.items()}
        tags = {name: text for name, text in run.tags.items() if not name.startswith("mlflow.")}
        if run.key == SWEEP:
            config = {"spec": facts.spec, "description": facts.description}
        elif tags:
            config["origin"] = tags
        by_step: dict[int, dict[str, float]] = {}
        for name, value, step in run.points:
            by_step.setdefault(step, {})[name] = value
        return {
            "id": content_hash([facts.spec_hash, run.key]),
            "name": run.name,
            "group": group,
            "kind": run.kind,
            "config": config | {"sweep": facts.name, "spec_hash": facts.spec_hash},
            "history": [[step, by_step[step]] for step in sorted(by_step)],
            "summary": dict(run.metrics),
            "failed": failed,
        }


class _Child:
    """The process that has the client."""

    def __init__(self, folder: Path, project: str, offline: str) -> None:
        """Start it, and wait until it has imported its client.

        Args:
            offline: why no network is to be tried; empty to try.
        """
        environment = {n: v for n, v in child_environment().items() if n not in FOREIGN}
        environment.setdefault("WANDB_ERROR_REPORTING", "false")  # its own errors to its makers
        arguments = [str(folder.resolve()), project, offline]
        self._process = subprocess.Popen(
            [*child_command("sweep.tracking.wandb_worker"), *arguments],
            env=environment,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the driver
        )
        self._stack = ExitStack()
        self._stack.enter_context(caretaker(group=self._process.pid))
        self._rest = b""
        try:
            self._answer(BEGIN_PATIENCE)
        except BaseException:
            self.close()
            raise

    def ask(self, question: Mapping[str, Any]) -> str:
        """Have one run written; where the runs are.

        Raises:
            OSError: it does not answer in time, has ended, or could not write the run.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
            return self._answer(PATIENCE)
        except OSError:
            self.close()  # a late answer must not be taken for another's
            raise

    def close(self) -> None:
        self._stack.close()
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()

    def _answer(self, patience: float) -> str:
        stream = self._process.stdout
        assert stream is not None
        until = time.monotonic() + patience
        with selectors.DefaultSelector() as selector:
            selector.register(stream, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                left = until - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise TimeoutError(f"no answer for {patience:.0f} s")
                if not (found := os.read(stream.fileno(), 1 << 16)):
                    raise ConnectionError("its process has ended")
                self._rest += found
        line, self._rest = self._rest.split(b"\n", 1)
        answer = json.loads(line)
        if "error" in answer:
            raise ConnectionError(answer["error"])
        return str(answer["where"])


def project_of(facts: Facts) -> str:
    """The variable WANDB_PROJECT, or the sweep's name."""
    return os.environ.get("WANDB_PROJECT") or facts.name


def _read_written(path: Path, target: list[str]) -> dict[str, str]:
    """By key, the digest of what was written to this place."""
    found = {}
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        try:
            entry = parsed(line)
            if entry["target"] == target:
                found[entry["key"]] = entry["digest"]
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
