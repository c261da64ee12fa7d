"""Names of models, without loading any."""

import os
from pathlib import Path

import pytest

from trainables.errors import InputError
from trainables.models.names import resolve_model
from trainables.pocket import POCKET_NAMES


@pytest.mark.parametrize("name", POCKET_NAMES)
def test_embedded_models_are_found_by_name(name: str) -> None:
    ref = resolve_model(name)
    assert ref.alias == name
    assert (Path(ref.location) / "config.json").is_file()
    assert ref == resolve_model(name)


def folder(path: Path, weights: bytes = b"w") -> Path:
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(weights)
    return path


def test_folders_are_named_by_their_last_part_and_hashed_by_content(tmp_path: Path) -> None:
    one, same, other = (
        folder(tmp_path / "one"),
        folder(tmp_path / "same"),
        folder(tmp_path / "other", b"x"),
    )
    assert resolve_model(str(one)).alias == "one"
    assert resolve_model("one", base=tmp_path).location == str(one)
    assert resolve_model(str(one)).digest == resolve_model(str(same)).digest
    assert resolve_model(str(one)).digest != resolve_model(str(other)).digest
    (one / "README.md").write_text("prose does not count")
    assert resolve_model(str(one)).digest == resolve_model(str(same)).digest


def test_hub_names_keep_their_revision() -> None:
    ref = resolve_model("openai-community/gpt2@abc123")
    assert (ref.alias, ref.location, ref.revision) == ("gpt2", "openai-community/gpt2", "abc123")
    assert resolve_model("openai-community/gpt2").digest == "openai-community/gpt2@main"


def test_a_path_that_exists_is_a_path_whatever_is_in_it(tmp_path: Path) -> None:
    made = folder(tmp_path / "team@home")
    (tmp_path / "a@b").mkdir()
    deep = folder(tmp_path / "a@b" / "model")
    for name, place in (("team@home", made), ("./team@home", made), ("a@b/model", deep)):
        ref = resolve_model(name, base=tmp_path)
        assert (ref.alias, ref.location, ref.revision) == (place.name, str(place), None)
    ref = resolve_model("mine@2", {"mine@2": {"path": "team@home"}}, tmp_path)
    assert (ref.alias, ref.location) == ("mine@2", str(made))
    hub = resolve_model("a@2", {"a@2": {"path": "owner/name", "revision": "v1"}}, tmp_path)
    assert (hub.alias, hub.location, hub.revision) == ("a@2", "owner/name", "v1")
    with pytest.raises(InputError, match=r"model '\./gone@home': not found"):
        resolve_model("./gone@home", base=tmp_path)


@pytest.mark.parametrize("name", ["~nobody-here/model", "x" * 5000, "a\0b", "loop"])
def test_names_that_no_system_takes_are_not_found(name: str, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InputError, match=r"not found|no home folder"):
        resolve_model(name, base=tmp_path)


def test_what_is_no_regular_file_is_refused_and_not_read(tmp_path: Path) -> None:
    file = folder(tmp_path / "odd") / "tokenizer.json"
    for make in (file.mkdir, lambda: os.mkfifo(file), lambda: file.symlink_to("/dev/zero")):
        make()
        reason = r"tokenizer\.json cannot be read \((it is no regular file|Is a directory)\)"
        with pytest.raises(InputError, match=reason):
            resolve_model("odd", base=tmp_path)
        file.rmdir() if file.is_dir() else file.unlink()


def test_aliases_of_a_spec_come_first(tmp_path: Path) -> None:
    folder(tmp_path / "deep")
    ref = resolve_model("pocket-bert", {"pocket-bert": {"path": "deep"}}, tmp_path)
    assert ref.alias == "pocket-bert"
    assert ref.location == str(tmp_path / "deep")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pocket-berd", "did you mean pocket-bert"),
        ("nothing", "allowed: an embedded model"),
        ("./missing", "not found"),
        ("a/b/c", "not found"),
    ],
)
def test_unknown_names_say_what_is_allowed(name: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=expected):
        resolve_model(name, base=tmp_path)


def test_folders_that_are_no_models_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no config\.json"):
        resolve_model("empty", base=tmp_path)
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "config.json").write_text("{}")
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(InputError, match=r"holds no \*\.safetensors"):
        resolve_model("pickled", base=tmp_path)
