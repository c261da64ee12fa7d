"""Rows in a model's chat template, held against the library's own rendering and tokens."""

from itertools import product
from typing import Any

import pytest

from tests.trainables.backbones.chat_templates import TEMPLATES, chatty
from trainables.backbones import spell
from trainables.backbones.layout import Layout
from trainables.backbones.loading import load_reader
from trainables.backbones.reader import Reader
from trainables.errors import InputError
from trainables.models.names import resolve_model

MODELS = ("pocket-gpt2", "pocket-llama")
TEXTS = ["the film was good", "Good!", "7 days", "", " with spaces ", "two\nlines"]
STYLES = [*product(MODELS, TEMPLATES)]


def library(reader: Reader, words: str) -> list[int]:
    """Ids of a user's turn as the library renders and tokenises it."""
    turns = [{"role": "user", "content": words}]
    text = reader.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return list(reader.tokenizer(text, add_special_tokens=False)["input_ids"])


def rows(reader: Reader, layout: Layout, texts: list[str] | None = None) -> list[list[int]]:
    texts = TEXTS if texts is None else texts
    data = reader.encode(texts, [0] * len(texts), layout, "t")
    assert data.answers.tolist() == [length - 1 for length in data.lengths.tolist()]
    return [row[:length] for row, length in zip(data.ids.tolist(), data.lengths, strict=True)]


@pytest.mark.parametrize("words", ["", "It was", ". All in all"])
@pytest.mark.parametrize(("model", "style"), STYLES)
def test_rows_without_a_prompt_are_the_librarys(model: str, style: str, words: str) -> None:
    for marks in (True, False):
        reader = chatty(model, style, marks)
        behind = f" {words}" if words[:1].isalnum() else words
        found = rows(reader, Layout(template=words, chat=True))
        for text, row in zip(TEXTS, found, strict=True):
            # What grows together with the words behind it is tokenised by itself.
            if not words or text[-1:].isalnum():
                assert row == library(reader, text + behind), (text, marks)


@pytest.mark.parametrize(("model", "style"), STYLES)
def test_a_prompt_stands_in_the_users_turn(model: str, style: str) -> None:
    reader = chatty(model, style)
    frame = reader.chat
    assert frame is not None
    whole = library(reader, "the film was good It was")
    told, end = frame.ends(" It was")
    assert [*frame.begin, *told, *end] == [*whole[: len(frame.begin)], *whole[-len(told + end) :]]
    text = whole[len(frame.begin) : -len(told + end)]
    behind = reader.tokens(f"{reader.lead}the film was good")
    wanted = {
        "prefix": [*frame.begin, 0, 0, *behind, *told, *end],
        "infix": [*frame.begin, *text, *told, 0, 0, *end],
    }
    wanted["suffix"] = wanted["infix"]
    for position, row in wanted.items():
        layout = Layout(2, position, "It was", chat=True)
        assert rows(reader, layout, ["the film was good"]) == [row]
        slot = len(frame.begin) + (0 if position == "prefix" else len(text + told))
        assert reader.encode(["the film was good"], [0], layout).slots.tolist() == [slot]


@pytest.mark.parametrize(("model", "style"), STYLES)
def test_rows_begin_alike_and_only_texts_are_cut(model: str, style: str) -> None:
    reader = chatty(model, style)
    frame = reader.chat
    assert frame is not None
    texts = ["\nfilms and more films", "the film was good for all of us"]
    for length in (0, 2):
        layout = Layout(length, template="It was", text_tokens=3, chat=True)
        data = reader.encode(texts, [0, 0], layout)
        told, end = frame.ends(" It was")
        assert data.begin == len(frame.begin)
        for row in rows(reader, layout, texts):
            assert row[: len(frame.begin)] == frame.begin
            assert row[-len(told + end) :] == [*told, *end]
            assert len(row) == len(frame.begin) + length + 3 + len(told) + len(end)
    room = reader.room(Layout(chat=True), "t")
    assert room == reader.family.max_tokens - len(frame.begin) - len(frame.ends("")[1])


@pytest.mark.parametrize("style", ["llama3", "gemma", "mistral"])
def test_the_template_writes_the_begin_token_and_nothing_else_does(style: str) -> None:
    reader = chatty("pocket-llama", style)
    (row,) = rows(reader, Layout(chat=True), ["good"])
    assert row.count(reader.tokenizer.bos_token_id) == 1


@pytest.mark.parametrize(("model", "style"), STYLES)
def test_an_answer_begins_as_the_template_lets_it(model: str, style: str) -> None:
    """A space where the template puts one before an assistant's words, as Mistral's does."""
    reader = chatty(model, style)
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "good"}]
    text = reader.tokenizer.apply_chat_template(turns, tokenize=False)
    text = text[: text.index("good") + len("good")]
    whole = reader.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert [*library(reader, "a"), *reader.answer_tokens("good", chat=True)] == whole
    frame = reader.chat
    assert frame is not None
    assert frame.text.answer == (" " if style == "mistral" else "")


def test_a_generation_prompt_that_ends_in_a_space_leaves_it_to_the_answer() -> None:
    reader = chatty("pocket-gpt2", "USER: {{ messages[0].content }} ASSISTANT: ", marks=False)
    frame = reader.chat
    assert frame is not None
    assert (frame.text.lead, frame.text.answer) == (" ", " ")
    assert reader.answer_tokens("good", chat=True) == reader.tokens(" good")


def test_label_words_that_are_several_tokens_there_are_told() -> None:
    reader = chatty("pocket-gpt2", "chatml")
    with pytest.raises(InputError, match="is not a single token behind the chat template"):
        spell(reader, ["zyxwvut"], "t", chat=True)


def test_a_template_that_writes_the_date_writes_one_day_for_all() -> None:
    template = "{{ strftime_now('%d %b %Y, %Y-%m-%d') }}\n{{ messages[0].content }}\n"
    frame = chatty("pocket-gpt2", template).chat
    assert frame is not None
    assert frame.text.before == "26 Jul 2024, 2024-07-26\n"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('no user turn') }}", "cannot be rendered (no user turn)"),
        ("{{ messages[0].content", "cannot be rendered ("),
        ("Hello", "holds the user's words 0 times"),
        ("{{ messages[0].content }} {{ messages[0].content }}", "holds the user's words 2 times"),
    ],
)
def test_a_template_that_does_not_work_is_one_sentence(template: str, message: str) -> None:
    reader = chatty("pocket-gpt2", template)
    with pytest.raises(InputError) as error:
        reader.encode(["good"], [0], Layout(chat=True))
    assert message in str(error.value)
    assert "template: all" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["pocket-gpt2", "pocket-bert"])
def test_a_model_without_one_is_told(name: str) -> None:
    reader: Any = load_reader(resolve_model(name))
    if name == "pocket-bert":  # a masked model has no assistant
        reader.tokenizer.chat_template = TEMPLATES["chatml"]
    assert reader.chat is None
    with pytest.raises(InputError, match="has no chat template; allowed under template: chat"):
        reader.encode(["good"], [0], Layout(chat=True))
