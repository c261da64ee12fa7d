"""Parameters out of their range are refused by name."""

import json
from dataclasses import asdict
from typing import Any, get_args, get_type_hints

import pytest

from trainables.backbones.layout import ARRANGEMENTS
from trainables.core import registries
from trainables.core.registries import SELECTIONS, SOLVERS
from trainables.core.registry import Registry
from trainables.core.settings import (
    SoftSettings,
    TransferSettings,
    from_mapping,
    stored,
    transfer_settings,
)
from trainables.errors import InputError
from trainables.soft.prefix import PrefixSettings


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
        ("max_steps", 5),
        ("template", "manual"),
        ("anchors", "targets"),
        ("anchor_sample", 0),
        ("anchor_seed", 1),
        ("epochs", 0),
        ("text_tokens", 0),
    ],
)
def test_soft_settings_refuse(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"^{field}: found .*; allowed: "):
        SoftSettings(**{field: value})


REFUSED = [
    ("solver", "adams", {}),
    ("norm", "none", {}),
    ("selection", "validation", {}),
    ("gammas", (), {"solver": "ridge"}),
    ("gammas", (0.1, -1.0), {"solver": "ridge"}),
    ("gammas", (0.1, 0.1), {"solver": "ridge"}),
    ("gammas", (float("inf"),), {"solver": "ridge"}),
    ("gammas", (float("nan"),), {"solver": "ridge"}),
    ("gammas", (10**400,), {"solver": "ridge"}),
    ("gammas", (0.1,), {}),
    ("steps", 0, {"solver": "adam"}),
    ("steps", 100, {}),
    ("steps", 100, {"solver": "v2v_nn"}),
    ("learning_rate", 0.0, {"solver": "adam"}),
    ("learning_rate", float("nan"), {"solver": "projector"}),
    ("top_k", 0, {}),
    ("top_k", 8192, {"solver": "v2v_lin"}),
    ("mask", "first", {"top_k": 5}),
    ("mask", "ptfer_release", {}),
    ("mask", "union", {"solver": "lin_comb"}),
    ("anchor_sample", 0, {}),
    ("anchor_sample", 100, {"solver": "v2v_nn"}),
    ("anchor_sample", 100, {"top_k": 50}),
    ("anchor_seed", 1, {}),
    ("anchor_seed", -1, {"anchor_sample": 100}),
]


@pytest.mark.parametrize(("field", "value", "others"), REFUSED)
def test_transfer_settings_refuse(field: str, value: Any, others: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=rf"^{field}(\[\d\])?: found .*; allowed: ") as caught:
        TransferSettings(**{field: value, **others})
    assert "\n" not in str(caught.value)


def test_a_setting_of_another_solver_says_whose_it_is() -> None:
    with pytest.raises(InputError, match=r"solver ridge \(it is read by adam, projector, "):
        TransferSettings(solver="ridge", steps=5)


def chosen_by(solver: str) -> dict[str, Any]:
    """A selection that goes with a solver, where ``none`` does not."""
    known = SOLVERS[solver].selections
    return {"selection": known[0]} if known else {}


@pytest.mark.parametrize("solver", SOLVERS)
def test_what_a_solver_reads_has_its_default_and_nothing_else_a_value(solver: str) -> None:
    settings = asdict(TransferSettings(solver=solver, **chosen_by(solver)))
    read = SOLVERS[solver].settings
    for name, value in settings.items():
        if name not in ("solver", "norm", "selection"):
            assert value == read.get(name)


def test_defaults_are_stored_as_before_there_was_a_choice() -> None:
    """Cells of sweeps made earlier keep their ids."""
    assert stored(TransferSettings()) == {"solver": "closed_form", "norm": "match"}


def test_stored_transfer_settings_hold_what_matters_and_come_back() -> None:
    settings = TransferSettings(solver="ridge", selection="target_validation", gammas=(1, 0))
    kept = stored(settings)
    assert kept == {
        "solver": "ridge",
        "norm": "match",
        "selection": "target_validation",
        "gammas": [1.0, 0.0],
    }
    assert transfer_settings({**json.loads(json.dumps(kept)), "position": "prefix"}) == settings
    masked = TransferSettings(solver="adam", top_k=8192, mask="ptfer_release")
    assert stored(masked)["mask"] == "ptfer_release"
    assert transfer_settings(stored(masked)) == masked


TAUGHT = {"teacher": "sources", "texts": 512, "texts_from": None}
DEFAULTS: dict[str, dict[str, Any]] = {
    "closed_form": {},
    "ridge": {"gammas": [0.0, 0.001, 0.01, 0.1, 1.0, 10.0]},
    "adam": {"steps": 2000, "learning_rate": 5e-3},
    "decisions": {"texts": 512},
    "v2v_lin": {},
    "copy": {},
    "v2v_nn": {},
    "lin_comb": {},
    "projector": {"steps": 500, "learning_rate": 1e-3},
    "distil": {
        **{"steps": 120, "learning_rate": 0.2, "batch_size": 8, "start": "vocabulary"},
        **{"temperature": 1.0, "degenerate": "keep", **TAUGHT},
    },
    "tune": {
        **{"steps": 120, "learning_rate": 0.2, "batch_size": 8, "start": "carried"},
        **{"shots": None},
    },
    "search": {
        **{"algorithm": "cma", "subspace": "random", "dimensions": 32, "start": "vocabulary"},
        **{"shots": None, "budget": 16_000, **TAUGHT, "texts": 64},
    },
    "random_words": {"tries": 40},
    "readout": {"features": "states", **TAUGHT},
    "proxy": {},
    "calibrated_sum": {},
}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"selection": "target_validation", "norm": "ptfer"},
        {"top_k": 8192},
        {"top_k": 8192, "mask": "ptfer_release"},
        {"anchor_sample": 8192, "anchor_seed": 3},
        {"steps": 7, "learning_rate": 0.5},
        {"gammas": (0.0, 2.0)},
    ],
)
def test_stored_is_what_the_solver_reads_and_what_is_chosen(
    solver: str, more: dict[str, Any]
) -> None:
    """Said once more, setting by setting: hashes rest on it."""
    try:
        settings = TransferSettings(solver=solver, **{**chosen_by(solver), **more})
    except InputError:
        chosen = more.get("selection") in (SOLVERS[solver].selections or SELECTIONS)
        assert not more.keys() <= {"norm", *["selection"] * chosen, *SOLVERS[solver].settings}
        return
    expected: dict[str, Any] = {"solver": solver, "norm": settings.norm, **DEFAULTS[solver]}
    if settings.selection != "none":
        expected["selection"] = settings.selection
    if settings.selection == "agreement":
        expected |= {**TAUGHT, "texts": 64}
    expected |= {name: more[name] for name in ("steps", "learning_rate") if name in more}
    if "gammas" in more:
        expected["gammas"] = list(more["gammas"])
    if settings.top_k:
        expected |= {"top_k": settings.top_k, "mask": settings.mask}
    if settings.anchor_sample:
        expected |= {"anchor_sample": 8192, "anchor_seed": 3}
    assert stored(settings) == expected
    assert transfer_settings(stored(settings)) == settings


def test_one_of_steps_and_epochs_counts() -> None:
    assert SoftSettings().steps == 1000
    with pytest.raises(InputError, match=r"steps: found 5 beside epochs 2; allowed: one of"):
        SoftSettings(steps=5, epochs=2)
    assert SoftSettings(steps=7, evaluations=2).steps_for(10_000) == 7
    ten = SoftSettings(epochs=10, batch_size=16)
    assert [ten.steps_for(rows) for rows in (1, 16, 17, 3_668)] == [10, 10, 20, 10 * 230]
    capped = SoftSettings(epochs=10, batch_size=16, max_steps=1000)
    assert [capped.steps_for(rows) for rows in (17, 3_668, 67_349)] == [20, 1000, 1000]
    with pytest.raises(InputError, match="max_steps: found 0; allowed: a whole number of at least"):
        SoftSettings(epochs=10, max_steps=0)


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
    positions = [
        get_args(get_type_hints(cls)["position"]) for cls in (SoftSettings, PrefixSettings)
    ]
    assert {name for names in positions for name in names} == set(ARRANGEMENTS)


KINDS = {kind.kind: kind for kind in vars(registries).values() if isinstance(kind, Registry)}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_name_leads_to_something(kind: Registry[Any]) -> None:
    for thing in kind.values():
        assert thing.load() if hasattr(thing, "load") else callable(thing) or thing


def test_mapping_round_trip_and_unknown_keys() -> None:
    settings = SoftSettings(steps=7, evaluations=2)
    assert from_mapping(SoftSettings, asdict(settings)) == settings
    with pytest.raises(InputError, match=r"unknown key 'stepz' .*steps\?\); allowed: "):
        from_mapping(SoftSettings, {"stepz": 1})
