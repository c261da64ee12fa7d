"""Measures: what a search may make large or small, read from the records of a point's cells.

All scores are those of validation splits: test labels choose nothing.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trainables.core.registry import Registry

Record = Mapping[str, Any]
Read = Callable[[Mapping[str, Any], Mapping[str, Any]], Any]
"""Takes a cell and its result as JSON has them."""


@dataclass(frozen=True)
class Measure:
    """One number of a point.

    Attributes:
        kind: the kind of cells it is read from: ``source`` or ``transfer``.
        read: the number of one cell; None where it has none.
        direction: ``maximize`` or ``minimize``, unless the spec says another one.
        means: what it is, for people.
        total: whether the cells' numbers are added; else their mean is taken, every task alike.
        relative: whether the target's row Empty is taken off.
    """

    kind: str
    read: Read
    direction: Literal["maximize", "minimize"]
    means: str
    total: bool = False
    relative: bool = False


def _result(name: str) -> Read:
    return lambda cell, result: result.get(name)


def _tokens(cell: Mapping[str, Any], result: Mapping[str, Any]) -> Any:
    return result.get("n_tokens", cell["settings"].get("prompt_length"))


MEASURES: Registry[Measure] = Registry(
    "measure",
    {
        "validation/score": Measure(
            "transfer", _result("validation_score"), "maximize", "validation score on the targets"
        ),
        "validation/gain_over_empty": Measure(
            "transfer",
            _result("validation_score"),
            "maximize",
            "the same, less that of the row Empty",
            relative=True,
        ),
        "transfer/similarity": Measure(
            "transfer", _result("similarity"), "maximize", "relative similarity that was reached"
        ),
        "validation/source_score": Measure(
            "source", _result("validation_score"), "maximize", "validation score on the sources"
        ),
        "prompt/tokens": Measure("transfer", _tokens, "minimize", "tokens of the prompt"),
        "prompt/log_perplexity": Measure(
            "transfer", _result("log_perplexity"), "minimize", "log-perplexity of a hard prompt"
        ),
        "prompt/dictionary_share": Measure(
            "transfer",
            _result("dictionary_share"),
            "maximize",
            "share of a hard prompt's real words",
        ),
        "cost/train_seconds": Measure(
            "source", _result("train_seconds"), "minimize", "seconds of training", total=True
        ),
    },
)
"""By the name under which a spec asks for it."""


@dataclass(frozen=True)
class PointMeasure:
    """A measure over some of a sweep's tasks and targets.

    Attributes:
        measure: key of :data:`MEASURES`.
        tasks: names; empty for all.
        targets: aliases; empty for all.
    """

    measure: str
    tasks: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()

    def value(self, records: Iterable[Record], empty: Mapping[tuple[str, str], float]) -> float:
        """The number of a point.

        Args:
            records: the ledger's records of the point's cells; others may be among them.
            empty: validation score of the row Empty by (target, task).

        Returns:
            NaN where no record has it.
        """
        by_task: dict[str, list[float]] = {}
        for task, number in self._numbers(records, empty):
            by_task.setdefault(task, []).append(number)
        if not by_task:
            return math.nan
        if MEASURES[self.measure].total:
            return math.fsum(number for numbers in by_task.values() for number in numbers)
        return _mean([_mean(numbers) for numbers in by_task.values()])

    def _numbers(
        self, records: Iterable[Record], empty: Mapping[tuple[str, str], float]
    ) -> Iterable[tuple[str, float]]:
        measure = MEASURES[self.measure]
        for record in records:
            cell = record["cell"]
            if cell["kind"] != measure.kind or not self._concerns(cell):
                continue
            number = measure.read(cell, record["result"])
            if number is not None:
                base = empty.get((cell["target"], cell["task"]), math.nan)
                yield cell["task"], float(number) - (base if measure.relative else 0.0)

    def _concerns(self, cell: Mapping[str, Any]) -> bool:
        if self.tasks and cell["task"] not in self.tasks:
            return False
        # Source cells have their own source for a target.
        return cell["kind"] == "source" or not self.targets or cell["target"] in self.targets


def _mean(numbers: Sequence[float]) -> float:
    return math.fsum(numbers) / len(numbers)
