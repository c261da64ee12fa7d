"""Broken input through the readers: ``python -m benchmarks.fuzz KIND --runs 500``.

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
import re
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

from trainables.errors import InputError
from trainables.files.cache import VARIABLE

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

_WORDS = (
    *("1e3", "1e-3", "1e400", "-1", "0", "!!int x", ".nan", ".inf", "~", "no", "2024-13-40"),
    *(
        "0x" + "f" * 5000,
        "9" * 400,
        "1:30",
        "!!int x",
        "!!python/name:os.system",
        "!!binary \u00e9",
    ),
    *("&a ", "*a", "<<: ", "&a [*a]", "? ", "- ", ": ", "#", "|", ">", "%", "@", "\t", "\r", "\0"),
    *("[", "]", "{", "}", "{{", "'", '"', '"\\ud83d"', '"\\ud83d\\ude00"', "\U0001f600", "\ud83d"),
    *(
        "\u2028",
        "\x1b[31m",
        "\ufeff",
        "x" * 5000,
        "~nobody/x",
        "/dev/zero",
        "../..",
        "\n",
        "\n\n  ",
    ),
    *("annealing", "all", "null", "[]", "{low: 1e-3, high: 1}", "{choices: [1, 2]}", "{domain: d}"),
)
"""What does not belong where it is put."""

_SPECS = {
    "wide": """
name: wide
models: {b: {path: pocket-bert}, g: {path: pocket-gpt2, revision: null}}
sources: [b, g, pocket-llama]
pairs: [b+*, [g, pocket-llama]]
targets: [pocket-gpt2, pocket-roberta]
tasks: [mini/topics, mini/reviews]
seeds: [0, 5]
methods:
  soft: {lambda: [0, 0.5, annealing], recipe: null, steps: 1e1, learning_rate: 5e-2, init: [normal,
         text], init_text: a b, prompt_length: {choices: [2, 3]}}
  pez: {vocabulary: [all, agreement], k: [4, 8], sample_size: 32, counterparts: together, steps: 7}
  fluentprompt: {prompt_length: [1, 4], beta_start: 1e-5, counterparts: {b: [g], g: [b],
                 pocket-llama: [[b, g]]}}
transfer: {solver: ridge, gammas: [0, 1e-2], norm: match, selection: source_validation}
direct: true
calibration: [batch]
predictions: [test]
resources: {cpu: auto, gpu: 0, replicas: 4}
precision: float32
retries: 1
mlflow: {artifacts: false}
""",
    "searched": """
name: searched
sources: [pocket-bert, pocket-gpt2]
targets: [pocket-llama]
tasks: [mini/topics]
methods:
  soft: {lambda: [annealing, {low: 1e-3, high: 1, log: true}], steps: {low: 2, high: 6},
         learning_rate: {domain: rate}, position: [prefix, suffix]}
  autoprompt: {steps: 3, candidates: {choices: [2, 4]}}
domains: {rate: {low: 1e-4, high: 1e-1, log: true}}
search:
  sampler: tpe
  pruner: none
  objective: [{measure: validation/score, tasks: [mini/topics], direction: maximize}]
  constraints: [{measure: cost/train_seconds, at_most: 1e3}]
  trials: 5
  startup: 2
""",
}


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
        from trainables.models.first_look import doubtful, read_shapes
        from trainables.models.names import resolve_model
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


def specs(draw: random.Random, folder: Path) -> tuple[str, Work]:
    """A spec, as ``sweep plan`` reads it and looks its names up."""
    from sweep.spec.spec import preset_text

    name = draw.choice(["smoke", "quickstart", "wide", "searched"])
    text = _SPECS[name] if name in _SPECS else preset_text(name)
    file = folder / "spec.yaml"
    told = [_broken_text(file, text.encode(), draw)]

    def work() -> None:
        from sweep.search.plan import any_plan
        from sweep.spec.spec import load_spec

        any_plan(load_spec(str(file))).counts()

    return f"{name}: {told[0]}", work


def tasks(draw: random.Random, folder: Path) -> tuple[str, Work]:
    """A task file and its data, as the check before training reads them."""
    suffix = draw.choice(["jsonl", "csv", "tsv", "CSV"])
    paths = {split: f"{split}.{suffix}" for split in ("train", "validation", "test")}
    data: dict[str, Any] = {"files": paths}
    if draw.random() < 0.05:
        data = {"hub": {"path": "."}}
    content: dict[str, Any] = {
        **{"name": "own", "version": 1, "description": "d", "data": data, "text": "{text} {b.c}"},
        **{"pair": "{b.c}", "label": "label", "classes": ["calm", "angry"]},
        **{"label_words": ["fine", "bad"], "label_words_alternatives": [["good", "off"]]},
        **{"manual": "It was", "metric": "f1:angry", "limit": {"test": 3}},
        "splits": {"validation": {"from": "train", "share": 0.5, "seed": 1}, "test": "test"},
    }
    rows = [{"text": f"a {n}", "b.c": "\U0001f600", "label": n % 2} for n in range(8)]
    for path in paths.values():
        (folder / path).write_text(_table(rows, suffix.lower()), encoding="utf-8")
    file = folder / "task.yaml"
    file.write_text(json.dumps(content), encoding="utf-8")
    told = []
    for _ in range(draw.choice([1, 1, 2])):
        broken = draw.choice([file, file, folder / draw.choice(list(paths.values()))])
        if not broken.is_file():
            continue
        if broken == file:
            told.append(_broken_text(file, file.read_bytes(), draw))
        elif suffix == "jsonl" and draw.random() < 0.5:
            part = [altered(row, draw) if draw.random() < 0.3 else row for row in rows]
            broken.write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
            told.append(f"{broken.name} altered")
        else:
            told.append(_broken_text(broken, broken.read_bytes(), draw))

    def work() -> None:
        from trainables.tasks import load_task

        task = load_task(file)
        task.check()
        task.portable()

    return f"{suffix}: {', '.join(told)}", work


def _table(rows: list[dict[str, Any]], suffix: str) -> str:
    if suffix == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows)
    mark = {"csv": ",", "tsv": "\t"}[suffix]
    lines = [list(rows[0]), *(list(map(str, row.values())) for row in rows)]
    return "".join(mark.join(line) + "\n" for line in lines)


def _broken_text(file: Path, content: bytes, draw: random.Random) -> str:
    """Write ``content`` into ``file``, broken as bytes, as words, as lines or as what it holds."""
    import yaml

    from trainables.files.strict_yaml import load_yaml

    file.write_bytes(content)
    way = draw.random()
    if way < 0.06:
        return f"{file.name} is {put_in_place(file, draw)}"
    if way < 0.15:
        file.write_bytes(damaged(content, draw))
        return f"{file.name} damaged"
    text = content.decode(errors="replace")
    if way < 0.6 and file.suffix == ".yaml":
        try:
            value = altered(load_yaml(text, file.name), draw)
        except InputError:
            return f"{file.name} as it is"
        try:
            written = json.dumps(value) if draw.random() < 0.5 else yaml.safe_dump(value)
        except RecursionError:
            written = json.dumps(value)
        file.write_text(written, encoding="utf-8", errors="surrogatepass")
        return f"{file.name} altered"
    pieces = re.split(r"(\n)" if way < 0.7 else r"(\W)", text)
    for _ in range(draw.randint(1, 3)):
        place, other = draw.randrange(len(pieces)), draw.randrange(len(pieces))
        ways: tuple[Callable[[], str], ...] = (
            lambda: "",
            lambda place=place: pieces[place] * 2,
            lambda other=other: pieces[other],
            lambda place=place: draw.choice(_WORDS) + pieces[place],
            lambda: draw.choice(_WORDS),
        )
        pieces[place] = draw.choice(ways)()
    file.write_text("".join(pieces), encoding="utf-8", errors="surrogatepass")
    return f"{file.name} rewritten"


KINDS: dict[str, Kind] = {"models": models, "specs": specs, "tasks": tasks}
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
