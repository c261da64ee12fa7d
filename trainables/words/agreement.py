"""How well a word's neighbours in embedding space agree between models (paper B, section 3.2).

For every common word u, each model names the K words nearest to it by cosine; J_u is the Jaccard
overlap of these sets, averaged over pairs of models. Words of high J_u are used alike in all.

The paper takes neighbours from L random parts of h words. That saves memory, not time: with L·h of
about c, comparing with all c words costs no more and has no noise. That is the default here.
Similarities are worked out for a block of words at a time and never kept: memory is O(block · c).

Shapes: c common words, h words of a part, N models, d_i embedding widths, b words of a block.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch

from trainables.core.seeds import seeded
from trainables.errors import InputError

_ROOM = {"cpu": 2**22}
_ROOM_ELSEWHERE = 2**27
"""Similarities of a block, by device: what caches like on a CPU, what fills an accelerator."""


@dataclass(frozen=True)
class Comparison:
    """How neighbours are compared; the same words as in ``HardSettings``.

    Attributes:
        mode: ``exact``: neighbours among all c common words; ``sampled``: among ``samples`` random
            parts of ``sample_size`` words, the same for all models (equation 4).
        k_scale: in ``exact`` mode, ``paper`` takes K·c/h neighbours, the share of K among h words;
            ``literal`` takes K. Where there are no more than h words, both are K.
        sample_size: h; more than c means all.
        samples: L.
        seed: of the parts.
        include_self: whether a word counts among its own neighbours.
        center: ``mean`` takes the mean of the c embeddings away before their length is made 1.
    """

    mode: str = "exact"
    k_scale: str = "paper"
    sample_size: int = 8192
    samples: int = 5
    seed: int = 0
    include_self: bool = False
    center: str = "none"


@dataclass(frozen=True)
class Hubness:
    """How unevenly a model's words occur among the neighbours of others.

    N_k(v) is the number of words that have v among their K nearest; its mean is K. Radovanović et
    al. (2010) call a space with a strongly skewed N_k one of hubs: a few words near to everything,
    which make neighbours agree without meaning the same.

    Attributes:
        skewness: third standardised moment of N_k (0 where all are equal); mean over parts.
        largest: largest N_k; over all parts.
    """

    skewness: float
    largest: int


@dataclass(frozen=True)
class Agreement:
    """Scores of all common words.

    Attributes:
        k: K as asked.
        neighbours: K as used, see ``Comparison.k_scale``.
        among: how many words they are taken from: c, or h.
        scores: J_u of equation 7, float64 [c] on the CPU.
        hubness: per model, in the order of the tables.
    """

    k: int
    neighbours: int
    among: int
    scores: torch.Tensor
    hubness: tuple[Hubness, ...]

    @property
    def ranking(self) -> torch.Tensor:
        """Places of all words, highest score first, equal scores in word order: int64 [c].

        The s words of equation 7 are its first s, whatever s is.
        """
        return torch.sort(self.scores, descending=True, stable=True).indices

    @property
    def chance(self) -> float:
        """Jaccard overlap to expect of two random sets of neighbours, about K/(2h - K)."""
        return self.neighbours / (2 * self.among - self.neighbours)


def _everything(count: int, comparison: Comparison) -> list[torch.Tensor]:
    return [torch.arange(count)]


def _samples(count: int, comparison: Comparison) -> list[torch.Tensor]:
    size = comparison.sample_size
    if size >= count:  # every part would be the whole
        return _everything(count, comparison)
    drawn = [
        torch.randperm(count, generator=seeded("part", comparison.seed, number))[:size]
        for number in range(comparison.samples)
    ]
    return [part.sort().values for part in drawn]


MODES: dict[str, Callable[[int, Comparison], list[torch.Tensor]]] = {
    "exact": _everything,
    "sampled": _samples,
}
"""Per mode, the parts P of the common vocabulary that neighbours are taken from: places, sorted."""


def effective_k(k: int, count: int, comparison: Comparison) -> int:
    """Neighbours per word that K amounts to among ``count`` common words.

    Raises:
        InputError: as many neighbours as there are words to choose from, where all would agree.
    """
    size = min(comparison.sample_size, count)
    if k >= size:
        found = f"{count} common words" if size == count else f"sample_size {size}"
        raise InputError(
            f"k: found {k} neighbours with {found}; allowed: fewer neighbours than words they are"
            " taken from"
        )
    if comparison.mode == "exact" and comparison.k_scale == "paper":
        return round(k * count / size)
    return k


@torch.no_grad()
def neighbour_agreement(
    tables: Sequence[torch.Tensor],
    ks: Iterable[int],
    comparison: Comparison | None = None,
    block: int | None = None,
) -> dict[int, Agreement]:
    """Neighbour agreement J_u of all words (equations 3 to 7), for several K in one pass.

    Where two words are equally near to a third at the K-th place, either may count as neighbour.

    Args:
        tables: per model the embedding rows of the common words [c, d_i], in one order of words;
            on any device. Computed in float32, or in float64 where they are float64.
        comparison: how; None: the defaults.
        block: words compared at a time; None: what suits the device.

    Returns:
        Per K its scores. They depend neither on the order of the tables nor on that of ``ks``.

    Raises:
        InputError: a K that is not below the number of words to choose from, or embeddings that are
            not finite.
        ValueError: fewer than two tables, or tables of different length.
    """
    comparison = comparison or Comparison()
    count = len(tables[0]) if tables else 0
    if len(tables) < 2 or any(len(table) != count for table in tables):
        raise ValueError("neighbours are compared between two or more tables of the same words")
    used = {k: effective_k(k, count, comparison) for k in sorted(set(ks))}
    units = [unit_rows(table, comparison.center) for table in tables]
    parts = MODES[comparison.mode](count, comparison)
    scores = {k: torch.zeros(count, dtype=torch.float64) for k in used}
    hubs = [_Hubs(len(units), used) for _ in parts]
    for part, hub in zip(parts, hubs, strict=True):
        for rows, nearest in _blocks(units, part, max(used.values()), comparison, block):
            hub.count(nearest, len(part))
            for k, overlap in _jaccard(nearest, len(part), used).items():
                scores[k][rows] += overlap
    return {
        k: Agreement(
            k,
            used[k],
            len(parts[0]),
            scores[k] / len(parts),
            tuple(_mean_hubness([hub.of(model, k) for hub in hubs]) for model in range(len(units))),
        )
        for k in used
    }


def unit_rows(table: torch.Tensor, center: str = "none") -> torch.Tensor:
    """Equation 3: rows of length 1, after taking their mean away where ``center`` is ``mean``.

    Raises:
        InputError: a row is not finite.
    """
    rows = table.detach()
    rows = rows if rows.dtype == torch.float64 else rows.float()
    if not bool(torch.isfinite(rows).all()):
        raise InputError(
            "embeddings of the common words: found values that are no finite numbers;"
            " allowed: models with finite embeddings"
        )
    if center == "mean":
        rows = rows - rows.mean(0)
    return torch.nn.functional.normalize(rows, dim=1)


def _blocks(
    units: Sequence[torch.Tensor],
    part: torch.Tensor,
    widest: int,
    comparison: Comparison,
    block: int | None,
) -> Iterator[tuple[slice, list[torch.Tensor]]]:
    """For some words at a time, every model's neighbours [b, widest]: places in ``part``."""
    count = len(units[0])
    whole = len(part) == count
    columns = [unit if whole else unit[part.to(unit.device)] for unit in units]
    # Where each word stands in the part; -1: nowhere.
    own = torch.full((count,), -1)
    own[part] = torch.arange(len(part))
    step = block or max(1, _ROOM.get(units[0].device.type, _ROOM_ELSEWHERE) // len(part))
    for start in range(0, count, step):
        rows = slice(start, min(start + step, count))
        hidden = None if comparison.include_self else own[rows]
        yield (
            rows,
            [
                _nearest(unit[rows], column, widest, hidden).to(units[0].device)
                for unit, column in zip(units, columns, strict=True)
            ],
        )


def _nearest(
    rows: torch.Tensor, columns: torch.Tensor, widest: int, hidden: torch.Tensor | None
) -> torch.Tensor:
    """Places [b, widest] of the nearest columns, nearest first; ``hidden`` [b] are left out."""
    similarity = rows @ columns.T
    if hidden is not None:
        (there,) = torch.where(hidden >= 0)
        similarity[there.to(rows.device), hidden[there].to(rows.device)] = -torch.inf
    return similarity.topk(widest, dim=1).indices


def _jaccard(
    nearest: Sequence[torch.Tensor], size: int, used: dict[int, int]
) -> dict[int, torch.Tensor]:
    """Equations 5 and 6 for a block: per K, the mean overlap of all pairs of models [b].

    A word at places p and q of two models' lists is common to their first K exactly if both are
    below K. One table of places per model so gives the intersections for every K.
    """
    rows, widest = nearest[0].shape
    place = torch.arange(widest, dtype=torch.int32, device=nearest[0].device).expand(rows, -1)
    table = torch.full((rows, size), widest, dtype=torch.int32, device=place.device)
    overlaps: dict[int, list[torch.Tensor]] = {k: [] for k in used}
    for left, right in combinations(range(len(nearest)), 2):
        if right == left + 1:  # the first pair of this left model
            table.fill_(widest)
            table.scatter_(1, nearest[left], place)
        later = torch.maximum(table.gather(1, nearest[right]), place)
        for k, neighbours in used.items():
            both = (later < neighbours).sum(1).double()
            overlaps[k].append(both / (2 * neighbours - both))
    # Sorted, so that not even rounding depends on the order of the models.
    return {k: torch.stack(pairs).sort(0).values.mean(0).cpu() for k, pairs in overlaps.items()}


class _Hubs:
    """N_k of one part: how often each of its words is a neighbour, per model and K."""

    def __init__(self, models: int, used: dict[int, int]) -> None:
        self.used = used
        self.counts: list[dict[int, torch.Tensor]] = [{} for _ in range(models)]

    def count(self, nearest: Sequence[torch.Tensor], size: int) -> None:
        """Add a block's neighbours [b, widest], one tensor a model."""
        for counts, places in zip(self.counts, nearest, strict=True):
            for k, neighbours in self.used.items():
                found = torch.bincount(places[:, :neighbours].flatten(), minlength=size).cpu()
                counts[k] = counts[k] + found if k in counts else found

    def of(self, model: int, k: int) -> Hubness:
        """Skewness and maximum of one model's N_k."""
        occurrences = self.counts[model][k]
        away = occurrences.double() - occurrences.double().mean()
        variance = float((away**2).mean())
        skewness = float((away**3).mean()) / variance**1.5 if variance > 0 else 0.0
        return Hubness(skewness, int(occurrences.max()))


def _mean_hubness(parts: Sequence[Hubness]) -> Hubness:
    return Hubness(
        sum(part.skewness for part in parts) / len(parts), max(part.largest for part in parts)
    )
