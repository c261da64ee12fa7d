from pathlib import Path

import pandas as pd
import pytest

from tests.analysis.builder import build


@pytest.fixture(scope="session")
def full_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished sweep of 4 sources, 6 pairs, 3 tasks, 7 weights and 3 seeds."""
    folder = tmp_path_factory.mktemp("sweeps") / "full"
    build(folder)
    return folder


@pytest.fixture(scope="session")
def full_frame(full_folder: Path) -> pd.DataFrame:
    from analysis import load

    return load(full_folder)


@pytest.fixture(scope="session")
def full_report(full_folder: Path) -> str:
    from analysis import write_report

    return write_report(full_folder).read_text(encoding="utf-8")
