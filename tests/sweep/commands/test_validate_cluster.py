"""The shipped cluster files are in order; a broken copy for every rule is not."""

import re
from pathlib import Path

import pytest
import yaml

from sweep import cli
from sweep.commands.clusters.kuberay import amount
from sweep.commands.validate_cluster import RULES, validate_cluster
from tests.conftest import ROOT

YAMLS = ("cluster.yaml", "clusters/gcp.yaml", "clusters/on_premise.yaml")
SLURM = "clusters/slurm.sh"
KUBERAY = "clusters/kuberay.yaml"
SKYPILOT = "clusters/skypilot.yaml"
TOKEN_MOUNT = '  "~/.ray/auth_token": "~/.ray/auth_token"\n'
CONSTRAINTS_MOUNT = '  "~/promptsweep/constraints.txt": "./constraints.txt"\n'


@pytest.fixture(autouse=True)
def at_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository's folder, and a home with a token."""
    home = tmp_path_factory.mktemp("home")
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("secret")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(ROOT)
    return home


def broken(name: str, changes: dict[str, str], folder: Path) -> Path:
    """A copy of a shipped file in which texts are replaced; each must be there."""
    text = (ROOT / name).read_text()
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    copy = folder / Path(name).name
    copy.write_text(text)
    return copy


@pytest.mark.parametrize("name", [*YAMLS, SLURM, KUBERAY, SKYPILOT])
def test_shipped_files_are_in_order(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["validate-cluster", name])
    assert ended.value.code == 0
    out, err = capsys.readouterr()
    assert out == f"{name}: in order\n"
    # Three places to edit, and nothing else, of Ray's neither.
    warnings = err.splitlines()
    assert [re.findall(r"EDIT (\d/\d)", line) for line in warnings] == [["1/3"], ["2/3"], ["3/3"]]
    assert all(line.startswith(f"warning: {name}: ") for line in warnings)


def test_a_file_that_was_edited_has_no_warnings(tmp_path: Path) -> None:
    copy = broken("cluster.yaml", {"EDIT ": "", "YOUR_IMAGE": "0123456789abcdef0"}, tmp_path)
    verdict = validate_cluster(copy)
    assert (verdict.mistakes, verdict.warnings) == ((), ())


AWS_HEAD = "resources: {CPU: 0, GPU: 0}"
MISTAKES: list[tuple[str, str, dict[str, str], list[str]]] = [
    # Ray's schema and Ray's own refusals
    ("schema", "cluster.yaml", {"idle_timeout_minutes": "idle_minutes"}, ["'idle_minutes' was"]),
    ("schema", "cluster.yaml", {AWS_HEAD: "resources: {GPU: 0.5}"}, ["resources.GPU: 0.5 is not"]),
    ("schema", "cluster.yaml", {"provider:": "metadata:"}, ["'provider' is a required"]),
    (
        "refused",
        "cluster.yaml",
        {"head_node_type: head": "head_node_type: main"},
        ["must be one of"],
    ),
    ("refused", "cluster.yaml", {"type: aws": "type: awss"}, ["awss"]),
    ("refused", "cluster.yaml", {"min_workers: 0": "min_workers: 9"}, ["smaller than the sum"]),
    (
        "refused",
        "clusters/on_premise.yaml",
        {"worker_ips": "workers"},
        ["Please supply a `head_ip` and list of `worker_ips`"],
    ),
    ("bash", SLURM, {"clean_up() {": "clean_up() ("}, ["invalid bash (line "]),
    # our rules
    (
        "head_without_trials",
        "cluster.yaml",
        {AWS_HEAD: "resources: {}", " --num-cpus=0": ""},
        ["the head would take trials on its CPUs; allowed: --num-cpus=0"],
    ),
    (
        "head_without_trials",
        "cluster.yaml",
        {AWS_HEAD: "resources: {CPU: 4, GPU: 1}"},
        ["the head takes trials, with CPU: 4; allowed: 0", "with GPU: 1; allowed: 0"],
    ),
    (
        "head_without_trials",
        "clusters/on_premise.yaml",
        {"--num-gpus=0": "--num-gpus=2"},
        ["the head takes trials, with GPU: 2"],
    ),
    (
        "head_without_trials",
        SLURM,
        {"--num-cpus=0 ": '--num-cpus="$SLURM_CPUS_PER_TASK" '},
        ["the head takes trials, with CPU: $SLURM_CPUS_PER_TASK"],
    ),
    (
        "loopback_only",
        "cluster.yaml",
        {"--dashboard-host=127.0.0.1": "--dashboard-host=0.0.0.0"},
        ["Ray's dashboard is open to others, with --dashboard-host=0.0.0.0"],
    ),
    (
        "loopback_only",
        "clusters/gcp.yaml",
        {"head_setup_commands:": "head_setup_commands:\n  - mlflow server --host 0.0.0.0 &"},
        ["a server is open to others, with --host=0.0.0.0"],
    ),
    (
        "loopback_only",
        SLURM,
        {"--dashboard-host=127.0.0.1": '--dashboard-host "$HOSTNAME"'},
        ["Ray's dashboard is open to others, with --dashboard-host=$HOSTNAME"],
    ),
    (
        "token_authentication",
        "cluster.yaml",
        {"RAY_AUTH_MODE=token ray start --address": "ray start --address"},
        ["without a token on the workers: found no RAY_AUTH_MODE"],
    ),
    (
        "token_authentication",
        "clusters/gcp.yaml",
        {"RAY_AUTH_MODE=token ray start --head": "RAY_AUTH_MODE=disabled ray start --head"},
        ["without a token on the head: found RAY_AUTH_MODE=disabled"],
    ),
    ("token_authentication", "cluster.yaml", {TOKEN_MOUNT: ""}, ["nodes get no token"]),
    (
        "token_authentication",
        "clusters/on_premise.yaml",
        {"ulimit -n 65536; ": "export RAY_AUTH_TOKEN=0123456789; "},
        ["the token itself stands in the file"],
    ),
    (
        "token_authentication",
        SLURM,
        {"export RAY_AUTH_MODE=token": "", "export RAY_AUTH_TOKEN_PATH": "token"},
        ["on the head: found no", "on the workers: found no", "nodes get no token"],
    ),
    ("some_workers", "cluster.yaml", {"max_workers: 4": "max_workers: 0"}, ["found 0; allowed:"]),
    (
        "some_workers",
        "cluster.yaml",
        {"    max_workers: 4": "    max_workers: 0"},
        ["max_workers: found 0; allowed: at least 1"],
    ),
    (
        "some_workers",
        "clusters/on_premise.yaml",
        {"[YOUR_WORKER_1, YOUR_WORKER_2]": "[]"},
        ["max_workers: found 0"],
    ),
    ("some_workers", SLURM, {"--nodes=3": "--nodes=1"}, ["--nodes: found 1; allowed: at least 2"]),
    ("some_workers", SLURM, {"#SBATCH --nodes=3\n": ""}, ["does not say how many nodes"]),
    (
        "workers_can_start",
        "cluster.yaml",
        {" --autoscaling-config=~/ray_bootstrap_config.yaml": ""},
        ["the head never starts workers"],
    ),
    (
        "mounts_are_there",
        "clusters/on_premise.yaml",
        {'"./sweep"': '"./swep"'},
        ["file_mounts: ./swep, for ~/promptsweep/sweep, is not there"],
    ),
    (
        "mounts_are_there",
        "cluster.yaml",
        {TOKEN_MOUNT: '  "~/.ray/auth_token": "~/.ray/other_token"\n'},
        ["there is no token at ~/.ray/other_token; ray get-auth-token --generate makes one"],
    ),
    (
        "mounts_are_there",
        "cluster.yaml",
        {CONSTRAINTS_MOUNT: ""},
        ["nothing brings ~/promptsweep/constraints.txt, which a command needs"],
    ),
    ("mounts_are_there", "cluster.yaml", {'  "~/specs": "./examples"\n': ""}, ["brings specs"]),
    (
        "same_versions",
        "cluster.yaml",
        {"ray:2.60.0-py311": "ray:2.58.1-py312"},
        ["nodes have Ray 2.58.1; allowed: 2.60.0", "nodes have Python 3.12; allowed: 3.11"],
    ),
    (
        "same_versions",
        "clusters/on_premise.yaml",
        {"python3.11 -m": "python3 -m", "]==2.60.0": "]"},
        ["nodes do not pin Ray; allowed: 2.60.0", "nodes do not pin Python; allowed: 3.11"],
    ),
    (
        "same_versions",
        "clusters/gcp.yaml",
        {" -c ~/promptsweep/constraints.txt": ""},
        ["nodes do not install with constraints.txt"],
    ),
    ("same_versions", SLURM, {"==2.60.0": "==2.9.0"}, ["nodes have Ray 2.9.0; allowed: 2.60.0"]),
    (
        "script_leaves_nothing",
        SLURM,
        {"trap clean_up EXIT": ":", 'exit "$code"': "ray stop"},
        ["it cleans nothing up", "ray stop ends the Ray of other jobs"],
    ),
    # KubeRay
    ("schema", KUBERAY, {"entrypoint:": "entryPoint:"}, ["'entryPoint' was", "'entrypoint' is a"]),
    ("schema", KUBERAY, {"kind: RayJob": "kind: RayCluster"}, ["kind: 'RayJob' was expected"]),
    ("schema", KUBERAY, {"memory: 16Gi}": "memory: lots}"}, ["limits.memory", "requests.memory"]),
    ("schema", KUBERAY, {'num-cpus: "0"': "num-cpus: 0"}, ["0 is not of type 'string'"]),
    ("bash", KUBERAY, {"--address auto": "--address $("}, ["invalid bash (line "]),
    (
        "head_without_trials",
        KUBERAY,
        {'{num-cpus: "0", num-gpus: "0"}': "{}"},
        ["would take trials on its CPUs", "would take trials on its GPUs"],
    ),
    (
        "token_authentication",
        KUBERAY,
        {"    authOptions: {mode: token}\n": ""},
        [
            "on the head: found no",
            "on the workers: found no",
            "allowed: authOptions: {mode: token}",
        ],
    ),
    (
        "token_authentication",
        KUBERAY,
        {"PROMPTSWEEP_STORE, value: /results": "RAY_AUTH_TOKEN, value: abcdef"},
        ["the token itself stands in the file"],
    ),
    ("some_workers", KUBERAY, {"maxReplicas: 4": "maxReplicas: 0"}, ["maxReplicas: found 0;"]),
    (
        "some_workers",
        KUBERAY,
        {"Autoscaling: true": "Autoscaling: false"},
        ["replicas: found 0; allowed: at least 1, since"],
    ),
    (
        "same_versions",
        KUBERAY,
        {'"2.60.0"': '"2.58.1"'},
        ["nodes do not install with", "nodes have Ray 2.58.1;", "nodes do not pin Python"],
    ),
    (
        "own_rules",
        KUBERAY,
        {"  backoffLimit": "  entrypointNumCpus: 1\n  backoffLimit", "--out /": "--out /tmp/"},
        ["entrypointNumCpus: found 1", "--out /tmp/results/mine, which goes with the head's pod"],
    ),
    (
        "own_rules",
        KUBERAY,
        {
            "headGroupSpec:": "headGroupSpec:\n      enableIngress: true",
            "rayStartParams: {num-": "serviceType: NodePort\n      rayStartParams: {num-",
        },
        ["serviceType: found NodePort; allowed: ClusterIP", "enableIngress: found true"],
    ),
    (
        "own_rules",
        KUBERAY,
        {'num-gpus: "0"}': 'num-gpus: "0", dashboard-host: 127.0.0.1}'},
        ["dashboard-host: found 127.0.0.1"],
    ),
    (
        "own_rules",
        KUBERAY,
        {
            "requests: {cpu: 2,": "requests: {cpu: 4500m,",
            "rayStartParams: {} ": 'rayStartParams: {num-cpus: "16", num-gpus: "2"} ',
        },
        [
            "requests cpu 4500m; allowed: at most its limit, 4",
            "num-cpus: 16; allowed: at most 8",
            "num-gpus: 2; allowed: at most 1",
        ],
    ),
    (
        "own_rules",
        KUBERAY,
        {"image: *image": "image: other", "- {name: specs, mount": "- {name: data, mount"},
        ["headGroupSpec: mounts data; allowed: results, specs", "allowed: the same for all"],
    ),
    (
        "runs_on_the_cluster",
        KUBERAY,
        {" --address auto": ""},
        ["runs on the head alone; allowed: --address auto"],
    ),
    ("own_rules", KUBERAY, {"sweep run": "python"}, ["allowed: sweep run SPEC --out DIR"]),
    # SkyPilot
    ("schema", SKYPILOT, {"num_nodes: 3": "nodes: 3"}, ["'nodes' was unexpected"]),
    ("schema", SKYPILOT, {"idle_minutes": "minutes"}, ["resources.autostop:"]),
    ("bash", SKYPILOT, {"  fi\n": ""}, ["invalid bash (line "]),
    ("some_workers", SKYPILOT, {"num_nodes: 3": "num_nodes: 1"}, ["num_nodes: found 1; allowed"]),
    (
        "token_authentication",
        SKYPILOT,
        {"  RAY_AUTH_TOKEN: null": "  OTHER: null", "  RAY_AUTH_MODE: token\n": ""},
        ["on the head: found no", "on the workers: found no", "secrets: {RAY_AUTH_TOKEN: null}"],
    ),
    (
        "token_authentication",
        SKYPILOT,
        {"RAY_AUTH_TOKEN: null": "RAY_AUTH_TOKEN: abcdef"},
        ["the token itself stands in the file"],
    ),
    (
        "mounts_are_there",
        SKYPILOT,
        {"~/specs: ./examples": "~/specs: ./exmples"},
        ["./exmples, for ~/specs, is not there"],
    ),
    (
        "same_versions",
        SKYPILOT,
        {"--python 3.11": "--python 3.12", "==2.60.0": "==2.59.0"},
        ["nodes have Ray 2.59.0", "nodes have Python 3.12"],
    ),
    (
        "script_leaves_nothing",
        SKYPILOT,
        {"    ray start --head": "    ray stop; ray start --head"},
        ["ray stop ends the Ray of other jobs"],
    ),
    (
        "own_rules",
        SKYPILOT,
        {"{idle_minutes: 30}": "{idle_minutes: 30, down: true}\n  ports: 8265"},
        ["resources.autostop.down: found true", "resources.ports: found 8265"],
    ),
    (
        "no_stray_placeholders",
        "clusters/gcp.yaml",
        {"# EDIT 1/3: ": "# "},
        ["YOUR_PROJECT stands for something of yours"],
    ),
    (
        "no_stray_placeholders",
        SLURM,
        {"EDIT ": ""},
        ["YOUR_PARTITION stands", "YOUR_ACCOUNT stands"],
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [case[1:] for case in MISTAKES],
    ids=[f"{case[0]}-{Path(case[1]).stem}" for case in MISTAKES],
)
def test_a_broken_copy(
    name: str,
    changes: dict[str, str],
    expected: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # The copy's own constraints file, as in a repository.
    (tmp_path / "constraints.txt").write_text((ROOT / "constraints.txt").read_text())
    if "nodes do not pin Python" not in expected:  # as where an image is made elsewhere
        (tmp_path / "Dockerfile").write_text((ROOT / "clusters/Dockerfile").read_text())
    copy = broken(name, changes, tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main(["validate-cluster", str(copy)])
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == len(expected), err
    for line, part in zip(errors, expected, strict=True):
        assert line.startswith(f"error: {copy}: ")
        assert part in line
    assert "Traceback" not in err


def test_every_rule_has_a_broken_copy() -> None:
    assert {rule.__name__ for rule in RULES} <= {case[0] for case in MISTAKES}


def test_a_quantity_of_kubernetes() -> None:
    amounts = {"500m": 0.5, "2": 2, 4: 4, "1.5": 1.5, "16Gi": 16 * 2**30, "1Ki": 1024, "1k": 1000}
    assert {quantity: amount(quantity) for quantity in amounts} == amounts


def test_the_image_has_the_versions_of_the_constraints(tmp_path: Path) -> None:
    (tmp_path / "constraints.txt").write_text((ROOT / "constraints.txt").read_text())
    recipe = (ROOT / "clusters/Dockerfile").read_text()
    (tmp_path / "Dockerfile").write_text(recipe.replace("python:3.11", "python:3.12"))
    (mistake,) = validate_cluster(broken(KUBERAY, {}, tmp_path)).mistakes
    assert "nodes have Python 3.12; allowed: 3.11" in mistake


def test_the_spec_that_a_task_runs_lies_in_its_mount() -> None:
    task = yaml.safe_load((ROOT / SKYPILOT).read_text())
    assert (ROOT / task["file_mounts"]["~/specs"] / task["envs"]["SPEC"]).is_file()


def test_what_ray_fills_in_is_checked_too(tmp_path: Path) -> None:
    """A file without start and setup commands gets Ray's: open dashboard, nightly wheel."""
    text = (ROOT / "cluster.yaml").read_text()
    text = re.sub(r"^(head_start|setup)\w*:\n(?:(?:  .*)?\n)+", "", text, flags=re.MULTILINE)
    copy = tmp_path / "cluster.yaml"
    copy.write_text(text)
    found = "\n".join(validate_cluster(copy).mistakes)
    assert "--dashboard-host=0.0.0.0" in found
    assert "nodes have Ray 3.0.0.dev0; allowed: 2.60.0" in found
    assert "nodes have Python 3.10; allowed: 3.11" in found
    assert "nodes do not install with constraints.txt" in found
    assert "without a token on the head" in found


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("", "found None"),
        ("- a", "allowed: a mapping"),
        ("a: [", "invalid YAML"),
        ("a: 1\na: 2", "the key a stands there twice"),
        ("\x00", "invalid YAML"),
    ],
)
def test_no_cluster_file(
    content: str, named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(content)
    with pytest.raises(SystemExit) as ended:
        cli.main(["validate-cluster", str(file)])
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert named in err
    assert len(err.splitlines()) == 1


def test_without_constraints_nothing_can_be_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = broken(SLURM, {}, tmp_path)
    monkeypatch.chdir(tmp_path)
    (mistake,) = validate_cluster(copy).mistakes
    assert "there is no constraints.txt to compare with" in mistake
