"""Every claim at a tiny size: it is measured, and it fails where the two sides differ."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

import benchmarks.neighbours as neighbours
import trainables.backbones.base as base
from benchmarks import distil, evaluation, levers, pez, transfers, tuning
from benchmarks.claims import MEASURES
from benchmarks.finding import Finding, Skipped
from benchmarks.machine import Rates
from benchmarks.peers import pez_loop, prompt_tuning
from trainables.core.weight import Weight
from trainables.soft.tuning import Replica

pytestmark = pytest.mark.slow

ONE = tuning.Load(
    ("pocket-bert",), (Replica(0, Weight.of(0.0)), Replica(1, Weight.of(0.0))), 1, 2, 1
)
CAUSAL = tuning.Load(
    ("pocket-gpt2",), (Replica(0, Weight.of(0.0)), Replica(1, Weight.of(0.0))), 1, 2, 1
)
TWO = tuning.Load(
    ("pocket-bert", "pocket-gpt2"),
    (Replica(0, Weight.of(0.5)), Replica(0, Weight.of("annealing"))),
    2,
    2,
    1,
)
CARRIED = transfers.Load(prompts=3, alone=1, together=2, steps=20, rounds=1)
DISTILLED = distil.Load("pocket-bert", 3, 1, 2, batch=4, texts=8, rounds=1)
SEARCHED = pez.Load("pocket-bert", words=200, prompts=2, alone=1, steps=3, rounds=1)


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> Any:
    before = torch.get_num_threads()
    monkeypatch.setattr("benchmarks.finding.rates", lambda threads: Rates(1e12, 1e10, threads))
    yield
    torch.set_num_threads(before)


def findings(found: list[Finding | Skipped]) -> list[Finding]:
    chosen = [one for one in found if isinstance(one, Finding)]
    assert len(chosen) == len(found)
    return chosen


@pytest.mark.parametrize(
    "load",
    [ONE, CAUSAL, TWO, replace(ONE, loss="vocabulary"), replace(CAUSAL, loss="vocabulary")],
    ids=["masked", "causal", "joint", "masked-documented", "causal-documented"],
)
def test_tuning_ends_as_peft_does(load: tuning.Load) -> None:
    found = findings(tuning.measure(load))
    peers = [one.peer for one in found]
    assert len(found) == (2 if len(load.models) == 1 else 1)
    assert all("PEFT" in peer for peer in peers)
    assert ("Trainer" in peers[-1]) == (len(load.models) == 1)
    for one in found:
        record = one.record()
        assert one.ours > 0 and one.theirs > 0 and record["floor"] > 0
        assert 0 < record["floor_reached"] < 1.5


def test_a_peer_with_another_rate_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_tuning, "linear_schedule", lambda *given: 0.5)
    with pytest.raises(AssertionError, match="apart"):
        tuning.measure(ONE)


def test_a_peer_without_the_alignment_loss_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_tuning, "_alignment", lambda prompts, anchors: torch.zeros(()))
    with pytest.raises(AssertionError, match="apart"):
        tuning.measure(TWO)


def test_a_model_that_is_not_there_is_a_line_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "missing", lambda model: f"no {model}")
    (found,) = tuning.measure(ONE)
    assert isinstance(found, Skipped)
    assert found.record()["skipped"] == "no pocket-bert"


def test_transfer_is_as_similar_as_the_search() -> None:
    for one in findings(transfers.measure(CARRIED)):
        assert one.estimated and one.target == 100.0
        assert one.ours > 0 and one.theirs > 0


def test_a_worse_transfer_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real = transfers.transfer

    def worse(*given: Any) -> Any:
        found = real(*given)
        return type(found)(**{**vars(found), "prompt": torch.randn(found.prompt.shape)})

    monkeypatch.setattr(transfers, "transfer", worse)
    with pytest.raises(AssertionError, match="below the search"):
        transfers.measure(CARRIED)


def test_pez_finds_the_words_of_the_literal_loop() -> None:
    (one,) = findings(pez.measure(SEARCHED))
    assert one.same.startswith(("9", "100"))
    assert one.unit == "prompt-steps/s"


def test_other_words_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def first(table: torch.Tensor, allowed: torch.Tensor, prompt: torch.Tensor) -> list[int]:
        return [int(allowed[0])] * len(prompt)

    monkeypatch.setattr(pez_loop, "project", first)
    with pytest.raises(AssertionError, match="of the words are the same"):
        pez.measure(SEARCHED)


def test_agreement_is_that_of_a_literal_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    neighbours.check(60, 5)
    real: Callable[..., torch.Tensor] = neighbours.literal
    monkeypatch.setattr(neighbours, "literal", lambda tables, k: real(tables, k + 1))
    with pytest.raises(AssertionError):
        neighbours.check(60, 5)


def test_agreement_is_measured() -> None:
    load = neighbours.Load(words=300, width=16, rounds=1, threads=1)
    (one,) = findings(neighbours.measure(load))
    assert one.ours > 0 and one.theirs > 0
    assert len(one.more["runs"]["sampled"]) == 1


def test_evaluation_counts_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = findings(evaluation.measure("pocket-bert", ("mini/reviews",), 5))
    assert one.met and 1.0 <= one.ours <= evaluation.AT_MOST < one.theirs
    monkeypatch.setattr(base, "spare_tokens", lambda device: 10**6)
    (padded,) = findings(evaluation.measure("pocket-bert", ("mini/reviews",), 5))
    assert padded.ours > one.ours
    assert padded.met is False


def test_distilling_ends_as_a_plain_loop_does(monkeypatch: pytest.MonkeyPatch) -> None:
    stacked, passes = findings(distil.measure(DISTILLED))
    assert stacked.ratio > 0 and passes.ours > 1
    monkeypatch.setattr(distil, "LATENESS", 0)
    with pytest.raises(AssertionError, match="apart"):
        distil.measure(DISTILLED)


def test_evaluation_of_other_rows_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real = base.Backbone.split_logits
    monkeypatch.setattr(
        base.Backbone, "split_logits", lambda self, *given: real(self, *given).flip(1)
    )
    with pytest.raises(AssertionError):
        evaluation.measure("pocket-bert", ("mini/reviews",), 1)


def test_levers_give_the_same() -> None:
    (stacked,) = findings(levers.stacking(seeds=1, steps=1, rounds=1))
    (few,) = findings(levers.label_head(rows=8, rounds=1))
    assert stacked.met is None and few.met is None
    assert few.ratio > 0


def test_names_of_measurements_are_told_apart() -> None:
    names = list(MEASURES)
    assert len(set(names)) == len(names) >= 12
