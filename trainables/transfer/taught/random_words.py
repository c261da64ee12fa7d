"""Prompts of random words: what choosing alone gives, without anything learnt."""

from collections.abc import Sequence

import torch

from trainables.core.frontier import Cost
from trainables.core.seeds import seeded
from trainables.core.settings import TransferSettings
from trainables.transfer.problem import Problem
from trainables.transfer.solver import Found, Solver
from trainables.words.frequent import frequent_words


class RandomWords(Solver):
    """``tries`` prompts of frequent words of the target; all lies in the choice between them.

    Words are drawn with replacement by the seed and the model. Those of fewer tries are the first
    of more.
    """

    finished = True

    def solve(self, problem: Problem, settings: TransferSettings) -> Found:
        """The prompts in the order drawn, labelled 0, 1, …."""
        backbone, tries = problem.on_target.backbone, settings.tries or 1
        words = torch.tensor(frequent_words(backbone, "solver", "another one"))
        drawn = torch.stack(
            [
                torch.randint(
                    len(words),
                    (tries, problem.shape[1]),
                    generator=seeded("transfer", "random_words", problem.target.key, seed),
                )
                for seed in problem.seeds
            ],
            dim=1,
        )
        prompts = backbone.embeddings[words[drawn].to(backbone.device)].float()
        labels = tuple(float(number) for number in range(tries))
        return Found(prompts, labels, costs=[self._taught(problem, settings)] * tries)

    @staticmethod
    def _taught(problem: Problem, settings: TransferSettings) -> Sequence[Cost]:
        """What the teacher took, where it chooses."""
        if settings.taught:
            return problem.lesson(settings).costs
        return [Cost()] * len(problem.seeds)

    def footprint(self, problem: Problem, settings: TransferSettings) -> int:
        """All prompts."""
        _, tokens, width = problem.shape
        return (settings.tries or 1) * tokens * width
