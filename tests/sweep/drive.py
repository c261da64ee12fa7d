"""A driver in a process of its own: ``python -m tests.sweep.drive FOLDER [PLAN]``."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sweep.engine.runner import Options, run
from sweep.planning.plan import AnyPlan, Plan
from sweep.process.streams import keep_streams
from sweep.search.plan import SearchPlan, make_search_plan
from sweep.spec.spec import parse_spec
from sweep.testing.tabulated import EXECUTOR, find_model, find_task
from tests.sweep.samples import content, plan_of

ADDRESS = "PROMPTSWEEP_TEST_ADDRESS"
"""Environment variable: a cluster to use; without it the driver starts a Ray of its own."""
COMPUTES = "PROMPTSWEEP_TEST_EXECUTOR"
"""Environment variable: what computes packs; by default the tabulated method."""

SPACE = {
    "soft": {"lambda": [0, 0.5, "annealing"], "steps": 4, "evaluations": [1, 2]},
    "pez": {"vocabulary": ["all", "agreement"], "s": [4, 8], "steps": 4, "evaluations": 2},
}
"""33 points over three sources: without pruned words s does not matter."""
RANGES = {
    "soft": {"lambda": ["annealing", {"low": 0, "high": 1}], "steps": 4, "evaluations": 2},
    "pez": {"vocabulary": ["all", "agreement"], "s": [4, 8], "k": {"low": 4, "high": 64}},
}
"""Points without end."""


def the_plan(tasks: tuple[str, ...] = ("x", "y"), **more: Any) -> Plan:
    return plan_of(
        sources=["A", "B", "C"],
        tasks=list(tasks),
        seeds=2,
        methods={"soft": {"lambda": [0, 0.5, "annealing"]}},
        pairs=[["A", "B"], ["A", "C"], ["B", "C"], ["A", "B", "C"]],
        direct=True,
        **more,
    )


def search_of(methods: Any, **search: Any) -> SearchPlan:
    spec = content(
        sources=["A", "B", "C"],
        tasks=["x", "y"],
        seeds=2,
        methods=methods,
        direct=None,
        search=search,
    )
    return make_search_plan(parse_spec(spec), find_model, find_task)


PLANS: dict[str, Callable[[], AnyPlan]] = {
    "small": the_plan,
    "tiny": plan_of,
}


def no_check(plan: Plan) -> list[str]:
    """Tabulated models have no files to look at."""
    return []


def no_report(folder: Path) -> None:
    """The report has tests of its own."""


def options(**more: Any) -> Options:
    """How all of these run."""
    return Options(
        address=os.environ.get(ADDRESS),
        executor=os.environ.get(COMPUTES, EXECUTOR),
        preflight=no_check,
        report=no_report,
        **more,
    )


if __name__ == "__main__":
    keep_streams()
    sys.exit(run(PLANS[(*sys.argv, "small")[2]](), Path(sys.argv[1]), options()))
