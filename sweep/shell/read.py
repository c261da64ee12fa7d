"""Commands that read and use results."""

import json
from pathlib import Path
from typing import Annotated

import typer

from sweep.shell.options import (
    CellId,
    Folder,
    Force,
    Json,
    Method,
    Row,
    Target,
    TaskName,
)
from sweep.shell.output import tell, warn, warn_of_no_cache
from sweep.shell.views import forecasts_view, status_view
from trainables.errors import InputError


def status(folder: Folder, as_json: Json = False) -> None:
    """Show how far a sweep is and what failed."""
    from sweep.commands.status import folder_status, format_status

    found = folder_status(folder)
    tell(found, format_status, as_json, status_view)


def report(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", help="The --out of a sweep, or of several to compare."),
    ],
    select_lambda: Annotated[
        str,
        typer.Option(
            metavar="pair|task|source",
            help="How Ours chooses λ, per target and source set: by validation of the transferred"
            " prompt over all tasks, on each task alone, or by validation on the sources.",
        ),
    ] = "pair",
    html: Annotated[bool, typer.Option("--html", help="Only tables, as HTML.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="Only tables, for booktabs.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Only tables, their numbers.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Only tables.")] = False,
    figures: Annotated[bool, typer.Option("--figures", help="Only figures, SVG and PNG.")] = False,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File for the comparison of several. Default: comparison.html in the first.",
        ),
    ] = None,
) -> None:
    """Write results.csv, results.parquet and report.html anew, or DIR/tables and DIR/figures."""
    from sweep.ledger.folder import read_meta

    for folder in folders:
        read_meta(folder)
    from analysis.contrasts.selection import CRITERIA
    from analysis.data.results import read, unreadable_note
    from analysis.report.outputs import write_outputs

    if select_lambda not in CRITERIA:
        raise InputError(
            f"--select-lambda: found {select_lambda!r}; allowed: {', '.join(CRITERIA)}"
        )
    asked = {"csv": csv, "markdown": markdown, "latex": latex, "html": html}
    formats = [name for name, wanted in asked.items() if wanted]
    for path in write_outputs(folders, select_lambda, formats, figures, to):
        print(path)
    for folder in folders:
        if files := read(folder).unreadable:
            warn(unreadable_note(files, folder))


def export(
    folder: Folder,
    cell: CellId = None,
    best: Annotated[
        int | None,
        typer.Option(
            "--best",
            "--top",
            metavar="N",
            help="The N best transferred prompts of each target and task, by the score on the"
            " target's validation split, never by the test score. Default: 1.",
        ),
    ] = None,
    row: Row = None,
    task: TaskName = None,
    target: Target = None,
    method: Method = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="peft or npy (OptiPrompt, PTfer) for soft prompts, text for hard ones, readout"
            " for the best readout. Default: peft and text; of a cell, what fits it.",
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder to write to. Default: DIR/exports."),
    ] = None,
    force: Force = False,
) -> None:
    """Write prompts for other programs: a folder for each backbone, and a manifest."""
    from sweep.export.choose import make_choice
    from sweep.export.folders import export_prompts, format_export, place_of
    from sweep.export.standings import warnings_of

    choice = make_choice(cell, best, row=row, task=task, target=target, method=method)
    notes: list[str] = []
    written, found = export_prompts(folder, choice, kind, to, notes)
    warn(*notes)
    print(format_export(written, found))
    stand = [(place_of(item.entry), item.entry.get("standing")) for item in found]
    warn(*([] if force else warnings_of(stand)))


def features(
    folder: Folder,
    before: Annotated[
        bool, typer.Option("--before", help="Only what is known before tuning; reads no prompt.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write features.parquet, and say which features predict what source sets transfer."""
    warn_of_no_cache()
    from sweep.commands.recommend import folder_forecasts, format_forecasts

    found = folder_forecasts(folder, not before, warn)
    if as_json:
        print(json.dumps(found.to_json()))
    else:
        tell(found, format_forecasts, False, forecasts_view)


def ui(
    folder: Folder,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port; default 5000, or a free one if that is taken."),
    ] = None,
) -> None:
    """Show a sweep in MLflow's web view, on this machine only."""
    from sweep.commands.ui import serve

    raise typer.Exit(serve(folder, port))


def compare(
    folder: Folder,
    method: Annotated[str | None, typer.Option(help="Only this method.")] = None,
    task: Annotated[str | None, typer.Option(help="Only this task.")] = None,
    target: Annotated[str | None, typer.Option(help="Only this target.")] = None,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Address of the web page. Default: the spec's server, or sweep ui's.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print links to MLflow's list, charts and comparison of a sweep's results."""
    from sweep.tracking.compare import compare as find
    from sweep.tracking.compare import format_links

    found = find(folder, {"method": method, "task": task, "target": target}, server)
    print(json.dumps(vars(found)) if as_json else format_links(found))


COMMANDS = (
    status,
    report,
    export,
    features,
    ui,
    compare,
)
