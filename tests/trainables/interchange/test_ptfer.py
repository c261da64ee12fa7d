"""``prompt_vecs.npy`` as OptiPrompt writes it, and everything that is not."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from tests.trainables.tiny import tiny
from trainables.backbones import Layout
from trainables.core.cells import ModelRef
from trainables.errors import InputError
from trainables.interchange import (
    TunedPrompt,
    ptfer_files,
    read_prompt_vecs,
    write_prompt_vecs,
)
from trainables.tasks import load_task


def as_optiprompt_saves(path: Path, rows: np.ndarray) -> Path:
    with path.open("wb") as file:
        np.save(file, rows)
    return path


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((10, 8)).astype(np.float32)


def test_untrained_rows_are_dropped(tmp_path: Path, rows: np.ndarray) -> None:
    path = as_optiprompt_saves(tmp_path / "prompt_vecs.npy", rows)
    np.testing.assert_array_equal(read_prompt_vecs(path), rows[:5])
    np.testing.assert_array_equal(read_prompt_vecs(path, 3, width=8), rows[:3])
    np.testing.assert_array_equal(read_prompt_vecs(path, 10), rows)
    found = read_prompt_vecs(as_optiprompt_saves(path, rows.astype(np.float64)))
    assert found.dtype == np.float32
    found[0] = 0.0  # The caller's own, not the file's.


@pytest.mark.parametrize("length", [1, 3, 5, 10])
def test_what_is_written_is_read(length: int, tmp_path: Path, rows: np.ndarray) -> None:
    path = tmp_path / "prompt_vecs.npy"
    write_prompt_vecs(path, rows[:length])
    np.testing.assert_array_equal(read_prompt_vecs(path, length), rows[:length])
    whole = np.load(path)
    assert whole.shape == (10, 8)
    for place in range(10):
        np.testing.assert_array_equal(whole[place], rows[place % length])


def test_an_average_over_the_ten_rows_is_the_prompts(tmp_path: Path, rows: np.ndarray) -> None:
    """What PTfer's search makes of them."""
    write_prompt_vecs(tmp_path / "p.npy", rows[:5])
    np.testing.assert_allclose(np.load(tmp_path / "p.npy").mean(0), rows[:5].mean(0), atol=1e-6)


def test_what_does_not_fit_is_refused_in_a_sentence(tmp_path: Path, rows: np.ndarray) -> None:
    path = tmp_path / "prompt_vecs.npy"

    def refused(message: str, content: np.ndarray | bytes | None, **options: int) -> None:
        path.unlink(missing_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            as_optiprompt_saves(path, content)
        with pytest.raises(InputError, match=message) as caught:
            read_prompt_vecs(path, **options)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    refused("no such file", None)
    refused("found 4 vectors; allowed: at least 5", rows[:4])
    refused("found vectors of width 8; allowed: 16", rows, width=16)
    refused(r"found an array of shape \[80\]", rows.flatten())
    refused("found numbers of type int64", np.zeros((10, 8), np.int64))
    refused("found numbers of type <U", np.array([["a"] * 8] * 10))
    refused("cannot be read", np.array([{"a": 1}] * 10, dtype=object))
    refused("cannot be read", b"")
    refused("cannot be read", b"not an array")
    bad = rows.copy()
    bad[2, 3] = np.nan
    refused("found NaN or infinity", bad)
    bad = rows.copy()
    bad[7, 3] = np.inf
    as_optiprompt_saves(path, bad)
    np.testing.assert_array_equal(read_prompt_vecs(path), rows[:5])
    archive = io.BytesIO()
    np.savez(archive, a=rows)
    refused("found an archive", archive.getvalue())
    # A header that promises more than there is.
    whole = io.BytesIO()
    np.save(whole, rows)
    refused("cannot be read", whole.getvalue()[:-40])
    with pytest.raises(InputError, match="cannot be read"):
        read_prompt_vecs(tmp_path)
    with pytest.raises(InputError, match="num_vectors: found 0"):
        read_prompt_vecs(path, 0)


def test_more_than_ten_vectors_cannot_be_written(tmp_path: Path) -> None:
    for shape in ((11, 8), (0, 8), (8,)):
        with pytest.raises(InputError, match="1 to 10 vectors"):
            write_prompt_vecs(tmp_path / "p.npy", np.zeros(shape, np.float32))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("position", ["prefix", "infix"])
def test_the_folder_of_a_prompt(position: str, tmp_path: Path) -> None:
    backbone = tiny("roberta")
    prompt = np.random.default_rng(1).standard_normal((3, backbone.width)).astype(np.float32)
    model = ModelRef("roberta", "owner/name", None, "x")
    tuned = TunedPrompt(prompt, backbone, model, Layout(3, position), load_task("mini/reviews"))
    files = ptfer_files(tuned)
    (tmp_path / "prompt_vecs.npy").write_bytes(files["prompt_vecs.npy"])
    about = json.loads(files["promptsweep.json"])
    assert about["npy"]["num_vectors"] == 3
    assert about["layout"]["position"] == position
    found = read_prompt_vecs(tmp_path / "prompt_vecs.npy", about["npy"]["num_vectors"])
    np.testing.assert_array_equal(found, prompt)
    assert "--num_vectors 3" in files["README.md"].decode()
