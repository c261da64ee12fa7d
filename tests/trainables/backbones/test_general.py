"""Architectures without a family: label logits against transformers' own forward on ids."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.decoders import Metaspace as MetaspaceDecoder
from tokenizers.models import Unigram
from tokenizers.pre_tokenizers import Metaspace
from tokenizers.processors import BertProcessing
from tokenizers.processors import Sequence as NoTemplate
from transformers import AutoConfig

from tests.trainables.general import CAUSAL, EVERY, SIZES, folder_of, made, pristine, saved
from tests.trainables.tiny import SPARE_ROWS
from trainables.backbones import Backbone, Layout, load_backbone
from trainables.backbones.family import UNBOUNDED
from trainables.backbones.general import General, GeneralCausal
from trainables.backbones.loading import check_weights, load_reader, resident
from trainables.compute.masks import row_keys
from trainables.errors import InputError
from trainables.hard.methods.fluency import fluency_loss
from trainables.models.names import resolve_model
from trainables.scoring.nearest_words import read_prompts

WORDS = ["bad", "good", "yes"]
TEXTS = [
    "the film was good",
    "a very long and quite boring story about nothing at all , she said",
    "no",
    "we won the game again today .",
]
PROMPTS = ["it was a great day", "she said no to him"]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Backbone]]:
    """Each architecture, saved and loaded once."""
    folder = tmp_path_factory.mktemp("general")

    @cache
    def load(name: str) -> Backbone:
        ref = folder_of(name, folder / name)
        check_weights(ref, load_reader(ref))
        return load_backbone(ref)

    yield load
    resident.clear()


def ids_of(backbone: Backbone, text: str) -> list[int]:
    return list(backbone.tokenizer(backbone.lead + text, add_special_tokens=False)["input_ids"])


def row(backbone: Backbone, prompt: list[int], text: str) -> tuple[list[int], int]:
    """A whole row of ids, and where it is read."""
    tail = [backbone.tokenizer.mask_token_id, *backbone.end] if backbone.family.masked else []
    whole = [*backbone.begin, *prompt, *ids_of(backbone, text), *tail]
    return whole, len(whole) - max(1, len(tail))


def near(found: torch.Tensor, wanted: torch.Tensor, part: float = 1e-4) -> None:
    """Within a ten thousandth of how far logits are apart."""
    torch.testing.assert_close(found, wanted, atol=part * float(wanted.std()), rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_a_prompt_of_words_scores_as_the_librarys_forward_on_their_ids(
    name: str, loaded: Callable[[str], Backbone]
) -> None:
    """Two prompts at once, on a padded batch: as each text by itself, in plain transformers."""
    backbone, model = loaded(name), pristine(name)
    assert isinstance(backbone.family, General)
    assert not backbone.literal and not backbone.remark
    prompts = [ids_of(backbone, text)[:4] for text in PROMPTS]
    data = backbone.read(TEXTS, [0] * 4, Layout(4))
    words = backbone.labels(WORDS, "t")
    vectors = torch.stack([backbone.embeddings[torch.tensor(ids)] for ids in prompts])
    with torch.no_grad():
        wanted = torch.stack(
            [
                torch.stack([model(torch.tensor([ids])).logits[0, at, words] for ids, at in rows])
                for rows in ([row(backbone, prompt, text) for text in TEXTS] for prompt in prompts)
            ]
        )
        near(backbone.label_logits(vectors, data, words), wanted)
        near(backbone.split_logits(data, words, vectors[1:])[0], wanted[1])
    assert (wanted[0] - wanted[1]).abs().max() > 1e-2, "prompts must show"
    assert wanted.std(1).min() > 1e-2, "so must texts"


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_the_gradient_of_a_prompt_is_that_of_plain_autograd(
    name: str, loaded: Callable[[str], Backbone]
) -> None:
    backbone, model = loaded(name), pristine(name)
    words = backbone.labels(WORDS, "t")
    torch.manual_seed(2)
    start = backbone.scale * backbone.width**-0.5 * torch.randn(2, 3, backbone.width)
    ours, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
    data = backbone.read(TEXTS, [0] * 4, Layout(3))
    backbone.label_logits(ours, data, words).log_softmax(-1)[..., 0].sum().backward()
    for prompt in theirs:
        for text in TEXTS:
            ids, at = row(backbone, [], text)
            begin = len(backbone.begin)
            table = model.get_input_embeddings()(torch.tensor(ids))
            embeds = torch.cat([table[:begin], prompt, table[begin:]])
            logits = model(inputs_embeds=embeds[None]).logits[0, at + 3, words]
            logits.log_softmax(-1)[0].backward(retain_graph=True)
    assert ours.grad is not None and theirs.grad is not None
    near(ours.grad, theirs.grad, 1e-3)
    assert theirs.grad.abs().max() > 0


def agrees(backbone: Backbone, model: Any) -> None:
    """A prompt of words gives the library's logits on ids, each text alone."""
    prompt = ids_of(backbone, PROMPTS[0])[:4]
    words = backbone.labels(WORDS, "t")
    vectors = backbone.embeddings[torch.tensor(prompt)][None].float()
    found = backbone.split_logits(backbone.read(TEXTS, [0] * 4, Layout(4)), words, vectors)[0]
    rows = [row(backbone, prompt, text) for text in TEXTS]
    with torch.no_grad():
        near(
            found,
            torch.stack([model(torch.tensor([ids])).logits[0, at, words] for ids, at in rows]),
        )


def typed(tokenizer: Any) -> None:
    """Pairs as published BERTs frame them."""
    tokenizer.backend_tokenizer.post_processor = BertProcessing(
        *((token, tokenizer.convert_tokens_to_ids(token)) for token in ("[SEP]", "[CLS]"))
    )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "second"), [("electra", 1), ("albert", 1), ("distilbert", 0)])
def test_the_second_text_of_a_pair_has_its_own_type(name: str, second: int, tmp_path: Path) -> None:
    backbone = load_backbone(saved(pristine(name), tmp_path / "model", "pocket-bert", typed))
    words = backbone.labels(WORDS, "t")
    data = backbone.read([("the film", "was good"), ("no", "she said no")], [0, 1], Layout())
    assert backbone.second_type == second and len(backbone.separator) == 1
    types = {} if data.types is None else {"token_type_ids": data.types}
    assert bool(types) == bool(second)
    with torch.no_grad():
        logits = pristine(name)(data.ids, attention_mask=data.mask, **types).logits
        near(backbone.row_logits(data, words), logits[torch.arange(2), data.answers][:, words])


@pytest.mark.slow
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("name", ["qwen2", "gemma2", "electra"])
def test_tied_and_untied_heads(name: str, tied: bool, tmp_path: Path) -> None:
    model = made(name, tie_word_embeddings=tied)
    same = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert same == tied
    agrees(load_backbone(saved(model, tmp_path / "model", EVERY[name][0])), model)


@pytest.mark.slow
def test_prompts_live_where_inputs_embeds_lives(loaded: Callable[[str], Backbone]) -> None:
    """Gemma's looking up scales by √d, Granite's body by a factor; ALBERT's words are narrow."""
    for name, factor in (("gemma2", 4.0), ("granite", 1.0), ("albert", 1.0)):
        table = pristine(name).get_input_embeddings().weight.detach()[: loaded(name).rows]
        torch.testing.assert_close(loaded(name).embeddings, factor * table)
    albert = loaded("albert")
    assert (albert.width, albert.family.width, albert.family.config.hidden_size) == (12, 12, 16)
    outline = type(albert.family)(albert.family.config)
    assert (outline.width, outline.max_tokens) == (12, 64)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "most"), [("xlm-roberta", 64), ("gptj", 64), ("modernbert", 64), ("deberta-v2", 64)]
)
def test_rows_are_cut_to_the_positions_there_are(
    name: str, most: int, loaded: Callable[[str], Backbone]
) -> None:
    backbone = loaded(name)
    data = backbone.read(["word " * 500, "no"], [0, 1], Layout(3))
    assert backbone.family.max_tokens == int(data.lengths[0]) == most
    prompt = torch.zeros(1, 3, backbone.width)
    assert backbone.split_logits(data, backbone.labels(WORDS, "t"), prompt).isfinite().all()


@pytest.mark.slow
def test_positions_without_number_and_angles_that_would_change() -> None:
    bloom = AutoConfig.for_model("bloom", vocab_size=100, hidden_size=16, n_layer=1, n_head=2)
    assert GeneralCausal(bloom).max_tokens == UNBOUNDED
    rope = {"rope_type": "longrope", "long_factor": [2.0] * 4, "short_factor": [1.0] * 4}
    changes = {"original_max_position_embeddings": 24, "rope_parameters": {**rope, **THETA}}
    phi3 = AutoConfig.for_model("phi3", **{**CAUSAL["phi3"][1], "vocab_size": 100, **changes})
    assert GeneralCausal(phi3).max_tokens == 24


THETA = {"rope_theta": 10000.0, "original_max_position_embeddings": 24}


def adds_nothing(tokenizer: Any) -> None:
    tokenizer.backend_tokenizer.post_processor = NoTemplate([])


def without(*names: str) -> Callable[[Any], None]:
    def change(tokenizer: Any) -> None:
        adds_nothing(tokenizer)
        for name in names:
            setattr(tokenizer, name, None)

    return change


def left(tokenizer: Any) -> None:
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change", "begin", "end"),
    [
        ("qwen2", adds_nothing, 0, 0),
        ("qwen2", without("bos_token", "eos_token", "pad_token"), 0, 0),
        ("olmo2", left, 1, 0),
        ("distilbert", adds_nothing, 0, 0),
        ("distilbert", without("pad_token", "cls_token", "sep_token"), 0, 0),
        ("electra", lambda tokenizer: None, 1, 1),
    ],
)
def test_tokenizers_that_add_little(
    name: str, change: Callable[[Any], None], begin: int, end: int, tmp_path: Path
) -> None:
    ref = saved(pristine(name), tmp_path / "model", EVERY[name][0], change)
    backbone = load_backbone(ref)
    assert (len(backbone.begin), len(backbone.end)) == (begin, end)
    agrees(backbone, pristine(name))


@pytest.mark.slow
def test_rows_without_a_token_are_no_words(tmp_path: Path) -> None:
    """Rows behind the last token, and gaps between tokens."""
    ref = folder_of("distilbert", tmp_path / "model")
    file = tmp_path / "model" / "tokenizer.json"
    content = json.loads(file.read_text())
    gap = content["model"]["vocab"].pop("film")
    file.write_text(json.dumps(content))
    backbone = load_backbone(resolve_model(ref.location))
    vocabulary = backbone.tokenizer.get_vocab()
    table = backbone.family.model.get_input_embeddings().weight
    assert backbone.tokenless == [gap] and len(vocabulary) == backbone.rows - 1
    assert len(backbone.embeddings) == backbone.rows == len(table) - SPARE_ROWS
    assert backbone.word_id("good") == vocabulary["good"]
    assert not {gap, *range(backbone.rows, len(table))} & set(backbone.words.values())
    prompt = backbone.embeddings[torch.tensor([gap, 300])][None]
    nearest = read_prompts(backbone, prompt)[0]["nearest"]
    assert all(all(tokens) for tokens in nearest)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gemma2", "granite", "albert", "deberta-v2", "gptj"])
def test_features_are_what_the_library_gives_its_vocabulary_matrix(
    name: str, loaded: Callable[[str], Backbone]
) -> None:
    backbone, model, given = loaded(name), pristine(name), []
    note = model.get_output_embeddings().register_forward_pre_hook(
        lambda _, some: given.append(some[0])
    )
    found = backbone.split_features(backbone.read(TEXTS, [0] * 4, Layout()))
    with torch.no_grad(), closing(SimpleNamespace(close=note.remove)):
        for place, text in enumerate(TEXTS):
            ids, at = row(backbone, [], text)
            model(torch.tensor([ids]))
            near(found[place], given.pop()[0, at])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gemma3_text", "gpt_neox", "smollm3"])
def test_how_a_prompt_reads_to_a_causal_model(name: str, loaded: Callable[[str], Backbone]) -> None:
    backbone, ids = loaded(name), torch.tensor([[5, 80, 300, 41], [7, 7, 900, 12]])
    begin = torch.tensor(backbone.begin, dtype=torch.long).expand(2, -1)
    with torch.no_grad():
        logits = pristine(name)(torch.cat([begin, ids], 1)).logits[:, begin.shape[1] :]
        wanted = torch.nn.functional.cross_entropy(
            logits[:, :-1, : backbone.rows].mT, ids[:, 1:], reduction="none"
        ).mean(1)
        torch.testing.assert_close(fluency_loss(backbone, backbone.embeddings[ids], ids), wanted)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gemma2", "gptj", "electra", "deberta-v2", "modernbert"])
def test_in_bfloat16_the_head_is_not_rounded(name: str, tmp_path: Path) -> None:
    ref = folder_of(name, tmp_path / "model")
    exact, near_it = load_backbone(ref), load_backbone(ref, precision="bfloat16")
    data, words = exact.read(TEXTS, [0] * 4, Layout(3)), exact.labels(WORDS, "t")
    prompts = exact.embeddings[10:13][None]
    wanted, found = (model.split_logits(data, words, prompts) for model in (exact, near_it))
    assert torch.equal(near_it.embeddings, exact.embeddings)
    assert not torch.equal(found, found.bfloat16().float())
    near(found, wanted, 0.2)
    kinds = {weight.dtype for weight in near_it.family.model.base_model.parameters()}
    assert torch.bfloat16 in kinds


@pytest.mark.slow
def test_dropout_is_that_of_each_row_alone(loaded: Callable[[str], Backbone]) -> None:
    backbone = loaded("xlm-roberta")
    data, words = backbone.read(TEXTS[:3], [0, 1, 2], Layout()), backbone.labels(WORDS, "t")
    keys = row_keys("model", [0], 1, torch.arange(3))
    with torch.no_grad():
        with backbone.dropout(keys):
            found = backbone.row_logits(data, words)
        for place in range(3):
            with backbone.dropout(keys[place : place + 1]):
                alone = backbone.row_logits(data.take(torch.tensor([place])), words)
            near(found[place : place + 1], alone)
        assert (found - backbone.row_logits(data, words)).abs().max() > 1e-2
    sentence = "dropout: found true on model 'deberta-v2', which also drops out of what all rows"
    with pytest.raises(InputError, match=sentence), loaded("deberta-v2").dropout(keys):
        pass
    assert not loaded("deberta-v2").family.model.training


@pytest.mark.slow
def test_a_head_whose_last_module_is_not_its_last_step(tmp_path: Path) -> None:
    """DeBERTa's newer head names a dense layer, and multiplies with the word table itself."""
    model = made("deberta-v2", legacy=False)
    assert model.get_output_embeddings().out_features == 16
    ref = saved(model, tmp_path / "model", "pocket-bert")
    backbone = load_backbone(ref)
    assert not backbone.literal
    agrees(backbone, model)
    words, prompt = backbone.labels(WORDS, "t"), backbone.embeddings[10:13][None]
    data, rounded = backbone.read(TEXTS, [0] * 4, Layout(3)), load_backbone(ref, "cpu", "bfloat16")
    wanted, found = (it.split_logits(data, words, prompt) for it in (backbone, rounded))
    near(found, wanted, 0.2)


@pytest.mark.slow
def test_a_head_that_is_asked_past_the_body_is_read_whole(tmp_path: Path) -> None:
    """BART's decoder alone: its class calls an inner part of what it names its body."""
    config = transformers.BartConfig(
        vocab_size=6144,
        d_model=16,
        decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        is_decoder=True,
        is_encoder_decoder=False,
        max_position_embeddings=62,
    )
    model = transformers.BartForCausalLM(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(8.0)
    backbone = load_backbone(saved(model, tmp_path / "model", "pocket-gpt2"))
    assert backbone.literal and "takes longer" in backbone.remark
    assert backbone.family.max_tokens == 62
    agrees(backbone, model)


@pytest.mark.slow
def test_a_decoder_of_a_known_architecture_is_read_generally(tmp_path: Path) -> None:
    """BERT trained to predict the next word: the family of its type reads masks."""
    config = transformers.BertConfig(vocab_size=6000, is_decoder=True, **SIZES)
    model = transformers.BertLMHeadModel(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(8.0)
    backbone = load_backbone(saved(model, tmp_path / "model", "pocket-llama"))
    assert isinstance(backbone.family, GeneralCausal) and not backbone.literal
    agrees(backbone, model)


def unigram() -> Any:
    """SentencePiece's other kind of tokenizer, as XLM-RoBERTa, ALBERT, DeBERTa v3 have it."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    words = sorted({f"▁{word}" for text in (*TEXTS, *PROMPTS, *WORDS) for word in text.split()})
    scores = [(token, 0.0) for token in special] + [(word, -3.0) for word in words]
    tokenizer = Tokenizer(Unigram([*scores, *((char, -9.0) for char in "▁abcdefgh")], unk_id=3))
    tokenizer.pre_tokenizer, tokenizer.decoder = Metaspace(), MetaspaceDecoder()
    tokenizer.post_processor = BertProcessing(("</s>", 2), ("<s>", 0))
    names = ("bos_token", "pad_token", "eos_token", "unk_token", "mask_token")
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **dict(zip(names, special, strict=True))
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["xlm-roberta", "deberta-v2"])
def test_words_of_a_unigram_tokenizer(name: str, tmp_path: Path) -> None:
    tokenizer = unigram()
    model = made(name, vocab_size=len(tokenizer) + SPARE_ROWS)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    backbone = load_backbone(resolve_model(str(tmp_path / "model")))
    assert (backbone.begin, backbone.end) == ([0], [2])
    assert set(WORDS) <= set(backbone.words)
    assert not set(backbone.words.values()) & set(range(5))
    agrees(backbone, model)
