import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers and other drivers find the packages, installed or not."""
    if importlib.util.find_spec("sweep") is not None:
        path = os.environ.get("PYTHONPATH")
        monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{path}" if path else str(ROOT))


@pytest.fixture
def faults(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which files ask the tabulated method for faults."""
    from sweep.testing.tabulated import FAULTS

    folder = tmp_path_factory.mktemp("faults")
    monkeypatch.setenv(FAULTS, str(folder))
    return folder


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow's with its tables, to be copied: making them takes seconds."""
    from mlflow.tracking import MlflowClient

    from sweep.tracking.facts import DATABASE, default_tracking_uri

    folder = tmp_path_factory.mktemp("mlflow")
    MlflowClient(tracking_uri=default_tracking_uri(folder)).search_experiments()
    return folder / DATABASE


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is lost here stays lost, or is back at once: nobody need wait seconds for MLflow."""
    monkeypatch.setattr("sweep.tracking.sink.LAST_PAUSES", (0.1, 0.1))
    monkeypatch.setattr("sweep.tracking.writer._PATIENCE", 1.0)


@pytest.fixture
def no_ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Any start of Ray is an error."""
    import ray

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr(ray, "init", refuse)
    yield
    assert not ray.is_initialized()


@pytest.fixture
def ray_is_put_away() -> Iterator[None]:
    """Ray that a test has started in its own process goes down with the test."""
    yield
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        from sweep.engine.cluster import put_ray_away

        put_ray_away()
