"""A sweep from Python: in a script, in a notebook, in a thread."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.shell.options import check_workers
from sweep.spec.spec import SweepSpec, load_spec, parse_spec
from trainables.errors import InputError
from trainables.files.cache import expanded

if TYPE_CHECKING:
    import pandas as pd

AnySpec = SweepSpec | Mapping[str, Any] | Path | str
"""A checked spec, what its YAML would hold, the path of a YAML file, or a preset's name."""


class Counts(dict[str, Any]):
    """What ``sweep plan --json`` says, as a mapping; shown as the command shows it."""

    def __repr__(self) -> str:
        from sweep.commands.plan import format_plan

        return format_plan(self)


@dataclass(frozen=True)
class Result:
    """A sweep that has run.

    Attributes:
        folder: where everything is.
        ok: whether all cells and the report are there.
    """

    folder: Path
    ok: bool

    @property
    def failures(self) -> dict[str, str]:
        """By cell without a result, one sentence why; the same call to run tries them again."""
        from sweep.ledger.ledger import Ledger

        return {item["id"]: str(item["reason"]) for item in Ledger(self.folder).failures()}

    def frame(self) -> "pd.DataFrame":
        """Finished cells, one row a cell: :func:`analysis.load` of the folder.

        Raises:
            InputError: no cell has finished.
        """
        import analysis

        return analysis.load(self.folder)

    def report(self) -> Path:
        """The path of ``report.html``, which is written where it is missing.

        Raises:
            InputError: no cell has finished.
        """
        import analysis

        page = self.folder / "report.html"
        return page if page.is_file() else analysis.write_report(self.folder)


def plan(
    spec: AnySpec,
    out: Path | str | None = None,
    *,
    workers: int | None = None,
    store: Path | str | None = None,
) -> Counts:
    """What a spec stands for: cells, tunings, packs, and the time they take. Runs nothing.

    Args:
        spec: see :data:`AnySpec`; relative paths in a mapping start from the working folder.
        out: a sweep's folder, whose finished cells are counted.
        workers: packs at once at most.
        store: folder of finished cells of all sweeps, or ``"none"``; None as the command.

    Raises:
        InputError: one sentence on the first mistake.
    """
    check_workers(workers)
    from sweep.commands.plan import plan_counts
    from sweep.ledger.store import store_folder

    folder = None if out is None else expanded(out)
    return Counts(plan_counts(_spec(spec), folder, store_folder(_text(store)), None, workers))


def run(
    spec: AnySpec,
    out: Path | str,
    *,
    workers: int | None = None,
    store: Path | str | None = None,
    address: str | None = None,
) -> Result:
    """Run what is missing of a sweep in its folder, with the report at the end.

    Progress goes to standard error. Ray is started for this call alone, and is gone after it. In
    the main thread Ctrl-C and SIGTERM stop the sweep in order; in another one nothing does.

    Args:
        spec: see :data:`AnySpec`; relative paths in a mapping start from the working folder.
        out: a new folder, or one to continue.
        workers: packs at once at most; None for as many as the resources allow.
        store: folder of finished cells of all sweeps, or ``"none"``; None as the command.
        address: a Ray cluster (``host:port``, or ``auto``); None starts Ray on this machine.

    Raises:
        InputError: one sentence on a mistake, before anything is trained.
        KeyboardInterrupt: stopped; what is finished is kept, the same call continues.
    """
    check_workers(workers)
    _check_no_ray()
    checked = _spec(spec)
    from sweep.engine.runner import INTERRUPTED, Options
    from sweep.engine.runner import run as run_plan
    from sweep.ledger.store import store_folder
    from sweep.ledger.store_size import size_of
    from sweep.search.plan import any_plan

    folder = expanded(out).resolve()
    options = Options(
        address=address,
        workers=workers,
        store=store_folder(_text(store)),
        store_size=size_of(None),
        ends=False,
    )
    code = run_plan(any_plan(checked), folder, options)
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    return Result(folder, ok=code == 0)


def _check_no_ray() -> None:
    """A Ray that other code has started would be taken down at the end."""
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        raise InputError(
            "sweep.run: found a Ray that this process has started; allowed: none (ray.shutdown()"
            " ends it), as a sweep starts and ends its own"
        )


def _spec(spec: AnySpec) -> SweepSpec:
    if isinstance(spec, SweepSpec):
        return spec
    if isinstance(spec, str | Path):
        return load_spec(str(spec))
    return parse_spec(_plain(spec))


def _plain(value: Any) -> Any:
    """What Python writes more readily than YAML does: tuples, paths, numpy's numbers."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    # A number of numpy's is one of Python's inside.
    return value.item() if type(value).__module__ == "numpy" and hasattr(value, "item") else value


def _text(store: Path | str | None) -> str | None:
    return None if store is None else str(store)
