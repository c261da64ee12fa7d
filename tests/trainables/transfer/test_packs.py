"""Solvers and selection inside a pack, on embedded models."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch

from trainables.backbones import Layout, load_backbone
from trainables.core.cells import Cell, Pack, PackOutcome
from trainables.core.settings import SoftSettings, TransferSettings, stored
from trainables.models.names import resolve_model
from trainables.packs.pack import run_pack
from trainables.scoring.evaluate import mean_loss, scores
from trainables.tasks import load_task, resolve_task
from trainables.transfer import Problem, Space, solve
from trainables.words.relative import gram_matrices, normalised_anchors
from trainables.words.vocabulary import common_vocabulary

pytestmark = pytest.mark.slow

NAMES = ("pocket-bert", "pocket-gpt2", "pocket-llama")
TASK = "mini/topics"
LAYOUT = {"prompt_length": 3, "position": "prefix", "text_tokens": 12}
TUNED = asdict(SoftSettings(steps=2, evaluations=1, prompt_length=3, text_tokens=12))
SEEDS = (0, 1)
TRANSFERS = {
    "closed_form": TransferSettings(),
    "ridge": TransferSettings(solver="ridge", selection="target_validation"),
    "back": TransferSettings(solver="ridge", selection="source_validation", gammas=(0.0, 10.0)),
    "v2v_lin": TransferSettings(solver="v2v_lin", norm="own"),
    "adam": TransferSettings(solver="adam", steps=60, top_k=200, norm="ptfer"),
    "projector": TransferSettings(solver="projector", steps=2),
}


def sources_of(seed: int) -> list[Cell]:
    return [
        Cell("source", "independent", "soft", TASK, name, (name,), seed, 0.0, settings=TUNED)
        for name in NAMES[:2]
    ]


def cell_of(name: str, seed: int) -> Cell:
    return Cell(
        kind="transfer",
        row="baseline",
        method="soft",
        task=TASK,
        target=NAMES[2],
        sources=NAMES[:2],
        seed=seed,
        weight=0.0,
        inputs=tuple(cell.id for cell in sources_of(seed)),
        settings={**stored(TRANSFERS[name]), **LAYOUT},
    )


def handed_in() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        cell.id: rng.standard_normal((3, load_backbone(resolve_model(cell.target)).width))
        .astype(np.float32)
        for seed in SEEDS
        for cell in sources_of(seed)
    }  # fmt: skip


@pytest.fixture(scope="module")
def outcome() -> PackOutcome:
    cells = tuple(cell_of(name, seed) for name in TRANSFERS for seed in SEEDS)
    needs = tuple(cell.id for seed in SEEDS for cell in sources_of(seed))
    models = {name: resolve_model(name) for name in NAMES}
    pack = Pack("transfer", "soft", resolve_task(TASK), models, (), cells, needs)
    return run_pack(pack, handed_in())


def result(outcome: PackOutcome, name: str, seed: int) -> dict[str, Any]:
    return outcome.results[cell_of(name, seed).id]


def test_every_result_says_how_it_was_found(outcome: PackOutcome) -> None:
    assert outcome.failures == {}
    expected = {
        "closed_form": (1, [None]),
        "ridge": (6, TRANSFERS["ridge"].gammas),
        "back": (2, [0.0, 10.0]),
        "v2v_lin": (1, [None]),
        "adam": (2, [60.0]),
        "projector": (2, [2.0]),
    }
    for name, (count, labels) in expected.items():
        for seed in SEEDS:
            found = result(outcome, name, seed)
            assert found["solver"] == TRANSFERS[name].solver
            assert found["selection"] == TRANSFERS[name].selection
            assert found["candidates"] == count
            assert found["chosen"] in labels
            assert len(found["similarity_per_token"]) == 3
            assert 0 <= found["score"] <= 1
            assert outcome.prompts[cell_of(name, seed).id].shape == (3, 96)


def test_solvers_differ_and_the_closed_form_is_nearest(outcome: PackOutcome) -> None:
    for seed in SEEDS:
        prompts = [outcome.prompts[cell_of(name, seed).id] for name in TRANSFERS]
        assert np.abs(prompts[0] - prompts[3]).max() > 1e-3
        best = result(outcome, "closed_form", seed)["similarity"]
        assert best > 0.1
        for name in TRANSFERS:
            assert result(outcome, name, seed)["similarity"] <= best + 1e-6


def test_target_validation_keeps_the_best_candidate(outcome: PackOutcome) -> None:
    """Every candidate made and scored again, by hand."""
    backbones = [load_backbone(resolve_model(name)) for name in NAMES]
    shared = common_vocabulary(backbones)
    known = handed_in()
    stacks = [
        torch.stack([torch.from_numpy(known[sources_of(seed)[place].id]) for seed in SEEDS])
        for place in (0, 1)
    ]
    problem = Problem(
        prompts=tuple(stacks),
        spaces=tuple(Space(backbone.scale, backbone.alias) for backbone in backbones),
        grams=gram_matrices(normalised_anchors(backbones, shared), torch.float64),
        seeds=SEEDS,
    )
    path = solve(problem, TRANSFERS["ridge"])
    task = load_task(TASK)
    rows = task.rows("validation")
    layout = Layout(prompt_length=3, text_tokens=12)
    data = backbones[2].read([row.text for row in rows], [row.label for row in rows], layout)
    labels = backbones[2].labels(task.label_words, TASK)
    logits = [backbones[2].split_logits(data, labels, prompts) for prompts in path.prompts]
    for place, seed in enumerate(SEEDS):
        ranks = [
            (scores(one, data.gold, task.metric)[place], -float(mean_loss(one, data.gold)[place]))
            for one in logits
        ]
        found = result(outcome, "ridge", seed)
        best = ranks.index(max(ranks))
        assert found["chosen"] == path.labels[best]
        assert found["validation_score"] == pytest.approx(ranks[best][0])
        assert found["validation_score"] >= result(outcome, "closed_form", seed)["validation_score"]
        prompt = torch.from_numpy(outcome.prompts[cell_of("ridge", seed).id])
        torch.testing.assert_close(prompt, path.prompts[best, place], atol=1e-4, rtol=1e-4)


def test_a_prompt_that_is_not_finite_fails_its_cell_only() -> None:
    cells = tuple(cell_of("v2v_lin", seed) for seed in SEEDS)
    models = {name: resolve_model(name) for name in NAMES}
    given = handed_in()
    broken = sources_of(0)[0].id
    given[broken] = given[broken] * np.float32("nan")
    pack = Pack("transfer", "soft", resolve_task(TASK), models, (), cells, tuple(given))
    found = run_pack(pack, given)
    assert set(found.results) == {cells[1].id}
    assert "v2v_lin found no finite prompt for pocket-llama" in found.failures[cells[0].id]


def test_order_of_sources_does_not_matter_in_a_pack(outcome: PackOutcome) -> None:
    cell = cell_of("adam", 0)
    turned = replace(cell, sources=cell.sources[::-1], inputs=cell.inputs[::-1])
    models = {name: resolve_model(name) for name in NAMES}
    pack = Pack("transfer", "soft", resolve_task(TASK), models, (), (turned,), turned.inputs)
    again = run_pack(pack, handed_in())
    np.testing.assert_allclose(
        again.prompts[turned.id], outcome.prompts[cell.id], atol=1e-4, rtol=1e-3
    )
