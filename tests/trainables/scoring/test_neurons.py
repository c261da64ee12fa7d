"""Activated neurons against a literal reading of the model's own layers."""

import math
from copy import deepcopy

import pytest
import torch

from tests.trainables.general import pristine as pristine_general
from tests.trainables.tiny import beside, pristine, tiny
from trainables.backbones import Backbone
from trainables.backbones.general import GeneralCausal
from trainables.core.registries import BACKBONES
from trainables.scoring.neurons import (
    activated_by_layer,
    activated_neurons,
    layer_windows,
    neuron_overlap,
    prompt_cosine,
    prompt_norm,
)

ACTIVATION_INPUT = {
    "bert": lambda model: [layer.intermediate.dense for layer in model.bert.encoder.layer],
    "gpt2": lambda model: [layer.mlp.c_fc for layer in model.transformer.h],
    "llama": lambda model: [layer.mlp.gate_proj for layer in model.model.layers],
    "t5": lambda model: [block.layer[-1].DenseReluDense.wi for block in model.decoder.block],
    "t5-gated": lambda model: [
        block.layer[-1].DenseReluDense.wi_0 for block in model.decoder.block
    ],
    "opt": lambda model: [layer.fc1 for layer in model.model.decoder.layers],
}


def prompts_for(model, count=3, length=4):
    draw = torch.Generator().manual_seed(0)
    return torch.randn(count, length, model.width, generator=draw)


@pytest.mark.parametrize("name", ACTIVATION_INPUT)
def test_neurons_are_those_of_the_library_model_reading_the_prompt_alone(name):
    model, plain = tiny(name), pristine(name)
    prompts = prompts_for(model)
    found = activated_neurons(model, prompts)
    heard = []
    for matrix in ACTIVATION_INPUT[name](plain):
        matrix.register_forward_hook(lambda module, args, output: heard.append(output))
    table = plain.get_input_embeddings().weight
    for row, prompt in enumerate(prompts):
        heard.clear()
        begin = table[torch.tensor(model.begin, dtype=torch.long)]
        parts, answer = [begin, prompt], len(model.begin) + len(prompt) - 1
        if model.family.masked:
            answer += 1
            parts.append(table[torch.tensor([model.tokenizer.mask_token_id, *model.end])])
        if "t5" in name:
            answer = 0
            parts.append(table[torch.tensor(model.end)])
        with torch.no_grad():
            plain(inputs_embeds=torch.cat(parts)[None], **beside(model))
        expected = torch.cat([layer.reshape(-1, layer.shape[-1])[answer] > 0 for layer in heard])
        assert torch.equal(found[row], expected)


def test_every_architecture_is_covered():
    for name in BACKBONES:
        model = tiny(name)
        found = activated_neurons(model, prompts_for(model))
        assert found.dtype == torch.bool and found.shape[0] == 3 and 0 < found.sum() < found.numel()


@pytest.mark.parametrize("name", ["bert", "t5", "t5-gated"])
def test_layers_one_by_one_are_those_of_the_model_and_of_t5s_decoder(name):
    model = tiny(name)
    layers = activated_by_layer(model, prompts_for(model))
    assert [layer.shape for layer in layers] == [
        (3, matrix.out_features) for matrix in ACTIVATION_INPUT[name](pristine(name))
    ]
    assert torch.equal(torch.cat(layers, dim=1), activated_neurons(model, prompts_for(model)))


def test_windows_lie_side_by_side_below_the_top():
    assert layer_windows(24) == [(first, first + 2) for first in range(1, 25, 3)]
    assert layer_windows(8) == [(1, 2), (3, 5), (6, 8)]
    assert layer_windows(2) == [(1, 2)]
    assert layer_windows(0) == []


def test_nothing_is_said_of_layers_that_are_not_known():
    model = pristine_general("qwen3")
    backbone = Backbone("m", GeneralCausal(model.config, deepcopy(model)), tiny("gpt2").tokenizer)
    found = activated_neurons(backbone, prompts_for(backbone))
    assert found.shape == (3, 0)
    assert math.isnan(neuron_overlap(*found[:2]))


def test_overlap_is_the_cosine_of_indicator_vectors():
    draw = torch.Generator().manual_seed(0)
    one, two = (torch.rand(50, generator=draw) > 0.5 for _ in range(2))
    expected = torch.nn.functional.cosine_similarity(one.double(), two.double(), dim=0)
    assert neuron_overlap(one, two) == pytest.approx(float(expected))
    assert neuron_overlap(one, one) == pytest.approx(1.0)
    assert neuron_overlap(one, ~one) == 0.0
    assert neuron_overlap(one, torch.zeros(50, dtype=torch.bool)) == 0.0


def test_norm_and_cosine_of_prompts_by_loops():
    model = tiny("bert")
    left, right = prompts_for(model, 2)
    lengths = [float(vector.norm()) for vector in left]
    rows = [float(row.norm()) for row in model.embeddings]
    expected = sum(lengths) / len(lengths) / (sum(rows) / len(rows))
    assert prompt_norm(left, model) == pytest.approx(expected, rel=1e-5)
    pairs = [float(torch.cosine_similarity(a, b, dim=0)) for a in left for b in right]
    assert prompt_cosine(left, right) == pytest.approx(sum(pairs) / len(pairs), abs=1e-6)
