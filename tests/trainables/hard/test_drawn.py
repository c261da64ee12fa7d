"""The control beside a search: as many different prompts, scored and chosen in the same way."""

from collections.abc import Mapping, Sequence

import torch

from trainables.hard.drawn import OFFERED, SCORED, random_different, with_drawn
from trainables.hard.problem import HardFound, HardReplica, Rungs


def test_random_prompts_differ_and_more_of_them_only_add_some() -> None:
    words = torch.tensor([3, 5, 8, 13, 21])
    found = random_different(words, 4, 60, seed=2)
    assert len(set(found)) == len(found) == 60
    assert {word for prompt in found for word in prompt} <= set(words.tolist())
    assert random_different(words, 4, 20, seed=2) == found[:20]
    assert random_different(words, 4, 60, seed=3) != found


def test_all_prompts_there_are_where_more_are_wanted() -> None:
    words = torch.tensor([4, 6])
    assert sorted(random_different(words, 2, 4, 0)) == [(4, 4), (4, 6), (6, 4), (6, 6)]
    assert len(set(random_different(words, 2, 3, 0))) == 3
    assert random_different(torch.tensor([7]), 3, 5, 0) == [(7, 7, 7)]


class Watch:
    """A search that scores as many prompts as its seed says, and a control that notes what for."""

    def __init__(self, failed: int | None = None) -> None:
        self.searched: list[int] = []
        self.drawn: list[tuple[int, int]] = []
        self.failed = failed

    def search(self, replicas: Sequence[HardReplica], rungs: Rungs | None) -> list[HardFound]:
        assert not any(replica.drawn for replica in replicas)
        self.searched += [replica.seed for replica in replicas]
        return [
            HardFound((replica.seed,), 1, 9, 0.5, failed=self.failed,
                      told={SCORED: 10 * replica.seed, OFFERED: replica.seed})
            for replica in replicas
        ]  # fmt: skip

    def draw(self, replica: HardReplica, told: Mapping[str, int], steps: int) -> HardFound:
        self.drawn.append((replica.seed, told[SCORED]))
        return HardFound((100 + replica.seed,), steps, steps, 0.4)


def replica(seed: int, drawn: bool = False) -> HardReplica:
    return HardReplica(seed, torch.arange(5), drawn=drawn)


def test_a_control_gets_as_many_prompts_as_its_search() -> None:
    watch = Watch()
    asked = [replica(2), replica(2, True), replica(3, True), replica(3)]
    found = with_drawn(asked, watch.search, watch.draw, None)
    assert [item.ids for item in found] == [(2,), (102,), (103,), (3,)]
    assert sorted(watch.searched) == [2, 3]
    assert watch.drawn == [(2, 20), (3, 30)]


def test_a_control_alone_has_its_search_run() -> None:
    watch = Watch()
    (found,) = with_drawn([replica(4, True)], watch.search, watch.draw, None)
    assert found.ids == (104,) and watch.searched == [4]


def test_a_search_that_fails_has_no_control() -> None:
    watch = Watch(failed=3)
    found = with_drawn([replica(1), replica(1, True)], watch.search, watch.draw, None)
    assert [item.failed for item in found] == [3, 3] and not watch.drawn


def test_rungs_are_asked_of_the_searches_by_their_places() -> None:
    seen: list[dict[int, float]] = []

    def rungs(step: int, values: Mapping[int, float]) -> set[int]:
        seen.append(dict(values))
        return {3}

    stopped: list[set[int]] = []

    def search(replicas: Sequence[HardReplica], ask: Rungs | None) -> list[HardFound]:
        assert ask is not None
        stopped.append(set(ask(1, {0: 0.1, 1: 0.2})))
        return Watch().search(replicas, None)

    with_drawn([replica(1, True), replica(1), replica(2, True), replica(2)], search,
               Watch().draw, rungs)  # fmt: skip
    assert seen == [{1: 0.1, 3: 0.2}] and stopped == [{1}]
