import subprocess
import sys

import pytest

from sweep.process.setup import child_environment

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(200)]

DROPPED_ELSEWHERE = """
import gc, threading, time
import ray
from sweep.engine.cluster import ray_session
from sweep.spec.spec import Resources

class Circle:
    pass

def leave_garbage():
    while references:
        circle = Circle()
        circle.itself, circle.reference = circle, references.pop()
        del circle
        time.sleep(0.001)

with ray_session(None, Resources(cpu=1)):
    references = [ray.put(number) for number in range(4000)]
    gc.set_threshold(1)  # any thread collects garbage at every turn
    threading.Thread(target=leave_garbage, daemon=True).start()
left = len(references)
assert 0 < left < 4000, left
references.clear()
gc.collect()
print("alive")
"""


def test_garbage_of_another_thread_does_not_end_the_process():
    """Where its references went while Ray goes down, Ray ended the process without a word."""
    found = subprocess.run(
        [sys.executable, "-c", DROPPED_ELSEWHERE],
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert (found.returncode, found.stdout.strip()) == (0, "alive"), found.stderr[-2000:]
