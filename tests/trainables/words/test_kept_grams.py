"""Gram matrices kept between processes: the same numbers, or none."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from trainables.backbones import load_backbone
from trainables.files.cache import keep
from trainables.models.names import resolve_model
from trainables.packs import run as run_module
from trainables.words import kept_grams as module
from trainables.words.kept_grams import kept_grams
from trainables.words.relative import Grams, gram_matrices, normalised_anchors
from trainables.words.vocabulary import Anchors, CommonVocabulary

WIDTHS = [3, 5]
SHARED = CommonVocabulary(("a", "b"), ((1, 2), (3, 4)))


@pytest.fixture(autouse=True)
def worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORTH", 0)


def counted() -> tuple[Callable[[], Grams], list[int]]:
    calls: list[int] = []

    def compute() -> Grams:
        calls.append(1)
        generator = torch.Generator().manual_seed(len(calls))
        anchors = [
            torch.randn(9, width, generator=generator, dtype=torch.float64) for width in WIDTHS
        ]
        return gram_matrices(anchors, torch.float64)

    return compute, calls


def same(left: Grams, right: Grams) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def test_computed_once_and_read_to_the_last_bit(tmp_path: Path) -> None:
    compute, calls = counted()
    first = kept_grams(compute, ["x", "y"], WIDTHS, SHARED, "cpu", tmp_path)
    again = kept_grams(compute, ["x", "y"], WIDTHS, SHARED, "cpu", tmp_path)
    assert same(first, again)
    assert len(calls) == 1


def test_another_content_is_another_file(tmp_path: Path) -> None:
    compute, calls = counted()
    other = CommonVocabulary(SHARED.words, ((1, 2), (3, 5)))
    for digests, shared in ((["x", "y"], SHARED), (["y", "x"], SHARED), (["x", "y"], other)):
        kept_grams(compute, digests, WIDTHS, shared, "cpu", tmp_path)
    assert len(calls) == len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "other"])
def test_damage_is_computed_again(tmp_path: Path, harm: str) -> None:
    compute, calls = counted()
    kept_grams(compute, ["x", "y"], WIDTHS, SHARED, "cpu", tmp_path)
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    if harm == "other":  # whole, but not of these widths
        torch_grams = gram_matrices([torch.zeros(2, 4, dtype=torch.float64)] * 2, torch.float64)
        keep(file, module._written(torch_grams))
    else:
        content[-3] ^= 1
        file.write_bytes({"flip": content, "cut": content[:-9], "empty": b""}[harm])
    again = kept_grams(compute, ["x", "y"], WIDTHS, SHARED, "cpu", tmp_path)
    assert len(calls) == 2
    assert same(again, kept_grams(compute, ["x", "y"], WIDTHS, SHARED, "cpu", tmp_path))
    assert len(calls) == 2


def test_what_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compute, _ = counted()
    kept_grams(compute, ["x", "owner/name@main"], WIDTHS, SHARED, "cpu", tmp_path)
    kept_grams(compute, ["x", "y"], WIDTHS, SHARED, "cpu", None)
    (tmp_path / "file").touch()
    kept_grams(compute, ["x", "y"], WIDTHS, SHARED, "cpu", tmp_path / "file")
    monkeypatch.setattr(module, "WORTH", 2 * 8**2 + 1)
    kept_grams(compute, ["x", "y"], WIDTHS, SHARED, "cpu", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_folder_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compute, calls = counted()
    for number in range(4):
        kept_grams(compute, [str(number), "y"], WIDTHS, SHARED, "cpu", tmp_path)
        for file in tmp_path.iterdir():
            os.utime(file, (file.stat().st_mtime - 10,) * 2)
    kept_grams(compute, ["0", "y"], WIDTHS, SHARED, "cpu", tmp_path)  # just read
    size = next(tmp_path.iterdir()).stat().st_size
    monkeypatch.setattr(module, "MOST_BYTES", 2 * size)
    kept_grams(compute, ["4", "y"], WIDTHS, SHARED, "cpu", tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    before = len(calls)
    for number in (0, 4):
        kept_grams(compute, [str(number), "y"], WIDTHS, SHARED, "cpu", tmp_path)
    assert len(calls) == before


def test_models_get_theirs_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTSWEEP_CACHE", str(tmp_path))
    refs = [resolve_model(name) for name in ("pocket-bert", "pocket-roberta")]
    models = [load_backbone(ref) for ref in refs]
    anchors, digests = Anchors(), [ref.digest for ref in refs]
    first = run_module._gram_table(models, [], anchors, digests)
    shared = anchors.among(models)
    assert same(first, gram_matrices(normalised_anchors(models, shared), torch.float64))
    assert len(list((tmp_path / "grams").iterdir())) == 1

    def refuse(*arguments: object) -> None:
        raise AssertionError("they were computed again")

    monkeypatch.setattr(run_module, "gram_matrices", refuse)
    assert same(run_module._gram_table(models, [], anchors, digests), first)
