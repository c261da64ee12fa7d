"""Parameters out of their range are refused by name."""

from dataclasses import asdict
from typing import Any

import pytest

from trainables.errors import InputError
from trainables.settings import SoftSettings, TransferSettings, from_mapping


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


def test_mapping_round_trip_and_unknown_keys() -> None:
    settings = SoftSettings(steps=7, evaluations=2)
    assert from_mapping(SoftSettings, asdict(settings)) == settings
    with pytest.raises(InputError, match=r"stepz: unknown setting; allowed: batch_size"):
        from_mapping(SoftSettings, {"stepz": 1})
