"""``sweep recommend`` and ``sweep features`` on embedded models, MLflow read back."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import load, write_report
from analysis.forecast.features import observations
from analysis.forecast.prediction import canonical, pooled
from sweep.cli import main
from sweep.commands.features import write_features
from sweep.commands.recommend import _advise
from sweep.ledger.folder import bind
from sweep.ledger.ledger import Ledger
from sweep.planning.plan import Plan, make_plan
from sweep.spec.spec import load_spec
from sweep.tracking.sink import sync
from tests.analysis.planted_features import Planted, observed
from trainables.features.before import Looking
from trainables.files.cache import VARIABLE

SPEC = """
name: little
sources: [pocket-bert, pocket-gpt2, pocket-llama]
pairs: all
targets: [pocket-gpt2-large]
tasks: [mini/topics, mini/reviews]
seeds: 2
methods:
  soft: {lambda: [0, 0.5], steps: 2, evaluations: 1, batch_size: 2, text_tokens: 12,
         prompt_length: 3}
direct: true
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recommend") / "spec.yaml"
    path.write_text(SPEC)
    return path


@pytest.fixture(scope="module")
def plan(spec: Path) -> Plan:
    return make_plan(load_spec(str(spec)))


@pytest.fixture(scope="module")
def finished(plan: Plan, spec: Path) -> Path:
    return drawn(plan, spec.parent / "finished")


def drawn(plan: Plan, folder: Path) -> Path:
    """A folder as a run leaves it, with prompts and scores drawn instead of tuned."""
    folder.mkdir()
    bind(folder, plan, {})
    ledger, draw = Ledger(folder), np.random.default_rng(0)
    widths = {"pocket-gpt2-large": 192}
    from trainables.backbones import load_backbone

    for alias, ref in plan.resolved.models.items():
        widths[alias] = load_backbone(ref).width
    for cell in plan.cells:
        level = float(draw.random())
        result = {"score": level, "validation_score": level, "metric": "accuracy"}
        result |= {"histogram": [1, 1], "degenerate": False, "n_test": 2, "n_validation": 2}
        if cell.kind == "transfer":
            result |= {"similarity": level, "selection": "none"}
        if cell.row == "joint":
            result["alignment"] = level
        prompt = None
        if cell.kind != "reference":
            prompt = draw.normal(size=(3, widths[cell.target])).astype("float32")
        ledger.write(cell, result, "pack", {"seconds": 1.0}, prompt)
    return folder


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


def sweep(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(list(arguments))
    return int(stopped.value.code or 0)


@pytest.mark.slow
def test_without_a_finished_sweep_nothing_is_validated(spec, capsys):
    assert sweep("recommend", str(spec)) == 0
    text = capsys.readouterr().out
    assert "nothing is validated" in text and "new source sets, by neighbour agreement" in text
    assert sweep("recommend", str(spec), "--json") == 0
    (advice,) = json.loads(capsys.readouterr().out)
    rows = pd.DataFrame(advice["recommendations"])
    assert not advice["better_than_chance"] and advice["checks"] == {}
    assert set(rows["new"]) == {"source"}
    for _, part in rows.groupby("task"):
        assert list(part["rank"]) == [1, 2, 3]
        assert part["agreement"].is_monotonic_decreasing


@pytest.mark.slow
def test_from_a_finished_sweep_it_says_first_what_the_order_is_worth(spec, finished, capsys):
    assert sweep("recommend", str(spec), "--from", str(finished), "--json") == 0
    (advice,) = json.loads(capsys.readouterr().out)
    assert "Learnt from 6 gains: 3 source sets of 3 models" in advice["verdict"]
    # Every set is known on the other task; two tasks of three models have 6 ways to be exchanged.
    assert list(advice["checks"]) == ["task"] and advice["checks"]["task"]["ways"] == 6
    assert "cannot be tested" in advice["verdict"] and not advice["better_than_chance"]
    rows = pd.DataFrame(advice["recommendations"])
    table = observations(finished)
    known = pooled(table[table["size"] > 1]).set_index(["task", "source_ids"])["gain"]
    other = {"mini/topics": "mini/reviews", "mini/reviews": "mini/topics"}
    for row in rows.to_dict("records"):
        assert row["new"] == "task"
        assert row["order"] == pytest.approx(
            known[other[row["task"]], canonical(row["source_ids"])]
        )
    for _, part in rows.groupby("task"):
        assert part["order"].is_monotonic_decreasing and list(part["rank"]) == [1, 2, 3]
    assert (finished / "features.parquet").is_file()
    assert sweep("recommend", str(spec), "--from", str(finished)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("Told before the outcome, for a new task: if half of")
    assert any("known on other tasks of this target, by their mean gain there" in x for x in lines)


def test_new_sets_targets_and_tasks_have_lists_of_their_own():
    """Two are known on t0, one on t1 alone, one nowhere; task0 is known there, task3 is new."""
    known = observed(Planted(4, targets=2, tasks=3, own=0.5), 0).assign(sweep="one")
    on = known["target"].map({"t0": {"m0", "m1"}, "t1": {"m0", "m1", "m2"}})
    known = known[[name in sets for name, sets in zip(known["sources"], on, strict=True)]]
    asked = observed(Planted(4, targets=1, tasks=4), 1)
    asked = asked[asked["task"].isin(["task0", "task3"])]
    advice = _advise(asked, known)
    assert set(advice.checks) == {"source", "task", "target"}
    lists = advice.table.groupby(["task", "new"])["sources"].agg(set).to_dict()
    assert lists == {
        ("task0", "task"): {"m0", "m1"},
        ("task0", "target"): {"m2"},
        ("task0", "source"): {"m3"},
        ("task3", "task"): {"m0", "m1"},
        ("task3", "source"): {"m2", "m3"},
    }
    for (_, new), part in advice.table.groupby(["task", "new"], sort=False):
        assert list(part["rank"]) == list(range(1, len(part) + 1))
        assert part["order"].is_monotonic_decreasing
        if new == "source":
            assert (part["order"] == part["agreement"]).all()
    assert "no source set of this kind" in _advise(asked, known.iloc[:0]).verdict


@pytest.mark.slow
def test_features_of_tuned_prompts_are_those_of_the_ledger(finished, plan, capsys):
    _, table = write_features(finished, Looking(), after=True)
    ledger = Ledger(finished)
    row = table[(table["sources"] == "pocket-bert+pocket-gpt2") & (table["task"] == "mini/topics")]
    tuned = [
        cell
        for cell in plan.cells
        if cell.row == "ours"
        and cell.task == "mini/topics"
        and cell.sources == ("pocket-bert", "pocket-gpt2")
    ]
    empty = next(
        cell
        for cell in plan.cells
        if cell.row == "empty" and cell.task == "mini/topics" and cell.target == tuned[0].target
    )

    def score(name: str) -> float:
        return float(ledger.record(name)["result"]["validation_score"])

    gains = [score(cell.id) - score(empty.id) for cell in tuned]
    assert row["gain"].item() == pytest.approx(np.mean(gains))
    assert row["n"].item() == len(tuned) == 2
    inputs = [name for cell in tuned for name in cell.inputs]
    assert row["source_score"].item() == pytest.approx(np.mean([score(name) for name in inputs]))
    direct = [cell for cell in plan.direct if cell.task == "mini/topics"]
    assert len(direct) == 2

    def unit(name: str) -> np.ndarray:
        prompt = ledger.prompt(name).astype("float64")
        return prompt / np.linalg.norm(prompt, axis=1, keepdims=True)

    cosines = [
        (unit(one.id) @ unit(other.id).T).mean() for one, other in itertools.product(tuned, direct)
    ]
    assert row["prompt_cosine"].item() == pytest.approx(np.mean(cosines), abs=1e-6)
    assert table["neuron_overlap"].between(0, 1).all() and (table["prompt_norm"] > 0).all()
    assert sweep("features", str(finished)) == 0
    text = capsys.readouterr().out
    assert "exploratory, nothing tested" in text and "source score" in text
    assert "For a new source set the order by neighbour agreement cannot be tested" in text
    page = write_report(finished).read_text(encoding="utf-8")
    assert "What predicts the gain" in page and "Told before the outcome, for a new task" in page


@pytest.mark.slow
def test_a_sweep_of_one_source_has_no_pair_to_judge(tmp_path, capsys):
    lines = [line for line in SPEC.splitlines() if not line.startswith(("pairs", "sources"))]
    path = tmp_path / "one.yaml"
    text = "\n".join([*lines, "sources: [pocket-bert]"])
    path.write_text(text.replace("-large", "").replace(", mini/reviews", ""))
    plan = make_plan(load_spec(str(path)))
    assert {cell.row for cell in plan.cells} == {
        *("independent", "single", "empty", "manual", "constant")
    }
    folder = drawn(plan, tmp_path / "one")
    report = write_report(folder).read_text(encoding="utf-8")
    assert "No source set has both sides of Ours − Baseline, so joint tuning cannot" in report
    assert "Single from pocket-bert" in report
    assert sweep("status", str(folder)) == 0
    out = capsys.readouterr().out
    assert "transfer: 2 of 2" in out and "single" in out
    assert list(observations(folder)["size"]) == [1]


def test_mistakes_are_one_sentence(spec, tmp_path, capsys):
    assert sweep("recommend", str(spec), "--target", "pocket-gpt2-larg") == 2
    assert "did you mean pocket-gpt2-large?" in capsys.readouterr().err
    assert sweep("recommend", str(spec), "--from", str(tmp_path)) == 2
    assert "no sweep's folder" in capsys.readouterr().err
    assert sweep("features", str(tmp_path)) == 2


@pytest.mark.slow
def test_mlflow_gives_the_rows_of_the_ledger(finished, plan, tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    sync(finished, uri)
    found = load(f"mlflow:{uri}#little").set_index("cell")
    wanted = load(finished)
    wanted = wanted.set_index("cell").loc[found.index]
    assert len(found) == len(plan.cells)
    for name in (
        *("method", "row", "family", "task", "target", "sources", "source_1", "source_2", "seed"),
        *("lambda", "schedule", "weight_label", "prompt_length", "position", "solver", "score"),
        *("validation_score", "similarity", "gain_over_empty", "gap_recovered", "selection"),
        *("prompt_file", "pack", "s", "k"),
    ):
        pd.testing.assert_series_equal(found[name], wanted[name], check_dtype=False)
    assert len(load(f"mlflow:{uri}")) == len(found)
    from trainables.errors import InputError

    with pytest.raises(InputError, match="no experiment 'else'; allowed: Default, little"):
        load(f"mlflow:{uri}#else")
