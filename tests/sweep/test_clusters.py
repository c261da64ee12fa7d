"""Sweeps on clusters of several nodes inside this machine, with GPUs that are only counted."""

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweep.commands.status import folder_status
from sweep.engine.broker import start_broker
from sweep.engine.cluster import put_ray_away
from sweep.engine.runner import Options, run
from sweep.engine.shipping import VARIABLE as SHIP
from sweep.process.setup import settled, variables
from sweep.testing.tabulated import FAULTS
from tests.conftest import ROOT
from tests.sweep.clusters import (
    LOOPBACK,
    RAY,
    answers,
    cluster_of,
    free_port,
    own_ray_folder,
    processes_of,
    ray_folder,
    started,
    wait_for,
)
from tests.sweep.drive import no_check, no_report, the_plan
from tests.sweep.folders import check_complete, check_mlflow
from tests.sweep.noted import EXECUTOR, SHIPPED, forget, notes, packs_by_node, set_pace
from tests.sweep.samples import plan_of
from tests.trainables.packs.test_shipping import plan_with_files
from trainables.errors import InputError

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400), pytest.mark.usefixtures("ray_folder")]
__all__ = ["ray_folder"]

HALF = {"cpu": 1, "gpu": 0.5}
"""Of a node with one GPU."""


@dataclass(frozen=True)
class Nodes:
    """A cluster, the folder for its workers' faults, and the caches of its nodes."""

    cluster: Any
    faults: Path
    caches: tuple[Path, Path]


@pytest.fixture(scope="module")
def cluster_of_two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Two nodes with a GPU and two cores; each finds packages, faults and a cache of its own."""
    faults = tmp_path_factory.mktemp("faults")
    caches = (tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two"))
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    node = {"num_cpus": 2, "num_gpus": 1}
    nodes = [{**node, "env_vars": {"PROMPTSWEEP_CACHE": str(cache)}} for cache in caches]
    with (
        variables({FAULTS: str(faults), "PYTHONPATH": path}),
        own_ray_folder(),
        cluster_of(*nodes) as cluster,
    ):
        yield Nodes(cluster, faults, caches)


@pytest.fixture
def two_nodes(cluster_of_two: Nodes) -> Nodes:
    """The same, with nothing noted."""
    forget(cluster_of_two.faults)
    return cluster_of_two


def options(lines: list[str], address: str, executor: str = EXECUTOR) -> Options:
    return Options(
        address=address,
        executor=executor,
        preflight=no_check,
        report=no_report,
        say=lines.append,
    )


def test_two_nodes_that_lack_everything_share_the_packs(
    tmp_path: Path, two_nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two GPUs, half of one a pack: four packs at once, none on the head.

    Each node gets models, task and prompt once, although two of its processes want them.
    """
    plan, lines = plan_with_files(tmp_path / "driver", tasks=4, resources=HALF), list[str]()
    monkeypatch.setenv(SHIP, "always")
    set_pace(two_nodes.faults, 2, 0.5)
    out, cluster = tmp_path / "out", two_nodes.cluster
    assert run(plan, out, options(lines, cluster.address, SHIPPED)) == 0, lines
    check_complete(out, plan)
    check_mlflow(out, plan)
    by_node, noted = packs_by_node(two_nodes.faults), notes(two_nodes.faults)
    assert sum(by_node.values()) == len(plan.packs)
    assert len(by_node) == 2
    assert cluster.head_node.node_id not in by_node
    assert {(note["device"], note["gpu"]) for note in noted} == {("cuda", "0")}
    assert {note["cache"] for note in noted} == set(map(str, two_nodes.caches))
    for note in noted:
        assert all(Path(place).is_relative_to(note["cache"]) for place in note["places"])
    for cache in two_nodes.caches:
        kept = [path for path in (cache / "shipped").iterdir() if path.is_dir()]
        found = Counter(path.name.partition("-")[0] for path in kept)
        assert (found["model"], found["prompt"]) == (2, 1)
        assert 1 <= found["task"] <= 4


def test_packs_and_outcomes_lie_beside_the_driver(two_nodes: Nodes) -> None:
    """On a worker's node they would be lost with it, and the sweep with them."""
    import ray
    from ray._private.state import actors

    ray.init(address=two_nodes.cluster.address, configure_logging=False, log_to_driver=False)
    try:
        brokers = [start_broker(f"broker-{number}") for number in range(4)]
        ray.get([broker.progress.remote() for broker in brokers])
        alive = [actor for actor in actors().values() if actor["State"] == "ALIVE"]
        assert len(alive) == 4
        head = two_nodes.cluster.head_node.node_id
        assert {actor["Address"]["NodeID"] for actor in alive} == {head}
    finally:
        put_ray_away()


def test_a_node_that_dies_on_the_way(tmp_path: Path, two_nodes: Nodes) -> None:
    """One of two is killed while it has a pack under way; no test after this one has both."""
    plan, lines, faults = the_plan(("x",), resources={"cpu": 2}), list[str](), two_nodes.faults
    records, cluster = tmp_path / "ledger", two_nodes.cluster
    dead: list[str] = []
    # Workers outlive their node by up to a second, and must not end a pack in that time.
    set_pace(faults, 2, 2.5)

    def kill_one() -> None:
        wait_for(lambda: len(list(records.glob("??/*.json"))) >= 10, 200)
        begun = len(notes(faults))
        wait_for(lambda: len(notes(faults)) > begun, 200)  # it has all of its pack before it
        busy = notes(faults)[-1]["node"]
        (node,) = (node for node in cluster.worker_nodes if node.node_id == busy)
        cluster.remove_node(node, allow_graceful=False)
        dead.append(busy)
        set_pace(faults, 2)

    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        assert run(plan, tmp_path, options(lines, cluster.address)) == 0, lines
    finally:
        killer.join()
    check_complete(tmp_path, plan)
    check_mlflow(tmp_path, plan)
    assert len(packs_by_node(faults)) == 2
    # Packs that were under way on it began again, once each, and no other did.
    begun = [note["pack"] for note in notes(faults)]
    twice = {pack for pack in begun if begun.count(pack) == 2}
    assert 1 <= len(twice) == len(begun) - len(plan.packs)
    on_dead = {note["pack"] for note in notes(faults) if note["node"] == dead[0]}
    assert twice <= on_dead


def test_workers_come_and_go_with_the_work(tmp_path: Path, faults: Path) -> None:
    """From no worker to two and back, by Ray's autoscaler and its provider for tests."""
    set_pace(faults, 2)
    plan, lines, port = plan_of(tasks=["x", "y"], resources=HALF), list[str](), free_port()
    address, log = f"{LOOPBACK}:{port}", tmp_path / "head.log"
    config = tmp_path / "autoscaling.yaml"
    config.write_text(yaml.safe_dump(fake_cluster(address)))
    fake = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    with started([*head_of(port), f"--autoscaling-config={config}"], log, fake):
        wait_for(lambda: answers(port), 60, log)
        with gpus_of(address) as gpus:
            assert gpus() == 0
        out = tmp_path / "out"
        assert run(plan, out, options(lines, address)) == 0, lines
        assert len(packs_by_node(faults)) == 2
        with gpus_of(address) as gpus:
            # Both were idle for three seconds.
            wait_for(lambda: gpus() == 0, 60, log)
    check_complete(out, plan)


def head_of(port: int) -> list[str]:
    """The command that starts a head without workers."""
    return [
        *(RAY, "start", "--head", "--block", f"--port={port}", f"--node-ip-address={LOOPBACK}"),
        *("--num-cpus=0", "--num-gpus=0", "--include-dashboard=false"),
        "--include-log-monitor=false",
    ]


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
                "resources": {"CPU": 1, "GPU": 1, "object_store_memory": 100 << 20},
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


@contextmanager
def gpus_of(address: str) -> Iterator[Callable[[], float]]:
    """How many GPUs a cluster has now."""
    import ray

    ray.init(address=address, configure_logging=False, log_to_driver=False)
    try:
        yield lambda: float(ray.cluster_resources().get("GPU", 0))
    finally:
        put_ray_away()


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


def port_of_the_job() -> int:
    return 20_000 + int(os.environ["SLURM_JOB_ID"]) % 10_000


def token_of_the_job() -> Path:
    return Path.home() / f".promptsweep-token-{os.environ['SLURM_JOB_ID']}"


def temporary_of_the_job() -> Path:
    return Path(f"/tmp/promptsweep-{os.environ['SLURM_JOB_ID']}")


@pytest.mark.slow
def test_a_slurm_job_from_start_to_end(slurm: list[str], tmp_path: Path) -> None:
    """And nobody who lacks its token gets in: that is one sentence."""
    log, address = tmp_path / "job.log", f"{LOOPBACK}:{port_of_the_job()}"
    command = [sys.executable, "-m", "sweep.cli", "run", "smoke", "--out", str(tmp_path / "other")]
    with started(slurm, log, {}) as job:
        wait_for(token_of_the_job().exists, 30, log)
        assert token_of_the_job().stat().st_mode & 0o777 == 0o600
        wait_for(lambda: answers(port_of_the_job()), 60, log)
        for token in ({}, {"RAY_AUTH_TOKEN": "b" * 32}):
            found = subprocess.run(
                [*command, "--address", address],
                env={**os.environ, "RAY_AUTH_MODE": "token", **token},
                capture_output=True,
                text=True,
                check=False,
            )
            assert found.returncode == 2, found.stderr
            assert "does not let this driver in" in found.stderr.splitlines()[-1]
            assert "Traceback" not in found.stderr
        wait_for(lambda: job.poll() is not None, 300, log)
        assert job.returncode == 0, log.read_text()
    assert not token_of_the_job().exists()
    assert not temporary_of_the_job().exists()
    assert processes_of(temporary_of_the_job()) == []
    status = folder_status(tmp_path / "out")
    assert (status["state"], status["done"], status["failed"]) == ("done", 18, 0)


LISTEN = """
import socket, sys, time
(port,) = [word.rpartition("=")[2] for word in sys.argv if "--port=" in word] or [None]
server = port and socket.create_server(("127.0.0.1", int(port)))
time.sleep(60)
"""
STOP = """
import signal, sys, time
def stop(number, frame):
    time.sleep(0.5)
    sys.exit("stopped in order")
signal.signal(signal.SIGTERM, stop)
print("at work", flush=True)
time.sleep(60)
"""


def test_a_slurm_job_that_runs_out_of_time(slurm: list[str], tmp_path: Path) -> None:
    """SLURM says so in advance; the sweep stops in order and the job leaves nothing behind.

    Ray and the sweep are stand-ins: that a sweep stops in order at SIGTERM has a test of its own.
    """
    for name, code in (("ray", LISTEN), ("sweep", STOP)):
        (tmp_path / f"{name}.py").write_text(code)
        stand_in = f'#!/usr/bin/env bash\nexec {sys.executable} {tmp_path / name}.py "$@"\n'
        (tmp_path / "env" / "bin" / name).write_text(stand_in)
    log = tmp_path / "job.log"
    with started(slurm, log, {}) as job:
        wait_for(lambda: "at work" in log.read_text(), 30, log)
        job.terminate()
        wait_for(lambda: job.poll() is not None, 30, log)
        assert job.returncode == 1, log.read_text()  # the sweep's own
        assert "stopped in order" in log.read_text()
    assert not token_of_the_job().exists()
    assert processes_of(tmp_path / "ray.py") == []


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
