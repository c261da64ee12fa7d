"""Prompts as they are on other tasks, against the cells of their own and literal readings."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainables.soft import toys
from trainables.backbones import load_backbone
from trainables.core.cells import Cell, Pack, PackOutcome
from trainables.core.settings import SoftSettings, stored
from trainables.models.names import resolve_model
from trainables.packs.pack import run_pack
from trainables.scoring.neurons import activated_by_layer, neuron_overlap
from trainables.soft.tuning import evaluation_steps
from trainables.tasks import resolve_task

MODEL = "pocket-bert"
SETTINGS = SoftSettings(steps=5, evaluations=2, prompt_length=2, batch_size=4)
LAYOUT = {"prompt_length": 2, "position": "prefix", "text_tokens": None}


def tuned(seed: int = 0, **changes: Any) -> Cell:
    return Cell(
        kind="source", row="independent", method="soft", task=toys.TASK, target=MODEL,
        sources=(MODEL,), seed=seed, weight=0.0, settings={**stored(SETTINGS), **changes},
    )  # fmt: skip


def crossed(*inputs: str, seed: int = 0, origin: tuple[str, ...] = ("other",)) -> Cell:
    return Cell(
        kind="crossed", row="cross_task", method="soft", task=toys.TASK, target=MODEL,
        sources=(MODEL,), seed=seed, weight=0.0, inputs=inputs, settings=LAYOUT, origin=origin,
    )  # fmt: skip


def ran(
    cells: list[Cell], task: str, prompts: dict[str, np.ndarray] | None = None, kind: str = "tune"
) -> PackOutcome:
    here = {cell.id for cell in cells}
    needs = tuple(dict.fromkeys(name for cell in cells for name in cell.inputs if name not in here))
    given = {name: (prompts or {})[name] for name in needs if name in (prompts or {})}
    sources = (MODEL,) if kind == "tune" else ()
    models = {MODEL: resolve_model(MODEL)}
    return run_pack(
        Pack(kind, "soft", resolve_task(task), models, sources, tuple(cells), needs), given
    )


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> str:
    return toys.write_task(tmp_path_factory.mktemp("toys") / "one")


@pytest.fixture(scope="module")
def own(task: str) -> PackOutcome:
    return ran([tuned(0), tuned(1)], task)


def test_on_its_own_task_a_prompt_has_the_scores_of_its_own_cell(
    own: PackOutcome, task: str
) -> None:
    names = [tuned(seed).id for seed in (0, 1)]
    cells = [crossed(one, other) for one in names for other in names]
    found = ran(cells, task, own.prompts, "transfer")
    assert not found.failures
    assert not found.prompts
    for cell in cells:
        here, there = found.results[cell.id], own.results[cell.inputs[0]]
        for key in ("score", "validation_score", "histogram", "n_test"):
            assert here[key] == there[key]
        assert here["loss"] == pytest.approx(there["loss"], rel=1e-5)
        # Nothing of the task is used for it.
        assert (here["target_labels"], here["target_forward_rows"]) == (0, 0)


def test_likeness_is_what_loops_find(own: PackOutcome, task: str) -> None:
    one, other = (tuned(seed).id for seed in (0, 1))
    cell = crossed(one, other)
    likeness = ran([cell], task, own.prompts, "transfer").results[cell.id]["likeness"]
    left, right = (own.prompts[name].astype(np.float64) for name in (one, other))

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.sqrt((a @ a) * (b @ b)))

    pairs = [cosine(a, b) for a in left for b in right]
    assert likeness["per_token"] == pytest.approx(np.mean(pairs))
    assert likeness["average_tokens"] == pytest.approx(cosine(left.mean(0), right.mean(0)))
    backbone = load_backbone(resolve_model(MODEL))
    sides = [
        activated_by_layer(backbone, torch.tensor(own.prompts[name])[None]) for name in (one, other)
    ]
    count = len(sides[0])
    whole = [torch.cat([layer[0] for layer in side]) for side in sides]
    assert likeness["neurons"] == pytest.approx(neuron_overlap(*whole))
    first = max(1, count - 2)
    if first > 1:
        top = [torch.cat([layer[0] for layer in side[first - 1 :]]) for side in sides]
        assert likeness[f"neurons_{first}-{count}"] == pytest.approx(neuron_overlap(*top))
    assert len(likeness) == 2 + 1 + (-(-count // 3) if count > 3 else 0)


def test_a_prompt_reads_the_label_words_of_the_task_it_is_evaluated_on(
    own: PackOutcome, task: str, tmp_path: Path
) -> None:
    turned = toys.write_task(tmp_path / "turned", words="label_words: [bad, good]")
    cell = crossed(tuned(0).id, tuned(0).id)
    here = ran([cell], task, own.prompts, "transfer").results[cell.id]
    there = ran([cell], turned, own.prompts, "transfer").results[cell.id]
    assert here["histogram"] == there["histogram"][::-1]


def test_a_random_prompt_has_the_scale_of_word_embeddings(task: str) -> None:
    from trainables.packs.run import Run
    from trainables.soft.crossed import random_prompt

    cells = [crossed(seed=seed, origin=()) for seed in range(40)]
    models = {MODEL: resolve_model(MODEL)}
    run = Run(Pack("transfer", "soft", resolve_task(task), models, (), tuple(cells)), "cpu")
    drawn = torch.stack([random_prompt(run, cell) for cell in cells])
    assert drawn.norm(dim=-1).square().mean().sqrt() == pytest.approx(
        run.backbone(MODEL).scale, rel=0.05
    )
    assert drawn[0].equal(random_prompt(run, cells[0]))
    assert not drawn[0].equal(drawn[1])
    found = ran(cells[:2], task, kind="transfer")
    assert set(found.results) == {cell.id for cell in cells[:2]}
    assert all("likeness" not in result for result in found.results.values())


def test_a_cell_whose_prompt_is_not_there_fails_alone(own: PackOutcome, task: str) -> None:
    there, lost = crossed(tuned(0).id, tuned(1).id), crossed(tuned(0).id, "0" * 16)
    found = ran([there, lost], task, own.prompts, "transfer")
    assert set(found.results) == {there.id}
    assert found.failures == {
        lost.id: f"the tuned prompt that it evaluates or is compared with ({'0' * 16}) is not"
        " available"
    }


def test_geometric_evaluations_are_dense_early() -> None:
    def grid(steps: int, count: int, spacing: str = "geometric") -> list[int]:
        settings = SoftSettings(steps=steps, evaluations=count, spacing=spacing)  # type: ignore[arg-type]
        return sorted(evaluation_steps(steps, settings))

    assert grid(1024, 11) == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
    assert grid(4, 4) == [0, 1, 2, 3, 4]
    assert grid(7, 1) == [0, 7]
    assert grid(100, 4, "even") == [25, 50, 75, 100]
    assert "spacing" not in stored(SoftSettings())


def test_the_start_itself_is_evaluated_where_asked_for(task: str) -> None:
    still = tuned(steps=4, evaluations=3, spacing="geometric", learning_rate=1e-12)
    even = tuned(steps=4, evaluations=2)
    found = ran([still], task)
    curve = found.results[still.id]["curve"]
    assert [line["step"] for line in curve] == [0, 1, 2, 4]
    assert len({line["validation"] for line in curve}) == 1
    assert [line["step"] for line in ran([even], task).results[even.id]["curve"]] == [2, 4]
