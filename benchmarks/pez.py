"""Steps of PEZ a second against the released loop: ``python -m benchmarks.pez``."""

from dataclasses import dataclass
from functools import partial

import torch

from benchmarks.finding import Finding, Skipped
from benchmarks.flops import tuning_flops
from benchmarks.machine import Floor
from benchmarks.peers.pez_loop import search_one
from benchmarks.peers.prompt_tuning import plain_model
from benchmarks.race import race
from benchmarks.setting import located, missing, source, task
from trainables.backbones import Layout
from trainables.compute.process import keep_freed_memory
from trainables.core.settings.pez import PezSettings
from trainables.hard.methods.pez import search
from trainables.hard.problem import HardProblem, HardReplica, TaskModel
from trainables.soft.tuning import batch_order

SAME = 0.9
"""Least share of words that both sides end with alike. Where two words are equally near to a
vector, rounding decides, and the steps after it differ."""


@dataclass(frozen=True)
class Load:
    """What is searched.

    Attributes:
        model: the source.
        words: how many a prompt may use, s.
        prompts: of our stack.
        alone: how many of them the loop runs.
        steps: of each.
        rounds: of the race.
        threads: of both.
    """

    model: str
    words: int = 8192
    prompts: int = 10
    alone: int = 1
    steps: int = 10
    rounds: int = 3
    threads: int = 1


LOADS = (Load("BERT-tiny"), Load("pocket-gpt2", words=2048))


def measure(load: Load) -> list[Finding | Skipped]:
    """Our stack of searches against one search after another."""
    claim = f"Search {load.prompts} hard prompts with PEZ on {load.model}, s = {load.words}"
    if why := missing(load.model):
        return [Skipped(claim, why)]
    torch.set_num_threads(load.threads)
    keep_freed_memory()
    settings = PezSettings(steps=load.steps, evaluations=1)
    one = source(load.model, Layout(settings.prompt_length))
    model = plain_model(one, located(load.model).location)
    reading = TaskModel(one.backbone, one.label_ids, one.train, one.validation)
    problem = HardProblem(reading, tuple(one.label_ids.tolist()), task().metric)
    generator = torch.Generator().manual_seed(0)
    allowed = torch.randperm(one.backbone.rows, generator=generator)[: load.words].sort().values
    replicas = [HardReplica(seed, allowed) for seed in range(load.prompts)]

    def ours() -> list[tuple[int, ...]]:
        return [found.ids for found in search(problem, replicas, settings)]

    def loop() -> list[tuple[int, ...]]:
        return [search_one(model, problem, each, settings) for each in replicas[: load.alone]]

    times, given = race(load.rounds, {"ours": ours, "loop": loop})
    share = same_words(given["ours"][: load.alone], given["loop"])
    steps = load.prompts * load.steps
    rows = [batch_order(len(one.train), settings, each.seed).flatten() for each in replicas]
    flops = tuning_flops(one, settings.prompt_length, torch.cat(rows))
    flops += 2 * steps * settings.prompt_length * len(allowed) * one.backbone.width
    return [
        Finding(
            claim=claim,
            peer="released PEZ loop, literal reading",
            ours=steps / times["ours"].median,
            theirs=load.alone * load.steps / times["loop"].median,
            unit="prompt-steps/s",
            target=5.0,
            same=f"{share:.0%} of the words after {load.steps} steps (at least {SAME:.0%})",
            floor=Floor(flops),
            floor_count=steps,
            threads=load.threads,
            more={
                "task": task().name,
                **{f"{who}_times": lap.record() for who, lap in times.items()},
            },
        )
    ]


def same_words(ours: list[tuple[int, ...]], theirs: list[tuple[int, ...]]) -> float:
    """Share of words found alike.

    Raises:
        AssertionError: fewer than :data:`SAME`.
    """
    pairs = [
        (a, b)
        for mine, other in zip(ours, theirs, strict=True)
        for a, b in zip(mine, other, strict=True)
    ]
    share = sum(a == b for a, b in pairs) / len(pairs)
    if share < SAME:
        raise AssertionError(f"only {share:.0%} of the words are the same: {ours} and {theirs}")
    return share


MEASURES = {f"pez_{load.model}": partial(measure, load) for load in LOADS}
