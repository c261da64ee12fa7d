"""Calibrations against slow readings of their formulas."""

import math
import subprocess
import sys

import pytest
import torch

from tests.trainables.tiny import tiny
from trainables.backbones import Layout
from trainables.scoring.calibration import CALIBRATIONS, calibrate, content_free_texts
from trainables.scoring.evaluate import measure


def literal_log_softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(value) for value in row)
    return [math.log(math.exp(value) / total) for value in row]


def literal(name: str, logits: list[list[float]], free: list[list[float]]) -> list[list[float]]:
    """One prompt's corrected scores, number by number."""
    scores = [literal_log_softmax(row) for row in logits]
    known = [literal_log_softmax(row) for row in free]
    classes = range(len(logits[0]))
    if name == "batch":
        bias = [sum(row[c] for row in scores) / len(scores) for c in classes]
    else:
        bias = [math.log(sum(math.exp(row[c]) for row in known) / len(known)) for c in classes]
    return [[row[c] - bias[c] for c in classes] for row in scores]


@pytest.mark.parametrize("name", list(CALIBRATIONS))
def test_formula_by_a_slow_loop(name: str) -> None:
    torch.manual_seed(0)
    logits, free = 3 * torch.randn(4, 7, 3), 3 * torch.randn(4, 2, 3)
    found = calibrate(name, logits, free)
    for replica in range(4):
        expected = literal(name, logits[replica].tolist(), free[replica].tolist())
        torch.testing.assert_close(found[replica], torch.tensor(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", list(CALIBRATIONS))
def test_a_preference_for_a_word_has_no_say(name: str) -> None:
    """Whatever is added to a class everywhere, on content-free inputs too, changes nothing."""
    torch.manual_seed(1)
    logits, free = torch.randn(2, 40, 4), torch.randn(2, 1, 4)
    bias = torch.tensor([5.0, 0.0, -2.0, 1.0])
    plain, shifted = calibrate(name, logits, free), calibrate(name, logits + bias, free + bias)
    assert torch.equal(plain.argmax(-1), shifted.argmax(-1))
    assert not torch.equal((logits + bias).argmax(-1), shifted.argmax(-1))


@pytest.mark.parametrize("name", list(CALIBRATIONS))
def test_a_constant_predictor_stays_as_it_is(name: str) -> None:
    rows = torch.tensor([0.3, 2.0, 1.0]).expand(1, 50, 3)
    noise = 1e-6 * torch.randn(1, 50, 3, generator=torch.Generator().manual_seed(2))
    other = torch.randn(1, 50, 3, generator=torch.Generator().manual_seed(3))
    logits = torch.cat([rows + noise, other])
    found = calibrate(name, logits, logits[:, :2])
    assert set(found[0].argmax(-1).tolist()) == {1}
    # Its neighbour in the stack is calibrated all the same.
    expected = literal(name, logits[1].tolist(), logits[1, :2].tolist())
    torch.testing.assert_close(found[1], torch.tensor(expected), atol=1e-5, rtol=1e-5)


def test_content_free_calibration_needs_its_inputs() -> None:
    with pytest.raises(ValueError, match="content-free inputs"):
        calibrate("content_free", torch.randn(1, 3, 2))


def test_every_result_has_both_beside_the_uncalibrated() -> None:
    torch.manual_seed(4)
    gold = torch.tensor([0, 1, 1, 0, 1, 0])
    signal = torch.nn.functional.one_hot(gold, 2).float()[None]
    logits = signal + torch.tensor([4.0, 0.0])  # right but for its preference for class 0
    free = torch.tensor([[[4.0, 0.0]]])
    (bare,) = measure(logits, gold, logits[:, :4], gold[:4], "accuracy")
    (more,) = measure(
        logits, gold, logits[:, :4], gold[:4], "accuracy", ["batch", "content_free"], free
    )
    plain, found = bare.numbers, more.numbers
    assert {name: found[name] for name in plain} == plain
    assert (plain["score"], plain["degenerate"]) == (0.5, True)
    assert {name: found[name] for name in found if name not in plain} == {
        "score_batch": 1.0,
        "validation_score_batch": 1.0,
        "score_content_free": 1.0,
        "validation_score_content_free": 1.0,
    }


def test_batch_calibration_rests_on_the_evaluated_split_alone() -> None:
    gold = torch.tensor([0, 1])
    test = torch.tensor([[[3.0, 0.0], [2.0, 0.0]]])
    validation = torch.tensor([[[9.0, 0.0], [1.0, 0.0]]])
    (found,) = measure(test, gold, validation, gold, "accuracy", ["batch"])
    (alone,) = measure(test, gold, test, gold, "accuracy", ["batch"])
    assert found.numbers["score_batch"] == alone.numbers["score_batch"] == 1.0


@pytest.mark.parametrize("name", ["bert", "roberta", "gpt2", "opt", "llama"])
@pytest.mark.parametrize("length", [0, 2])
def test_content_free_inputs_can_be_read_by_every_family(name: str, length: int) -> None:
    backbone = tiny(name)
    layout = Layout(prompt_length=length)
    texts = content_free_texts(backbone, layout)
    assert texts[:2] == ["N/A", backbone.tokenizer.mask_token or "[MASK]"]
    assert set(texts[2:]) <= {""}
    data = backbone.read(texts, [0] * len(texts), layout)
    prompts = torch.zeros(1, length, backbone.width) if length else None
    labels = torch.tensor([backbone.word_id(word) for word in ("film", "good")])
    assert torch.isfinite(backbone.split_logits(data, labels, prompts)).all()
    if backbone.family.masked or length:
        assert texts[2:] == [""]
    if backbone.family.masked:
        # The mask is one token, not the letters of its name.
        masks = (data.ids == backbone.tokenizer.mask_token_id).sum(1).tolist()
        assert masks == [1, 2, 1]


def test_the_empty_text_is_left_out_where_nothing_would_be_read() -> None:
    backbone = tiny("gpt2")
    begin, lead = backbone.begin, backbone.lead
    try:
        backbone.begin, backbone.lead = [], ""
        assert content_free_texts(backbone, Layout()) == ["N/A", "[MASK]"]
        assert content_free_texts(backbone, Layout(prompt_length=1))[2:] == [""]
        assert content_free_texts(backbone, Layout(template="It was"))[2:] == [""]
    finally:
        backbone.begin, backbone.lead = begin, lead


@pytest.mark.slow
def test_names_are_known_without_torch() -> None:
    code = (
        "import sys, trainables.scoring.calibration, sweep.spec.spec; print('torch' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
