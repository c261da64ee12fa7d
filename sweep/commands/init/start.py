"""The command itself: look, choose, write, and say what was found."""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from sweep.commands.init.look import Look, look
from sweep.commands.init.texts import SPEC, TASK, relative, spec_text, task_text
from sweep.commands.init.words import NAME, Proposal, propose
from sweep.search.plan import any_plan
from sweep.spec.spec import load_spec
from trainables.core.cells import ModelRef
from trainables.errors import InputError, show
from trainables.files.cache import expanded
from trainables.files.text_files import named, one_line, reason_of
from trainables.models.first_look import is_local
from trainables.models.names import resolve_model
from trainables.pocket.zoo import POCKET_NAMES
from trainables.tasks import SPLITS, load_task

_PRESET = "quickstart"
"""Whose models are taken where none are named."""


def start(
    data: Path,
    out: Path,
    models: Sequence[str] = (),
    text: str | None = None,
    label: str | None = None,
) -> str:
    """Write ``task.yaml`` and ``spec.yaml`` for a data file into the folder ``out``.

    Args:
        data: a CSV, TSV or JSONL file, or a folder with train, validation and test files.
        out: made where it is not there; nothing in it is overwritten.
        models: the last one is the target, the others are sources; one alone is the target of the
            embedded sources; those of the preset quickstart where there are none.
        text, label: columns; found by rules where not named.

    Returns:
        What was found, what was written and the next commands, for people.

    Raises:
        InputError: what the data, the models or the folder lack.
    """
    place = expanded(out)
    for name in (TASK, SPEC):
        if (place / name).exists():
            raise InputError(
                f"--out: found {place / name}; allowed: a folder without it, as nothing is"
                " overwritten"
            )
    sources, targets = _models(models)
    seen = look(expanded(data), text, label)
    examples = [(row.text, row.label) for row in seen.examples["train"]]
    words = propose(seen.classes, [*sources.values(), *targets.values()], examples)
    name = _name(seen.data)
    written = {
        TASK: task_text(name, seen, words, place, len(sources) + len(targets)),
        SPEC: spec_text(name, seen, _names(sources, place), _names(targets, place)),
    }
    _write(place, written)
    return _told(name, seen, words, place)


def _models(names: Sequence[str]) -> tuple[dict[str, ModelRef], dict[str, ModelRef]]:
    """Sources and targets, by the name that they were given."""
    preset = load_spec(_PRESET)
    *first, target = names or (*preset.sources, *preset.targets)
    if not first:
        first = [name for name in preset.sources if name != target]
    sources = {name: resolve_model(name) for name in dict.fromkeys(first)}
    return sources, {target: resolve_model(target)}


def _names(models: Mapping[str, ModelRef], out: Path) -> list[str]:
    """Names as the spec has them, whose paths start from its folder."""
    return [
        relative(Path(model.location), out)
        if is_local(model) and name not in POCKET_NAMES
        else name
        for name, model in models.items()
    ]


def _name(data: Path) -> str:
    """A name for task and sweep, of the data's own."""
    stem = data.absolute().stem if data.is_file() else data.absolute().name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:64] or "mine"


def _write(out: Path, texts: Mapping[str, str]) -> None:
    """Both files, or none: what they hold is read back first."""
    written: list[Path] = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            with (out / name).open("x", encoding="utf-8") as file:
                written.append(out / name)
                file.write(text)
        load_task(out / TASK)
        any_plan(load_spec(str(out / SPEC)))
    except BaseException as error:
        for path in written:
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise InputError(
                f"--out: {out} cannot be written ({reason_of(error)}); allowed: a folder that can"
            ) from None
        raise


def _told(name: str, seen: Look, words: Sequence[Proposal], out: Path) -> str:
    files = ", ".join(path.name for path in seen.files.values())
    held = ", held out in class proportions" if len(seen.files) < len(SPLITS) else ""
    splits = ", ".join(f"{role} {len(rows):,}" for role, rows in seen.examples.items())
    sizes = ", ".join(f"{one_line(label)} {size:,}" for label, size in seen.sizes.items())
    chosen = ", ".join(
        f"{one_line(label)}: {word} ({why})"
        for label, (word, why) in zip(seen.classes, words, strict=True)
    )
    spec = shlex.quote(str(out / SPEC))
    lines = [
        f"{files}: {sum(seen.sizes.values()):,} rows, columns {named(seen.columns)}",
        *(
            f"  {option.ljust(11)}  {show(choice.column.name)} ({choice.why})"
            for option, choice in (("text", seen.text), ("label", seen.label))
        ),
        f"  classes      {sizes}",
        f"  splits       {splits}{held}",
        f"  label words  {chosen}",
        *(f"  note         {note}" for note in seen.notes),
        f"wrote {out / TASK} and {out / SPEC}: both are commented, change what you like",
        "next:",
        f"  sweep plan {spec}",
        f"  sweep run {spec} --out {shlex.quote(str(Path('results') / name))}",
    ]
    if any(why != NAME for _, why in words):
        lines.insert(-3, f"  see whether the label words suit you: {out / TASK}")
    return "\n".join(lines)
