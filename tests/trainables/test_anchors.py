"""Which words prompts are compared on: other models' words, random parts, literal equations."""

import hashlib
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from tests.trainables.tiny import tiny
from tests.trainables.words.test_relative import literal_alignment
from trainables.backbones import Backbone, load_backbone
from trainables.core.cells import Cell, Pack
from trainables.core.settings import SoftSettings, TransferSettings, stored
from trainables.models.names import resolve_model
from trainables.packs.pack import run_pack
from trainables.tasks import resolve_task
from trainables.words.relative import alignment_loss, gram_matrices, normalised_anchors
from trainables.words.vocabulary import Anchors, common_vocabulary

NAMES = ("pocket-bert", "pocket-gpt2", "pocket-llama")
TASK = "mini/topics"


def literal_words(models: list[Backbone], size: int | None, seed: int) -> list[str]:
    """Equation 3 word by word, then the ``size`` words with the lowest hashes."""
    words = [word for word in models[0].words if all(word in model.words for model in models)]
    ranked = sorted(words, key=lambda w: hashlib.sha256(f"{seed}\n{w}".encode()).hexdigest())
    return sorted(ranked[:size])


def rows_of(model: Backbone, words: list[str]) -> torch.Tensor:
    return torch.stack([model.embeddings[model.words[word]] for word in words]).double()


@pytest.mark.parametrize(("size", "seed"), [(None, 0), (40, 0), (40, 3), (10**6, 0)])
def test_the_loss_over_sampled_words_of_more_models_is_equations_3_to_5(
    size: int | None, seed: int
) -> None:
    sources, target = [tiny("bert"), tiny("gpt2")], tiny("llama")
    shared = Anchors(("llama",), size, seed).among(sources, [target])
    words = literal_words([*sources, target], size, seed)
    assert list(shared.words) == words
    assert len(shared.ids) == 2
    assert size is None or len(words) == min(size, len(words))
    assert len(words) < len(common_vocabulary(sources))
    if len(words) > 100:  # the literal loss goes word by word
        return
    torch.manual_seed(seed)
    prompts = [torch.randn(3, model.width).double() for model in sources]
    grams = gram_matrices(normalised_anchors(sources, shared), torch.float64)
    literal = literal_alignment(prompts, [rows_of(model, words) for model in sources])
    torch.testing.assert_close(alignment_loss(prompts, grams), literal, atol=1e-10, rtol=1e-10)
    others = gram_matrices(normalised_anchors(sources, common_vocabulary(sources)), torch.float64)
    assert abs(alignment_loss(prompts, others) - literal) > 1e-3


def test_a_sample_is_sorted_and_part_of_a_larger_one() -> None:
    shared = common_vocabulary([tiny("bert"), tiny("gpt2")])
    small, large = shared.sample(100, 0), shared.sample(500, 0)
    assert list(small.words) == sorted(small.words)
    assert set(small.words) < set(large.words) < set(shared.words)
    assert shared.sample(len(shared), 7) == shared == shared.sample(10**6, 1)
    other = shared.sample(100, 1)
    assert 0 <= len(set(other.words) & set(small.words)) < 30
    for ids, all_ids in zip(small.ids, shared.ids, strict=True):
        of_word = dict(zip(shared.words, all_ids, strict=True))
        assert [of_word[word] for word in small.words] == list(ids)
    # Short words and long ones, early in the alphabet and late.
    places = [shared.words.index(word) / len(shared) for word in large.words]
    assert abs(np.mean(places) - 0.5) < 0.06


def joint_pack(settings: SoftSettings, transfer: TransferSettings, beside: tuple[str, ...]) -> Pack:
    pair, target = NAMES[:2], NAMES[2]
    models = {name: resolve_model(name) for name in NAMES}
    sources = tuple(
        Cell(
            kind="source",
            row="joint",
            method="soft",
            task=TASK,
            target=alias,
            sources=pair,
            seed=0,
            weight=0.5,
            schedule="constant",
            settings=asdict(settings),
            counterparts=beside,
        )
        for alias in pair
    )
    carried = replace(
        sources[0],
        kind="transfer",
        row="ours",
        target=target,
        inputs=tuple(cell.id for cell in sources),
        settings={**stored(transfer), "prompt_length": 2, "text_tokens": 8},
        counterparts=(),
    )
    cells = (*sources, carried)
    return Pack("tune", "soft", resolve_task(TASK), models, pair, cells)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "seed", "beside"), [(None, 0, NAMES[2:]), (300, 1, NAMES[2:]), (300, 0, ())]
)
def test_a_pack_uses_the_anchors_of_its_cells(
    size: int | None, seed: int, beside: tuple[str, ...]
) -> None:
    settings = SoftSettings(
        steps=2,
        evaluations=1,
        prompt_length=2,
        text_tokens=8,
        anchor_sample=size,
        anchor_seed=seed,
        anchors="with_targets" if beside else "sources",
    )
    carry = TransferSettings(anchor_sample=200, anchor_seed=5)
    pack = joint_pack(settings, carry, beside)
    outcome = run_pack(pack, {})
    assert outcome.failures == {}
    models = [load_backbone(pack.models[name]) for name in NAMES]
    prompts = [torch.from_numpy(outcome.prompts[cell.id]).double() for cell in pack.cells]
    words = literal_words(models if beside else models[:2], size, seed)
    # Equation 5 with whole relative representations.
    relative = [
        torch.nn.functional.normalize(prompt, dim=1)
        @ torch.nn.functional.normalize(rows_of(model, words), dim=1).T
        for prompt, model in zip(prompts[:2], models, strict=False)
    ]
    literal = (1 - torch.cosine_similarity(*relative, dim=1)).mean()
    for cell in pack.cells[:2]:
        assert outcome.results[cell.id]["alignment"] == pytest.approx(float(literal), abs=1e-5)
    # The transfer: its own sample, of the words of the sources and the target.
    kept = literal_words(models, 200, 5)
    views = [torch.nn.functional.normalize(rows_of(model, kept), dim=1) for model in models]
    wanted = torch.stack(
        [
            torch.nn.functional.normalize(view @ prompt.T, dim=0)
            for view, prompt in zip(views, prompts[:2], strict=False)
        ]
    ).mean(0)
    best = torch.linalg.lstsq(views[2], wanted).solution.T
    torch.testing.assert_close(
        torch.nn.functional.normalize(prompts[2], dim=1),
        torch.nn.functional.normalize(best, dim=1),
        atol=1e-4,
        rtol=1e-3,
    )
    reached = [
        torch.cosine_similarity((views[2] @ best.T).T, (view @ prompt.T).T, dim=1)
        for view, prompt in zip(views, prompts[:2], strict=False)
    ]
    similarity = outcome.results[pack.cells[2].id]["similarity"]
    assert similarity == pytest.approx(float(torch.stack(reached).mean()), abs=1e-5)
    assert similarity > 0.2


def test_defaults_leave_no_trace_and_other_values_do() -> None:
    names = {"anchors", "anchor_sample", "anchor_seed"}
    assert not names & stored(SoftSettings()).keys()
    changed = SoftSettings(anchors="with_targets", anchor_sample=8192, anchor_seed=2)
    assert names <= stored(changed).keys()
    assert not names & stored(TransferSettings(solver="ridge")).keys()
    sampled = TransferSettings(anchor_sample=8192)
    assert stored(sampled)["anchor_sample"] == 8192
    assert stored(TransferSettings(anchor_sample=8192, anchor_seed=1))["anchor_seed"] == 1
