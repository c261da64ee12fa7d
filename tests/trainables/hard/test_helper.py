"""A model that proposes words of another one's prompts."""

import pytest
import torch

from tests.trainables.tiny import tiny
from trainables.backbones import Backbone, load_backbone
from trainables.errors import InputError
from trainables.hard.helper import Helper, check_helper, draw
from trainables.models.names import resolve_model


def pocket(name: str) -> Backbone:
    return load_backbone(resolve_model(name))


def test_words_are_looked_up_in_the_helpers_vocabulary() -> None:
    helper, source = pocket("pocket-gpt2"), pocket("pocket-bert")
    allowed = torch.tensor(sorted(source.words.values()))
    found = Helper(helper, source, allowed)
    named = {number: word for word, number in source.words.items()}
    assert len(found.words) == len(helper.words.keys() & source.words.keys()) > 100
    for word, number in zip(found.words.tolist(), found.ids.tolist(), strict=True):
        assert helper.words[named[word]] == number
    assert found.words.tolist() == sorted(found.words.tolist())


def test_of_one_tokenizer_all_tokens_are_the_same() -> None:
    model = tiny("gpt2")
    allowed = torch.tensor([17, 300, 301])
    found = Helper(model, model, allowed)
    assert found.words.tolist() == found.ids.tolist() == [17, 300, 301]


def test_a_model_that_fills_in_is_refused() -> None:
    with pytest.raises(InputError, match="helper: found 'pocket-bert', which fills in words"):
        check_helper(pocket("pocket-bert"), pocket("pocket-gpt2"))


def test_none_of_the_words_is_known() -> None:
    helper, source = pocket("pocket-gpt2"), pocket("pocket-bert")
    strange = [number for word, number in source.words.items() if word not in helper.words]
    with pytest.raises(InputError, match="helper: model 'pocket-gpt2' knows none of the 2 words"):
        Helper(helper, source, torch.tensor(strange[:2]))


@pytest.mark.parametrize("family", ["gpt2", "opt", "llama"])
def test_samples_are_those_of_a_loop_over_whole_texts(family: str) -> None:
    """Word by word through the library's own forward pass, over the allowed words alone."""
    model = tiny(family)
    allowed = torch.arange(300, 330)
    helper = Helper(model, model, allowed)
    asked = [*model.begin, 310, 40, 77, 9]
    found = helper.sample(asked, 4, 3, torch.Generator().manual_seed(5), temperature=0.05)
    generator = torch.Generator().manual_seed(5)
    rows = [list(asked) for _ in range(4)]
    for _ in range(3):
        logits = model.family.model(torch.tensor(rows)).logits[:, -1, 300:330]
        chosen = torch.multinomial((logits / 0.05).softmax(-1), 1, generator=generator)[:, 0]
        for row, place in zip(rows, chosen.tolist(), strict=True):
            row.append(300 + place)
    assert found.tolist() == [row[len(asked) :] for row in rows]
    assert set(found.flatten().tolist()) <= set(allowed.tolist())


def test_what_it_reads_is_counted_where_it_belongs() -> None:
    model = tiny("gpt2")
    own = Helper(model, model, torch.arange(300, 310))
    own.features([(5, 6), (7, 8), (9, 9)])
    assert (own.cost.target_forward_rows, own.cost.target_forward_tokens) == (3, 6)
    other = Helper(model, tiny("gpt2", 1), torch.arange(300, 310))
    other.features([(5, 6)])
    assert (other.cost.target_forward_rows, other.cost.source_rows) == (0, 1)


def test_only_the_likeliest_are_drawn_from() -> None:
    logits = torch.tensor([[0.0, 3.0, 2.0, 1.0]]).repeat(200, 1)
    generator = torch.Generator().manual_seed(0)
    assert set(draw(logits, generator, 2).tolist()) == {1, 2}
    assert set(draw(logits, generator).tolist()) == {0, 1, 2, 3}
