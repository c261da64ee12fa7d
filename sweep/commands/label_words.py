"""``sweep label-words``: which label words bring Empty and Manual near what a paper prints.

Paper A prints no label words. Its Empty and Manual rows depend on nothing else, so they are the one
handle on them. Scores are those of the validation split (test labels choose nothing), the paper's
those of the test split: near is near, equal is not to be expected. ``--propose`` adds words that
are one token on every model of the spec.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from importlib import resources as package_files
from itertools import product
from typing import Any

from sweep.spec.resolve import ResolvedSpec, resolve
from sweep.spec.spec import SweepSpec
from trainables.core.cells import ModelRef
from trainables.core.settings.base import CHAT
from trainables.core.texts import Word, listed, written
from trainables.errors import InputError, check_known, show
from trainables.tasks import Task, load_task

ROWS = ("empty", "manual")
IN_CHAT = " in its chat template"


def published(task: str) -> dict[str, float] | None:
    """Paper A's ``empty`` and ``manual`` scores (0..1) of RoBERTa-large on a task, if there are."""
    file = package_files.files("sweep") / "published" / "paper_a.json"
    percent = json.loads(file.read_text(encoding="utf-8"))["percent"].get(task)
    return None if percent is None else {row: percent[row] / 100 for row in ROWS}


def compare_words(
    spec: SweepSpec,
    models: Sequence[str] = (),
    tasks: Sequence[str] = (),
    words: Sequence[Sequence[Word]] = (),
    say: Callable[[str], None] = lambda line: None,
    proposed: bool = False,
) -> list[dict[str, Any]]:
    """Score every choice of label words with the Empty and the Manual row.

    Args:
        spec: whose models, tasks, ``text_tokens`` and chat templates are used: under
            ``template: chat`` a model that has one reads in it, and both ways where the spec asks
            for both.
        models: the spec's model aliases or any other model names; the targets if empty.
        tasks: names among the spec's tasks; all if empty.
        words: further choices of label words, each tried on the tasks with as many classes.
        say: takes a line before each model and task.
        proposed: try words too that :func:`sweep.commands.init.words.proposals` finds.

    Returns:
        One entry a model, way of reading and task: ``model``, ``frame`` (``chat`` in its chat
        template, else ``plain``), ``task``, ``metric``, ``rows`` (validation rows),
        ``published`` (see :func:`published`) and ``candidates`` (see
        :func:`trainables.scoring.label_words.score_label_words`), each with ``off`` (score minus
        the published one by row, or None) and ``nearest``.

    Raises:
        InputError: an unknown model or task, words that fit no task, data that cannot be read.
    """
    resolved = resolve(spec)
    asked = _models(resolved, models)
    loaded = [load_task(ref) for ref in resolved.tasks if _asked(resolved, ref.name, tasks)]
    for task in loaded:
        task.need_classes("--task", "tasks with classes")
    _check_words(loaded, words)
    more = {task.name: _proposed(resolved, task) if proposed else [] for task in loaded}
    import torch  # seconds to import, not needed to find a mistake above

    from trainables.scoring.label_words import score_label_words

    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = []
    ways = [(model, chat) for model in asked for chat in _frames(spec, model)]
    for place, ((model, chat), task) in enumerate(product(ways, loaded)):
        candidates = _candidates(task, [*words, *more[task.name]])
        rows = len(task.rows("validation"))
        step = f"{place + 1} of {len(ways) * len(loaded)}"
        say(f"{step}: {model.alias}, {task.name}, {len(candidates)} choices, {rows} rows")
        scored = score_label_words(model, task, candidates, _text_tokens(spec), device, chat)
        found.append(_entry(model, chat, task, rows, scored))
    return found


def format_words(entries: Sequence[Mapping[str, Any]]) -> str:
    """The findings for people; scores in percent."""
    blocks = []
    for entry in entries:
        known = entry["published"]
        paper = ", ".join(f"{row.capitalize()} {_points(known[row])}" for row in ROWS if known)
        candidates = entry["candidates"]
        width = max(len("label words"), *(len(written(item["words"])) for item in candidates))
        header = f"  {'label words'.ljust(width)}" + "".join(
            f"  {row.capitalize():>7}" + (f"  {'off':>6}" if known else "") for row in ROWS
        )
        lines = [
            f"{entry['model']}{IN_CHAT if entry['frame'] == CHAT else ''}, {entry['task']}"
            f" ({entry['metric']}, {entry['rows']} validation"
            f" rows{'; paper A: ' + paper if known else ''})",
            header,
            *(_line(item, width) for item in candidates),
        ]
        if any(item[row] and item[row]["degenerate"] for item in candidates for row in ROWS):
            lines.append("  * one class predicted throughout")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _line(item: Mapping[str, Any], width: int) -> str:
    line = f"  {written(item['words']).ljust(width)}"
    if item["problem"]:
        # Model and task stand above, and what is allowed goes without saying here.
        return f"{line}  {item['problem'].partition(': ')[2].partition(';')[0]}"
    for row in ROWS:
        mark = "*" if item[row]["degenerate"] else " "
        line += f"  {_points(item[row]['score']):>6}{mark}"
        if item["off"]:
            line += f"  {100 * item['off'][row]:>+6.1f}"
    return (line + ("  nearest" if item["nearest"] else "")).rstrip()


def _points(score: float) -> str:
    return f"{100 * score:.1f}"


def _entry(
    model: ModelRef, chat: bool, task: Task, rows: int, scored: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    known = published(task.name)
    for item in scored:
        item["off"], item["nearest"] = None, False
        if known is not None and item["problem"] is None:
            item["off"] = {row: item[row]["score"] - known[row] for row in ROWS}
    compared = [item for item in scored if item["off"]]
    if compared:
        # By the Empty row; Manual decides between equals.
        nearest = min(compared, key=lambda item: [abs(item["off"][row]) for row in ROWS])
        nearest["nearest"] = True
    return {
        "model": model.alias,
        "frame": CHAT if chat else "plain",
        "task": task.name,
        "metric": task.metric,
        "rows": rows,
        "published": known,
        "candidates": list(scored),
    }


def _models(resolved: ResolvedSpec, names: Sequence[str]) -> list[ModelRef]:
    from trainables.models.names import resolve_model

    spec = resolved.spec
    aliases = {alias: entry.model_dump() for alias, entry in spec.models.items()}
    return [
        resolved.models[name]
        if name in resolved.models
        else resolve_model(name, aliases, spec.base)
        for name in dict.fromkeys(names or resolved.targets)
    ]


def _asked(resolved: ResolvedSpec, name: str, wanted: Sequence[str]) -> bool:
    known = [task.name for task in resolved.tasks]
    for item in wanted:
        check_known(item, known, "--task")
    return not wanted or name in wanted


def _proposed(resolved: ResolvedSpec, task: Task) -> list[tuple[Word, ...]]:
    """Words that are one token on every source and target of the spec."""
    from sweep.commands.init.words import proposals

    models = [
        resolved.models[name] for name in dict.fromkeys((*resolved.sources, *resolved.targets))
    ]
    texts = [(row.whole, row.label) for row in task.rows("train")]
    every = proposals(task.classes, models, texts, _templates(resolved.spec))
    return [tuple(one.word for one in found) for found in every]


def _templates(spec: SweepSpec) -> set[bool]:
    """Whether the spec's methods ask for chat templates, for none, or for both."""
    return {way.template == CHAT for each in spec.methods.values() for way in each.variants}


def _frames(spec: SweepSpec, model: ModelRef) -> list[bool]:
    """Whether a model reads in its chat template: no, yes, or both."""
    from trainables.backbones import load_reader

    asked = _templates(spec)
    return sorted({chat and load_reader(model).chat is not None for chat in asked})


def further_words(text: str) -> tuple[Word, ...]:
    """Label words as an option has them: ``bad|poor,very good``."""
    named = [tuple(word.strip() for word in one.split("|")) for one in text.split(",")]
    return tuple(words[0] if len(words) == 1 else words for words in named)


def _check_words(tasks: Sequence[Task], further: Sequence[Sequence[Word]]) -> None:
    for words in further:
        every = [word for one in words for word in listed(one)]
        distinct = len(set(every)) == len(every) and all(every)
        if not distinct or not any(_fits(task, words) for task in tasks):
            sizes = ", ".join(f"{task.name} {task.num_classes}" for task in tasks)
            raise InputError(
                f"--words: found {show(written(words).replace('/', ','))}; allowed: as many"
                f" different words as a task has classes, between commas ({sizes}), with spaces in"
                " them where the task has a scoring"
            )


def _fits(task: Task, words: Sequence[Word]) -> bool:
    """As many as there are classes, and texts of several words only where these are scored."""
    texts = any(" " in word for one in words for word in listed(one))
    return len(words) == task.num_classes and (task.scoring is not None or not texts)


def _candidates(task: Task, further: Sequence[Sequence[Word]]) -> list[tuple[Word, ...]]:
    own = [task.label_words, *task.label_words_alternatives]
    fitting = [tuple(words) for words in further if _fits(task, words)]
    return list(dict.fromkeys([*own, *fitting]))


def _text_tokens(spec: SweepSpec) -> int | None:
    """Where the reference rows of the sweep cut texts: as its first method does."""
    settings = next(iter(spec.methods.values())).variants[0]
    found: int | None = getattr(settings, "text_tokens", None)
    return found
