"""What running packs as trials does to the process around."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sweep.engine import trials
from sweep.engine.outcomes import Outcomes
from sweep.engine.trials import NODE_LOSSES, WORKER_DEATHS, TrialQueue
from sweep.ledger.ledger import Ledger
from sweep.planning.agenda import Agenda
from tests.sweep.inline import InlineBroker
from tests.sweep.samples import plan_of
from trainables.errors import InputError

CODE = """
import sys
from sweep.engine.trials import unloaded_trackers

name = "ray.air.integrations.wandb"
with unloaded_trackers():
    from ray.air.integrations.wandb import WandbLoggerCallback
    print("wandb" in sys.modules)
print(name in sys.modules, "wandb" in sys.modules)
sys.modules["wandb"] = sys.modules["json"]
with unloaded_trackers():
    print(sys.modules["wandb"] is sys.modules["json"])
"""


@pytest.mark.slow
def test_tune_does_not_load_a_tracker_that_nobody_asked_for() -> None:
    found = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False", "False", "True"]


def _queue(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[TrialQueue, InlineBroker]:
    """A queue in which one pack at a time is out, on nodes of which ``here`` alone is up."""
    nodes = [{"NodeID": "here", "Alive": True}, {"NodeID": "gone", "Alive": False}]
    stand_in = SimpleNamespace(get=lambda value, timeout=None: value, nodes=lambda: nodes)
    monkeypatch.setattr(trials, "ray", stand_in)
    outcomes, broker = Outcomes(Ledger(folder, {})), InlineBroker()
    packs = [pack for pack in plan_of().packs if not pack.needs][:1]
    agenda = Agenda(packs, set(), outcomes.refuse)
    return TrialQueue(agenda, outcomes, broker, {}, 1), broker


@pytest.mark.parametrize(
    ("node", "most", "attempts", "said"),
    [
        ("here", WORKER_DEATHS, [1, 2, 3], "its worker process was killed (3 times)"),
        ("", WORKER_DEATHS, [1, 2, 3], "its worker process was killed (3 times)"),
        ("gone", NODE_LOSSES, [1] * 21, "its node was lost (21 times)"),
        ("taken away", NODE_LOSSES, [1] * 21, "its node was lost (21 times)"),
    ],
)
def test_the_loss_of_a_node_is_no_death_of_the_pack(
    node: str,
    most: int,
    attempts: list[int],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is begun again with all of its memory, and given up only after many."""
    queue, broker = _queue(tmp_path, monkeypatch)
    found = []
    for number in range(most + 1):
        config = queue.suggest(str(number))
        assert isinstance(config, dict)
        found.append(broker.payload.remote(config["pack"], node)["attempt"])
        queue.on_trial_complete(str(number))
        queue.note_death(str(number), "was killed")
        queue.note_death(str(number), "was killed")  # Tune may tell it twice
    assert queue.suggest("last") == "FINISHED"
    assert queue.error is None
    assert found == attempts
    assert set(queue.outcomes.failures.values()) == {said}


def test_what_no_pack_can_do_better_ends_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker without the GPU it was given: nothing is written as failed."""
    queue, broker = _queue(tmp_path, monkeypatch)
    config = queue.suggest("one")
    assert isinstance(config, dict)
    failure = {"error": "resources.gpu: none", "traceback": "", "ends": True}
    broker.deliver.remote(config["pack"], failure)
    queue.on_trial_complete("one")
    assert isinstance(queue.error, InputError)
    assert str(queue.error) == "resources.gpu: none"
    assert queue.suggest("two") == "FINISHED"
    assert queue.outcomes.failures == {}
