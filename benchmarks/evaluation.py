"""Tokens that an evaluation passes through a model against those that its texts have.

Counted, not timed: whatever enters the body of the model is a token, padding included.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from benchmarks.finding import Finding, Skipped
from benchmarks.setting import missing, read, source, task
from trainables.backbones import Backbone, Encoded, Layout, load_backbone
from trainables.models.names import resolve_model
from trainables.tasks import Task, load_task

AT_MOST = 1.05
BATCH = 16
MINI = ("mini/reviews", "mini/topics", "mini/paraphrase")


@contextmanager
def counting(backbone: Backbone) -> Iterator[list[int]]:
    """A list that gets the tokens of every pass through the body."""
    seen: list[int] = []

    def note(module: Any, arguments: Any, named: dict[str, Any]) -> None:
        seen.append(named["inputs_embeds"].shape[:2].numel())

    hook = backbone.family.model.base_model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield seen
    finally:
        hook.remove()


def needed(data: Encoded, replicas: int) -> int:
    """Tokens of a split behind so many prompts, none of them shared, no padding."""
    return replicas * int(data.lengths.sum())


def padded(data: Encoded, replicas: int, size: int = BATCH) -> int:
    """The same in the data's order, ``size`` rows a batch, each padded to its longest."""
    return replicas * sum(len(part) * int(part.max()) for part in data.lengths.split(size))


def split_of(backbone: Backbone, name: Task, layout: Layout) -> Encoded:
    """The test split as a model reads it."""
    rows = name.rows("test")
    return backbone.read([row.text for row in rows], [row.label for row in rows], layout)


def measure(
    model: str, tasks: tuple[str, ...] | None, replicas: int = 5
) -> list[Finding | Skipped]:
    """The test splits of some tasks behind a few prompts; None: the sentences all claims share."""
    what = ", ".join(tasks) if tasks else task().name
    claim = f"Evaluate {replicas} prompts on {what} with {model}"
    if why := missing(model):
        return [Skipped(claim, why)]
    layout = Layout(5)
    if tasks is None:
        backbone = source(model, layout, rows=1).backbone
        splits = [(read(backbone, "test", layout), task())]
    else:
        backbone = load_backbone(resolve_model(model))
        splits = [(split_of(backbone, load_task(name), layout), load_task(name)) for name in tasks]
    prompts = torch.randn(replicas, 5, backbone.width) * 0.02
    passed = 0
    for data, each in splits:
        labels = backbone.labels(each.label_words, each.name)
        with counting(backbone) as seen:
            logits = backbone.split_logits(data, labels, prompts)
        passed += sum(seen)
        same_rows(logits, backbone, data, labels, prompts)
    need = sum(needed(data, replicas) for data, _ in splits)
    return [
        Finding(
            claim=claim,
            peer=f"batches of {BATCH} in the data's order, padded to the longest",
            ours=passed / need,
            theirs=sum(padded(data, replicas) for data, _ in splits) / need,
            unit="tokens a token needed",
            target=None,
            at_most=AT_MOST,
            same="logits of 3 rows by themselves, within 1e-4",
            more={"tokens_passed": passed, "tokens_needed": need},
        )
    ]


def same_rows(
    logits: torch.Tensor,
    backbone: Backbone,
    data: Encoded,
    labels: torch.Tensor,
    prompts: torch.Tensor,
) -> None:
    """Raise AssertionError unless rows read by themselves have these logits [R, n, C] too."""
    with torch.no_grad():
        for row in (0, len(data) // 2, len(data) - 1):
            alone = backbone.label_logits(prompts, data.take(torch.tensor([row])), labels)
            torch.testing.assert_close(alone[:, 0], logits[:, row], atol=1e-4, rtol=0)


MEASURES: dict[str, Callable[[], list[Finding | Skipped]]] = {
    "evaluation_mini": partial(measure, "pocket-bert", MINI),
    "evaluation_mini_causal": partial(measure, "pocket-gpt2", MINI),
    "evaluation_real": partial(measure, "MiniLM-L6", None),
}
