"""The choice among candidates: by what, and how ties fall."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from trainables.core.registries import SELECTIONS
from trainables.core.settings import TransferSettings
from trainables.testing.solver_contract import random_problem
from trainables.transfer import Candidates, Judgement, Judges, Problem, carry, solve
from trainables.transfer.selection import choose, way_back

NAN = float("nan")
Table = list[list[tuple[float, float]]]
"""Per candidate and replica: score and loss."""


def never(prompts: torch.Tensor) -> Judgement:
    raise AssertionError("nothing is to be evaluated here")


def told(candidates: Candidates, table: Table) -> Callable[[torch.Tensor], Judgement]:
    """A judge that knows the candidates by their content."""

    def judge(prompts: torch.Tensor) -> Judgement:
        same = [torch.equal(prompts, one) for one in candidates.prompts]
        number = same.index(True)
        logits = torch.full((prompts.shape[0], 4, 2), float(number))
        row = table[number]
        return Judgement([score for score, _ in row], [loss for _, loss in row], logits)

    return judge


def offered(count: int, own: int) -> tuple[Candidates, Problem]:
    problem = random_problem(1, replicas=2)
    prompts = torch.randn(count, *problem.shape, generator=torch.Generator().manual_seed(0))
    similarity = torch.zeros(prompts.shape[:-1])
    return Candidates(prompts, tuple(map(float, range(count))), own, similarity), problem


@pytest.mark.parametrize(
    ("own", "table", "expected"),
    [
        # the better score
        (0, [[(0.5, 1.0), (0.9, 1.0)], [(0.6, 9.0), (0.8, 0.1)]], [1, 0]),
        # equal scores: the lower loss
        (0, [[(0.5, 1.0), (0.5, 0.3)], [(0.5, 0.9), (0.5, 0.4)]], [1, 0]),
        # all equal: the solver's own
        (1, [[(0.5, 1.0), (0.5, 1.0)], [(0.5, 1.0), (0.5, 1.0)]], [1, 1]),
        # rounding is no difference
        (0, [[(0.5, 1.0), (0.5, 0.5)], [(0.5 + 1e-9, 2.0), (0.5 + 1e-9, 0.4)]], [0, 1]),
        # a prompt that is no longer finite is no candidate
        (0, [[(0.9, NAN), (0.9, NAN)], [(0.1, 3.0), (0.2, NAN)]], [1, 0]),
    ],
)
def test_target_validation(own: int, table: Table, expected: list[int]) -> None:
    candidates, problem = offered(2, own)
    choice = choose("target_validation", candidates, problem, Judges(told(candidates, table), []))
    assert choice.index == expected
    assert choice.logits is not None
    if table[0][0][1] == table[0][0][1]:
        assert choice.logits[:, 0, 0].tolist() == [float(number) for number in expected]


def test_none_evaluates_nothing_and_takes_the_solvers_own() -> None:
    candidates, problem = offered(3, own=2)
    choice = choose("none", candidates, problem, Judges(never, [never]))
    assert choice.index == [2, 2]
    assert choice.logits is None


@pytest.mark.parametrize("selection", SELECTIONS)
def test_a_single_candidate_is_not_evaluated(selection: str) -> None:
    candidates, problem = offered(1, own=0)
    assert choose(selection, candidates, problem, Judges(never, [never])).index == [0, 0]


def test_source_validation_reads_nothing_through_the_target() -> None:
    """The mean over sources decides, each judging the prompt carried back to its own space."""
    problem = random_problem(2)
    candidates = solve(problem, TransferSettings(solver="ridge", gammas=(0.0, 0.1, 10.0)))
    seen: list[list[torch.Tensor]] = [[], []]
    scores = [[0.2, 0.9, 0.5], [0.9, 0.4, 0.4]]  # per source: means 0.55, 0.65, 0.45

    def judge(source: int) -> Callable[[torch.Tensor], Judgement]:
        def judged(prompts: torch.Tensor) -> Judgement:
            score = scores[source][len(seen[source])]
            seen[source].append(prompts)
            return Judgement([score] * 3, [1.0] * 3, torch.zeros(3, 4, 2))

        return judged

    choice = choose("source_validation", candidates, problem, Judges(never, [judge(0), judge(1)]))
    assert choice.index == [1, 1, 1]
    assert choice.logits is None
    for source in (0, 1):
        assert [one.shape for one in seen[source]] == [problem.prompts[source].shape] * 3


def test_the_way_back_of_an_invertible_way_is_the_start() -> None:
    """Two models that are rotations of one another: there and back changes nothing."""
    problem = random_problem(1)
    source = problem.spaces[0]
    turn = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(2)).double()).Q
    target = replace(source, key="turned", table=source.table @ turn)
    gram = source.anchors.T @ source.anchors
    grams = {
        (0, 0): gram,
        (0, 1): gram @ turn,
        (1, 0): turn.T @ gram,
        (1, 1): turn.T @ gram @ turn,
    }
    turned = replace(problem, spaces=(source, target), grams=grams)
    there = solve(turned, TransferSettings()).prompts[0]
    torch.testing.assert_close(there, problem.prompts[0] @ turn.float(), atol=1e-5, rtol=1e-4)
    back = way_back(there, turned, 0)
    torch.testing.assert_close(back, problem.prompts[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("selection", [name for name in SELECTIONS if name != "agreement"])
def test_parts_give_what_the_whole_gives(selection: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded by solving some replicas at a time; the result is the same."""

    def judge(prompts: torch.Tensor) -> Judgement:
        flat = prompts.flatten(1)
        return Judgement(flat.mean(1).tolist(), flat.std(1).tolist(), flat[:, :6].view(-1, 3, 2))

    problem = random_problem(2, replicas=5)
    settings = TransferSettings(solver="ridge", selection=selection)
    judges = Judges(judge, [judge, judge])
    (whole,) = carry(problem, settings, judges)
    monkeypatch.setattr("trainables.transfer.solving.MOST_NUMBERS", 1)
    (parts,) = carry(problem, settings, judges)
    torch.testing.assert_close(parts.prompt, whole.prompt)
    torch.testing.assert_close(parts.similarity, whole.similarity)
    assert parts.chosen == whole.chosen
    assert parts.candidates == whole.candidates == 6
    assert (whole.logits is not None) == (selection == "target_validation")
    if whole.logits is not None:
        torch.testing.assert_close(parts.logits, whole.logits)
        assert len(set(whole.chosen)) > 1, "the replicas should differ in what suits them"
