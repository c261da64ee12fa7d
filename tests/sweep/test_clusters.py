"""Sweeps on clusters of several nodes inside this machine, with GPUs that are only counted."""

import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweep.runner import Options, run
from sweep.testing.tabulated import SECONDS
from tests.sweep.clusters import (
    LOOPBACK,
    RAY,
    answers,
    cluster_of,
    free_port,
    ray_folder,
    started,
    wait_for,
)
from tests.sweep.drive import no_check, no_report, the_plan
from tests.sweep.folders import check_complete, check_mlflow
from tests.sweep.noted import EXECUTOR, NODES, notes, packs_by_node
from tests.sweep.samples import plan_of

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180), pytest.mark.usefixtures("ray_folder")]
__all__ = ["ray_folder"]


def options(lines: list[str], address: str) -> Options:
    return Options(
        address=address,
        executor=EXECUTOR,
        preflight=no_check,
        report=no_report,
        say=lines.append,
    )


def gpu_plan(**changes: Any) -> Any:
    return plan_of(
        sources=["A", "B", "C"],
        tasks=["x", "y"],
        resources={"cpu": 1, "gpu": 0.5},
        **changes,
    )


def test_two_nodes_share_the_packs(
    tmp_path: Path, faults: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two GPUs, half of one a pack: four packs at once, none on the head."""
    monkeypatch.setenv(NODES, "2")
    plan, lines = gpu_plan(), list[str]()
    with cluster_of({"num_cpus": 2, "num_gpus": 1}, {"num_cpus": 2, "num_gpus": 1}) as cluster:
        head = cluster.head_node.node_id
        assert run(plan, tmp_path, options(lines, cluster.address)) == 0, lines
    check_complete(tmp_path, plan)
    check_mlflow(tmp_path, plan)
    by_node = packs_by_node(faults)
    assert sum(by_node.values()) == len(plan.packs)
    assert len(by_node) == 2
    assert head not in by_node
    assert {(note["device"], note["gpu"]) for note in notes(faults)} == {("cuda", "0")}


def test_a_node_that_dies_on_the_way(
    tmp_path: Path, faults: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three nodes; one of them is killed while it has packs under way."""
    monkeypatch.setenv(SECONDS, "0.5")
    monkeypatch.setenv(NODES, "3")
    plan, lines = the_plan(), list[str]()
    records = tmp_path / "ledger"
    dead: list[str] = []

    with cluster_of(*({"num_cpus": 1} for _ in range(3))) as cluster:

        def kill_one() -> None:
            wait_for(lambda: len(list(records.glob("??/*.json"))) >= 10, 60)
            busy = notes(faults)[-1]["node"]
            (node,) = (node for node in cluster.worker_nodes if node.node_id == busy)
            cluster.remove_node(node, allow_graceful=False)
            dead.append(busy)

        killer = threading.Thread(target=kill_one)
        killer.start()
        try:
            assert run(plan, tmp_path, options(lines, cluster.address)) == 0, lines
        finally:
            killer.join()
    check_complete(tmp_path, plan)
    check_mlflow(tmp_path, plan)
    by_node = packs_by_node(faults)
    assert len(by_node) == 3
    # Packs that were under way on it began again, once each, and no other did.
    begun = [note["pack"] for note in notes(faults)]
    twice = {pack for pack in begun if begun.count(pack) == 2}
    assert 1 <= len(twice) == len(begun) - len(plan.packs)
    on_dead = {note["pack"] for note in notes(faults) if note["node"] == dead[0]}
    assert twice <= on_dead


def test_workers_come_and_go_with_the_work(
    tmp_path: Path, faults: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From no worker to two and back, by Ray's autoscaler and its provider for tests."""
    monkeypatch.setenv(NODES, "2")
    plan, lines, port = gpu_plan(), list[str](), free_port()
    address, log = f"{LOOPBACK}:{port}", tmp_path / "head.log"
    config = tmp_path / "autoscaling.yaml"
    config.write_text(yaml.safe_dump(fake_cluster(address)))
    head = [
        *(RAY, "start", "--head", "--block", f"--port={port}", f"--node-ip-address={LOOPBACK}"),
        *("--num-cpus=0", "--num-gpus=0", "--include-dashboard=false"),
        f"--autoscaling-config={config}",
    ]
    fake = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    with started(head, log, fake):
        wait_for(lambda: answers(port), 60, log)
        assert gpus(address) == 0
        out = tmp_path / "out"
        assert run(plan, out, options(lines, address)) == 0, lines
        assert len(packs_by_node(faults)) == 2
        # Both were idle for three seconds.
        wait_for(lambda: gpus(address) == 0, 60, log)
    check_complete(out, plan)


def fake_cluster(address: str) -> dict[str, Any]:
    """An autoscaler's configuration whose nodes are processes; what Ray's wheel has no file for."""
    commands = ("initialization", "setup", "head_setup", "worker_setup")
    starts = ("head_start_ray_commands", "worker_start_ray_commands")
    return {
        "cluster_name": "fake",
        "max_workers": 2,
        "upscaling_speed": 4.0,
        "idle_timeout_minutes": 0.05,
        "provider": {
            "type": "fake_multinode",
            "gcs_address": address,
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "gpu": {
                "resources": {"CPU": 2, "GPU": 1, "object_store_memory": 100 << 20},
                "node_config": {},
                "min_workers": 0,
                "max_workers": 2,
            },
        },
        "head_node_type": "ray.head.default",
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        **{f"{name}_commands": [] for name in commands},
        **{name: [] for name in starts},
    }


def gpus(address: str) -> float:
    """How many GPUs a cluster has now."""
    import ray

    ray.init(address=address, configure_logging=False, log_to_driver=False)
    try:
        return float(ray.cluster_resources().get("GPU", 0))
    finally:
        ray.shutdown()
