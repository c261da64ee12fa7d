"""Reparametrised prompts against their equations, number by number."""

import math
from dataclasses import asdict, replace

import pytest
import torch

from tests.trainables.soft.test_tuning import source
from trainables.core.registries import REPARAMETRISATIONS
from trainables.core.settings import SoftSettings, stored
from trainables.core.weight import INDEPENDENT
from trainables.errors import InputError
from trainables.soft.initialisation import Beginning, begin
from trainables.soft.parametrisation import Vectors, parametrisation_of
from trainables.soft.tuning import Replica, tune

SETTINGS = SoftSettings(
    prompt_length=2, steps=6, batch_size=3, learning_rate=0.02, init_std=0.5, evaluations=2
)
NETWORKS = [name for name in REPARAMETRISATIONS if name != "none"]


def started(name: str) -> tuple[torch.Tensor, list[torch.Tensor]]:
    item = source("bert")
    settings = replace(SETTINGS, reparametrise=name, reparametrise_hidden=5)
    beginning = Beginning(item.backbone, item.label_ids, settings, 3, item.key)
    prompt = begin(beginning)
    return prompt, list(parametrisation_of(settings).start(prompt, beginning))


def product(row: list[float], weight: torch.Tensor, bias: torch.Tensor) -> list[float]:
    """One layer of a network, sum by sum."""
    return [
        sum(value * float(weight[place, out]) for place, value in enumerate(row)) + float(bias[out])
        for out in range(weight.shape[1])
    ]


def test_the_mlp_is_its_equation() -> None:
    _, tensors = started("mlp")
    first, weight, bias, weight_out, bias_out = tensors
    found = REPARAMETRISATIONS["mlp"]().prompts([tensor[None] for tensor in tensors])[0]
    for token, row in enumerate(first.tolist()):
        hidden = [math.tanh(value) for value in product(row, weight, bias)]
        expected = torch.tensor(product(hidden, weight_out, bias_out))
        torch.testing.assert_close(found[token], expected, atol=1e-5, rtol=1e-5)
    assert float(first.square().mean()) == pytest.approx(1.0, abs=1e-5)


def test_the_residual_network_is_its_equation() -> None:
    prompt, tensors = started("residual")
    tensors[-1] += 0.1  # a shift that shows
    _, weight, bias, weight_out, bias_out, gain, shift = tensors
    found = REPARAMETRISATIONS["residual"]().prompts([tensor[None] for tensor in tensors])[0]
    for token, row in enumerate(prompt.tolist()):
        hidden = [max(0.0, value) for value in product(row, weight, bias)]
        out = product(hidden, weight_out, bias_out)
        mean = sum(out) / len(out)
        spread = math.sqrt(sum((value - mean) ** 2 for value in out) / len(out) + 1e-5)
        expected = [
            own + float(gain[place]) * (value - mean) / spread + float(shift[place])
            for place, (own, value) in enumerate(zip(row, out, strict=True))
        ]
        torch.testing.assert_close(found[token], torch.tensor(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_each_replica_is_tuned_as_alone_and_another_seed_has_another_network(name: str) -> None:
    item = source("gpt2")
    settings = replace(SETTINGS, reparametrise=name, reparametrise_hidden=6)
    replicas = [Replica(seed, INDEPENDENT) for seed in (0, 1)]
    together = tune([item], replicas, settings, {}, "accuracy")
    for place, replica in enumerate(replicas):
        alone = tune([item], [replica], settings, {}, "accuracy")
        torch.testing.assert_close(
            together.prompts[0][place], alone.prompts[0][0], atol=2e-3, rtol=2e-3
        )
    assert together.prompts[0].shape == (2, 2, item.backbone.width)
    assert not torch.equal(together.prompts[0][0], together.prompts[0][1])


@pytest.mark.parametrize("name", NETWORKS)
def test_all_of_the_network_is_trained(name: str) -> None:
    _, tensors = started(name)
    stacked = [tensor[None].clone().requires_grad_() for tensor in tensors]
    made = REPARAMETRISATIONS[name]().prompts(stacked)
    (made * torch.randn_like(made)).sum().backward()
    assert all(float(tensor.grad.abs().sum()) > 0 for tensor in stacked if tensor.grad is not None)
    assert all(tensor.grad is not None for tensor in stacked)


def test_cells_from_before_keep_their_settings() -> None:
    assert "reparametrise" not in stored(SETTINGS)
    assert "reparametrise_hidden" not in stored(SETTINGS)
    assert isinstance(parametrisation_of(SETTINGS), Vectors)
    assert stored(replace(SETTINGS, reparametrise_hidden=3)) == stored(SETTINGS)
    kept = stored(replace(SETTINGS, reparametrise="mlp", reparametrise_hidden=3))
    assert (kept["reparametrise"], kept["reparametrise_hidden"]) == ("mlp", 3)


def test_what_does_not_go_together_is_refused() -> None:
    class Own(SoftSettings):
        parametrisation = Vectors

    with pytest.raises(InputError, match="none in a method that is a form of its own"):
        Own(**{**asdict(SETTINGS), "reparametrise": "mlp"})
