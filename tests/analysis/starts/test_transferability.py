"""Zero-shot matrices, blocks, predictors and races against slow readings of the records."""

import json
import math
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.data.results import Sweep, read
from analysis.report.sections import Results, sections
from analysis.soft.transfer_figures import tuned_prompts
from analysis.starts.convergence import Curve, times
from analysis.starts.predictors import GAIN, SCORE, measures, outcomes, predicted
from analysis.starts.races import ALL, ZERO_SHOT, curves, mean_curves, races, time_table, timed
from analysis.starts.section import TaskTransfer, task_section
from analysis.starts.transferability import measure_title
from analysis.starts.tries import every_try
from analysis.starts.zero_shot import RANDOM, Matrix, blocks, matrices, score_table, task_types
from sweep.testing.simulated import simulate_sweep
from tests.sweep.samples import plan_of

TASKS = ("v", "w", "x", "y")
TYPES = {"v": "one", "w": "one", "x": "two", "y": "two"}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    plan = plan_of(
        sources=["A"], targets=["A", "B"], pairs=[], tasks=list(TASKS), seeds=2,
        methods={"soft": {"lambda": [0], "steps": 4, "evaluations": 3, "spacing": "geometric"}},
        transfer=[{"solver": "closed_form"}, {"solver": "ridge"}],
        task_transfer={"zero_shot": True, "refine": True, "embedding_steps": 2},
    )  # fmt: skip
    place = tmp_path_factory.mktemp("zero_shot")
    assert not simulate_sweep(plan, place).failures
    return read(place)


@pytest.fixture(scope="module")
def every(sweep: Sweep) -> list[Matrix]:
    return list(matrices(sweep.frame))


@pytest.fixture(scope="module")
def run(sweep: Sweep, every: list[Matrix]) -> pd.DataFrame:
    prompts = tuned_prompts(sweep.folder, sweep.frame, len(sweep.frame))
    return races(sweep.frame, list(every_try(sweep.frame, prompts)), every)


def test_a_matrix_for_each_model_and_way(sweep: Sweep, every: list[Matrix]) -> None:
    assert [matrix.name for matrix in every] == ["A", "A to B, closed_form", "A to B, ridge"]
    frame = sweep.frame.set_index("cell")
    for matrix in every:
        assert len(matrix.scores) == 4 * 3 * 2
        rows = frame[(frame["row"] == "cross_task") & (frame["target"] == matrix.target)]
        table = score_table(matrix)
        assert list(table.index) == [*TASKS, RANDOM]
        for origin in TASKS:
            for task in TASKS:
                here = rows[(rows["task"] == task) & (rows["origin"] == origin)]
                prompts = [json.loads(text)[0] for text in here["inputs"]]
                way = [frame.loc[name, "solver"] for name in prompts]
                scores = [
                    score
                    for score, solver in zip(here["score"], way, strict=True)
                    if matrix.source == matrix.target or solver in matrix.way
                ]
                if origin == task:  # the cells of the prompts themselves
                    row = "independent" if matrix.target == "A" else "single"
                    own = frame[(frame["row"] == row) & (frame["task"] == task)]
                    own = own[own["target"] == matrix.target]
                    own = own[own["init"] == "normal"]
                    scores = [
                        one["score"]
                        for _, one in own.iterrows()
                        if row == "independent" or one["solver"] in matrix.way
                    ]
                assert len(scores) == 2
                assert table.loc[origin, task] == pytest.approx(100 * mean(scores))
        drawn = rows[rows["origin"].isna()]
        for task in TASKS:
            expected = 100 * mean(drawn.loc[drawn["task"] == task, "score"])
            assert table.loc[RANDOM, task] == pytest.approx(expected)


def test_blocks_are_differences_within_target_tasks(every: list[Matrix]) -> None:
    matrix = every[0]
    found = blocks(matrix, TYPES)
    assert found is not None
    differences = []
    for task in TASKS:
        for seed in (0, 1):
            here = matrix.scores[(matrix.scores["task"] == task) & (matrix.scores["seed"] == seed)]
            groups: dict[bool, list[float]] = {True: [], False: []}
            for row in here.to_dict("records"):
                groups[TYPES[row["origin"]] == TYPES[task]].append(100 * row["score"])
            differences.append(mean(groups[True]) - mean(groups[False]))
    assert found.difference.mean == pytest.approx(mean(differences))
    assert found.within - found.across == pytest.approx(mean(differences))
    assert found.difference.low < found.difference.mean < found.difference.high
    assert found.tasks == 4
    assert found.difference.units == {"task": 4, "seed": 2}
    # A task without a type is alike to none; without any there are no blocks.
    assert blocks(matrix, {"v": "one", "w": "one"}).tasks == 2  # type: ignore[union-attr]
    assert blocks(matrix, {}) is None


def test_types_come_from_the_plan() -> None:
    files = {"a": {"name": "a", "type": "topic"}, "b": {"name": "b"}}
    assert task_types({"spec": {"task_files": files}}) == {"a": "topic"}
    assert task_types({"spec": {"task_files": None}}) == task_types({}) == {}


def test_predictors_are_ranked_within_target_tasks(every: list[Matrix]) -> None:
    from scipy.stats import spearmanr

    table = outcomes(every[0])
    named = measures(table)
    assert {"per_token", "neurons", "neurons_2-4", "zero_shot"} <= set(named)
    assert measure_title("neurons_2-4") == "neurons, layers 2 to 4"
    for measure in ("per_token", "neurons"):
        found = predicted(table, measure, SCORE)
        parts = [part for _, part in table.groupby("task")]
        rhos = [spearmanr(part[measure], part[SCORE]).statistic for part in parts]
        assert found.rho == pytest.approx(mean(rhos))
        assert found.tasks == 4
        # All orders of three source tasks in each of four target tasks.
        each = [
            [spearmanr(order, part[SCORE]).statistic for order in permutations(part[measure])]
            for part in parts
        ]
        draws = np.array([0.0])
        for column in each:
            draws = (draws[:, None] + np.array(column)[None]).ravel()
        exact = float((draws / 4 >= found.rho - 1e-9).mean())
        assert found.p == pytest.approx(exact, abs=0.03)
    assert math.isnan(predicted(table, "per_token", GAIN).rho)
    same = outcomes(every[0], None).assign(per_token=table[SCORE])
    assert predicted(same, "per_token", SCORE).rho == pytest.approx(1.0)
    assert predicted(same, "per_token", SCORE).p < 0.01


def test_gains_of_starts_are_predicted_on_the_model_itself(
    sweep: Sweep, every: list[Matrix]
) -> None:
    (tries,) = every_try(sweep.frame, {})
    gains = TaskTransfer(tries).gains
    table = outcomes(every[0], gains)
    for row in table.to_dict("records"):
        here = gains[(gains["task"] == row["task"]) & (gains["origin"] == row["origin"])]
        assert row[GAIN] == pytest.approx(mean(here["gain"]))
    assert outcomes(every[1], gains)[GAIN].isna().all()


def test_a_race_is_beside_the_words_of_its_own_seed(
    sweep: Sweep, every: list[Matrix], run: pd.DataFrame
) -> None:
    frame = sweep.frame.set_index("cell")
    assert set(run["start"]) == {
        ALL, ZERO_SHOT, "most similar source task, per_token",
        "most similar source task, average_tokens",
        "carried from A, closed_form", "carried from A, ridge",
    }  # fmt: skip
    for row in run.to_dict("records"):
        one, other = frame.loc[row["cell"]], frame.loc[row["control"]]
        assert (other["row"], other["init"]) == ("independent", "vocabulary")
        for name in ("target", "task", "seed"):
            assert one[name] == other[name] == row[name]
        assert one["row"] == ("refined" if row["kind"] == "model" else "continued")
    best = run[run["start"] == ZERO_SHOT]
    assert len(best) == 4 * 2
    scores = every[0].scores
    for row in best.to_dict("records"):
        here = scores[(scores["task"] == row["task"]) & (scores["seed"] == row["seed"])]
        wanted = here.loc[here["validation_score"].idxmax(), "origin"]
        assert frame.loc[row["cell"], "origin"] == wanted


def test_times_are_medians_over_runs(sweep: Sweep, run: pd.DataFrame) -> None:
    known = curves(sweep.folder, [*run["cell"], *run["control"]])
    assert {curve.steps for curve in known.values()} == {(0, 1, 2, 4)}
    table = time_table(timed(run, known))
    for row in table.to_dict("records"):
        here = run[run["start"] == row["start"]]
        made = [
            times(known[one], known[other])
            for one, other in zip(here["cell"], here["control"], strict=True)
        ]
        defined = sorted(each.comparison for each in made if each.control)
        assert (row["n"], row["undefined"]) == (len(made), len(made) - len(defined))
        assert row["never"] == sum(each.comparable is None and each.control > 0 for each in made)
        assert row["comparison"] == defined[len(defined) // 2]
        assert row["steps"] == median(each.control for each in made)
        gains = [100 * (a - b) for a, b in zip(here["score"], here["control_score"], strict=True)]
        assert row["gain"] == pytest.approx(mean(gains))
    # Without curves there is nothing to say.
    assert timed(run, {}).empty
    assert curves(sweep.folder, ["0" * 16]) == {}


def test_mean_curves_take_every_control_once() -> None:
    known = {
        "a": Curve((0, 1), (0.1, 0.2)),
        "b": Curve((0, 1), (0.3, 0.6)),
        "c": Curve((0, 1), (0, 1)),
    }
    rows = [{"task": "t", "start": ALL, "cell": name, "control": "c"} for name in "ab"]
    table = mean_curves(pd.DataFrame(rows), known)
    found = {(row["start"], row["step"]): row["value"] for row in table.to_dict("records")}
    assert found == pytest.approx({(ALL, 0): 20, (ALL, 1): 40, ("", 0): 0, ("", 1): 100})


def shown(frame: pd.DataFrame, folder: Path | None, types: dict[str, str]) -> list[Any]:
    section = task_section(frame, folder, types)
    assert section is not None
    return list(section.parts)


def test_the_section_has_matrix_blocks_times_and_predictors(sweep: Sweep) -> None:
    parts = shown(sweep.frame, sweep.folder, TYPES)
    names = [item.name for part in parts for item in part.exhibits]
    for name in (
        "zero_shot_A", "zero_shot_A-to-B-ridge", "zero_shot_types", "starts_by_step_A",
        "starts_by_step_B", "time_saved", "time_saved_by_task", "transfer_predictors",
    ):  # fmt: skip
        assert name in names
    said = " ".join(text for part in parts for text in part.texts)
    assert "prompts of tasks of the same type have" in said
    assert "carried from A, ridge" in said
    # Neither types nor folder: no blocks, no times, and no word of them.
    bare = [item.name for part in shown(sweep.frame, None, {}) for item in part.exhibits]
    assert "zero_shot_types" not in bare and "time_saved" not in bare


@pytest.mark.slow
def test_the_figures_are_drawn(sweep: Sweep) -> None:
    for part in shown(sweep.frame, sweep.folder, TYPES):
        assert part.shown
        for item in part.exhibits:
            if hasattr(item, "draw"):
                assert item.uri


@pytest.mark.slow
def test_the_rest_of_the_report_is_as_without_these_rows(sweep: Sweep) -> None:
    frame = sweep.frame
    rest = frame[~frame["row"].isin(["cross_task", "refined"])].reset_index(drop=True)

    def of(table: pd.DataFrame) -> list[str]:
        results = Results(table, sweep=replace(sweep, frame=table))
        return [
            item.name
            for section in sections(results)
            if section.anchor != "tasks"
            for part in section.parts
            for item in part.exhibits
        ]

    assert of(frame) == of(rest)
