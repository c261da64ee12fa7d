"""Spaces and studies for the tests of this folder."""

from pathlib import Path
from typing import Any

from sweep.search.study import Study
from sweep.spec.space.parsing import parse_space
from sweep.spec.space.section import StudySettings
from sweep.spec.space.space import Point, Space

PAIRS = [["A", "B"], ["A", "C"], ["B", "C"]]

SOFT: dict[str, Any] = {
    "lambda": [0, "annealing", {"low": 0.1, "high": 0.9}],
    "learning_rate": {"low": 1e-3, "high": 0.1, "log": True},
    "prompt_length": [5, 10, 20],
    "steps": 100,
}
WORDS: dict[str, Any] = {
    "vocabulary": ["common", "agreement"],
    "s": [1024, 8192],
    "k": {"low": 8, "high": 128, "log": True},
}
FINITE: dict[str, Any] = {"lambda": [0, 0.5, "annealing"], "prompt_length": [5, 10], "steps": 100}


def conditional() -> Space:
    """Two methods with settings of their own, three pairs."""
    return parse_space({"soft": SOFT, "words": WORDS}, PAIRS)


def finite() -> Space:
    """18 points of one method."""
    return parse_space({"soft": FINITE}, PAIRS)


def numeric() -> Space:
    """One method with two ranges and nothing else."""
    ranges = {"learning_rate": {"low": 1e-3, "high": 0.1, "log": True}, "steps": 100}
    return parse_space({"soft": {"lambda": {"low": 0, "high": 1}, **ranges}}, PAIRS[:1])


def open_study(folder: Path, space: Space | None = None, **settings: Any) -> Study:
    return Study(folder / "search.journal", space or conditional(), StudySettings(**settings))


def height(point: Point) -> float:
    """A score in [0, 1] that method, pair, λ and learning rate decide; the best region is small."""
    if point.method == "words":
        return 0.3 if point.settings["vocabulary"] == "agreement" else 0.2
    pair = {("A", "B"): 0.0, ("A", "C"): 0.2, ("B", "C"): 0.1}.get(point.sources, 0.0)
    weight = point.weight if isinstance(point.weight, float) else 0.3
    rate = float(point.settings["learning_rate"])
    return 0.3 + pair + 0.3 * (1 - abs(weight - 0.7)) + 0.2 * max(0.0, 1 - abs(rate - 0.02) / 0.02)


def run(study: Study, points: int) -> list[Point]:
    """Ask and tell so many times, one at a time."""
    done = []
    for _ in range(points):
        found = study.ask()
        assert found is not None
        study.complete(found.number, height(found.point))
        done.append(found.point)
    return done
