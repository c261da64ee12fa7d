"""Models with a decoder of their own, against the library's forward pass on each row alone."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.decoders import Metaspace as MetaspaceDecoder
from tokenizers.models import Unigram
from tokenizers.pre_tokenizers import Metaspace

from tests.trainables import general
from tests.trainables.tiny import EVERY, SENTINELS, pristine, tiny, tokenizer_named
from trainables.backbones import Backbone, Layout, Reader, load_backbone, parity
from trainables.backbones.family import UNBOUNDED
from trainables.backbones.loading import check_weights, load_reader, resident
from trainables.compute.masks import row_keys
from trainables.errors import InputError
from trainables.hard.readability import is_scored, log_perplexity
from trainables.models.names import resolve_model
from trainables.words.vocabulary import common_vocabulary, usable_tokens

VERSIONS = [name for name in EVERY if "t5" in name]
TEXTS = ["the film was good", "a very long and quite boring story , she said", "no", ""]
WORDS = ["bad", "good", "yes"]
LAYOUTS = [(place, ask) for place in ("prefix", "infix", "suffix") for ask in ("bare", "sentinel")]


@cache
def put_first(model: Any) -> list[int]:
    """What ``generate`` puts before a word, asked of the library itself."""
    said = model.generate(
        input_ids=torch.tensor([[5, 6, 2]]), max_new_tokens=2, min_new_tokens=2, do_sample=False
    )
    forced = model.generation_config.forced_bos_token_id is not None
    found: list[int] = said[0, : 2 if forced else 1].tolist()
    return found


def literal(
    backbone: Backbone, model: Any, text: str, prompt: torch.Tensor, layout: Layout
) -> torch.Tensor:
    """Label logits of one row by the unmodified model."""
    tokenizer = backbone.tokenizer
    asked = layout.answer == "sentinel"
    blank = [tokenizer.convert_tokens_to_ids("<extra_id_0>")] if asked else []

    table = model.get_input_embeddings()
    # Pegasus scales words, and not what it is given in their place.
    plainly = type(table) is torch.nn.Embedding
    scale = getattr(model.get_encoder(), "embed_scale", 1.0) if plainly else 1.0

    def vectors(ids: list[int]) -> torch.Tensor:
        found: torch.Tensor = table(torch.tensor(ids, dtype=torch.long))
        return scale * found

    def plain(words: str) -> torch.Tensor:
        return vectors(tokenizer(words, add_special_tokens=False)["input_ids"])

    lead, bare = backbone.lead, tokenizer("a", add_special_tokens=False)["input_ids"]
    framed = tokenizer("a")["input_ids"]
    at = framed.index(bare[0])
    body = [plain(lead + text), plain(lead + layout.template)] if layout.template else None
    body = body or [plain(lead + text)]
    parts = {
        "prefix": [prompt, *body, vectors(blank)],
        "infix": [*body, prompt, vectors(blank)],
        "suffix": [*body, vectors(blank), prompt],
    }[layout.position]
    embeds = torch.cat([vectors(framed[:at]), *parts, vectors(framed[at + len(bare) :])])[None]
    decoder = [*put_first(model), *blank]
    logits = model(inputs_embeds=embeds, decoder_input_ids=torch.tensor([decoder])).logits
    ids = [backbone.word_id(word) for word in WORDS]
    found: torch.Tensor = logits[0, -1, ids]
    return found


def agrees(backbone: Backbone, model: Any, position: str, ask: str, part: float = 1e-4) -> None:
    """All rows at once, padded, behind two prompts."""
    layout = Layout(3, position, template="It was" if position != "infix" else "", answer=ask)
    torch.manual_seed(1)
    prompts = torch.randn(2, 3, backbone.width) * backbone.scale * backbone.width**-0.5
    data, labels = backbone.read(TEXTS, [0] * 4, layout), backbone.labels(WORDS, "t")
    assert int(data.lengths.min()) < data.ids.shape[1]
    with torch.no_grad():
        wanted = torch.stack(
            [
                torch.stack([literal(backbone, model, text, each, layout) for text in TEXTS])
                for each in prompts
            ]
        )
        atol = part * float(wanted.std())
        for found in (
            backbone.label_logits(prompts, data, labels),
            backbone.split_logits(data, labels, prompts),
        ):
            torch.testing.assert_close(found, wanted, atol=atol, rtol=0)
    assert (wanted[0] - wanted[1]).abs().max() > 100 * atol, "prompts must show"
    assert wanted.std(1).max() > 100 * atol, "so must texts"


@pytest.mark.slow
@pytest.mark.parametrize(("position", "ask"), LAYOUTS)
@pytest.mark.parametrize("name", VERSIONS)
def test_label_logits_are_the_librarys(name: str, position: str, ask: str) -> None:
    agrees(tiny(name), pristine(name), position, ask)


@pytest.mark.slow
@pytest.mark.parametrize("ask", ["bare", "sentinel"])
@pytest.mark.parametrize("name", VERSIONS)
def test_the_gradient_of_a_prompt_is_plain_autograds(name: str, ask: str) -> None:
    backbone, layout = tiny(name), Layout(2, answer=ask)
    torch.manual_seed(2)
    start = torch.randn(1, 2, backbone.width)
    ours, theirs = (start.clone().requires_grad_() for _ in range(2))
    data, labels = backbone.read(TEXTS, [0] * 4, layout), backbone.labels(WORDS, "t")
    backbone.label_logits(ours, data, labels).log_softmax(-1)[..., 0].sum().backward()
    rows = [literal(backbone, pristine(name), text, theirs[0], layout) for text in TEXTS]
    torch.stack(rows).log_softmax(-1)[..., 0].sum().backward()
    assert ours.grad is not None and theirs.grad is not None
    most = float(theirs.grad.abs().max())
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-3 * most, rtol=0)
    assert most > 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", VERSIONS)
def test_the_quick_reading_is_kept(name: str) -> None:
    assert parity.compare(tiny(name)) == {"reading": parity.FAST, "why": ""}


def test_conventions_of_a_tokenizer_that_only_ends_texts() -> None:
    backbone = tiny("t5")
    tokenizer = backbone.tokenizer
    sentinel = tokenizer.convert_tokens_to_ids("<extra_id_0>")
    assert (backbone.begin, backbone.end) == ([], [tokenizer.eos_token_id])
    assert (backbone.blank, tokenizer.mask_token) == (sentinel, None)
    assert backbone.family.max_tokens == UNBOUNDED
    assert backbone.rows == len(tokenizer) < len(backbone.family.model.shared.weight)
    data = backbone.read(["good film", "no"], [0, 1], Layout(2, answer="sentinel"))
    assert data.decoder is not None and data.begin is None
    assert data.decoder.tolist() == [[tokenizer.pad_token_id, sentinel]] * 2
    assert data.answers.tolist() == [1, 1]
    last = torch.arange(2), data.lengths - 2
    assert data.ids[last].tolist() == [sentinel] * 2
    part = data.take(torch.tensor([1])).repeat(3)
    assert part.decoder is not None and part.decoder.shape == (3, 2)
    # Of a model of another kind the setting is not read.
    plain, asked = (tiny("bert").read(["no"], [0], Layout(2, answer=ask)) for ask in ("bare", "x"))
    assert torch.equal(plain.ids, asked.ids) and asked.decoder is None
    shared = common_vocabulary([backbone, tiny("bert"), tiny("gpt2")])
    assert {"good", "bad", "film"} <= set(shared.words)
    assert not any("extra_id" in word for word in backbone.words)


def test_sentinels_among_the_words_of_a_vocabulary_are_no_words() -> None:
    """So mT5 has them."""
    pieces = ["<pad>", "</s>", "<unk>", "▁good", "▁film", "▁bad", "▁<extra_id_0>", "▁<extra_id_1>"]
    bare = Tokenizer(Unigram([(piece, -float(place > 2)) for place, piece in enumerate(pieces)], 2))
    bare.pre_tokenizer, bare.decoder = Metaspace(), MetaspaceDecoder()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=bare, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    reader = Reader("mt5", tiny("mt5").family, tokenizer)
    assert reader.blank == 6
    assert reader.words == {"good": 3, "film": 4, "bad": 5}
    assert usable_tokens(reader, word_start=False) == (3, 4, 5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Each general architecture, saved once."""
    place = tmp_path_factory.mktemp("sequence")

    @cache
    def ref(name: str) -> Any:
        return general.folder_of(name, place / name)

    yield ref
    resident.clear()


@pytest.mark.slow
@pytest.mark.parametrize("name", general.SEQUENCE)
def test_architectures_without_a_family(name: str, folder: Any) -> None:
    ref = folder(name)
    check_weights(ref, load_reader(ref))
    backbone, model = load_backbone(ref), general.pristine(name)
    assert not backbone.literal and not backbone.remark
    for position, ask in LAYOUTS:
        if ask == "bare" or backbone.blank is not None:
            agrees(backbone, model, position, ask)
    features = backbone.split_features(backbone.read(TEXTS, [0] * 4, Layout()))
    nothing = torch.zeros(0, backbone.width)
    head = model.get_output_embeddings().weight[[backbone.word_id(word) for word in WORDS]]
    for row, text in zip(features, TEXTS, strict=True):
        wanted = literal(backbone, model, text, nothing, Layout())
        torch.testing.assert_close(head @ row, wanted, atol=1e-3, rtol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["t5", "t5-gated", "bart", "longt5"])
def test_in_bfloat16_also_read_literally(name: str, folder: Any, tmp_path: Path) -> None:
    if name in EVERY:
        ref = general.saved(pristine(name), tmp_path / name, SENTINELS)
    else:
        ref = folder(name)
    exact, near = load_backbone(ref), load_backbone(ref, precision="bfloat16")
    literally = Backbone(
        name,
        type(near.family)(near.family.config, load_backbone(ref, "cpu").family.model),
        near.tokenizer,
        "cpu",
        "bfloat16",
        literal=True,
    )
    resident.clear()
    data, words = exact.read(TEXTS, [0] * 4, Layout(3)), exact.labels(WORDS, "t")
    prompts = exact.embeddings[10:13][None].clone()
    exact = load_backbone(ref)
    wanted = exact.split_logits(data, words, prompts)
    for backbone in (near, literally):
        found = backbone.split_logits(data, words, prompts)
        atol = 0.25 * float(wanted.std())
        torch.testing.assert_close(found, wanted, atol=atol, rtol=0)
        assert not torch.equal(found, found.bfloat16().float())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["t5", "bart"])
def test_dropout_is_that_of_each_row_alone(name: str, folder: Any) -> None:
    backbone = tiny(name) if name in EVERY else load_backbone(folder(name))
    data, words = backbone.read(TEXTS[:3], [0, 1, 2], Layout()), backbone.labels(WORDS, "t")
    keys = row_keys("model", [0], 1, torch.arange(3))
    with torch.no_grad():
        with backbone.dropout(keys):
            found = backbone.row_logits(data, words)
        for place in range(3):
            with backbone.dropout(keys[place : place + 1]):
                alone = backbone.row_logits(data.take(torch.tensor([place])), words)
            torch.testing.assert_close(found[place : place + 1], alone, atol=2e-4, rtol=1e-4)
        assert (found - backbone.row_logits(data, words)).abs().max() > 1e-2


@pytest.mark.slow
def test_bart_is_given_the_token_that_generate_forces(tmp_path: Path) -> None:
    """Saved as a body alone, as published ones are, the token in either file."""
    model = general.made("bart")
    model.final_logits_bias.zero_()
    model.generation_config.forced_bos_token_id = 0
    model.model.save_pretrained(tmp_path / "model")
    tokenizer_named("pocket-roberta").save_pretrained(tmp_path / "model")
    for name in ("generation_config.json", "config.json"):
        file = tmp_path / "model" / name
        content = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps({**content, "forced_bos_token_id": 0}))
        ref = resolve_model(str(tmp_path / "model"))
        check_weights(ref, load_reader(ref))
        backbone = load_backbone(ref)
        assert backbone.family.opening == [2, 0]
        assert backbone.read(["no"], [0], Layout()).answers.tolist() == [1]
        agrees(backbone, model, "prefix", "bare")
        (tmp_path / "model" / "generation_config.json").unlink(missing_ok=True)


def test_without_a_sentinel_there_is_one_way_to_ask(folder: Any) -> None:
    reader = load_reader(folder("bart"))
    told = r"answer: found 'sentinel' on model 'bart', whose tokenizer has no token <extra_id_0>;"
    with pytest.raises(InputError, match=f"{told} allowed: 'bare' on this model"):
        reader.room(Layout(answer="sentinel"), "t")
    backbone = tiny("t5")
    assert is_scored(backbone, 1)
    bare = Backbone("t5", backbone.family, tokenizer_named("pocket-llama"))
    assert not is_scored(bare, 5)
    assert log_perplexity(bare, torch.zeros(2, 3, dtype=torch.long)).isnan().all()


@pytest.mark.slow
def test_a_head_of_its_own_is_kept(tmp_path: Path) -> None:
    """T5 1.1's head is no copy of its table, whatever its config says of ties."""
    ref = general.saved(pristine("t5-gated"), tmp_path / "model", SENTINELS)
    check_weights(ref, load_reader(ref))
    backbone = load_backbone(ref)
    head, table = backbone.family.head_output().weight, backbone.family.word_vectors()
    assert torch.equal(head, pristine("t5-gated").lm_head.weight)
    assert not torch.equal(head, table)
    agrees(backbone, pristine("t5-gated"), "prefix", "bare")
    assert isinstance(backbone.family.model, transformers.T5ForConditionalGeneration)
