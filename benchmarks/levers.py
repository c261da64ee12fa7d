"""What two of the levers bring by themselves, on embedded models.

Replicas of one stack against the same replicas one after another, and logits of the label words at
the answer against logits of all words at all positions. Nothing is promised of either; the claims
about tuning are made of them.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F

from benchmarks.finding import Finding, Skipped
from benchmarks.flops import tuning_flops
from benchmarks.machine import Floor
from benchmarks.race import race
from benchmarks.setting import source, task
from trainables.backbones import Layout
from trainables.compute.process import keep_freed_memory
from trainables.core.seeds import initial_prompt
from trainables.core.settings import SoftSettings
from trainables.core.weight import Weight
from trainables.soft.tuning import Replica, batch_order, tune
from trainables.words.relative import gram_matrices, normalised_anchors
from trainables.words.vocabulary import common_vocabulary

MODELS = ("pocket-bert", "pocket-gpt2")
WEIGHTS = (0.1, 0.3, 0.5, 0.7, 0.9, "annealing")


def stacking(seeds: int = 3, steps: int = 3, rounds: int = 2) -> list[Finding | Skipped]:
    """Joint tuning of seeds × λ, stacked and not."""
    torch.set_num_threads(1)
    keep_freed_memory()
    settings = SoftSettings(steps=steps, evaluations=1, learning_rate=0.05)
    sources = [source(model, Layout(settings.prompt_length)) for model in MODELS]
    backbones = [one.backbone for one in sources]
    grams = gram_matrices(normalised_anchors(backbones, common_vocabulary(backbones)))
    replicas = [Replica(seed, Weight.of(weight)) for weight in WEIGHTS for seed in range(seeds)]
    metric = task().metric

    def stacked() -> list[torch.Tensor]:
        return tune(sources, replicas, settings, grams, metric).prompts

    def alone() -> list[torch.Tensor]:
        runs = [tune(sources, [one], settings, grams, metric).prompts for one in replicas]
        return [torch.cat(prompts) for prompts in zip(*runs, strict=True)]

    times, given = race(rounds, {"ours": stacked, "alone": alone})
    for mine, theirs in zip(given["ours"], given["alone"], strict=True):
        torch.testing.assert_close(mine, theirs, atol=0.01, rtol=0)
    rows = torch.cat(
        [batch_order(len(sources[0].train), settings, one.seed).flatten() for one in replicas]
    )
    flops = sum(tuning_flops(one, settings.prompt_length, rows) for one in sources)
    return [
        Finding(
            claim=f"Tune {len(replicas)} prompts jointly on {' + '.join(MODELS)}, stacked",
            peer="our own code, one replica after another",
            ours=times["ours"].median,
            theirs=times["alone"].median,
            unit="s",
            target=None,
            same=f"prompts after {steps} steps within 0.01",
            floor=Floor(flops),
            more={f"{who}_times": lap.record() for who, lap in times.items()},
        )
    ]


def label_head(rows: int = 64, rounds: int = 12) -> list[Finding | Skipped]:
    """One training step, forward and backward, with few and with all logits."""
    torch.set_num_threads(1)
    keep_freed_memory()
    one = source(MODELS[0], Layout(5))
    backbone, data = one.backbone, one.train.take(torch.arange(rows))
    table = backbone.family.model.get_input_embeddings().weight
    prompts = initial_prompt(5, backbone.width, 0.02, 0)[None]
    owner = torch.zeros(rows, dtype=torch.long)

    def few() -> torch.Tensor | None:
        prompt = prompts.clone().requires_grad_()
        logits = backbone.row_logits(data, one.label_ids, prompt, owner)
        F.cross_entropy(logits, data.gold).backward()
        return prompt.grad

    def full() -> torch.Tensor | None:
        prompt = prompts.clone().requires_grad_()
        every = torch.arange(rows)[:, None].expand(rows, 5)
        columns = data.slots[:, None] + torch.arange(5)
        embeds = table[data.ids].index_put((every, columns), prompt[owner])
        index = torch.arange(data.ids.shape[1])
        mask = (index[None, :] < data.lengths[:, None]).long()
        logits = backbone.family.model(inputs_embeds=embeds, attention_mask=mask).logits
        chosen = logits[torch.arange(rows), data.answers][:, one.label_ids]
        F.cross_entropy(chosen, data.gold).backward()
        return prompt.grad

    times, given = race(rounds, {"ours": few, "full": full})
    torch.testing.assert_close(given["ours"], given["full"], atol=1e-5, rtol=1e-3)
    return [
        Finding(
            claim=f"One training step of {rows} rows, {len(one.label_ids)} label words' logits",
            peer=f"the model's own forward, logits of {backbone.rows:,} words",
            ours=times["ours"].median,
            theirs=times["full"].median,
            unit="s",
            target=None,
            same="gradients within 1e-5",
            floor=Floor(tuning_flops(one, 5, torch.arange(rows))),
            more={f"{who}_times": lap.record() for who, lap in times.items()},
        )
    ]


MEASURES: dict[str, Callable[[], list[Finding | Skipped]]] = {
    "lever_stacking": partial(stacking),
    "lever_label_head": partial(label_head),
}
