"""The agreement table of paper B: exact against sampled, each run in a process of its own."""

import statistics
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.agreement import KEPT, K, alone, compare, spaces
from benchmarks.finding import Finding, Skipped
from benchmarks.machine import Floor
from trainables.words.agreement import Comparison, neighbour_agreement

CHECKED = 400
"""Words of the small table that is also worked out word by word."""


@dataclass(frozen=True)
class Load:
    """Common words c, width d, rounds and threads."""

    words: int = 15_000
    width: int = 768
    rounds: int = 2
    threads: int = 2


def measure(load: Load) -> list[Finding | Skipped]:
    """Both, in turn."""
    check()
    contestants = {"ours": Comparison(), "sampled": Comparison("sampled")}
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in contestants}
    for _ in range(load.rounds):
        for name, comparison in contestants.items():
            runs[name].append(
                alone(compare, load.words, load.width, load.threads, comparison, (K,))
            )
    chosen = {name: [set(run.pop("chosen")) for run in many] for name, many in runs.items()}
    exact, drawn = chosen["ours"][0], chosen["sampled"][0]
    seconds = {name: [run["seconds"] for run in many] for name, many in runs.items()}
    return [
        Finding(
            claim=f"Agreement of {load.words:,} common words, exact, 2 models, d = {load.width}",
            peer="sampled, L = 5 parts of h = 8,192 words (equation 4), our code",
            ours=statistics.median(seconds["ours"]),
            theirs=statistics.median(seconds["sampled"]),
            unit="s",
            target=1.0,
            same=(
                f"on {CHECKED} words exact scores equal a literal reading; sampled chooses"
                f" {len(exact & drawn) / len(exact):.0%} of the same {len(exact):,} words"
            ),
            # Cosines of all pairs in both models; they are symmetric.
            floor=Floor(2 * load.words**2 * load.width),
            threads=load.threads,
            more={"runs": runs, "kept": KEPT},
        )
    ]


def check(words: int = CHECKED, k: int = 16) -> None:
    """Raise AssertionError unless exact scores are those of a literal reading."""
    tables = spaces(words, (32, 24))
    found = neighbour_agreement(tables, (k,), Comparison())[k]
    torch.testing.assert_close(found.scores, literal(tables, found.neighbours), atol=1e-9, rtol=0)


def literal(tables: list[torch.Tensor], k: int) -> torch.Tensor:
    """Jaccard overlap [c] of each word's k nearest others by cosine, word by word."""
    nearest = []
    for table in tables:
        near = F.normalize(table, dim=1) @ F.normalize(table, dim=1).T
        near.fill_diagonal_(-2.0)
        nearest.append([set(row.topk(k).indices.tolist()) for row in near])
    overlaps = [len(a & b) / len(a | b) for a, b in zip(*nearest, strict=True)]
    return torch.tensor(overlaps, dtype=torch.float64)


MEASURES = {"agreement": partial(measure, Load())}
