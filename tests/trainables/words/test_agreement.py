"""Neighbour agreement against a slow reading of paper B's equations 3 to 7."""

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import skew, spearmanr

from trainables.core.seeds import seeded
from trainables.errors import InputError
from trainables.words.agreement import (
    MODES,
    Agreement,
    Comparison,
    effective_k,
    neighbour_agreement,
)


def agreement_at(
    tables: list[torch.Tensor],
    k: int,
    comparison: Comparison | None = None,
    block: int | None = None,
) -> Agreement:
    """For one K."""
    return neighbour_agreement(tables, [k], comparison, block)[k]


def tables(count: int, widths: tuple[int, ...] = (12, 16), seed: int = 0) -> list[torch.Tensor]:
    """Embeddings that share some structure, so that scores spread."""
    generator = torch.Generator().manual_seed(seed)
    core = torch.randn(count, 8, generator=generator, dtype=torch.float64)
    loud = torch.rand(count, 1, generator=generator, dtype=torch.float64)
    made = []
    for width in widths:
        turn = torch.randn(8, width, generator=generator, dtype=torch.float64)
        noise = torch.randn(count, width, generator=generator, dtype=torch.float64)
        made.append(core @ turn + 3 * loud * noise + 0.5)
    return made


def neighbours_literally(
    table: np.ndarray, part: list[int], k: int, include_self: bool, center: str
) -> list[set[int]]:
    """Equations 3 and 4: per word the K words of the part with the largest cosines."""
    if center == "mean":
        table = table - table.mean(axis=0)
    unit = [row / np.sqrt((row * row).sum()) for row in table]
    found = []
    for word in range(len(table)):
        others = [other for other in part if include_self or other != word]
        others.sort(key=lambda other: -float(unit[word] @ unit[other]))
        found.append(set(others[:k]))
    return found


def agreement_literally(
    embeddings: list[torch.Tensor], parts: list[list[int]], k: int, comparison: Comparison
) -> list[float]:
    """Equations 5 to 7, word by word with sets."""
    count, models = len(embeddings[0]), len(embeddings)
    total = [0.0] * count
    for part in parts:
        sets = [
            neighbours_literally(e.numpy(), part, k, comparison.include_self, comparison.center)
            for e in embeddings
        ]
        for word in range(count):
            pairs = [
                len(sets[i][word] & sets[j][word]) / len(sets[i][word] | sets[j][word])
                for i, j in combinations(range(models), 2)
            ]
            total[word] += 2 / (models * (models - 1)) * sum(pairs) / len(parts)
    return total


@pytest.mark.slow
@pytest.mark.parametrize("include_self", [False, True])
@pytest.mark.parametrize("center", ["none", "mean"])
@pytest.mark.parametrize("widths", [(12, 16), (12, 16, 9)])
@pytest.mark.parametrize("block", [None, 1, 7])
def test_exact_is_what_the_equations_say(
    include_self: bool, center: str, widths: tuple[int, ...], block: int | None
) -> None:
    embeddings = tables(50, widths)
    comparison = Comparison(
        include_self=include_self, center=center, k_scale="literal", sample_size=49
    )
    found = neighbour_agreement(embeddings, [1, 6, 13], comparison, block)
    for k, agreement in found.items():
        wanted = agreement_literally(embeddings, [list(range(50))], k, comparison)
        assert agreement.scores.tolist() == pytest.approx(wanted, abs=1e-12)
        assert (agreement.k, agreement.neighbours, agreement.among) == (k, k, 50)


@pytest.mark.parametrize("include_self", [False, True])
@pytest.mark.parametrize("center", ["none", "mean"])
@pytest.mark.parametrize("widths", [(12, 16), (12, 16, 9)])
def test_sampled_is_what_the_equations_say(
    include_self: bool, center: str, widths: tuple[int, ...]
) -> None:
    embeddings = tables(40, widths)
    comparison = Comparison(
        "sampled", sample_size=15, samples=3, seed=4, include_self=include_self, center=center
    )
    # Drawn here by themselves: equation 4 takes h of c words, uniformly and without repetition.
    parts = [
        torch.randperm(40, generator=seeded("part", 4, number))[:15].tolist() for number in range(3)
    ]
    found = neighbour_agreement(embeddings, [2, 5], comparison, block=11)
    for k, agreement in found.items():
        wanted = agreement_literally(embeddings, parts, k, comparison)
        assert agreement.scores.tolist() == pytest.approx(wanted, abs=1e-12)
        assert (agreement.neighbours, agreement.among) == (k, 15)


def test_parts_are_new_ones_each_time_and_by_seed() -> None:
    comparison = Comparison("sampled", sample_size=30, samples=4)
    parts = MODES["sampled"](100, comparison)
    assert [len(set(part.tolist())) for part in parts] == [30] * 4
    assert len({tuple(part.tolist()) for part in parts}) == 4
    other = MODES["sampled"](100, replace(comparison, seed=1))
    assert not torch.equal(parts[0], other[0])
    torch.randn(3)  # what is drawn elsewhere does not matter
    assert torch.equal(parts[0], MODES["sampled"](100, comparison)[0])


def test_sampling_of_everything_is_exact() -> None:
    embeddings = tables(60)
    exact = agreement_at(embeddings, 7)
    sampled = agreement_at(embeddings, 7, Comparison("sampled", sample_size=60))
    assert torch.equal(exact.scores, sampled.scores)
    assert exact.hubness == sampled.hubness


def test_sampled_comes_near_to_exact_with_more_samples() -> None:
    embeddings = tables(400)
    size, k = 100, 10
    exact = agreement_at(embeddings, k, Comparison(sample_size=size))
    assert exact.neighbours == 40
    likeness, distance = [], []
    for samples in (1, 4, 16, 64):
        comparison = Comparison("sampled", sample_size=size, samples=samples)
        found = agreement_at(embeddings, k, comparison)
        likeness.append(spearmanr(found.scores, exact.scores).statistic)
        distance.append(float((found.scores - exact.scores).abs().mean()))
    assert likeness == sorted(likeness)
    assert likeness[0] < 0.9 < 0.97 < likeness[-1]
    assert distance == sorted(distance, reverse=True)
    # Without the rescaling of K, sampling tends to something else.
    literal = agreement_at(embeddings, k, Comparison(sample_size=size, k_scale="literal"))
    assert spearmanr(found.scores, literal.scores).statistic < likeness[-1]


@pytest.mark.parametrize(
    ("count", "k", "more", "wanted"),
    [
        (8192, 64, {}, 64),
        (50_000, 64, {}, 391),
        (10_000, 64, {}, 78),
        (50_000, 64, {"k_scale": "literal"}, 64),
        (50_000, 64, {"mode": "sampled"}, 64),
        (1000, 64, {}, 64),
        (1000, 64, {"mode": "sampled"}, 64),
        (100, 2, {"sample_size": 3}, 67),
    ],
)
def test_k_keeps_its_share_of_the_words(
    count: int, k: int, more: dict[str, Any], wanted: int
) -> None:
    assert effective_k(k, count, Comparison(**more)) == wanted
    assert wanted < count


@pytest.mark.parametrize(
    ("k", "comparison", "sentence"),
    [
        (40, Comparison(), "k: found 40 neighbours with 40 common words"),
        (64, Comparison("sampled"), "k: found 64 neighbours with 40 common words"),
        (9, Comparison("sampled", sample_size=9), "k: found 9 neighbours with sample_size 9"),
        (9, Comparison(sample_size=9), "k: found 9 neighbours with sample_size 9"),
    ],
)
def test_as_many_neighbours_as_words_are_refused(
    k: int, comparison: Comparison, sentence: str
) -> None:
    with pytest.raises(InputError, match=f"^{sentence}; allowed: fewer neighbours than words"):
        agreement_at(tables(40), k, comparison)
    assert len(agreement_at(tables(40), k - 1 if k < 64 else 39, comparison).scores) == 40


def test_tables_have_to_be_two_of_one_length_and_finite() -> None:
    one, other = tables(20)
    with pytest.raises(ValueError, match="two or more tables of the same words"):
        agreement_at([one], 3)
    with pytest.raises(ValueError, match="two or more tables of the same words"):
        agreement_at([one, other[:-1]], 3)
    other[3, 4] = torch.nan
    with pytest.raises(InputError, match="no finite numbers"):
        agreement_at([one, other], 3)


@pytest.mark.slow
@given(st.integers(0, 2**31), st.integers(5, 40), st.data())
@settings(max_examples=40, deadline=None)
def test_words_in_another_order_have_the_same_scores(seed: int, count: int, data: Any) -> None:
    k = data.draw(st.integers(1, count - 1))
    self_, center = data.draw(st.booleans()), data.draw(st.sampled_from(["none", "mean"]))
    embeddings = tables(count, (6, 9, 7), seed)
    moved = torch.randperm(count, generator=torch.Generator().manual_seed(seed + 1))
    comparison = Comparison(include_self=self_, center=center)
    found = agreement_at(embeddings, k, comparison)
    again = agreement_at([table[moved] for table in embeddings], k, comparison)
    assert torch.equal(again.scores, found.scores[moved])
    for one, other in zip(again.hubness, found.hubness, strict=True):
        assert one.largest == other.largest
        assert one.skewness == pytest.approx(other.skewness, abs=1e-9)


@given(st.integers(0, 2**31), st.sampled_from(["exact", "sampled"]))
@settings(max_examples=20, deadline=None)
def test_models_in_another_order_have_the_same_scores_to_the_last_bit(seed: int, mode: str) -> None:
    one, two, three, four = tables(40, (6, 9, 7, 5), seed)
    comparison = Comparison(mode, sample_size=20, samples=2)
    found = agreement_at([one, two, three, four], 5, comparison)
    again = agreement_at([three, one, four, two], 5, comparison)
    assert torch.equal(found.scores, again.scores)
    assert again.hubness == tuple(found.hubness[place] for place in (2, 0, 3, 1))


@given(st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_scale_and_rotation_of_a_space_change_nothing(seed: int) -> None:
    one, two = tables(30, (6, 9), seed)
    generator = torch.Generator().manual_seed(seed)
    turn, _ = torch.linalg.qr(torch.randn(9, 9, generator=generator, dtype=torch.float64))
    lengths = torch.rand(30, 1, generator=generator, dtype=torch.float64) + 0.1
    found = agreement_at([one, two], 4)
    assert torch.equal(found.scores, agreement_at([one, lengths * two @ turn], 4).scores)
    # A model that is a rotation of the other agrees with it everywhere.
    assert torch.equal(
        agreement_at([two, two @ turn], 4).scores, torch.ones(30, dtype=torch.float64)
    )


def test_several_k_share_a_pass_and_are_what_each_is_alone() -> None:
    embeddings = tables(80, (12, 16, 9))
    comparison = Comparison("sampled", sample_size=30, samples=3)
    many = neighbour_agreement(embeddings, [9, 2, 5, 2], comparison)
    assert sorted(many) == [2, 5, 9]
    for k, agreement in many.items():
        alone = agreement_at(embeddings, k, comparison)
        assert torch.equal(agreement.scores, alone.scores)
        assert agreement.hubness == alone.hubness


def test_the_ranking_falls_and_ties_keep_the_order_of_the_words() -> None:
    found = agreement_at(tables(200), 3)
    assert len(set(found.scores.tolist())) < 8, "there are many ties"
    ranking = found.ranking.tolist()
    assert ranking == sorted(range(200), key=lambda word: (-found.scores[word], word))


def test_agreement_by_chance() -> None:
    generator = torch.Generator().manual_seed(0)
    embeddings = [torch.randn(1500, 64, generator=generator) for _ in range(2)]
    found = agreement_at(embeddings, 200)
    assert found.chance == pytest.approx(200 / 2800)
    assert float(found.scores.mean()) == pytest.approx(found.chance, rel=0.05)


@pytest.mark.parametrize("include_self", [False, True])
def test_hubness_is_the_skew_of_how_often_a_word_is_a_neighbour(include_self: bool) -> None:
    embeddings = tables(60, (12, 16))
    embeddings[0] += 1.0  # a common direction makes hubs
    comparison = Comparison(include_self=include_self)
    found = agreement_at(embeddings, 6, comparison, block=7)
    for table, hub in zip(embeddings, found.hubness, strict=True):
        sets = neighbours_literally(table.numpy(), list(range(60)), 6, include_self, "none")
        counts = [sum(word in others for others in sets) for word in range(60)]
        assert hub.largest == max(counts)
        assert hub.skewness == pytest.approx(skew(counts))
    assert found.hubness[0].skewness > found.hubness[1].skewness


def test_centring_takes_hubs_away() -> None:
    generator = torch.Generator().manual_seed(0)
    embeddings = [torch.randn(300, 20, generator=generator) + 1.5 for _ in range(2)]
    plain = agreement_at(embeddings, 10)
    centred = agreement_at(embeddings, 10, Comparison(center="mean"))
    for before, after in zip(plain.hubness, centred.hubness, strict=True):
        assert after.skewness < 0.7 * before.skewness


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_embeddings_of_any_precision_are_compared_in_float32(dtype: torch.dtype) -> None:
    embeddings = [table.to(dtype) for table in tables(60)]
    found = agreement_at(embeddings, 5)
    wanted = agreement_at([table.double() for table in embeddings], 5)
    # bfloat16 has so few values that some cosines are equal but for rounding.
    assert float((found.scores - wanted.scores).abs().mean()) < 2e-3


def test_memory_grows_with_the_block_and_not_with_all_pairs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    largest = []
    topk = torch.Tensor.topk

    def watched(self: torch.Tensor, *args: Any, **more: Any) -> Any:
        largest.append(self.numel())
        return topk(self, *args, **more)

    monkeypatch.setattr(torch.Tensor, "topk", watched)
    monkeypatch.setattr("trainables.words.agreement._ROOM", {"cpu": 4000})
    agreement_at(tables(300), 5)
    assert max(largest) <= 4000
    assert sum(largest) == 2 * 300 * 300


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator")
def test_an_accelerator_finds_the_same() -> None:
    embeddings = tables(300, (12, 16, 9))
    found = agreement_at([table.cuda() for table in embeddings], 9)
    assert torch.equal(found.scores, agreement_at(embeddings, 9).scores)
