"""``sweep validate-cluster``: what a cluster file must say before it may cost money.

The checks of the file's own kind come first (:mod:`sweep.commands.clusters`), then our rules. A
rule is a function from :class:`~sweep.commands.clusters.described.ClusterFile` to sentences,
entered in :data:`RULES`.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sweep.commands.clusters.described import ClusterFile, NotAClusterFileError
from sweep.commands.clusters.reading import read_cluster_file
from trainables.files.cache import expanded

CONSTRAINTS = "constraints.txt"
_TOKEN = ".ray/auth_token"
_HOST = re.compile(r"--(dashboard-host|host)[= ]\s*['\"]?([^\s'\";]+)")
_FLAG = r"--num-{}s[= ]\s*['\"]?(\S+?)['\"]?(?=\s|$)"
_RAY = (
    r"rayproject/ray(?:-\w+)?:(\d+\.\d+\.\d+)",
    r"\bray(?:\[[^\]]*\])?\s*[=~<>!]=\s*([\w.]+)",
    r"\bray-(\d[\w.]*)-cp\d",
    r"\brayVersion:\s*['\"]?([\w.]+)",
)
_PYTHON = (
    r"rayproject/ray\S*-py(3\d+)",
    r"\bray-\d[\w.]*-cp(3\d+)",
    r"\bpython:?(3\.\d+)",
    r"--python[= ](3\.\d+)",
)
_LISTS = re.compile(r"(?:-c|--constraint|-r|--requirement)[= ]\s*(~/\S+\.txt)")
_EDIT = re.compile(r"#\s*(EDIT \d+/\d+):?\s*(.*)")
_PLACEHOLDER = re.compile(r"YOUR_\w+")


@dataclass(frozen=True)
class Verdict:
    """What was found in a cluster file.

    Attributes:
        mistakes: one sentence each; the file must not be used.
        warnings: one sentence each; places still to be edited.
    """

    mistakes: tuple[str, ...]
    warnings: tuple[str, ...]


def validate_cluster(path: Path) -> Verdict:
    """Check a cluster YAML of any kind or a SLURM script, without a network.

    Local paths in it count from the current folder, as they do for ``ray up``.

    Raises:
        InputError: the file cannot be read, or is none of them.
    """
    try:
        file = read_cluster_file(path)
    except NotAClusterFileError as error:
        return Verdict(tuple(f"{path}: {sentence}" for sentence in error.sentences), ())
    mistakes = tuple(f"{path}: {sentence}" for rule in RULES for sentence in rule(file))
    return Verdict(mistakes, tuple(f"{path}: {sentence}" for sentence in places_to_edit(file)))


def head_without_trials(file: ClusterFile) -> Iterator[str]:
    """The head keeps ledger and MLflow: a trial there can take its memory."""
    for name in ("CPU", "GPU"):
        flag = re.search(_FLAG.format(name.lower()), file.head)
        # What the file says of the node wins over the command, as it does in Ray.
        found = file.head_resources.get(name, flag[1] if flag else None)
        if found is None:
            yield (
                f"the head would take trials on its {name}s;"
                f" allowed: --num-{name.lower()}s=0 where Ray starts on the head"
            )
        elif str(found) != "0":
            yield f"the head takes trials, with {name}: {found}; allowed: 0"


def loopback_only(file: ClusterFile) -> Iterator[str]:
    """Whoever reaches the dashboard can run code; MLflow shows and takes everything."""
    for flag, host in _HOST.findall(file.commands):
        if not _is_loopback(host):
            what = "Ray's dashboard" if flag == "dashboard-host" else "a server"
            yield (
                f"{what} is open to others, with --{flag}={host};"
                " allowed: 127.0.0.1, seen through ray attach -p or ray dashboard"
            )


def token_authentication(file: ClusterFile) -> Iterator[str]:
    """Without it whoever reaches a port of Ray's can run code on the cluster."""
    for who, commands in (("the head", file.head), ("the workers", file.workers)):
        modes = re.findall(r"RAY_AUTH_MODE=['\"]?(\w+)", commands)
        if set(modes) != {"token"}:
            found = f"found RAY_AUTH_MODE={modes[0]}" if modes else "found no RAY_AUTH_MODE"
            yield f"Ray starts without a token on {who}: {found}; allowed: RAY_AUTH_MODE=token"
    if re.search(r"\bRAY_AUTH_TOKEN=['\"]?[\w-]", file.commands):
        yield (
            "the token itself stands in the file, with RAY_AUTH_TOKEN=; allowed: a mount of"
            f" ~/{_TOKEN}, or RAY_AUTH_TOKEN_PATH"
        )
    if file.no_token:
        yield f"nodes get no token: allowed: {file.no_token}"


def some_workers(file: ClusterFile) -> Iterator[str]:
    """The head takes no trials, so nothing would ever run."""
    least = f"at least {1 + file.heads}"
    if file.most_workers is None:
        yield f"it does not say how many nodes: allowed: {file.workers_named} with {least}"
    elif file.most_workers < 1:
        found = file.most_workers + file.heads
        yield (
            f"{file.workers_named}: found {found}; allowed: {least}, since the head takes no trials"
        )


def workers_can_start(file: ClusterFile) -> Iterator[str]:
    """The head starts workers itself, from the configuration that ``ray up`` leaves there."""
    if file.autoscales and "--autoscaling-config" not in file.head:
        yield (
            "the head never starts workers: allowed: ray start --head with"
            " --autoscaling-config=~/ray_bootstrap_config.yaml"
        )


def mounts_are_there(file: ClusterFile) -> Iterator[str]:
    """Ray notices a missing mount when the head is up and paid for."""
    if file.mounts is None:
        return
    for remote, place in file.mounts.items():
        if expanded(place).exists():
            continue
        if _plain(remote).endswith(_TOKEN):
            yield (
                f"file_mounts: there is no token at {place};"
                " ray get-auth-token --generate makes one"
            )
        else:
            yield (
                f"file_mounts: {place}, for {remote}, is not there;"
                f" relative paths count from the current folder, {Path.cwd()}"
            )
    for wanted in dict.fromkeys(_LISTS.findall(file.commands)):
        if _local(file, wanted) is None:
            yield f"file_mounts: nothing brings {wanted}, which a command needs"
    if not any(_has_specs(expanded(place)) for place in file.mounts.values()):
        yield "file_mounts: nothing brings specs; allowed: a folder with YAML files, or one of them"


def same_versions(file: ClusterFile) -> Iterator[str]:
    """Ray refuses nodes whose Ray or Python differ, and numbers depend on the rest."""
    constraints = _constraints(file)
    if constraints is None:
        yield f"there is no {CONSTRAINTS} to compare with: allowed: one beside the file or mounted"
        return
    text = constraints.read_text(encoding="utf-8")
    if CONSTRAINTS not in file.installs:
        yield f"nodes do not install with {CONSTRAINTS}; allowed: pip install -c"
    for name, pin, patterns in (
        ("Ray", r"^ray==(\S+)", _RAY),
        ("Python", r"^#\s*python==(\d+\.\d+)", _PYTHON),
    ):
        pinned = re.search(pin, text, re.MULTILINE)
        if pinned is None:
            yield f"{constraints} pins no {name}; allowed: a line {name.lower()}==VERSION"
            continue
        found = {
            _dotted(item) for pattern in patterns for item in re.findall(pattern, file.installs)
        }
        if not found:
            yield f"nodes do not pin {name}; allowed: {pinned[1]}, as in {constraints.name}"
        for version in sorted(found - {pinned[1]}):
            yield f"nodes have {name} {version}; allowed: {pinned[1]}, as in {constraints.name}"


def script_leaves_nothing(file: ClusterFile) -> Iterator[str]:
    """Several jobs may share a node, and a job may end at any line."""
    if not file.beside_others:
        return
    if not re.search(r"^\s*trap\s+(?!-\s).*\bEXIT\b", file.commands, re.MULTILINE):
        yield "it cleans nothing up when it ends; allowed: trap … EXIT"
    if re.search(r"\bray stop\b", file.commands):
        yield "ray stop ends the Ray of other jobs on the node too; allowed: kill by process id"


def runs_on_the_cluster(file: ClusterFile) -> Iterator[str]:
    """Without an address a sweep starts a Ray of its own, on the head alone."""
    for line in file.commands.splitlines():
        if re.search(r"\bsweep run\b", line) and "--address" not in line:
            yield f"{line.strip()}: runs on the head alone; allowed: --address auto"


def own_rules(file: ClusterFile) -> Iterator[str]:
    """What only this kind of file can get wrong."""
    yield from file.own


def no_stray_placeholders(file: ClusterFile) -> Iterator[str]:
    """A place to fill in whose mark was taken away has been forgotten."""
    covered = {number for _, numbers, _ in _marked(file) for number in numbers}
    for number, line in enumerate(file.text.splitlines()):
        found = _PLACEHOLDER.search(line)
        if found and number not in covered:
            yield (
                f"line {number + 1}: {found[0]} stands for something of yours;"
                " allowed: your own value"
            )


RULES: tuple[Callable[[ClusterFile], Iterator[str]], ...] = (
    head_without_trials,
    loopback_only,
    token_authentication,
    some_workers,
    workers_can_start,
    mounts_are_there,
    same_versions,
    script_leaves_nothing,
    runs_on_the_cluster,
    own_rules,
    no_stray_placeholders,
)


def places_to_edit(file: ClusterFile) -> Iterator[str]:
    """The marked places that nobody has edited yet, as far as one can see."""
    for name, _, text in _marked(file):
        left = sorted(set(_PLACEHOLDER.findall(text)))
        found = f"fill in {', '.join(left)}" if left else "see that it suits you"
        yield f"{name}: {found}, then take the mark away"


def _marked(file: ClusterFile) -> Iterator[tuple[str, range, str]]:
    """Each mark as ``EDIT 1/3 (what)``, the lines up to the next one, and their text."""
    lines = file.text.splitlines()
    marks = [(number, found) for number, line in enumerate(lines) if (found := _EDIT.search(line))]
    ends = [*(number for number, _ in marks), len(lines)][1:]
    for (number, found), end in zip(marks, ends, strict=True):
        what = re.split(r"[:.,(]", found[2])[0].strip()
        yield f"{found[1]} ({what})", range(number, end), "\n".join(lines[number:end])


def _dotted(version: str) -> str:
    """``311`` of a wheel's or an image's tag as ``3.11``."""
    return version if "." in version else f"{version[0]}.{version[1:]}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _plain(remote: str) -> str:
    return remote.rstrip("/")


def _local(file: ClusterFile, remote: str) -> Path | None:
    """Where the mounted file ``remote`` lies on this machine; None if no mount brings it."""
    for place, local in (file.mounts or {}).items():
        try:
            inside = PurePosixPath(remote).relative_to(_plain(place))
        except ValueError:
            continue
        found = expanded(local) / inside
        if found.exists():
            return found
    return None


def _constraints(file: ClusterFile) -> Path | None:
    """The mounted constraints file, or the one nearest to the cluster file."""
    remotes = re.findall(rf"(~/\S*{CONSTRAINTS})", file.commands)
    mounted = [found for found in (_local(file, remote) for remote in remotes) if found]
    folders = [*file.path.resolve().parents, Path.cwd()]
    beside = (folder / CONSTRAINTS for folder in folders)
    return next((path for path in (*mounted, *beside) if path.is_file()), None)


def _has_specs(place: Path) -> bool:
    if place.is_dir():
        return any(place.glob("*.yaml"))
    return place.suffix == ".yaml" and place.is_file()
