"""Label words tried out: what the Empty and the Manual row score with each choice of words."""

from collections.abc import Sequence
from typing import Any

import torch

from trainables.backbones import Layout, load_backbone
from trainables.core.cells import ModelRef
from trainables.errors import InputError
from trainables.scoring.evaluate import scores, unreadable
from trainables.tasks import Task, metrics


def score_label_words(
    model: ModelRef,
    task: Task,
    candidates: Sequence[Sequence[str]],
    text_tokens: int | None = None,
    device: str = "cpu",
) -> list[dict[str, Any]]:
    """Score choices of label words on the validation split, without any tuning.

    All choices share one forward pass a row: only the vocabulary rows read at the end differ.

    Args:
        task: whose validation split and templates are used.
        candidates: choices of label words, C words each.
        text_tokens: texts are cut to this many tokens (None: to what positions allow).

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
    ids: dict[int, list[int]] = {}
    for place, words in enumerate(candidates):
        entry: dict[str, Any] = {"words": list(words), "problem": None}
        found.append(entry | {"empty": None, "manual": None})
        try:
            ids[place] = backbone.label_ids(words, task.name)
        except InputError as error:
            found[place]["problem"] = str(error)
    if not ids:
        return found
    union = sorted({number for chosen in ids.values() for number in chosen})
    rows = task.rows("validation")
    texts, gold = [row.content for row in rows], [row.label for row in rows]
    for row, template in (("empty", ""), ("manual", task.manual)):
        layout = Layout(template=template, text_tokens=text_tokens)
        data = backbone.read(texts, gold, layout, task.name)
        logits = backbone.split_logits(data, torch.tensor(union, device=device))
        for place, chosen in ids.items():
            own = logits[..., [union.index(number) for number in chosen]]
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
