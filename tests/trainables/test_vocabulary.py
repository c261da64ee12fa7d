"""The common vocabulary on the tokenizers of published models."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import AutoConfig, AutoTokenizer

from trainables.backbones import Reader
from trainables.backbones.loading import families
from trainables.vocabulary import common_vocabulary, word_table


def reader(folder: Path, model_type: str) -> Reader:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = AutoConfig.for_model(model_type, vocab_size=len(tokenizer))
    return Reader(folder.name, families()[model_type](config), tokenizer)


@pytest.mark.real
def test_gpt2_and_bert_share_14794_words(shared: Path) -> None:
    gpt2 = reader(shared / "tokenizers/gpt2", "gpt2")
    bert = reader(shared / "tokenizers/bert-base-uncased", "bert")
    common = common_vocabulary([gpt2, bert])
    assert len(common) == 14_794
    for ids in common.ids:
        assert len(set(ids)) == len(ids), "a row counted twice would weigh double"
    assert "the" in common.words


@pytest.mark.real
def test_gpt2_bytes_that_are_no_text_are_left_out(shared: Path) -> None:
    gpt2 = reader(shared / "tokenizers/gpt2", "gpt2")
    table = word_table(gpt2)
    assert not any("\ufffd" in word for word in table)
    assert "<|endoftext|>" not in table
    assert all(gpt2.tokenizer.convert_ids_to_tokens(i).startswith("Ġ") for i in table.values())


class Toy:
    """A whitespace tokenizer in WordPiece's notation."""

    all_special_ids = (0,)

    def __init__(self, words: list[str]) -> None:
        self.added_tokens_decoder: dict[int, Any] = {}
        self.vocabulary = {word: number for number, word in enumerate(words)}

    def get_vocab(self) -> dict[str, int]:
        return self.vocabulary

    def __call__(self, texts: list[str], add_special_tokens: bool) -> dict[str, list[list[int]]]:
        assert add_special_tokens is False
        return {"input_ids": [[self.vocabulary.get(text.strip(), 0)] for text in texts]}


def toy(words: list[str], rows: int = 99) -> Any:
    model: Any = SimpleNamespace(alias="toy", tokenizer=Toy(words), lead=" ", rows=rows)
    model.words = word_table(model)
    return model


def test_continuations_specials_and_spare_rows_are_no_anchors() -> None:
    left = toy(["[UNK]", "cat", "##cat", "dog", "Cat", "late"], rows=5)
    right = toy(["[UNK]", "dog", "late", "cat", "##x"])
    common = common_vocabulary([left, right])
    assert common.words == ("cat", "dog")
    assert common.ids == ((1, 3), (3, 1))


def test_no_shared_word_gives_an_empty_vocabulary() -> None:
    assert len(common_vocabulary([toy(["[UNK]", "a", "##b"]), toy(["[UNK]", "c", "##d"])])) == 0
