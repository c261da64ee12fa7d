"""Points given up while they train, on a real Ray and with real, tiny training."""

from collections import Counter
from pathlib import Path

import pytest

from sweep.engine.runner import Options, run
from sweep.ledger.ledger import Ledger
from sweep.search.plan import make_search_plan
from sweep.search.records import read_study
from sweep.search.study import JOURNAL
from sweep.spec.spec import parse_spec
from tests.sweep.drive import no_check, no_report
from tests.sweep.folders import mlflow_levels
from tests.sweep.samples import content

pytestmark = [
    pytest.mark.usefixtures("ray_is_put_away"),
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.timeout(400),
]

POINTS, STEPS, EVERY = 12, 16, 2


def test_points_are_given_up_while_they_train(tmp_path: Path) -> None:
    """Learning rates from none to far too large: what lags behind the median stops."""
    spec = content(
        sources=["pocket-bert", "pocket-gpt2"],
        targets=["pocket-roberta"],
        tasks=["mini/topics"],
        methods={
            "soft": {
                "lambda": 0.5,
                "learning_rate": {"low": 1e-5, "high": 10.0, "log": True},
                "prompt_length": 3,
                "steps": STEPS,
                "evaluations": STEPS // EVERY,
                "batch_size": 4,
                "text_tokens": 12,
            }
        },
        direct=None,
        search={
            "sampler": "random",
            "pruner": "median",
            "rungs": "steps",
            "trials": POINTS,
            "parallel": 2,
        },
    )
    plan, lines = make_search_plan(parse_spec(spec)), list[str]()
    options = Options(workers=2, preflight=no_check, report=no_report, say=lines.append)
    assert run(plan, tmp_path, options) == 0, lines
    outcomes = read_study(tmp_path / JOURNAL, plan.study).outcomes
    states = Counter(item.state for item in outcomes)
    assert states.keys() == {"complete", "pruned"}
    assert states.total() == POINTS
    ledger, planned = Ledger(tmp_path), make_search_plan(parse_spec(spec))
    assert list(ledger.failures()) == []
    for item in outcomes:
        cells = {cell.id for cell in planned.open(item.point).cells if cell.kind != "reference"}
        assert item.steps
        if item.state == "pruned":
            assert not cells & ledger.done_ids()
        else:
            assert cells <= ledger.done_ids()
            # Nothing is asked after the last evaluation.
            assert list(item.steps) == list(range(EVERY, STEPS, EVERY))
    # Some were stopped on the way, not judged at the end of their training.
    assert any(max(item.steps) < STEPS - EVERY for item in outcomes if item.state == "pruned")
    levels = mlflow_levels(tmp_path)
    assert len(levels["result"]) == len(levels["point"]) == states["complete"]
    assert {run.info.status for runs in levels.values() for run in runs} == {"FINISHED"}
