"""Tuning prompts, stacked, against PEFT: ``python -m benchmarks.tuning``.

A sweep's load: many prompts on frozen models. Ours go as one stack, PEFT's one after another; a few
of theirs are run and give the rate. Each of them must end as ours does: same prompt, same
validation logits.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from benchmarks.finding import Finding, Skipped
from benchmarks.flops import tuning_flops
from benchmarks.machine import Floor
from benchmarks.peers.prompt_tuning import Outcome, PeftPrompt, by_loop, by_trainer, plain_model
from benchmarks.race import Times, race
from benchmarks.setting import located, missing, source, task
from trainables.backbones import Layout
from trainables.compute.process import keep_freed_memory
from trainables.core.settings import SoftSettings
from trainables.core.weight import Weight
from trainables.soft.initialisation import Beginning, begin
from trainables.soft.tuning import Replica, Tuned, batch_order, tune
from trainables.words.relative import Grams, gram_matrices, normalised_anchors
from trainables.words.vocabulary import common_vocabulary

TARGET = 5.0
FAR = 0.02
"""Largest allowed distance between two runs' prompts, as a share of how far they were moved.
Rounding moves an entry whose gradient is almost 0 by up to the learning rate."""


@dataclass(frozen=True)
class Load:
    """What is tuned.

    Attributes:
        models: sources, tuned jointly where there are several.
        replicas: prompt sets of the stack.
        alone: how many of them the peers run.
        steps: of each.
        rounds: of the race.
        threads: of all contestants.
        loss: over the ``label_words``, or, as in PEFT's documentation, ``outputs.loss`` over the
            ``vocabulary``.
    """

    models: tuple[str, ...]
    replicas: tuple[Replica, ...]
    alone: int = 2
    steps: int = 6
    rounds: int = 3
    threads: int = 1
    loss: str = "label_words"


SEEDS = tuple(Replica(seed, Weight.of(0.0)) for seed in range(18))
GRID = tuple(
    Replica(seed, Weight.of(weight))
    for weight in (0.0, 0.1, 0.3, 0.5, 0.9, "annealing")
    for seed in range(3)
)
LOADS = (
    Load(("BERT-tiny",), SEEDS),
    Load(("MiniLM-L6",), SEEDS, steps=3, rounds=2),
    Load(("MiniLM-L6",), SEEDS, steps=3, rounds=2, loss="vocabulary"),
    Load(("pocket-gpt2",), SEEDS),
    Load(("pocket-gpt2",), SEEDS, rounds=2, loss="vocabulary"),
    Load(("BERT-tiny", "pocket-gpt2"), GRID, steps=4),
)
LOSS = {"label_words": "loss over label words", "vocabulary": "outputs.loss over all words"}


def measure(load: Load) -> list[Finding | Skipped]:
    """One load against the loop and, of a single source, against the Trainer."""
    names = " + ".join(load.models)
    claim = f"Tune {len(load.replicas)} prompts on {names}"
    for model in load.models:
        if why := missing(model):
            return [Skipped(claim, why)]
    torch.set_num_threads(load.threads)
    keep_freed_memory()
    contest = _Contest(load)
    contestants = {"ours": contest.ours, "loop": contest.loop}
    if len(load.models) == 1:
        contestants["trainer"] = contest.trainer
    times, given = race(load.rounds, contestants)
    same = contest.check(given.pop("ours"), given)
    stacked = len(load.replicas) * load.steps
    floor = Floor(contest.flops())
    findings: list[Finding | Skipped] = []
    for name, text in (("loop", "PEFT, plain loop"), ("trainer", "PEFT, Hugging Face Trainer")):
        if name in times:
            findings.append(
                Finding(
                    claim=claim,
                    peer=f"{text}, {LOSS[load.loss]}"
                    + (", literal L_ra" if len(load.models) > 1 else ""),
                    ours=stacked / times["ours"].median,
                    theirs=load.alone * load.steps / times[name].median,
                    unit="replica-steps/s",
                    target=TARGET,
                    same=same,
                    floor=floor,
                    floor_count=stacked,
                    threads=load.threads,
                    more={
                        "task": task().name,
                        "tokens_a_row": contest.tokens_a_row(),
                        "processor_ratio": _processor_ratio(times, name, load),
                        **{f"{who}_times": lap.record() for who, lap in times.items()},
                    },
                )
            )
    return findings


def _processor_ratio(times: dict[str, Times], name: str, load: Load) -> float:
    theirs = times[name].record()["processor_seconds"] / load.alone
    return theirs / (times["ours"].record()["processor_seconds"] / len(load.replicas))


class _Contest:
    """Both sides on the same rows from the same start."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.settings = SoftSettings(
            steps=load.steps, learning_rate=0.05, evaluations=1, loss=load.loss
        )
        layout = Layout(self.settings.prompt_length)
        self.sources = [source(model, layout) for model in load.models]
        self.bases = [
            plain_model(one, located(model).location)
            for one, model in zip(self.sources, load.models, strict=True)
        ]
        self.grams: Grams = {}
        self.anchors: Sequence[torch.Tensor] = ()
        if len(self.sources) > 1:
            backbones = [one.backbone for one in self.sources]
            anchors = normalised_anchors(backbones, common_vocabulary(backbones))
            self.grams = gram_matrices(anchors)
            self.anchors = [rows.float() for rows in anchors]

    def ours(self) -> Tuned:
        """All replicas as one stack."""
        return tune(self.sources, self.load.replicas, self.settings, self.grams, task().metric)

    def _tunings(self, replica: Replica) -> list[PeftPrompt]:
        return [
            PeftPrompt(
                one,
                base,
                begin(Beginning(one.backbone, one.label_ids, self.settings, replica.seed, one.key)),
                self.load.loss,
            )
            for one, base in zip(self.sources, self.bases, strict=True)
        ]

    def loop(self) -> list[Outcome]:
        """Some of them by the plain loop, one after another."""
        return [
            by_loop(self._tunings(replica), replica, self.settings, self.anchors)
            for replica in self._few
        ]

    def trainer(self) -> list[Outcome]:
        """The same by the Trainer."""
        with tempfile.TemporaryDirectory() as folder:
            return [
                by_trainer(self._tunings(replica)[0], replica, self.settings, folder)
                for replica in self._few
            ]

    @property
    def _few(self) -> Sequence[Replica]:
        """The last ones: of a grid those with the largest weights."""
        return self.load.replicas[-self.load.alone :]

    def check(self, tuned: Tuned, peers: Mapping[str, Sequence[Outcome]]) -> str:
        """What was found the same between our stack and each peer.

        Raises:
            AssertionError: a peer ends elsewhere.
        """
        began = [self._tunings(replica) for replica in self._few]
        first = len(self.load.replicas) - self.load.alone
        for outcomes in peers.values():
            for place, outcome in enumerate(outcomes):
                for number in range(len(self.sources)):
                    same_tuning(
                        tuned.prompts[number][first + place],
                        outcome.prompts[number],
                        began[place][number].own.detach(),
                    )
                    torch.testing.assert_close(
                        tuned.validation[number][first + place],
                        outcome.validation[number],
                        atol=0.02,
                        rtol=0.02,
                    )
        return (
            f"prompts after {self.load.steps} steps within {FAR:.0%}, validation logits within 0.02"
        )

    def flops(self) -> int:
        """Operations that the whole stack's training needs."""
        seeds = [replica.seed for replica in self.load.replicas]
        found = 0
        for one in self.sources:
            rows = [batch_order(len(one.train), self.settings, seed).flatten() for seed in seeds]
            length = self.settings.prompt_length
            found += tuning_flops(one, length, torch.cat(rows), self.load.loss)
        return found

    def tokens_a_row(self) -> float:
        """Mean length of a training row, prompt and special tokens included."""
        return float(self.sources[0].train.lengths.float().mean())


def same_tuning(ours: torch.Tensor, theirs: torch.Tensor, start: torch.Tensor) -> None:
    """Raise AssertionError if two prompts [m, d] lie farther apart than :data:`FAR` allows."""
    moved = float((theirs - start).norm())
    apart = float((ours - theirs).norm())
    if not apart <= FAR * moved:
        raise AssertionError(f"prompts are {apart:.4f} apart after moving by {moved:.4f}")


MEASURES = {
    f"tuning_{'_'.join(load.models)}"
    + ("" if load.loss == "label_words" else "_documented"): partial(measure, load)
    for load in LOADS
}
