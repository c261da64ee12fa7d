"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from trainables.errors import InputError

Spec = Annotated[str, typer.Argument(metavar="SPEC", help="A YAML file, or a preset's name.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A sweep's folder (its --out).")]
StorePlace = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|none",
        help="Where finished cells of all sweeps are kept for reuse. Default: PROMPTSWEEP_STORE, or"
        " a folder in the user's cache.",
    ),
]
StoreSize = Annotated[
    str | None,
    typer.Option(
        "--store-size",
        metavar="SIZE|none",
        help="Largest size of the store; entries unused for longest are removed. Default:"
        " PROMPTSWEEP_STORE_SIZE, or 20GB.",
    ),
]
CellId = Annotated[
    str | None, typer.Option(metavar="ID", help="One cell, by its id or the start of it.")
]
Row = Annotated[str | None, typer.Option(metavar="ROW", help="Only this row, such as ours.")]
TaskName = Annotated[str | None, typer.Option(metavar="TASK", help="Only this task.")]
Target = Annotated[str | None, typer.Option(metavar="MODEL", help="Only this target.")]
Method = Annotated[str | None, typer.Option(metavar="METHOD", help="Only this method.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def check_workers(workers: int | None) -> None:
    """See that ``--workers`` is a number of packs; InputError if not."""
    if workers is not None and workers < 1:
        raise InputError(f"--workers: found {workers}; allowed: a whole number of at least 1")
