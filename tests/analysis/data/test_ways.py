"""Names of ways of transfer, and which of them have sections of their own."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.data.combinations import main_ways, parts, read_how, tunings
from analysis.data.ways import ways
from analysis.soft.best_prompts import best_prompts, ranked
from analysis.soft.tables import source_models
from tests.analysis.planted_ways import CLOSED, DISTIL, READOUT, SELF, WAYS, Sweep, Way, cost, table


def names(*settings: dict[str, object]) -> list[str | None]:
    rows = [{"kind": "transfer", "family": "soft", "settings": each} for each in settings]
    return ways([*rows, {"kind": "source", "family": "soft", "settings": {}}])[:-1]


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ([{"solver": "closed_form", "norm": "match"}], ["closed_form"]),
        (
            [
                {"solver": "readout", "features": "states", "texts": 64},
                {"solver": "readout", "features": "states", "texts": 512},
                {"solver": "closed_form", "norm": "match"},
            ],
            ["readout 64", "readout 512", "closed_form"],
        ),
        (
            [
                {"solver": "readout", "features": "states", "texts": 512},
                {"solver": "readout", "features": "words", "texts": 64},
            ],
            ["readout states 512", "readout words 64"],
        ),
        (  # two numbers bear their names
            [
                {"solver": "search", "budget": 4000, "texts": 64},
                {"solver": "search", "budget": 16000, "texts": 128},
            ],
            ["search texts 64 budget 4000", "search texts 128 budget 16000"],
        ),
        (  # words that could be either setting's too
            [
                {"solver": "search", "subspace": "sources", "teacher": "own"},
                {"solver": "search", "subspace": "random", "teacher": "sources"},
            ],
            ["search teacher own subspace sources", "search teacher sources subspace random"],
        ),
        (
            [{"solver": "tune", "shots": None}, {"solver": "tune", "shots": 16}],
            ["tune", "tune shots 16"],
        ),
        (  # a younger setting at its default is not stored
            [{"solver": "ridge"}, {"solver": "ridge", "selection": "target_validation"}],
            ["ridge", "ridge selection target_validation"],
        ),
    ],
)
def test_a_name_says_what_differs_and_no_more(settings, wanted):
    assert names(*settings) == wanted


def test_names_are_distinct_where_settings_are():
    every = [dict(way.settings) for way in WAYS]
    assert len(set(names(*every))) == len(every)


SMALL = {"sources": ("ant", "bee", "cat"), "tasks": ("mini/a", "mini/b"), "seeds": (0, 1)}


def made(*several: Way, **more: object):
    return table(Sweep(several, **{**SMALL, **more}), np.random.default_rng(0))


FULL = Way(CLOSED.settings, 0.05, cost(), rows=("single", "baseline"))


def test_a_way_with_fewer_rows_and_own_rows_are_no_part():
    frame = made(FULL, READOUT, *DISTIL, SELF)
    ((label, part),) = parts(frame)
    assert label == ""
    moved = part[part["kind"] == "transfer"]
    assert set(moved["way"]) == {"closed_form"}
    assert set(moved["row"]) == {"single", "baseline"}
    rest = frame[frame["kind"] != "transfer"]
    assert set(part["cell"]) == set(rest["cell"]) | set(moved["cell"])
    kept = main_ways(frame)
    assert set(kept.loc[kept["kind"] == "transfer", "way"]) == {"closed_form"}
    assert source_models(frame) == ["ant", "bee", "cat"]


def test_maps_with_the_same_rows_are_parts_of_their_own_and_nothing_else_is():
    ridge = replace(CLOSED, settings={"solver": "ridge", "norm": "match", "gammas": [0.0]})
    frame = made(CLOSED, ridge, READOUT, SELF)
    found = dict(parts(frame))
    assert len(found) == 2
    for label, part in found.items():
        moved = part[part["kind"] == "transfer"]
        assert len(set(moved["solver"])) == 1
        assert label.startswith(f"transfer.solver {moved['solver'].iloc[0]}")
        assert set(moved["row"]) == {"single"}


def test_where_nothing_is_mapped_other_ways_are_parts():
    assert len(list(parts(made(READOUT, DISTIL[0], SELF)))) == 2


def test_own_rows_alone_are_a_part():
    frame = made(SELF)
    ((_, part),) = parts(frame)
    assert set(part.loc[part["kind"] == "transfer", "row"]) == {"own"}


def test_all_ways_of_one_tuning_stand_together():
    frame = made(FULL, READOUT, *DISTIL, SELF)
    ((label, part),) = tunings(frame)
    assert label == "" and part is frame


def test_what_leaves_no_prompt_is_not_offered():
    frame = made(CLOSED, READOUT, SELF)
    best = frame["way"].isin(("readout", "distil"))
    frame.loc[best, "validation_score"] += 0.3
    offered = {row["way"] for rows in ranked(frame) for row in rows.to_dict("records")}
    assert offered == {"closed_form", "distil"}
    assert {item.sources for item in best_prompts(frame)} <= {"ant", "bee", "cat"}


def test_costs_are_columns():
    frame = made(CLOSED, *DISTIL[:1])
    row = frame[frame["way"] == "distil"].iloc[0]
    assert row["target_work"] == 15 * 32 + 2 * 15 * 32
    assert (row["access"], row["product"], row["texts"]) == ("gradients", "prompt", 512)
    assert not row["source_at_inference"]
    assert frame.loc[frame["kind"] == "reference", "target_work"].isna().all()


def test_reference_rows_that_were_read_otherwise_are_left_out() -> None:
    """Soft prompts in chat templates beside hard ones without: Empty is there both ways."""
    settings = {name: json.dumps({"frame": name}) for name in ("chat", "plain")}
    lines = [("reference", "empty", settings["chat"]), ("reference", "empty", settings["plain"]),
             ("transfer", "single", settings["chat"]), ("source", "independent", "{}")]  # fmt: skip
    frame = pd.DataFrame(lines, columns=["kind", "row", "settings"]).assign(combination="")
    for found in (tunings(frame), parts(frame)):
        ((label, part),) = found
        assert label == ""
        assert list(part["settings"]) == [settings["chat"], settings["chat"], "{}"]
    told = dict(read_how(frame[frame["kind"] == "reference"]))
    assert {name: len(rows) for name, rows in told.items()} == {
        "in its chat template": 1,
        "without a chat template": 1,
    }
    ((label, rows),) = read_how(frame[:1])
    assert label == "" and len(rows) == 1
