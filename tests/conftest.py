"""Environment of all tests: nothing outside the temporary folder, nothing beyond loopback."""

import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ["RAY_AUTH_MODE"] = "disabled"
# Ray reads this when it is imported: whichever test does so first, nodes stay on loopback.
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["HOME"] = tempfile.mkdtemp(prefix="promptsweep-home-")
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"
# Two test processes on two cores: threads of both would wait for one another, spinning.
os.environ["OMP_NUM_THREADS"] = "1"
# No test finds the cells of another.
os.environ["PROMPTSWEEP_STORE"] = "none"

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real data, models and tokenizers beside the repository."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no folder 'shared' with real data beside the repository")
    return folder


@pytest.fixture(scope="session")
def shared_data(shared: Path) -> Path:
    """Folder with real data sets as JSON lines."""
    return shared / "data"


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file's tests run in one process, as they share sweeps that take seconds to compute.

    Those that start Ray run one after another, as clusters share the loopback and its ports, and
    first, as they are the longest group.
    """
    items.sort(key=lambda item: item.get_closest_marker("cluster") is None)
    for item in items:
        group = "ray" if item.get_closest_marker("cluster") else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Modules and tests stay: no collection of garbage looks through them meanwhile."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.fixture(autouse=True, scope="module")
def looked_through_once() -> None:
    """What earlier modules have left is never looked through again, whoever collects garbage."""
    gc.collect()
    gc.freeze()
