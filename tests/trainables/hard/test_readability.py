"""Log-perplexity against a slow loop over the unmodified models; dictionary words by rule."""

import copy
import math
from types import SimpleNamespace

import pytest
import torch

import trainables.hard.readability as readability
from tests.trainables.tiny import ARCHITECTURES, beside, pristine, tiny
from trainables.backbones import Backbone, load_backbone
from trainables.errors import InputError
from trainables.hard.readability import log_perplexity
from trainables.models.names import resolve_model
from trainables.words.dictionary import dictionary_share, is_dictionary_word


def prompts(model: Backbone, count: int, length: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(model.rows, (count, length), generator=generator)


def literal(name: str, ids: list[int]) -> float:
    """Token by token with the library's own model: -1/n Σ log p(token | what it may see)."""
    model, untouched = tiny(name), pristine(name)
    begin, end = model.begin, model.end
    losses = []
    for place, wanted in enumerate(ids):
        if model.family.masked:
            row = [*begin, *ids, *end]
            row[len(begin) + place] = model.tokenizer.mask_token_id
            answer = len(begin) + place
        elif name == "t5":
            row = [*ids, *end]
            row[place] = model.tokenizer.convert_tokens_to_ids("<extra_id_0>")
            answer = 1
        else:
            row = [*(begin or [model.tokenizer.bos_token_id]), *ids[:place]]
            answer = len(row) - 1
        with torch.no_grad():
            read = untouched(input_ids=torch.tensor([row]), **beside(model, answer="sentinel"))
            logits = read.logits[0, answer, : model.rows]
        losses.append(-float(torch.log_softmax(logits.double(), dim=0)[wanted]))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_it_is_the_mean_loss_per_token(name: str) -> None:
    ids = prompts(tiny(name), 3, 5)
    found = log_perplexity(tiny(name), ids)
    assert found.shape == (3,)
    assert found.tolist() == pytest.approx([literal(name, row.tolist()) for row in ids], rel=1e-4)
    assert len(set(found.tolist())) == 3


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_chunks_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = prompts(tiny(name), 7, 4)
    whole = log_perplexity(tiny(name), ids)
    calls = []
    model = tiny(name)
    read = model.row_logits
    monkeypatch.setattr(model, "row_logits", lambda batch, ids: calls.append(1) or read(batch, ids))
    monkeypatch.setattr(readability, "LOGITS_AT_ONCE", 2 * model.rows + 1)
    torch.testing.assert_close(log_perplexity(model, ids), whole)
    assert len(calls) == 4 * math.ceil(7 / 2)


def test_a_causal_model_reads_from_left_to_right_and_a_masked_one_both_ways() -> None:
    """Changing the last token moves the first token's score in a masked model only."""
    for name, both in (("gpt2", False), ("bert", True)):
        model = tiny(name)
        one, other = prompts(model, 1, 3), prompts(model, 1, 3)
        other[0, 2] = (other[0, 2] + 1) % model.rows
        read = readability._masked_row if both else readability._causal_row
        rows = [read(model, ids, 0)[0] for ids in (one, other)]
        assert torch.equal(*rows) is not both


def bare(name: str) -> Backbone:
    """The model with a tokenizer that puts nothing before a text, as published GPT-2s have it."""
    model = copy.copy(tiny(name))
    model.begin = []
    return model


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_beginning_that_the_tokenizer_does_not_set_is_put_there(name: str) -> None:
    ids = prompts(bare(name), 2, 3)
    row, answer = readability._causal_row(bare(name), ids[:1], 1)
    first = tiny(name).tokenizer.bos_token_id
    assert (row.tolist(), answer) == ([[first, int(ids[0, 0])]], 1)
    torch.testing.assert_close(
        log_perplexity(bare(name), ids), log_perplexity(tiny(name), ids), rtol=1e-5, atol=1e-5
    )


def test_without_a_beginning_the_first_token_is_not_scored() -> None:
    model = bare("gpt2")
    model.tokenizer = SimpleNamespace(bos_token_id=None)
    ids = prompts(model, 2, 3)
    losses = []
    for row in ids.tolist():
        with torch.no_grad():
            logits = pristine("gpt2")(input_ids=torch.tensor([row])).logits[0, :, : model.rows]
        logs = torch.log_softmax(logits.double(), dim=1)
        losses.append(-(float(logs[0, row[1]]) + float(logs[1, row[2]])) / 2)
    assert log_perplexity(model, ids).tolist() == pytest.approx(losses, rel=1e-4)
    assert log_perplexity(model, ids[:, :1]).isnan().tolist() == [True, True]


def test_no_prompts_and_too_long_ones() -> None:
    model = tiny("bert")
    assert log_perplexity(model, prompts(model, 0, 4)).shape == (0,)
    with pytest.raises(InputError, match=r"takes 65 positions with its special tokens"):
        log_perplexity(model, prompts(model, 1, 63))


def test_words_read_better_than_noise_on_a_trained_model() -> None:
    model = load_backbone(resolve_model("pocket-gpt2"))
    said = model.tokens(" this is one of the best movies of the year")
    shuffled = prompts(model, 1, len(said))
    found = [log_perplexity(model, ids) for ids in (torch.tensor([said]), shuffled)]
    assert found[0].item() + 2 < found[1].item()


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("negatively collect reform talent give movie improve achievement in 1980", 0.9),
        ("uf Garcia Kong Hamp BaldwinondeMoore anime Singapore", 4 / 7),
        ("LucMor lucmor ression", 0.0),
        ("The THE the, (the) “the” the!!", 1.0),
        ("isn't isn’t movie's", 1.0),
        ("well-known and/or well-xqzt", 2 / 3),
        ("I a x b of th", 3 / 6),
        ("movie ... - 42 b4 \ufffd \x00ok", 1 / 7),
        ("  movie\n\tmovies ", 1.0),
    ],
)  # fmt: skip
def test_which_words_count(text: str, share: float) -> None:
    assert dictionary_share(text) == pytest.approx(share)
    assert dictionary_share(text.split()) == pytest.approx(share)


def test_a_text_without_words_has_no_share() -> None:
    assert math.isnan(dictionary_share(""))
    assert math.isnan(dictionary_share(" \n"))
    assert math.isnan(dictionary_share([]))


def test_the_dictionary_holds_inflected_forms_and_no_letters() -> None:
    held = ["hosted", "films", "characters", "boring", "spirituality", "criticizing"]
    assert all(map(is_dictionary_word, held))
    letters = [letter for letter in "abcdefghijklmnopqrstuvwxyz" if is_dictionary_word(letter)]
    assert letters == ["a", "i"]
