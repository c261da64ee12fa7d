"""Features of models against literal readings of their definitions."""

import math
import shutil

import numpy as np
import pytest
import torch

from tests.trainables.backbones.chat_templates import TEMPLATES
from tests.trainables.tiny import tiny
from trainables.core.kept import kept
from trainables.features.before import Looking, before_tuning, on_texts, text_facts
from trainables.features.models import (
    common_embeddings,
    linear_cka,
    mean_agreement,
    parameters,
    vocabulary_overlap,
)
from trainables.features.texts import balance, entropy, reading_correlation
from trainables.models.chats import TEMPLATE_FILE
from trainables.models.names import resolve_model, with_chat
from trainables.pocket.zoo import pocket_path
from trainables.tasks import resolve_task
from trainables.words.agreement import Comparison, neighbour_agreement


def hsic(k: np.ndarray, q: np.ndarray) -> float:
    """Empirical HSIC of Gretton et al.: tr(K H L H) / (n - 1)²."""
    n = len(k)
    centre = np.eye(n) - 1 / n
    return float(np.trace(k @ centre @ q @ centre)) / (n - 1) ** 2


def test_cka_is_the_normalised_hsic_of_linear_kernels():
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(40, 5)) + 2, draw.normal(size=(40, 7))
    y[:, :5] += x
    k, q = x @ x.T, y @ y.T
    expected = hsic(k, q) / math.sqrt(hsic(k, k) * hsic(q, q))
    assert linear_cka(torch.tensor(x), torch.tensor(y)) == pytest.approx(expected, abs=1e-12)


def test_cka_sees_neither_rotation_nor_scale_nor_shift():
    x = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    turn = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1))).Q
    assert linear_cka(x, 3 * x @ turn + 1) == pytest.approx(1.0, abs=1e-6)
    assert linear_cka(x, torch.ones(50, 2)) == 0.0


@pytest.mark.slow
def test_overlap_and_agreement_of_models():
    one, two = tiny("bert"), tiny("gpt2")
    shared = sum(word in two.words for word in one.words)
    either = len(one.words) + len(two.words) - shared
    assert vocabulary_overlap(one, two) == pytest.approx(shared / either)
    assert vocabulary_overlap(one, one) == 1.0
    left, right = common_embeddings([one, two])
    word = next(word for word in sorted(one.words) if word in two.words)
    assert torch.equal(left[0], one.embeddings[one.words[word]])
    assert torch.equal(right[0], two.embeddings[two.words[word]])
    found = neighbour_agreement([left, right], [10], Comparison(k_scale="literal"))[10]
    assert mean_agreement(one, two) == pytest.approx(float(found.scores.mean()))


def test_parameters_count_shared_ones_once():
    model = tiny("gpt2").family.model
    distinct = {weight.data_ptr(): weight.numel() for weight in model.parameters()}
    assert parameters(tiny("gpt2")) == sum(distinct.values())


def test_entropies_by_loops():
    rows = [[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]
    logs = torch.tensor(rows, dtype=torch.float64).log()
    each = [-sum(p * math.log(p) for p in row) / math.log(3) for row in rows]
    assert entropy(logs) == pytest.approx(sum(each) / 2)
    mean = [sum(column) / 2 for column in zip(*rows, strict=True)]
    assert balance(logs) == pytest.approx(-sum(p * math.log(p) for p in mean) / math.log(3))


def test_reading_correlation_is_pearsons_of_centred_log_probabilities():
    draw = torch.Generator().manual_seed(0)
    one, two = (torch.randn(30, 3, generator=draw, dtype=torch.float64) for _ in range(2))
    x, y = (side.numpy() - side.numpy().mean(1, keepdims=True) for side in (one, two))
    expected = np.mean([np.corrcoef(x[:, c], y[:, c])[0, 1] for c in range(3)])
    assert reading_correlation(one, two) == pytest.approx(expected)
    assert reading_correlation(one, 2 * one + 5) == pytest.approx(1.0)
    assert reading_correlation(one, torch.zeros(30, 3, dtype=torch.float64)) == 0.0


@pytest.mark.slow
def test_pocket_models_give_all_features_and_the_second_time_none_is_computed(
    tmp_path, monkeypatch
):
    names = ("pocket-bert", "pocket-gpt2", "pocket-llama")
    first, second, target = (resolve_model(name) for name in names)
    task, looking = resolve_task("mini/topics"), Looking(tmp_path)
    found = before_tuning([first, second], target, looking)
    texts = on_texts([first, second], target, task, looking, 20)
    assert all(math.isfinite(value) for value in (found | texts).values())
    assert found["same_family"] == 0.0 and found["same_kind"] == 0.5
    lone = before_tuning([first], target, looking)
    assert math.isnan(lone["agreement_within"]) and lone["cka"] != found["cka"]
    import trainables.features.before as before

    monkeypatch.setattr(before, "load_backbone", None)
    assert before_tuning([second, first], target, looking) == pytest.approx(found)
    assert on_texts([first, second], target, task, looking, 20) == texts


def test_texts_are_read_in_chat_templates_where_the_sweep_does(tmp_path):
    folder = tmp_path / "chatty"
    shutil.copytree(pocket_path("pocket-llama"), folder)
    (folder / TEMPLATE_FILE).write_text(TEMPLATES["mistral"])
    model, task = with_chat(resolve_model(str(folder))), resolve_task("mini/topics")
    looking = Looking(tmp_path / "kept")
    plain, chat = (text_facts(model, task, looking, 8, way) for way in (False, True))
    assert plain["readings"] != chat["readings"]
    assert text_facts(model, task, looking, 8) == plain
    bert = resolve_model("pocket-bert")
    one, other = (text_facts(bert, task, looking, 8, way) for way in (False, True))
    assert one == other, "it has none"


def test_unreadable_text_facts_are_said_and_left_out():
    said: list[str] = []
    task = resolve_task("mini/topics")
    gone = type(task)(task.name, task.file, "another")
    assert text_facts(resolve_model("pocket-bert"), gone, Looking(say=said.append)) == {}
    assert len(said) == 1 and "has changed since it was planned" in said[0]


def test_a_damaged_fact_is_worked_out_again(tmp_path):
    assert kept(tmp_path, {"a": 1}, lambda: {"x": 1.5}) == {"x": 1.5}
    assert kept(tmp_path, {"a": 1}, lambda: {"x": 2.5}) == {"x": 1.5}
    (file,) = tmp_path.iterdir()
    file.write_text("{")
    assert kept(tmp_path, {"a": 1}, lambda: {"x": 2.5}) == {"x": 2.5}
    assert kept(None, {"a": 1}, lambda: {"x": 3.5}) == {"x": 3.5}
