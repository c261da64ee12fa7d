"""The driver's side of a pack: what goes out, and what is made of what comes back."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from sweep.ledger.ledger import Ledger, Record
from sweep.planning.agenda import Closed
from trainables.core.cells import Cell, Pack
from trainables.files.plain import plain_result

_MORE = ("predictions", "readouts")
"""What an outcome may lack."""


class Outcomes:
    """Turns packs into payloads for workers, and what comes back into records.

    The only writer of the ledger while packs run.

    Attributes:
        failures: per cell that failed in this run and is not there yet, the reason.
    """

    def __init__(
        self,
        ledger: Ledger,
        on_record: Callable[[Record], None] = lambda record: None,
        on_close: Callable[[Pack, Closed], None] = lambda pack, closed: None,
        on_remark: Callable[[str], None] = lambda remark: None,
    ) -> None:
        """Work for one ledger.

        Args:
            on_remark: sees each sentence that packs want people to read, once.
        """
        self._ledger = ledger
        self._on_record = on_record
        self._on_close = on_close
        self._on_remark = on_remark
        self._remarks: set[str] = set()
        self.failures: dict[str, str] = {}
        self._tries: Counter[str] = Counter()

    def payload(self, pack: Pack) -> dict[str, Any]:
        """What a worker needs for ``pack``.

        Raises:
            KeyError: a needed prompt is not in the ledger any more.
        """
        return {
            "pack": pack.to_json(),
            "prompts": {name: self._ledger.prompt(name) for name in pack.needs},
        }

    def close(self, pack: Pack, outcome: Any, reason: str = "") -> Closed:
        """Write what a pack gave back.

        Args:
            outcome: what the worker delivered, whatever that is; None where it died.
            reason: why there is no outcome.

        Raises:
            OSError: the ledger cannot be written.
        """
        if outcome is None:
            outcome = {"error": reason, "traceback": ""}
        outcome = _checked(outcome)
        for remark in outcome.get("remarks", ()):
            if remark not in self._remarks:
                self._remarks.add(remark)
                self._on_remark(str(remark))
        closed = Closed()
        stopped = outcome.get("stopped", {})
        for cell in pack.cells:
            if cell.id in stopped:  # its point was given up: neither a result nor a failure
                continue
            why = self._write(cell, pack, outcome)
            if why is None:
                closed.done.append(cell.id)
            else:
                closed.failed.append((cell.id, why))
                self.refuse(cell, why, pack.id, str(outcome.get("traceback", "")))
        self._on_close(pack, closed)
        return closed

    def refuse(self, cell: Cell, reason: str, pack_id: str, trace: str = "") -> None:
        """Record that a cell cannot be had; one that has a record keeps it."""
        if cell.id not in self._ledger.done_ids():
            self.failures[cell.id] = reason
            self._tries[cell.id] += 1
            self._ledger.fail(cell, reason, pack_id, trace, self._tries[cell.id])

    def _write(self, cell: Cell, pack: Pack, outcome: Mapping[str, Any]) -> str | None:
        if "error" in outcome:
            return str(outcome["error"])
        if cell.id not in outcome["results"]:
            reason = outcome["failures"].get(cell.id)
            return str(reason or f"pack {pack.id} gave no result for it")
        prompt = outcome["prompts"].get(cell.id)
        predictions, readout = (outcome.get(name, {}).get(cell.id) for name in _MORE)
        try:
            if prompt is None and cell.kind == "source":
                plain_result(outcome["results"][cell.id])  # a result that is none says more
                raise ValueError(f"pack {pack.id} gave no prompt for it")
            result, cost = outcome["results"][cell.id], outcome["cost"]
            record = self._ledger.write(cell, result, pack.id, cost, prompt, predictions, readout)
        except OSError:
            raise
        except (ValueError, TypeError) as error:
            return str(error)
        except Exception as error:
            return f"its result cannot be kept ({type(error).__name__}: {error})"
        self.failures.pop(cell.id, None)
        if record is not None:
            self._on_record(record)
        return None


def _checked(outcome: Any) -> Mapping[str, Any]:
    """``outcome``, or the error it is where its form is not that of an outcome."""
    if not isinstance(outcome, Mapping):
        return {"error": f"its worker gave a {type(outcome).__name__}, not an outcome"}
    if "error" in outcome:
        return outcome
    for name in ("results", "prompts", "failures", "cost", *_MORE):
        found = outcome.get(name, {} if name in _MORE else None)
        if not isinstance(found, Mapping):
            return {"error": f"the {name} its worker gave are a {type(found).__name__}"}
    return outcome
