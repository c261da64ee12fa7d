"""No prompt either: label scores of the target without one and of the sources, put together.

The sources have to run wherever it is used, but nothing is learnt: the target gives scores of its
label words, before and after.
"""

import torch

from trainables.core.frontier import Cost
from trainables.core.settings import TransferSettings
from trainables.scoring.calibration import calibrate
from trainables.transfer.problem import Problem
from trainables.transfer.solver import Predicted, Predictor


class _Together(Predictor):
    """A sum of what the target and the sources say."""

    def predict(self, problem: Problem, settings: TransferSettings) -> Predicted:
        """The sum on both splits."""
        del settings
        count = len(problem.seeds)
        scores = {
            split: self._sum(problem, split).float().expand(count, -1, -1)
            for split in ("validation", "test")
        }
        cost = Cost(source_at_inference=True, access="labels")
        return Predicted(scores, [cost] * count, numbers=[{"product": "none"}] * count)

    def _sum(self, problem: Problem, split: str) -> torch.Tensor:
        """Label scores of a split [R, n, C]."""
        raise NotImplementedError


class Proxy(_Together):
    """T₀(x) + mean over sources of (S_P(x) − S_0(x)), in label log-probabilities.

    What a prompt changes on the sources is taken to change on the target as much (as proxy tuning
    does, Liu et al. 2024). T₀ and S_0 read the text without a prompt.
    """

    def _sum(self, problem: Problem, split: str) -> torch.Tensor:
        change = _by_sources(problem, split, True) - _by_sources(problem, split, False)
        return _by_target(problem, split) + change.mean(0)


class CalibratedSum(_Together):
    """Batch-calibrated T₀ plus the mean over sources of batch-calibrated S_P."""

    def _sum(self, problem: Problem, split: str) -> torch.Tensor:
        said = torch.stack([calibrate("batch", one) for one in _by_sources(problem, split, True)])
        return calibrate("batch", _by_target(problem, split)) + said.mean(0)


def _by_target(problem: Problem, split: str) -> torch.Tensor:
    """Label log-probabilities of a split without a prompt, float64 [1, n, C]."""
    task = problem.on_target
    if task.plain is None:
        raise ValueError("the splits without a prompt were not handed in")
    logits = task.backbone.split_logits(task.plain(split), task.label_ids)
    return logits.double().log_softmax(-1)


def _by_sources(problem: Problem, split: str, prompted: bool) -> torch.Tensor:
    """Label log-probabilities of a split by the sources, float64 [S, R or 1, n, C]."""
    task = problem.on_target
    if task.sources is None:
        raise ValueError("what the sources say was not handed in")
    said = task.sources(split, prompted).double().to(task.backbone.device)
    return said[:, list(problem.places)] if prompted and problem.places else said
