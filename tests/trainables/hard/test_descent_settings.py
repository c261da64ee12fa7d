"""Settings of PEZ and FluentPrompt: ranges, recipes, and their stored form."""

from dataclasses import fields
from typing import Any

import pytest

from trainables.core.settings import axes, from_mapping, stored
from trainables.core.settings.fluentprompt import FluentPromptSettings
from trainables.core.settings.hard import HardSettings
from trainables.core.settings.pez import PezSettings
from trainables.errors import InputError
from trainables.recipes import recipe, recipe_names


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"steps": 0}, "steps: found 0; allowed: a whole number of at least 1"),
        ({"steps": 10}, r"evaluations: found 50; allowed: at most the number of steps \(10\)"),
        ({"batch_size": 0}, "batch_size: found 0"),
        ({"learning_rate": 0.0}, "learning_rate: found 0.0; allowed: a finite number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate: found nan"),
        ({"projection": "dot"}, "projection: found 'dot'; allowed: cosine or l2"),
        ({"init": "normal"}, "init: found 'normal'; allowed: class_words or random"),
        ({"fluency": 1.5}, r"fluency: found 1.5; allowed: a number in \[0, 1\]"),
        ({"fluency": 0.5, "prompt_length": 1}, "fluency: found 0.5; allowed: 0 with prompt_length"),
        ({"state": "soft"}, "state: found 'soft'; allowed: continuous or projected"),
        (
            {"optimiser": "sgd"},
            "optimiser: found 'sgd'; allowed: adafactor, adafactor_whole or adamw",
        ),
        ({"project_every": 0}, "project_every: found 0"),
        (
            {"weight_decay": -0.1},
            "weight_decay: found -0.1; allowed: a finite number of at",
        ),
        ({"clip_gradient": 0.0}, "clip_gradient: found 0.0; allowed: a finite number above 0, or"),
        ({"norm_clip": -1.0}, "norm_clip: found -1.0"),
        ({"s": 0}, "s: found 0"),
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        PezSettings(**values)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"beta_start": 0.0}, "beta_start: found 0.0; allowed: a finite number above 0"),
        ({"beta_end": 2.0}, r"beta_end: found 2.0; allowed: .* at most beta_start \(1.0\)"),
        ({"beta_end": 0.0}, "beta_end: found 0.0"),
    ],
)
def test_temperatures_out_of_range_are_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        FluentPromptSettings(**values)


@pytest.mark.parametrize("cls", [PezSettings, FluentPromptSettings])
def test_stored_settings_are_read_back(cls: type[Any]) -> None:
    settings = cls(prompt_length=4, steps=70, fluency=0.25)
    assert from_mapping(cls, stored(settings)) == settings
    assert {"prompt_length", "vocabulary", "s", "k"} <= set(axes(cls))


def test_the_state_is_an_axis_of_pez() -> None:
    assert "state" in axes(PezSettings)


OWN = {item.name for item in fields(PezSettings)} - {item.name for item in fields(HardSettings)}


@pytest.mark.parametrize("name", recipe_names("pez"))
def test_every_recipe_is_valid_and_says_each_of_pezs_settings_by_name(name: str) -> None:
    values = recipe("pez", name)
    settings = PezSettings(**values)
    assert set(values) >= OWN
    assert {key: getattr(settings, key) for key in values} == values


def test_recipes_are_the_published_settings() -> None:
    assert recipe_names("pez") == ("fast", "image", "paper_b", "pez_release")
    released = PezSettings(**recipe("pez", "pez_release"))
    paper = PezSettings(**recipe("pez", "paper_b"))
    for settings in (released, paper):
        assert (settings.steps, settings.batch_size, settings.learning_rate) == (5000, 16, 0.3)
        assert (settings.optimiser, settings.prompt_length) == ("adafactor", 10)
        assert settings.steps // settings.evaluations == 100
    assert (released.state, released.vocabulary, released.ties) == ("projected", "all", "latest")
    assert (paper.s, paper.k, paper.samples, paper.sample_size) == (8192, 64, 5, 8192)
    assert (paper.agreement, paper.state) == ("sampled", "continuous")
    image = PezSettings(**recipe("pez", "image"))
    assert (image.optimiser, image.learning_rate, image.weight_decay) == ("adamw", 0.1, 0.1)
    fast = PezSettings(**recipe("pez", "fast"))
    assert 100 <= fast.steps < 1000
