"""Work in a second process gives what it would give here."""

import os

import pandas as pd
import pytest

from analysis.report.background import LARGE, background


def who(frame: pd.DataFrame) -> tuple[int, float]:
    return os.getpid(), float(frame["x"].sum())


def fail(frame: pd.DataFrame) -> None:
    raise ValueError(f"{len(frame)} rows")


def test_a_small_table_stays_here() -> None:
    with background(who, pd.DataFrame({"x": [1.0, 2.0]})) as found:
        assert found() == (os.getpid(), 3.0)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="a single core")
def test_a_large_one_goes_to_a_process_of_its_own() -> None:
    with background(who, pd.DataFrame({"x": [1.0] * LARGE})) as found:
        process, total = found()
    assert process != os.getpid()
    assert total == LARGE


@pytest.mark.parametrize("rows", [1, LARGE])
def test_its_errors_are_ours(rows: int) -> None:
    with (
        background(fail, pd.DataFrame({"x": [1.0] * rows})) as found,
        pytest.raises(ValueError, match=f"{rows} rows"),
    ):
        found()
