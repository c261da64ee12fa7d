"""Nearest tokens and words against a slow search through the vocabulary."""

import pytest
import torch

from tests.trainables.tiny import ARCHITECTURES, tiny
from trainables.scoring.nearest_words import TOKENS, WORDS, nearest_of, read_prompts


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_an_embedding_row_is_nearest_to_its_own_word(name: str) -> None:
    backbone = tiny(name)
    ids = [backbone.word_id(word) for word in ("film", "good", "city")]
    prompts = 3.0 * backbone.embeddings[torch.tensor(ids)][None]
    (found,) = read_prompts(backbone, prompts)
    for field in ("nearest", "nearest_words"):
        assert [row[0] for row in found[field]] == ["film", "good", "city"]
        assert [row[0] for row in found[f"{field}_cosine"]] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_cosines_are_those_of_a_slow_search(name: str) -> None:
    backbone = tiny(name)
    torch.manual_seed(3)
    prompts = torch.randn(2, 2, backbone.width)
    readings = read_prompts(backbone, prompts)
    tokenizer, special = backbone.tokenizer, set(backbone.tokenizer.all_special_ids)
    surfaces = {number: word for word, number in backbone.words.items() if word.isalpha()}
    for reading, prompt in zip(readings, prompts, strict=True):
        for place, vector in enumerate(prompt):
            cosine = torch.cosine_similarity(vector[None], backbone.embeddings, dim=1).tolist()
            order = sorted(range(backbone.rows), key=lambda number: -cosine[number])
            tokens = [number for number in order if number not in special][:TOKENS]
            assert reading["nearest"][place] == [tokenizer.decode([n]).strip() for n in tokens]
            expected = [cosine[number] for number in tokens]
            assert reading["nearest_cosine"][place] == pytest.approx(expected, abs=1e-4)
            words: dict[str, float] = {}
            for number in order:
                if number in surfaces and len(words) < WORDS:
                    words.setdefault(surfaces[number], cosine[number])
            assert reading["nearest_words"][place] == list(words)
            assert reading["nearest_words_cosine"][place] == pytest.approx(
                list(words.values()), abs=1e-4
            )


def test_a_word_in_several_cases_is_shown_once() -> None:
    names = ["Good", "good", "bad", "GOOD", "film", "story", "end", "game", "Bad"]
    similarity = torch.tensor([[0.5, 0.9, 0.1, 0.8, -0.2, 0.3, 0.0, 0.2, 0.4]])
    words, cosines = nearest_of(names, similarity)
    assert words == [["good", "Bad", "story", "game", "end"]]
    assert cosines == [pytest.approx([0.9, 0.4, 0.3, 0.2, 0.0])]
