"""Parameters out of their range are refused by name."""

from dataclasses import asdict
from typing import Any

import pytest

from trainables.backbones.reader import ARRANGEMENTS
from trainables.errors import InputError
from trainables.initialisation import CHECKS, INITIALISERS
from trainables.losses import LOSSES as KNOWN_LOSSES
from trainables.settings import (
    CHECKPOINTS,
    INITS,
    LOSSES,
    POSITIONS,
    SoftSettings,
    TransferSettings,
    from_mapping,
    stored,
)
from trainables.soft import CHECKPOINTS as KNOWN_CHECKPOINTS


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt_length", 0),
        ("steps", 0),
        ("batch_size", -1),
        ("evaluations", 0),
        ("evaluations", 5000),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("init_std", -0.1),
        ("warmup", 1.0),
        ("position", "middle"),
        ("weight_decay", -0.1),
        ("weight_decay", float("nan")),
        ("loss", "labels"),
        ("checkpoint", "first"),
        ("init", "zeros"),
        ("init_text", "some words"),
        ("init_file", "prompt.npy"),
        ("epochs", 0),
        ("text_tokens", 0),
    ],
)
def test_soft_settings_refuse(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"^{field}: found .*; allowed: "):
        SoftSettings(**{field: value})


@pytest.mark.parametrize(("field", "value"), [("solver", "adams"), ("norm", "none")])
def test_transfer_settings_refuse(field: str, value: str) -> None:
    with pytest.raises(InputError, match=rf"^{field}: found '{value}'; allowed: "):
        TransferSettings(**{field: value})


def test_one_of_steps_and_epochs_counts() -> None:
    assert SoftSettings().steps == 1000
    with pytest.raises(InputError, match=r"steps: found 5 beside epochs 2; allowed: one of"):
        SoftSettings(steps=5, epochs=2)
    assert SoftSettings(steps=7, evaluations=2).steps_for(10_000) == 7
    ten = SoftSettings(epochs=10, batch_size=16)
    assert [ten.steps_for(rows) for rows in (1, 16, 17, 3_668)] == [10, 10, 20, 10 * 230]


@pytest.mark.parametrize("init", ["text", "file"])
def test_a_start_from_something_needs_it(init: str) -> None:
    with pytest.raises(InputError, match=rf"init_{init}: found None; allowed: .*as init is {init}"):
        SoftSettings(init=init)


def test_younger_settings_at_their_defaults_are_not_stored() -> None:
    """Cells keep the ids they had before those settings."""
    assert stored(SoftSettings()) == {
        "prompt_length": 5,
        "steps": 1000,
        "batch_size": 16,
        "learning_rate": 3e-3,
        "warmup": 0.1,
        "bias_correction": True,
        "init_std": 0.02,
        "position": "prefix",
        "evaluations": 10,
        "text_tokens": None,
    }
    changed = SoftSettings(epochs=3, dropout=True, loss="vocabulary", init="uniform")
    found = stored(changed)
    assert {"epochs": 3, "dropout": True, "loss": "vocabulary", "init": "uniform"}.items() <= (
        found.items()
    )
    assert "checkpoint" not in found
    for settings in (SoftSettings(), changed):
        assert from_mapping(SoftSettings, stored(settings)) == settings


def test_every_name_that_is_allowed_is_there() -> None:
    assert set(POSITIONS) == set(ARRANGEMENTS)
    assert set(LOSSES) == set(KNOWN_LOSSES)
    assert set(CHECKPOINTS) == set(KNOWN_CHECKPOINTS)
    assert set(INITS) == set(INITIALISERS) >= set(CHECKS)


def test_mapping_round_trip_and_unknown_keys() -> None:
    settings = SoftSettings(steps=7, evaluations=2)
    assert from_mapping(SoftSettings, asdict(settings)) == settings
    with pytest.raises(InputError, match=r"stepz: unknown setting; allowed: batch_size"):
        from_mapping(SoftSettings, {"stepz": 1})
