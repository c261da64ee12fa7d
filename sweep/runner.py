"""Run a plan, or what is missing of it: to run and to resume are the same thing."""

import importlib.metadata
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from analysis.durations import duration
from sweep.agenda import Agenda
from sweep.cluster import RayLostError, ray_session
from sweep.desk import Closed, Desk
from sweep.folder import bind, calibration_note, check_binding
from sweep.interrupts import Interrupts, interruptible
from sweep.ledger import Ledger
from sweep.lock import DriverLock
from sweep.plan import Plan, cost
from sweep.preflight import check_plan
from sweep.progress import ProgressLine
from sweep.tracking.artifacts import PromptFiles
from sweep.tracking.facts import facts_of_plan
from sweep.tracking.places import target_of
from sweep.tracking.schema import COMMIT
from sweep.tracking.sink import MlflowSink
from sweep.tracking.view import View
from trainables.cells import Cell, Pack
from trainables.errors import InputError

EXECUTOR = "trainables.packs:run_pack"
DONE, FAILED, INTERRUPTED = 0, 1, 130
_MLFLOW_STATUS = {DONE: "FINISHED", FAILED: "FAILED", INTERRUPTED: "KILLED"}
_PACKAGES = ("promptsweep", "torch", "transformers", "ray", "numpy")
_SHOWN_REASONS = 10


def say_to_stderr(line: str) -> None:
    """Print one line for people."""
    print(line, file=sys.stderr, flush=True)


def write_report(folder: Path) -> None:
    """Tables and report of a folder (pandas and matplotlib are imported only now)."""
    from analysis.report import write_report as write

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
        say: takes lines for people.
    """

    address: str | None = None
    workers: int | None = None
    executor: str = EXECUTOR
    preflight: Callable[[Plan], list[str]] = check_plan
    report: Callable[[Path], None] = write_report
    say: Callable[[str], None] = say_to_stderr


def run(plan: Plan, out: Path, options: Options | None = None) -> int:
    """Run what is missing of ``plan`` into the folder ``out``.

    Returns:
        Exit code: 0 all cells are there; 1 some failed (it says which and why), or the sweep
        could not go on; 130 stopped by Ctrl-C or SIGTERM.

    Raises:
        InputError: the folder is another spec's or another driver's, or the preflight found a
            mistake in the models or tasks.
    """
    folder = out.expanduser().resolve()
    check_binding(folder, plan)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out: {folder} cannot be made ({error.strerror})") from None
    with interruptible() as interrupts, DriverLock(folder):
        # Another driver may have been faster.
        check_binding(folder, plan)
        return _Run(plan, folder, options or Options(), interrupts).run()


def package_versions() -> dict[str, str]:
    """Versions of the packages that can change a number, and of Python."""
    found = {"python": sys.version.split()[0]}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit_of(folder: Path) -> dict[str, str]:
    """The git commit that ``folder`` is at, if any, as an entry of the records' versions."""
    command = ["git", "-C", str(folder), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    return {COMMIT: found.stdout.strip()}


def make_sink(plan: Plan, folder: Path) -> MlflowSink:
    """The plan's MLflow view: the spec's tracking URI, or a database in the folder."""
    facts = facts_of_plan(plan)
    target = target_of(folder, plan.resolved.spec.mlflow.tracking_uri)
    return MlflowSink(target, View(facts), PromptFiles(folder, facts))


class _Run:
    """One driver at work in one folder, whose lock it holds."""

    def __init__(self, plan: Plan, folder: Path, options: Options, interrupts: Interrupts) -> None:
        self.plan, self.folder, self.options = plan, folder, options
        self.interrupts = interrupts
        self.versions = package_versions() | commit_of(Path.cwd())
        self.ledger = Ledger(
            folder, self.versions, repair=True, warn=lambda text: self._say(f"warning: {text}")
        )
        self.sink = make_sink(plan, folder)
        self.failures: dict[str, str] = {}

    def run(self) -> int:
        """Run, tell and show; the exit code."""
        total, done = len(self.plan.cells), self._done()
        packs = self.plan.remaining(self.ledger.done_ids())
        lacking = calibration_note(self.folder, self.plan, self.ledger.records)
        began = time.monotonic()
        try:
            if packs:
                self._say(f"{done} of {total} cells are there, {total - done} to run")
                code = self._run_packs(packs)
            else:
                self._say(f"all {total} cells are there; nothing left to do, no trial is started")
                code = DONE
                self._open()
        except BaseException:
            self.sink.close("FAILED")
            raise
        if lacking:
            self._say(f"warning: {lacking}")
        late = self.sink.close(_MLFLOW_STATUS[code])
        if late:
            self._say(f"warning: {late}")
        if code == INTERRUPTED:
            self._say(
                f"stopped; {self._done()} of {total} cells are kept, the same command continues"
            )
            return code
        if packs:
            seconds = duration(time.monotonic() - began)
            self._say(f"{self._done()} of {total} cells are there, after {seconds}")
        self._tell_failures()
        return max(code, self._write_views(changed=bool(packs)))

    def _open(self) -> None:
        """Make the folder this plan's, and start the view; nothing is known to be wrong by now."""
        bind(self.folder, self.plan, self.versions)
        # A ledger of its own: the driver's one repairs, which only one thread may do.
        self.sink.start(Ledger(self.folder).records())

    def _run_packs(self, packs: tuple[Pack, ...]) -> int:
        try:
            self._with_ray(packs)
        except KeyboardInterrupt:
            return INTERRUPTED
        except OSError as error:
            self._say(
                f"stopped: {error.strerror or error} ({error.filename or self.folder});"
                " what is finished is kept, the same command continues"
            )
            return FAILED
        except RayLostError as error:
            self._say(f"stopped: {error}; what is finished is kept, the same command continues")
            return FAILED
        return FAILED if self.failures else DONE

    def _with_ray(self, packs: tuple[Pack, ...]) -> None:
        spec, options = self.plan.resolved.spec, self.options
        with ThreadPoolExecutor(1) as pool:
            # Starting Ray is waiting for processes: time enough to look at models and tasks.
            checked = pool.submit(options.preflight, self.plan)
            with ray_session(options.address, spec.resources) as temporary:
                from sweep.trials import Workshop, run_packs

                self.interrupts.install()  # Ray takes SIGTERM for itself
                for warning in checked.result():
                    self._say(f"warning: {warning}")
                self._open()
                line = ProgressLine(len(self.plan.cells), self._done(), sum(map(cost, packs)))
                known = self._done()

                def on_close(pack: Pack, closed: Closed) -> None:
                    nonlocal known
                    now = self._done()
                    line.close_pack(pack, now - known)
                    known = now

                desk = Desk(self.ledger, self.sink.add, on_close)
                self.failures = desk.failures
                try:
                    run_packs(
                        Agenda(packs, self.ledger.done_ids(), desk.refuse),
                        desk,
                        line,
                        Workshop(spec.resources, options.executor, options.workers, temporary),
                        lambda: self.interrupts.seen,
                    )
                finally:
                    line.end()

    def _done(self) -> int:
        return len(self.ledger.done_ids() & self.plan.by_id.keys())

    def _tell_failures(self) -> None:
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
        self.options.say(f"MLflow:  sweep ui {self.folder}")
        return DONE

    def _shows_all(self, report: Path) -> bool:
        shards = (self.folder / "ledger").iterdir()
        newest = max(shard.stat().st_mtime for shard in shards if len(shard.name) == 2)
        return report.is_file() and report.stat().st_mtime >= newest

    def _say(self, text: str) -> None:
        self.options.say(f"sweep {self.plan.resolved.spec.name}: {text}")
