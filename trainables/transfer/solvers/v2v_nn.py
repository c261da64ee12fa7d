"""A small network between the vocabularies of two models (Recycling: ``v2v-nn``)."""

import hashlib
import math

import torch

from trainables.core.seeds import seeded
from trainables.core.settings import TransferSettings
from trainables.transfer.problem import Problem, Space
from trainables.transfer.solver import Found, Solver

HIDDEN = 4  # times the target's width
RATE = 3e-4
EPOCHS = 25
BATCH = 50

Network = list[torch.Tensor]
"""Q networks side by side: W₁ [Q, d_s, h], b₁ [Q, 1, h], W₂ [Q, h, d_t], b₂ [Q, 1, d_t]."""
MOST_RESIDENT = 2**26
_resident: dict[tuple[object, ...], Network] = {}
"""Trained networks, kept for the next packs of this process: they depend on models and seeds
alone, and the same ones carry the prompts of every task. Up to MOST_RESIDENT numbers."""


class V2vNn(Solver):
    """p_t = W₂ relu(W₁ p_s + b₁) + b₂, trained to map the common words' embeddings.

    Lester et al. 2022, see :mod:`trainables.transfer.solvers.v2v_lin`: 4·d_t hidden units, squared
    error, Adam at 3e-4, 25 epochs in batches of 50. One network per source and seed, all seeds
    trained as one stack; with several sources the images of their prompts are averaged.
    """

    def solve(self, problem: Problem, settings: TransferSettings) -> Found:
        """One candidate."""
        del settings
        seeds = sorted(set(problem.seeds))
        places = torch.tensor([seeds.index(seed) for seed in problem.seeds])
        images = []
        for prompt, space in zip(problem.prompts, problem.spaces, strict=False):
            network = _trained(space, problem.target, seeds)
            image = prompt.new_empty(problem.shape, dtype=torch.float32)
            for q in range(len(seeds)):
                mine = (places == q).nonzero().flatten().to(prompt.device)
                one = [weight[q : q + 1] for weight in network]
                image[mine] = apply(one, prompt[mine].float().flatten(0, 1)[None]).view(
                    len(mine), *problem.shape[1:]
                )
            images.append(image)
        return Found(torch.stack(images).mean(0)[None])


def _trained(source: Space, target: Space, seeds: list[int]) -> Network:
    content = (_digest(space.words) for space in (source, target))
    key = (*content, source.key, *seeds, str(source.words.device))
    if key not in _resident:
        network = train(source, target, seeds)
        held = sum(weight.numel() for one in (*_resident.values(), network) for weight in one)
        if held > MOST_RESIDENT:
            _resident.clear()
        _resident[key] = network
    return _resident[key]


def _digest(words: torch.Tensor) -> str:
    return hashlib.sha256(words.cpu().numpy().tobytes()).hexdigest()


def train(source: Space, target: Space, seeds: list[int]) -> Network:
    """Networks of all seeds, from the source's words to the target's."""
    left, right = source.words.float(), target.words.float()
    generators = [seeded("transfer", "v2v_nn", source.key, seed) for seed in seeds]
    network = _initial(left.shape[1], right.shape[1], generators)
    network = [weight.to(left.device).requires_grad_() for weight in network]
    optimiser = torch.optim.Adam(network, lr=RATE)
    for _ in range(EPOCHS):
        order = torch.stack([torch.randperm(len(left), generator=g) for g in generators])
        for rows in order.to(left.device).split(BATCH, dim=1):
            loss = 0.5 * (apply(network, left[rows]) - right[rows]).square().mean((1, 2))
            optimiser.zero_grad()
            loss.sum().backward()
            optimiser.step()
    return [weight.detach() for weight in network]


def apply(network: Network, rows: torch.Tensor) -> torch.Tensor:
    """Images [Q, n, d_t] of rows [Q, n, d_s], each under its own network."""
    first, first_bias, second, second_bias = network
    images: torch.Tensor = torch.relu(rows @ first + first_bias) @ second + second_bias
    return images


def _initial(inputs: int, outputs: int, generators: list[torch.Generator]) -> Network:
    """Weights with variance 1 / inputs of their layer and biases 0, as Flax starts a layer."""
    hidden = HIDDEN * outputs

    def layer(rows: int, columns: int) -> torch.Tensor:
        drawn = [torch.randn(rows, columns, generator=one) for one in generators]
        return torch.stack(drawn) / math.sqrt(rows)

    count = len(generators)
    first, second = layer(inputs, hidden), layer(hidden, outputs)
    return [first, torch.zeros(count, 1, hidden), second, torch.zeros(count, 1, outputs)]
