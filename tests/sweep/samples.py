"""Specs and plans without models, for the tests of this folder."""

import json
from typing import Any

from hypothesis import HealthCheck, settings

from sweep.planning.plan import Plan, make_plan
from sweep.planning.preflight import _question, answer
from sweep.spec.spec import parse_spec
from sweep.testing.tabulated import find_model, find_task

relaxed = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
"""For machines that are busy with something else."""


def checked(plan: Plan) -> list[str]:
    """As ``check_plan`` of the preflight, here: another process takes seconds to start."""
    return answer(json.loads(json.dumps(_question(plan))))


def content(**changes: Any) -> dict[str, Any]:
    """The YAML content of a small valid spec, with some keys replaced (None removes one)."""
    base: dict[str, Any] = {
        "name": "small",
        "sources": ["A", "B"],
        "pairs": "all",
        "targets": ["T"],
        "tasks": ["x/one"],
        "seeds": 1,
        "methods": {"soft": {"lambda": [0, 0.5], "steps": 4, "evaluations": 2}},
        "direct": False,
    }
    return {key: value for key, value in {**base, **changes}.items() if value is not None}


def plan_of(**changes: Any) -> Plan:
    return make_plan(parse_spec(content(**changes)), find_model, find_task)


def paper_shaped() -> Plan:
    """Five sources, their ten pairs, seven tasks, five seeds, one target."""
    return plan_of(
        sources=["A", "B", "C", "D", "E"],
        tasks=[f"task{number}" for number in range(7)],
        seeds=5,
        methods={"soft": {"lambda": [0, 0.1, 0.3, 0.5, 0.7, 0.9, "annealing"]}},
    )
