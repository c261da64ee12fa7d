"""Each way for a prompt to start, against a slow reading of what it says."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from tests.trainables.tiny import ARCHITECTURES, tiny
from trainables.backbones import Backbone
from trainables.core.seeds import initial_prompt
from trainables.core.settings import SoftSettings
from trainables.errors import InputError
from trainables.soft.initialisation import (
    Beginning,
    begin,
    check_beginning,
    read_prompt,
)
from trainables.words.frequent import FREQUENT, frequent_words

WORDS = ["bad", "good", "yes"]


def start(
    backbone: Backbone, init: str, length: int = 4, seed: int = 0, key: str = "k", **more: Any
) -> Beginning:
    file = more.pop("file", None)
    settings = SoftSettings(init=init, prompt_length=length, **more)
    return Beginning(backbone, backbone.labels(WORDS, "t"), settings, seed, key, file)


def rows_of(backbone: Backbone, prompt: torch.Tensor) -> list[int]:
    """Which row of the table each prompt vector is; none where it is none."""
    table = backbone.family.model.get_input_embeddings().weight.detach()
    found = []
    for vector in prompt:
        (places,) = torch.where((table == vector).all(1))
        found.append(int(places[0]))
    return found


RANDOM = ["normal", "uniform", "vocabulary", "label_words"]


@pytest.mark.parametrize("init", RANDOM)
def test_what_is_random_depends_on_seed_and_model_alone(init: str) -> None:
    backbone = tiny("bert")
    one = begin(start(backbone, init, 6))
    assert one.shape == (6, 16)
    assert one.dtype == torch.float32
    torch.randn(3)  # what was drawn elsewhere does not matter
    assert torch.equal(one, begin(start(backbone, init, 6)))
    assert torch.equal(one, begin(start(backbone, init, 6, weight_decay=0.5, steps=10_000)))
    assert not torch.equal(one, begin(start(backbone, init, 6, seed=1)))
    assert not torch.equal(one, begin(start(backbone, init, 6, key="other")))


def test_normal_is_what_it_always_was() -> None:
    found = begin(start(tiny("gpt2"), "normal", 4, seed=3, init_std=0.5))
    assert torch.equal(found, initial_prompt(4, 16, 0.5, 3, "k"))


def test_uniform_fills_minus_to_plus_one_half() -> None:
    found = begin(start(tiny("bert"), "uniform", 2000))
    assert -0.5 <= float(found.min()) < -0.499
    assert 0.499 < float(found.max()) <= 0.5
    assert abs(float(found.mean())) < 0.01
    assert float(found.var()) == pytest.approx(1 / 12, rel=0.02)


def test_uniform_draws_from_the_range_that_is_asked_for() -> None:
    released = begin(start(tiny("bert"), "uniform", 2000, init_range=(0.0, 0.5)))
    assert 0.0 <= float(released.min()) < 0.001
    assert 0.499 < float(released.max()) <= 0.5
    paper = begin(start(tiny("bert"), "uniform", 2000))
    torch.testing.assert_close(released, paper / 2 + 0.25)  # one draw, another place


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_vocabulary_rows_are_different_frequent_words(name: str) -> None:
    backbone = tiny(name)
    prompt = begin(start(backbone, "vocabulary", 8))
    assert prompt.shape == (8, backbone.width)
    rows = rows_of(backbone, prompt)
    assert len(set(rows)) == 8
    assert set(rows) <= set(frequent_words(backbone))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_frequent_words_are_whole_words_in_the_order_of_the_ids(name: str) -> None:
    backbone = tiny(name)
    ids = frequent_words(backbone)
    assert ids == sorted(ids)
    assert 500 < len(ids) <= FREQUENT
    for number in ids:
        word = backbone.tokenizer.decode([number]).strip()
        assert word.isalpha()
        assert len(word) > 1
        assert backbone.word_id(word) == number
    # Frequent words of any English text stand before rare ones.
    place = {word: ids.index(backbone.word_id(word)) for word in ("the", "and", "music")}
    assert place["the"] < place["music"]
    assert place["and"] < place["music"]


def test_no_more_than_the_first_five_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny("bert")
    every = frequent_words(backbone)
    monkeypatch.setattr("trainables.words.frequent.FREQUENT", 3)
    assert frequent_words(backbone) == every[:3]
    rows = rows_of(backbone, begin(start(backbone, "vocabulary", 7)))
    assert rows == [*rows[:3], *rows[:3], rows[0]], "over again where there are fewer"
    assert set(rows) == set(every[:3])


def test_a_vocabulary_without_words_is_refused() -> None:
    backbone = tiny("bert")
    lost = Backbone("odd", backbone.family, backbone.tokenizer)
    lost.__dict__["words"] = {"7": 12, "x": 30, "co-op": 31}
    with pytest.raises(InputError, match=r"init: model 'odd' has no whole word.*; allowed: normal"):
        begin(start(lost, "vocabulary"))
    with pytest.raises(InputError, match="init: model 'odd'"):
        check_beginning(lost, SoftSettings(init="label_words"), None)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_label_words_come_first_and_sampled_words_behind(name: str) -> None:
    backbone = tiny(name)
    rows = rows_of(backbone, begin(start(backbone, "label_words", 6)))
    assert rows[:3] == [backbone.word_id(word) for word in WORDS]
    assert set(rows[3:]) <= set(frequent_words(backbone))
    fewer = begin(start(backbone, "label_words", 2))
    assert rows_of(backbone, fewer) == rows[:2]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_mask_is_one_row_over_and_over(name: str) -> None:
    backbone = tiny(name)
    tokenizer = backbone.tokenizer
    first = begin(start(backbone, "mask", 5))
    known = [tokenizer.mask_token_id, tokenizer.unk_token_id]
    own = next(number for number in known if number is not None)
    assert torch.equal(first, backbone.embeddings[[own] * 5].float())
    assert torch.equal(first, begin(start(backbone, "mask", 5, seed=1)))


def test_a_model_without_mask_and_unknown_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny("gpt2")
    blank = SimpleNamespace(mask_token_id=None, unk_token_id=None)
    monkeypatch.setattr(backbone, "tokenizer", blank)
    with pytest.raises(InputError, match=r"init: found mask, but model .* neither a mask token"):
        check_beginning(backbone, SoftSettings(init="mask"), None)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_text_is_its_tokens_without_specials_cut_or_repeated(name: str) -> None:
    backbone = tiny(name)
    text = "the film was good"
    ids = backbone.tokenizer(backbone.lead + text, add_special_tokens=False)["input_ids"]
    table = backbone.family.model.get_input_embeddings().weight
    for length in (2, len(ids), 2 * len(ids) + 1):
        found = begin(start(backbone, "text", length, init_text=text))
        for place in range(length):
            assert torch.equal(found[place], table[ids[place % len(ids)]].detach())
    same = begin(start(backbone, "text", 3, seed=5, init_text=text))
    assert torch.equal(same, begin(start(backbone, "text", 3, init_text=text)))


def test_a_text_without_tokens_is_refused() -> None:
    settings = SoftSettings(init="text", init_text="\u200b")
    with pytest.raises(InputError, match=r"init_text: found .* no token on model 'bert'; allowed"):
        check_beginning(tiny("bert"), settings, None)


@pytest.mark.parametrize("suffix", ["npy", "safetensors"])
def test_file(suffix: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((4, 12)).astype(np.float64)
    path = tmp_path / f"p.{suffix}"
    if suffix == "npy":
        np.save(path, values)
    else:
        save_file({"other": values[:1], "prompt": values}, path)
    backbone = tiny("opt-projected")
    begun = start(backbone, "file", init_file=str(path), file=path)
    found = begin(begun)
    assert torch.equal(found, torch.from_numpy(values.astype(np.float32)))
    check_beginning(backbone, begun.settings, path)
    short = replace(begun.settings, prompt_length=3)
    with pytest.raises(InputError, match=r"found shape \[4, 12\]; allowed: .* \[3, 12\]"):
        check_beginning(backbone, short, path)
    with pytest.raises(InputError, match=r"p\.\w+' for model 'bert': found shape .* \[4, 16\]"):
        begin(start(tiny("bert"), "file", init_file=str(path), file=path))


def test_files_that_are_no_prompt(tmp_path: Path) -> None:
    def refused(path: Path, named: str) -> None:
        with pytest.raises(InputError, match=named) as caught:
            read_prompt(path, "m", 2, 3)
        assert "\n" not in str(caught.value)
        assert "allowed: finite numbers of shape [2, 3]" in str(caught.value)

    refused(tmp_path / "none.npy", "No such file")
    (tmp_path / "junk.npy").write_bytes(b"not numpy at all")
    refused(tmp_path / "junk.npy", "cannot be read")
    (tmp_path / "junk.safetensors").write_bytes(b"\x08junk")
    refused(tmp_path / "junk.safetensors", "cannot be read")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    refused(tmp_path / "objects.npy", "cannot be read")
    np.save(tmp_path / "nan.npy", np.full((2, 3), np.nan))
    refused(tmp_path / "nan.npy", "no finite numbers")
    np.save(tmp_path / "text.npy", np.full((2, 3), "x"))
    refused(tmp_path / "text.npy", "no finite numbers")
    save_file({"a": np.zeros((2, 3)), "b": np.zeros((2, 3))}, tmp_path / "two.safetensors")
    refused(tmp_path / "two.safetensors", "none is called prompt")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_width_is_known_without_weights(name: str) -> None:
    assert tiny(name).family.width == tiny(name).width
