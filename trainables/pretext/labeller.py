"""Labels of sentences: from a file, or from a model with a prompt as the project scores texts."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.errors import InputError, show
from trainables.files.text_files import load_json, read_text
from trainables.pretext.material import Labelled
from trainables.tasks import Task

if TYPE_CHECKING:
    from trainables.core.cells import ModelRef

Shares = Mapping[str, Sequence[float]]
"""Probabilities of C classes by sentence."""
_SUM = 1e-3


def labelled_for(task: Task, shares: Shares, confidence: Sequence[float]) -> Labelled:
    """Labels for a task's classes.

    Args:
        task: whose classes and label words they are.
        shares: probabilities by sentence.
        confidence: one number for all classes, or one for each; PPT's released code has 0.95 for
            the worst of five grades, 0.7 for the best and 0.5 for the others.

    Raises:
        InputError: it is neither, or no share.
    """
    classes = task.num_classes
    good = len(confidence) in (1, classes) and all(0 <= item <= 1 for item in confidence)
    if not good:
        raise InputError(
            f"--confidence: found {','.join(f'{item:g}' for item in confidence)}; allowed: one"
            f" number from 0 to 1, or one for each of the {classes} classes of {task.name}, between"
            " commas"
        )
    each = tuple(confidence) * (classes if len(confidence) == 1 else 1)
    return Labelled(task.classes, task.label_words, shares, each, task.scoring)


def read_labels(path: Path, task: Task) -> Shares:
    """The labels of a file of JSON lines, ``text`` with ``label`` or ``probabilities`` each.

    A label is a class of the task by name or index and counts as sure.

    Raises:
        InputError: it cannot be read, or a line holds something else.
    """
    found = {}
    for number, line in enumerate(read_text(path, f"--labels {path}").split("\n"), 1):
        if line.strip():
            where = f"--labels {path}: line {number}"
            try:
                row = load_json(line)
            except ValueError as error:
                raise InputError(f"{where} is no JSON ({error})") from None
            text, shares = _row(row, task, where)
            found[" ".join(text.split())] = shares
    return found


def _row(row: Any, task: Task, where: str) -> tuple[str, list[float]]:
    known = row if isinstance(row, dict) else {}
    text, label, shares = (known.get(name) for name in ("text", "label", "probabilities"))
    classes = range(task.num_classes)
    if isinstance(text, str) and isinstance(shares, list) and _shares(shares, len(classes)):
        return text, [float(item) for item in shares]
    number = task.classes.index(label) if label in task.classes else label
    if isinstance(text, str) and isinstance(number, int) and number in classes:
        return text, [float(place == number) for place in classes]
    raise InputError(
        f'{where}: found {show(row)}; allowed: "text" with "label", one of'
        f' {", ".join(task.classes)}, or with "probabilities", {len(classes)} numbers that add up'
        " to 1"
    )


def _shares(values: list[Any], count: int) -> bool:
    numbers = all(isinstance(item, int | float) and 0 <= item <= 1 for item in values)
    return numbers and len(values) == count and abs(sum(values) - 1) <= _SUM


def score(
    sentences: Iterable[str], task: Task, model: "ModelRef", prompt: Path | None = None
) -> Shares:
    """Label probabilities of sentences on a model, as a sweep scores texts.

    Args:
        sentences: N texts.
        task: whose label words are compared; without a prompt its manual template follows the text.
        model: that reads them.
        prompt: a .npy or .safetensors file [m, d], read before the text.

    Raises:
        InputError: model or prompt cannot be had, or a label word is not one token.
    """
    import torch  # takes a while; a file of labels does without

    from trainables.backbones import Layout, load_backbone, reads_of
    from trainables.soft.initialisation import read_prompt

    texts = list(dict.fromkeys(sentences))
    backbone = load_backbone(model, "cuda" if torch.cuda.is_available() else "cpu")
    vectors = None
    if prompt is not None:
        vectors = torch.from_numpy(read_prompt(prompt, model.alias, None, backbone.width))[None]
    length = 0 if vectors is None else vectors.shape[1]
    layout = Layout(length, template="" if length else task.manual)
    labels = backbone.labels(task.label_words, task.name, task.scoring)
    data = backbone.read(texts, [-1] * len(texts), layout, task.name, reads_of(labels).longest)
    with torch.no_grad():
        logits = backbone.split_logits(data, labels, vectors)
    shares = logits[0].float().softmax(-1).cpu().tolist()
    return dict(zip(texts, shares, strict=True))
