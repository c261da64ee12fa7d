"""Label-word logits against the whole model read literally, for every architecture."""

import pytest
import torch

from tests.trainables.tiny import ARCHITECTURES, beside, pristine, tiny
from trainables.backbones import Backbone, Layout
from trainables.core.registries import BACKBONES
from trainables.errors import InputError

TEXTS = [
    "the film was good",
    "a very long and quite boring story about nothing at all , she said",
    "no",
    "we won the game again today .",
]
WORDS = ["bad", "good", "yes"]


def literal_logits(
    backbone: Backbone, text: str, prompt: torch.Tensor, layout: Layout
) -> torch.Tensor:
    """One row, no padding, full vocabulary logits of the library's own model, then gather."""
    family = backbone.family
    model = pristine(backbone.alias)
    tokenizer = backbone.tokenizer
    body = tokenizer(backbone.lead + text, add_special_tokens=False)["input_ids"]
    if layout.template:
        body = (
            body + tokenizer(backbone.lead + layout.template, add_special_tokens=False)["input_ids"]
        )
    framed, plain = tokenizer("a")["input_ids"], tokenizer("a", add_special_tokens=False)
    begin = framed[: framed.index(plain["input_ids"][0])]
    tail = [] if family.causal else [framed[-1]]
    tail = [tokenizer.mask_token_id, *tail] if family.masked else tail
    table = model.get_input_embeddings().weight

    def vectors(ids: list[int]) -> torch.Tensor:
        return table[torch.tensor(ids, dtype=torch.long)]

    if layout.position == "prefix":
        parts = [vectors(begin), prompt, vectors(body), vectors(tail)]
    elif layout.position == "suffix" and family.masked:
        parts = [vectors(begin), vectors(body), vectors(tail[:1]), prompt, vectors(tail[1:])]
    else:
        parts = [vectors(begin), vectors(body), prompt, vectors(tail)]
    embeds = torch.cat(parts)[None]
    logits = model(inputs_embeds=embeds, **beside(backbone)).logits[0]
    last = -2 - (len(prompt) if layout.position == "suffix" else 0)
    answer = logits[last] if family.masked else logits[-1]
    return answer[[backbone.word_id(word) for word in WORDS]]


@pytest.mark.slow
@pytest.mark.parametrize("position", ["prefix", "infix", "suffix"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_label_logits_equal_the_gathered_full_logits(name: str, position: str) -> None:
    backbone = tiny(name)
    layout = Layout(3, position, template="It was")
    torch.manual_seed(1)
    prompts = torch.randn(2, 3, backbone.width)
    data = backbone.read(TEXTS, [0, 1, 2, 0], layout)
    labels = backbone.labels(WORDS, "t")
    with torch.no_grad():
        got = backbone.label_logits(prompts, data, labels)
        for replica in range(2):
            for row, text in enumerate(TEXTS):
                expected = literal_logits(backbone, text, prompts[replica], layout)
                torch.testing.assert_close(got[replica, row], expected, atol=2e-4, rtol=1e-4)
    assert got.std() > 0.05, "a constant would pass any comparison"


@pytest.mark.parametrize("texts", [["", "no"], ["good"]], ids=["empty", "one word"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_short_texts_behind_a_prompt(name: str, texts: list[str]) -> None:
    backbone = tiny(name)
    torch.manual_seed(4)
    prompts = torch.randn(2, 3, backbone.width)
    data = backbone.read(texts, [0] * len(texts), Layout(3))
    with torch.no_grad():
        got = backbone.label_logits(prompts, data, backbone.labels(WORDS, "t"))
        for replica in range(2):
            for row, text in enumerate(texts):
                expected = literal_logits(backbone, text, prompts[replica], Layout(3))
                torch.testing.assert_close(got[replica, row], expected, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_prompt_gradient_is_that_of_the_whole_model(name: str) -> None:
    backbone = tiny(name)
    layout = Layout(2)
    data = backbone.read(TEXTS[:2], [0, 1], layout)
    labels = backbone.labels(WORDS, "t")
    torch.manual_seed(2)
    start = torch.randn(1, 2, backbone.width)
    fast = start.clone().requires_grad_()
    backbone.label_logits(fast, data, labels).softmax(-1)[..., 0].sum().backward()
    slow = start.clone().requires_grad_()
    rows = [literal_logits(backbone, text, slow[0], layout) for text in TEXTS[:2]]
    torch.stack(rows).softmax(-1)[..., 0].sum().backward()
    assert fast.grad is not None
    assert slow.grad is not None
    torch.testing.assert_close(fast.grad, slow.grad, atol=1e-5, rtol=1e-3)
    assert slow.grad.abs().max() > 1e-6


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_whole_model_still_answers_at_every_position(name: str) -> None:
    backbone = tiny(name)
    ids = torch.tensor([backbone.tokenizer(TEXTS[1])["input_ids"]])
    with torch.no_grad():
        got, expected = (
            model(ids, **beside(backbone)).logits
            for model in (backbone.family.model, pristine(name))
        )
        torch.testing.assert_close(got, expected, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_split_logits_keep_the_data_order_and_ignore_padding(name: str) -> None:
    backbone = tiny(name)
    layout = Layout(2)
    labels = backbone.labels(WORDS, "t")
    prompts = torch.randn(3, 2, backbone.width)
    whole = backbone.split_logits(backbone.read(TEXTS, [0] * 4, layout), labels, prompts)
    for row, text in enumerate(TEXTS):
        alone = backbone.split_logits(backbone.read([text], [0], layout), labels, prompts)
        torch.testing.assert_close(whole[:, row], alone[:, 0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_features_are_what_the_library_gives_its_vocabulary_matrix(
    name: str, literal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = tiny(name)
    monkeypatch.setattr(backbone, "literal", literal)
    found = backbone.split_features(backbone.read(TEXTS, [0] * 4, Layout()))
    head = pristine(name).get_output_embeddings()
    assert found.shape == (4, head.weight.shape[1])
    bias = 0.0 if head.bias is None else head.bias
    ids = backbone.labels(WORDS, "t")
    with torch.no_grad():
        for row, text in enumerate(TEXTS):
            given = (found[row] @ head.weight.T + bias)[ids]
            expected = literal_logits(backbone, text, torch.empty(0, backbone.width), Layout())
            torch.testing.assert_close(given, expected, atol=2e-4, rtol=1e-4)
    assert found.std(0).max() > 0.05, "a constant would pass any comparison"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_weights_are_frozen_and_spare_rows_unused(name: str) -> None:
    backbone = tiny(name)
    assert not any(parameter.requires_grad for parameter in backbone.family.model.parameters())
    table = backbone.family.model.get_input_embeddings().weight
    assert len(backbone.embeddings) == len(backbone.tokenizer) < len(table)
    prompts = torch.randn(1, 2, backbone.width, requires_grad=True)
    data = backbone.read(TEXTS, [0] * 4, Layout(2))
    backbone.label_logits(prompts, data, backbone.labels(WORDS, "t")).sum().backward()
    assert prompts.grad is not None
    assert all(parameter.grad is None for parameter in backbone.family.model.parameters())


def test_opt_prompts_live_in_the_projected_embedding_space() -> None:
    assert tiny("opt-projected").width == 12
    assert tiny("opt-projected").family.config.hidden_size == 16


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_prompt_stands_after_the_first_token(name: str) -> None:
    backbone = tiny(name)
    data = backbone.read(["good film"], [0], Layout(4))
    assert data.slots.tolist() == [len(backbone.begin)] == [0 if name == "t5" else 1]
    ids = data.ids[0].tolist()
    assert name == "t5" or ids[0] in backbone.tokenizer.all_special_ids
    if backbone.family.masked:
        assert ids[int(data.answers[0])] == backbone.tokenizer.mask_token_id
    elif name == "t5":
        assert (data.answers.tolist(), ids[-1]) == ([0], backbone.tokenizer.eos_token_id)
    else:
        assert int(data.answers[0]) == len(ids) - 1


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_suffix_ends_the_input_and_stands_behind_no_causal_answer(name: str) -> None:
    backbone = tiny(name)
    data, infix = (
        backbone.read(["good film", "no"], [0, 1], Layout(4, position, template="It was"))
        for position in ("suffix", "infix")
    )
    if backbone.family.masked:
        assert torch.equal(data.answers + 1, data.slots)
        assert torch.equal(data.slots + 4 + len(backbone.end), data.lengths)
        masks = data.ids[torch.arange(2), data.answers]
        assert masks.tolist() == [backbone.tokenizer.mask_token_id] * 2
    else:
        assert name == "t5" or torch.equal(data.answers + 1, data.lengths)
        assert torch.equal(data.ids, infix.ids)
        assert torch.equal(data.slots, infix.slots)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_only_the_text_is_cut(name: str) -> None:
    backbone = tiny(name)
    layout = Layout(5, template="It was")
    data = backbone.read(["word " * 500, "short"], [0, 1], layout)
    whole = len(backbone.tokens(backbone.lead + "word " * 500)) + 5 + 2 + len(backbone.end)
    assert int(data.lengths[0]) == min(whole, backbone.family.max_tokens)
    template = backbone.tokens(backbone.lead + "It was")
    end = int(data.lengths[0]) - len(backbone.end) - (1 if backbone.family.masked else 0)
    assert data.ids[0, end - len(template) : end].tolist() == template
    labels = backbone.labels(WORDS, "t")
    logits = backbone.split_logits(data, labels, torch.randn(1, 5, backbone.width))
    assert torch.isfinite(logits).all()
    short = backbone.read(["word " * 500], [0], Layout(5, text_tokens=7))
    assert int(short.lengths[0]) <= 7 + 5 + 3


def test_prompt_longer_than_the_positions_is_refused() -> None:
    with pytest.raises(InputError, match=r"model 'bert', task 't': prompt_length 62 .* fewer than"):
        tiny("bert").read(["good"], [0], Layout(62), "t")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_label_words_must_be_single_tokens(name: str) -> None:
    with pytest.raises(InputError, match=rf"model '{name}', task 't': label word 'zyxwvut' is not"):
        tiny(name).labels(["good", "zyxwvut"], "t")
    with pytest.raises(InputError, match="'good' and 'good' are the same token"):
        tiny(name).labels(["good", "good"], "t")


def test_what_families_there_are() -> None:
    six = {"bert", "roberta", "mpnet", "gpt2", "opt", "llama"}
    assert set(BACKBONES) == {*six, "t5", "mt5", "umt5"}
