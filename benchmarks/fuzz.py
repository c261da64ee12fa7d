"""Broken input through the readers: ``python -m benchmarks.fuzz models --runs 500``.

Each run breaks one sound input in one or two places, drawn from its seed, and has it read. Allowed
are success and one sentence (``InputError`` of one line); all else is a traceback to its user, is
printed with the seed that makes it again (``--first SEED --runs 1``), and makes the exit code 1.
"""

import argparse
import copy
import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainables.cache import VARIABLE
from trainables.errors import InputError

SECONDS = 60
"""What takes longer hangs."""

_PROSE = ("card.json", "README.md")
"""What of a model folder nobody reads."""
LONGEST = 2000
"""Characters of a sentence at most."""

Work = Callable[[], object]
Kind = Callable[[random.Random, Path], tuple[str, Work]]

LFS_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)

_VALUES: tuple[Any, ...] = (
    *(None, True, "", "x", "\ud83d", "\x00", -1, 0, 0.5, 1e308, 10**30, 2**31, math.nan, math.inf),
    *([], {}, [[]], {"x": {"y": []}}, ["x", 1], "9" * 5000),
)


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Bytes with a fault as disks, networks and editors make them."""
    place = draw.randrange(len(content) + 1)
    noise = draw.randbytes(draw.randint(1, 40))
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: b"",
        lambda: content[:place],
        lambda: content[place:],
        lambda: content[:place] + noise + content[place + len(noise) :],
        lambda: content[:place] + noise + content[place:],
        lambda: content + content,
        lambda: content[:place] + b"\xff\xfe\x00" + content[place:],
        lambda: b"\xef\xbb\xbf" + content,
        lambda: content.decode("latin-1").encode("utf-16"),
        lambda: bytes(len(content)),
        lambda: LFS_POINTER,
        lambda: b"[" * 100_000 + b"]" * 100_000,
        lambda: b"<html><body>404</body></html>",
    )
    return draw.choice(ways)()


def altered(value: Any, draw: random.Random) -> Any:
    """A copy of JSON-like content with one place, at any depth, missing, added or another value."""
    whole: Any = {"": copy.deepcopy(value)}
    holder, key = whole, ""
    while isinstance(holder[key], (dict, list)) and holder[key] and draw.random() < 0.8:
        holder = holder[key]
        key = draw.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    way = draw.random()
    if way < 0.15 and holder is not whole:
        del holder[key]
    elif way < 0.25 and isinstance(holder, dict) and holder is not whole:
        holder[f"{key}_"] = holder.pop(key)
    elif way < 0.3:
        deep: Any = holder[key]
        for _ in range(draw.choice([3, 400])):
            deep = [deep]
        holder[key] = deep
    else:
        holder[key] = copy.deepcopy(draw.choice(_VALUES))
    return whole[""]


def put_in_place(file: Path, draw: random.Random) -> str:
    """Something that is no regular file in place of ``file``; what it is."""
    file.unlink()
    ways: dict[str, Callable[[], object]] = {
        "gone": lambda: None,
        "a folder": file.mkdir,
        "a link to nothing": lambda: file.symlink_to("nowhere"),
        "a link to itself": lambda: file.symlink_to(file.name),
        "a link to its folder": lambda: file.symlink_to("."),
        "a named pipe": lambda: os.mkfifo(file),
        "a device": lambda: file.symlink_to("/dev/zero"),
    }
    name = draw.choice(list(ways))
    ways[name]()
    return name


def models(draw: random.Random, folder: Path) -> tuple[str, Work]:
    """A model folder, as the check before training reads it; every fourth is loaded as well."""
    from trainables.pocket.zoo import POCKET_NAMES, pocket_path

    names = [name for name in POCKET_NAMES if "large" not in name]
    model, other = draw.sample(names, 2)
    place = folder / model
    shutil.copytree(pocket_path(model), place)
    if draw.random() < 0.3:
        _split(place)
    told = [
        _broken_model(place, Path(pocket_path(other)), draw) for _ in range(draw.choice([1, 1, 2]))
    ]
    weights = draw.random() < 0.25

    def work() -> None:
        from trainables.backbones.loading import load_backbone
        from trainables.first_look import doubtful, read_shapes
        from trainables.models import resolve_model
        from trainables.preflight import preflight
        from trainables.tasks import resolve_task

        ref, beside = resolve_model(str(place)), resolve_model(other)
        read_shapes(ref)
        doubtful(ref, ["good"])
        together = [(ref.alias, beside.alias)]
        preflight([ref, beside], [resolve_task("mini/reviews")], [{"prompt_length": 5}], together)
        if weights:
            load_backbone(ref)

    return f"{model}: {', '.join(told)}", work


def _split(place: Path) -> None:
    """Weights in two files with an index, as large models have them."""
    from safetensors.numpy import load_file, save_file

    whole = place / "model.safetensors"
    weights = load_file(whole)
    whole.unlink()
    names = sorted(weights)
    index = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"model-{number:05}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, place / file, {"format": "pt"})
        index |= dict.fromkeys(part, file)
    content = {"metadata": {}, "weight_map": index}
    (place / f"{whole.name}.index.json").write_text(json.dumps(content))


def _broken_model(place: Path, other: Path, draw: random.Random) -> str:
    files = sorted(file for file in place.iterdir() if file.is_file() and file.name not in _PROSE)
    if not files:
        return "nothing left"
    # Half of the faults go into the config, where most of what can be said is said.
    named = [file for file in files if file.name == "config.json"]
    file = draw.choice(named if named and draw.random() < 0.5 else files)
    way = draw.random()
    if way < 0.2:
        return f"{file.name} is {put_in_place(file, draw)}"
    if way < 0.3:
        taken = other / draw.choice([file.name, *(item.name for item in files)])
        if taken.is_file():
            shutil.copyfile(taken, file)
            return f"{file.name} is another model's {taken.name}"
    content = file.read_bytes()
    if file.suffix == ".json" and way < 0.8:
        try:
            value = json.loads(content)
        except (ValueError, RecursionError):
            return f"{file.name} as it is"
        file.write_text(json.dumps(altered(value, draw)))
        return f"{file.name} altered"
    file.write_bytes(damaged(content, draw))
    return f"{file.name} damaged"


KINDS: dict[str, Kind] = {"models": models}
"""Per kind of input: from a source of chance and an empty folder, what was broken, and the reading
of it."""


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"takes longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def attempt(kind: str, seed: int) -> tuple[str, str]:
    """One run: ``accepted``, ``refused`` or ``tracebacks``, and what there is to say of it."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        name, work = KINDS[kind](random.Random(f"{kind} {seed}"), Path(scratch))
        try:
            with _limited(SECONDS):
                work()
        except InputError as error:
            told = str(error)
            if len(told.splitlines()) == 1 and told.isprintable() and len(told) < LONGEST:
                return "refused", f"{name}: {told}"
            return "tracebacks", f"{name}: not one printable line of a sentence: {told!r}"
        except Exception:
            return "tracebacks", f"{name}\n{traceback.format_exc()}"
        return "accepted", name


def fuzz(kind: str, seeds: range, say: Callable[[str], None] = lambda line: None) -> Counter[str]:
    """How often each outcome of :func:`attempt` came; ``say`` gets every run in words."""
    counts = Counter(runs=len(seeds), accepted=0, refused=0, tracebacks=0)
    for seed in seeds:
        outcome, told = attempt(kind, seed)
        counts[outcome] += 1
        say(f"{seed} {outcome}: {told}")
    return counts


def main() -> int:
    """Exit code 1 where a run ended in anything but success or a sentence."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--verbose", action="store_true", help="print every run")
    options = parser.parse_args()
    scratch = tempfile.TemporaryDirectory(prefix="fuzz-cache-")
    os.environ[VARIABLE] = scratch.name

    def say(line: str) -> None:
        if options.verbose or "tracebacks:" in line.split("\n", 1)[0]:
            print(line.encode("utf-8", "backslashreplace").decode(), file=sys.stderr, flush=True)

    counts = fuzz(options.kind, range(options.first, options.first + options.runs), say)
    print(f"{options.kind}: " + ", ".join(f"{name} {count}" for name, count in counts.items()))
    return int(counts["tracebacks"] > 0)


if __name__ == "__main__":
    sys.exit(main())
