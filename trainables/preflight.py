"""What can be known to fail before anything is trained: tokenizers and data, no weights."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainables.backbones.labels import judged_by
from trainables.backbones.loading import check_weights, in_a_sentence, load_reader
from trainables.backbones.reader import Reader
from trainables.core.cells import ModelRef, TaskRef
from trainables.core.plugins import Plugin
from trainables.core.registries import METHODS, SOLVERS
from trainables.core.settings import TransferSettings, from_mapping
from trainables.core.settings.base import CHAT
from trainables.errors import InputError
from trainables.hard.allowed import available_words
from trainables.hard.helper import check_helper
from trainables.models.chats import frames_note
from trainables.models.first_look import TOKENIZER, is_local
from trainables.packs.run import in_chat, layout_on, plain_layout
from trainables.scoring.free_text import answers_of
from trainables.soft.initialisation import check_beginning
from trainables.soft.mixture import single_tokens
from trainables.tasks import Task, load_task
from trainables.tasks.shots import few_shot
from trainables.transfer import solver_named
from trainables.transfer.taught.starts import check_start
from trainables.words.vocabulary import FEW_ANCHORS, check_shared, common_vocabulary


def preflight(
    models: Sequence[ModelRef],
    tasks: Sequence[TaskRef] = (),
    settings: Sequence[Mapping[str, Any]] = (),
    together: Sequence[Sequence[str]] = (),
    starts: Sequence[Mapping[str, Any]] = (),
    words: Sequence[Mapping[str, Any]] = (),
    scored: Sequence[str] | None = None,
    samples: Sequence[tuple[Sequence[str], int]] = (),
    labels: Sequence[TaskRef] = (),
    plugins: Sequence[Plugin] = (),
    ways: Sequence[Mapping[str, Any]] = (),
    mixtures: Sequence[Mapping[str, Any]] = (),
    copies: Sequence[Mapping[str, Any]] = (),
    staying: Sequence[str] = (),
    shots: Sequence[tuple[str, int]] = (),
    part: bool = False,
) -> list[str]:
    """Check models, tasks and prompt lengths against one another.

    A model in a folder must have all its weights, in the shapes of its config. Every token must
    have a row in its model's embedding table, every label word must be one token on every model or
    a text that the task's scoring takes, every split must hold rows, prompts must fit the positions
    and be able to start as asked for, and models that are tuned or transferred together must share
    words.

    Args:
        settings: the methods' parameters; those of the layout are read.
        together: groups of aliases that need a common vocabulary.
        starts: per source and combination of settings: ``model``, ``method``, ``settings`` and
            ``file`` (of ``init: file``, else None).
        words: per search of hard prompts: ``method``, ``models`` (the source, then counterparts)
            and ``settings``.
        scored: aliases that score label words; None for all.
        samples: groups of aliases of whose common words a sample is wanted, and its size.
        labels: further tasks, of which only the label words are looked at.
        plugins: files of the user's, loaded first.
        ways: per way of transfer its ``settings``, the ``targets`` it goes to and ``texts``, the
            task that its texts are from (None: the one at hand).
        mixtures: per mixture of tasks its ``model``, names of the ``tasks`` that may be in it, and
            ``settings``.
        copies: per transfer that leaves prompts as they are its ``solver``, ``sources``, ``target``
            and the ``position`` of the prompt.
        staying: methods whose prompts no way of transfer carries.
        shots: names of tasks with how many examples a class prompts are tuned with there.
        part: whether the sweep has models that are not among these.

    Returns:
        Warnings, one sentence each (few shared words, fewer words or texts than asked for).

    Raises:
        InputError: the first thing that does not fit.
    """
    for plugin in plugins:
        plugin.load()
    readers = {model.alias: load_reader(model) for model in models}
    for model in filter(is_local, models):
        check_weights(model, readers[model.alias])
    scoring = [readers[alias] for alias in (readers if scored is None else scored)]
    loaded = [load_task(ref) for ref in (*labels, *tasks)]
    grouped = {alias for group in together for alias in group}
    spare: dict[tuple[str, str], int] = {}
    for model in models:
        reader = readers[model.alias]
        # A tokenizer that loads may still fail on a text.
        with in_a_sentence(model, TOKENIZER):
            for task in loaded if reader in scoring else ():
                for chat in {in_chat(reader, chosen) for chosen in settings} or {False}:
                    longest = judged_by(answers_of(reader, task, chat=chat)).longest
                    key = (model.alias, task.name)
                    spare[key] = max(longest, spare.get(key, 0))
            if model.alias in grouped:
                _ = reader.words
    for ref in tasks:
        task = load_task(ref)
        for split in ("train", "validation", "test"):
            task.rows(split)
        pair = task.pair is not None
        for reader in scoring:
            layouts = [layout_on(reader, task, chosen) for chosen in settings]
            plain = [plain_layout(reader, chosen, task.manual) for chosen in settings or [{}]]
            for layout in (*layouts, *plain):
                reader.room(layout, task.name, pair, spare[reader.alias, task.name])
    for name, few in shots:
        few_shot(next(task for task in loaded if task.name == name), few, 0)
    for task in filter(lambda task: task.free, loaded):
        _check_no_classes_needed(task, starts, words, ways)
    named = {task.name: task for task in loaded}
    for mixture in mixtures:
        reader = readers[mixture["model"]]
        for name in mixture["tasks"]:
            chat = in_chat(reader, mixture["settings"])
            single_tokens(answers_of(reader, named[name], chat=chat), name, reader.alias)
    for copy in copies:
        from_readers = [readers[alias] for alias in copy["sources"]]
        way = solver_named(copy["solver"])
        way.check_models(from_readers, readers[copy["target"]], copy["position"])
    for start in starts:
        chosen = from_mapping(METHODS[start["method"]], start["settings"])
        file = Path(start["file"]) if start["file"] else None
        check_beginning(readers[start["model"]], chosen, file)
    return [
        *map(_staying, staying),
        *_frame_warnings(scoring, settings, part),
        *dict.fromkeys(_word_warnings(readers, words)),
        *_anchor_warnings(readers, together, samples),
        *dict.fromkeys(
            warning
            for way in ways
            for warning in _way_warnings(way, readers, [load_task(ref) for ref in tasks])
        ),
    ]


def _staying(method: str) -> str:
    ways = " or ".join(name for name, kind in SOLVERS.items() if kind.layers)
    return (
        f"method {method}: its prompts stay on the models they are tuned on, as no way of the"
        f" section transfer carries keys and values of layers (transfer.solver {ways} does, between"
        " models of equal depth and heads)"
    )


def _frame_warnings(
    readers: Sequence[Reader], settings: Sequence[Mapping[str, Any]], part: bool
) -> Iterator[str]:
    """Check that ``template: chat`` means something; a sentence where it does not for all."""
    if all(chosen.get("template") != CHAT for chosen in settings):
        return
    chat = [reader.alias for reader in readers if reader.chat is not None]
    plain = [reader.alias for reader in readers if reader.chat is None]
    if not chat and not part:
        raise InputError(
            f"template: found {CHAT}, but no model here has a chat template ({', '.join(plain)});"
            " allowed: a causal model with one (an instruction-tuned one), or another template"
        )
    if chat and plain:
        yield frames_note(chat, plain)


def _check_no_classes_needed(
    task: Task,
    starts: Sequence[Mapping[str, Any]],
    words: Sequence[Mapping[str, Any]],
    ways: Sequence[Mapping[str, Any]],
) -> None:
    """Refuse what needs classes, beside a task that has none."""
    for search in words:
        task.need_classes(f"methods: {search['method']}", "soft prompts")
    for start in starts:
        if start["settings"].get("init") == "label_words" and not task.answer_names:
            task.need_classes("init: label_words", "another start, or answer_names")
    for way in ways:
        solver = way["settings"]["solver"]
        if SOLVERS[solver].through:
            direct = [name for name, kind in SOLVERS.items() if not kind.through]
            task.need_classes(f"transfer.solver: {solver}", ", ".join(direct))


def _anchor_warnings(
    readers: Mapping[str, Reader],
    together: Sequence[Sequence[str]],
    samples: Sequence[tuple[Sequence[str], int]],
) -> Iterator[str]:
    """Check that models share words; a sentence for each group that shares few."""
    for group in sorted({tuple(sorted(aliases)) for aliases in together}):
        count = len(common_vocabulary([readers[alias] for alias in group]))
        check_shared(count, group)
        if count < FEW_ANCHORS:
            yield (
                f"models {', '.join(group)} share only {count} single-token words;"
                f" relative representations rest on few anchors (fewer than {FEW_ANCHORS})"
            )
    for aliases, size in samples:
        count = len(common_vocabulary([readers[alias] for alias in aliases]))
        if count < size:
            yield (
                f"models {', '.join(aliases)} share only {count} single-token words;"
                f" anchor_sample {size} takes all of them"
            )


def _word_warnings(
    readers: Mapping[str, Reader], words: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Check the words of every search; a sentence for each that has fewer than it asks for."""
    for search in words:
        settings = from_mapping(METHODS[search["method"]], search["settings"])
        source = readers[search["models"][0]]
        if getattr(settings, "helper", None) is not None:
            check_helper(readers[settings.helper], source)
        found = available_words([readers[alias] for alias in search["models"]], settings)
        if settings.vocabulary != "all" and settings.s > found.count:
            yield (
                f"s: found {settings.s}, but vocabulary {settings.vocabulary!r} has only"
                f" {found.count} {found.where}; all {found.count} are used"
            )


def _way_warnings(
    way: Mapping[str, Any], readers: Mapping[str, Reader], tasks: Sequence[Task]
) -> Iterator[str]:
    """Check a way of transfer on every task; a sentence where it has fewer texts than asked for."""
    settings = from_mapping(TransferSettings, way["settings"])
    solver = solver_named(settings.solver)
    if settings.start is not None:
        for alias in way["targets"]:
            check_start(readers[alias], settings)
    for task in filter(lambda task: not task.free, tasks):
        gold = [row.label for row in task.rows("train")]
        source = task if way["texts"] is None else load_task(way["texts"])
        if (source.pair is None) != (task.pair is None):
            there, here = (
                "single texts" if one.pair is None else "pairs" for one in (source, task)
            )
            raise InputError(
                f"transfer.texts_from: found {source.name!r}, a task of {there};"
                f" allowed beside task {task.name!r}: one of {here}"
            )
        count = len(source.rows("train"))
        solver.check(settings, gold, task.num_classes, task.name, count)
        if settings.texts is not None and settings.texts > count:
            yield (
                f"transfer.texts: found {settings.texts}, but task {source.name!r} has only {count}"
                f" in its training split; all {count} are used"
            )
