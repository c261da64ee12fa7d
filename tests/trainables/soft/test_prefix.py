"""Deep prompts in the loop of soft ones: alone as in a stack, gradients, starts, packs, copies."""

from dataclasses import replace

import pytest
import torch

from tests.trainables.soft.test_tuning import source
from trainables.backbones import Layout, Reader, load_reader
from trainables.compute.memory import RESERVE
from trainables.core.cells import Cell, Pack
from trainables.core.registries import METHODS, SOLVERS
from trainables.core.settings import (
    SoftSettings,
    TransferSettings,
    family_of,
    from_mapping,
    stored,
)
from trainables.core.weight import INDEPENDENT
from trainables.errors import InputError
from trainables.models.names import resolve_model
from trainables.packs.pack import run_pack
from trainables.soft import stack_size
from trainables.soft.initialisation import Beginning, begin
from trainables.soft.prefix import PrefixSettings
from trainables.soft.source import Source
from trainables.soft.stack_size import replicas_that_fit, trained_bytes
from trainables.soft.tuning import Replica, tune
from trainables.tasks import resolve_task
from trainables.transfer.solvers.copied import Copy

SETTINGS = PrefixSettings(
    prompt_length=3, steps=6, batch_size=3, learning_rate=0.05, init_std=0.5, evaluations=2
)


def pocket(name: str) -> Reader:
    return load_reader(resolve_model(f"pocket-{name}"))


def deep_source(name: str) -> Source:
    """The source of the loop's tests, its rows without a place for the prompt."""
    return source(name, layout=Layout(3, position="layers"))


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_each_replica_is_tuned_as_alone(name: str) -> None:
    item = deep_source(name)
    replicas = [Replica(seed, INDEPENDENT) for seed in (0, 1)]
    together = tune([item], replicas, SETTINGS, {}, "accuracy")
    assert together.failed == {}
    assert together.prompts[0].shape == (2, 3, item.backbone.past.width)
    for place, replica in enumerate(replicas):
        alone = tune([item], [replica], SETTINGS, {}, "accuracy")
        torch.testing.assert_close(
            together.prompts[0][place], alone.prompts[0][0], atol=2e-3, rtol=2e-3
        )
    start = begin(Beginning(item.backbone, item.label_ids, SETTINGS, 0, item.key))
    assert float((together.prompts[0][0] - start).abs().max()) > 0.05
    last = together.curve[-1]["loss"]
    assert all(value < first for value, first in zip(last, together.curve[0]["loss"], strict=True))


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_the_gradient_is_that_of_the_loss_and_goes_to_the_prompt_alone(name: str) -> None:
    from trainables.soft.source import TaskGradient, stack_loss

    item = deep_source(name)
    backbone, rows = item.backbone, torch.tensor([0, 2, 1, 0])
    width = backbone.past.width
    prompts = torch.randn(2, 3, width, generator=torch.Generator().manual_seed(1))
    loss = stack_loss(item, SETTINGS, (0, 1))
    losses, found = TaskGradient(item, loss)(prompts, rows, torch.tensor([1.0, 2.0]), 1)
    assert all(weight.grad is None for weight in backbone.family.model.parameters())
    for replica, factor in enumerate((1.0, 2.0)):
        point = prompts[replica : replica + 1].clone().requires_grad_()
        total = torch.zeros(())
        for row in rows[2 * replica : 2 * replica + 2].tolist():
            batch = item.train.take(torch.tensor([row]))
            logits = backbone.row_logits(batch, item.label_ids, point, torch.zeros(1).long())
            total = total - logits.log_softmax(-1)[0, int(batch.gold[0])] / 2
        torch.testing.assert_close(losses[replica], total.detach(), atol=1e-4, rtol=1e-4)
        expected = torch.autograd.grad(factor * total, point)[0][0]
        torch.testing.assert_close(found[replica], expected, atol=1e-4, rtol=1e-3)


def test_starts_from_words_are_what_these_leave_in_layers() -> None:
    item = deep_source("gpt2")
    settings = replace(SETTINGS, init="vocabulary")
    words = begin(
        Beginning(
            item.backbone,
            item.label_ids,
            SoftSettings(prompt_length=3, init="vocabulary"),
            4,
            item.key,
        )
    )
    found = begin(Beginning(item.backbone, item.label_ids, settings, 4, item.key))
    torch.testing.assert_close(found, item.backbone.keys_and_values(words))


def test_memory_counts_keys_values_and_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    item = deep_source("gpt2")
    past, wide = item.backbone.past, item.backbone.width
    plain = trained_bytes([item], SETTINGS)
    assert plain == 4 * 4 * 3 * past.width
    network = replace(SETTINGS, reparametrise="mlp", reparametrise_hidden=7)
    numbers = 3 * wide + wide * 7 + 7 + 7 * past.width + past.width
    assert trained_bytes([item], network) == 4 * 4 * numbers
    assert replicas_that_fit([item], network, 3) == 3
    # Passes take a room of their own once they are full; what is trained grows with the stack.
    monkeypatch.setattr(stack_size, "trained_bytes", lambda *_: 1 << 28)
    monkeypatch.setattr(stack_size, "free_bytes", lambda _: (1 << 28) * 10 / (1 - RESERVE))
    assert 5 <= replicas_that_fit([item], network, 100) < 10


def test_settings_are_stored_and_refuse_what_has_no_meaning() -> None:
    kept = stored(SETTINGS)
    assert kept["position"] == "layers" and from_mapping(METHODS["prefix"], kept) == SETTINGS
    assert family_of("prefix") == "soft"
    with pytest.raises(InputError, match="position"):
        PrefixSettings(position="prefix")  # type: ignore[arg-type]


def test_a_prefix_is_copied_where_shapes_agree_and_else_refused_with_the_numbers() -> None:
    bert, roberta, gpt2 = (
        load_reader(resolve_model(f"pocket-{n}")) for n in ("bert", "roberta", "gpt2")
    )
    way = Copy()
    alike = [reader for reader in (roberta, gpt2) if reader.past == bert.past]
    for reader in alike:
        way.check_models([bert], reader, "layers")
    prompts = [torch.randn(2, 3, 8), torch.randn(2, 3, 8)]
    torch.testing.assert_close(way.copied(prompts).prompt, (prompts[0] + prompts[1]) / 2)
    assert torch.equal(way.copied(prompts[:1]).prompt, prompts[0])
    wide = type("Wide", (), {"alias": "wide", "past": bert.past._replace(layers=9, heads=5)})()
    with pytest.raises(InputError, match=r"differ in layers \d+ and 9, key-value heads \d+ and 5;"):
        way.check_models([bert], wide, "layers")
    assert [name for name, kind in SOLVERS.items() if kind.layers] == ["copy"]


@pytest.mark.slow
def test_cells_are_tuned_evaluated_and_copied() -> None:
    task, name = "mini/topics", "pocket-bert"
    readers = {
        f"pocket-{n}": load_reader(resolve_model(f"pocket-{n}"))
        for n in ("roberta", "gpt2", "llama")
    }
    past = load_reader(resolve_model(name)).past
    target = next(alias for alias, reader in readers.items() if reader.past == past)
    kept = stored(replace(SETTINGS, prompt_length=2, steps=4, reparametrise="residual"))
    tuned = Cell("source", "independent", "prefix", task, name, (name,), 0, 0.0, "none", (), kept)
    read = stored(TransferSettings(solver="copy")) | {"prompt_length": 2, "position": "layers"}
    carried = Cell(
        "transfer", "single", "prefix", task, target, (name,), 0, 0.0, "none", (tuned.id,), read
    )
    models = {alias: resolve_model(alias) for alias in (name, target)}
    pack = Pack("tune", "prefix", resolve_task(task), models, (name,), (tuned, carried))
    outcome = run_pack(pack, {})
    assert outcome.failures == {}
    assert (outcome.prompts[tuned.id] == outcome.prompts[carried.id]).all()
    assert outcome.prompts[tuned.id].shape == (2, past.width)
    result = outcome.results[carried.id]
    assert (result["solver"], result["access"]) == ("copy", "none")
    assert result["target_forward_rows"] == result["target_labels"] == 0
    assert "nearest_words" not in outcome.results[tuned.id]
