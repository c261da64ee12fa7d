"""Label texts of several tokens, against a slow literal loop over the library's own models."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.trainables.tiny import pristine, tiny
from trainables.backbones import (
    Backbone,
    Encoded,
    Labels,
    LabelTexts,
    Layout,
    Reads,
    label_texts,
    reads_of,
    spell,
)
from trainables.core.texts import Word, listed
from trainables.errors import InputError
from trainables.scoring.gradient import PassGradient
from trainables.scoring.losses import StackLoss, rows_behind

TEXTS = ["the film", "a long and rather boring story about nothing", "why"]
GOLD = [0, 2, 1]
WORDS: tuple[Word, ...] = ("very good", "very bad", ("not", "rather poor story"))
"""Of one, two and three tokens on every tiny model; two begin alike."""
NAMES = ["bert", "roberta", "gpt2", "llama", "t5"]
CLOSE = {"atol": 2e-4, "rtol": 1e-4}


def log_probability(
    name: str, data: Encoded, row: int, prompt: torch.Tensor, word: list[int], at: int
) -> torch.Tensor:
    """Log p of one token of a text by the library's own model, alone and unpadded."""
    model, backbone = pristine(name), tiny(name)
    ids = data.ids[row, : int(data.lengths[row])].tolist()
    slot, answer = int(data.slots[row]), int(data.answers[row])
    if backbone.family.masked:
        mask = backbone.tokenizer.mask_token_id
        read = [*ids[:answer], *word[:at], mask, *word[at + 1 :], *ids[answer + 1 :]]
        slot += len(word) - 1 if slot > answer else 0
    else:
        read = [*ids, *word[:at]]
    if data.decoder is not None:
        read = ids
    table = model.get_input_embeddings().weight
    embeds = table[read]
    embeds = torch.cat([embeds[:slot], prompt, embeds[slot + len(prompt) :]])
    more = {}
    if data.decoder is not None:
        more = {"decoder_input_ids": torch.tensor([[*data.decoder[row].tolist(), *word[:at]]])}
    logits = model(inputs_embeds=embeds[None], **more).logits[0, answer + at, : backbone.rows]
    return logits.log_softmax(-1)[word[at]]


def literal(
    name: str, data: Encoded, prompt: torch.Tensor, words: tuple[Word, ...], scoring: str
) -> torch.Tensor:
    """Scores [n, C], text by text and token by token."""
    reader = tiny(name)
    rows = []
    for row in range(len(data)):
        classes = []
        for one in words:
            scores = []
            for text in listed(one):
                word = reader.tokens(reader.lead + text)
                each = [
                    log_probability(name, data, row, prompt, word, at) for at in range(len(word))
                ]
                total = torch.stack(each).sum()
                scores.append(total / len(word) if scoring == "mean" else total)
            classes.append(torch.stack(scores).mean())
        rows.append(torch.stack(classes))
    return torch.stack(rows)


def read(backbone: Backbone, labels: Labels, position: str = "prefix") -> Encoded:
    spare = reads_of(labels).longest
    return backbone.read(TEXTS, GOLD, Layout(2, position, "It was"), "t", spare)


def prompts_for(backbone: Backbone, count: int = 1) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randn(count, 2, backbone.width, generator=draw)


@pytest.mark.parametrize("position", ["prefix", "infix", "suffix"])
@pytest.mark.parametrize("scoring", ["sum", "mean"])
@pytest.mark.parametrize("name", NAMES)
def test_scores_are_those_of_the_literal_loop(name: str, scoring: str, position: str) -> None:
    backbone = tiny(name)
    labels = backbone.labels(WORDS, "t", scoring)
    data, prompts = read(backbone, labels, position), prompts_for(backbone, 2)
    assert isinstance(labels, LabelTexts)
    with torch.no_grad():
        expected = [literal(name, data, prompt, WORDS, scoring) for prompt in prompts]
        found = backbone.split_logits(data, labels, prompts)
    torch.testing.assert_close(found, torch.stack(expected), **CLOSE)


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_gradients_are_those_of_the_literal_loop(name: str) -> None:
    backbone = tiny(name)
    labels = backbone.labels(WORDS, "t", "sum")
    data, prompts = read(backbone, labels), prompts_for(backbone)
    gold, point = torch.tensor(GOLD), prompts[0].clone().requires_grad_()
    scores = literal(name, data, point, WORDS, "sum")
    losses = {
        "label_words": F.cross_entropy(scores, gold, reduction="sum"),
        "vocabulary": -scores.gather(1, gold[:, None]).sum(),
    }
    whole = StackLoss("vocabulary", False, [0])
    ways = {
        "label_words": rows_behind(backbone, labels),
        "vocabulary": lambda batch, found, owner, keys: whole(
            backbone, batch, labels, found, owner, keys
        ),
    }
    for loss, total in losses.items():
        (expected,) = torch.autograd.grad(total, point, retain_graph=True)
        passes = PassGradient(backbone, data, ways[loss], reads=reads_of(labels).rows)
        each, slope = passes(prompts, torch.arange(3), torch.ones(3), budget=64)
        torch.testing.assert_close(each.sum(), total.detach(), **CLOSE)
        torch.testing.assert_close(slope[0], expected, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_words_of_one_token_are_ids_whatever_the_scoring(name: str) -> None:
    backbone = tiny(name)
    plain = backbone.labels(["bad", "good"], "t")
    assert isinstance(plain, torch.Tensor)
    assert plain.tolist() == [backbone.word_id("bad"), backbone.word_id("good")]
    for scoring in ("first_token", "mean", "sum"):
        same = backbone.labels(["bad", "good"], "t", scoring)
        assert isinstance(same, torch.Tensor)
        assert torch.equal(same, plain)
    assert reads_of(plain) == label_texts(plain).reads == Reads(1, 0, 0)
    assert label_texts(plain).tokens == plain.tolist()
    table = backbone.embeddings
    assert torch.equal(label_texts(plain).vectors(table), table[plain].float())
    data, prompts = read(backbone, plain), prompts_for(backbone)
    with torch.no_grad():
        logits = backbone.split_logits(data, plain, prompts)
        torch.testing.assert_close(backbone.split_logits(data, label_texts(plain), prompts), logits)


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_of_several_words_a_class_has_the_mean(name: str) -> None:
    """Of words of one token that of their logits, at one reading."""
    backbone = tiny(name)
    labels = backbone.labels([("bad", "poor", "worst"), "good"], "t")
    assert reads_of(labels).rows == 1
    every = backbone.labels(["bad", "poor", "worst", "good"], "t")
    data, prompts = read(backbone, labels), prompts_for(backbone)
    with torch.no_grad():
        found = backbone.split_logits(data, labels, prompts)
        each = backbone.split_logits(data, every, prompts)
    expected = torch.stack([each[..., :3].mean(-1), each[..., 3]], -1)
    torch.testing.assert_close(found, expected)
    assert label_texts(labels).tokens == [int(every[place]) for place in (0, 3, 1, 2)]


def test_the_first_token_stands_for_the_text() -> None:
    backbone = tiny("gpt2")
    labels = backbone.labels(["rather poor", "very good"], "t", "first_token")
    assert isinstance(labels, torch.Tensor)
    assert labels.tolist() == [backbone.word_id("rather"), backbone.word_id("very")]


def test_of_lists_of_texts_the_first_tokens_count_alike() -> None:
    backbone = tiny("gpt2")
    labels = backbone.labels([["rather poor", "not good"], "very good"], "t", "first_token")
    every = torch.tensor([backbone.word_id(word) for word in ("rather", "not", "very")])
    data, prompts = read(backbone, labels), prompts_for(backbone)
    with torch.no_grad():
        found = backbone.split_logits(data, labels, prompts)
        each = backbone.split_logits(data, every, prompts)
    expected = torch.stack([each[..., :2].mean(-1), each[..., 2]], -1)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_what_texts_begin_with_alike_is_read_once(name: str) -> None:
    """Read are: nothing, very, rather, rather poor; or very _, _ good, _ bad, _, and three."""
    labels = tiny(name).labels(WORDS, "t", "sum")
    assert isinstance(labels, LabelTexts)
    grown = [reading.grown for reading in labels.readings]
    assert sorted(grown) == ([0, 1, 1, 2] if name == "gpt2" else [0, 1, 1, 1, 2, 2, 2])
    assert labels.reads == Reads(len(grown), sum(grown), 2)
    assert labels.reads.of(10, 100) == (10 * len(grown), 100 * len(grown) + 10 * sum(grown))


def test_vectors_are_means_of_pieces() -> None:
    backbone = tiny("llama")
    labels = label_texts(backbone.labels(WORDS, "t", "mean"))
    table = backbone.embeddings
    words = ["very good", "very bad", "not", "rather poor story"]
    expected = [table[backbone.tokens(backbone.lead + word)].mean(0) for word in words]
    torch.testing.assert_close(labels.vectors(table), torch.stack(expected))


def test_a_literal_reading_gives_the_same() -> None:
    backbone = tiny("gpt2")
    literally = copy.copy(backbone)
    literally.literal = True
    labels = backbone.labels(WORDS, "t", "sum")
    data, prompts = read(backbone, labels), prompts_for(backbone)
    with torch.no_grad():
        quick, slow = (one.split_logits(data, labels, prompts) for one in (backbone, literally))
    torch.testing.assert_close(quick, slow, **CLOSE)


MISTAKES: list[tuple[str, tuple[Any, ...], str | None, str]] = [
    ("gpt2", ("bad", "very good"), None, "is not a single token .*scoring: first_token, mean, "),
    ("gpt2", ("very bad", "very good"), "first_token", "begin with the same token; allowed under"),
    ("gpt2", ("very", "very good"), "sum", "'very' begins 'very good', which under scoring sum"),
    ("bert", ("good", "Good"), None, "are the same token"),
    ("bert", ("very good", ("bad", "Very good")), "mean", "are the same text"),
    ("bert", ("good", "\N{SNOWMAN}"), "sum", "cannot be spelled"),
]


@pytest.mark.parametrize(("name", "words", "scoring", "problem"), MISTAKES)
def test_what_cannot_be_told_apart_is_refused(
    name: str, words: tuple[Word, ...], scoring: str | None, problem: str
) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        spell(tiny(name), words, "t", scoring)
    assert str(caught.value).startswith(f"model '{name}', task 't': ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "scoring"), [("gpt2", "mean"), ("bert", "sum"), ("bert", "mean")])
def test_a_text_may_begin_another_where_either_can_win(name: str, scoring: str) -> None:
    assert len(spell(tiny(name), ("very", "very good"), "t", scoring)) == 2


def test_positions_are_left_for_the_longest_text() -> None:
    """A text of more words than there are positions is cut by what the label needs too."""
    for name in ("bert", "gpt2"):
        backbone = tiny(name)
        labels = backbone.labels(WORDS, "t", "sum")
        spare = reads_of(labels).longest
        data = backbone.read(["word " * 200], [0], Layout(2), "t", spare)
        assert int(data.lengths.max()) == backbone.family.max_tokens - spare
        assert backbone.split_logits(data, labels, prompts_for(backbone)).isfinite().all()
