"""Free text said and trained, against a literal loop over the library's own models."""

from functools import partial

import pytest
import torch

from tests.trainables.tiny import pristine, tiny
from trainables.backbones import Encoded, Layout
from trainables.backbones.free_text import LOSS, SCORE, FreeText, free_text
from trainables.errors import InputError
from trainables.scoring.evaluate import mean_loss, scores
from trainables.scoring.gradient import PassGradient
from trainables.scoring.losses import rows_behind
from trainables.tasks.answers import answer_score

TEXTS = ["the film", "a long and rather boring story about nothing", "why"]
GOLDS = [("good",), ("very bad story", "bad"), ("it was not so good",)]
MOST = 4
NAMES = ["gpt2", "llama", "opt", "t5"]


def answers(name: str) -> FreeText:
    return free_text(tiny(name), GOLDS, partial(answer_score, "token_f1"), MOST, "t")


def read(name: str, position: str = "prefix") -> Encoded:
    spare = answers(name).judged.longest
    return tiny(name).read(TEXTS, [2, 0, 1], Layout(2, position), "t", spare)


def logits_at(name: str, data: Encoded, row: int, prompt: torch.Tensor, more: list[int]):
    """Logits [V] of what follows a row and some tokens, by the library alone and unpadded."""
    backbone = tiny(name)
    ids, given = data.ids[row, : int(data.lengths[row])].tolist(), {}
    if data.decoder is None:
        ids += more
    else:
        given = {"decoder_input_ids": torch.tensor([[*data.decoder[row].tolist(), *more]])}
    slot = int(data.slots[row])
    embeds = pristine(name).get_input_embeddings().weight[ids]
    embeds = torch.cat([embeds[:slot], prompt, embeds[slot + len(prompt) :]])
    return pristine(name)(inputs_embeds=embeds[None], **given).logits[0, -1, : backbone.rows]


def literal_loss(name: str, data: Encoded, row: int, prompt: torch.Tensor) -> torch.Tensor:
    backbone = tiny(name)
    ids = backbone.tokens(backbone.lead + GOLDS[int(data.gold[row])][0])
    end = backbone.tokenizer.eos_token_id
    wanted = ids[:MOST] if len(ids) >= MOST or end is None else [*ids, end]
    each = [
        logits_at(name, data, row, prompt, wanted[:at]).log_softmax(-1)[number]
        for at, number in enumerate(wanted)
    ]
    return -torch.stack(each).sum()


def literal_text(name: str, data: Encoded, row: int, prompt: torch.Tensor) -> str:
    backbone, said = tiny(name), list[int]()
    while len(said) < MOST:
        said.append(int(logits_at(name, data, row, prompt, said).argmax()))
        if said[-1] == backbone.tokenizer.eos_token_id:
            said.pop()
            break
    lines = backbone.tokenizer.decode(said).strip().splitlines() or [""]
    return lines[0].strip()


@pytest.mark.parametrize("position", ["prefix", "infix"])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_and_what_it_costs(name: str, position: str) -> None:
    backbone, asked, data = tiny(name), answers(name), read(name, position)
    prompts = torch.randn(2, 2, backbone.width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = backbone.split_logits(data, asked, prompts)
        for replica, prompt in enumerate(prompts):
            for row in range(len(data)):
                text = literal_text(name, data, row, prompt)
                gold = GOLDS[int(data.gold[row])]
                score = answer_score("token_f1", text, gold)
                torch.testing.assert_close(found[replica, row, SCORE], torch.tensor(score))
                torch.testing.assert_close(
                    found[replica, row, LOSS],
                    literal_loss(name, data, row, prompt),
                    atol=5e-4,
                    rtol=1e-4,
                )
    assert scores(found, data.gold, "token_f1") == pytest.approx(found[..., SCORE].mean(1).tolist())
    assert torch.equal(mean_loss(found, data.gold, "token_f1"), found[..., LOSS].mean(1))
    owner = torch.zeros(len(data), dtype=torch.long)
    said = asked.said(backbone, data, prompts[:1], owner)
    assert said == [literal_text(name, data, row, prompts[0]) for row in range(len(data))]


@pytest.mark.parametrize("name", ["gpt2", "opt"])
def test_the_gradient_is_that_of_the_literal_loss(name: str) -> None:
    backbone, asked, data = tiny(name), answers(name), read(name)
    prompts = torch.randn(1, 2, backbone.width, generator=torch.Generator().manual_seed(0))
    point = prompts[0].clone().requires_grad_()
    total = torch.stack([literal_loss(name, data, row, point) for row in range(3)]).sum()
    (expected,) = torch.autograd.grad(total, point)
    passes = PassGradient(backbone, data, rows_behind(backbone, asked), reads=asked.reads.rows)
    each, slope = passes(prompts, torch.arange(3), torch.ones(3), budget=64)
    torch.testing.assert_close(each.sum(), total.detach(), atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(slope[0], expected, atol=5e-3, rtol=1e-3)


def test_masked_models_are_refused() -> None:
    with pytest.raises(InputError, match="found a masked model, which cannot say answers of free"):
        answers("bert")
