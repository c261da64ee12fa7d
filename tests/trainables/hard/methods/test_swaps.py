"""AutoPrompt's round against a literal reading of it."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.trainables.tiny import ARCHITECTURES, tiny
from trainables.backbones import Layout
from trainables.compute.passes import length_batches
from trainables.core.registries import METHODS
from trainables.core.seeds import seeded
from trainables.core.settings.autoprompt import AutoPromptSettings
from trainables.core.settings.mixed import MixedSettings
from trainables.errors import InputError
from trainables.hard.methods import autoprompt, random_words, swaps
from trainables.hard.problem import HardProblem, HardReplica, TaskModel
from trainables.hard.scorer import Ids, Scorer
from trainables.soft.tuning import batch_order
from trainables.testing import hard_contract

TEXTS = [
    ("the film was good", 1),
    ("a bad and boring story", 0),
    ("we liked it very much", 1),
    ("what a waste of time , really", 0),
    ("fine music and a good plot", 1),
    ("never again", 0),
    ("i would see it twice", 1),
]


def reading(name: str, slots: int = 3) -> TaskModel:
    backbone = tiny(name)
    data = backbone.read(
        [text for text, _ in TEXTS], [label for _, label in TEXTS], Layout(slots), "t"
    )
    labels = backbone.labels(["bad", "good"], "t")
    return TaskModel(backbone, labels, data, data.take(torch.arange(5)))


def literal_loss(source: TaskModel, vectors: torch.Tensor, rows: list[int]) -> torch.Tensor:
    """Mean loss of one prompt [m, d], a row at a time."""
    losses = []
    for row in rows:
        one = source.train.take(torch.tensor([row]))
        logits = source.backbone.label_logits(vectors[None], one, source.label_ids)[0, 0]
        losses.append(-torch.log_softmax(logits, -1)[int(one.gold[0])])
    return torch.stack(losses).mean()


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_the_gradient_is_that_of_the_mean_loss_over_all_batches(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swaps, "GRADIENT_TOKENS", 40)
    source = reading(name)
    ids = torch.tensor([[5, 9, 30], [7, 7, 40]])
    rows = torch.tensor([[0, 3, 3, 6], [1, 2, 4, 5]])
    got = swaps.prompt_gradient(source, ids, rows)
    for replica in range(2):
        vectors = source.backbone.embeddings[ids[replica]].clone().requires_grad_()
        literal_loss(source, vectors, rows[replica].tolist()).backward()
        torch.testing.assert_close(got[replica], vectors.grad, atol=1e-4, rtol=1e-3)
        assert float(vectors.grad.abs().max()) > 1e-3


def test_candidates_are_the_best_allowed_tokens_to_first_order() -> None:
    source = reading("gpt2")
    draw = torch.Generator().manual_seed(0)
    allowed = torch.randperm(2000, generator=draw)[:50].sort().values
    replicas = [HardReplica(0, allowed), HardReplica(1, allowed[:3])]
    ids = allowed[torch.tensor([[4, 5, 6], [0, 1, 2]])]
    gradient = torch.randn(2, 3, 16, generator=draw)
    settings = AutoPromptSettings(prompt_length=3, candidates=8)
    wide, few = swaps.propose(source, replicas, ids, gradient, torch.tensor([1, 2]), settings)
    table = source.backbone.embeddings
    for found, replica, at, count in ((wide, 0, 1, 8), (few, 1, 2, 2)):
        present = int(ids[replica, at])
        change = {
            int(token): float((table[token] - table[present]) @ gradient[replica, at])
            for token in replicas[replica].allowed
            if token != present
        }
        expected = sorted(change, key=lambda token: change[token])[:count]
        assert found[:, at].tolist() == [present, *expected]
        others = [place for place in range(3) if place != at]
        assert (found[:, others] == ids[replica, others]).all()


def test_a_tie_goes_to_the_token_that_stands_first() -> None:
    source = reading("gpt2")
    allowed = torch.tensor([10, 11, 12, 13])
    zero = torch.zeros(1, 3, 16)
    settings = AutoPromptSettings(prompt_length=3, candidates=2)
    (found,) = swaps.propose(
        source, [HardReplica(0, allowed)], torch.tensor([[11, 12, 13]]), zero, torch.tensor([0]),
        settings,
    )  # fmt: skip
    assert found[:, 0].tolist() == [11, 10, 12]


def literal_search(
    problem: HardProblem, replica: HardReplica, settings: AutoPromptSettings
) -> list[tuple[int, ...]]:
    """The prompts of AutoPrompt's rounds, one row, one candidate at a time."""
    source = problem.source
    table = source.backbone.embeddings
    half = settings.accumulation * settings.batch_size
    order = batch_order(len(source.train), swaps._Pace(2 * half, settings.steps), replica.seed)
    draws = torch.randint(
        settings.prompt_length, (settings.steps,), generator=seeded("position", replica.seed)
    )
    generator = seeded("hard-init", replica.seed)
    index = torch.randint(len(replica.allowed), (settings.prompt_length,), generator=generator)
    ids = replica.allowed[index].tolist()
    seen = [tuple(ids)]
    for step in range(settings.steps):
        vectors = table[ids].clone().requires_grad_()
        literal_loss(source, vectors, order[step, :half].tolist()).backward()
        at = int(draws[step])
        slope = vectors.grad[at]
        estimate = (table @ slope).tolist()
        others = [token for token in replica.allowed.tolist() if token != ids[at]]
        others.sort(key=lambda token: estimate[token])
        fresh = order[step, half:].tolist()
        best, best_score = ids, -math.inf
        for token in [ids[at], *others[: settings.candidates]]:
            tried = [*ids[:at], token, *ids[at + 1 :]]
            if settings.score == "loss":
                score = -float(literal_loss(source, table[tried], fresh))
            else:
                rights = []
                for row in fresh:
                    one = source.train.take(torch.tensor([row]))
                    logits = source.backbone.label_logits(table[tried][None], one, source.label_ids)
                    rights.append(int(logits[0, 0].argmax()) == int(one.gold[0]))
                score = sum(rights) / len(rights)
            if score > best_score + 1e-7:
                best, best_score = tried, score
        ids = best
        seen.append(tuple(ids))
    return seen


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "score"),
    [
        (lambda: reading("bert"), "loss"),
        (lambda: reading("gpt2"), "loss"),
        (lambda: hard_contract.reading("pocket-bert", 3), "accuracy"),
    ],
    ids=["bert", "gpt2", "accuracy"],
)
def test_a_search_is_a_literal_reading(
    source: Callable[[], TaskModel], score: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = AutoPromptSettings(
        prompt_length=3, steps=6, batch_size=3, accumulation=2, candidates=4, score=score
    )
    problem = HardProblem(source(), (), "accuracy")
    allowed = torch.arange(300, 900)
    offered: dict[int, tuple[int, ...]] = {}
    kept = autoprompt.source_race

    def spying(*args: Any) -> Any:
        race = kept(*args)
        offer = race.offer

        def spy(step: int, prompts: torch.Tensor, replicas: Any = None) -> list[bool]:
            offered[step] = tuple(prompts[0].tolist())
            return offer(step, prompts, replicas)

        race.offer = spy  # type: ignore[method-assign]
        return race

    monkeypatch.setattr(autoprompt, "source_race", spying)
    (found,) = autoprompt.search(problem, [HardReplica(3, allowed)], settings)
    expected = literal_search(problem, HardReplica(3, allowed), settings)
    changed = {
        step: ids for step, ids in enumerate(expected) if step == 0 or ids != expected[step - 1]
    }
    assert offered == changed
    assert len(changed) > 2, "some exchanges must be kept"
    assert found.ids in offered.values()


def test_prompts_on_rows_of_their_own() -> None:
    """Each prompt's logits on its examples, lengths mixed, in small passes."""
    source = reading("gpt2")

    def longer(ids: Ids) -> Ids:
        return ids + ids[:1] * (ids[0] % 2)

    scorer = Scorer(source, 3, longer)
    prompts = [(4, 5, 6), (5, 6, 7), (6, 7, 8), (4, 5, 6)]
    rows = torch.tensor([[0, 3], [6, 6], [2, 1], [5, 0]])
    got = scorer.own_logits(prompts, rows)
    for place, ids in enumerate(prompts):
        tokens = list(longer(ids))
        train = reading("gpt2", len(tokens)).train
        for column, row in enumerate(rows[place].tolist()):
            expected = source.backbone.label_logits(
                source.backbone.embeddings[tokens][None],
                train.take(torch.tensor([row])),
                source.label_ids,
            )[0, 0]
            torch.testing.assert_close(got[place, column], expected, atol=1e-4, rtol=1e-4)


def test_batches_by_length_hold_every_row_once() -> None:
    lengths = torch.tensor([9, 2, 30, 4, 4, 50, 1])
    parts = list(length_batches(lengths, 12, 12))
    assert sorted(itertools.chain(*[part.tolist() for part in parts])) == list(range(7))
    assert [lengths[part].tolist() for part in parts] == [[50], [30], [9], [4, 4, 2], [1]]
    assert parts[3].tolist() == [3, 4, 1]


def test_what_is_not_finite_stops_that_replica_alone() -> None:
    """A token whose embedding is NaN: the replica that starts with it is marked."""
    source = reading("opt")
    problem = HardProblem(source, (), "accuracy")
    settings = AutoPromptSettings(
        prompt_length=3, steps=3, batch_size=2, accumulation=1, candidates=3
    )
    good = HardReplica(0, torch.arange(200, 220))
    bad = HardReplica(1, torch.tensor([321]))
    (alone,) = autoprompt.search(problem, [good], settings)
    kept = source.backbone.embeddings[321].clone()
    try:
        source.backbone.embeddings[321] = math.nan
        found = autoprompt.search(problem, [good, bad], settings)
    finally:
        source.backbone.embeddings[321] = kept
    assert found[1].failed == 1
    assert found[0].failed is None
    assert found[0].ids == alone.ids


def test_random_prompts_depend_on_their_replica_alone() -> None:
    allowed = torch.arange(50, 90)
    replicas = [HardReplica(seed, allowed) for seed in range(4)]
    together = random_words.random_prompts(replicas, 10)
    alone = [random_words.random_prompts([replica], 10)[0] for replica in replicas]
    assert torch.equal(together, torch.stack(alone))
    assert len({tuple(row) for row in together.tolist()}) == 4
    many = random_words.random_prompts([HardReplica(0, allowed)], 4000)[0]
    counts = torch.bincount(many - 50, minlength=40)
    assert counts.min() > 50, "each allowed token is as likely as the others"


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("autoprompt", {"steps": 0}),
        ("autoprompt", {"candidates": 0}),
        ("autoprompt", {"accumulation": -1}),
        ("autoprompt", {"score": "f1"}),
        ("mixed", {"batch_size": 0}),
        ("mixed", {"choice": "source"}),
        ("random", {"s": 0}),
    ],
)
def test_bad_settings_are_one_sentence(method: str, more: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"^{next(iter(more))}: found .*; allowed: "):
        METHODS[method](**more)


def test_scores() -> None:
    logits = torch.tensor([[[2.0, 0.0], [0.0, 1.0]], [[0.0, 2.0], [0.0, 1.0]]])
    gold = torch.tensor([[0, 1], [0, 1]])
    assert swaps.SCORES["accuracy"](logits, gold).tolist() == [1.0, 0.5]
    expected = [-float(F.cross_entropy(logits[p], gold[p])) for p in range(2)]
    assert swaps.SCORES["loss"](logits, gold).tolist() == pytest.approx(expected)
    assert set(swaps.SCORES) == {"loss", "accuracy"}
    assert MixedSettings().choice == "evaluator"
