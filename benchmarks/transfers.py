"""Transfer of prompts in closed form against the search by Adam."""

from dataclasses import dataclass
from functools import partial

import torch

from benchmarks.finding import Finding, Skipped
from benchmarks.machine import Floor
from benchmarks.peers.adam_search import STEPS, adam_search, similarity
from benchmarks.race import race
from trainables.backbones import load_backbone
from trainables.compute.process import keep_freed_memory
from trainables.core.seeds import initial_prompt
from trainables.models.names import resolve_model
from trainables.transfer import transfer
from trainables.words.relative import gram_matrices, normalised_anchors, relative_representation
from trainables.words.vocabulary import common_vocabulary


@dataclass(frozen=True)
class Load:
    """What is carried over.

    Attributes:
        sources: models the prompts come from.
        target: model they go to.
        prompts: how many.
        tokens: of each, m.
        alone: how many of them the search is run for, each by itself.
        together: how many of them another search takes as one batch.
        steps: of the search.
        rounds: of the race.
        threads: of both.
    """

    sources: tuple[str, ...] = ("pocket-bert", "pocket-gpt2")
    target: str = "pocket-gpt2-large"
    prompts: int = 100
    tokens: int = 5
    alone: int = 2
    together: int = 20
    steps: int = STEPS
    rounds: int = 1
    threads: int = 1


def measure(load: Load) -> list[Finding | Skipped]:
    """All prompts in closed form, Gram matrices included, against some of the searches."""
    torch.set_num_threads(load.threads)
    keep_freed_memory()
    models = [load_backbone(resolve_model(name)) for name in (*load.sources, load.target)]
    anchors = normalised_anchors(models, common_vocabulary(models))
    prompts = [
        torch.stack([initial_prompt(load.tokens, m.width, 1.0, s) for s in range(load.prompts)])
        for m in models[:-1]
    ]
    scales = [model.scale for model in models]
    wanted = [
        relative_representation(prompt, rows.float())
        for prompt, rows in zip(prompts, anchors, strict=False)
    ]
    unit = anchors[-1].float()

    def closed() -> torch.Tensor:
        grams = gram_matrices(anchors, torch.float64)
        return transfer(prompts, grams, scales[:-1], scales[-1]).prompt

    def alone() -> torch.Tensor:
        found = [
            adam_search([r[place] for r in wanted], unit, load.steps, place)
            for place in range(load.alone)
        ]
        return torch.stack(found)

    def together() -> torch.Tensor:
        flat = [r[: load.together].flatten(0, 1) for r in wanted]
        return adam_search(flat, unit, load.steps).view(load.together, load.tokens, -1)

    times, given = race(load.rounds, {"ours": closed, "alone": alone, "together": together})
    reached = {}
    for name, count in (("alone", load.alone), ("together", load.together)):
        best = [r[:count] for r in wanted]
        mine, searched = given["ours"][:count], given[name]
        reached[name] = (similarity(mine, best, unit), similarity(searched, best, unit))
        not_farther(*reached[name])
    k, widths = unit.shape[0], [model.width for model in models]
    # Gram matrices, half of them as they are symmetric, in double precision: twice the work.
    floor = Floor(2 * k * sum(a * b for a in widths for b in widths))
    peers = {
        "alone": ("a search by Adam for each prompt, literal reading", load.alone),
        "together": ("one search by Adam for all, literal reading", load.together),
    }
    return [
        Finding(
            claim=f"Carry {load.prompts} prompts over from {len(load.sources)} sources",
            peer=f"{text}, {load.steps:,} steps",
            ours=times["ours"].median,
            theirs=times[name].median / count * load.prompts,
            unit="s",
            target=100.0,
            same="similarity {:.6f} (search: {:.6f}), not below the search's".format(
                *reached[name]
            ),
            floor=floor,
            threads=load.threads,
            estimated=f"{count} of the {load.prompts} prompts searched, the rest as long",
            more={
                "anchors": k,
                "ours_times": times["ours"].record(),
                "peer_times": times[name].record(),
            },
        )
        for name, (text, count) in peers.items()
    ]


def not_farther(ours: float, theirs: float) -> None:
    """Raise AssertionError if our prompts are less similar to what was wanted."""
    if ours < theirs - 1e-6:
        raise AssertionError(f"similarity {ours:.6f} is below the search's {theirs:.6f}")


MEASURES = {"transfer": partial(measure, Load())}
