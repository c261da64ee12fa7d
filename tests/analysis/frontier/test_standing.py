"""A prompt beside no prompt, the strongest row without tuning, and Direct."""

import math
from typing import Any

import pandas as pd
import pytest

from analysis.contrasts.examples import Examples
from analysis.frontier.standing import Standing, standing

REFERENCE = {"kind": "reference", "method": "none", "direct": False, "combination": ""}
TUNED = {"method": "soft", "direct": False, "combination": ""}


def row(cell: str, score: float, batch: float | None = None, **more: Any) -> dict[str, Any]:
    base = {"cell": cell, "target": "T", "task": "x", "settings": None, "metric": "accuracy"}
    return {**base, "score": score, "score_batch": batch, **more}


def table(mine: float, *more: dict[str, Any]) -> pd.DataFrame:
    rows = [
        row("mine", mine, 0.99, kind="transfer", row="single", **TUNED),
        row("empty", 0.50, 0.60, row="empty", **REFERENCE),
        row("manual", 0.55, 0.70, row="manual", **REFERENCE),
        row("constant", 0.40, None, row="constant", **REFERENCE),
        *(
            row(f"direct{seed}", 0.78 + seed / 50, 0.9, kind="source", row="independent",
                **TUNED | {"direct": True})
            for seed in (0, 1)
        ),
        # Of another task, target or combination: nothing that counts here.
        row("other", 0.99, 0.99, row="empty", **REFERENCE | {"target": "U"}),
        row("else", 0.99, 0.99, row="empty", **REFERENCE | {"task": "y"}),
        *more,
    ]  # fmt: skip
    return pd.DataFrame(rows)


class Error(Examples):
    """Every difference has this standard error, in points."""

    def __init__(self, error: float) -> None:
        super().__init__(lambda cells: (), {})
        self.told = error
        self.asked: list[pd.DataFrame] = []

    def spread(self, terms: pd.DataFrame) -> float:
        self.asked.append(terms)
        return self.told


def found(mine: float, error: float | None = None, *more: dict[str, Any]) -> Standing:
    result = standing(table(mine, *more), "mine", None if error is None else Error(error))
    assert result is not None
    return result


def test_the_levels_are_the_tables_own() -> None:
    item = found(0.65)
    assert item.empty is not None
    assert item.bar is not None
    assert item.direct is not None
    assert (item.empty.name, item.empty.score, item.empty.lead.mean) == ("Empty", 50.0, 15.0)
    assert item.bar.name == "Manual + calibration"
    assert item.bar.score == pytest.approx(70.0)
    assert item.bar.lead.mean == pytest.approx(-5.0)
    assert item.direct.score == pytest.approx(79.0)
    assert item.text == (
        "65.0 on test; Empty 50.0 (+15.0); strongest untuned row: Manual + calibration 70.0"
        " (−5.0); Direct 79.0 (−14.0)"
    )


def test_what_an_interval_weighs() -> None:
    examples = Error(1.0)
    assert standing(table(0.65), "mine", examples) is not None
    sums = [terms["weight"].sum() for terms in examples.asked]
    assert sums == pytest.approx([0.0] * 6)
    direct = examples.asked[-1]
    assert direct["cell"].tolist() == ["mine", "direct0", "direct1"]
    assert not direct["calibrated"].any()
    calibrated = [terms["calibrated"].tolist() for terms in examples.asked]
    assert calibrated[1] == calibrated[3] == [False, True]


@pytest.mark.parametrize(
    ("score", "error", "does"),
    [
        (0.65, 1.0, "is worse than"),
        (0.65, 9.0, "is not shown to be better than"),
        (0.75, 9.0, "is not shown to be better than"),
        (0.75, 1.0, None),
        # Without kept predictions the sign decides.
        (0.65, None, "is not shown to be better than"),
        (0.70, None, "is not shown to be better than"),
        (0.75, None, None),
        (0.75, math.nan, None),
    ],
)
def test_it_warns_where_nothing_is_gained(
    score: float, error: float | None, does: str | None
) -> None:
    item = found(score, error)
    if does is None:
        assert item.warning is None
        return
    assert item.warning is not None
    assert item.warning.startswith(f"this prompt {does} Manual + calibration, which needs no tun")
    assert item.facts()["warning"] == item.warning


def test_empty_may_be_the_strongest() -> None:
    rows = table(0.65)
    rows = rows[~rows["cell"].isin(["manual", "constant"])].assign(score_batch=None)
    item = standing(rows, "mine")
    assert item is not None
    assert item.text == (
        "65.0 on test; Empty 50.0 (+15.0), the strongest untuned row; Direct 79.0 (−14.0)"
    )


def test_validation_takes_the_strongest() -> None:
    rows = table(0.65)
    rows["validation_score"], rows["validation_score_batch"] = 0.5, 0.4
    rows.loc[rows["cell"] == "manual", "validation_score"] = 0.6
    item = standing(rows, "mine")
    assert item is not None
    assert item.bar is not None
    assert (item.bar.name, item.bar.score) == ("Manual", pytest.approx(55.0))


def test_what_is_not_there_is_not_said() -> None:
    rows = table(0.65)
    item = standing(rows[rows["cell"] == "mine"], "mine")
    assert item is not None
    assert (item.text, item.warning) == ("65.0 on test", None)
    assert item.facts() == {"score": 65.0, "text": "65.0 on test", "warning": None}
    assert standing(rows, "gone") is None
    direct = standing(rows, "direct0")
    assert direct is not None
    assert direct.direct is None


def test_direct_of_the_same_combination() -> None:
    long = [
        row(f"long{seed}", 0.2, None, kind="source", row="independent",
            **TUNED | {"direct": True, "combination": "length 9"})
        for seed in (0, 1)
    ]  # fmt: skip
    item = found(0.65, None, *long)
    assert item.direct is not None
    assert item.direct.score == pytest.approx(79.0)
