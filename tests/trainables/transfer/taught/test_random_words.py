"""Prompts of random words against their draw, and how they are chosen."""

from dataclasses import replace

import pytest
import torch

from tests.trainables.tiny import tiny
from tests.trainables.transfer.taught.problems import TEACHING, taught_problem
from trainables.core.settings import TransferSettings, stored
from trainables.errors import InputError
from trainables.testing.solver_contract import SolverContract
from trainables.transfer import Judgement, Judges, Problem, carry, solve
from trainables.transfer.reading import own_logits
from trainables.transfer.selection import agreement
from trainables.words.frequent import frequent_words

AGREE = TransferSettings(solver="random_words", selection="agreement", tries=6)


class TestContract(SolverContract):
    settings = AGREE
    stochastic = True

    def problem(self, sources: int) -> Problem:
        return taught_problem(sources, "gpt2")


def test_each_vector_is_a_frequent_word_and_fewer_tries_are_the_first_of_more() -> None:
    found = solve(taught_problem(target="gpt2"), AGREE)
    assert found.labels == (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
    target = tiny("gpt2")
    rows = {tuple(target.embeddings[word].tolist()) for word in frequent_words(target)}
    vectors = found.prompts.flatten(0, -2)
    assert {tuple(vector.tolist()) for vector in vectors} <= rows
    assert len({tuple(vector.tolist()) for vector in vectors}) > 20
    fewer = solve(taught_problem(target="gpt2"), replace(AGREE, tries=2))
    assert torch.equal(fewer.prompts, found.prompts[:2])


def test_the_one_that_agrees_best_is_taken_and_every_try_is_paid_for() -> None:
    problem = taught_problem(target="gpt2")
    task, lesson = problem.on_target, problem.lesson(AGREE)
    (carried,) = carry(problem, AGREE, Judges(lambda prompts: Judgement([], [], prompts), []))
    held = lesson.rows[:, -lesson.held :]
    losses = [
        agreement(
            own_logits(task.backbone, task.label_ids, lesson.texts, held, prompts),
            lesson.soft[:, -lesson.held :],
        ).losses
        for prompts in solve(problem, AGREE).prompts
    ]
    for replica, cost in enumerate(carried.costs):
        mine = [loss[replica] for loss in losses]
        assert carried.chosen[replica] == mine.index(min(mine))
        tokens = sum(int(lesson.texts.lengths[row]) for row in held[replica])
        assert cost.target_forward_rows == 6 * lesson.held
        assert cost.target_forward_tokens == 6 * tokens
        assert cost.unlabelled_texts == lesson.rows.shape[1]
        assert cost.source_rows == TEACHING.source_rows


def test_a_choice_by_labels_asks_no_teacher() -> None:
    settings = replace(AGREE, selection="target_validation")
    assert not settings.taught and not settings.aided
    assert AGREE.taught and AGREE.aided
    assert not {"teacher", "texts", "texts_from"} & {*stored(settings)}
    assert all(
        cost.source_rows == 0 for cost in solve(taught_problem(target="gpt2"), settings).costs[-1]
    )


@pytest.mark.parametrize("selection", ["none", "source_validation"])
def test_all_lies_in_the_choice(selection: str) -> None:
    sentence = (
        f"selection: found '{selection}'; allowed: agreement or target_validation with solver"
        " random_words"
    )
    with pytest.raises(InputError) as caught:
        TransferSettings(solver="random_words", selection=selection)
    assert str(caught.value) == sentence


def test_what_ends_in_scores_has_nothing_to_choose_from() -> None:
    with pytest.raises(InputError, match="selection: found 'agreement'; allowed: none with"):
        TransferSettings(solver="readout", selection="agreement")
