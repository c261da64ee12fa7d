"""The readout against ridge regression written out, one left-out text at a time."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.trainables.tiny import tiny
from tests.trainables.transfer.taught.problems import (
    LABELS,
    SPLITS,
    TEACHING,
    TEXTS,
    taught_problem,
)
from trainables.backbones import Layout
from trainables.core.settings import TransferSettings
from trainables.transfer import solver_named
from trainables.transfer.selection import agreement
from trainables.transfer.taught import readout
from trainables.transfer.taught.readout import GAMMAS, applied, centred, fitted

STATES = TransferSettings(solver="readout", features="states")


def with_lesson(target: str = "gpt2", sources: int = 1, **parts: torch.Tensor) -> Any:
    """The problem with other texts or probabilities; of each replica's texts the first are used."""

    def change(lesson: Any) -> Any:
        changed = replace(lesson, **parts)
        return replace(changed, soft=changed.soft[:, : changed.rows.shape[1]])

    return taught_problem(sources, target, change)


def predicted(problem: Any, settings: TransferSettings = STATES) -> Any:
    return solver_named("readout").predict(problem.in_key_order(), settings)


def written_out(
    features: list[list[float]], wanted: list[list[float]], gamma: float, left_out: int | None
) -> Any:
    """The map that minimises Σ|W z + b − y|² + γ U |W|² without one text, by the equations.

    Features are standardised over all texts, and the penalty is that of all of them.
    """
    count, width = len(features), len(features[0])
    middle = [sum(row[j] for row in features) / count for j in range(width)]
    spread = [
        (sum((row[j] - middle[j]) ** 2 for row in features) / count) ** 0.5 for j in range(width)
    ]
    normal = torch.zeros(width + 1, width + 1, dtype=torch.float64)
    right = torch.zeros(width + 1, len(wanted[0]), dtype=torch.float64)
    for i in range(count):
        if i == left_out:
            continue
        z = [(features[i][j] - middle[j]) / spread[j] for j in range(width)] + [1.0]
        for a in range(width + 1):
            for b in range(width + 1):
                normal[a, b] += z[a] * z[b]
            for c in range(len(wanted[0])):
                right[a, c] += z[a] * wanted[i][c]
    for a in range(width):
        normal[a, a] += gamma * count
    solution = torch.linalg.solve(normal, right)

    def map_(row: list[float]) -> list[float]:
        z = [(row[j] - middle[j]) / spread[j] for j in range(width)] + [1.0]
        return [
            float(sum(z[a] * solution[a, c] for a in range(width + 1)))
            for c in range(len(wanted[0]))
        ]

    return map_


@pytest.mark.parametrize("width", [3, 9], ids=["narrow", "wider than texts"])
def test_hard_labels_as_ridge_written_out_with_refits(width: int) -> None:
    draw = torch.Generator().manual_seed(width)
    features = torch.randn(7, width, generator=draw, dtype=torch.float64) * 3 + 1
    gold = torch.tensor([0, 1, 2, 0, 1, 1, 2])
    wanted = centred(torch.nn.functional.one_hot(gold, 3).float())
    rows, targets = features.tolist(), wanted.tolist()
    errors = []
    for gamma in GAMMAS:
        error = 0.0
        for i in range(7):
            said = written_out(rows, targets, gamma, i)(rows[i])
            error += sum((y - t) ** 2 for y, t in zip(said, targets[i], strict=True))
        errors.append(error)
    best = min(range(len(GAMMAS)), key=errors.__getitem__)
    maps, gammas, left_out = fitted(features, wanted[None])
    assert float(gammas[0]) == GAMMAS[best]
    whole = written_out(rows, targets, GAMMAS[best], None)
    for i in range(7):
        without = written_out(rows, targets, GAMMAS[best], i)(rows[i])
        torch.testing.assert_close(left_out[0, i], torch.tensor(without, dtype=torch.float64))
    fresh = torch.randn(4, width, generator=draw, dtype=torch.float64)
    expected = torch.tensor([whole(row) for row in fresh.tolist()], dtype=torch.float64)
    torch.testing.assert_close(applied(maps, fresh)[0], expected)


def test_a_teacher_that_is_one_of_the_features_is_learnt_as_the_penalty_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features = torch.randn(40, 6, generator=torch.Generator().manual_seed(1)).double()
    wanted = torch.stack([features[:, 2], -features[:, 2]], -1)[None]
    found = []
    for gamma in (1e-1, 1e-3, 1e-9):
        monkeypatch.setattr(readout, "GAMMAS", (gamma,))
        found.append(float((applied(fitted(features, wanted)[0], features) - wanted).abs().max()))
    assert found[0] > 10 * found[1] > 100 * found[2]
    assert found[2] < 1e-7


def test_a_permuted_teacher_gets_a_constant_as_the_penalty_grows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw = torch.Generator().manual_seed(2)
    features = torch.randn(300, 5, generator=draw).double()
    teacher = (features @ torch.randn(5, 3, generator=draw).double()).softmax(-1)
    permuted = centred(teacher[torch.randperm(300, generator=draw)])[None]
    straight, gammas, _ = fitted(features, torch.cat([centred(teacher)[None], permuted]))
    said = applied(straight, features).std(1).mean(1)
    assert gammas[1] > 100 * gammas[0]
    assert said[1] < 0.2 * said[0]
    monkeypatch.setattr(readout, "GAMMAS", (1e12,))
    maps, _, _ = fitted(features, permuted)
    expected = permuted.mean(1, keepdim=True).expand_as(permuted)
    torch.testing.assert_close(applied(maps, features), expected, atol=1e-9, rtol=0)


def test_classes_in_another_order_give_scores_in_that_order() -> None:
    order = torch.tensor([2, 0, 1])
    problem = taught_problem(target="gpt2")
    soft = problem.on_target.lesson(STATES).soft
    straight, turned = predicted(problem), predicted(with_lesson(soft=soft[..., order]))
    for split, scores in straight.scores.items():
        torch.testing.assert_close(turned.scores[split], scores[..., order])


@pytest.mark.parametrize("features", ["states", "words"])
def test_a_replica_alone_has_what_it_has_among_others(features: str) -> None:
    settings = TransferSettings(solver="readout", features=features)
    problem = with_lesson("bert", 2, rows=torch.tensor([[0, 1, 4, 9], [0, 1, 4, 9], [9, 3, 2, 7]]))
    stacked = predicted(problem, settings)
    for place in range(3):
        alone = predicted(problem.take(slice(place, place + 1)), settings)
        assert alone.costs == stacked.costs[place : place + 1]
        assert alone.numbers[0]["chosen"] == stacked.numbers[place]["chosen"]
        for split, scores in stacked.scores.items():
            torch.testing.assert_close(alone.scores[split][0], scores[place], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(stacked.scores["test"][0], stacked.scores["test"][1])


@pytest.mark.parametrize("name", ["bert", "gpt2", "opt-projected"])
def test_what_is_kept_reads_the_features_as_they_are(name: str) -> None:
    problem = taught_problem(target=name)
    found, target = predicted(problem), tiny(name)
    split = problem.on_target.plain("test")
    assert found.scores["test"].shape == (3, len(split), len(LABELS))
    kept = found.kept["readout"].double()
    for row, text in enumerate(SPLITS["test"]):
        state = target.split_features(target.read([text], [0], Layout()))[0].double()
        for replica in range(3):
            scores = kept[replica, :, :-1] @ state + kept[replica, :, -1]
            torch.testing.assert_close(
                scores.float(), found.scores["test"][replica, row], atol=1e-3, rtol=1e-3
            )


def test_words_are_scores_of_the_vocabulary_and_say_so() -> None:
    settings = TransferSettings(solver="readout", features="words")
    found = predicted(taught_problem(target="gpt2"), settings)
    assert found.kept["readout"].shape == (3, len(LABELS), readout.WORDS + 1)
    assert {cost.access for cost in found.costs} == {"vocabulary"}
    assert {cost.access for cost in predicted(taught_problem(target="gpt2")).costs} == {"states"}


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_costs_are_those_of_reading_each_text_once(name: str) -> None:
    problem = taught_problem(target=name)
    found, target = predicted(problem), tiny(name)
    for replica, cost in enumerate(found.costs):
        rows = problem.on_target.lesson(STATES).rows[replica].tolist()
        lengths = [len(target.read([TEXTS[row]], [0], Layout()).ids[0]) for row in rows]
        assert cost.target_forward_rows == len(rows) == cost.unlabelled_texts
        assert cost.target_forward_tokens == sum(lengths)
        assert (cost.target_backward_rows, cost.target_labels) == (0, 0)
        assert cost.source_rows == TEACHING.source_rows
        assert not cost.source_at_inference


def test_numbers_say_what_came_of_it() -> None:
    rows = torch.arange(8).expand(3, -1)
    soft = torch.full((3, 8, 3), 0.2)
    soft[..., 1] = 0.6
    soft[2] = torch.rand(8, 3, generator=torch.Generator().manual_seed(0)).softmax(-1)
    soft[2, :4, 0], soft[2, 4:, 1] = 2.0, 2.0
    soft = soft / soft.sum(-1, keepdim=True)
    numbers = predicted(with_lesson(soft=soft, rows=rows)).numbers
    assert [one["teacher_degenerate"] for one in numbers] == [True, True, False]
    assert {one["product"] for one in numbers} == {"readout"}
    assert numbers[0]["chosen"] == GAMMAS[-1]


def test_misfit_is_that_of_texts_left_out() -> None:
    problem = taught_problem(target="gpt2")
    lesson = problem.on_target.lesson(STATES)
    found = predicted(problem)
    features = tiny("gpt2").split_features(lesson.plain).double()
    for replica in range(3):
        own = features[lesson.rows[replica]]
        left_out = fitted(own, centred(lesson.soft[replica : replica + 1]))[2]
        expected = agreement(left_out, lesson.soft[replica : replica + 1]).losses[0]
        assert found.numbers[replica]["teacher_misfit"] == pytest.approx(expected, abs=1e-4)


def test_features_that_are_no_numbers_give_scores_that_are_none() -> None:
    features = torch.randn(5, 3).double()
    features[2, 1] = torch.inf
    maps, gammas, left_out = fitted(features, torch.randn(2, 5, 3).double())
    assert maps.isnan().all() and left_out.isnan().all()
    assert gammas.shape == (2,)


def test_a_feature_that_never_changes_and_a_single_text_do_no_harm() -> None:
    features = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)).float()
    features[:, 1] = 0.1
    wanted = torch.randn(1, 20, 2, generator=torch.Generator().manual_seed(1)).double()
    maps, _, _ = fitted(features.double(), wanted)
    assert maps.isfinite().all()
    assert maps[..., 1].abs().max() < 1e-6
    one, _, _ = fitted(features[:1].double(), wanted[:, :1])
    torch.testing.assert_close(applied(one, features.double()), wanted[:, :1].expand(1, 20, 2))
