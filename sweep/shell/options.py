"""Arguments and options that several commands share, and how help groups the commands."""

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from trainables.errors import InputError

WRITE, READ, SHARE, MACHINE = PANELS = (
    "Write and run a sweep",
    "Read and use results",
    "Share",
    "Machine",
)
"""What commands are for, as help shows them."""
_WHOLE = 1000  # characters of a line of help: it is wrapped, not cut
HELP = {"help_option_names": ["-h", "--help"]}

Spec = Annotated[str, typer.Argument(metavar="SPEC", help="A YAML file, or a preset's name.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Set a value of the spec (repeatable), such as methods.soft.steps=60.",
    ),
]
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
Force = Annotated[
    bool,
    typer.Option("--force", help="Do not warn where the prompt does not beat rows without tuning."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def check_workers(workers: int | None) -> None:
    """See that ``--workers`` is a number of packs; InputError if not."""
    if workers is not None and workers < 1:
        raise InputError(f"--workers: found {workers}; allowed: a whole number of at least 1")


class Grouped(TyperGroup):
    """Commands by what they are for; typer does it on terminals only."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names, panel by panel."""
        return sorted(super().list_commands(ctx), key=lambda name: PANELS.index(self._panel(name)))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Headings with a line for each command."""
        names = self.list_commands(ctx)
        for panel in PANELS:
            with formatter.section(panel):
                formatter.write_dl(
                    [
                        (name, self.commands[name].get_short_help_str(_WHOLE))
                        for name in names
                        if self._panel(name) == panel
                    ]
                )

    def _panel(self, name: str) -> str:
        return str(getattr(self.commands[name], "rich_help_panel", None))


def help_style() -> Literal["rich"] | None:
    """Panels and colours for people; plain text where a file or a program reads it."""
    return "rich" if sys.stdout.isatty() and sys.stderr.isatty() else None
