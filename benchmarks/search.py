"""What a search costs beside its trials: ``python -m benchmarks.search``.

Milliseconds of processor time a point (ask and tell, journal and all) over 500 points of a
conditional space, and over the last 50 of them; seconds to open the journal again.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from sweep.search.study import JOURNAL, Study
from sweep.spec.space.parsing import parse_space
from sweep.spec.space.section import StudySettings
from sweep.spec.space.space import Space

METHODS: dict[str, Any] = {
    "soft": {
        "lambda": [0, "annealing", {"low": 0.1, "high": 0.9}],
        "learning_rate": {"low": 1e-3, "high": 0.1, "log": True},
        "prompt_length": [5, 10, 20],
        "steps": {"low": 50, "high": 500, "step": 50},
        "position": ["prefix", "infix"],
    }
}
PAIRS = [["A", "B"], ["A", "C"], ["B", "C"]]


def one_search(folder: Path, space: Space, sampler: str, points: int) -> tuple[list[float], float]:
    """Milliseconds of each point, and seconds to open the study again."""
    settings = StudySettings(sampler=sampler)
    spent = []
    with Study(folder / JOURNAL, space, settings) as study:
        for _ in range(points):
            began = time.process_time()
            found = study.ask()
            assert found is not None
            rate = float(found.point.settings["learning_rate"])
            study.complete(found.number, -abs(rate - 0.02))
            spent.append((time.process_time() - began) * 1000)
    began = time.process_time()
    Study(folder / JOURNAL, space, settings).close()
    return spent, time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=500)
    points = parser.parse_args().points
    space = parse_space(METHODS, PAIRS)
    for sampler in ("random", "tpe", "nsga2", "cmaes"):
        with tempfile.TemporaryDirectory() as folder:
            spent, reopened = one_search(Path(folder), space, sampler, points)
        mean, late = sum(spent) / len(spent), sum(spent[-50:]) / len(spent[-50:])
        print(
            f"{sampler:7} {points} points: {mean:5.1f} ms a point, {late:5.1f} ms at the end;"
            f" opened again in {reopened:.2f} s"
        )


if __name__ == "__main__":
    main()
