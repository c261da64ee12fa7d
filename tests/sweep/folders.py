"""What a sweep's folder holds, for comparisons."""

import json
from pathlib import Path
from typing import Any

from sweep.ledger.ledger import Ledger
from sweep.planning.plan import Plan
from sweep.testing.tabulated import tabulated_prompt, tabulated_result
from sweep.tracking.facts import default_tracking_uri

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
        assert record["predictions"]["splits"] == ["validation", "test"]
    assert list((folder / "ledger").glob("failed/*")) == []
    assert list(folder.rglob("*.tmp")) == []


def trials_in(journal: Path) -> list[Any]:
    """Optuna's trials, as its own reader sees them; none where there is no journal."""
    import optuna

    if not journal.exists():
        return []
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    storage = optuna.storages.JournalStorage(backend)
    (study,) = storage.get_all_studies()
    return list(storage.get_all_trials(study._study_id))


def mlflow_levels(where: str | Path, name: str = "small") -> dict[str, list[Any]]:
    """Runs of the experiment ``name`` by their kind, on a server or in a sweep's folder.

    ``result`` has carried prompts alone, ``beside`` the other cells.
    """
    from mlflow.tracking import MlflowClient

    client = MlflowClient(default_tracking_uri(where) if isinstance(where, Path) else where)
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    kinds = ("sweep", "pack", "point", "result", "beside")
    found: dict[str, list[Any]] = {kind: [] for kind in kinds}
    token = None
    while True:
        page = client.search_runs([experiment.experiment_id], max_results=1000, page_token=token)
        for run in page:
            carried = "cell_kind" not in run.data.tags
            found[run.data.tags["kind"] if carried else "beside"].append(run)
        token = page.token
        if not token:
            return found


def mlflow_runs(folder: Path, name: str = "small") -> tuple[list[Any], list[Any]]:
    """(parent runs, runs of carried prompts) of the sweep ``name``."""
    found = mlflow_levels(folder, name)
    return found["sweep"], found["result"]


def check_mlflow(folder: Path, plan: Plan, uri: str | None = None) -> None:
    """One finished run a cell, with its numbers, three levels deep."""
    levels = mlflow_levels(uri or folder, plan.resolved.spec.name)
    parents, packs, children = levels["sweep"], levels["pack"], levels["result"]
    assert [run.info.status for run in parents] == ["FINISHED"]
    assert {run.info.status for run in packs} == {"FINISHED"}
    assert {run.data.tags["mlflow.parentRunId"] for run in packs} == {parents[0].info.run_id}
    assert len({run.data.tags["group"] for run in packs}) == len(packs)
    pack_ids = {run.data.tags["group"]: run.info.run_id for run in packs}
    transfers = {cell.id: cell for cell in plan.cells if cell.kind == "transfer"}
    assert sorted(run.data.tags["cell"] for run in children) == sorted(transfers)
    for run in levels["beside"]:
        cell = plan.by_id[run.data.tags["cell"]]
        assert run.info.status == "FINISHED"
        assert run.data.metrics["test/score"] == tabulated_result(cell)["score"]
        on_target = cell in plan.direct or (
            cell.kind == "reference" and cell.target in plan.resolved.targets
        )
        assert run.data.tags["kind"] == ("result" if on_target else "source")
        assert (run.data.params["row"] == "direct") == (cell in plan.direct)
        parent = pack_ids[run.data.tags["pack"]] if cell.sources else parents[0].info.run_id
        assert run.data.tags["mlflow.parentRunId"] == parent
    every = [*children, *levels["beside"]]
    assert sorted(run.data.tags["cell"] for run in every) == sorted(plan.by_id)
    summary = parents[0].data.metrics
    assert summary["cells/done"] == summary["cells/planned"] == len(plan.cells)
    assert summary["cells/failed"] == 0
    assert summary["best_gain_over_empty/empty"] == 0
    empty = {
        (cell.target, cell.task): tabulated_result(cell)["score"]
        for cell in plan.cells
        if cell.row == "empty"
    }
    ceilings: dict[tuple[str, str], list[float]] = {}
    for cell in plan.direct:
        scores = ceilings.setdefault((cell.target, cell.task), [])
        scores.append(tabulated_result(cell)["score"])
    keys = {frozenset(run.data.params) for run in every}
    assert len(keys) == 1
    for run in children:
        cell = transfers[run.data.tags["cell"]]
        result = tabulated_result(cell)
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == pack_ids[run.data.tags["pack"]]
        assert run.data.metrics["test/score"] == result["score"]
        tuned = [tabulated_result(plan.by_id[name])["score"] for name in cell.inputs]
        assert abs(run.data.metrics["test/source_score"] - sum(tuned) / len(tuned)) < 1e-12
        gain = result["score"] - empty[cell.target, cell.task]
        assert abs(run.data.metrics["test/gain_over_empty"] - gain) < 1e-12
        scores = ceilings.get((cell.target, cell.task), [])
        gap = sum(scores) / len(scores) - empty[cell.target, cell.task] if scores else 0.0
        if gap >= 0.05:
            assert abs(run.data.metrics["test/gap_recovered"] - gain / gap) < 1e-9
        else:
            assert "test/gap_recovered" not in run.data.metrics
        assert float(run.data.params["lambda"]) == (-1 if cell.weight is None else cell.weight)
        assert run.data.params["schedule"] == cell.schedule
        assert run.data.params["source_1"] == cell.sources[0]
        assert run.data.params["source_2"] == (*cell.sources, "none")[1]
