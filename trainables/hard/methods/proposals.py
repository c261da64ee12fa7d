"""Prompts that a language model proposes itself (Zhou et al. 2023, APE; Yang et al. 2024, OPRO).

It is shown examples of the task, and with ``ask: history`` the best prompts so far with their
scores, and goes on with the words that may be used. Each different proposal is scored on the
training examples, which is what the history shows, and races on validation against the best one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from trainables.backbones import Reader
from trainables.core.seeds import seeded
from trainables.core.settings.helped.proposals import ProposalsSettings
from trainables.errors import InputError
from trainables.hard.drawn import best_drawn, spent, with_drawn
from trainables.hard.helper import Helper, helper_of
from trainables.hard.problem import HardFound, HardProblem, HardReplica, Progress, Rungs
from trainables.hard.racing import Race
from trainables.hard.scorer import Scorer
from trainables.hard.text import decode
from trainables.hard.trials import Trials, share_right

Example = tuple[str, str]
"""A text and its answer."""
Scored = tuple[str, float]
"""A prompt and its share of right answers."""


def search(
    problem: HardProblem,
    replicas: Sequence[HardReplica],
    settings: ProposalsSettings,
    progress: Progress | None = None,
    rungs: Rungs | None = None,
) -> list[HardFound]:
    """Ask for the prompts of every replica, and draw for those that are controls.

    Raises:
        InputError: the helper knows none of a replica's words, or has no room for the question.
    """
    scorer = Scorer(problem.source, settings.prompt_length)
    home = problem.source.backbone
    # Controls have places of their own behind those of the searches.
    race = Race(
        [scorer],
        problem.metric,
        2 * len(replicas),
        ties=settings.ties,
        margin=settings.race_margin,
    )
    drawn = iter(range(len(replicas), 2 * len(replicas)))

    def trials(seed: int) -> Trials:
        return Trials([scorer], home, settings.reward_texts, seed, share_right, 0.0)

    def helper(replica: HardReplica) -> Helper:
        return Helper(helper_of(problem), home, replica.allowed)

    def ask(stack: Sequence[HardReplica], stops: Rungs | None) -> list[HardFound]:
        every = [
            _Asker(place, helper(item), trials(item.seed), item.seed)
            for place, item in enumerate(stack)
        ]
        return _ask_all(every, problem, settings, race, progress, stops)

    def draw(replica: HardReplica, told: Mapping[str, int], steps: int) -> HardFound:
        words = helper(replica).words
        return best_drawn(
            *(race, next(drawn), trials(replica.seed), words),
            *(settings.prompt_length, told, steps, replica.seed),
        )

    return with_drawn(replicas, ask, draw, rungs)


@dataclass
class _Asker:
    """One search.

    Attributes:
        place: of its replica in the race.
        helper: who is asked.
        trials: scores of prompts.
        seed: of what is shown and of the sampling.
        stopped: after which step it was stopped, if it was.
    """

    place: int
    helper: Helper
    trials: Trials
    seed: int
    stopped: int | None = None

    def ask(self, step: int, problem: HardProblem, settings: ProposalsSettings) -> torch.Tensor:
        """Proposals [K, m] of a step, scored."""
        generator = seeded("proposals", self.seed, step)
        shown = torch.randperm(len(self.trials.rows), generator=generator)[: settings.examples]
        examples = [problem.examples[row] for row in self.trials.rows[shown].tolist()]
        best = self.trials.best(settings.history) if settings.ask == "history" else []
        history = [
            (decode(problem.source.backbone, ids), self.trials.known[ids]) for ids in reversed(best)
        ]
        asked = question(self.helper.backbone, examples, history, settings)
        prompts = self.helper.sample(
            asked, settings.prompts, settings.prompt_length, generator, settings.temperature
        )
        self.trials([tuple(ids) for ids in prompts.tolist()])
        return prompts


def _ask_all(
    every: Sequence[_Asker],
    problem: HardProblem,
    settings: ProposalsSettings,
    race: Race,
    progress: Progress | None,
    rungs: Rungs | None,
) -> list[HardFound]:
    left = list(every)
    for step in range(1, settings.steps + 1):
        prompts = torch.stack([asker.ask(step, problem, settings) for asker in left])
        race.offer(step, prompts, [asker.place for asker in left])
        if rungs and step < settings.steps:
            stopped: dict[int, int] = {}
            staying = race.staying(step, [asker.place for asker in left], rungs, stopped)
            for asker in left:
                asker.stopped = stopped.get(asker.place)
            left = [asker for asker in left if asker.place in staying]
        if progress:
            progress(step, settings.steps)
        if not left:
            break
    found = []
    for asker in every:
        item = spent(race.found(asker.place, settings.steps), asker.trials, len(asker.trials.known))
        item.stopped = asker.stopped
        item.cost += asker.helper.cost
        found.append(item)
    return found


def question(
    helper: Reader,
    examples: Sequence[Example],
    history: Sequence[Scored],
    settings: ProposalsSettings,
) -> list[int]:
    """What the helper is asked, as its tokens; in its chat template where it has one.

    Where there is no room for everything, examples are left out first, the last ones first, then
    the worst prompts.

    Args:
        examples: of the task; their texts are cut.
        history: prompts with their scores, the best last.

    Raises:
        InputError: there is no room for the shortest question.
    """
    room = helper.family.max_tokens - settings.prompt_length
    cut = [(_cut(helper, text, settings.example_tokens), answer) for text, answer in examples]
    told, past = list(cut), list(history)
    while True:
        asked = _tokens(helper, told, past)
        if len(asked) <= room:
            return asked
        if told:
            told.pop()
        elif past:
            past.pop(0)
        else:
            raise InputError(
                f"helper: model {helper.alias!r} has room for {helper.family.max_tokens} tokens;"
                f" allowed: a model with room for {len(asked)} of the question and"
                f" {settings.prompt_length} of the prompt"
            )


def _tokens(helper: Reader, examples: Sequence[Example], history: Sequence[Scored]) -> list[int]:
    parts = []
    if examples:
        parts.append("Texts and their answers:")
        parts += [f"Text: {text}\nAnswer: {answer}" for text, answer in examples]
    if history:
        parts.append("Words in front of the texts, and how many answers they get right:")
        parts += [f"Words: {prompt}\nRight: {100 * share:.0f}%" for prompt, share in history]
    wanted = "Better words" if history else "Words"
    if helper.chat is None:
        ending = f"{wanted} to put in front of every text, so that its answer is found:"
        text = "\n\n".join([*parts, ending])
        return [*helper.begin, *helper.tokens(text)]
    ending = f"Write {wanted.lower()} to put in front of every text, so that its answer is found."
    text = "\n\n".join([*parts, ending, "Write these words alone."])
    frame = helper.chat
    return [*frame.begin, *frame.texts([text], "")[0], *frame.ends("")[1]]


def _cut(helper: Reader, text: str, tokens: int) -> str:
    ids = helper.tokens(text)
    if len(ids) <= tokens:
        return text
    return str(helper.tokenizer.decode(ids[:tokens])).strip()
