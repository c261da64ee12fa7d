"""Prompts tuned on several tasks at once, against each task by itself."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainables.backbones.chat_templates import TEMPLATES
from tests.trainables.soft import toys
from tests.trainables.soft.test_starts import MODEL, SETTINGS, cell
from tests.trainables.tiny import tiny
from trainables.backbones import Backbone, Encoded, load_backbone
from trainables.core.cells import Cell, Pack, PackOutcome
from trainables.models.chats import TEMPLATE_FILE
from trainables.models.names import resolve_model, with_chat
from trainables.packs.pack import run_pack
from trainables.packs.run import Run, layout_on
from trainables.pocket.zoo import pocket_path
from trainables.scoring.free_text import answers_of
from trainables.scoring.losses import StackLoss, label_words
from trainables.soft.mixture import mixed, mixed_order, rates, single_tokens
from trainables.tasks import load_task, resolve_task

OTHER = "toy/other"


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two tasks with other label words."""
    folder = tmp_path_factory.mktemp("mixture")
    one, other = (toys.write_task(folder / name) for name in ("one", "other"))
    text = Path(other).read_text().replace(toys.TASK, OTHER).replace("[good, bad]", "[yes, no]")
    Path(other).write_text(text)
    return one, other


def chatty(folder: Path) -> Backbone:
    """A LLaMA with a chat template."""
    shutil.copytree(pocket_path("pocket-llama"), folder)
    (folder / TEMPLATE_FILE).write_text(TEMPLATES["mistral"])
    return load_backbone(with_chat(resolve_model(str(folder))))


def read(task: str, backbone: Backbone, **more: Any) -> tuple[Encoded, torch.Tensor]:
    loaded = load_task(resolve_task(task))
    rows = loaded.rows("train")
    asked = {"prompt_length": 2, "position": "prefix", **more}
    layout = layout_on(backbone, loaded, asked)
    data = backbone.read([row.content for row in rows], [row.label for row in rows], layout, task)
    return data, single_tokens(answers_of(backbone, loaded, chat=layout.chat), task, "A")


def test_shares_of_tasks_are_their_sizes_up_to_the_cap() -> None:
    assert rates([100, 10, 1000], 50) == pytest.approx([50 / 110, 10 / 110, 50 / 110])
    assert rates([30, 10], 2**19) == pytest.approx([0.75, 0.25])


def test_the_order_draws_tasks_by_share_and_goes_through_each_in_whole_passes() -> None:
    order = mixed_order((20, 7, 60), [0, 2], 40, 300, 4, 5)
    assert order.shape == (300, 4)
    flat = order.flatten()
    first, second = flat[flat < 20], flat[flat >= 27]
    assert len(first) + len(second) == len(flat)
    assert len(first) / len(flat) == pytest.approx(20 / 60, abs=0.05)
    for places, size in ((first, 20), (second, 60)):
        whole = places[: len(places) // size * size].view(-1, size)
        assert all(len(each.unique()) == size for each in whole)
    assert torch.equal(order, mixed_order((20, 7, 60), [0, 2], 40, 300, 4, 5))
    assert not torch.equal(order, mixed_order((20, 7, 60), [0, 2], 40, 300, 4, 6))


READ = {
    "masked": (lambda folder: load_backbone(resolve_model(MODEL)), {}),
    "bare": (lambda folder: tiny("t5"), {"answer": "bare"}),
    "sentinel": (lambda folder: tiny("t5"), {"answer": "sentinel"}),
    "chat": (chatty, {"template": "chat"}),
    "behind the text": (lambda folder: tiny("gpt2"), {"position": "infix", "template": "all"}),
}
"""Ways of reading: a model, and settings."""


@pytest.mark.parametrize("how", READ)
def test_the_loss_of_a_row_is_that_of_its_own_task(
    how: str, tasks: tuple[str, str], tmp_path: Path
) -> None:
    make, settings = READ[how]
    backbone = make(tmp_path / "model")
    parts = [read(task, backbone, **settings) for task in tasks]
    every = mixed(parts)
    assert every.sizes == (12, 12)
    prompts = torch.randn(1, 2, backbone.width, generator=torch.Generator().manual_seed(0))

    def owner(data: Encoded) -> torch.Tensor:
        return torch.zeros(len(data), dtype=torch.long)

    loss = StackLoss("label_words", False, [0], every.tasks)
    keys = (torch.zeros(1, dtype=torch.long), owner(every.train))
    found = loss(backbone, every.train, every.label_ids, prompts, owner(every.train), keys)
    alone = [label_words(backbone, data, ids, prompts, owner(data)) for data, ids in parts]
    torch.testing.assert_close(found, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_another_tasks_examples_and_label_words_are_its_own(tasks: tuple[str, str]) -> None:
    refs = [resolve_task(task) for task in tasks]
    pack = Pack("tune", "soft", refs[0], {MODEL: resolve_model(MODEL)}, (MODEL,), (),
                texts={OTHER: refs[1]})  # fmt: skip
    run, words = Run(pack, "cpu"), []
    for each in (run, run.of(OTHER)):
        layout = layout_on(each.backbone(MODEL), each.task, {"prompt_length": 2})
        labels = each.labels(MODEL, layout)
        words.append(each.backbone(MODEL).tokenizer.convert_ids_to_tokens(labels))
        assert len(each.split(MODEL, "train", layout)) == 12
    assert words == [["good", "bad"], ["yes", "no"]]


def ran(cells: list[Cell], tasks: tuple[str, str]) -> PackOutcome:
    needs = cells[0].inputs
    refs = [resolve_task(task) for task in tasks]
    draw = np.random.default_rng(0)
    width = load_backbone(resolve_model(MODEL)).width
    prompts = {name: draw.standard_normal((2, width), np.float32) for name in needs}
    pack = Pack("tune", "soft", refs[0], {MODEL: resolve_model(MODEL)}, (MODEL,), tuple(cells),
                needs, texts={OTHER: refs[1]})  # fmt: skip
    return run_pack(pack, prompts)


@pytest.mark.slow
def test_a_mixture_is_tuned_on_both_tasks_and_judged_on_its_own(tasks: tuple[str, str]) -> None:
    inputs = ("1" * 16, "2" * 16)
    start = {"top": 1, "retrieval": "per_token", "mixture": True}
    cells = [cell("mixture", seed, inputs, (OTHER,), **start) for seed in (0, 1)]
    found = ran(cells, tasks)
    assert not found.failures
    for one in cells:
        result = found.results[one.id]
        assert result["start_tasks"] == [OTHER]
        assert result["n_validation"] == 8
        order = mixed_order((12, 12), [0, 1], 2**19, SETTINGS.steps or 0, 4, one.seed or 0)
        assert result["target_labels"] == int((order.unique() < 12).sum()) + 8
        alone = ran([one], tasks).prompts[one.id]
        torch.testing.assert_close(torch.tensor(found.prompts[one.id]), torch.tensor(alone))
    assert Counter(len(prompt) for prompt in found.prompts.values()) == {2: 2}
