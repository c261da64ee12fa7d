"""Commands that write and run a sweep."""

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from sweep.shell.options import (
    Folder,
    Json,
    Set,
    Spec,
    StorePlace,
    StoreSize,
    check_workers,
)
from sweep.shell.output import tell, warn, warn_of_no_cache
from sweep.shell.views import advice_view, plan_view, presets_view, words_view
from trainables.core.frontier import CHEAP


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
    tell(
        {name: preset_description(name) for name in names},
        lambda found: "\n".join(f"{name.ljust(width)}  {told}" for name, told in found.items()),
        False,
        presets_view,
    )


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
    warn_of_no_cache()
    from sweep.commands.plan import format_plan, plan_counts
    from sweep.ledger.store import store_folder
    from sweep.spec.spec import load_spec

    counts = plan_counts(
        load_spec(spec, overrides or ()), out, store_folder(store), profile, workers
    )
    tell(counts, format_plan, as_json, plan_view)


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
    propose: Annotated[
        bool, typer.Option(help="Try words too that are one token on every model of the spec.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Score choices of label words with the Empty and Manual prompts, beside paper A's rows."""
    warn_of_no_cache()
    from sweep.commands.label_words import compare_words, format_words, further_words
    from sweep.spec.spec import load_spec

    further = [further_words(item) for item in words or ()]

    def say(line: str) -> None:
        typer.echo(line, err=True)

    found = compare_words(load_spec(spec), model or (), task or (), further, say, propose)
    tell(found, format_words, as_json, words_view)


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
    from sweep.engine.runner import Options
    from sweep.engine.runner import run as run_plan
    from sweep.ledger.store import store_folder
    from sweep.ledger.store_size import size_of
    from sweep.search.plan import any_plan
    from sweep.spec.spec import load_spec

    place, size = store_folder(store), size_of(store_size)
    options = Options(address=address, workers=workers, store=place, store_size=size)
    # Standard output is for results: what libraries print goes to standard error.
    with redirect_stdout(sys.stderr):
        code = run_plan(any_plan(load_spec(spec, overrides or ())), out, options)
    raise typer.Exit(code)


def recheck(
    folder: Folder,
    target: Annotated[
        list[str], typer.Option(metavar="MODEL", help="A new model, by name or path (repeatable).")
    ],
    budget: Annotated[
        int,
        typer.Option(metavar="ROWS", help="Texts that a way may read on it, backwards twice."),
    ] = CHEAP,
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
    from sweep.engine.runner import Options
    from sweep.engine.runner import run as run_plan
    from sweep.ledger.store import store_folder
    from sweep.ledger.store_size import size_of

    plan = recheck_plan(folder, target, budget)
    place = out or recheck_folder(folder, target)
    adopt_prompts(folder, place, plan)
    with redirect_stdout(sys.stderr):
        options = Options(workers=workers, store=store_folder(store), store_size=size_of(None))
        code = run_plan(plan, place, options)
    if code == 0:
        tell(verdicts(place), format_verdicts, as_json)
    raise typer.Exit(code)


def pretext(
    corpus: Annotated[
        Path,
        typer.Argument(metavar="CORPUS", help="Ordered documents: a .jsonl or .txt file."),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the task files and data.")],
    kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="nsp, nss, unified or pseudo (repeatable). Default: all that have what they need.",
        ),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Examples to train on.")] = 3000,
    held_rows: Annotated[
        int, typer.Option(min=1, help="Examples for each of validation and test.")
    ] = 300,
    held_out: Annotated[
        float, typer.Option(min=0, max=0.4, help="Share of the documents for each of these.")
    ] = 0.1,
    option_words: Annotated[
        int, typer.Option(min=1, help="Words that an option of a multiple choice is cut to.")
    ] = 20,
    seed: Annotated[int, typer.Option(help="Of all choices.")] = 0,
    label_task: Annotated[
        str | None,
        typer.Option(metavar="TASK", help="Kind pseudo: whose classes sentences are given."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Kind pseudo: labels of sentences.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Kind pseudo: the model that labels instead."),
    ] = None,
    prompt: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Its prompt, .npy or .safetensors. Default: the task's manual template.",
        ),
    ] = None,
    confidence: Annotated[
        str, typer.Option(metavar="P,P", help="Least probability of a label, or one a class.")
    ] = "0.5",
    letters: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TASK", help="Write this task with letters as answers too (repeatable)."
        ),
    ] = None,
) -> None:
    """Build pretext tasks (PPT) from ordered documents: task files with their data."""
    from sweep.commands.pretext import build_tasks, format_built, labels_of, numbers
    from trainables.pretext.build import Asked

    labeller = labels_of(label_task, labels, model, prompt, numbers(confidence))
    asked = Asked(tuple(kind or ()), rows, held_rows, held_out, option_words, seed)
    built, lettered = build_tasks(corpus, out, asked, labeller, letters or ())
    print(format_built(built, lettered))


def schema() -> None:
    """Print the JSON Schema of specs, for editors."""
    from sweep.spec.spec import spec_schema

    print(json.dumps(spec_schema(), indent=2, ensure_ascii=False))


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
    """Rank source sets (or source tasks) before any tuning, and say how far to trust it."""
    warn_of_no_cache()
    from sweep.commands.recommend import format_advice
    from sweep.commands.recommend import recommend as advise
    from sweep.spec.spec import load_spec

    asked = load_spec(spec)
    if asked.task_transfer is not None:
        from sweep.commands.recommend_tasks import format_tasks, recommend_tasks

        ranked = recommend_tasks(asked, finished or (), target, warn)
        print(json.dumps(ranked.to_json()) if as_json else format_tasks(ranked))
        return
    found = advise(asked, finished or (), target, warn)
    if as_json:
        print(json.dumps([item.to_json() for item in found]))
    else:
        tell(found, format_advice, False, advice_view)


COMMANDS = (
    presets,
    init,
    plan,
    label_words,
    run,
    recheck,
    pretext,
    schema,
    recommend,
)
