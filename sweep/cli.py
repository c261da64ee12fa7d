"""The command line. Heavy imports wait inside the commands, so that help answers at once."""

import atexit
import gc
import json
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from sweep.commands.options import (
    HELP,
    MACHINE,
    READ,
    SHARE,
    WRITE,
    CellId,
    Folder,
    Grouped,
    Json,
    Method,
    Row,
    Set,
    Spec,
    StorePlace,
    StoreSize,
    Target,
    TaskName,
    check_workers,
    help_style,
)
from sweep.process.streams import keep_streams, lost_output
from trainables.errors import InputError
from trainables.files.cache import home_variables, no_cache
from trainables.files.redact import redact

MISTAKE = 2
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


@app.command(rich_help_panel=WRITE)
def presets(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Print this preset's YAML instead.")
    ] = None,
) -> None:
    """List the specs that come with the package; with a name, print that one to start from."""
    from sweep.spec.spec import preset_description, preset_names, preset_text

    if name is not None:
        print(preset_text(name), end="")
        return
    names = preset_names()
    width = max(map(len, names))
    for name in names:
        print(f"{name.ljust(width)}  {preset_description(name)}")


@app.command(rich_help_panel=WRITE)
def init(
    data: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="A CSV, TSV or JSONL file, or a folder with train, validation and test files.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where to write. Default: here.")
    ] = Path(),
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A model (repeatable): the last one is the target, the others are sources."
            " Default: the embedded ones.",
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The texts. Default: found.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The classes. Default: found.")
    ] = None,
) -> None:
    """Look at your data, and write a task and a spec to start from."""
    from sweep.commands.init.start import start

    print(start(data, out, model or (), text, label))


@app.command(rich_help_panel=WRITE)
def plan(
    spec: Spec,
    overrides: Set = None,
    as_json: Json = False,
    out: Annotated[
        Path | None, typer.Option(help="Count the cells that this sweep's folder has already.")
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Estimate the time from this throughput profile, or from a sweep's folder."
            " Default: what finished sweeps have measured on this machine.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Estimate the time for at most this many packs at once.")
    ] = None,
    store: StorePlace = None,
) -> None:
    """Show a spec's cells, how many are finished, and the estimated time. Runs nothing."""
    check_workers(workers)
    _warn_of_no_cache()
    from sweep.commands.plan import format_plan, plan_counts
    from sweep.ledger.store import store_folder
    from sweep.spec.spec import load_spec

    counts = plan_counts(
        load_spec(spec, overrides or ()), out, store_folder(store), profile, workers
    )
    _print(counts, format_plan, as_json)


@app.command(rich_help_panel=WRITE)
def label_words(
    spec: Spec,
    model: Annotated[
        list[str] | None, typer.Option(help="A model (repeatable). Default: the spec's targets.")
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option(help="A task of the spec (repeatable). Default: all.")
    ] = None,
    words: Annotated[
        list[str] | None,
        typer.Option(metavar="A,B", help="Further label words, one a class (repeatable)."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Score choices of label words with the Empty and Manual prompts, beside paper A's rows."""
    _warn_of_no_cache()
    from sweep.commands.label_words import compare_words, format_words
    from sweep.spec.spec import load_spec

    further = [[word.strip() for word in item.split(",")] for item in words or ()]
    found = compare_words(
        load_spec(spec), model or (), task or (), further, lambda line: typer.echo(line, err=True)
    )
    _print(found, format_words, as_json)


@app.command(rich_help_panel=WRITE)
def run(
    spec: Spec,
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Folder for all results: a new one, or one to continue."),
    ],
    overrides: Set = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="A Ray cluster (host:port, or auto). Default: start Ray on this machine."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(help="Most packs at once. Default: as many as the resources allow."),
    ] = None,
    store: StorePlace = None,
    store_size: StoreSize = None,
) -> None:
    """Run the unfinished cells of a sweep. The same command continues a stopped sweep."""
    check_workers(workers)
    from sweep.ledger.store import store_folder
    from sweep.ledger.store_size import size_of
    from sweep.run.runner import Options
    from sweep.run.runner import run as run_plan
    from sweep.search.plan import any_plan
    from sweep.spec.spec import load_spec

    place, size = store_folder(store), size_of(store_size)
    options = Options(address=address, workers=workers, store=place, store_size=size)
    # Standard output is for results: what libraries print goes to standard error.
    with redirect_stdout(sys.stderr):
        code = run_plan(any_plan(load_spec(spec, overrides or ())), out, options)
    raise typer.Exit(code)


@app.command(rich_help_panel=WRITE)
def recheck(
    folder: Folder,
    target: Annotated[
        list[str], typer.Option(metavar="MODEL", help="A new model, by name or path (repeatable).")
    ],
    budget: Annotated[
        int,
        typer.Option(metavar="ROWS", help="Texts that a way may read on it, backwards twice."),
    ] = 3000,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Default: recheck/MODEL in the folder.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Packs at once at most.")] = None,
    as_json: Json = False,
    store: StorePlace = None,
) -> None:
    """A new model is out: carry a sweep's prompts to it and say what to do there."""
    check_workers(workers)
    from sweep.commands.recheck import (
        adopt_prompts,
        format_verdicts,
        recheck_folder,
        recheck_plan,
        verdicts,
    )
    from sweep.ledger.store import store_folder
    from sweep.run.runner import Options
    from sweep.run.runner import run as run_plan

    plan = recheck_plan(folder, target, budget)
    place = out or recheck_folder(folder, target)
    adopt_prompts(folder, place, plan)
    with redirect_stdout(sys.stderr):
        code = run_plan(plan, place, Options(workers=workers, store=store_folder(store)))
    if code == 0:
        _print(verdicts(place), format_verdicts, as_json)
    raise typer.Exit(code)


@app.command(name="store", rich_help_panel=MACHINE)
def store_command(
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
    kept = Store(place, _warn, repair=check)
    size = None if prune is None else size_of(prune, "--prune")
    found = care(place, kept.check if check else kept.peek, check, size, older_than)
    _print(found, format_care, as_json)


@app.command(rich_help_panel=READ)
def status(folder: Folder, as_json: Json = False) -> None:
    """Show how far a sweep is and what failed."""
    from sweep.commands.status import folder_status, format_status

    found = folder_status(folder)
    _print(found, format_status, as_json)


@app.command(rich_help_panel=READ)
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
            _warn(unreadable_note(files, folder))


@app.command(rich_help_panel=READ)
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
) -> None:
    """Write prompts for other programs: a folder for each backbone, and a manifest."""
    from sweep.export.choose import make_choice
    from sweep.export.folders import export_prompts, format_export

    choice = make_choice(cell, best, row=row, task=task, target=target, method=method)
    notes: list[str] = []
    written, found = export_prompts(folder, choice, kind, to, notes)
    _warn(*notes)
    print(format_export(written, found))


@app.command(rich_help_panel=SHARE)
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
) -> None:
    """Upload one prompt to the Hugging Face Hub. The token comes from HF_TOKEN or hf auth login."""
    from sweep.export.choose import make_choice
    from sweep.export.push import Destination, format_upload, push_prompt

    choice = make_choice(cell, None, row=row, task=task, target=target, method=method)
    print(format_upload(push_prompt(folder, choice, Destination(repo, private, dry_run))))


@app.command(rich_help_panel=SHARE)
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
) -> None:
    """Register one prompt with its backbone as an MLflow model that classifies text."""
    from sweep.export.choose import make_choice
    from sweep.export.register import format_registered, register_prompt

    choice = make_choice(cell, None, row=row, task=task, target=target, method=method)
    print(format_registered(register_prompt(folder, choice, name, tracking_uri)))


@app.command(rich_help_panel=WRITE)
def schema() -> None:
    """Print the JSON Schema of specs, for editors."""
    from sweep.spec.spec import spec_schema

    print(json.dumps(spec_schema(), indent=2, ensure_ascii=False))


@app.command(rich_help_panel=WRITE)
def recommend(
    spec: Spec,
    finished: Annotated[
        list[Path] | None,
        typer.Option("--from", metavar="DIR", help="A finished sweep to learn from (repeatable)."),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="One of the spec's targets. Default: all.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Rank source sets for the spec's targets before any tuning, and say how far to trust it."""
    _warn_of_no_cache()
    from sweep.commands.recommend import format_advice
    from sweep.commands.recommend import recommend as advise
    from sweep.spec.spec import load_spec

    found = advise(load_spec(spec), finished or (), target, _warn)
    print(json.dumps([item.to_json() for item in found]) if as_json else format_advice(found))


@app.command(rich_help_panel=READ)
def features(
    folder: Folder,
    before: Annotated[
        bool, typer.Option("--before", help="Only what is known before tuning; reads no prompt.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write features.parquet, and say which features predict what source sets transfer."""
    _warn_of_no_cache()
    from sweep.commands.recommend import format_features

    print(format_features(folder, not before, as_json, _warn))


@app.command(rich_help_panel=READ)
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


@app.command(rich_help_panel=SHARE)
def sync(
    folder: Folder,
    tracking_uri: Annotated[
        str | None,
        typer.Option(metavar="URI", help="MLflow server or database. Default: the spec's."),
    ] = None,
) -> None:
    """Write the results that MLflow lacks; all of them to a new server."""
    from sweep.tracking.sink import sync as write

    print(write(folder, tracking_uri))


@app.command(rich_help_panel=READ)
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


@app.command(rich_help_panel=MACHINE)
def validate_cluster(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A Ray cluster YAML, or a SLURM script.")
    ],
) -> None:
    """Check a cluster file offline, before it costs money."""
    from sweep.commands.validate_cluster import validate_cluster as validate

    verdict = validate(file)
    for sentence in verdict.mistakes:
        print(f"error: {sentence}", file=sys.stderr)
    _warn(*verdict.warnings)
    if verdict.mistakes:
        raise typer.Exit(MISTAKE)
    print(f"{file}: in order")


@app.command(rich_help_panel=MACHINE)
def doctor(as_json: Json = False) -> None:
    """Say what this machine has for sweeps (versions, devices, places), and what would stop one."""
    from sweep.commands.doctor import examine, format_findings

    found = examine()
    _print(found, format_findings, as_json)
    for sentence in found["problems"]:
        print(f"error: {sentence}", file=sys.stderr)
    if found["problems"]:
        raise typer.Exit(1)


def _warn_of_no_cache() -> None:
    _warn(*filter(None, [no_cache()]))


def _warn(*lines: str) -> None:
    for line in lines:
        print(f"warning: {line}", file=sys.stderr)


def _print(found: Any, text: Callable[[Any], str], as_json: bool) -> None:
    print(json.dumps(found) if as_json else text(found))


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
