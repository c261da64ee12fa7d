"""A RayJob manifest for the KubeRay operator.

Pods start Ray by themselves, from ``rayStartParams``; here they become the command that KubeRay
makes of them, so that the same rules read it.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from sweep.commands.clusters.described import ClusterFile, check_bash, check_schema

SCHEMA = "rayjob.schema.yaml"
_GPU = "nvidia.com/gpu"
_DASHBOARD = "dashboard-host"
_UNITS = {"": 1.0, "m": 1e-3} | {
    f"{letter}{binary}": float((1024 if binary else 1000) ** (power + 1))
    for power, letter in enumerate("kMGTPE")
    for binary in ("", "i")
}
_UNITS["Ki"] = _UNITS.pop("ki")


def read_ray_job(path: Path, text: str, content: Mapping[str, Any]) -> ClusterFile:
    """Read a RayJob; its image is described by a Dockerfile beside it.

    Raises:
        InputError: there is no bash to check its command with.
        NotAClusterFileError: it breaks the schema, or its command is no bash.
    """
    check_schema(content, SCHEMA, "KubeRay's fields of a RayJob")
    job = content["spec"]
    cluster = job["rayClusterSpec"]
    check_bash(job["entrypoint"], str(path))
    head, groups = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    scaled = cluster.get("enableInTreeAutoscaling", False)
    auth = cluster.get("authOptions")
    mode = f"RAY_AUTH_MODE={auth.get('mode', 'token')} " if auth is not None else ""
    recipe = path.with_name("Dockerfile")
    image = recipe.read_text(encoding="utf-8") if recipe.is_file() else ""
    start = _start(head, f"{mode}ray start --head")
    workers = "\n".join(_start(group, f"{mode}ray start") for group in groups)
    return ClusterFile(
        path=path,
        text=text,
        head=start,
        workers=workers,
        commands="\n".join([start, workers, job["entrypoint"], *_literal_tokens(cluster)]),
        installs=f"{text}\n{image}",
        workers_named="maxReplicas" if scaled else "replicas",
        most_workers=sum(_most(group, scaled) for group in groups),
        no_token="" if auth is not None else "authOptions: {mode: token}",
        own=tuple(_own(job)),
    )


def _start(group: Mapping[str, Any], command: str) -> str:
    given = dict(group.get("rayStartParams") or {})
    given.pop(_DASHBOARD, None)  # has a rule of its own
    return " ".join([command, *(f"--{name}={value}" for name, value in given.items())])


def _most(group: Mapping[str, Any], scaled: bool) -> int:
    return int(group.get("maxReplicas", 1) if scaled else group.get("replicas", 0))


def _literal_tokens(cluster: Mapping[str, Any]) -> Iterator[str]:
    for _, template in _templates(cluster):
        for container in template["spec"]["containers"]:
            for item in container.get("env") or ():
                if "value" in item:
                    yield f"{item['name']}={item['value']}"


def _templates(cluster: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield "headGroupSpec", cluster["headGroupSpec"]["template"]
    for number, group in enumerate(cluster["workerGroupSpecs"]):
        yield f"workerGroupSpecs[{number}]", group["template"]


def _own(job: Mapping[str, Any]) -> Iterator[str]:
    cluster = job["rayClusterSpec"]
    yield from _runs_on_the_head(job)
    yield from _results_stay(job)
    yield from _closed(cluster)
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for (where, template), group in zip(_templates(cluster), groups, strict=True):
        # The first container is Ray's.
        container = template["spec"]["containers"][0]
        yield from _fits(where, container, group.get("rayStartParams") or {})
        named = {volume["name"] for volume in template["spec"].get("volumes") or ()}
        for mount in container.get("volumeMounts") or ():
            if mount["name"] not in named:
                allowed = ", ".join(sorted(named)) or "a name that stands under volumes"
                yield f"{where}: mounts {mount['name']}; allowed: {allowed}"
    images = {template["spec"]["containers"][0]["image"] for _, template in _templates(cluster)}
    if len(images) > 1:
        yield f"pods have images {', '.join(sorted(images))}; allowed: the same for all"


def _runs_on_the_head(job: Mapping[str, Any]) -> Iterator[str]:
    """A command that asks for cores is put on a worker, where the folder of results is not."""
    for name in ("entrypointNumCpus", "entrypointNumGpus"):
        if job.get(name):
            yield f"{name}: found {job[name]}; allowed: none, or a worker runs the sweep"
    if not re.search(r"\bsweep run\b", job["entrypoint"]):
        yield f"entrypoint: found {job['entrypoint']!r}; allowed: sweep run SPEC --out DIR"


def _results_stay(job: Mapping[str, Any]) -> Iterator[str]:
    """What lies on no volume goes with the head's pod; so does what lies in an ``emptyDir``."""
    found = re.search(r"--out[= ]\s*['\"]?([^\s'\"]+)", job["entrypoint"])
    if found is None:
        return
    pod = job["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    kept = {volume["name"] for volume in pod.get("volumes") or () if _stays(volume)}
    places = [
        mount["mountPath"]
        for mount in pod["containers"][0].get("volumeMounts") or ()
        if mount["name"] in kept
    ]
    if not any(PurePosixPath(found[1]).is_relative_to(place) for place in places):
        yield (
            f"entrypoint: found --out {found[1]}, which goes with the head's pod; allowed: below"
            f" {', '.join(places) or 'the mount of a persistentVolumeClaim'}"
        )


def _stays(volume: Mapping[str, Any]) -> bool:
    return any(kind in volume for kind in ("persistentVolumeClaim", "nfs", "csi", "hostPath"))


def _closed(cluster: Mapping[str, Any]) -> Iterator[str]:
    """Whoever reaches the dashboard with the token, which travels unencrypted, can run code."""
    head = cluster["headGroupSpec"]
    if head.get("serviceType", "ClusterIP") != "ClusterIP":
        yield f"serviceType: found {head['serviceType']}; allowed: ClusterIP, and port-forward"
    if head.get("enableIngress"):
        yield "enableIngress: found true; allowed: false, and kubectl port-forward"
    host = (head.get("rayStartParams") or {}).get(_DASHBOARD, "0.0.0.0")
    if host != "0.0.0.0":
        yield f"{_DASHBOARD}: found {host}; allowed: none, or KubeRay cannot start the job"
    for where, template in _templates(cluster):
        if template["spec"].get("hostNetwork"):
            yield f"{where}: found hostNetwork: true; allowed: the pod's own network"


def _fits(where: str, container: Mapping[str, Any], given: Mapping[str, str]) -> Iterator[str]:
    """Ray schedules by what it was told; Kubernetes ends a pod that takes more than its limits."""
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for name in ("cpu", "memory"):
        if name not in limits:
            yield f"{where}: it has no limit of {name}; allowed: resources.limits.{name}"
    for name, wanted in requests.items():
        if name in limits and amount(wanted) > amount(limits[name]):
            yield f"{where}: requests {name} {wanted}; allowed: at most its limit, {limits[name]}"
    if _GPU in requests and amount(requests[_GPU]) != amount(limits.get(_GPU, 0)):
        yield f"{where}: requests {_GPU} {requests[_GPU]}; allowed: the same as its limit"
    for flag, name in (("num-cpus", "cpu"), ("num-gpus", _GPU)):
        most = amount(limits.get(name, 0))
        if float(given.get(flag, 0)) > most:
            yield f"{where}: found {flag}: {given[flag]}; allowed: at most {most:g}, its limit"


def amount(quantity: str | float) -> float:
    """A quantity of Kubernetes', such as ``500m`` or ``16Gi``, as a number."""
    found = re.fullmatch(r"([\d.]+)([a-zA-Z]*)", str(quantity))
    assert found is not None  # the schema says so
    return float(found[1]) * _UNITS[found[2]]
