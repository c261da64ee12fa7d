"""How fast this machine is right now, for tests that bound a time.

A virtual machine's cores change their speed with what its neighbours do. A bound that holds on a
quiet machine is multiplied by how much longer a fixed piece of work takes here and now.
"""

import hashlib
import json
import time

QUIET = 0.21
"""Seconds of processor time of :func:`_work` on a quiet core of the machine the bounds are from."""


def _work() -> None:
    """What reading and planning sweeps is made of: JSON, dictionaries, sorting, digests."""
    rows = [{"id": f"{number:06d}", "values": [number * 0.5] * 12} for number in range(4000)]
    for _ in range(6):
        text = json.dumps(rows, sort_keys=True)
        found = {row["id"]: row["values"] for row in json.loads(text)}
        sorted(found, key=lambda name: found[name][0] % 7)
        hashlib.sha256(text.encode()).hexdigest()


def slowness() -> float:
    """At least 1: how many times the bound of a quiet machine is fair now; the slowest of three."""
    spent = []
    for _ in range(3):
        began = time.process_time()
        _work()
        spent.append(time.process_time() - began)
    return max(1.0, max(spent) / QUIET)
