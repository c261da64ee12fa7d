"""Sweeps on clusters of several nodes inside this machine, with GPUs that are only counted."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweep.broker import start_broker
from sweep.runner import Options, run
from sweep.surroundings import settled
from sweep.tell import folder_status
from sweep.testing.tabulated import SECONDS
from tests.conftest import ROOT
from tests.sweep.clusters import (
    LOOPBACK,
    RAY,
    answers,
    cluster_of,
    free_port,
    processes_of,
    ray_folder,
    started,
    wait_for,
)
from tests.sweep.drive import no_check, no_report, the_plan
from tests.sweep.folders import check_complete, check_mlflow
from tests.sweep.noted import EXECUTOR, NODES, notes, packs_by_node
from tests.sweep.samples import plan_of
from trainables.errors import InputError

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400), pytest.mark.usefixtures("ray_folder")]
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
    # Workers outlive their node by up to a second, and must not end a pack in that time.
    monkeypatch.setenv(SECONDS, "2.5")
    monkeypatch.setenv(NODES, "3")
    plan, lines = the_plan(), list[str]()
    records = tmp_path / "ledger"
    dead: list[str] = []

    with cluster_of(*({"num_cpus": 1} for _ in range(3))) as cluster:

        def kill_one() -> None:
            wait_for(lambda: len(list(records.glob("??/*.json"))) >= 10, 60)
            begun = len(notes(faults))
            wait_for(lambda: len(notes(faults)) > begun, 60)  # it has all of its pack before it
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


def test_packs_and_outcomes_lie_beside_the_driver(ray_folder: Path) -> None:
    """On a worker's node they would be lost with it, and the sweep with them."""
    import ray
    from ray._private.state import actors

    with cluster_of(*({"num_cpus": 1} for _ in range(3))) as cluster:
        for number in range(4):
            ray.init(address=cluster.address, configure_logging=False, log_to_driver=False)
            try:
                broker = start_broker(f"broker-{number}")
                ray.get(broker.progress.remote())
                (here,) = (actor for actor in actors().values() if actor["State"] == "ALIVE")
                assert here["Address"]["NodeID"] == cluster.head_node.node_id
            finally:
                ray.shutdown()


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


@pytest.fixture
def slurm(tmp_path: Path, ray_folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command of a SLURM job whose two nodes are this machine.

    ``scontrol`` and ``srun`` are stand-ins: one names the nodes, the other runs a command here.
    """
    environment = tmp_path / "env"
    (environment / "bin").mkdir(parents=True)
    shell, here = "#!/usr/bin/env bash\n", "127.0.0.1"
    for name, text in {
        "scontrol": f"{shell}printf '%s\\n' {here} {here}\n",
        "srun": f'{shell}while [[ $1 == --* ]]; do shift; done\nexec "$@"\n',
        "sweep": f'{shell}exec {sys.executable} -m sweep.cli "$@"\n',
        "ray": f'{shell}exec {RAY} "$@"\n',
        "python": f'{shell}exec {sys.executable} "$@"\n',
        "activate": f"PATH={environment / 'bin'}:$PATH\n",
    }.items():
        (environment / "bin" / name).write_text(text)
        (environment / "bin" / name).chmod(0o755)
    job = next(number for number in range(os.getpid() % 10_000, 20_000) if port_is_free(number))
    for name, value in {
        "PROMPTSWEEP_ENV": environment,
        "HOME": tmp_path,
        "SLURM_JOB_ID": job,
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_CPUS_PER_TASK": 1,
        "SLURM_GPUS_ON_NODE": 0,
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("RAY_AUTH_MODE")
    # `ray start` takes the loopback interface for a head without workers; the job asks for a token.
    monkeypatch.delenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER")
    return ["bash", str(ROOT / "clusters" / "slurm.sh"), "smoke", str(tmp_path / "out")]


def port_is_free(job: int) -> bool:
    return not answers(20_000 + job % 10_000)


def token_of_the_job() -> Path:
    return Path.home() / f".promptsweep-token-{os.environ['SLURM_JOB_ID']}"


def temporary_of_the_job() -> Path:
    return Path(f"/tmp/promptsweep-{os.environ['SLURM_JOB_ID']}")


@pytest.mark.slow
def test_a_slurm_job_from_start_to_end(slurm: list[str], tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    with started(slurm, log, {}) as job:
        wait_for(token_of_the_job().exists, 30, log)
        assert token_of_the_job().stat().st_mode & 0o777 == 0o600
        wait_for(lambda: job.poll() is not None, 300, log)
        assert job.returncode == 0, log.read_text()
    assert not token_of_the_job().exists()
    assert not temporary_of_the_job().exists()
    assert processes_of(temporary_of_the_job()) == []
    status = folder_status(tmp_path / "out")
    assert (status["state"], status["done"], status["failed"]) == ("done", 18, 0)


@pytest.mark.slow
def test_a_slurm_job_that_runs_out_of_time(slurm: list[str], tmp_path: Path) -> None:
    """SLURM says so in advance; the sweep stops in order and the job leaves nothing behind."""
    log = tmp_path / "job.log"
    with started(slurm, log, {}) as job:
        wait_for(lambda: "18 to run" in log.read_text(), 200, log)
        job.terminate()
        wait_for(lambda: job.poll() is not None, 150, log)
        assert job.returncode in (130, 143), log.read_text()
    assert not token_of_the_job().exists()
    assert processes_of(temporary_of_the_job()) == []
    if job.returncode == 130:  # else the signal came before Ray was up
        assert "the same command continues" in log.read_text()


def test_the_wrong_token_is_one_sentence(
    tmp_path: Path, ray_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE")
    port, log = free_port(), tmp_path / "head.log"
    head = [
        *(RAY, "start", "--head", "--block", f"--port={port}", f"--node-ip-address={LOOPBACK}"),
        *("--num-cpus=0", "--num-gpus=0", "--include-dashboard=false"),
    ]
    command = [sys.executable, "-m", "sweep.cli", "run", "smoke", "--out", str(tmp_path / "out")]
    with started(head, log, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 32}):
        wait_for(lambda: answers(port), 60, log)
        for token in ({}, {"RAY_AUTH_TOKEN": "b" * 32}):
            found = subprocess.run(
                [*command, "--address", f"{LOOPBACK}:{port}"],
                env={**os.environ, "RAY_AUTH_MODE": "token", **token},
                capture_output=True,
                text=True,
                check=False,
            )
            assert found.returncode == 2, found.stderr
            assert "does not let this driver in" in found.stderr.splitlines()[-1]
            assert "Traceback" not in found.stderr


@pytest.mark.parametrize("noted", [None, "127.0.0.1:9"])
def test_auto_without_a_cluster(
    noted: str | None, ray_folder: Path, tmp_path: Path, no_ray: None
) -> None:
    """Neither a note that outlived its cluster nor somebody's own Ray is taken for one."""
    if noted:
        (ray_folder / "ray").mkdir()
        (ray_folder / "ray" / "ray_current_cluster").write_text(noted)
    reason = f"which is {noted}, " if noted else r"\(no ray start"
    with pytest.raises(InputError, match=f"no Ray cluster at auto,? {reason}"):
        run(plan_of(), tmp_path, options([], "auto"))


@pytest.mark.parametrize("local", [True, False])
def test_packs_wait_ahead(monkeypatch: pytest.MonkeyPatch, local: bool) -> None:
    """Ray Tune's one waiting trial would start the workers one by one."""
    monkeypatch.setattr(os, "environ", {})
    with settled(local=local):
        assert int(os.environ["TUNE_MAX_PENDING_TRIALS_PG"]) > 1
