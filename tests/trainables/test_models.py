"""Names of models, without loading any."""

from pathlib import Path

import pytest

from trainables.errors import InputError
from trainables.models import resolve_model
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
