"""A stranger's variant of soft tuning: one class of settings, one parametrisation, one entry."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

import pytest
import torch

from tests.trainables.soft.test_tuning import grams_of, source
from trainables.core.cells import Cell, Pack
from trainables.core.registries import METHODS
from trainables.core.settings import SoftSettings, family_of, from_mapping, stored
from trainables.core.settings.base import Count, axis
from trainables.core.weight import Weight
from trainables.errors import InputError
from trainables.models.names import resolve_model
from trainables.packs.pack import run_pack
from trainables.soft.initialisation import Beginning
from trainables.soft.tuning import Replica, tune
from trainables.tasks import resolve_task


class LowRank:
    """A prompt [m, d] of rank r: P = A B with A [m, r] and B [r, d]."""

    def start(self, prompt: torch.Tensor, start: Beginning) -> Sequence[torch.Tensor]:
        left, lengths, right = torch.linalg.svd(prompt, full_matrices=False)
        rank = start.settings.rank  # type: ignore[attr-defined]
        roots = lengths[:rank].sqrt()
        return left[:, :rank] * roots, roots[:, None] * right[:rank]

    def prompts(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        left, right = tensors
        return left @ right


@dataclass(frozen=True)
class LowRankSettings(SoftSettings):
    parametrisation: ClassVar[type] = LowRank
    code_version: ClassVar[str] = "lowrank-1"

    rank: Count = axis(2)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METHODS, "lowrank", LowRankSettings)


SETTINGS = LowRankSettings(
    prompt_length=2, rank=1, steps=6, batch_size=3, learning_rate=0.05, init_std=0.5, evaluations=2
)


def test_it_is_trained_in_its_own_form_and_each_replica_as_alone() -> None:
    sources = [source("bert"), source("gpt2")]
    grams, _ = grams_of(sources)
    replicas = [Replica(seed, Weight.of(weight)) for seed, weight in ((0, 0.4), (1, "annealing"))]
    together = tune(sources, replicas, SETTINGS, grams, "accuracy")
    assert together.failed == {}
    for place, replica in enumerate(replicas):
        alone = tune(sources, [replica], SETTINGS, grams, "accuracy")
        for mine, theirs in zip(together.prompts, alone.prompts, strict=True):
            torch.testing.assert_close(mine[place], theirs[0], atol=1e-4, rtol=1e-3)
            assert int(torch.linalg.matrix_rank(mine[place], rtol=1e-5)) == 1


def test_full_rank_starts_where_vectors_do_and_the_gradient_is_that_of_its_form() -> None:
    """One step of P = A B: the gradient of A is that of P times Bᵀ; AdamW moves by its sign."""
    item = source("bert")
    one = {**asdict(SETTINGS), "rank": 2, "steps": 1, "evaluations": 1, "learning_rate": 1e-4}
    plain = {key: value for key, value in one.items() if key != "rank"}
    moved = tune([item], [Replica(0, Weight.of(0))], LowRankSettings(**one), {}, "accuracy")
    vectors = tune([item], [Replica(0, Weight.of(0))], SoftSettings(**plain), {}, "accuracy")
    torch.testing.assert_close(moved.prompts[0], vectors.prompts[0], atol=5e-3, rtol=0)
    assert not torch.equal(moved.prompts[0], vectors.prompts[0])


def test_a_replica_that_stops_leaves_the_others_as_they_were() -> None:
    item = source("gpt2")
    stack = [Replica(seed, Weight.of(0)) for seed in range(3)]
    whole = tune([item], stack, SETTINGS, {}, "accuracy")
    halted = tune([item], stack, SETTINGS, {}, "accuracy", rungs=lambda step, values: {1})
    assert halted.stopped == {1: 3}
    for place in (0, 2):
        torch.testing.assert_close(
            halted.prompts[0][place], whole.prompts[0][place], atol=1e-4, rtol=1e-3
        )


def test_its_cells_are_trained_carried_and_evaluated_under_its_name() -> None:
    kept = stored(LowRankSettings(prompt_length=3, rank=2, steps=4, evaluations=2))
    assert kept["rank"] == 2 and from_mapping(METHODS["lowrank"], kept).rank == 2
    assert family_of("lowrank") == "soft"
    with pytest.raises(InputError, match="rank: found 0; allowed: a whole number of at least 1"):
        LowRankSettings(rank=0)
    pair, target, task = ("pocket-bert", "pocket-gpt2"), "pocket-llama", "mini/topics"
    sources = [
        Cell("source", "joint", "lowrank", task, alias, pair, 0, 0.5, "constant", (), kept)
        for alias in pair
    ]
    inputs = tuple(cell.id for cell in sources)
    read = {"solver": "closed_form", "norm": "match", "prompt_length": 3, "position": "prefix"}
    carried = Cell(
        "transfer", "ours", "lowrank", task, target, pair, 0, 0.5, "constant", inputs, read
    )
    plain = Cell("source", "joint", "soft", task, pair[0], pair, 0, 0.5, "constant", (), kept)
    assert plain.id != sources[0].id
    models = {name: resolve_model(name) for name in (*pair, target)}
    cells = (*sources, carried)
    outcome = run_pack(Pack("tune", "lowrank", resolve_task(task), models, pair, cells), {})
    assert outcome.failures == {}
    assert set(outcome.results) == set(outcome.prompts) == {cell.id for cell in cells}
    for cell in sources:
        prompt = torch.from_numpy(outcome.prompts[cell.id])
        assert int(torch.linalg.matrix_rank(prompt, rtol=1e-5)) == 2
    assert outcome.results[carried.id]["similarity"] > 0.1
