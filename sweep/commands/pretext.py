"""``sweep pretext``: pretext tasks from ordered documents (Gu et al. 2022, PPT)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from trainables.core.registries import PRETEXTS
from trainables.errors import InputError, check_known, show
from trainables.files.cache import expanded
from trainables.pretext.build import Asked, Built, build, check_letters, letter_task
from trainables.pretext.documents import read_documents
from trainables.pretext.labeller import Shares, labelled_for, read_labels, score
from trainables.pretext.material import Labelled
from trainables.tasks import load_task

Labeller = Callable[[Iterable[str]], Labelled]
"""From the sentences of a corpus to their labels."""


def numbers(text: str) -> tuple[float, ...]:
    """Numbers between commas.

    Raises:
        InputError: something else.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"--confidence: found {show(text)}; allowed: numbers from 0 to 1 between commas"
        ) from None


def labels_of(
    task: str | None,
    labels: Path | None,
    model: str | None,
    prompt: Path | None,
    confidence: Sequence[float],
) -> Labeller | None:
    """Who labels sentences; None where nobody is asked to.

    Args:
        task: whose classes they get.
        labels: a file with labels.
        model: that labels, where there is no file.
        prompt: its prompt.
        confidence: least probability of a label, one number or one a class.

    Raises:
        InputError: the parts do not go together, or one cannot be had.
    """
    if labels is None and model is None:
        for option, value in (("--label-task", task), ("--prompt", prompt)):
            if value is not None:
                raise InputError(
                    f"{option}: found {show(str(value))} alone; allowed: beside --model NAME, or"
                    " --label-task beside --labels FILE"
                )
        return None
    if task is None:
        raise InputError(
            "--label-task: found none; allowed: a task, whose classes sentences are given"
        )
    for option, value in (("--model", model), ("--prompt", prompt)):
        if labels is not None and value is not None:
            raise InputError(
                f"{option}: found {show(str(value))} beside --labels {labels}; allowed: the labels"
                " of one of the two"
            )
    known = load_task(task)
    known.need_classes("--label-task", "tasks with classes")
    labelled_for(known, {}, confidence)
    if labels is not None:
        shares = read_labels(expanded(labels), known)
        return lambda sentences: labelled_for(known, shares, confidence)
    from trainables.models.names import resolve_model

    found, file = resolve_model(str(model)), prompt and expanded(prompt)

    def scored(sentences: Iterable[str]) -> Labelled:
        shares: Shares = score(sentences, known, found, file)
        return labelled_for(known, shares, confidence)

    return scored


def build_tasks(
    corpus: Path,
    out: Path,
    asked: Asked,
    labeller: Labeller | None = None,
    letters: Sequence[str] = (),
) -> tuple[list[Built], list[Path]]:
    """Pretext tasks of a corpus, and tasks with letters as answers, in the folder ``out``.

    Args:
        corpus: a file of documents, see :func:`trainables.pretext.documents.read_documents`.
        out: nothing in it is overwritten.
        asked: what is to be built; without kinds, all that have what they need.
        labeller: for the kinds that need labels.
        letters: further tasks, by name or file.

    Raises:
        InputError: what the corpus, the labels or the folder lack.
    """
    every = [name for name, kind in PRETEXTS.items() if labeller is not None or not kind.labelled]
    for name in asked.kinds:
        check_known(name, PRETEXTS, "--kind")
    kinds = tuple(dict.fromkeys(asked.kinds)) or tuple(every)
    lacking = next((name for name in kinds if name not in every), None)
    if lacking:
        raise InputError(
            f"--kind: found {lacking} without labels; allowed: beside --label-task TASK and either"
            " --labels FILE or --model NAME"
        )
    tasks = [load_task(name) for name in letters]
    for task in tasks:
        check_letters(task)
    documents = read_documents(expanded(corpus))
    labelled = None
    if labeller is not None and any(PRETEXTS[name].labelled for name in kinds):
        labelled = labeller(sentence for document in documents for sentence in document)
    place = expanded(out)
    built = build(documents, place, replace(asked, kinds=kinds, labelled=labelled))
    return built, [letter_task(task, place) for task in tasks]


def format_built(built: Sequence[Built], letters: Sequence[Path]) -> str:
    """What was written, with class shares, for people."""
    lines = []
    for item in built:
        sizes = {split: sum(counts.values()) for split, counts in item.classes.items()}
        train = item.classes["train"]
        shares = ", ".join(
            f"{name} {100 * count / sizes['train']:.1f} %" for name, count in sorted(train.items())
        )
        rows = ", ".join(f"{split} {size:,}" for split, size in sizes.items())
        lines += [f"{item.name}: {item.file}", f"  {rows}", f"  {shares}"]
    lines += [f"letters: {file}" for file in letters]
    return "\n".join(lines)
