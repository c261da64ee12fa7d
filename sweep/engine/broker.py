"""Where packs and their outcomes change hands between the driver and the workers.

One actor beside the driver holds, per pack, what a worker needs and what it gave back. Ray Tune
sees nothing but names, so that its state stays small, and workers need no shared disk.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

NAMESPACE = "promptsweep"


@dataclass
class Broker:
    """Holds payloads and outcomes by pack id; all methods are quick.

    A pack's *payload* is ``{"pack": JSON, "prompts": {cell id: array}}``, its *outcome* is what
    :func:`trainables.tune.run_once` returns.
    """

    _payloads: dict[str, dict[str, Any]] = field(default_factory=dict)
    _outcomes: dict[str, dict[str, Any]] = field(default_factory=dict)
    _progress: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    _reports: list[tuple[str, int, dict[str, float]]] = field(default_factory=list)
    _stopping: dict[str, set[str]] = field(default_factory=dict)
    _attempts: Counter[str] = field(default_factory=Counter)
    _nodes: dict[str, str] = field(default_factory=dict)

    def offer(self, pack_id: str, payload: dict[str, Any]) -> None:
        """The driver lays down a pack; it stays, for a worker may die and another take over."""
        self._payloads[pack_id] = payload

    def payload(self, pack_id: str, node: str = "") -> dict[str, Any]:
        """A worker fetches a pack. ``attempt`` counts from 1: above 1 an earlier worker died.

        Args:
            node: Ray's id of the worker's node.
        """
        self._progress[pack_id] = ("start", 0, 1)
        self._nodes[pack_id] = node
        self._attempts[pack_id] += 1
        return {**self._payloads[pack_id], "attempt": self._attempts[pack_id]}

    def set_progress(self, pack_id: str, phase: str, done: int, total: int) -> None:
        """A worker says how far it is."""
        self._progress[pack_id] = (phase, done, total)

    def progress(self) -> dict[str, tuple[str, int, int]]:
        return dict(self._progress)

    def deliver(self, pack_id: str, outcome: dict[str, Any]) -> None:
        self._outcomes[pack_id] = outcome

    def report(self, pack_id: str, step: int, scores: dict[str, float]) -> None:
        """A worker says how its cells in training do: validation metric so far by cell id."""
        self._reports.append((pack_id, step, dict(scores)))

    def stopping(self, pack_id: str) -> set[str]:
        """A worker asks which cells' training is to stop."""
        return set(self._stopping.get(pack_id, ()))

    def reports(self) -> list[tuple[str, int, dict[str, float]]]:
        """The driver fetches all reports since the last time: pack id, step, score by cell id."""
        found, self._reports = self._reports, []
        return found

    def stop(self, pack_id: str, cell_ids: Collection[str]) -> None:
        """The driver asks that the training of some cells stops; the worker hears it at a rung."""
        if pack_id in self._payloads:
            self._stopping.setdefault(pack_id, set()).update(cell_ids)

    def take(self, pack_id: str) -> dict[str, Any] | None:
        """The driver fetches an outcome; of a pack without one, its attempts are remembered."""
        self._payloads.pop(pack_id, None)
        self._progress.pop(pack_id, None)
        self._stopping.pop(pack_id, None)
        if pack_id in self._outcomes:
            self._attempts.pop(pack_id, None)
            self._nodes.pop(pack_id, None)
        return self._outcomes.pop(pack_id, None)

    def node_of(self, pack_id: str) -> str:
        """The driver asks where a pack was last; empty where no worker has fetched it."""
        return self._nodes.get(pack_id, "")

    def excuse(self, pack_id: str) -> None:
        """The driver says that the last attempt was not the pack's fault."""
        self._attempts[pack_id] -= 1


def start_broker(name: str) -> Any:
    """A broker actor on the driver's node, found by ``name`` in :data:`NAMESPACE`."""
    return start_beside_driver(Broker, name)


def start_beside_driver(kind: type, name: str) -> Any:
    """An actor on the driver's node, found by ``name`` in :data:`NAMESPACE`."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = ray.get_runtime_context().get_node_id()
    return (
        ray.remote(kind)
        .options(
            name=name,
            namespace=NAMESPACE,
            num_cpus=0,
            max_restarts=0,
            # A soft wish is not heard for an actor without resources: it would lie on any node,
            # and with that node the sweep would die.
            scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=False),
        )
        .remote()
    )
