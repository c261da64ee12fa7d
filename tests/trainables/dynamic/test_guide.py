"""Heads decide as their equations say; vectors and heads come back out of their matrix."""

import math

import pytest
import torch

from tests.trainables.dynamic.guided import guide_of, matrices, rows_of, tiny
from trainables.backbones import Layout
from trainables.core.settings import stored
from trainables.core.settings.dynamic import DynamicSettings
from trainables.dynamic.guide import PARTS, Guide
from trainables.dynamic.telling import decisions
from trainables.scoring.unprompted import kept_states, mean_states


def test_matrices_give_back_what_was_put_into_them() -> None:
    guide = guide_of(tiny("bert"))
    draw = torch.Generator().manual_seed(0)
    pool = torch.randn(2, guide.vectors, guide.width, generator=draw)
    heads = [torch.randn(2, *head.shape, generator=draw) for head in guide.blank()]
    whole = guide.packed(pool, heads)
    assert whole.shape == (2, guide.rows, guide.width)
    vectors, found = guide.unpacked(whole)
    assert torch.equal(vectors, pool)
    assert all(torch.equal(one, other) for one, other in zip(found, heads, strict=True))
    with pytest.raises(ValueError, match="allowed: "):
        guide.unpacked(whole[:, 1:])


@pytest.mark.parametrize(
    ("adapt", "level", "count"),
    [
        ("position", "fixed", 5 * 16),
        ("position", "task", 5 * 16 + 6),
        ("position", "instance", 5 * 16 + 17 * 6),
        ("length", "instance", 5 * 16 + 17 * 5),
        ("representation", "task", 4 * 5 * 16 + 4),
        ("representation", "instance", 4 * 5 * 16 + 17 * 4),
        ("unified", "instance", 4 * 5 * 16 + 17 * (6 + 5 + 4)),
    ],
)
def test_parameters_are_those_of_vectors_and_heads(adapt: str, level: str, count: int) -> None:
    settings = DynamicSettings(adapt=adapt, level=level)  # type: ignore[arg-type]
    family = tiny("bert").family
    guide = Guide.of(stored(settings), family)
    assert guide is not None and guide.parameters == count
    assert guide.rows == math.ceil(count / 16)
    if level == "instance":  # the control has as many, filled up to whole vectors
        control = DynamicSettings(adapt=adapt, level="parameters", behind=5)  # type: ignore[arg-type]
        static = Guide.of(stored(control), family)
        assert static is not None and not static.parts and static.length == guide.rows
        assert count <= static.parameters < count + 16
        assert static.behind == static.length


def test_methods_that_decide_nothing_have_no_guide() -> None:
    assert Guide.of({"prompt_length": 5}, tiny("bert").family) is None


def test_evaluation_takes_the_likeliest_choice_of_each_text_and_no_noise() -> None:
    backbone = tiny("gpt2")
    guide = guide_of(backbone)
    data, prompts = rows_of(backbone, guide), matrices(guide, 2, spread=3.0)
    guided = data.repeat(2).guided
    assert guided is not None and guided.states is not None
    owner = torch.arange(2).repeat_interleave(len(data))
    found = guided.decided(prompts, owner)
    assert found.shares == {}
    pool, tensors = guide.unpacked(prompts)
    for row, mine in enumerate(owner.tolist()):
        logits = []
        for part in range(3):
            weight, bias = tensors[2 * part][mine], tensors[2 * part + 1][mine]
            logits.append(
                [
                    sum(float(weight[i, c] * guided.states[row, i]) for i in range(guide.states))
                    + float(bias[c])
                    for c in range(len(bias))
                ]
            )
        position, length, mixed = logits
        assert int(found.behind[row]) == max(range(4), key=lambda c: position[c])
        assert int(found.kept[row]) == 3 - max(range(3), key=lambda c: length[c])
        shares = [math.exp(value) / sum(map(math.exp, mixed)) for value in mixed]
        expected = shares[0] * pool[mine, :3] + shares[1] * pool[mine, 3:]
        torch.testing.assert_close(found.vectors[row], expected, atol=1e-5, rtol=1e-5)
    again = guided.decided(prompts, owner)
    assert torch.equal(found.behind, again.behind) and torch.equal(found.vectors, again.vectors)


def test_training_draws_by_gumbel_and_its_gradient_is_that_of_the_softmax() -> None:
    backbone = tiny("bert")
    guide = guide_of(backbone, ("position",), by_text=False)
    data = rows_of(backbone, guide)
    assert data.guided is not None
    keys = torch.tensor([5, 6, 7, 8])
    guided = data.guided.training(keys, 0.7)
    prompts = matrices(guide, 1)
    found = guided.decided(prompts, torch.zeros(4, dtype=torch.long))
    from trainables.dynamic.gumbel import gumbel

    noisy = guide.unpacked(prompts)[1][0] + gumbel(keys, 4, 0)
    torch.testing.assert_close(found.shares["position"], torch.softmax(noisy / 0.7, -1))
    assert found.behind.tolist() == noisy.argmax(-1).tolist()


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_states_do_not_depend_on_padding_and_are_those_of_the_model(name: str) -> None:
    backbone = tiny(name)
    texts = ["good", "a much longer text about a film and its music", "never again"]
    data = backbone.read(texts, [0, 0, 0], Layout())
    whole = mean_states(backbone, data)
    for place, text in enumerate(texts):
        alone = backbone.read([text], [0], Layout())
        torch.testing.assert_close(mean_states(backbone, alone)[0], whole[place])
        embeds = backbone.table[alone.ids]
        states = backbone.family.states(embeds)[0]
        mean = sum(states) / len(states)
        mean = mean - mean.mean()
        torch.testing.assert_close(whole[place], mean / mean.norm(), atol=1e-5, rtol=1e-4)


def test_states_are_kept_and_the_same_as_fresh_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("PROMPTSWEEP_CACHE", str(tmp_path))
    backbone = tiny("bert")
    data = backbone.read(["good film", "bad"], [0, 1], Layout())
    first = kept_states(backbone, data, "d")
    files = list((tmp_path / "states").iterdir())
    assert len(files) == 1
    monkeypatch.setattr("trainables.scoring.unprompted.mean_states", None)
    assert torch.equal(kept_states(backbone, data, "d"), first)
    with pytest.raises(TypeError):  # another model's would be worked out
        kept_states(backbone, data, "e")
    assert torch.equal(mean_states(backbone, data), first)


def test_decisions_are_counted_over_texts() -> None:
    backbone = tiny("gpt2")
    guide = guide_of(backbone, PARTS)
    guided = rows_of(backbone, guide).guided
    assert guided is not None
    (told,) = decisions(guided, matrices(guide, 1, spread=4.0))
    assert told["parameters"] == guide.parameters
    assert sum(told["positions"]) == sum(told["lengths"]) == 4
    assert len(told["positions"]) == 4 and len(told["lengths"]) == 3
    assert sum(told["pool_shares"]) == pytest.approx(1, abs=1e-5)
    found = guided.decided(matrices(guide, 1, spread=4.0), torch.zeros(4, dtype=torch.long))
    mean = sum(min(int(j), int(n)) for j, n in zip(found.behind, found.kept, strict=True)) / 4
    assert told["vectors_behind"] == pytest.approx(mean)
