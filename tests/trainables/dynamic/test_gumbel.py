"""The temperature falls as stated; noise is Gumbel's and a row's own."""

import math

import pytest
import torch

from trainables.compute.masks import uniforms
from trainables.core.settings.dynamic import DynamicSettings
from trainables.dynamic.gumbel import gumbel


def test_temperatures_fall_by_one_factor_from_the_first_to_the_last_step() -> None:
    settings = DynamicSettings(temperature=2.0, temperature_end=0.5, steps=5, evaluations=1)
    found = list(settings.temperatures(5))
    slow, value = [], 2.0
    for _ in range(5):
        slow.append(value)
        value *= (0.5 / 2.0) ** (1 / 4)
    assert found == pytest.approx(slow) and found[0] == 2.0 and found[-1] == pytest.approx(0.5)
    assert list(settings.temperatures(1)) == [2.0]


def test_noise_is_gumbels_of_uniform_numbers_of_the_rows_keys() -> None:
    keys = torch.arange(20_000)
    drawn = uniforms(keys, 3)
    assert float(drawn.min()) > 0 and float(drawn.max()) < 1
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.01)
    corners = torch.corrcoef(drawn.T) - torch.eye(3)
    assert float(corners.abs().max()) < 0.03
    noise = gumbel(keys, 3, 0)
    u = float(uniforms(keys[5:6], 3, 0)[0, 1])
    assert float(noise[5, 1]) == pytest.approx(-math.log(-math.log(u)), abs=1e-4)
    assert float(noise.mean()) == pytest.approx(0.5772, abs=0.03)
    assert torch.equal(gumbel(keys[7:9], 3, 0), noise[7:9])
    assert not torch.equal(gumbel(keys, 3, 1), noise)
