"""What a sweep's folder holds, for comparisons."""

import json
from pathlib import Path
from typing import Any

from sweep.ledger import Ledger
from sweep.mlflow_sink import default_tracking_uri
from sweep.plan import Plan
from sweep.testing.tabulated import tabulated_prompt, tabulated_result

VARYING = ("finished", "pack", "cost")
"""What differs between two runs of the same cell."""


def check_complete(folder: Path, plan: Plan) -> None:
    """Every cell is there exactly once, with the values of an undisturbed run."""
    found = {}
    for record in Ledger(folder).records():
        assert record["id"] not in found
        found[record["id"]] = record
    assert found.keys() == plan.by_id.keys()
    for name, record in found.items():
        cell = plan.by_id[name]
        assert record["result"] == json.loads(json.dumps(tabulated_result(cell)))
        expected = tabulated_prompt(cell)
        assert (record["prompt"] is None) == (expected is None)
        if expected is not None:
            assert (Ledger(folder).prompt(name) == expected).all()
    assert list((folder / "ledger").glob("failed/*")) == []
    assert list(folder.rglob("*.tmp")) == []


def mlflow_runs(folder: Path, name: str = "small") -> tuple[list[Any], list[Any]]:
    """(parent runs, child runs) of the sweep ``name``."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=default_tracking_uri(folder))
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    runs = list(client.search_runs([experiment.experiment_id], max_results=5000))
    parents = [run for run in runs if run.data.tags.get("kind") == "sweep"]
    return parents, [run for run in runs if run not in parents]


def check_mlflow(folder: Path, plan: Plan) -> None:
    """One finished run a transfer cell, with its numbers, all under one finished parent."""
    parents, children = mlflow_runs(folder, plan.resolved.spec.name)
    assert [run.info.status for run in parents] == ["FINISHED"]
    transfers = {cell.id: cell for cell in plan.cells if cell.kind == "transfer"}
    assert sorted(run.data.tags["cell"] for run in children) == sorted(transfers)
    empty = {
        (cell.target, cell.task): tabulated_result(cell)["score"]
        for cell in plan.cells
        if cell.row == "empty"
    }
    ceilings: dict[tuple[str, str], list[float]] = {}
    for cell in plan.direct:
        scores = ceilings.setdefault((cell.target, cell.task), [])
        scores.append(tabulated_result(cell)["score"])
    keys = {frozenset(run.data.params) for run in children}
    assert len(keys) == 1
    for run in children:
        cell = transfers[run.data.tags["cell"]]
        result = tabulated_result(cell)
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == parents[0].info.run_id
        assert run.data.metrics["transfer/score"] == result["score"]
        gain = result["score"] - empty[cell.target, cell.task]
        assert abs(run.data.metrics["transfer/gain_over_empty"] - gain) < 1e-12
        scores = ceilings.get((cell.target, cell.task), [])
        gap = sum(scores) / len(scores) - empty[cell.target, cell.task] if scores else 0.0
        if gap >= 0.05:
            assert abs(run.data.metrics["transfer/gap_recovered"] - gain / gap) < 1e-9
        else:
            assert "transfer/gap_recovered" not in run.data.metrics
        assert float(run.data.params["lambda"]) == (-1 if cell.weight is None else cell.weight)
        assert run.data.params["schedule"] == cell.schedule
        assert run.data.params["source_1"] == cell.sources[0]
        assert run.data.params["source_2"] == (*cell.sources, "none")[1]
