"""From records to runs: which can be written by now, and with what.

Pure bookkeeping. Every cell has a run: what is scored on a target (carried prompts, rows without a
tuned prompt, row Direct) is a result; a prompt on its own source, and what it has to beat there, is
a run of its own kind. A run waits for the score without a prompt on its model and task, which its
gain needs; it does not wait for row Direct, whose tunings may take long: the share of the gap
recovered is added to the run of a result once they are all there.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sweep.ledger.ledger import Record
from sweep.planning.plan import DIRECT_ROWS
from sweep.tracking.facts import Dataset, Facts, Level, direct_place, reference_place
from sweep.tracking.schema import (
    COMMIT,
    Tuned,
    run_metrics,
    run_name,
    run_params,
    run_tags,
    tuning_label,
    way_name,
)
from sweep.tracking.summary import Summary
from trainables.core.cells import content_hash
from trainables.core.settings import family_of
from trainables.core.weight import Weight

SWEEP, PACK, POINT, RESULT, SOURCE = "sweep", "pack", "point", "result", "source"

FORMAT = "promptsweep_format"
"""Tag of a sweep's run: by what names its runs have their metrics; 0.1 had no such tag."""

CurvePoint = tuple[str, float, int]
"""Metric, value and step."""


@dataclass(frozen=True)
class RunData:
    """One MLflow run as it is to be.

    Attributes:
        key: what no other run of the sweep has: a cell's id, a group's, or the sweep's.
        kind: :data:`SWEEP`, a group's kind, :data:`RESULT` or :data:`SOURCE`.
        name: shown in lists.
        parent: key of the run above; None for the sweep's.
        began: start, in ms since 1970.
        ended: end, likewise; also the metrics' time.
        params: parameters.
        metrics: metrics at step 0.
        tags: further tags.
        points: metrics with steps: training curves.
        dataset: the task's.
        record: the cell's record, where it is a cell's run.
    """

    key: str
    kind: str
    name: str
    parent: str | None
    began: int
    ended: int
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    points: tuple[CurvePoint, ...] = ()
    dataset: Dataset | None = None
    record: Record | None = None


@dataclass(frozen=True)
class Group:
    """What stands between the sweep and its results.

    Attributes:
        key: the same for all its results.
        kind: of the run: :data:`PACK`, or ``point`` for a point of a search.
        name: shown in lists.
    """

    key: str
    kind: str
    name: str


Grouping = Callable[[Record, tuple[Tuned, ...]], Group | None]
"""From a record and the prompts that it was carried from (a tuning itself) to its group.

None where its run stands below the sweep's own."""


def by_pack(record: Record, tuned: tuple[Tuned, ...]) -> Group | None:
    """The pack that has computed it; rows without a tuned prompt come from any."""
    cell, pack = record["cell"], record["pack"]
    if cell["kind"] == "reference":
        return None
    here = bool(tuned) and tuned[0].pack == pack
    what = f"tune {'+'.join(cell['sources'])}" if here else f"carry to {cell['target']}"
    return Group(pack, PACK, f"{what}, {cell['task']}, {cell['method']}")


def by_point(record: Record, tuned: tuple[Tuned, ...]) -> Group | None:
    """The point of a search: what was chosen, over all its tasks, targets and seeds."""
    cell = record["cell"]
    if cell["kind"] != "transfer":  # what is tuned alone may belong to several points
        return None
    settings = dict(tuned[0].settings if tuned else cell["settings"])
    judges = cell.get("counterparts", []) if family_of(cell["method"]) == "hard" else []
    names = [*cell["sources"], *judges]
    key = content_hash([cell["method"], names, Weight.in_cell(cell).label, settings])
    return Group(key, POINT, f"{cell['method']} {'+'.join(names)} {key[:6]}")


def grouping_of(facts: Facts) -> Grouping:
    """What stands between a sweep and its results: points of a search, packs of a grid."""
    return by_point if facts.searched else by_pack


@dataclass
class _Members:
    """What is known of a group."""

    group: Group | None = None
    began: int = 0
    ended: int = 0
    task: str = ""
    cost: Mapping[str, float] = field(default_factory=dict)
    packs: set[str] = field(default_factory=set)
    changed: bool = True


_Curves = dict[tuple[str, int], list[float]]
"""Per name and step the values of all tunings that share the name: seeds and models."""


class View:
    """The runs that a sweep's records stand for.

    Attributes:
        facts: about the sweep.
        summary: what the sweep's own run says.
    """

    def __init__(self, facts: Facts, grouping: Grouping = by_pack) -> None:
        """Nothing is known yet.

        Args:
            grouping: what stands between the sweep and its results.
        """
        self.facts = facts
        self._grouping = grouping
        self._empty: dict[Level, float] = {}
        self._direct: dict[Level, dict[str, float]] = {}
        self._tuned: dict[str, Tuned] = {}
        self._groups: dict[str, _Members] = {}
        self._curves: dict[str, _Curves] = {}
        self._open: dict[str, Record] = {}
        self._written: dict[str, int] = {}
        self.summary = Summary()

    @property
    def behind(self) -> int:
        """Cells whose run has not been written at all."""
        return len(self._open.keys() - self._written.keys())

    def learn(self, record: Record) -> None:
        cell = record["cell"]
        self._open[record["id"]] = record
        self.summary.count(record)
        if cell["kind"] == "reference":
            self._empty[reference_place(cell["row"], cell)] = record["result"]["score"]
        elif cell["kind"] == "source":
            self._tuned[record["id"]] = Tuned.of(record)
            if self._is_direct(cell):
                place = direct_place(cell, cell["settings"])
                self._direct.setdefault(place, {})[record["id"]] = record["result"]["score"]
            self._add_curve(record)

    def due(self, final: bool = False) -> Iterator[RunData]:
        """Runs to write now, groups before their results.

        Args:
            final: leave nothing waiting: what is not known is left out.
        """
        ready = [
            (record, metrics)
            for record, metrics in self._measured()
            if len(metrics) > self._written.get(record["id"], 0)
            and (final or self._without_prompt(record) is not None)
        ]
        for record, metrics in ready:
            if self._on_target(record["cell"]):
                way = way_name(record["cell"], self._is_direct(record["cell"]))
                self.summary.score(record, way, metrics)
        groups = {record["id"]: self._join(record) for record, _ in ready}
        for members in self._groups.values():
            if members.group is not None and members.changed:
                yield self._group_run(members)
        for record, metrics in ready:
            yield self._result_run(record, metrics, groups[record["id"]])

    def settle(self, run: RunData) -> None:
        if run.record is not None:
            self._written[run.key] = len(run.metrics)
            record = self._open[run.key]
            if self._complete(record):
                del self._open[run.key]
        elif run.key in self._groups:
            self._groups[run.key].changed = False

    def drop(self, run: RunData) -> None:
        """Give a run up: the server does not want it."""
        self._open.pop(run.key, None)
        if run.key in self._groups:
            self._groups[run.key].changed = False

    def _measured(self) -> Iterator[tuple[Record, dict[str, float]]]:
        for record in self._open.values():
            empty = self._without_prompt(record)
            yield record, run_metrics(record, self._inputs(record), empty, self._level(record))

    def _inputs(self, record: Record) -> tuple[Tuned, ...]:
        return tuple(self._tuned[name] for name in record["cell"]["inputs"] if name in self._tuned)

    def _behind_it(self, record: Record) -> tuple[Tuned, ...]:
        """The prompts it was carried from; of a tuning, itself."""
        if record["cell"]["kind"] == "source":
            return (self._tuned[record["id"]],)
        return self._inputs(record)

    def _complete(self, record: Record) -> bool:
        """Whether nothing can be added to its run any more."""
        direct = not self._has_gap(record["cell"]) or self._level(record) is not None
        return direct and self._without_prompt(record) is not None

    def _on_target(self, cell: Mapping[str, Any]) -> bool:
        """Whether it says something about a target: a prompt on its own source does not."""
        if cell["kind"] == "reference":
            return cell["target"] in self.facts.targets
        return cell["kind"] == "transfer" or self._is_direct(cell)

    def _is_direct(self, cell: Mapping[str, Any]) -> bool:
        tuned_alone = cell["kind"] == "source" and cell["row"] in DIRECT_ROWS
        return tuned_alone and self._has_direct(cell)

    def _has_gap(self, cell: Mapping[str, Any]) -> bool:
        return self._on_target(cell) and self._has_direct(cell)

    def _without_prompt(self, record: Record) -> float | None:
        """What its gain is over: row Empty; Manual for hard prompts that have the template."""
        cell = record["cell"]
        templated = family_of(cell["method"]) == "hard" and cell["settings"].get("template")
        row = "manual" if templated else "empty"
        return self._empty.get(reference_place(row, cell))

    def _level(self, record: Record) -> float | None:
        """Row Direct of its place, once every planned tuning is there: it would still move."""
        if not self._has_gap(record["cell"]):
            return None
        scores = self._direct.get(self._place(record), {})
        if len(scores) < self.facts.seeds:
            return None
        return sum(scores[name] for name in sorted(scores)) / len(scores)

    def _has_direct(self, cell: Mapping[str, Any]) -> bool:
        return cell["target"] in self.facts.direct.get(cell["method"], ())

    def _place(self, record: Record) -> Level:
        tuned = self._inputs(record)
        own: Mapping[str, Any] = record["cell"]["settings"]
        place = direct_place(record["cell"], tuned[0].settings if tuned else own)
        # What was carried from nowhere has no settings of a tuning: the only Direct there is its.
        there = [] if tuned else [other for other in self._direct if other[:-1] == place[:-1]]
        return there[0] if len(there) == 1 else place

    def _join(self, record: Record) -> Group | None:
        group = self._grouping(record, self._behind_it(record))
        if group is None:
            return None
        members = self._groups.setdefault(group.key, _Members())
        members.packs.add(record["pack"])
        ended = milliseconds(record["finished"])
        if members.group is None or ended > members.ended:
            seconds = float(record["cost"].get("seconds") or 0.0)
            members.group, members.changed = members.group or group, True
            members.began = min(members.began or ended, ended - int(1000 * seconds))
            members.ended, members.task = ended, record["cell"]["task"]
            members.cost = {
                f"cost/{name}": float(value)
                for name, value in record["cost"].items()
                if isinstance(value, int | float)
            }
        return group

    def _add_curve(self, record: Record) -> None:
        curves = self._curves.setdefault(record["pack"], {})
        label = tuning_label(record["cell"])
        for line in record["result"].get("curve") or ():
            for name, value in line.items():
                if name != "step" and isinstance(value, int | float):
                    curves.setdefault((f"{name}/{label}", int(line["step"])), []).append(value)

    def _group_run(self, members: _Members) -> RunData:
        assert members.group is not None
        return RunData(
            key=members.group.key,
            kind=members.group.kind,
            name=members.group.name,
            parent=SWEEP,
            began=members.began,
            ended=members.ended,
            metrics=members.cost,
            points=tuple(
                (name, sum(values) / len(values), step)
                for pack in sorted(members.packs)
                for (name, step), values in sorted(self._curves.get(pack, {}).items())
            ),
            dataset=self.facts.datasets.get(members.task),
        )

    def _result_run(
        self, record: Record, metrics: Mapping[str, float], group: Group | None
    ) -> RunData:
        facts, cell, direct = self.facts, record["cell"], self._is_direct(record["cell"])
        tuned = self._behind_it(record)
        params = run_params(record, tuned, facts.sources, facts.names, facts.varied, direct)
        ended = milliseconds(record["finished"])
        result = record["result"]
        seconds = float(result.get("transfer_seconds") or result.get("train_seconds") or 0.0)
        return RunData(
            key=record["id"],
            kind=RESULT if self._on_target(cell) else SOURCE,
            name=run_name(cell, params, facts.named),
            parent=SWEEP if group is None else group.key,
            began=ended - int(1000 * seconds),
            ended=ended,
            params=params,
            metrics=metrics,
            tags=run_tags(record, facts.models, facts.names, direct),
            record=record,
        )


def sweep_run(facts: Facts, began: int, versions: Mapping[str, Any]) -> RunData:
    tags = {"mlflow.note.content": facts.description, FORMAT: "2"}
    tags["mlflow.source.git.commit"] = str(versions.get(COMMIT, ""))
    return RunData(
        key=SWEEP,
        kind=SWEEP,
        name=facts.name,
        parent=None,
        began=began,
        ended=began,
        tags={name: text for name, text in tags.items() if text},
    )


def milliseconds(moment: str) -> int:
    """ISO 8601 as ms since 1970."""
    return int(datetime.fromisoformat(moment).timestamp() * 1000)
