"""Run a plan, or what is missing of it: to run and to resume are the same thing."""

import errno
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sweep.engine.cluster import RayLostError, ray_session, share_of
from sweep.engine.feed import Feed, GridFeed
from sweep.engine.outcomes import Outcomes
from sweep.engine.progress import ProgressLine
from sweep.engine.shipping import heavy_models, shipping
from sweep.ledger.folder import bind, check_binding, first_hash, lacking_note
from sweep.ledger.ledger import Ledger, Record
from sweep.ledger.lock import DriverLock
from sweep.ledger.store import make_reuse
from sweep.planning.agenda import Closed
from sweep.planning.plan import AnyPlan, Plan
from sweep.planning.preflight import abandoned_on_error, check_plan
from sweep.process.interrupts import Interrupts, interruptible
from sweep.process.setup import settled, versions_of
from sweep.spec.resources import Share, check_known_here
from sweep.spec.trackers import check_trackers
from sweep.timing.estimate import device_of
from sweep.timing.throughput import learn
from sweep.tracking.facts import Place, facts_of_plan
from sweep.tracking.schema import COMMIT
from sweep.tracking.sink import Sinks, make_sinks
from trainables.core.cells import Cell, Pack
from trainables.core.texts import duration
from trainables.errors import InputError
from trainables.files.cache import expanded, no_cache
from trainables.files.redact import redact

EXECUTOR = "trainables.packs.pack:run_pack"
DONE, FAILED, INTERRUPTED = 0, 1, 130
_MLFLOW_STATUS = {DONE: "FINISHED", FAILED: "FAILED", INTERRUPTED: "KILLED"}
_PACKAGES = ("promptsweep", "torch", "transformers", "ray", "numpy")
_SHOWN_REASONS = 10
RAY_DEATHS = 2
"""How often in a row Ray may go down without a single new cell; what is left runs in a new one."""
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # no mistake of the user's


def say_to_stderr(line: str) -> None:
    # A stream that is closed stops no sweep.
    with suppress(OSError, ValueError):
        print(redact(line), file=sys.stderr, flush=True)


def write_report(folder: Path) -> None:
    """Tables and report of a folder (pandas and matplotlib are imported only now)."""
    from analysis.report.page import write_report as write

    write(folder)


@dataclass(frozen=True)
class Options:
    """How to run; none of it changes a result.

    Attributes:
        address: a Ray cluster; None starts a local Ray.
        workers: packs at once at most; None leaves it to the resources.
        executor: import string of what computes a pack.
        preflight: checks the plan before anything is trained.
        report: writes tables and report into the folder.
        store: folder of finished cells of all sweeps; None for none.
        store_size: bytes it may hold; None for no bound.
        say: takes lines for people.
        ends: whether a second signal ends the process, as there is nothing in it but the sweep.
    """

    address: str | None = None
    workers: int | None = None
    executor: str = EXECUTOR
    preflight: Callable[[Plan], list[str]] = check_plan
    report: Callable[[Path], None] = write_report
    store: Path | None = None
    store_size: int | None = None
    say: Callable[[str], None] = say_to_stderr
    ends: bool = True


def run(plan: AnyPlan, out: Path, options: Options | None = None) -> int:
    """Run what is missing of ``plan`` into the folder ``out``.

    Returns:
        Exit code: 0 all cells are there; 1 some failed (it says which and why), or the sweep
        could not go on; 130 stopped by Ctrl-C, SIGTERM, SIGQUIT or SIGHUP.

    Raises:
        InputError: the folder is another spec's or another driver's, the preflight found a mistake
            in the models or tasks, or workers cannot use the GPU they were given.
    """
    folder, chosen = expanded(out).resolve(), options or Options()
    if chosen.address is not None:
        check_known_here(plan.resolved.spec)
    try:
        check_binding(folder, plan)
        folder.mkdir(parents=True, exist_ok=True)
        local = chosen.address is None
        with interruptible(chosen.ends) as interrupts, DriverLock(folder), settled(local) as unset:
            # Another driver may have been faster.
            check_binding(folder, plan)
            others = unset and f"a sweep sets these variables itself: {', '.join(unset)}"
            for note in filter(None, (no_cache(), others)):
                chosen.say(f"sweep {plan.resolved.spec.name}: {note}")
            return _Run(plan, folder, chosen, interrupts).run()
    except OSError as error:
        if error.errno in _DISK:
            chosen.say(f"sweep {plan.resolved.spec.name}: stopped: {_kept(error, folder)}")
            return FAILED
        raise InputError(
            f"--out: {folder} cannot be used ({error.strerror or error});"
            " allowed: a folder that can be read, written and locked"
        ) from None


def _room_note(asked: int | None, room: int, share: Share) -> str:
    takes = " and ".join(
        f"{amount:g} {name}" for name, amount in (("CPU", share.cpu), ("GPU", share.gpu)) if amount
    )
    return (
        f"--workers {asked}: {room} at once is what this machine has room for, as a pack takes"
        f" {takes} (resources)"
    )


def _kept(error: OSError, folder: Path) -> str:
    place = error.filename or folder
    return (
        f"{error.strerror or error} ({place}); what is finished is kept, the same command continues"
    )


def package_versions() -> dict[str, str]:
    """Versions of the packages that can change a number, and of Python."""
    return {"python": sys.version.split()[0], **versions_of(_PACKAGES)}


def commit_of(folder: Path) -> dict[str, str]:
    """The git commit that ``folder`` is at, if any, as an entry of the records' versions."""
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    return {COMMIT: found.stdout.strip()}


def make_sink(plan: AnyPlan, folder: Path) -> Sinks:
    """What writes the plan's runs to the trackers of its spec."""
    spec = plan.resolved.spec
    facts = facts_of_plan(plan, first_hash(folder, plan))
    return make_sinks(spec.tracking, Place(folder, facts, spec.mlflow.tracking_uri))


class _Run:
    """One driver at work in one folder, whose lock it holds."""

    line: ProgressLine | None = None

    def __init__(
        self, plan: AnyPlan, folder: Path, options: Options, interrupts: Interrupts
    ) -> None:
        check_trackers(plan.resolved.spec.tracking)
        self.plan, self.folder, self.options = plan, folder, options
        self.interrupts = interrupts
        self.versions = package_versions() | commit_of(Path.cwd())
        self.ledger = Ledger(folder, self.versions, repair=True, warn=self._warn)
        self.sink = make_sink(plan, folder)
        self.reuse = make_reuse(plan, self.ledger, options.store, self._warn, options.store_size)
        self.feed = self._feed()
        self.known = self.feed.done
        self.failures: dict[str, str] = {}
        self.opened = False

    def _feed(self) -> Feed:
        kind: Callable[..., Feed] = GridFeed
        if self.plan.searched:
            from sweep.engine.search_feed import SearchFeed  # Optuna takes its time to import

            kind = SearchFeed
        return kind(self.plan, self.folder, self.ledger, self.reuse, self._say)

    def run(self) -> int:
        try:
            return self._run()
        except KeyboardInterrupt:
            self._say("stopped; what is finished is kept, the same command continues")
            self._close_sink(INTERRUPTED)
            return INTERRUPTED
        except OSError as error:
            self._say(f"stopped: {_kept(error, self.folder)}")
            self._close_sink(FAILED)
            return FAILED
        except BaseException:
            self._close_sink(FAILED)
            raise

    def _close_sink(self, code: int) -> str | None:
        return self.sink.close(_MLFLOW_STATUS[code], len(self.failures))

    def _run(self) -> int:
        nothing_left = self.feed.nothing_left()
        lacking = lacking_note(self.folder, self.plan, self.ledger.records)
        began, began_at = time.monotonic(), datetime.now(UTC)
        self._say(self.feed.beginning() if nothing_left is None else nothing_left)
        code = self._run_packs(nothing_left is None)
        if lacking:
            self._say(f"warning: {lacking}")
        late = self._close_sink(code)
        if late:
            self._say(f"warning: {late}")
        if code == INTERRUPTED:
            self._say(f"stopped; {self.feed.state()} kept, the same command continues")
            return code
        if nothing_left is None:
            self._learn(began_at)
            seconds = duration(time.monotonic() - began)
            self._say(f"{self.feed.state()} there, after {seconds}")
        self._list_failures()
        return max(code, self._write_views(changed=self.feed.changed()))

    def _open(self) -> None:
        """Make the folder this plan's, and start the view; nothing is known to be wrong by now."""
        bind(self.folder, self.plan, self.versions)
        self.reuse.keep_all(self.plan.cells)
        self.reuse.take(self.plan.cells)
        # A ledger of its own: the driver's one repairs, which only one thread may do.
        self.sink.start(Ledger(self.folder).records())
        self.opened = True

    def _run_packs(self, something: bool) -> int:
        try:
            if something:
                self._with_ray()
            else:
                self._open()
        except KeyboardInterrupt:
            return INTERRUPTED
        except OSError as error:
            self._say(f"stopped: {_kept(error, self.folder)}")
            return FAILED
        except RayLostError as error:
            self._say(f"stopped: {error}; what is finished is kept, the same command continues")
            return FAILED
        return FAILED if self.failures else DONE

    def _with_ray(self) -> None:
        """Run the packs; where Ray goes down on the way, what is left of them in a new one."""
        in_vain = 0
        with ThreadPoolExecutor(1) as pool, abandoned_on_error():
            # Starting Ray is waiting for processes: time enough to look at models and tasks.
            checked = pool.submit(self.options.preflight, self.plan.sample())
            while True:
                done = self.feed.done
                try:
                    return self._with_one_ray(checked)
                except RayLostError as error:
                    in_vain = 0 if self.feed.done > done else in_vain + 1
                    if not self.opened or self.interrupts.seen or in_vain > RAY_DEATHS:
                        raise
                    self._say(f"{error}; goes on with a new Ray")
                # As the same command would.
                self.feed = self._feed()
                if self.feed.nothing_left() is not None:
                    return None

    def _with_one_ray(self, checked: Future[list[str]]) -> None:
        spec, options = self.plan.resolved.spec, self.options
        with ray_session(options.address, spec.resources) as temporary:
            from sweep.engine.trials import TrialOptions, room_for, run_packs

            self.interrupts.install()  # Ray takes SIGTERM for itself
            share = share_of(spec.resources)
            ship = shipping(options.address)
            if not self.opened:
                if share.reason:
                    self._say(share.reason)
                for warning in (*checked.result(), *heavy_models(self.plan, ship)):
                    self._warn(warning)
                self._open()
            self.known = self.feed.done
            outcomes = Outcomes(self.ledger, self._on_record, self._on_close, self._warn)
            self.failures = outcomes.failures
            try:
                room = room_for(share, options.workers)
                if options.address is None and room < (options.workers or 0):
                    self._say(_room_note(options.workers, room, share))
                agenda = self.feed.start(outcomes.refuse, room, self._adopt)
                self.line = self.feed.line()
                # Tune asks ahead, but what waits here for room is better chosen later.
                most = room if options.address is None else options.workers
                trials = TrialOptions(share, options.executor, most, temporary, ship)
                try:
                    run_packs(agenda, outcomes, self.line, trials, lambda: self.interrupts.seen)
                finally:
                    self.line.end()
            finally:
                self.feed.close()

    def _on_record(self, record: Record) -> None:
        self.sink.add(record)
        self.reuse.keep(record)

    def _on_close(self, pack: Pack, closed: Closed) -> None:
        before, self.known = self.known, self.feed.done
        if self.line is not None:
            self.line.close_pack(pack, self.known - before)

    def _adopt(self, cells: Iterable[Cell]) -> None:
        for cell_id in self.reuse.take(cells):
            self.sink.add(self.ledger.record(cell_id))

    def _learn(self, since: datetime) -> None:
        """Keep what this run's packs have cost, for the estimates of later plans."""
        # Another cluster says nothing about this machine, a stand-in's packs nothing about models.
        if self.options.address is None and self.options.executor == EXECUTOR:
            new = (
                record
                for record in self.ledger.records()
                if datetime.fromisoformat(record["finished"]) >= since
            )
            resolved = self.plan.resolved
            learn(new, device_of(resolved.spec.resources, resolved.precision))

    def _list_failures(self) -> None:
        if not self.failures:
            return
        self._say(f"{len(self.failures)} cells failed; the same command tries them again:")
        by_reason: dict[str, list[Cell]] = {}
        for cell_id, reason in self.failures.items():
            by_reason.setdefault(reason, []).append(self.plan.by_id[cell_id])
        for reason, cells in list(by_reason.items())[:_SHOWN_REASONS]:
            first = cells[0]
            more = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
            place = f"{'+'.join(first.sources) or first.row} on {first.target}, {first.task}"
            self.options.say(f"  {place} ({first.id}){more}: {reason}")
        if len(by_reason) > _SHOWN_REASONS:
            self.options.say(f"  and {len(by_reason) - _SHOWN_REASONS} further reasons")
        self.options.say(f"  tracebacks: {self.folder / 'ledger' / 'failed'}")

    def _write_views(self, changed: bool) -> int:
        """Tables and report, unless they show all there is; the exit code."""
        report = self.folder / "report.html"
        if not self.ledger.done_ids():
            return DONE
        if changed or not self._shows_all(report):
            try:
                self.options.report(self.folder)
            except Exception as error:
                self._say(
                    f"the report could not be written ({type(error).__name__}: {error});"
                    f" sweep report {self.folder} tries again"
                )
                return FAILED
        self.options.say(f"report:  {report}")
        self.options.say(f"prompts: {self.folder / 'prompts'}")
        for line in self.sink.shown:
            self.options.say(line)
        return DONE

    def _shows_all(self, report: Path) -> bool:
        shards = (self.folder / "ledger").iterdir()
        newest = max(shard.stat().st_mtime for shard in shards if len(shard.name) == 2)
        return report.is_file() and report.stat().st_mtime >= newest

    def _warn(self, text: str) -> None:
        self._say(f"warning: {text}")

    def _say(self, text: str) -> None:
        if self.line is not None:
            self.line.clear()
        self.options.say(f"sweep {self.plan.resolved.spec.name}: {text}")
