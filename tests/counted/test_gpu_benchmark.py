"""The benchmark of paper A on one card, at toy size on the CPU."""

import json
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu_models import MODELS, TASKS, build, encoded
from trainables.settings import SoftSettings


def test_it_runs_and_says_what_is_measured_and_what_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "gpu.json"
    place = ["--json", str(file)]
    gpu.main(
        ["--device", "cpu", "--scale", "tiny", "--time", "--steps", "1", "--packs", "2", *place]
    )
    told = capsys.readouterr().out
    assert "2100 joint and 175 independent tunings in 112 packs" in told
    assert told.count("Projected from FLOPs, not measured") == 2
    record = json.loads(file.read_text())
    assert record["costs"].keys() == record["times"].keys() == MODELS.keys()
    assert "not measured" in record["projection"]["basis"]
    shipped, calm = (record["projection"][key] for key in ("as_shipped", "without_dropout"))
    assert 0 < calm["exaflop"] < shipped["exaflop"]
    expected = shipped["exaflop"] * 1e18 / (0.3 * 989e12 * 3600)
    assert shipped["hours"] == pytest.approx(expected)
    for line in record["times"]["GPT-2"]:
        assert 0 < line["fraction_of_matrix_rate"] < 1


def test_the_count_is_that_of_the_layers_matrices() -> None:
    """BERT's FLOPs a token by hand: 2 a weight read, as much again for the way back."""
    backbone = build("BERT-base", "tiny", "cpu", "float32")
    cost = gpu.cost_of(backbone, SoftSettings(steps=1, evaluations=1))
    width, inner = 16, 32
    layer = 2 * (4 * width**2 + 2 * width * inner)
    tokens = gpu.COUNTED_TOKENS + gpu.FRAME + 5
    attention = 2 * 2 * tokens * width
    # The last layer: keys and values of all tokens, the rest of the answer alone.
    reading = layer + attention + 2 * 2 * width**2
    assert cost.reading == pytest.approx(reading, rel=0.08)
    assert 1.9 < cost.calm / cost.reading < 2.6
    assert cost.dropout > 2 * layer * 2


@pytest.mark.parametrize("name", MODELS)
def test_random_rows_are_framed_as_the_model_reads_text(name: str) -> None:
    backbone = build(name, "tiny", "cpu", "float32")
    lengths = TASKS["mrpc"].lengths(5, torch.Generator().manual_seed(0))
    data = encoded(backbone, lengths, 5)
    assert data.begin == len(backbone.begin)
    assert torch.equal(data.slots, torch.full_like(data.slots, data.begin))
    if backbone.family.masked:
        assert torch.equal(data.answers + 1 + len(backbone.end), data.lengths)
    else:
        assert torch.equal(data.answers + 1, data.lengths)
    prompts = torch.randn(2, 5, backbone.width)
    labels = torch.tensor([10, 20])
    assert torch.isfinite(backbone.split_logits(data, labels, prompts)).all()
