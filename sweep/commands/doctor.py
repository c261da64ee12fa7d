"""What this machine has for sweeps, and what would stop one here."""

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from sweep.ledger.store_size import size_of, size_text
from sweep.process.scratch import scratch_folder
from sweep.process.setup import FOREIGN, FOREIGN_LOCAL, versions_of
from trainables.core.plugins import plugins_of_environment
from trainables.core.precision import native_bfloat16
from trainables.errors import InputError
from trainables.files.cache import above, cache_folder, no_cache
from trainables.files.redact import HIDDEN, is_secret, redact
from trainables.files.text_files import one_line

PACKAGES = ("promptsweep", "torch", "ray", "transformers", "mlflow", "optuna")
VARIABLES = (
    *("PROMPTSWEEP_*", "HF_*", "HUGGING*FACE_*", "TRANSFORMERS_*", "MLFLOW_*", "RAY_*", "TUNE_*"),
    *("CUDA_*", "NVIDIA_VISIBLE_DEVICES", "PYTORCH_*", "OMP_*", "MKL_*", "OPENBLAS_*"),
    *("PGPASSWORD", "TMPDIR", "XDG_CACHE_HOME", "*_PROXY", "*_proxy", "PYTHONPATH"),
)
"""Environment variables that change what a sweep does or where, by pattern."""
_PATIENCE = 2.0
_USER = re.compile(r"(?<=://)[^/]*@")

Findings = dict[str, Any]
Problems = list[str]


def examine() -> Findings:
    """Every section by its name, and ``problems``: a sentence on each thing that stops a sweep."""
    problems: Problems = []
    found = {name: look(problems) for name, (look, _) in SECTIONS.items()}
    return {**found, "problems": list(dict.fromkeys(problems))}


def format_findings(found: Mapping[str, Any]) -> str:
    lines = []
    for name, (_, tell) in SECTIONS.items():
        for number, line in enumerate(tell(found[name])):
            lines.append(f"{'' if number else name:<11}{line}")
    return "\n".join(lines)


@contextmanager
def _noted(problems: Problems) -> Iterator[None]:
    """A mistake that would stop a sweep is put down, and the next thing looked at."""
    try:
        yield
    except InputError as error:
        problems.append(redact(str(error)))


def _versions(problems: Problems) -> Findings:
    found = versions_of(PACKAGES)
    # Without metadata of its own the package still runs, from a folder on the path.
    for name in PACKAGES[1:]:
        if name not in found:
            problems.append(f"{name}: not installed; allowed: pip install . in a clone")
    return {"python": sys.version.split()[0], **found}


def _devices(problems: Problems) -> Findings:
    found: Findings = {"cores": os.cpu_count() or 1, "bfloat16": native_bfloat16(), "gpus": []}
    try:
        import torch  # noqa: F401
    except (ImportError, OSError) as error:
        problems.append(f"torch: cannot be imported ({one_line(error)}); allowed: install it anew")
        return {**found, "no_gpu": "torch cannot be imported"}
    from trainables.compute.devices import cuda, gpus
    from trainables.compute.memory import free_bytes, total_bytes

    cards, reason = gpus()
    memory = {"memory": total_bytes("cpu"), "free": free_bytes("cpu")}
    return {**found, **memory, "gpus": cards, "no_gpu": reason, "cuda": cuda()}


def _told_devices(found: Findings) -> Iterator[str]:
    memory = f"{size_text(found.get('memory', 0))} memory, {size_text(found.get('free', 0))} free"
    yield f"{found['cores']} CPU cores ({'' if found['bfloat16'] else 'no '}bfloat16), {memory}"
    for number, card in enumerate(found["gpus"]):
        yield f"GPU {number}: {card['name']}, {size_text(card['memory'])}"
    yield from [f"no GPU: {found['no_gpu']}"] if found["no_gpu"] else []
    for name, version in found.get("cuda", {}).items():
        yield f"CUDA of {name}: {version or 'none'}"


def _places(problems: Problems) -> list[Findings]:
    from huggingface_hub.constants import HF_HUB_CACHE

    places: dict[str, Path | None] = {
        "working folder": Path.cwd(),
        "Hub's cache": Path(HF_HUB_CACHE),
    }
    with _noted(problems):
        places["cache"] = None if no_cache() else cache_folder()
    with _noted(problems):
        from sweep.ledger.store import store_folder  # a broken plugin stops it

        places["store"] = store_folder()
        size_of(None)
    with _noted(problems), scratch_folder() as folder:
        places["temporary"] = folder.parent
    return [_place(name, path) for name, path in places.items() if path is not None]


def _place(name: str, path: Path) -> Findings:
    found: Findings = {"name": name, "path": str(path), "writable": False, "free": 0}
    with suppress(OSError):  # it cannot even be looked at
        there = above(path)
        found["free"] = shutil.disk_usage(there).free
        found["writable"] = os.access(there, os.W_OK | os.X_OK)
    own = name in ("cache", "store", "Hub's cache")
    return {**found, "bytes": sum(_sizes(path)) if own else None}


def _sizes(folder: Path) -> Iterator[int]:
    for top, _, files in os.walk(folder):
        for file in files:
            with suppress(OSError):  # it has just gone
                yield Path(top, file).lstat().st_size


def _told_place(found: Findings) -> str:
    held = "" if found["bytes"] is None else f"{size_text(found['bytes'])}, "
    can = "can" if found["writable"] else "cannot"
    return (
        f"{found['name']} {found['path']}: {held}{can} be written, {size_text(found['free'])} free"
    )


def _variables(problems: Problems) -> list[Findings]:
    with _noted(problems):
        plugins_of_environment()
    names = [name for name in os.environ if any(fnmatchcase(name, each) for each in VARIABLES)]
    unread = {**FOREIGN, **FOREIGN_LOCAL}
    return [
        {
            "name": name,
            "value": HIDDEN if is_secret(name) else redact(one_line(os.environ[name])),
            "unread": next((why for each, why in unread.items() if fnmatchcase(name, each)), None),
        }
        for name in sorted(names)
    ]


def _told_variable(found: Findings) -> str:
    unread = f"  (no sweep reads it: {found['unread']})" if found["unread"] else ""
    return f"{found['name']}={found['value']}{unread}"


def _servers(problems: Problems) -> list[Findings]:
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    return [{"name": "MLflow", "uri": redact(uri), "answer": answer_of(uri)}] if uri else []


def _hub(problems: Problems) -> Findings:
    from huggingface_hub import constants, get_token

    on, token = not constants.HF_HUB_OFFLINE, get_token() is not None
    answer = answer_of(constants.ENDPOINT) if on else "HF_HUB_OFFLINE is set"
    return {"on": on, "answer": answer, "token": token}


def _told_hub(on: bool, answer: str, token: bool) -> str:
    return f"{'on' if on else 'off'} ({answer}), {'a' if token else 'no'} token"


def answer_of(uri: str) -> str:
    """``answers``, why nothing does within two seconds, or that there is no web server to ask."""
    if not uri.startswith(("http://", "https://")):
        return "no web server, not asked"
    try:
        with suppress(HTTPError):  # a refusal is an answer
            urlopen(_USER.sub("", uri), timeout=_PATIENCE).close()
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        return f"no answer ({redact(one_line(getattr(reason, 'strerror', None) or reason))})"
    return "answers"


SECTIONS: Mapping[str, tuple[Callable[[Problems], Any], Callable[[Any], Any]]] = {
    "versions": (_versions, lambda found: [", ".join(f"{n} {v}" for n, v in found.items())]),
    "devices": (_devices, _told_devices),
    "places": (_places, lambda found: map(_told_place, found)),
    "variables": (_variables, lambda found: map(_told_variable, found)),
    "servers": (_servers, lambda found: [f"{x['name']} {x['uri']}: {x['answer']}" for x in found]),
    "hub": (_hub, lambda found: [_told_hub(**found)]),
}
