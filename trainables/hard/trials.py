"""Prompts scored on a fixed part of the training split, each different one once.

Shapes: P prompts, n training examples, C classes.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from trainables.backbones import Backbone, Encoded, reads_of
from trainables.core.frontier import Cost
from trainables.hard.racing import race_order
from trainables.hard.scorer import Ids, Scorer
from trainables.scoring.evaluate import finite

Measure = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Rewards [P], higher is better, of logits [P, n, C] against classes [n]."""


class Trials:
    """What is known of prompts on some training examples, and what that took.

    Attributes:
        rows: the training examples [n].
        known: reward of every prompt so far, in the order in which they came.
        cost: of reading them, where ``home`` is the model that prompts are for.
    """

    def __init__(
        self,
        scorers: Sequence[Scorer],
        home: Backbone,
        texts: int,
        seed: int,
        measure: Measure,
        worst: float,
    ) -> None:
        """Choose the examples.

        Args:
            scorers: the models that score; a reward is the mean of theirs.
            home: the model that prompts are for.
            texts: how many examples, the classes in their proportions; all, where there are fewer.
            seed: which ones.
            measure: from the answers on them to a reward.
            worst: reward of a prompt that a model has no room for, or answers with numbers that are
                not finite.
        """
        self.known: dict[Ids, float] = {}
        self.cost = Cost()
        self._scorers = scorers
        self._home = home
        self._measure = measure
        self._worst = worst
        self.rows = race_order(scorers[0].reading.train.gold, seed)[:texts]
        self._data = [
            scorer.reading.train.take(self.rows.to(scorer.reading.train.ids.device))
            for scorer in scorers
        ]
        self._gold = scorers[0].reading.train.gold.cpu()[self.rows]

    def __call__(self, prompts: Sequence[Ids]) -> torch.Tensor:
        """Rewards [P]; only prompts that are not known yet are read."""
        new = [ids for ids in dict.fromkeys(prompts) if ids not in self.known]
        if new:
            pairs = zip(self._scorers, self._data, strict=True)
            means = torch.stack([self._read(*pair, new) for pair in pairs]).mean(0)
            self.known |= zip(new, means.tolist(), strict=True)
        return torch.tensor([self.known[ids] for ids in prompts])

    def best(self, count: int) -> list[Ids]:
        """The ``count`` prompts with the highest rewards; of equal ones those that came first.

        Those that a model has no room for are none of them.
        """
        return sorted(filter(self.fits, self.known), key=lambda ids: -self.known[ids])[:count]

    def fits(self, ids: Ids) -> bool:
        """Whether all models have room for a prompt."""
        return all(scorer.fits(ids) for scorer in self._scorers)

    def _read(self, scorer: Scorer, data: Encoded, prompts: Sequence[Ids]) -> torch.Tensor:
        fit = [place for place, ids in enumerate(prompts) if scorer.fits(ids)]
        rewards = torch.full((len(prompts),), self._worst, dtype=torch.float64)
        if not fit:
            return rewards
        logits = scorer.logits(data, [prompts[place] for place in fit]).cpu()
        good = finite(logits)
        found = self._measure(logits.double(), self._gold)
        rewards[fit] = torch.where(good, found, torch.full_like(found, self._worst))
        self._charge(scorer, [prompts[place] for place in fit])
        return rewards

    def _charge(self, scorer: Scorer, prompts: Sequence[Ids]) -> None:
        text = int(scorer.reading.train.lengths.cpu()[self.rows].sum())
        text -= scorer.slots * len(self.rows)
        tokens = sum(text + len(scorer.tokens(ids)) * len(self.rows) for ids in prompts)
        count, tokens = reads_of(scorer.reading.label_ids).of(len(prompts) * len(self.rows), tokens)
        if scorer.reading.backbone is self._home:
            self.cost += Cost(count, 0, tokens, access="labels")
        else:
            self.cost += Cost(source_rows=count)

    @property
    def labels(self) -> int:
        """Training examples whose labels were read."""
        return len(self.rows) if self.known else 0


def share_right(logits: torch.Tensor, gold: torch.Tensor) -> torch.Tensor:
    """Accuracy [P]."""
    return (logits.argmax(-1) == gold).double().mean(-1)


def piecewise(correct: float, incorrect: float) -> Measure:
    """The reward of RLPrompt (Deng et al. 2022, section 3.3), a mean over examples.

    With p the probabilities over the label words, the gap of an example is that of its label minus
    the best other one; it counts ``correct`` times where it is positive, else ``incorrect`` times.
    The released code takes others that are exactly as likely for none, so that a tie counts as
    right by all; here a tie is a gap of 0.
    """

    def measure(logits: torch.Tensor, gold: torch.Tensor) -> torch.Tensor:
        shares = logits.softmax(-1)
        mine = F.one_hot(gold, logits.shape[-1]).bool()
        label = shares[..., mine]
        other = shares.masked_fill(mine, -1.0).amax(-1)
        gap = label - other
        return (gap * torch.where(gap > 0, correct, incorrect)).mean(-1)

    return measure


def z_scores(rewards: torch.Tensor) -> torch.Tensor:
    """Rewards [P] minus their mean, over their standard deviation; of equal ones 0.

    Divided by all of them (not one less), with 1e-4 beside the deviation, as released.
    """
    return (rewards - rewards.mean()) / (rewards.std(correction=0) + 1e-4)
