"""What every run says: the same keys, short names, few of them."""

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sweep.planning.plan import Plan
from sweep.testing.tabulated import tabulated_result
from sweep.timing.search import drawn_points
from sweep.tracking.artifacts import PromptFiles
from sweep.tracking.facts import Facts, facts_of_plan
from sweep.tracking.schema import (
    LABEL,
    Tuned,
    chart_names,
    run_metrics,
    run_params,
    run_tags,
    varied_settings,
    varied_ways,
)
from sweep.tracking.view import RESULT, SWEEP, Group, RunData, View
from tests.sweep.drive import search_of
from tests.sweep.samples import plan_of, relaxed
from trainables.core.frontier import ACCESS, Cost
from trainables.core.settings import default_of
from trainables.core.weight import Weight

PARAMS = (
    *("method", "row", "task", "target", "source_1", "source_2", "source_3", "seed"),
    *("lambda", "schedule", "prompt_length", "position", "init", "solver", "selection"),
    *("vocabulary", "s", "k", "state", "counterparts"),
)


def record_of(cell: Any, pack: str = "p", **changes: Any) -> dict[str, Any]:
    return {
        "id": cell.id,
        "cell": cell.to_json(),
        "result": tabulated_result(cell) | changes,
        "pack": pack,
        "cost": {"seconds": 2.0},
        "finished": "2026-01-01T00:00:10.000+00:00",
        "versions": {"git_commit": "c0ffee"},
        "prompt": None,
    }


def _runs(plan: Plan, view: View | None = None, final: bool = True) -> list[RunData]:
    view = view or View(facts_of_plan(plan))
    packs = {cell.id: pack.id for pack in plan.packs for cell in pack.cells}
    for cell in plan.cells:
        view.learn(record_of(cell, packs[cell.id]))
    return list(view.due(final))


def test_every_run_has_every_parameter() -> None:
    plan = plan_of(
        sources=["A", "B", "C"],
        pairs=[["A", "B", "C"], ["A", "B"]],
        methods={"soft": {"lambda": [0, 0.5, "annealing"]}, "pez": {"vocabulary": ["all"]}},
    )
    runs = [run for run in _runs(plan) if run.kind == RESULT]
    assert {tuple(run.params) for run in runs} == {PARAMS}
    assert all(text for run in runs for text in run.params.values())
    for name in ("seed", "lambda", "prompt_length", "s", "k"):
        assert all(float(run.params[name]) is not None for run in runs)
    assert {run.params["lambda"] for run in runs} == {"0", "0.5", "-1"}
    assert {run.params["solver"] for run in runs} == {"closed_form", "none"}
    own = {"kind", "spec_hash", "cell", "mlflow.parentRunId", "mlflow.runName"}
    assert max(len({*run.params, *run.metrics, *run.tags, *own}) for run in runs) <= 40


def test_settings_that_vary_are_parameters_too() -> None:
    search = search_of(
        {
            "soft": {
                "lambda": 0.5,
                "learning_rate": {"low": 0.1, "high": 1},
                "prompt_length": [3, 5],
            },
            "pez": {"vocabulary": ["all", "random"], "s": 8, "steps": 99},
        },
        trials=9,
    )
    view, plan = View(facts_of_plan(search)), search.together(drawn_points(search, 9))
    runs = [run for run in _runs(plan, view) if run.kind == RESULT]
    # Steps differ between the methods alone, and lengths are a parameter anyway.
    wanted = [name for name in PARAMS if name != "source_3"]
    assert {tuple(run.params) for run in runs} == {(*wanted, "learning_rate")}
    rates: dict[str, set[str]] = {"soft": set(), "pez": set()}
    for run in runs:
        rates.setdefault(run.params["method"], set()).add(run.params["learning_rate"])
    assert rates["none"] == {"0"}
    assert rates["pez"] == {str(default_of("pez", "learning_rate"))}
    assert len(rates["soft"]) > 1
    assert all(0.1 <= float(rate) <= 1 for rate in rates["soft"])


def test_what_varies_in_a_search_is_what_is_no_single_value() -> None:
    methods = {
        "soft": {"lambda": [0, 1], "learning_rate": {"low": 0.1, "high": 1}, "steps": 4},
        "pez": {"init": ["class_words", "random"], "s": 8, "prompt_length": {"domain": "lengths"}},
    }
    assert varied_settings(methods) == {
        "init": "none",
        "learning_rate": "0",
        "prompt_length": "none",
    }


def test_settings_in_which_ways_differ_are_parameters_of_every_run() -> None:
    ways = [
        {"solver": "closed_form"},
        {"solver": "distil", "steps": [15, 60], "start": ["carried", "vocabulary"]},
    ]
    runs = [run for run in _runs(plan_of(transfer=ways)) if run.params.get("row") == "single"]
    told = {
        tuple(run.params[name] for name in ("solver", "transfer_start", "transfer_steps"))
        for run in runs
    }
    assert told == {
        ("closed_form", "none", "0"),
        *(
            ("distil", start, steps)
            for start in ("carried", "vocabulary")
            for steps in ("15", "60")
        ),
    }
    assert varied_ways({"solver": "ridge", "gammas": [0.0, 1.0]}) == {}


def test_metrics_of_a_run() -> None:
    plan = plan_of()
    (ours,) = [run for run in _runs(plan) if run.params.get("row") == "ours"]
    cell = plan.by_id[ours.key]
    (empty,) = [c for c in plan.cells if (c.row, c.target) == ("empty", "T")]
    tuned = [tabulated_result(plan.by_id[name]) for name in cell.inputs]
    result = tabulated_result(cell)
    assert ours.metrics == {
        "test/score": result["score"],
        "validation/score": result["validation_score"],
        "transfer/similarity": 0.5,
        "test/gain_over_empty": result["score"] - tabulated_result(empty)["score"],
        "test/source_score": (tuned[0]["score"] + tuned[1]["score"]) / 2,
        "validation/source_score": sum(item["validation_score"] for item in tuned) / 2,
        "cost/train_seconds": 0.001,
        "cost/transfer_seconds": 0.001,
    }


def test_tunings_together_count_once_and_tunings_apart_add_up() -> None:
    together = [Tuned(sources=("A", "B"), seconds=3.0) for _ in range(2)]
    apart = [Tuned(sources=("A",), seconds=3.0), Tuned(sources=("B",), seconds=4.0)]
    record = {"result": {"score": 0.5}}
    assert run_metrics(record, together)["cost/train_seconds"] == 3.0
    assert run_metrics(record, apart)["cost/train_seconds"] == 7.0
    unknown = [apart[0], Tuned(sources=("B",))]
    assert run_metrics(record, unknown) == {"test/score": 0.5}
    assert run_metrics({"result": {"score": 0.5}}, (), 0.25, 0.75)["test/gap_recovered"] == 0.5


def test_an_axis_of_weights_is_numbers_only() -> None:
    assert Weight.in_cell({"schedule": "annealing", "weight": None}).number == -1
    assert Weight.in_cell({"schedule": "none", "weight": None}).number == 0
    assert Weight.in_cell({"schedule": "constant", "weight": 0.3}).number == 0.3


def test_hard_prompts_say_which_words_and_whose() -> None:
    cell = {
        "kind": "transfer",
        "row": "agreement",
        "method": "pez",
        "task": "one",
        "target": "t",
        "sources": ["a"],
        "counterparts": ["b", "c"],
        "seed": 1,
        "weight": None,
        "schedule": "none",
        "inputs": ["x"],
        "settings": {"vocabulary": "agreement", "s": 500, "k": 64, "state": "projected"},
    }
    params = run_params({"cell": cell}, (Tuned({"prompt_length": 10}),), 2, {"c": "see"})
    wanted = {"vocabulary": "agreement", "s": "500", "k": "64", "state": "projected"}
    assert wanted.items() <= params.items()
    assert (params["counterparts"], params["lambda"], params["solver"]) == ("b+see", "0", "none")
    assert params["prompt_length"] == "10"


def test_tags_say_where_a_result_comes_from() -> None:
    plan = plan_of()
    cell = next(cell for cell in plan.cells if cell.row == "ours")
    tags = run_tags(record_of(cell), {"T": "owner/T@abc", "A": "/models/A (digest 1)"})
    assert tags["target_model"] == "owner/T@abc"
    assert (tags["source_1_model"], tags["source_2_model"]) == ("/models/A (digest 1)", "B")
    assert tags["mlflow.source.git.commit"] == "c0ffee"
    assert "aliases" not in tags
    named = run_tags(record_of(cell), {}, {"A": "a", "B": "B", "T": "t"})
    assert json.loads(named["aliases"]) == {"source_1": "A", "target": "T"}
    long = run_tags(record_of(cell, text="word " * 9000), {})
    assert len(long["prompt"]) == 5000


def test_names_that_charts_would_merge() -> None:
    assert chart_names(["gpt2", "roberta-base", "opt-125m"]) == {
        name: name for name in ("gpt2", "roberta-base", "opt-125m")
    }
    assert chart_names(["pocket-gpt2", "pocket-gpt2-large", "pocket-bert", "MiniLM-L6"]) == {
        "pocket-gpt2": "gpt2",
        "pocket-gpt2-large": "gpt2-large",
        "pocket-bert": "bert",
        "MiniLM-L6": "MiniLM-L6",
    }
    assert chart_names(["abcdefghijk", "abcdefghijl"]) == {
        "abcdefghijk": "1-abcdefghijk",
        "abcdefghijl": "2-abcdefghijl",
    }


@relaxed
@given(st.sets(st.text("ab-2", min_size=1, max_size=14), min_size=1, max_size=8))
def test_names_in_charts_are_never_merged(aliases: set[str]) -> None:
    names = chart_names(aliases)
    assert names.keys() == aliases
    assert len({name[:LABEL] for name in names.values()}) == len(aliases)


def test_curves_are_means_over_seeds_and_models_of_a_pack() -> None:
    plan = plan_of(seeds=2)
    view = View(facts_of_plan(plan))
    joint = [cell for cell in plan.cells if cell.row == "joint"]
    for number, cell in enumerate(joint):
        curve = [{"step": 2, "loss": 1.0 + number, "validation": None}, {"step": 4, "loss": 0.5}]
        view.learn(record_of(cell, curve=curve))
    (ours, *_) = [cell for cell in plan.cells if cell.row == "ours"]
    view.learn(record_of(ours))
    pack = next(view.due(final=True))
    mean = 1.0 + sum(range(len(joint))) / len(joint)
    assert pack.points == (("loss/lambda_0.5", mean, 2), ("loss/lambda_0.5", 0.5, 4))
    assert pack.metrics == {"cost/seconds": 2.0}
    assert pack.dataset is not None
    assert (pack.dataset.name, pack.dataset.digest) == ("x/one", plan.resolved.tasks[0].digest)
    assert pack.name == "tune A+B, x/one, soft"
    assert (pack.ended - pack.began) == 2000


def test_the_level_between_may_be_a_point_of_a_search() -> None:
    plan = plan_of(seeds=2)

    def by_seed(record: Any, tuned: Any) -> Group | None:
        if record["cell"]["kind"] == "reference":
            return None
        return Group(f"point {record['cell']['seed']}", "point", "a point")

    runs = _runs(plan, View(facts_of_plan(plan), by_seed))
    points = [run for run in runs if run.kind == "point"]
    assert sorted(run.key for run in points) == ["point 0", "point 1"]
    parents = {"-1": SWEEP, "0": "point 0", "1": "point 1"}
    assert all(run.parent == parents[run.params["seed"]] for run in runs if run.record)


def test_a_result_waits_for_the_row_without_prompt_and_is_written_once() -> None:
    plan = plan_of()
    view = View(facts_of_plan(plan))
    for cell in plan.cells:
        if cell.kind != "reference":
            view.learn(record_of(cell))
    assert list(view.due()) == []
    count = sum(cell.kind != "reference" for cell in plan.cells)
    assert view.behind == count
    assert sum(run.record is not None for run in view.due(final=True)) == count
    for cell in plan.cells:
        if cell.kind == "reference":
            view.learn(record_of(cell))
    for run in list(view.due()):
        view.settle(run)
    assert view.behind == 0
    assert list(view.due(final=True)) == []


def test_prompts_come_with_their_origin(tmp_path: Path) -> None:
    cell = next(cell for cell in plan_of().cells if cell.row == "ours")
    record = record_of(cell) | {"prompt": {"file": "prompts/p.safetensors", "sha256": "5a"}}
    run = RunData("k", RESULT, "n", "p", 0, 0, record=record)
    files = PromptFiles(tmp_path, Facts("n", "h", models={"T": "owner/T@abc"}))
    assert set(files(run)) == {"prompt/provenance.json"}
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "p.safetensors").write_bytes(b"tensor")
    found = files(run)
    assert found["prompt/prompt.safetensors"] == b"tensor"
    origin = json.loads(found["prompt/provenance.json"])
    assert origin["cell"] == cell.id
    assert origin["models"]["T"] == "owner/T@abc"
    assert origin["prompt_sha256"] == "5a"
    record["result"]["text"] = "some words"
    assert files(run)["prompt/prompt.txt"] == b"some words"
    assert PromptFiles(tmp_path, Facts("n", "h", artifacts=False))(run) == {}


def test_costs_are_metrics_where_a_record_tells_them() -> None:
    cost = Cost(target_forward_rows=10, target_backward_rows=4, target_labels=3, access="states")
    found = run_metrics({"result": {"score": 0.5, **cost.numbers()}}, (), 0.25, 0.75)
    assert found == {
        "test/score": 0.5,
        "test/gain_over_empty": 0.25,
        "test/gap_recovered": 0.5,
        "transfer/gap_recovered": 0.5,
        "cost/target_work": 18.0,
        "cost/target_labels": 3.0,
        "cost/unlabelled_texts": 0.0,
        "cost/source_at_inference": 0.0,
        "cost/access": float(ACCESS.index("states")),
    }


def test_open_answers_are_metrics_where_they_were_measured() -> None:
    known = {"score": 0.5, "score_open": 0.4, "illegal_share": 0.2, "validation_score_open": None}
    assert run_metrics({"result": known}) == {
        "test/score": 0.5,
        "test/score_open": 0.4,
        "test/illegal_share": 0.2,
    }
