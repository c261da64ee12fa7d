"""A sweep on imaginary workers and a clock that nobody waits for.

:func:`simulate_sweep` stands in for :func:`sweep.engine.runner.run` where Ray is too much: the real
plan, agenda, outcomes and ledger, results from the tabulated method, times from a cost model. A
week of GPU work passes in seconds; its schedule says what more workers would bring::

    from sweep.testing.simulated import simulate_sweep

    for workers in (1, 2, 4, 8):
        schedule = simulate_sweep(plan, folder / str(workers), workers).schedule
        print(workers, schedule.makespan / 3600, schedule.utilisation)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sweep.engine.outcomes import Outcomes
from sweep.ledger.folder import bind
from sweep.ledger.ledger import Ledger, Record
from sweep.ledger.lock import DriverLock
from sweep.planning.agenda import Agenda, Closed
from sweep.planning.plan import Plan
from sweep.planning.schedule import Schedule, Seconds, play
from sweep.planning.work import cost
from sweep.testing.tabulated import tabulated_outcome
from trainables.core.cells import Pack

Fails = Callable[[Pack], str | None]
"""Why a pack's worker breaks down; None where it does not."""


def steps_as_seconds(pack: Pack) -> float:
    """The plainest cost model: a second for each training step of a replica on one backbone."""
    return float(cost(pack))


def no_failure(pack: Pack) -> str | None:
    return None


@dataclass(frozen=True)
class Simulation:
    """What a simulated sweep did.

    Attributes:
        schedule: which worker had which pack when.
        done: cells that have a record now and had none before.
        failures: per failed cell, the reason.
    """

    schedule: Schedule
    done: int
    failures: Mapping[str, str]


def simulate_sweep(
    plan: Plan,
    folder: Path,
    workers: int = 1,
    seconds: Seconds = steps_as_seconds,
    fails: Fails = no_failure,
    on_record: Callable[[Record], None] = lambda record: None,
) -> Simulation:
    """Run what is missing of ``plan`` into ``folder``; the same call again finds nothing to do.

    Args:
        plan: what is to run; models and tasks need not exist.
        folder: a sweep's folder, new or to be continued.
        workers: packs at a time, 1 or more.
        seconds: what a pack takes, such as a profile's
            (:func:`sweep.timing.estimate.pack_seconds`).
        on_record: sees each new record, an MLflow sink's ``add`` say.

    Raises:
        InputError: the folder is another spec's or another driver's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with DriverLock(folder):
        ledger = Ledger(folder, {}, repair=True)
        bind(folder, plan, {})
        before = len(ledger.done_ids())
        outcomes = Outcomes(ledger, on_record)

        def close(pack: Pack) -> Closed:
            reason = fails(pack)
            if reason is not None:
                return outcomes.close(pack, None, reason)
            message = outcomes.payload(pack)
            outcome = tabulated_outcome(Pack.from_json(message["pack"]), message["prompts"])
            return outcomes.close(pack, vars(outcome))

        agenda = Agenda(plan.remaining(ledger.done_ids()), ledger.done_ids(), outcomes.refuse)
        schedule = play(agenda, workers, seconds, close)
        return Simulation(schedule, len(ledger.done_ids()) - before, outcomes.failures)
