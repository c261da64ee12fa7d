"""Decisions carried to another model: vectors as in closed form, heads fitted without labels."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.trainables.dynamic.guided import guide_of, matrices
from tests.trainables.soft.toys import TASK, write_task
from trainables.backbones import Layout, load_backbone
from trainables.core.cells import Cell, Pack
from trainables.core.settings import TransferSettings, stored
from trainables.core.settings.dynamic import DynamicSettings
from trainables.dynamic.guide import Guide
from trainables.models.names import resolve_model
from trainables.packs.pack import run_pack
from trainables.packs.run import Run
from trainables.soft.decided import carried_heads
from trainables.tasks import resolve_task

SOURCE, TARGET = "pocket-bert", "pocket-gpt2"
SHAPE = ("prompt_length", "position", "adapt", "level", "pool")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_task(tmp_path_factory.mktemp("decided") / "toy")


def settings_of(level: str) -> dict[str, object]:
    return stored(
        DynamicSettings(adapt="unified", level=level, pool=2, prompt_length=3)  # type: ignore[arg-type]
    )


def cell_of(solver: str, level: str, seed: int = 0) -> Cell:
    way = {"texts": 8} if solver == "decisions" else {}
    shape = {key: value for key, value in settings_of(level).items() if key in SHAPE}
    moved = {**stored(TransferSettings(solver=solver, **way)), **shape}
    return Cell(
        "transfer", "single", "dynamic", TASK, TARGET, (SOURCE,), seed, 0.0, inputs=("aa",),
        settings=moved,
    )  # fmt: skip


def packed(task: str, cells: tuple[Cell, ...]) -> Pack:
    models = {name: resolve_model(name) for name in (SOURCE, TARGET)}
    return Pack("transfer", "dynamic", resolve_task(task), models, (), cells, ("aa",))


def source_prompt(level: str) -> tuple[Guide, np.ndarray]:
    backbone = load_backbone(resolve_model(SOURCE))
    guide = guide_of(backbone, by_text=level == "instance")
    return guide, matrices(guide, 1, 4, 2.0)[0].numpy()


@pytest.mark.parametrize("level", ["task", "instance"])
def test_vectors_are_those_of_the_closed_form_and_heads_decide(level: str, task: str) -> None:
    cells = tuple(cell_of(solver, level) for solver in ("closed_form", "decisions"))
    guide, prompt = source_prompt(level)
    outcome = run_pack(packed(task, cells), {"aa": prompt})
    assert outcome.failures == {}
    there = Guide.of(settings_of(level), load_backbone(resolve_model(TARGET)).family)
    assert there is not None
    plain, decided = (torch.from_numpy(outcome.prompts[cell.id]) for cell in cells)
    assert plain.shape == decided.shape == (there.rows, there.width)
    assert torch.equal(plain[: there.vectors], decided[: there.vectors])
    assert not plain[there.vectors :].any() and decided[there.vectors :].any()
    bare, learnt = (outcome.results[cell.id] for cell in cells)
    assert bare["positions"] == [6, 0, 0, 0] and bare["lengths"] == [0, 0, 6]
    assert bare["target_forward_rows"] == 0 and bare["access"] == "none"
    if level == "task":
        heads = there.unpacked(decided[None])[1]
        theirs = guide.unpacked(torch.from_numpy(prompt)[None])[1]
        assert all(torch.equal(one, other) for one, other in zip(heads, theirs, strict=True))
        assert learnt["target_forward_rows"] == 0
    else:
        assert learnt["target_forward_rows"] == learnt["unlabelled_texts"] == 8
        assert learnt["source_rows"] == 8 and learnt["access"] == "states"
        assert learnt["target_labels"] == 0
        for part in ("position", "length", "representation"):
            assert 0 <= learnt[f"agreement_{part}"] <= 1


def test_on_its_own_model_a_fit_decides_as_the_prompt_does(task: str) -> None:
    """No label is read: with all of them turned, heads are the same."""
    guide, prompt = source_prompt("instance")
    cell = replace(cell_of("decisions", "instance"), target=SOURCE)
    run = Run(packed(task, (cell,)), "cpu")
    layout = Layout(3, guide=guide)
    whole = torch.from_numpy(prompt)[None]
    found = carried_heads(run, [cell], whole, {SOURCE: layout}, 1000)
    again = guide.packed(whole[:, : guide.vectors], found.tensors)
    guided = run.texts(SOURCE, layout).guided
    assert guided is not None
    owner = torch.zeros(len(guided.ends), dtype=torch.long)
    mine, theirs = guided.decided(again, owner), guided.decided(whole, owner)
    same = (mine.behind == theirs.behind).float().mean()
    assert float(same) >= found.numbers[0]["agreement_position"]
    assert found.cost.unlabelled_texts == len(owner) == 12
