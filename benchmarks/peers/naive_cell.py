"""One cell of a sweep as a script of its own would do it.

Load the models, tune with PEFT (several sources jointly, L_ra as it is printed), search the
target's prompt with Adam, evaluate in batches with the logits of the whole vocabulary. Prints one
JSON line with the seconds of each part and the test score.
"""

import time

BEGAN = time.perf_counter()

import argparse  # noqa: E402
import json  # noqa: E402
from typing import Any  # noqa: E402

import torch  # noqa: E402

from benchmarks.peers.adam_search import adam_search  # noqa: E402
from benchmarks.peers.prompt_tuning import (  # noqa: E402
    Outcome,
    PeftPrompt,
    by_loop,
    plain_model,
)
from trainables.backbones import Backbone, Layout, load_backbone  # noqa: E402
from trainables.core.settings import SoftSettings  # noqa: E402
from trainables.core.weight import Weight  # noqa: E402
from trainables.models.names import resolve_model  # noqa: E402
from trainables.soft.initialisation import Beginning, begin  # noqa: E402
from trainables.soft.tuning import Replica, Source  # noqa: E402
from trainables.tasks import Task, load_task  # noqa: E402
from trainables.words.relative import normalised_anchors, relative_representation  # noqa: E402
from trainables.words.vocabulary import common_vocabulary  # noqa: E402


class _Watch:
    """Seconds of each part."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self.last = BEGAN

    def __call__(self, part: str) -> None:
        now = time.perf_counter()
        self.parts[part] = self.parts.get(part, 0.0) + now - self.last
        self.last = now


def read(backbone: Backbone, task: Task, layout: Layout, test: bool) -> Source:
    """The task as a model reads it; ``validation`` is the test split where that is asked for."""
    splits = []
    for name in ("train", "test" if test else "validation"):
        rows = task.rows(name)
        texts, gold = [row.text for row in rows], [row.label for row in rows]
        splits.append(backbone.read(texts, gold, layout))
    return Source(backbone, "", backbone.labels(task.label_words, task.name), *splits)


def tuned(
    sources: list[Source], names: list[str], replica: Replica, settings: SoftSettings
) -> Outcome:
    """Prompts of one seed on all sources; independently where λ is 0."""
    anchors: list[torch.Tensor] = []
    if len(sources) > 1 and replica.weight.value != 0.0:
        backbones = [one.backbone for one in sources]
        shared = common_vocabulary(backbones)
        anchors = [rows.float() for rows in normalised_anchors(backbones, shared)]
    prompts = [
        PeftPrompt(
            one,
            plain_model(one, resolve_model(name).location),
            begin(Beginning(one.backbone, one.label_ids, settings, replica.seed, name)),
        )
        for one, name in zip(sources, names, strict=True)
    ]
    if anchors or len(prompts) == 1:
        return by_loop(prompts, replica, settings, anchors)
    alone = [by_loop([prompt], replica, settings) for prompt in prompts]
    return Outcome([one.prompts[0] for one in alone], [one.validation[0] for one in alone])


def carried(sources: list[Source], target: Source, outcome: Outcome, seed: int) -> torch.Tensor:
    """The target's prompt by the search."""
    models = [*(one.backbone for one in sources), target.backbone]
    anchors = [rows.float() for rows in normalised_anchors(models, common_vocabulary(models))]
    wanted = [
        relative_representation(prompt, rows)
        for prompt, rows in zip(outcome.prompts, anchors, strict=False)
    ]
    return adam_search(wanted, anchors[-1], seed=seed)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The cell; what it took."""
    watch = _Watch()
    watch("start")
    torch.set_num_threads(1)
    task = load_task(options.task)
    settings = SoftSettings(
        steps=options.steps,
        batch_size=options.batch_size,
        learning_rate=0.05,
        evaluations=1,
        text_tokens=options.text_tokens,
    )
    layout = Layout(settings.prompt_length, text_tokens=options.text_tokens)
    names = [*options.sources, *([options.target] if options.target else [])]
    models = [
        read(load_backbone(resolve_model(name)), task, layout, test=name == names[-1])
        for name in names
    ]
    watch("load")
    replica = Replica(options.seed, Weight.of("annealing" if options.annealing else options.weight))
    sources = models[: len(options.sources)]
    outcome = tuned(sources, options.sources, replica, settings)
    watch("tune")
    if options.target:
        target = models[-1]
        found = carried(sources, target, outcome, options.seed)
        watch("transfer")
        location = resolve_model(options.target).location
        prompt = PeftPrompt(target, plain_model(target, location), found)
        logits = prompt.validate(settings.batch_size)
        watch("evaluate")
    else:
        target, logits = models[0], outcome.validation[0]
    right = (logits.argmax(-1) == target.validation.gold).float().mean()
    return {"parts": watch.parts, "seconds": time.perf_counter() - BEGAN, "score": float(right)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", required=True)
    parser.add_argument("--sources", nargs="+", required=True)
    parser.add_argument("--target", help="none: the prompt is evaluated where it was tuned")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weight", type=float, default=0.0)
    parser.add_argument("--annealing", action="store_true")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--text-tokens", type=int)
    print(json.dumps(run(parser.parse_args())))


if __name__ == "__main__":
    main()
