"""The common vocabulary on the tokenizers of published models."""

import unicodedata
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerFast

from trainables.backbones import Reader, load_reader
from trainables.core.registries import BACKBONES
from trainables.models.names import resolve_model
from trainables.pocket.zoo import POCKET_NAMES
from trainables.words.vocabulary import common_vocabulary, usable_tokens, word_table


def reader(folder: Path, model_type: str) -> Reader:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = AutoConfig.for_model(model_type, vocab_size=len(tokenizer))
    return Reader(folder.name, BACKBONES[model_type](config), tokenizer)


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
        self.backend_tokenizer = SimpleNamespace(to_str=lambda: repr(words))

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


@cache
def pocket(name: str) -> Reader:
    return load_reader(resolve_model(name))


def wordpiece() -> Reader:
    return pocket("pocket-bert")


def bytelevel() -> Reader:
    return pocket("pocket-gpt2")


def sentencepiece() -> Reader:
    return pocket("pocket-llama")


def a_reader(backend: Tokenizer, unk: str = "<unk>", rows: int | None = None) -> Reader:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token=unk)
    config = AutoConfig.for_model("gpt2", vocab_size=rows or len(tokenizer))
    return Reader("made", BACKBONES["gpt2"](config), tokenizer)


def unigram(pieces: list[str], normalizer: Any = None, rows: int | None = None) -> Reader:
    """A SentencePiece unigram tokenizer; earlier pieces are likelier."""
    scored = [(piece, -float(place)) for place, piece in enumerate(["<unk>", *pieces])]
    backend = Tokenizer(models.Unigram(scored, unk_id=0))
    if normalizer is not None:
        backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens([AddedToken("<reserved>", special=True)])
    return a_reader(backend, rows=rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", POCKET_NAMES)
def test_each_word_is_one_token_that_decodes_to_it(name: str) -> None:
    reader = pocket(name)
    assert len(reader.words) > 1000
    excluded = set(reader.tokenizer.all_special_ids) | set(reader.tokenizer.added_tokens_decoder)
    for word, number in reader.words.items():
        assert reader.tokens(reader.lead + word) == [number]
        assert reader.tokens("a " + word) == [*reader.tokens("a"), number]
        assert reader.tokenizer.decode([number]).strip() == word
        assert unicodedata.is_normalized("NFC", word)
        assert number not in excluded
        assert number < reader.rows
    assert len(set(reader.words.values())) == len(reader.words)


@pytest.mark.slow
def test_three_notations_share_words_that_mean_the_same_text() -> None:
    models_ = [wordpiece(), bytelevel(), sentencepiece()]
    kinds = [type(model.tokenizer.backend_tokenizer.model).__name__ for model in models_]
    marks = [model.tokenizer.backend_tokenizer.pre_tokenizer for model in models_]
    assert kinds == ["WordPiece", "BPE", "BPE"]
    assert "Metaspace" in str(marks[2])
    common = common_vocabulary(models_)
    assert len(common) > 500
    assert list(common.words) == sorted(set(common.words))
    for model, ids in zip(models_, common.ids, strict=True):
        assert len(set(ids)) == len(ids)
        assert [model.tokens(model.lead + word) for word in common.words] == [[i] for i in ids]
    assert set(common.words) == set.intersection(*(set(model.words) for model in models_))
    back = common_vocabulary(models_[::-1])
    assert back.words == common.words
    assert back.ids == common.ids[::-1]


def test_words_of_a_unigram_vocabulary() -> None:
    reader = unigram(["▁cat", "cat", "▁", "s", "▁big\ufffd", "▁dog", "▁late"], rows=7)
    # ▁late is beyond the table's 7 rows; "cat" and "s" stand inside words, "▁" is a space.
    assert reader.rows == 7
    assert word_table(reader) == {"cat": 1, "dog": 6}
    assert usable_tokens(reader) == (1, 6)
    assert usable_tokens(reader, word_start=False) == (1, 2, 3, 4, 6)


def test_bytes_of_sentencepiece_are_not_usable() -> None:
    reader = unigram(["▁cat", "<0x41>", "<0xE4>", "s"])
    assert usable_tokens(reader, word_start=False) == (1, 4)


def test_of_two_spellings_of_a_surface_the_one_that_is_encoded_is_taken() -> None:
    composed, apart = "caf\u00e9", "cafe\u0301"
    pieces = ["▁" + apart, "▁" + composed, "▁dog"]
    assert word_table(unigram(pieces)) == {composed: 2, "dog": 3}
    # A tokenizer that takes characters apart first never makes the composed one.
    assert word_table(unigram(pieces, normalizers.NFD())) == {composed: 1, "dog": 3}


@pytest.mark.parametrize("name", POCKET_NAMES)
def test_usable_tokens_are_text_and_neither_special_nor_spare(name: str) -> None:
    reader = pocket(name)
    words, every = usable_tokens(reader), usable_tokens(reader, word_start=False)
    assert words == tuple(sorted(set(reader.words.values())))
    assert list(every) == sorted(set(every))
    assert set(words) < set(every)
    tokenizer = reader.tokenizer
    assert not set(every) & set(tokenizer.all_special_ids)
    assert not set(every) & set(tokenizer.added_tokens_decoder)
    assert max(every) < reader.rows
    pieces = tokenizer.convert_ids_to_tokens(list(every))
    texts = [tokenizer.backend_tokenizer.decoder.decode([piece]) for piece in pieces]
    assert not any("\ufffd" in text for text in texts)
    # What is left out is no text: most of a vocabulary is in.
    assert len(every) > 0.9 * reader.rows


@pytest.mark.real
def test_usable_tokens_of_published_tokenizers(shared: Path) -> None:
    gpt2 = reader(shared / "tokenizers/gpt2", "gpt2")
    # 50,257 without <|endoftext|> and the 352 that are no text on their own.
    assert len(usable_tokens(gpt2, word_start=False)) == 50_257 - 1 - 352
    assert len(usable_tokens(gpt2)) == 33_082
    bert = reader(shared / "tokenizers/bert-base-uncased", "bert")
    kept = bert.tokenizer.convert_ids_to_tokens(list(usable_tokens(bert, word_start=False)))
    assert not [token for token in kept if token.startswith("[unused")]
    assert sum(token.startswith("##") for token in kept) > 5000


@pytest.mark.slow
def test_added_tokens_are_never_words() -> None:
    known = a_reader(Tokenizer.from_str(bytelevel().tokenizer.backend_tokenizer.to_str()))
    assert "same" in known.words
    taken = Tokenizer.from_str(bytelevel().tokenizer.backend_tokenizer.to_str())
    taken.add_tokens(["Ġsame", "newword"])
    more = a_reader(taken)
    assert set(known.words) - set(more.words) == {"same"}
    assert set(more.words) < set(known.words)
    gone = set(usable_tokens(known, word_start=False)) - set(usable_tokens(more, word_start=False))
    assert gone == {known.words["same"]}


def test_tables_of_one_tokenizer_are_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = word_table(bytelevel())
    calls = []
    monkeypatch.setattr(
        "trainables.words.vocabulary._word_table", lambda model: calls.append(model)
    )
    again = word_table(load_reader(resolve_model("pocket-gpt2")))
    assert again == first
    assert not calls
    again.clear()  # one's own copy
    assert word_table(bytelevel()) == first
