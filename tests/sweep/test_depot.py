"""Files that workers lack, through Ray's object store."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sweep import depot as depot_module
from sweep.depot import VARIABLE, Depot, heavy_models, shipping
from sweep.runner import Options, run
from sweep.testing.tabulated import SECONDS
from tests.sweep.clusters import cluster_of, ray_folder
from tests.sweep.drive import no_check, no_report
from tests.sweep.folders import check_complete
from tests.sweep.samples import plan_of
from tests.sweep.shipped import EXECUTOR, places
from tests.trainables.test_parcels import plan_with_files
from trainables.errors import InputError
from trainables.parcels import Item

__all__ = ["ray_folder"]


def item_of(plan: Any) -> dict[str, str]:
    model = plan.resolved.models["mine"]
    return {"kind": "model", "name": "mine", "location": model.location, "digest": model.digest}


def test_when_files_travel(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shipping(None) is None
    assert shipping("127.0.0.1:1") == "auto"
    for asked, expected in (("always", "always"), ("never", None), ("", "auto")):
        monkeypatch.setenv(VARIABLE, asked)
        assert shipping("127.0.0.1:1") == expected
    monkeypatch.setenv(VARIABLE, "perhaps")
    with pytest.raises(InputError, match=r"PROMPTSWEEP_SHIP: found 'perhaps'; allowed: auto"):
        shipping(None)


def test_heavy_folders_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_with_files(tmp_path)
    assert heavy_models(plan, "auto") == []
    monkeypatch.setattr(depot_module, "WARNED", 10)
    assert [line.partition(":")[0] for line in heavy_models(plan, "auto")] == [
        "model 'mine'",
        "model 'pocket-roberta'",
    ]
    assert heavy_models(plan, None) == heavy_models(plan_of(), "auto") == []
    monkeypatch.setattr(depot_module, "LIMIT", 20)
    assert "allowed: put it at the same path on every node" in heavy_models(plan, "auto")[0]
    refused = Depot().hand_out(item_of(plan))
    assert refused is not None
    assert "allowed: put it at the same path on every node" in refused["error"]


def test_what_is_not_as_planned_is_not_handed_out(tmp_path: Path) -> None:
    item = item_of(plan_with_files(tmp_path))
    assert Depot().hand_out({**item, "location": str(tmp_path / "nowhere")}) is None
    changed = Depot().hand_out({**item, "digest": "0" * 16})
    assert changed is not None
    assert "has changed since it was planned" in changed["error"]
    assert Item(**item).kind == "model"


@pytest.mark.cluster
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("ray_folder")
def test_two_nodes_that_lack_everything(
    tmp_path: Path, faults: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each node gets models, task and prompt once, although four processes want them."""
    plan = plan_with_files(tmp_path / "driver", tasks=4)
    monkeypatch.setenv(VARIABLE, "always")
    monkeypatch.setenv(SECONDS, "0.5")
    caches = [tmp_path / name for name in ("one", "two")]
    nodes = [{"num_cpus": 2, "env_vars": {"PROMPTSWEEP_CACHE": str(cache)}} for cache in caches]
    lines: list[str] = []
    with cluster_of(*nodes) as cluster:
        options = Options(
            address=cluster.address,
            executor=EXECUTOR,
            preflight=no_check,
            report=no_report,
            say=lines.append,
        )
        assert run(plan, tmp_path / "out", options) == 0, lines
    check_complete(tmp_path / "out", plan)
    assert {note["cache"] for note in places(faults)} == set(map(str, caches))
    for note in places(faults):
        assert all(Path(place).is_relative_to(note["cache"]) for place in note["places"])
    for cache in caches:
        kept = [path for path in (cache / "shipped").iterdir() if path.is_dir()]
        found = Counter(path.name.partition("-")[0] for path in kept)
        assert (found["model"], found["prompt"]) == (2, 1)
        assert 1 <= found["task"] <= 4
