"""What teachers say is a feature of the prompts that they are of, whichever way these go."""

from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from analysis.data.results import read
from analysis.forecast.features import observations
from analysis.forecast.prediction import described, pooled
from tests.analysis import planted_ways
from tests.analysis.planted_ways import CLOSED, DISTIL, READOUT, build_ways

PERMUTED = replace(READOUT, settings={**READOUT.settings, "teacher": "permuted"})
WAYS = (CLOSED, READOUT, DISTIL[0], PERMUTED)
NAMES = ("teacher_agreement", "teacher_misfit")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("ways")
    build_ways(made, planted_ways.Sweep(ways=WAYS, seeds=(0, 1)))
    return made


def test_teachers_by_a_plain_loop(folder: Path) -> None:
    sweep = read(folder)
    draw = np.random.default_rng(0)
    frame = sweep.frame.copy()
    for name in NAMES:
        values = np.where(frame["teacher"].isna(), np.nan, draw.uniform(size=len(frame)))
        frame[name] = values
    table = observations(replace(sweep, frame=frame))
    assert len(table) == 4 * 3, "the closed form alone: its gains are to be predicted"
    for _, row in table.iterrows():
        for name in NAMES:
            said = [
                cell[name]
                for _, cell in frame.iterrows()
                if cell["kind"] == "transfer"
                and cell["teacher"] == "sources"
                and (cell["sources"], cell["target"], cell["task"])
                == (row["sources"], row["target"], row["task"])
            ]
            assert len(said) == 2 * 2, "two ways, two seeds; what is permuted teaches nothing"
            assert row[name] == pytest.approx(fmean(said))
    names = set(described(pooled(table))["name"])
    assert set(NAMES) <= names


def test_without_a_teacher_they_are_unknown(folder: Path) -> None:
    sweep = read(folder)
    table = observations(sweep)  # records that say nothing of teachers
    assert table[list(NAMES)].isna().all(axis=None)
    carried = sweep.frame[~sweep.frame["teacher"].notna()]
    alone = observations(replace(sweep, frame=carried.reset_index(drop=True)))
    assert alone[list(NAMES)].isna().all(axis=None)
    assert not set(NAMES) & set(described(pooled(alone))["name"])
