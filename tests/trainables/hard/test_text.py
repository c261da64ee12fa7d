"""Prompts as text: between tokens, bytes and other tokenizers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sweep.samples import relaxed
from trainables.backbones import Backbone, load_backbone
from trainables.hard.text import decode, encode, from_bytes, to_bytes
from trainables.models.names import resolve_model

POCKETS = ("pocket-bert", "pocket-gpt2", "pocket-roberta", "pocket-llama")


def _pocket(name: str) -> Backbone:
    return load_backbone(resolve_model(name), "cpu")


@relaxed
@given(text=st.text())
def test_bytes_are_the_text(text: str) -> None:
    array = to_bytes(text)
    assert array.dtype == np.uint8
    assert from_bytes(array) == text


@pytest.mark.parametrize("name", POCKETS)
def test_words_come_back_exactly(name: str) -> None:
    reader = _pocket(name)
    numbers = sorted(reader.words.values())
    draw = np.random.default_rng(0)
    for _ in range(200):
        ids = draw.choice(numbers, size=10).tolist()
        assert encode(reader, decode(reader, ids)) == ids


@pytest.mark.parametrize("name", POCKETS)
def test_a_common_word_is_one_token_everywhere(name: str) -> None:
    words = set.intersection(*(set(_pocket(other).words) for other in POCKETS))
    text = " ".join(sorted(words)[::50])
    assert len(encode(_pocket(name), text)) == len(text.split())


def test_nothing_is_nothing() -> None:
    assert encode(_pocket("pocket-gpt2"), "") == []


def test_no_id_is_beyond_the_embedding_table() -> None:
    reader = _pocket("pocket-bert")
    assert max(encode(reader, "Ω 漢字 zebra 12345")) < reader.rows
