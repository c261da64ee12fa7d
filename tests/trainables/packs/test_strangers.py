"""A toy of each kind, entered in one line, computes cells: nothing else has to know of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch

from sweep.planning.plan import make_plan
from sweep.spec.spec import parse_spec
from trainables.core import registries
from trainables.core.cells import Cell, Pack
from trainables.core.registries import SolverKind
from trainables.core.seeds import seeded
from trainables.core.settings import HardSettings, SoftSettings, TransferSettings, stored
from trainables.core.settings.base import Count
from trainables.core.settings.helped.base import HelpedSettings
from trainables.hard.drawn import best_drawn, spent, with_drawn
from trainables.hard.helper import Helper, helper_of
from trainables.hard.methods.random_words import random_prompts
from trainables.hard.problem import HardFound, HardProblem, HardReplica
from trainables.hard.racing import Race, source_race
from trainables.hard.scorer import Scorer
from trainables.hard.trials import Trials, share_right
from trainables.models.names import resolve_model
from trainables.packs.pack import run_pack
from trainables.scoring import losses
from trainables.soft.initialisation import Beginning, Initialisation
from trainables.tasks import resolve_task
from trainables.transfer import Candidates, Found, Judges, Problem, Solver
from trainables.transfer.norms import Lengths
from trainables.transfer.selection import Chosen

SOURCE, TARGET, TASK = "pocket-gpt2", "pocket-bert", "mini/topics"


class Counting(Solver):
    """Candidates of ones and of twos."""

    def solve(self, problem: Problem, settings: TransferSettings) -> Found:
        ones = torch.ones(problem.shape)
        return Found(torch.stack([ones, 2 * ones]) * (settings.steps or 0), (1.0, 2.0))


def tenfold(found: torch.Tensor, lengths: Lengths) -> torch.Tensor:
    del lengths
    return 10 * found


def last(candidates: Candidates, problem: Problem, judges: Judges) -> Chosen:
    del judges
    return Chosen([len(candidates) - 1] * len(problem.seeds))


def twice(*given: Any) -> torch.Tensor:
    return 2 * losses.label_words(*given)


def first(step: int, value: float, loss: float) -> tuple[float, float]:
    del value, loss
    return (-float(step), 0.0)


def threes(start: Beginning) -> torch.Tensor:
    return torch.full((start.settings.prompt_length, start.backbone.width), 3.0)


def search(
    problem: HardProblem, replicas: Sequence[HardReplica], settings: Any, *more: Any
) -> list[HardFound]:
    """The best of so many random prompts."""
    del more
    race = source_race(problem, len(replicas), settings)
    for step in range(settings.tries):
        race.offer(step, random_prompts(replicas, settings.prompt_length).roll(step, 1))
    return [race.found(replica, settings.tries) for replica in range(len(replicas))]


@dataclass(frozen=True)
class TriesSettings(HardSettings):
    search: ClassVar[Any] = search

    tries: Count = 3


def asked(
    problem: HardProblem, replicas: Sequence[HardReplica], settings: Any, *more: Any
) -> list[HardFound]:
    """The best of what a helper says, with the best of as many random prompts beside it."""
    del more
    scorer, home = Scorer(problem.source, settings.prompt_length), problem.source.backbone
    race = Race([scorer], problem.metric, 2 * len(replicas))
    places = iter(range(2 * len(replicas)))

    def trials(seed: int) -> Trials:
        return Trials([scorer], home, settings.reward_texts, seed, share_right, 0.0)

    def one(replica: HardReplica) -> HardFound:
        helper, place = Helper(helper_of(problem), home, replica.allowed), next(places)
        said = helper.sample([9, 9], settings.prompts, settings.prompt_length, seeded(replica.seed))
        scored = trials(replica.seed)
        scored([tuple(ids) for ids in said.tolist()])
        race.offer(1, said[None], [place])
        return spent(race.found(place, 1), scored, len(scored.known))

    def draw(replica: HardReplica, told: Mapping[str, int], step: int) -> HardFound:
        words = Helper(helper_of(problem), home, replica.allowed).words
        rest = (words, settings.prompt_length, told, step, replica.seed)
        return best_drawn(race, next(places), trials(replica.seed), *rest)

    return with_drawn(replicas, lambda stack, _: [one(item) for item in stack], draw, None)


@dataclass(frozen=True)
class AskedSettings(HelpedSettings):
    search: ClassVar[Any] = asked


@pytest.fixture(autouse=True)
def entered(monkeypatch: pytest.MonkeyPatch) -> None:
    for registry, thing in (
        (registries.SOLVERS, SolverKind(Counting, {"steps": 2})),
        (registries.NORMS, tenfold),
        (registries.SELECTIONS, last),
        (registries.LOSSES, twice),
        (registries.CHECKPOINTS, first),
        (registries.INITIALISATIONS, Initialisation(threes)),
        (registries.METHODS, TriesSettings),
    ):
        monkeypatch.setitem(registry, "toy", thing)  # type: ignore[arg-type]
    monkeypatch.setitem(registries.METHODS, "asked", AskedSettings)


def outcome(method: str, settings: dict[str, Any], carried: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Of a prompt tuned on one model, and of what is carried to another."""
    on: dict[str, Any] = {"method": method, "task": TASK, "sources": (SOURCE,)}
    on |= {"seed": 0, "weight": 0.0}
    tuned = Cell("source", "independent", target=SOURCE, settings=settings, **on)
    inputs = (tuned.id,)
    moved = Cell("transfer", "single", target=TARGET, settings=carried, inputs=inputs, **on)
    models = {name: resolve_model(name) for name in (SOURCE, TARGET)}
    pack = Pack("tune", method, resolve_task(TASK), models, (SOURCE,), (tuned, moved))
    found = run_pack(pack, {})
    assert found.failures == {}
    return found, tuned.id, moved.id


def test_toys_tune_and_carry_a_soft_prompt() -> None:
    settings = SoftSettings(
        prompt_length=2, steps=4, evaluations=4, batch_size=4, text_tokens=12,
        loss="toy", checkpoint="toy", init="toy", learning_rate=1e-6,
    )  # fmt: skip
    transfer = TransferSettings(solver="toy", norm="toy", selection="toy")
    read = {"prompt_length": 2, "position": "prefix", "text_tokens": 12}
    found, tuned, moved = outcome("soft", stored(settings), {**stored(transfer), **read})
    assert found.results[tuned]["best_step"] == 1
    torch.testing.assert_close(torch.from_numpy(found.prompts[tuned]), torch.full((2, 128), 3.0))
    assert found.results[moved]["candidates"] == 2
    assert set(found.prompts[moved].flatten().tolist()) == {2 * 2 * 10.0}


def test_a_toy_finds_a_hard_prompt_that_is_carried_as_text() -> None:
    settings = stored(TriesSettings(prompt_length=3, vocabulary="all", text_tokens=12))
    kept = {"prompt_length", "vocabulary", "template", "seam", "bos", "text_tokens"}
    carried = {key: value for key, value in settings.items() if key in kept}
    found, tuned, moved = outcome("toy", settings, carried)
    assert found.results[tuned]["steps"] == 3
    assert found.results[moved]["text"] == found.results[tuned]["text"]


def test_a_toy_with_a_helper_has_its_control_planned_and_told() -> None:
    spec = {"name": "toy", "sources": [SOURCE], "targets": [TARGET], "tasks": [TASK], "seeds": 1,
            "methods": {"asked": {"helper": SOURCE, "prompt_length": 2, "prompts": 3,
                                  "reward_texts": 4, "text_tokens": 12}}}  # fmt: skip
    plan = make_plan(parse_spec(spec))
    (pack,) = (pack for pack in plan.packs if pack.kind == "tune" and pack.sources == (SOURCE,))
    found = run_pack(pack, {})
    assert found.failures == {}
    told = {cell.row: found.results[cell.id] for cell in pack.cells if cell.kind == "source"}
    assert told.keys() == {"all", "drawn"}
    assert told["all"]["prompts_scored"] == told["drawn"]["prompts_scored"] == 3
