"""Commands that share prompts and results."""

from typing import Annotated

import typer

from sweep.shell.options import (
    CellId,
    Folder,
    Force,
    Method,
    Row,
    Target,
    TaskName,
)
from sweep.shell.output import warn


def push(
    folder: Folder,
    repo: Annotated[str, typer.Option(metavar="OWNER/NAME", help="The Hub repository.")],
    cell: CellId = None,
    row: Row = None,
    task: TaskName = None,
    target: Target = None,
    method: Method = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make the repository private where it is new.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be uploaded; upload nothing.")
    ] = False,
    force: Force = False,
) -> None:
    """Upload one prompt to the Hugging Face Hub. The token comes from HF_TOKEN or hf auth login."""
    from sweep.export.choose import make_choice
    from sweep.export.push import Destination, format_upload, push_prompt
    from sweep.export.standings import warnings_of

    choice = make_choice(cell, None, row=row, task=task, target=target, method=method)
    found = push_prompt(folder, choice, Destination(repo, private, dry_run))
    print(format_upload(found))
    warn(*([] if force else warnings_of([(found.place, found.stands)])))


def register(
    folder: Folder,
    cell: CellId = None,
    row: Row = None,
    task: TaskName = None,
    target: Target = None,
    method: Method = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Registered name. Default: sweep, task and target."),
    ] = None,
    tracking_uri: Annotated[
        str | None,
        typer.Option(
            metavar="URI", help="MLflow server. Default: the spec's, or the sweep's own database."
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Register one prompt with its backbone as an MLflow model that classifies text."""
    from sweep.export.choose import make_choice
    from sweep.export.register import format_registered, register_prompt
    from sweep.export.standings import warnings_of

    choice = make_choice(cell, None, row=row, task=task, target=target, method=method)
    found = register_prompt(folder, choice, name, tracking_uri)
    print(format_registered(found))
    warn(*([] if force else warnings_of([(found.place, found.stands)])))


def sync(
    folder: Folder,
    tracking_uri: Annotated[
        str | None,
        typer.Option(metavar="URI", help="MLflow server or database. Default: the spec's."),
    ] = None,
    tracker: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="mlflow, tensorboard or wandb. Default: those of the spec."
        ),
    ] = None,
) -> None:
    """Write the results that MLflow, or another tracker, lacks; all of them to a new one."""
    from sweep.tracking.sink import sync as write

    print(write(folder, tracking_uri, tracker or ()))


COMMANDS = (
    push,
    register,
    sync,
)
