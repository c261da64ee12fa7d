"""Label words tried out: what the Empty and the Manual row score with each choice of words."""

from collections.abc import Sequence
from typing import Any

import torch

from trainables.backbones import Labels, Layout, load_backbone, reads_of
from trainables.core.cells import ModelRef
from trainables.core.texts import Word
from trainables.errors import InputError
from trainables.scoring.evaluate import scores, unreadable
from trainables.tasks import Task, metrics


def score_label_words(
    model: ModelRef,
    task: Task,
    candidates: Sequence[Sequence[Word]],
    text_tokens: int | None = None,
    device: str = "cpu",
    chat: bool = False,
) -> list[dict[str, Any]]:
    """Score choices of label words on the validation split, without any tuning.

    Choices of single tokens share one forward pass a row: only the vocabulary rows read at the end
    differ. Texts of several tokens are read for themselves.

    Args:
        task: whose validation split and templates are used.
        candidates: choices of label words for C classes, scored as the task says.
        text_tokens: texts are cut to this many tokens (None: to what positions allow).
        chat: in the model's own chat template, which it must have.

    Returns:
        Per candidate ``words``, ``problem`` (one sentence why the model cannot use it or
        read with it, or None), and ``empty`` and ``manual`` (None where there is a problem), each
        with ``score``, ``histogram`` (predictions per class) and ``degenerate`` (one class
        throughout).

    Raises:
        InputError: the model cannot be had or the split cannot be read.
    """
    backbone = load_backbone(model, device)
    found: list[dict[str, Any]] = []
    labels: dict[int, Labels] = {}
    for place, words in enumerate(candidates):
        entry: dict[str, Any] = {"words": list(words), "problem": None}
        found.append(entry | {"empty": None, "manual": None})
        try:
            labels[place] = backbone.labels(words, task.name, task.scoring, chat)
        except InputError as error:
            found[place]["problem"] = str(error)
    if not labels:
        return found
    spare = max(reads_of(chosen).longest for chosen in labels.values())
    ids = [chosen for chosen in labels.values() if isinstance(chosen, torch.Tensor)]
    union = torch.cat(ids).unique() if ids else torch.empty(0, dtype=torch.long, device=device)
    rows = task.rows("validation")
    texts, gold = [row.content for row in rows], [row.label for row in rows]
    for row, template in (("empty", ""), ("manual", task.manual)):
        layout = Layout(template=template, text_tokens=text_tokens, chat=chat)
        data = backbone.read(texts, gold, layout, task.name, spare)
        logits = backbone.split_logits(data, union) if ids else None
        for place, chosen in labels.items():
            if logits is not None and isinstance(chosen, torch.Tensor):
                own = logits[..., torch.searchsorted(union, chosen)]
            else:
                own = backbone.split_logits(data, chosen)
            found[place][row] = _measure(own, data.gold, task)
            found[place]["problem"] = (
                found[place]["problem"]
                or unreadable(model.alias, task.name, {"validation": own})[0]
            )
    return [
        entry if entry["problem"] is None else {**entry, "empty": None, "manual": None}
        for entry in found
    ]


def _measure(logits: torch.Tensor, gold: torch.Tensor, task: Task) -> dict[str, Any]:
    """Numbers of label-word logits [1, v, C] against classes [v]."""
    histogram = metrics.histogram(logits[0].argmax(-1).tolist(), task.num_classes)
    return {
        "score": scores(logits, gold, task.metric)[0],
        "histogram": histogram,
        "degenerate": metrics.is_degenerate(histogram),
    }
