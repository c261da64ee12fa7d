"""Sums of label scores of target and sources, against loops."""

import math
from typing import Any

import pytest
import torch

from tests.trainables.tiny import tiny
from tests.trainables.transfer.taught.lessons import SENTENCES, WORDS, a_problem
from trainables.backbones import Layout
from trainables.core.settings import TransferSettings
from trainables.transfer import solver_named

COUNTS = {"validation": 5, "test": len(SENTENCES) - 4}


def saying(replicas: int = 3, sources: int = 2) -> Any:
    """What random sources say: [S, R, n, C] with prompts, [S, 1, n, C] without."""
    draw = torch.Generator().manual_seed(4)
    said = {
        (split, prompted): torch.randn(
            sources, replicas if prompted else 1, count, len(WORDS), generator=draw
        ).log_softmax(-1)
        for split, count in COUNTS.items()
        for prompted in (True, False)
    }
    return lambda split, prompted: said[split, prompted]


def predicted(solver: str, said: Any) -> Any:
    return solver_named(solver).predict(
        a_problem("bert", 2, said=said), TransferSettings(solver=solver)
    )


def by_target(split: str) -> list[list[float]]:
    """Label log-probabilities of the target without a prompt, a text at a time."""
    target = tiny("bert")
    labels = target.labels(WORDS, "t")
    texts = {"validation": SENTENCES[:5], "test": SENTENCES[4:]}[split]
    found = []
    for text in texts:
        logits = target.split_logits(target.read([text], [0], Layout()), labels)[0, 0].tolist()
        total = math.log(sum(math.exp(value) for value in logits))
        found.append([value - total for value in logits])
    return found


@pytest.mark.parametrize("split", COUNTS)
def test_proxy_as_loops(split: str) -> None:
    said = saying()
    found = predicted("proxy", said).scores[split]
    assert found.shape == (3, COUNTS[split], len(WORDS))
    bare, behind, without = by_target(split), said(split, True), said(split, False)
    for r in range(3):
        for i in range(COUNTS[split]):
            for c in range(len(WORDS)):
                change = [float(behind[s, r, i, c] - without[s, 0, i, c]) for s in range(2)]
                expected = bare[i][c] + sum(change) / 2
                assert float(found[r, i, c]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("split", COUNTS)
def test_calibrated_sum_as_loops(split: str) -> None:
    said = saying()
    found = predicted("calibrated_sum", said).scores[split]
    bare, behind, count = by_target(split), said(split, True), COUNTS[split]
    for c in range(len(WORDS)):
        own = sum(bare[i][c] for i in range(count)) / count
        for r in range(3):
            means = [sum(float(behind[s, r, i, c]) for i in range(count)) / count for s in range(2)]
            for i in range(count):
                others = sum(float(behind[s, r, i, c]) - means[s] for s in range(2)) / 2
                expected = bare[i][c] - own + others
                assert float(found[r, i, c]) == pytest.approx(expected, abs=1e-4)


def test_sources_that_their_prompts_do_not_change_leave_the_target_as_it_is() -> None:
    said = saying()
    found = predicted("proxy", lambda split, prompted: said(split, False))
    target = tiny("bert")
    plain = target.read(SENTENCES[4:], [0] * COUNTS["test"], Layout())
    alone = target.split_logits(plain, target.labels(WORDS, "t")).log_softmax(-1)
    torch.testing.assert_close(found.scores["test"], alone.expand(3, -1, -1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("solver", ["proxy", "calibrated_sum"])
def test_sources_run_where_it_is_used_and_nothing_before(solver: str) -> None:
    found = predicted(solver, saying())
    for cost, numbers in zip(found.costs, found.numbers, strict=True):
        assert cost.access == "labels" and cost.source_at_inference
        assert cost.target_forward_rows == cost.target_labels == cost.unlabelled_texts == 0
        assert numbers == {"product": "none"}
    assert len(found.costs) == 3
    assert not found.kept


@pytest.mark.parametrize("solver", ["proxy", "calibrated_sum"])
def test_a_replica_alone_has_what_it_has_among_others(solver: str) -> None:
    problem, settings = a_problem("bert", 2, said=saying()), TransferSettings(solver=solver)
    stacked = solver_named(solver).predict(problem, settings)
    for place in range(3):
        alone = solver_named(solver).predict(problem.take(slice(place, place + 1)), settings)
        assert torch.equal(alone.scores["test"][0], stacked.scores["test"][place])
