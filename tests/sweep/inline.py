"""Packs in this process instead of Ray's workers: the whole runner, in milliseconds."""

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sweep.engine.outcomes import Outcomes
from sweep.engine.progress import ProgressLine
from sweep.engine.trials import TrialOptions, TrialQueue
from sweep.planning.agenda import Agenda
from sweep.spec.resources import settle
from sweep.spec.spec import Resources
from trainables.tune import run_once


class _Method:
    def __init__(self, action: Callable[..., Any]) -> None:
        self._action = action

    def remote(self, *arguments: Any) -> Any:
        return self._action(*arguments)


class InlineBroker:
    """Stands where the broker's handle stands; hands out copies, as a wire does."""

    def __init__(self) -> None:
        from sweep.engine.broker import Broker

        self._broker = Broker()

    def __getattr__(self, name: str) -> _Method:
        action = getattr(self._broker, name)
        return _Method(lambda *some: pickle.loads(pickle.dumps(action(*some))))


def run_packs(
    agenda: Agenda,
    outcomes: Outcomes,
    line: ProgressLine,
    options: TrialOptions,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Stands in for :func:`sweep.engine.trials.run_packs`: one pack after the other."""
    broker = InlineBroker()
    queue = TrialQueue(agenda, outcomes, broker, {}, 1)
    number = 0
    while True:
        config = queue.suggest(str(number))
        if queue.error is not None:
            raise queue.error
        if not isinstance(config, dict):
            assert config == "FINISHED"
            return
        inputs = broker.payload.remote(config["pack"])
        outcome = run_once(inputs, options.executor, "cpu", 1)
        broker.deliver.remote(config["pack"], outcome)
        queue.on_trial_complete(str(number))
        if queue.error is not None:
            raise queue.error
        number += 1


@pytest.fixture
def inline(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner works without Ray's processes."""
    scratch = tmp_path_factory.mktemp("scratch")

    @contextmanager
    def session(address: str | None, resources: Resources) -> Iterator[Path]:
        yield scratch

    monkeypatch.setattr("sweep.engine.runner.ray_session", session)
    monkeypatch.setattr(
        "sweep.engine.runner.share_of", lambda resources: settle(resources, [{"CPU": 1}])
    )
    monkeypatch.setattr("sweep.engine.trials.run_packs", run_packs)
    monkeypatch.setattr("sweep.engine.trials.room_for", lambda resources, most: 1)
    monkeypatch.setattr("sweep.engine.trials.ray.get", lambda value, timeout=None: value)
