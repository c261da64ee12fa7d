"""RLPrompt (Deng et al. 2022): a policy on top of a frozen language model learns to write prompts.

In each step the policy writes some prompts, each is rewarded by how the source answers training
examples behind it, and soft Q-learning moves the policy (:mod:`trainables.hard.policy`). Its most
likely prompt is offered now and then to the race, who keeps the best on validation.

A policy that has made up its mind writes the same few prompts again and again. The reward of a
prompt on fixed examples does not change, so that each different one is read once.
"""

from collections.abc import Mapping, Sequence

import torch

from trainables.core.settings.helped.rlprompt import RLPromptSettings
from trainables.errors import InputError
from trainables.hard.drawn import best_drawn, no_room, spent, with_drawn
from trainables.hard.helper import Helper, helper_of
from trainables.hard.methods.mixed import as_on_source
from trainables.hard.policy import Policy
from trainables.hard.problem import (
    HardFound,
    HardProblem,
    HardReplica,
    Progress,
    Rungs,
    by_judges,
)
from trainables.hard.racing import Race, source_race
from trainables.hard.scorer import Ids, Scorer, Translation
from trainables.hard.trials import Trials, piecewise, z_scores


def search(
    problem: HardProblem,
    replicas: Sequence[HardReplica],
    settings: RLPromptSettings,
    progress: Progress | None = None,
    rungs: Rungs | None = None,
) -> list[HardFound]:
    """Train one policy a replica, and draw for those that are controls.

    Where further models reward, what is found has ``validation`` and ``logits`` of the source;
    those in its curve are the mean by which the choice was made.

    Raises:
        InputError: a replica names no evaluator of the problem, the helper knows none of its words,
            or a prompt does not fit a model.
    """

    def part(
        judges: tuple[str, ...],
        stack: Sequence[HardReplica],
        tell: Progress | None,
        ask: Rungs | None,
    ) -> list[HardFound]:
        return _Stack(problem, judges, len(stack), settings, tell).found(stack, ask)

    return by_judges(part, problem, replicas, progress, rungs)


class _Seeker:
    """One policy with its rewards.

    Attributes:
        place: of its replica in the race.
        policy: what learns.
        trials: rewards of prompts.
        offered: prompts that were offered to the race.
    """

    def __init__(self, place: int, policy: Policy, trials: Trials) -> None:
        self.place = place
        self.policy = policy
        self.trials = trials
        self.offered: set[Ids] = set()
        self.failed: int | None = None
        self.stopped: int | None = None

    def learn(self, settings: RLPromptSettings) -> bool:
        """One step; whether the loss was a finite number."""
        taken, states = self.policy.sample(settings.prompts)
        prompts = self.policy.helper.prompts(taken)
        rewards = self.trials([tuple(ids) for ids in prompts.tolist()])
        if settings.normalise:
            rewards = z_scores(rewards)
        return self.policy.learn(taken, states, settings.reward_scale * rewards)


class _Stack:
    """The searches that are rewarded by the same models."""

    def __init__(
        self,
        problem: HardProblem,
        judges: Sequence[str],
        replicas: int,
        settings: RLPromptSettings,
        progress: Progress | None,
    ) -> None:
        self._problem = problem
        self._settings = settings
        self._progress = progress
        self._home = problem.source.backbone
        self._scorers = [Scorer(problem.source, settings.prompt_length)]
        for alias in judges:
            reading = problem.evaluators[alias]
            words = Translation(self._home, reading.backbone)
            self._scorers.append(Scorer(reading, settings.prompt_length, words))
        # Controls have places of their own behind those of the searches.
        self._race = Race(
            self._scorers,
            problem.metric,
            2 * replicas,
            ties=settings.ties,
            margin=settings.race_margin,
            home=self._home,
        )
        self._drawn = replicas

    def found(self, replicas: Sequence[HardReplica], rungs: Rungs | None) -> list[HardFound]:
        """What each ends with."""
        found = with_drawn(replicas, self._search, self._draw, rungs)
        if len(self._scorers) == 1:
            return found
        on_source = source_race(self._problem, len(replicas), self._settings)
        on_source.offer(self._settings.steps, torch.tensor([item.ids for item in found]))
        return [
            as_on_source(item, on_source.found(place, self._settings.steps))
            for place, item in enumerate(found)
        ]

    def _trials(self, seed: int) -> Trials:
        settings = self._settings
        measure = piecewise(settings.correct, settings.incorrect)
        worst = -settings.incorrect
        return Trials(self._scorers, self._home, settings.reward_texts, seed, measure, worst)

    def _helper(self, replica: HardReplica) -> Helper:
        return Helper(helper_of(self._problem), self._home, replica.allowed)

    def _search(self, replicas: Sequence[HardReplica], rungs: Rungs | None) -> list[HardFound]:
        settings, every = self._settings, []
        for place, replica in enumerate(replicas):
            policy = Policy(self._helper(replica), settings, settings.prompt_length, replica.seed)
            every.append(_Seeker(place, policy, self._trials(replica.seed)))
        self._offer(0, every)
        left = every
        evaluations = {
            round(number * settings.steps / settings.evaluations)
            for number in range(1, settings.evaluations + 1)
        }
        for step in range(1, settings.steps + 1):
            for seeker in left:
                if not seeker.learn(settings):
                    seeker.failed = step
            left = [seeker for seeker in left if seeker.failed is None]
            if step in evaluations and left:
                self._offer(step, left)
                if rungs and step < settings.steps:
                    left = self._staying(step, left, rungs)
            if self._progress:
                self._progress(step, settings.steps)
            if not left:
                break
        return [self._ended(seeker) for seeker in every]

    def _offer(self, step: int, seekers: Sequence[_Seeker]) -> None:
        prompts = [seeker.policy.likeliest() for seeker in seekers]
        for seeker, ids in zip(seekers, prompts, strict=True):
            seeker.trials([ids])
        fit = [
            (seeker, ids)
            for seeker, ids in zip(seekers, prompts, strict=True)
            if seeker.trials.fits(ids)
        ]
        if not step and len(fit) < len(seekers):
            raise InputError(no_room(self._settings.prompt_length))
        for seeker, ids in fit:
            seeker.offered.add(ids)
        if fit:
            places = [seeker.place for seeker, _ in fit]
            self._race.offer(step, torch.tensor([ids for _, ids in fit]), places)

    def _staying(self, step: int, seekers: Sequence[_Seeker], rungs: Rungs) -> list[_Seeker]:
        stopped: dict[int, int] = {}
        places = [seeker.place for seeker in seekers]
        staying = set(self._race.staying(step, places, rungs, stopped))
        for seeker in seekers:
            seeker.stopped = stopped.get(seeker.place)
        return [seeker for seeker in seekers if seeker.place in staying]

    def _ended(self, seeker: _Seeker) -> HardFound:
        found = self._race.found(seeker.place, self._settings.steps)
        found.failed, found.stopped = seeker.failed, seeker.stopped
        found = spent(found, seeker.trials, len(seeker.offered))
        found.cost += seeker.policy.helper.cost
        return found

    def _draw(self, replica: HardReplica, told: Mapping[str, int], steps: int) -> HardFound:
        self._drawn += 1
        return best_drawn(
            self._race,
            self._drawn - 1,
            self._trials(replica.seed),
            self._helper(replica).words,
            self._settings.prompt_length,
            told,
            steps,
            replica.seed,
        )
