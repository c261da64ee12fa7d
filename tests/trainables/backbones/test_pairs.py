"""Pairs of texts against the tokenizers' own text-pair encoding and the library's own forward."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from tests.trainables.tiny import ARCHITECTURES, pristine, tiny
from trainables.backbones import Backbone, Layout, Reader
from trainables.backbones.layout import cut
from trainables.core.registries import BACKBONES
from trainables.scoring.calibration import content_free_texts

PAIRS = [
    ("the film was good", "she said it was a good film"),
    ("no", "we won the game again today , by far"),
    ("a very long and quite boring story about nothing at all", "yes"),
    ("same words", "same words"),
]
WORDS = ["bad", "good", "yes"]
SEGMENTS = {
    "bert": ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1"),
    "roberta": ("<s> $A </s>", "<s> $A </s> </s> $B </s>"),
    "mpnet": ("[CLS] $A [SEP]", "[CLS] $A [SEP] [SEP] $B [SEP]"),
}
"""Per masked architecture how its published tokenizer frames one text and two."""
ONE_TEXT = [name for name in ARCHITECTURES if name not in SEGMENTS]


@cache
def paired(name: str) -> Backbone:
    """The tiny model with a tokenizer that frames pairs as the published one does."""
    plain = tiny(name)
    tokenizer = copy.deepcopy(plain.tokenizer)
    single, pair = SEGMENTS[name]
    special = {token for token in pair.replace(":1", "").split() if not token.startswith("$")}
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=single,
        pair=pair,
        special_tokens=[(token, tokenizer.convert_tokens_to_ids(token)) for token in special],
    )
    model = copy.deepcopy(pristine(name))
    model.tie_weights()
    family = BACKBONES[model.config.model_type]
    return Backbone(name, family(model.config, model), tokenizer)


def own_encoding(reader: Reader, first: str, second: str) -> tuple[list[int], list[int]]:
    """Ids and types as the tokenizer itself encodes the pair, with the mask after the second."""
    found = reader.tokenizer(reader.lead + first, reader.lead + second, return_token_type_ids=True)
    ids, types = list(found["input_ids"]), list(found["token_type_ids"])
    place = len(ids) - 1
    return (
        [*ids[:place], reader.tokenizer.mask_token_id, *ids[place:]],
        [*types[:place], types[-1], *types[place:]],
    )


@pytest.mark.parametrize("name", SEGMENTS)
def test_pairs_are_encoded_as_the_tokenizer_does(name: str) -> None:
    reader = paired(name)
    data = reader.encode(PAIRS, [0] * len(PAIRS), Layout())
    assert (data.types is not None) == (name == "bert")
    types = torch.zeros_like(data.ids) if data.types is None else data.types
    for row, (first, second) in enumerate(PAIRS):
        length = int(data.lengths[row])
        expected = own_encoding(reader, first, second)
        assert data.ids[row, :length].tolist() == expected[0]
        assert types[row, :length].tolist() == expected[1]
        assert not types[row, length:].any()
        assert data.ids[row, data.answers[row]] == reader.tokenizer.mask_token_id


@pytest.mark.parametrize("folder", ["bert-tiny-mlm", "minilm-l6-mlm"])
def test_published_tokenizers_mark_the_second_segment(shared: Path, folder: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(shared / "models" / folder)
    family = BACKBONES["bert"](pristine("bert").config)
    reader = Reader(folder, family, tokenizer)
    assert reader.separator == [tokenizer.sep_token_id]
    data = reader.encode(PAIRS, [0] * len(PAIRS), Layout())
    assert data.types is not None
    for row, (first, second) in enumerate(PAIRS):
        ids, types = own_encoding(reader, first, second)
        assert data.ids[row, : len(ids)].tolist() == ids
        assert data.types[row, : len(ids)].tolist() == types
        assert set(types) == {0, 1}


def literal_logits(
    backbone: Backbone, pair: tuple[str, str], prompt: torch.Tensor, layout: Layout
) -> torch.Tensor:
    """One row through the library's own model, types and all, then the label words."""
    model, tokenizer = pristine(backbone.alias), backbone.tokenizer

    def ids(text: str) -> list[int]:
        return list(tokenizer(backbone.lead + text, add_special_tokens=False)["input_ids"])

    single, double = SEGMENTS[backbone.alias]
    second_type = 1 if ":1" in double else 0
    begin, end = (tokenizer.convert_tokens_to_ids(single.split()[place]) for place in (0, -1))
    between = [
        tokenizer.convert_tokens_to_ids(token)
        for token in double.split("$A ")[1].split(" $B")[0].split()
    ]
    first = [(number, 0) for number in [*ids(pair[0]), *between]]
    second = [(number, second_type) for number in [*ids(pair[1]), *ids(layout.template)]]
    mask, last = (tokenizer.mask_token_id, second_type), (end, second_type)
    slots = [(None, 0 if layout.position == "prefix" else second_type)] * len(prompt)
    body = {
        "prefix": [*slots, *first, *second, mask],
        "infix": [*first, *second, *slots, mask],
        "suffix": [*first, *second, mask, *slots],
    }[layout.position]
    row = [(begin, 0), *body, last]
    table, vectors = model.get_input_embeddings().weight, iter(prompt)
    embeds = torch.stack([next(vectors) if n is None else table[n] for n, _ in row])
    typed: dict[str, Any] = {}
    if second_type:
        typed["token_type_ids"] = torch.tensor([[kind for _, kind in row]])
    logits = model(inputs_embeds=embeds[None], **typed).logits[0]
    return logits[row.index(mask)][[backbone.word_id(word) for word in WORDS]]


@pytest.mark.parametrize("position", ["prefix", "infix", "suffix"])
@pytest.mark.parametrize("name", SEGMENTS)
def test_logits_are_those_of_the_librarys_forward(name: str, position: str) -> None:
    backbone = paired(name)
    layout = Layout(3, position, template="It was")
    torch.manual_seed(1)
    prompts = torch.randn(2, 3, backbone.width)
    data = backbone.read(PAIRS, [0] * len(PAIRS), layout)
    labels = backbone.labels(WORDS, "t")
    with torch.no_grad():
        whole = backbone.label_logits(prompts, data, labels)
        for row, pair in enumerate(PAIRS):
            for replica in range(2):
                expected = literal_logits(backbone, pair, prompts[replica], layout)
                torch.testing.assert_close(whole[replica, row], expected, atol=2e-4, rtol=1e-4)
        # By length, in batches of other paddings.
        split = backbone.split_logits(data, labels, prompts)
        torch.testing.assert_close(split, whole, atol=2e-4, rtol=1e-4)
    joined = backbone.read([" ".join(pair) for pair in PAIRS], [0] * len(PAIRS), layout)
    with torch.no_grad():
        assert (backbone.label_logits(prompts, joined, labels) - whole).abs().max() > 1e-2


def test_token_types_matter_and_reach_a_model_that_drops_out() -> None:
    backbone = paired("bert")
    data = backbone.read(PAIRS, [0] * len(PAIRS), Layout())
    assert data.types is not None
    labels = backbone.labels(WORDS, "t")
    blind = copy.copy(data)
    object.__setattr__(blind, "types", None)
    with torch.no_grad():
        seen = backbone.row_logits(data, labels)
        assert (backbone.row_logits(blind, labels) - seen).abs().max() > 1e-2
        dropping = backbone.family.model
        rates = [module.p for module in dropping.modules() if isinstance(module, torch.nn.Dropout)]
        assert rates
        for module in dropping.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            if hasattr(module, "dropout_prob"):
                module.dropout_prob = 0.0
        with backbone.dropout(torch.arange(len(data))):
            torch.testing.assert_close(
                backbone.row_logits(data, labels), seen, atol=2e-4, rtol=1e-4
            )


@pytest.mark.parametrize("name", ONE_TEXT)
def test_any_other_model_reads_one_text(name: str) -> None:
    backbone = tiny(name)
    layout = Layout(2, template="It was", text_tokens=6)
    assert backbone.separator == []
    found = backbone.read(PAIRS, [0] * len(PAIRS), layout)
    joined = backbone.read([" ".join(pair) for pair in PAIRS], [0] * len(PAIRS), layout)
    assert found.types is None
    assert found.begin == joined.begin
    for field in ("ids", "lengths", "slots", "answers"):
        assert torch.equal(getattr(found, field), getattr(joined, field))


def test_a_tokenizer_without_a_template_for_pairs_gives_one_text() -> None:
    tokenizer = copy.deepcopy(tiny("bert").tokenizer)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    reader = Reader("bert", BACKBONES["bert"](pristine("bert").config), tokenizer)
    assert (reader.separator, reader.second_type) == ([], 0)
    assert reader.begin
    assert reader.end


@pytest.mark.parametrize("room", range(14))
def test_the_longer_text_is_cut_first_as_tokenizers_do(room: int) -> None:
    tokenizer = paired("bert").tokenizer
    for first in range(1, 7):
        for second in range(1, 7):
            pieces = [[5] * first, [6] * second]
            found = cut(pieces, room)
            texts = ["the " * first, "a " * second]
            if room < 2:
                assert sum(map(len, found)) <= room
                continue
            ids = tokenizer(
                *texts,
                truncation="longest_first",
                max_length=room + 3,
                return_token_type_ids=True,
            )
            sequences = ids.sequence_ids()
            assert [len(piece) for piece in found] == [sequences.count(0), sequences.count(1)]


def test_only_the_texts_are_cut_and_the_prompt_stays_where_it_was() -> None:
    backbone = paired("bert")
    layout = Layout(4, template="It was", text_tokens=5)
    long = [("film " * 30, "good"), ("film", "good " * 30), ("film " * 90, "good " * 90)]
    data = backbone.read(long, [0] * 3, layout)
    film, good = (backbone.word_id(word) for word in ("film", "good"))
    counts = [[row.count(film), row.count(good)] for row in data.ids.tolist()]
    assert counts == [[4, 1], [1, 4], [2, 3]]
    assert data.slots.tolist() == [1, 1, 1]
    separator, template = backbone.separator[0], backbone.template_ids(layout)
    for row, length in zip(data.ids.tolist(), data.lengths.tolist(), strict=True):
        assert row.count(separator) == 2
        assert row[length - 4 : length - 2] == template
    # The positions that are there are used to the last one, the separator counted.
    whole = backbone.read([("film " * 90, "good " * 90)], [0], Layout(4))
    assert int(whole.lengths[0]) == backbone.family.max_tokens
    assert backbone.room(Layout(4), "t") - backbone.room(Layout(4), "t", pair=True) == 1


def test_content_free_inputs_fill_both_segments_where_there_are_two() -> None:
    masked, causal = paired("bert"), tiny("gpt2")
    assert content_free_texts(masked, Layout(), pair=True) == [
        ("N/A", "N/A"),
        ("[MASK]", "[MASK]"),
        ("", ""),
    ]
    assert content_free_texts(causal, Layout(), pair=True) == content_free_texts(causal, Layout())
    data = masked.read(content_free_texts(masked, Layout(), pair=True), [0] * 3, Layout())
    mask = masked.tokenizer.mask_token_id
    assert (data.ids == mask).sum(1).tolist() == [1, 3, 1]
    # Of three masks the last is the answer.
    assert data.answers.tolist() == [int(length) - 2 for length in data.lengths]
