"""What the SkyPilot task runs on its nodes, with stand-ins for Ray and the sweep."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

HEAD_LISTENS = """\
import socket, sys, time
if "--head" in sys.argv:
    server = socket.create_server(("127.0.0.1", {port}))
    time.sleep(60)
print(*sys.argv[1:], flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("code", [0, 1])
def test_the_head_runs_the_sweep_and_workers_end_with_it(code: int, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    programs = tmp_path / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").write_text(f"PATH={programs}:$PATH\n")
    stand_in = tmp_path / "ray.py"
    stand_in.write_text(HEAD_LISTENS.format(port=port))
    for name, lines in {
        "ray": f'exec {sys.executable} {stand_in} "$@"',
        "sweep": f'echo sweep "$@"; sleep 1; exit {code}',
    }.items():
        (programs / name).write_text(f"#!/bin/bash\n{lines}\n")
        (programs / name).chmod(0o755)

    task = yaml.safe_load((ROOT / "clusters" / "skypilot.yaml").read_text(encoding="utf-8"))
    script = task["run"].replace("6379", str(port))
    given = {
        "HOME": str(tmp_path),
        "SKYPILOT_NODE_IPS": "127.0.0.1\n127.0.0.2",
        "SKYPILOT_NUM_GPUS_PER_NODE": "1",
    }
    nodes = [
        subprocess.Popen(
            ["bash", "-c", script],
            env={**os.environ, **task["envs"], **given, "SKYPILOT_NODE_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in (1, 0)
    ]
    (worker_said, _), (head_said, _) = [node.communicate(timeout=60) for node in nodes]
    worker, head = nodes
    assert (head.returncode, worker.returncode) == (code, 0)
    spec, out = f"{tmp_path}/specs/paper_a_small.yaml", f"{tmp_path}/results/paper_a_small"
    assert head_said == f"sweep run {spec} --out {out} --address auto\n"
    # The stand-in ends at once: a worker starts again while the head is there.
    started = set(worker_said.splitlines())
    assert started == {f"start --address=127.0.0.1:{port} --block --num-gpus=1"}
