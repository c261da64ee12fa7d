"""Commands about this machine."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from sweep.shell.options import (
    Json,
    StorePlace,
)
from sweep.shell.output import MISTAKE, tell, warn
from sweep.shell.views import doctor_view
from trainables.errors import InputError


def store(
    store: StorePlace = None,
    check: Annotated[
        bool, typer.Option("--check", help="Read every entry; set damaged ones aside.")
    ] = False,
    prune: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Remove the entries unused for longest, down to SIZE."),
    ] = None,
    older_than: Annotated[
        float | None,
        typer.Option(metavar="DAYS", min=0, help="Remove entries unused for this many days."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what is kept for reuse, check it, or make room."""
    from sweep.ledger.store import Store, store_folder
    from sweep.ledger.store_size import care, format_care, size_of

    place = store_folder(store)
    if place is None:
        raise InputError("--store: found none; allowed: a folder")
    kept = Store(place, warn, repair=check)
    size = None if prune is None else size_of(prune, "--prune")
    found = care(place, kept.check if check else kept.peek, check, size, older_than)
    tell(found, format_care, as_json)


def validate_cluster(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A cluster YAML (Ray, KubeRay, SkyPilot), or a SLURM script."
        ),
    ],
) -> None:
    """Check a cluster file offline, before it costs money."""
    from sweep.commands.validate_cluster import validate_cluster as validate

    verdict = validate(file)
    for sentence in verdict.mistakes:
        print(f"error: {sentence}", file=sys.stderr)
    warn(*verdict.warnings)
    if verdict.mistakes:
        raise typer.Exit(MISTAKE)
    print(f"{file}: in order")


def doctor(as_json: Json = False) -> None:
    """Say what this machine has for sweeps (versions, devices, places), and what would stop one."""
    from sweep.commands.doctor import examine, format_findings

    found = examine()
    tell(found, format_findings, as_json, doctor_view)
    for sentence in found["problems"]:
        print(f"error: {sentence}", file=sys.stderr)
    if found["problems"]:
        raise typer.Exit(1)


COMMANDS = (
    store,
    validate_cluster,
    doctor,
)
