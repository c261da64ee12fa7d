"""Architectures without a family: label logits against transformers' own forward on ids."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.processors import Sequence as NoTemplate

from tests.trainables.general import CAUSAL, EVERY, MASKED, folder_of, made, pristine, saved
from trainables.backbones import Backbone, Layout, load_backbone
from trainables.backbones.general import General
from trainables.backbones.loading import check_weights, load_reader, resident

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
