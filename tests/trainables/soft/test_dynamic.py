"""Dynamic prompts in training: stacked = alone, evaluation without noise; packs of every kind."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.trainables.dynamic.guided import guide_of, labels_of, rows_of, tiny
from tests.trainables.soft.toys import TASK, write_task
from trainables.core.cells import Cell, Pack
from trainables.core.settings import from_mapping, stored
from trainables.core.settings.dynamic import DynamicSettings
from trainables.core.weight import INDEPENDENT
from trainables.errors import InputError
from trainables.models.names import resolve_model
from trainables.packs.pack import run_pack
from trainables.recipes import recipe, recipe_names
from trainables.soft.mixture import mixed, mixed_order
from trainables.soft.source import Source
from trainables.soft.tuning import Replica, Tuned, tune
from trainables.tasks import resolve_task

SETTINGS = DynamicSettings(
    adapt="unified",
    pool=2,
    prompt_length=3,
    steps=6,
    batch_size=3,
    learning_rate=0.1,
    init_std=0.5,
    evaluations=2,
)
TEXTS = ["the film was good", "a bad story", "we liked it very much", "never again", "fine music"]


def source(name: str, settings: DynamicSettings = SETTINGS) -> Source:
    backbone = tiny(name)
    parts = ("position", "length", "representation")
    guide = guide_of(backbone, parts, by_text=settings.level == "instance")
    data = rows_of(backbone, guide, TEXTS)
    return Source(backbone, name, labels_of(backbone), data, data)


def tuned(item: Source, seeds: list[int], settings: DynamicSettings = SETTINGS) -> Tuned:
    return tune([item], [Replica(seed, INDEPENDENT) for seed in seeds], settings, {}, "accuracy")


@pytest.mark.parametrize("level", ["task", "instance"])
@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_each_replica_is_as_alone(name: str, level: str) -> None:
    settings = replace(SETTINGS, level=level)
    item = source(name, settings)
    together = tuned(item, [0, 1, 2], settings)
    assert together.failed == {}
    for place, seed in enumerate((0, 1, 2)):
        alone = tuned(item, [seed], settings)
        torch.testing.assert_close(
            together.prompts[0][place], alone.prompts[0][0], atol=2e-4, rtol=2e-3
        )


def test_noise_is_a_seeds_own_and_prompts_and_heads_alone_are_trained() -> None:
    item = source("bert")
    before = {name: w.clone() for name, w in item.backbone.family.model.named_parameters()}
    found = tuned(item, [0, 1])
    again = tuned(item, [0, 1])
    assert torch.equal(found.prompts[0], again.prompts[0])
    guided = item.train.guided
    assert guided is not None
    for prompt in tuned(item, [0], replace(SETTINGS, checkpoint="last")).prompts[0]:
        pool, heads = guided.guide.unpacked(prompt[None])
        assert all(float(head.abs().sum()) > 0 for head in heads)
        padding = prompt.flatten()[guided.guide.parameters :]
        assert torch.equal(padding, torch.zeros_like(padding))
        assert float(pool.abs().sum()) > 0
    for name, weight in item.backbone.family.model.named_parameters():
        assert torch.equal(weight, before[name]) and weight.grad is None


def test_validation_logits_are_those_of_the_kept_matrix_and_without_noise() -> None:
    item = source("gpt2")
    found = tuned(item, [0, 1])
    logits = item.backbone.split_logits(item.validation, item.label_ids, found.prompts[0])
    torch.testing.assert_close(logits, found.validation[0])
    again = item.backbone.split_logits(item.validation, item.label_ids, found.prompts[0])
    assert torch.equal(logits, again)


def test_settings_say_what_does_not_go_together() -> None:
    for wrong, sentence in (
        ({"temperature": 0.2, "temperature_end": 0.5}, "temperature_end: found 0.5; allowed: at"),
        ({"behind": 9}, "behind: found 9; allowed: 0 to the prompt's length"),
        ({"position": "infix"}, "position: found 'infix'; allowed: prefix"),
        (
            {"adapt": "unified", "init": "label_words"},
            "init: found 'label_words'; allowed: one that",
        ),
        ({"adapt": "nothing"}, "adapt: found 'nothing'; allowed:"),
        ({"level": "parameters", "init": "file", "init_file": "a.npy"}, "init: found 'file'"),
        ({"pool": 1}, "pool: found 1; allowed: a whole number of at least 2"),
    ):
        with pytest.raises(InputError, match=sentence):
            DynamicSettings(**wrong)


def test_cells_keep_what_a_level_reads_alone() -> None:
    fixed = stored(DynamicSettings(level="fixed", behind=2, adapt="length", temperature=3.0))
    assert fixed["behind"] == 2
    assert not {"adapt", "pool", "temperature", "temperature_end"} & fixed.keys()
    task = stored(DynamicSettings(level="task", behind=2))
    assert {"adapt", "temperature"} <= task.keys() and not {"behind", "pool"} & task.keys()
    mixed = stored(DynamicSettings(adapt="representation"))
    assert "pool" in mixed and "temperature" not in mixed
    static = stored(DynamicSettings(level="parameters", adapt="unified"))
    assert {"pool", "behind", "adapt"} <= static.keys() and "temperature" not in static
    assert from_mapping(DynamicSettings, fixed).behind == 2


def cell_of(model: str, **more: object) -> Cell:
    settings = stored(
        DynamicSettings(
            prompt_length=2,
            steps=4,
            batch_size=4,
            evaluations=2,
            pool=2,
            **more,  # type: ignore[arg-type]
        )
    )
    return Cell(
        "source", "independent", "dynamic", TASK, model, (model,), 0, 0.0, "none", (), settings
    )


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_task(tmp_path_factory.mktemp("dynamic") / "toy")


EVERY = [
    {"level": level, "adapt": adapt}
    for level in ("task", "instance", "parameters")
    for adapt in ("position", "length", "representation", "unified")
] + [{"level": "fixed", "behind": 1}]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["pocket-bert", "pocket-gpt2", "pocket-t5"])
def test_packs_of_every_kind_end_in_results_that_records_take(model: str, task: str) -> None:
    for more in EVERY:
        cell = cell_of(model, **more)
        pack = Pack(
            "tune", "dynamic", resolve_task(task), {model: resolve_model(model)}, (model,), (cell,)
        )
        outcome = run_pack(pack, {})
        assert outcome.failures == {}
        result, prompt = outcome.results[cell.id], outcome.prompts[cell.id]
        assert prompt.ndim == 2 and prompt.dtype == np.float32
        vectors = result["parameters"] / prompt.shape[1]
        assert vectors <= len(prompt) < vectors + 1
        if more["level"] in ("task", "instance"):
            if more["adapt"] in ("position", "unified"):
                assert sum(result["positions"]) == result["n_test"] == 6
            if more["adapt"] in ("length", "unified"):
                assert sum(result["lengths"]) == 6
        if more["level"] == "fixed":
            assert result["vectors_behind"] == 1
        assert result["target_forward_rows"] > result["target_backward_rows"] == 16


def test_a_static_prompt_of_the_method_is_that_of_soft(task: str) -> None:
    model = "pocket-bert"
    mine = cell_of(model, level="fixed")
    kept = {key: value for key, value in mine.settings.items() if key not in ("level", "behind")}
    theirs = replace(mine, method="soft", settings=kept)
    found = []
    for cell in (mine, theirs):
        models = {model: resolve_model(model)}
        pack = Pack("tune", cell.method, resolve_task(task), models, (model,), (cell,))
        outcome = run_pack(pack, {})
        found.append((outcome.prompts[cell.id], outcome.results[cell.id]))
    np.testing.assert_allclose(found[0][0], found[1][0], atol=1e-6)
    assert found[0][1]["loss"] == pytest.approx(found[1][1]["loss"], abs=1e-5)
    assert found[0][1]["target_forward_rows"] == found[1][1]["target_forward_rows"]


def test_a_mixture_of_tasks_is_tuned_with_each_rows_own_state() -> None:
    item = source("bert")
    guided = item.train.guided
    assert guided is not None and guided.states is not None
    other = rows_of(item.backbone, guided.guide, ["bad", "a good and rather long story , really"])
    ids = item.backbone.labels(["never", "again"], "t")
    assert isinstance(ids, torch.Tensor) and isinstance(item.label_ids, torch.Tensor)
    every = mixed([(item.train, item.label_ids), (other, ids)])
    both = every.train.guided
    assert both is not None and both.states is not None and other.guided is not None
    assert torch.equal(both.states[:5], guided.states)
    assert torch.equal(both.ends[5:], other.guided.ends)
    order = mixed_order(every.sizes, [0, 1], 4, 6, 3, 0)
    replica = Replica(0, INDEPENDENT)
    blended = replace(item, mixed=every, orders={(0, replica.begun): order})
    found = tune([blended], [replica], SETTINGS, {}, "accuracy")
    assert found.failed == {} and bool(found.prompts[0].isfinite().all())
    assert not torch.equal(found.prompts[0], tuned(item, [0]).prompts[0])


@pytest.mark.parametrize("name", recipe_names("dynamic"))
def test_every_recipe_is_valid(name: str) -> None:
    found = DynamicSettings(**recipe("dynamic", name))
    assert found.temperature_end <= found.temperature and found.pool == 4
