"""A driver in a process of its own: ``python -m tests.sweep.drive FOLDER``."""

import os
import sys
from pathlib import Path

from sweep.plan import Plan
from sweep.runner import Options, run
from sweep.testing.tabulated import EXECUTOR
from tests.sweep.samples import plan_of

ADDRESS = "PROMPTSWEEP_TEST_ADDRESS"
"""Environment variable: a cluster to use; without it the driver starts a Ray of its own."""


def the_plan() -> Plan:
    return plan_of(
        sources=["A", "B", "C"],
        tasks=["x", "y"],
        seeds=2,
        methods={"soft": {"lambda": [0, 0.5, "annealing"]}},
        pairs=[["A", "B"], ["A", "C"], ["B", "C"], ["A", "B", "C"]],
        direct=True,
    )


def no_check(plan: Plan) -> list[str]:
    """Tabulated models have no files to look at."""
    return []


def no_report(folder: Path) -> None:
    """The report has tests of its own."""


if __name__ == "__main__":
    sys.exit(
        run(
            the_plan(),
            Path(sys.argv[1]),
            Options(
                address=os.environ.get(ADDRESS),
                executor=EXECUTOR,
                preflight=no_check,
                report=no_report,
            ),
        )
    )
