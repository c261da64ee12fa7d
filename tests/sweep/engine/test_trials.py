"""What running packs as trials does to the process around."""

import subprocess
import sys

import pytest

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
