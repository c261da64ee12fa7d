"""bfloat16 models: float32 prompts and geometry, and results near those of float32.

The tolerance: bfloat16 keeps 8 bits, a rounding of 1/256 an operation. Through a few layers label
logits move by some hundredths of their spread, gradients by a few degrees; both are bounded here.
"""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainables.soft.test_tuning import SETTINGS, TEXTS, grams_of, source
from tests.trainables.tiny import ARCHITECTURES, pristine, tiny
from trainables.backbones import Backbone, Layout, load_backbone
from trainables.core.precision import native_bfloat16
from trainables.core.registries import BACKBONES
from trainables.core.weight import Weight
from trainables.hard.methods.fluency import fluency_loss
from trainables.models.names import resolve_model
from trainables.scoring.losses import StackLoss
from trainables.soft.source import TaskGradient
from trainables.soft.tuning import Replica, Source, tune

WORDS = ["bad", "good"]
LOGITS = 0.1
"""Root mean square of what logits move by, in units of their spread."""
COSINE = 0.97
"""Between the gradients of a prompt."""


def rounded(name: str) -> Backbone:
    """The tiny model in bfloat16."""
    model = copy.deepcopy(pristine(name))
    model.tie_weights()
    family = BACKBONES[model.config.model_type]
    return Backbone(name, family(model.config, model), tiny(name).tokenizer, "cpu", "bfloat16")


@pytest.mark.parametrize("position", ["prefix", "infix"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_logits_and_gradients_are_near_those_of_float32(name: str, position: str) -> None:
    torch.manual_seed(1)
    start = torch.randn(3, 2, tiny(name).width)
    logits, slopes = [], []
    for backbone in (tiny(name), rounded(name)):
        texts, gold = zip(*TEXTS, strict=True)
        data = backbone.read(list(texts), list(gold), Layout(2, position))
        prompts = start.clone().requires_grad_()
        found = backbone.label_logits(prompts, data, backbone.labels(WORDS, "t"))
        found.log_softmax(-1)[..., 0].sum().backward()
        assert found.dtype == prompts.grad.dtype == torch.float32  # type: ignore[union-attr]
        logits.append(found.detach())
        slopes.append(prompts.grad)
    moved = (logits[0] - logits[1]).square().mean().sqrt()
    assert 0 < moved < LOGITS * logits[0].std()
    cosine = torch.cosine_similarity(slopes[0].flatten(1), slopes[1].flatten(1), dim=1)  # type: ignore[union-attr]
    assert float(cosine.min()) > COSINE


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_prompts_live_among_float32_embeddings(name: str) -> None:
    exact, backbone = tiny(name), rounded(name)
    assert torch.equal(backbone.embeddings, exact.embeddings)
    assert backbone.scale == exact.scale
    kinds = {weight.dtype for weight in backbone.family.model.parameters()}
    assert kinds == {torch.bfloat16}
    angles = [item.dtype for key, item in backbone.family.model.named_buffers() if "freq" in key]
    assert set(angles) <= {torch.float32}
    table = 4 * pristine(name).get_input_embeddings().weight.numel()
    assert backbone.nbytes == exact.nbytes // 2 + table


def test_the_fluency_of_a_prompt_is_near_that_of_float32() -> None:
    ids = torch.tensor([[5, 80, 300, 41], [7, 7, 900, 12]])
    one, other = (
        fluency_loss(backbone, backbone.embeddings[ids], ids)
        for backbone in (tiny("gpt2"), rounded("gpt2"))
    )
    torch.testing.assert_close(one, other, rtol=0.05, atol=0.0)


@pytest.mark.slow
def test_joint_tuning_in_bfloat16_ends_near_that_in_float32() -> None:
    settings = replace(SETTINGS, steps=12, evaluations=1)
    exact = [source("bert"), source("gpt2")]
    near = [
        Source(rounded(item.key), item.key, item.label_ids, item.train, item.validation)
        for item in exact
    ]
    replicas = [
        Replica(0, Weight.of(0.0)),
        Replica(1, Weight.of(0.5)),
        Replica(0, Weight.of("annealing")),
    ]
    tuned = [
        tune(group, replicas, settings, grams_of(group)[0], "accuracy") for group in (exact, near)
    ]
    for one, other, item in zip(tuned[0].prompts, tuned[1].prompts, exact, strict=True):
        assert other.dtype == torch.float32
        start = tune([item], replicas, replace(settings, learning_rate=1e-12), {}, "accuracy")
        way, moved = one - start.prompts[0], one - other
        assert float(moved.norm() / way.norm()) < 0.25
    for a, b in zip(tuned[0].alignment, tuned[1].alignment, strict=True):
        assert a == pytest.approx(b, abs=0.05)


def test_each_precision_is_loaded_once() -> None:
    ref = resolve_model("pocket-bert")
    exact, near = load_backbone(ref), load_backbone(ref, precision="bfloat16")
    assert exact is load_backbone(ref)
    assert near is load_backbone(ref, precision="bfloat16") is not exact
    assert (exact.dtype, near.dtype) == (torch.float32, torch.bfloat16)


@pytest.mark.parametrize(
    ("text", "native"),
    [
        ("processor: 0\nflags\t\t: fpu avx512f avx512_bf16 xsave\n", True),
        ("flags: fpu amx_bf16 amx_tile\nflags: fpu amx_bf16\n", True),
        ("flags: fpu avx512_bf16\nflags: fpu\n", False),
        ("flags: fpu avx512f\n", False),
        ("Features\t: fp asimd bf16 i8mm\n", True),
        ("model name: bf16\n", False),
        ("", False),
    ],
)
def test_what_a_processor_says(tmp_path: Path, text: str, native: bool) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert native_bfloat16(tmp_path / "cpuinfo") is native
    assert not native_bfloat16(tmp_path / "none")


def test_this_processor_is_seen_as_torch_sees_it() -> None:
    known = getattr(torch.cpu, "get_capabilities", dict)()
    if not {"avx512_bf16", "amx_bf16"} <= known.keys():
        pytest.skip("torch says nothing about this processor")
    assert native_bfloat16() == (known["avx512_bf16"] or known["amx_bf16"])


@pytest.mark.parametrize("precision", ["float32", "tf32"])
@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_tf32_is_for_what_the_model_computes_and_for_the_way_back(
    name: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for its head, whose logits lie close together, and for nothing beside the model."""
    item = source(name)
    backbone = copy.copy(item.backbone)
    backbone.family = copy.copy(item.backbone.family)
    backbone.precision = precision
    item = replace(item, backbone=backbone)
    plan, seen = torch.backends.cuda.matmul, dict[str, set[str]]()

    def spied(place: Any, method: str) -> None:
        real = getattr(place, method)

        def spy(*args: Any, **more: Any) -> Any:
            seen.setdefault(method, set()).add(plan.fp32_precision)
            return real(*args, **more)

        monkeypatch.setattr(place, method, spy)

    family = backbone.family
    reads = ("remember", "answer_states_behind") if name == "gpt2" else ("answer_states",)
    for method in (*reads, "head_features"):
        spied(family, method)
    spied(torch.autograd, "grad")
    prompts = torch.randn(2, 3, backbone.width)
    TaskGradient(item, StackLoss("label_words", False, [0, 1]))(
        prompts, torch.arange(4), torch.ones(2), 1
    )
    outside = plan.fp32_precision
    inside = "tf32" if precision == "tf32" else outside
    assert outside != "tf32"
    assert seen.pop("head_features") == {outside}
    assert seen == {method: {inside} for method in (*reads, "grad")}
