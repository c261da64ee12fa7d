"""The command line. Heavy imports wait inside the commands, so that help answers at once."""

import atexit
import gc
import os
import sys
from typing import Annotated, NoReturn

import typer

from sweep.process.streams import keep_streams, lost_output
from sweep.shell import machine, read, share, write
from sweep.shell.options import (
    HELP,
    MACHINE,
    READ,
    SHARE,
    WRITE,
    Grouped,
    help_style,
)
from sweep.shell.output import MISTAKE
from trainables.errors import InputError
from trainables.files.cache import home_variables
from trainables.files.redact import redact

_YOUNG = 50_000
"""New objects between two looks for garbage: most of what a command makes are modules, and stay."""

app = typer.Typer(
    name="sweep",
    cls=Grouped,
    context_settings=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _show_versions(wanted: bool) -> None:
    if wanted:
        from sweep.process.setup import versions_of

        names = ("promptsweep", "torch", "ray", "transformers")
        found = versions_of(names)
        print(", ".join(f"{name} {found.get(name, 'not installed')}" for name in names))
        raise typer.Exit


for _panel, _module in ((WRITE, write), (READ, read), (SHARE, share), (MACHINE, machine)):
    for _command in _module.COMMANDS:
        app.command(rich_help_panel=_panel)(_command)


@app.callback()
def promptsweep(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_versions, is_eager=True, help="Show versions and exit."
        ),
    ] = False,
) -> None:
    """Tune prompts on source models, carry them to target models, see what survived."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Entry point of the commands ``sweep`` and ``promptsweep``.

    Exit codes: 0 done; 1 a sweep has failed cells, or a file could not be read or written; 2 a
    mistake in what was asked for; 130 stopped.
    """
    keep_streams()
    os.environ.update(home_variables())
    gc.set_threshold(_YOUNG)
    # Before it ends, the interpreter would look for garbage among millions of objects.
    atexit.register(gc.freeze)
    app.rich_markup_mode = help_style()
    try:
        app(args=arguments)
    except InputError as error:
        print(f"error: {redact(str(error))}", file=sys.stderr)
        sys.exit(MISTAKE)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        _print_error(error)
        sys.exit(1)
    except SystemExit as done:
        if not done.code and (lost := lost_output()):
            _print_error(lost)
            sys.exit(1)
        raise
    raise AssertionError("commands end in SystemExit")


def _print_error(error: OSError) -> None:
    place = f" ({error.filename})" if error.filename else ""
    print(f"error: {error.strerror or error}{place}", file=sys.stderr)


if __name__ == "__main__":
    main()
