"""Three ratios on embedded models: ``python -m benchmarks.speed``.

1. stacked replicas against the same replicas one after another;
2. label-word logits against full-vocabulary logits (one training step, forward and backward);
3. closed-form transfer against 2,000 steps of Adam, with the similarity each reaches.

Contestants alternate within one process; medians and their ratio are printed and kept as JSON.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from trainables.backbones import Backbone, Encoded, Layout, load_backbone
from trainables.heap import keep_freed_memory
from trainables.models import resolve_model
from trainables.prompts import initial_prompt
from trainables.relative import gram_matrices, normalised_anchors, relative_representation
from trainables.settings import SoftSettings
from trainables.soft import Replica, Source, tune
from trainables.tasks import load_task
from trainables.transfer import transfer
from trainables.vocabulary import common_vocabulary

SOURCES = ("pocket-bert", "pocket-gpt2")
TARGET = "pocket-gpt2-large"
TASK = "mini/topics"
WEIGHTS = (0.1, 0.3, 0.5, 0.7, 0.9, None)
SEEDS = (0, 1, 2)


def race(rounds: int, **contestants: Callable[[], Any]) -> dict[str, float]:
    """Median seconds of each contestant, run in turn; the first round is a warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, run in contestants.items():
            began = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def read(backbone: Backbone, split: str, layout: Layout) -> Encoded:
    rows = load_task(TASK).rows(split)
    return backbone.read([row.text for row in rows], [row.label for row in rows], layout)


def stacking(rounds: int) -> dict[str, Any]:
    settings = SoftSettings(steps=10, evaluations=1)
    layout = Layout(settings.prompt_length)
    backbones = [load_backbone(resolve_model(name)) for name in SOURCES]
    words = load_task(TASK).label_words
    sources = [
        Source(
            b,
            b.alias,
            b.labels(words, TASK),
            read(b, "train", layout),
            read(b, "validation", layout),
        )
        for b in backbones
    ]
    grams = gram_matrices(normalised_anchors(backbones, common_vocabulary(backbones)))
    replicas = [Replica(seed, weight) for weight in WEIGHTS for seed in SEEDS]
    seconds = race(
        rounds,
        stacked=lambda: tune(sources, replicas, settings, grams, "accuracy"),
        alone=lambda: [tune(sources, [one], settings, grams, "accuracy") for one in replicas],
    )
    return {
        "what": f"{len(replicas)} replicas on 2 backbones, {settings.steps} steps and a validation",
        "stacked_s": seconds["stacked"],
        "one_after_another_s": seconds["alone"],
        "ratio": seconds["alone"] / seconds["stacked"],
    }


def label_head(rounds: int) -> dict[str, Any]:
    backbone = load_backbone(resolve_model(SOURCES[0]))
    family = backbone.family
    layout = Layout(5)
    data = read(backbone, "train", layout).take(torch.arange(64))
    labels = backbone.labels(load_task(TASK).label_words, TASK)
    prompts = initial_prompt(5, backbone.width, 0.02, 0)[None]
    owner = torch.zeros(64, dtype=torch.long)

    def few() -> torch.Tensor:
        prompt = prompts.clone().requires_grad_()
        logits = backbone.row_logits(data, labels, prompt, owner)
        F.cross_entropy(logits, data.gold).backward()
        return prompt.grad

    def full() -> torch.Tensor:
        """The plain way: the model's own forward, [N, L, V] logits, then gather."""
        prompt = prompts.clone().requires_grad_()
        embeds = family.model.get_input_embeddings().weight[data.ids]
        rows = torch.arange(64)[:, None].expand(64, 5)
        columns = data.slots[:, None] + torch.arange(5)
        embeds = embeds.index_put((rows, columns), prompt[owner])
        index = torch.arange(data.ids.shape[1])
        mask = (index[None, :] < data.lengths[:, None]).long()
        logits = family.model(inputs_embeds=embeds, attention_mask=mask).logits
        chosen = logits[torch.arange(64), data.answers][:, labels]
        F.cross_entropy(chosen, data.gold).backward()
        return prompt.grad

    torch.testing.assert_close(few(), full(), atol=1e-5, rtol=1e-3)
    seconds = race(rounds, few=few, full=full)
    return {
        "what": f"one training step of 64 rows, 4 label words against {backbone.rows} words",
        "label_words_s": seconds["few"],
        "full_vocabulary_s": seconds["full"],
        "ratio": seconds["full"] / seconds["few"],
    }


def transfer_search(rounds: int, steps: int) -> dict[str, Any]:
    models = [load_backbone(resolve_model(name)) for name in (*SOURCES, TARGET)]
    anchors = normalised_anchors(models, common_vocabulary(models))
    prompts = [
        torch.stack([initial_prompt(5, model.width, 1.0, seed) for seed in SEEDS])
        for model in models[:-1]
    ]
    scales = [model.scale for model in models]
    wanted = [
        relative_representation(prompt, anchor.float())
        for prompt, anchor in zip(prompts, anchors, strict=False)
    ]
    unit = anchors[-1].float()

    def similarity(found: torch.Tensor) -> float:
        mine = relative_representation(found, unit)
        parts = [torch.cosine_similarity(mine, r, dim=-1).mean() for r in wanted]
        return float(torch.stack(parts).mean())

    def closed() -> torch.Tensor:
        grams = gram_matrices(anchors, torch.float64)
        return transfer(prompts, grams, scales[:-1], scales[-1]).prompt

    def adam() -> torch.Tensor:
        torch.manual_seed(0)
        variable = torch.empty(len(SEEDS) * 5, unit.shape[1])
        torch.nn.init.xavier_normal_(variable).requires_grad_()
        optimiser = torch.optim.Adam([variable], lr=5e-3)
        flat = [r.flatten(0, 1) for r in wanted]
        for _ in range(steps):
            mine = F.normalize(variable, dim=-1) @ unit.T
            loss = torch.stack([1 - torch.cosine_similarity(mine, r, dim=-1) for r in flat]).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return variable.detach().view(len(SEEDS), 5, -1)

    reached = {"closed": similarity(closed()), "adam": similarity(adam())}
    if reached["closed"] < reached["adam"] - 1e-6:
        raise AssertionError(f"the closed form is farther off than the search: {reached}")
    seconds = race(1 if rounds < 3 else 2, closed=closed, adam=adam)
    return {
        "what": f"{len(SEEDS)} prompts of 5 tokens from 2 sources, {unit.shape[0]} anchors",
        "closed_form_s": seconds["closed"],
        f"adam_{steps}_steps_s": seconds["adam"],
        "ratio": seconds["adam"] / seconds["closed"],
        "similarity_closed_form": reached["closed"],
        "similarity_adam": reached["adam"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--adam-steps", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1, help="as in a pack of the quickstart")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/speed.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    figures = {
        "stacking": stacking(options.rounds),
        "label_head": label_head(4 * options.rounds),
        "transfer": transfer_search(options.rounds, options.adam_steps),
    }
    record = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "threads": options.threads,
            "torch": torch.__version__,
        },
        **figures,
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for name, figure in figures.items():
        print(f"{name}: {figure['ratio']:.1f}x ({figure['what']})")
        for key, value in figure.items():
            if key not in ("what", "ratio"):
                print(f"    {key} {value:.4f}")
    print(f"written to {options.json}")


if __name__ == "__main__":
    main()
