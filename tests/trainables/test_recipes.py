"""Recipes are settings written down once: valid, overridden by a spec, and nothing else."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.spec.methods import parse_method
from tests.sweep.samples import plan_of, relaxed
from trainables.core.settings import SoftSettings, fitted_defaults, from_mapping, stored
from trainables.errors import InputError
from trainables.recipes import recipe, recipe_names, with_recipe
from trainables.soft.tuning import evaluation_steps


def settings_of(section: dict[str, Any]) -> SoftSettings:
    (settings,) = parse_method("soft", section).variants
    return settings


def test_optiprompt_is_its_published_recipe() -> None:
    assert settings_of({"recipe": "optiprompt"}) == SoftSettings(
        epochs=10,
        batch_size=16,
        learning_rate=3e-3,
        bias_correction=False,
        weight_decay=0.0,
        warmup=0.1,
        dropout=True,
        init="normal",
        init_std=0.02,
        evaluations=30,
    )


def test_fast_is_a_few_hundred_steps_without_dropout() -> None:
    fast = settings_of({"recipe": "fast"})
    assert fast.steps is not None
    assert 100 <= fast.steps < 1000
    assert not fast.dropout


def test_lester_is_the_papers_prompt_tuning() -> None:
    found = settings_of({"recipe": "lester"})
    assert (found.prompt_length, found.batch_size, found.steps) == (100, 32, 30_000)
    assert (found.optimiser, found.learning_rate, found.schedule, found.warmup) == (
        *("adafactor_whole", 0.3, "constant", 0.0),
    )
    assert (found.loss, found.init) == ("vocabulary", "label_words")
    short = settings_of({"recipe": "lester", "prompt_length": 5, "steps": 20, "init": "uniform"})
    assert (short.prompt_length, short.steps, short.evaluations) == (5, 20, 20)
    assert short.init_range == (-0.5, 0.5)


def test_ppt_is_the_few_shot_tuning_of_its_released_code() -> None:
    found = settings_of({"recipe": "ppt", "shots": 16})
    assert (found.prompt_length, found.batch_size, found.epochs) == (100, 8, 50)
    assert (found.optimiser, found.learning_rate, found.schedule, found.warmup) == (
        *("adamw", 0.01, "constant", 0.0),
    )
    assert (found.weight_decay, found.clip_gradient) == (0.01, 1.0)
    assert (found.loss, found.answer, found.init) == ("vocabulary", "sentinel", "vocabulary")
    steps = found.steps_for(32)
    assert steps == 200
    apart = np.diff(sorted(evaluation_steps(steps, found)))
    assert set(apart) <= {6, 7}, "every 6 steps, the last at the end"


def test_what_the_recipe_brought_leaves_older_cells_as_they_are() -> None:
    new = {"optimiser", "schedule", "init_range", "clip_gradient"}
    assert not new & stored(SoftSettings(init="uniform")).keys()
    kept = stored(settings_of({"recipe": "lester"}))
    assert kept["optimiser"] == "adafactor_whole" and kept["schedule"] == "constant"
    assert "bias_correction" not in kept, "Adafactor has none"
    assert from_mapping(SoftSettings, kept) == settings_of({"recipe": "lester"})
    other = SoftSettings(init="uniform", init_range=(0.0, 0.5))
    assert stored(other)["init_range"] == [0.0, 0.5]
    assert from_mapping(SoftSettings, stored(other)) == other


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"init_range": [0, 0.5]}, "init_range: .*allowed: nothing, as init is normal"),
        ({"init": "uniform", "init_range": [0.5, 0]}, "init_range: .*the lower one first"),
        ({"init": "uniform", "init_range": [0.5]}, "init_range"),
        ({"init": "uniform", "init_range": 0.5}, "init_range: found 0.5"),
        ({"optimiser": "adafctor"}, "optimiser: .*adafactor"),
        ({"schedule": "cosine"}, "schedule: .*linear"),
    ],
)
def test_what_does_not_go_together_is_refused(section: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=rf"methods.soft.{sentence}") as refused:
        settings_of(section)
    assert "allowed" in str(refused.value)


@pytest.mark.parametrize("name", recipe_names("soft"))
def test_every_recipe_is_valid_and_says_each_setting_by_name(name: str) -> None:
    assert settings_of({"recipe": name}) == SoftSettings(**recipe("soft", name))


def test_unknown_recipes_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"recipe: found 'slow'; allowed: fast, lester, optiprompt, ppt"
    ):
        recipe("soft", "slow")
    with pytest.raises(InputError, match=r"methods.soft.recipe: found 'fst' \(did you mean fast"):
        settings_of({"recipe": "fst"})


def test_the_specs_own_keys_override() -> None:
    own = settings_of({"recipe": "optiprompt", "dropout": False, "learning_rate": 0.01})
    assert (own.dropout, own.learning_rate, own.epochs) == (False, 0.01, 10)
    steps = settings_of({"recipe": "optiprompt", "steps": 40})
    assert (steps.steps, steps.epochs, steps.evaluations) == (40, None, 30)
    short = settings_of({"recipe": "optiprompt", "steps": 4})
    assert (short.steps, short.evaluations) == (4, 4)
    epochs = settings_of({"recipe": "fast", "epochs": 2})
    assert (epochs.steps, epochs.epochs) == (None, 2)
    with pytest.raises(InputError, match="steps: found 5 beside epochs 2"):
        settings_of({"recipe": "fast", "epochs": 2, "steps": 5})
    with pytest.raises(InputError, match=r"evaluations: found 9; allowed: at most .* \(4\)"):
        settings_of({"recipe": "fast", "steps": 4, "evaluations": 9})


def test_reading_a_recipe_leaves_it_as_it_is() -> None:
    recipe("soft", "fast")["steps"] = 1
    assert recipe("soft", "fast")["steps"] == 300


def test_a_recipe_is_hashed_by_its_values_alone() -> None:
    named = plan_of(methods={"soft": {"lambda": [0, 0.5], "recipe": "fast"}})
    written = plan_of(methods={"soft": {"lambda": [0, 0.5], **recipe("soft", "fast")}})
    assert named.hash == written.hash
    assert named.by_id.keys() == written.by_id.keys()
    other = plan_of(methods={"soft": {"lambda": [0, 0.5], "recipe": "optiprompt"}})
    assert not {c.id for c in other.cells if c.sources} & named.by_id.keys()


values = {
    "steps": st.none() | st.integers(30, 500),
    "epochs": st.none() | st.integers(1, 20),
    "batch_size": st.integers(1, 64),
    "learning_rate": st.floats(1e-4, 1.0),
    "bias_correction": st.booleans(),
    "dropout": st.booleans(),
    "weight_decay": st.floats(0, 1),
    "checkpoint": st.sampled_from(["best", "last"]),
    "loss": st.sampled_from(["label_words", "vocabulary"]),
    "evaluations": st.integers(1, 30),
    "prompt_length": st.integers(1, 20),
}


@pytest.mark.slow
@relaxed
@given(
    name=st.none() | st.sampled_from(recipe_names("soft")),
    own=st.fixed_dictionaries({}, optional=values),
    data=st.data(),
)
def test_recipe_and_overrides_resolve_alike_in_any_order(
    name: str | None, own: dict[str, Any], data: st.DataObject
) -> None:
    section = {**own, "recipe": name, "lambda": [0, 0.5]}
    shuffled = {key: section[key] for key in data.draw(st.permutations(list(section)))}
    try:
        first = settings_of(section)
    except InputError as error:
        assert own.get("steps") is not None  # beside epochs, or fewer than the evaluations
        with pytest.raises(InputError) as caught:
            settings_of(shuffled)
        assert str(caught.value) == str(error)
        return
    assert settings_of(shuffled) == first
    # Every key that is given wins; every other one is the recipe's, or else the default's.
    merged = with_recipe("soft", name, own)
    assert SoftSettings(**fitted_defaults(SoftSettings, merged)) == first
    for key, value in own.items():
        if value is not None:
            assert getattr(first, key) == value
    assert with_recipe("soft", name, merged) == {**merged, **with_recipe("soft", None, merged)}
