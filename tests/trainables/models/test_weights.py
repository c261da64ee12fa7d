"""Headers of weights: files that are not whole, and an index that does not fit them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from trainables.errors import InputError
from trainables.models.weights import INDEX, SINGLE, tensor_shapes

FILES = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def sharded(folder: Path) -> Path:
    """Two tensors in two files."""
    for name, file in zip("ab", FILES, strict=True):
        save_file({name: np.zeros((3, 2), np.float32)}, folder / file)
    return indexed(folder, dict(zip("ab", FILES, strict=True)))


def indexed(folder: Path, weight_map: Any) -> Path:
    (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    return folder


def test_shapes_come_from_one_file_or_from_all_that_the_index_names(tmp_path: Path) -> None:
    assert tensor_shapes(sharded(tmp_path), {}) == {"a": (3, 2), "b": (3, 2)}
    save_file({"c": np.zeros(4, np.float16)}, tmp_path / SINGLE)
    assert tensor_shapes(tmp_path, {}) == {"c": (4,)}


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        tensor_shapes(folder, {})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    (sharded(tmp_path) / FILES[1]).unlink()
    assert f"names files that are not there ({FILES[1]}); allowed" in refusal(tmp_path)


def test_a_tensor_that_its_shard_lacks_is_named(tmp_path: Path) -> None:
    indexed(sharded(tmp_path), {"a": FILES[0], "b": FILES[0]})
    assert "names tensors that are not in their files (b)" in refusal(tmp_path)


@pytest.mark.parametrize("weight_map", [None, {}, ["a"], {"a": 1}, {"a": "../other.safetensors"}])
def test_an_index_of_another_form(tmp_path: Path, weight_map: Any) -> None:
    assert "weight_map does not give the file" in refusal(indexed(tmp_path, weight_map))


def test_files_that_are_not_whole(tmp_path: Path) -> None:
    file = tmp_path / SINGLE
    save_file({"a": np.zeros((30, 20), np.float32)}, file)
    whole = file.read_bytes()
    for content, wanted in (
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 9\n", "Git LFS pointer"),
        (whole[:-1], f"cut short, {len(whole) - 1} of {len(whole)} bytes"),
        (whole[:20], "cut short, 20 of "),
        (b"", "cannot be read"),
        (whole + b"0", "cannot be read (Error while deserializing header: "),
        (b"\xff" * 100, "cannot be read"),
        (b"\x02" + bytes(7) + b"[]", "cannot be read"),
        (b"<html>" * 10, "cannot be read"),
    ):
        file.write_bytes(content)
        assert f"{file}: " in refusal(tmp_path)
        assert wanted in refusal(tmp_path)


def test_weights_under_other_names_are_no_weights(tmp_path: Path) -> None:
    save_file({"a": np.zeros(1, np.float32)}, tmp_path / "other.safetensors")
    assert f"holds neither {SINGLE} nor {INDEX}" in refusal(tmp_path)
