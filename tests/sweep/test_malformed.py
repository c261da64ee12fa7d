"""Hundreds of broken specs, made of good ones: each is accepted or answered with one sentence."""

import copy
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweep.cli import MISTAKE, main
from sweep.planning.plan import make_plan
from sweep.search.plan import make_search_plan
from sweep.spec.spec import SweepSpec, load_spec, parse_spec, preset_names, preset_text
from sweep.testing.tabulated import find_model, find_task
from trainables.errors import InputError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 400
MUTANTS = 300
Path_ = tuple[str | int, ...]


@cache
def originals() -> dict[str, str]:
    """The YAML of every preset and every example."""
    examples = sorted((ROOT / "examples").glob("*.yaml"))
    return {name: preset_text(name) for name in preset_names()} | {
        path.name: path.read_text(encoding="utf-8") for path in examples
    }


def places(value: Any, here: Path_ = ()) -> Iterator[Path_]:
    """The paths of everything below the top."""
    inner = value.items() if isinstance(value, dict) else ()
    inner = enumerate(value) if isinstance(value, list) else inner
    for key, item in inner:
        yield (*here, key)
        yield from places(item, (*here, key))


def _parent(content: Any, path: Path_) -> Any:
    for key in path[:-1]:
        content = content[key]
    return content


def drop(rng: random.Random, parent: Any, key: Any) -> None:
    del parent[key]


def misspell(rng: random.Random, parent: Any, key: Any) -> None:
    if isinstance(parent, dict):
        place = rng.randrange(len(key))
        parent[key[:place] + rng.choice("xqz_ß") + key[place + 1 :]] = parent.pop(key)
    else:
        parent[key] = f"{parent[key]}x"


ODD = (None, True, -1, 0, 1.5, 10**30, -(10**400), float("nan"), float("inf"), "", " ", "x", [], {})
HUGE = ("y" * 100_000, list(range(20_000)), {f"k{n}": n for n in range(3000)}, 2**70, [[[]] * 500])
FOREIGN = ("é\u0301", "\u202eabc", "\U0001f600" * 50, "a\nb", "\x00", "ключ", "a\u2028b", "\ud800")


def retype(rng: random.Random, parent: Any, key: Any) -> None:
    parent[key] = copy.deepcopy(rng.choice(ODD))


def huge(rng: random.Random, parent: Any, key: Any) -> None:
    parent[key] = copy.deepcopy(rng.choice(HUGE))


def foreign(rng: random.Random, parent: Any, key: Any) -> None:
    text = rng.choice(FOREIGN)
    if isinstance(parent, dict) and rng.random() < 0.5:
        parent[text] = parent.pop(key)
    else:
        parent[key] = text


def nest(rng: random.Random, parent: Any, key: Any) -> None:
    value = parent[key]
    for _ in range(rng.choice((1, 1, 2, 30))):
        value = rng.choice((lambda item: [item], lambda item: {str(key): item}))(value)
    parent[key] = value


def double(rng: random.Random, parent: Any, key: Any) -> None:
    if isinstance(parent, list):
        parent.append(copy.deepcopy(parent[key]))
    elif isinstance(parent[key], list):
        parent[key] = parent[key] * 2
    else:
        parent[f"{key} "] = parent[key]


def swap(rng: random.Random, parent: Any, key: Any) -> None:
    other = rng.choice(list(parent)) if isinstance(parent, dict) else rng.randrange(len(parent))
    parent[key], parent[other] = parent[other], parent[key]


def number_as_key(rng: random.Random, parent: Any, key: Any) -> None:
    if isinstance(parent, dict):
        parent[rng.choice((3, None, True, 1.5, (1, 2)))] = parent.pop(key)
    else:
        parent[key] = {3: parent[key]}


MUTATIONS: tuple[Callable[[random.Random, Any, Any], None], ...] = (
    *(drop, misspell, retype, huge, foreign, nest, double, swap, number_as_key),
)


def mutant(seed: int) -> tuple[Any, Path_, str]:
    """A spec with one thing wrong, where that is, and what was done."""
    rng = random.Random(seed)
    name = rng.choice(sorted(originals()))
    content = yaml.safe_load(originals()[name])
    path = rng.choice(list(places(content)))
    mutation = MUTATIONS[seed % len(MUTATIONS)]
    mutation(rng, _parent(content, path), path[-1])
    return content, path, f"{name}: {mutation.__name__} {path}"


def examine(content: Any) -> str | None:
    """The sentence, or None where the spec is accepted."""
    try:
        spec = parse_spec(content, "it.yaml", ROOT / "examples", "")
        assert isinstance(spec, SweepSpec)
        make = make_plan if spec.search is None else make_search_plan
        assert make(spec, find_model, find_task).counts()
    except InputError as error:
        return str(error)
    return None


def check_sentence(sentence: str, path: Path_, content: Any) -> None:
    assert len(sentence) < LONGEST, sentence
    assert len(sentence.splitlines()) == 1, sentence
    assert sentence.isprintable(), ascii(sentence)
    # It names the field, by itself or by one around it, or the new key that stands there instead.
    names = [part for part in path if isinstance(part, str)]
    keys = [key for item in [content, *_below(content)] if isinstance(item, dict) for key in item]
    assert any(name in sentence for name in names) or any(
        str(key) and (str(key) in sentence or repr(key)[:60] in sentence) for key in keys
    ), sentence


def _below(content: Any) -> Iterator[Any]:
    for path in places(content):
        yield _parent(content, path)[path[-1]]


@pytest.mark.parametrize("block", range(10))
def test_mutants_are_accepted_or_answered_in_a_sentence(block: int) -> None:
    size = MUTANTS // 10
    answered = 0
    for seed in range(block * size, (block + 1) * size):
        content, path, what = mutant(seed)
        try:
            sentence = examine(content)
            if sentence is not None:
                check_sentence(sentence, path, content)
                answered += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}, {what}: {error!r}") from error
    # Some mutants are good specs: another seed, one model less.
    assert answered > size / 2


def _text(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


@pytest.mark.parametrize("seed", range(1000, 1036))
def test_the_command_line_answers_mutants(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, _, _ = mutant(seed)
    file = tmp_path / "it.yaml"
    try:
        file.write_text(_text(content), encoding="utf-8")
    except (UnicodeEncodeError, yaml.YAMLError):
        pytest.skip("no YAML file can hold that")
    try:
        load_spec(str(file))
    except InputError:
        with pytest.raises(SystemExit) as caught:
            main(["plan", str(file)])
        assert caught.value.code == MISTAKE
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.startswith(f"error: {file}: ")
        assert len(told.err.splitlines()) == 1
        assert len(told.err) < LONGEST + len(str(file))


BROKEN_TEXT = {
    "cut": lambda text: text[: len(text) // 2],
    "tabs": lambda text: text.replace("  ", "\t"),
    "no end": lambda text: text + "\nx: [1, {",
    "anchor": lambda text: "a: &a [*a, *a]\n" + text,
    "bomb": lambda text: "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n" + text,
    "deep": lambda text: text + "\ndescription2: " + "[" * 3000,
    "twice": lambda text: text + "\nname: again",
    "merge": lambda text: text + "\n<<: {seeds: 3, name: other}",
    "tag": lambda text: text + "\nx: !!python/name:os.system",
    "two documents": lambda text: text + "\n---\nname: b",
    "nul": lambda text: text + "\x00",
    "bom": lambda text: "\ufeff" + text + "\nx: 1",
}


@pytest.mark.parametrize("how", BROKEN_TEXT)
def test_broken_text_is_answered_in_a_sentence(how: str, tmp_path: Path) -> None:
    file = tmp_path / "it.yaml"
    for name, text in originals().items():
        file.write_text(BROKEN_TEXT[how](text), encoding="utf-8")
        try:
            load_spec(str(file))
        except InputError as error:
            sentence = str(error).replace(str(file), "it.yaml")
            assert len(sentence) < LONGEST, (name, sentence)
            assert len(sentence.splitlines()) == 1, (name, sentence)


def test_the_program_itself_shows_no_traceback(tmp_path: Path) -> None:
    file = tmp_path / "it.yaml"
    for text in ("seeds: [", "name: 3\nseeds: " + "9" * 6000, "\x00"):
        file.write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "sweep.cli", "run", str(file), "--out", str(tmp_path / "out")],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=120,
        )
        assert (done.returncode, done.stdout) == (MISTAKE, "")
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
