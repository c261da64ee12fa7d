"""Dynamic prompts in the report: equal tries, choices, carried decisions, by hand."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.data.columns import DICTIONARY, typed
from analysis.dynamic.carried import carried
from analysis.dynamic.choices import choices
from analysis.dynamic.gains import chosen, gain_sentence, gains, tuned
from analysis.dynamic.section import dynamic_section

SEEDS, TASKS, TARGETS = range(3), ("x", "y"), ("A", "B")


def line(target: str, task: str, seed: int, level: str, more: dict[str, Any]) -> dict[str, Any]:
    own = {"level": level, **more}
    name = f"{target}{task}{seed}{level}{sorted(more.items())}"
    return {
        **dict.fromkeys(name for name in DICTIONARY if name != "sweep"),
        **{"cell": name, "kind": "source", "row": "independent", "method": "dynamic"},
        **{"family": "soft", "target": target, "sources": target, "source_1": target},
        **{"task": task, "seed": seed, "settings": json.dumps({"level": level, **more})},
        **{"combination": "", "parameters": 90, "degenerate": False, "inputs": "[]"},
        **{key: value for key, value in own.items() if key in DICTIONARY},
    }


def frame_of(gain: float = 0.04) -> pd.DataFrame:
    """Three static positions, one temperature pair of instance-level position, one longer prompt.

    Validation prefers position 2, whose test score is 0.6.
    """
    rows = []
    for target in TARGETS:
        for task in TASKS:
            for seed in SEEDS:
                for behind, (check, score) in {0: (0.5, 0.9), 2: (0.8, 0.6), 4: (0.9, 0.1)}.items():
                    each = line(target, task, seed, "fixed", {"behind": behind})
                    rows.append({**each, "validation_score": check, "score": score})
                for warm, check in ((1.0, 0.7), (2.0, 0.6)):
                    more = {"adapt": "position", "temperature": warm}
                    each = line(target, task, seed, "instance", more)
                    score = 0.6 + gain + 0.01 * seed if warm == 1.0 else 0.95
                    told = {"positions": json.dumps([0, 5, 5]), "vectors_behind": 1.5}
                    rows.append({**each, "validation_score": check, "score": score, **told})
                each = line(target, task, seed, "parameters", {"adapt": "position", "behind": 0})
                rows.append({**each, "validation_score": 0.5, "score": 0.5})
    return typed(pd.DataFrame(rows))


def test_each_side_is_the_best_of_as_many_tries_by_validation() -> None:
    table = gains(frame_of())
    assert list(table["control"]) == ["fixed", "parameters"]
    first, second = table.to_dict("records")
    # Two tries each: of the positions the first two, of which validation takes 2.
    assert (first["tries"], first["n"]) == (2, 12)
    assert first["control_score"] == pytest.approx(60)
    assert first["score"] == pytest.approx(65)
    assert first["difference"] == pytest.approx(5) and first["low"] < 5 < first["high"]
    assert (second["tries"], second["n"]) == (1, 12)
    assert second["difference"] == pytest.approx(15)
    assert "With position decided by instance: +5.0 points" in gain_sentence(table)
    assert "(12 pairs, 2 tries each)" in gain_sentence(table)


def test_test_scores_choose_nothing() -> None:
    rows = tuned(frame_of())
    static = rows[rows["level"] == "fixed"]
    assert set(chosen(static, 3)) == {0.1} and set(chosen(static, 1)) == {0.9}


def test_no_gain_is_said_to_be_none() -> None:
    assert "shows no gain" in gain_sentence(gains(frame_of(-0.01)))


def test_choices_are_shares_of_texts() -> None:
    table = choices(frame_of())
    assert len(table) == 4 and set(table["level"]) == {"instance"}
    row = table.iloc[0]
    assert row["positions"] == pytest.approx([0, 0.5, 0.5]) and row["lengths"] is None
    assert (row["n"], row["vectors_behind"], row["one_choice"]) == (6, 1.5, 0.0)


def carried_frame() -> pd.DataFrame:
    own = frame_of()
    rows = []
    for task in TASKS:
        for seed in SEEDS:
            for solver, score in (("closed_form", 0.5), ("decisions", 0.52 + 0.01 * seed)):
                each = line("B", task, seed, "instance", {"adapt": "position"})
                rows.append(
                    {
                        **each,
                        **{"kind": "transfer", "row": "single", "sources": "A", "source_1": "A"},
                        **{"cell": each["cell"] + solver, "solver": solver, "score": score},
                        **{"inputs": json.dumps([f"{task}{seed}"]), "agreement_position": 0.75},
                        **{"positions": json.dumps([5, 5, 0]), "validation_score": 0.5},
                    }
                )
    return pd.concat([own, typed(pd.DataFrame(rows))], ignore_index=True)


def test_carried_decisions_stand_beside_vectors_alone_and_the_targets_own() -> None:
    (row,) = carried(carried_frame()).to_dict("records")
    assert (row["target"], row["n"]) == ("B", 6)
    assert row["difference"] == pytest.approx(3) and row["agreement"] == 0.75
    assert row["distance"] == pytest.approx(0.5)
    assert row["own_score"] == pytest.approx(100 * np.mean([0.64, 0.65, 0.66, 0.95, 0.95, 0.95]))


def test_the_section_has_what_there_is() -> None:
    section = dynamic_section(carried_frame())
    assert section is not None
    names = [exhibit.name for part in section.parts for exhibit in part.exhibits]
    assert names == ["dynamic_gains", "dynamic_choices", "dynamic_carried"]
    without = frame_of()
    assert dynamic_section(without[without["method"] != "dynamic"]) is None
