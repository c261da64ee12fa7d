"""Task transfer in the report, against slow readings of every line of its table."""

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.data.results import read
from analysis.report.findings import findings
from analysis.report.sections import Results, sections
from analysis.soft.transfer_figures import tuned_prompts
from analysis.starts.retrieval import (
    AVERAGE,
    BEST,
    MIXTURE,
    NONE,
    ORACLE,
    RANDOM,
    WORDS,
    likeness_table,
    rank_correlations,
    retrieval_table,
    retrieval_values,
    sizes,
)
from analysis.starts.section import task_section
from analysis.starts.tries import Tries, every_try, without_starts
from sweep.testing.simulated import simulate_sweep
from tests.sweep.samples import plan_of
from trainables.tasks.similarity import average_tokens, per_token

TASKS = ("v", "w", "x", "y", "z")
SIMILAR = {"per_token": per_token, "average_tokens": average_tokens}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    plan = plan_of(
        sources=["A"], targets=["A"], pairs=[], tasks=list(TASKS), seeds=2,
        methods={"soft": {"lambda": [0], "steps": 4, "evaluations": 2, "shots": [4, 8]}},
        task_transfer={
            "embedding_steps": 2, "weighted": [2], "mixture": [3], "retrieval": list(SIMILAR)
        },
    )  # fmt: skip
    place = tmp_path_factory.mktemp("tasks")
    assert not simulate_sweep(plan, place).failures
    return place


@pytest.fixture(scope="module")
def frame(folder: Path) -> pd.DataFrame:
    return read(folder).frame


@pytest.fixture(scope="module")
def every(folder: Path, frame: pd.DataFrame) -> list[Tries]:
    return list(every_try(frame, tuned_prompts(folder, frame, len(frame))))


def best(rows: pd.DataFrame) -> float:
    """Score of the best on validation, read row by row; of several, their mean."""
    most = max(rows["validation_score"])
    return mean(row.score for row in rows.itertuples() if row.validation_score == most)


def over_all_choices(rows: pd.DataFrame, k: int) -> float:
    return mean(best(rows.iloc[list(chosen)]) for chosen in combinations(range(len(rows)), k))


def line(values: pd.DataFrame, unit: Any, name: str, k: int, retrieval: str = "") -> float:
    task, seed = unit
    here = values[
        (values["task"] == task) & (values["seed"] == seed) & (values["line"] == name)
        & (values["k"] == k) & (values["retrieval"] == retrieval)
    ]  # fmt: skip
    (score,) = here["score"]
    return float(score)


def test_a_part_for_each_combination(every: list[Tries]) -> None:
    assert {tries.label for tries in every} == {"shots 4", "shots 8"}
    for tries in every:
        assert len(tries.tasks) == 5 * 4 * 2
        assert len(tries.words) == 5 * 4 * 2
        assert len(tries.averages) == len(tries.mixtures) == 5 * 2 * 2
        assert set(tries.retrievals) == set(SIMILAR)


def test_every_line_is_what_slow_loops_find(
    folder: Path, frame: pd.DataFrame, every: list[Tries]
) -> None:
    prompts = tuned_prompts(folder, frame, len(frame))
    for tries, shots in zip(every, (4, 8), strict=True):
        values = retrieval_values(tries)
        mine = frame[(frame["shots"] == shots) & (frame["kind"] == "source")]
        early = frame[frame["row"] == "embedding"]
        for task in TASKS:
            for seed in (0, 1):
                unit = (task, seed)
                here = mine[(mine["task"] == task) & (mine["seed"] == seed)]
                made = here[here["row"] == "continued"]
                average = made[made["top"].notna()]
                mixtures = here[here["row"] == "mixture"]
                alone = made["top"].isna() & ~made["origin"].str.contains("+", regex=False)
                single, mixed = made[alone], made[~alone & made["top"].isna()]
                (control,) = here[(here["row"] == "independent")
                                  & (here["init"] == "vocabulary")]["score"]  # fmt: skip
                words = here[((here["row"] == "independent") & (here["init"] == "vocabulary"))
                             | (here["row"] == "restarted")]  # fmt: skip
                assert len(single) == len(words) == 4
                assert line(values, unit, NONE, 1) == control
                assert line(values, unit, WORDS, 3) == pytest.approx(over_all_choices(words, 3))
                assert line(values, unit, RANDOM, 1) == pytest.approx(single["score"].mean())
                assert line(values, unit, RANDOM, 3) == pytest.approx(over_all_choices(single, 3))
                assert line(values, unit, ORACLE, 4) == pytest.approx(best(single))
                at = early[early["seed"] == seed]
                (own,) = at[(at["task"] == task) & (at["shots"] == shots)]["cell"]
                for name, similarity in SIMILAR.items():
                    far = at[at["shots"].isna()].set_index("task")["cell"]
                    like = {
                        origin: float(similarity(prompts[cell], prompts[own]))
                        for origin, cell in far.items()
                    }
                    order = sorted(
                        single.to_dict("records"), key=lambda row, like=like: -like[row["origin"]]
                    )
                    assert line(values, unit, BEST, 1, name) == order[0]["score"]
                    found = line(values, unit, BEST, 3, name)
                    assert found == pytest.approx(best(pd.DataFrame(order[:3])))
                    (score,) = average[average["retrieval"] == name]["score"]
                    assert line(values, unit, AVERAGE, 2, name) == score
                    (cell,) = mixtures[mixtures["retrieval"] == name]["cell"]
                    (score,) = mixed[mixed["inputs"] == json.dumps([cell])]["score"]
                    assert line(values, unit, MIXTURE, 3, name) == score


def test_no_choice_reads_the_test_split(every: list[Tries]) -> None:
    """With other test scores the same prompts are chosen: scores move by one number each."""
    tries = every[0]
    names = ("tasks", "words", "averages", "mixtures")
    parts = {name: getattr(tries, name) for name in names}
    changed = {name: part.assign(score=part["score"] + 1) for name, part in parts.items()}
    moved = replace(tries, **changed)
    one, other = retrieval_values(tries), retrieval_values(moved)
    np.testing.assert_allclose(one["score"] + 1, other["score"])


def test_the_table(every: list[Tries]) -> None:
    values = retrieval_values(every[0])
    table = retrieval_table(values)
    assert table["line"].iloc[0] == NONE
    row = table[(table["line"] == RANDOM) & (table["k"] == 3)].iloc[0]
    here = values[(values["line"] == RANDOM) & (values["k"] == 3)]
    control = {unit: line(values, unit, NONE, 1) for unit in zip(here["task"], here["seed"],
                                                                 strict=True)}  # fmt: skip
    gains = [r.score - control[r.task, r.seed] for r in here.itertuples()]
    shares = [(r.score - control[r.task, r.seed]) / (1 - control[r.task, r.seed])
              for r in here.itertuples()]  # fmt: skip
    assert row["n"] == 10
    assert row["tries"] == 3
    assert row["absolute"] == pytest.approx(100 * mean(gains))
    assert row["relative"] == pytest.approx(100 * mean(shares))
    assert row["absolute_low"] < row["absolute"] < row["absolute_high"]
    words = [line(values, unit, WORDS, 3) for unit in control]
    beside = [r.score for r in here.itertuples()]
    assert row["over_words"] == pytest.approx(100 * (mean(beside) - mean(words)))


def test_sizes() -> None:
    assert sizes(15) == [1, 3, 6, 9, 12, 15]
    assert sizes(7) == [1, 3, 6, 7]
    assert sizes(1) == [1]


def test_rank_correlations_and_likeness(every: list[Tries]) -> None:
    tries = every[0]
    ranks = rank_correlations(tries, "per_token")
    unit = ranks.iloc[0]
    here = tries.tasks[
        (tries.tasks["task"] == unit["task"]) & (tries.tasks["seed"] == unit["seed"])
    ]
    expected = here["per_token"].corr(here["score"], method="spearman")
    assert unit["rho"] == pytest.approx(expected)
    likeness = likeness_table(tries).set_index("retrieval")
    pairs = list(tries.likeness.itertuples())
    other = [r.per_token for r in pairs if r.task != r.origin and r.seed == r.other_seed]
    assert likeness.loc["per_token", "same_seed"] == pytest.approx(mean(other))
    own = [r.per_token for r in pairs if r.task == r.origin and r.seed != r.other_seed]
    assert likeness.loc["per_token", "same_task"] == pytest.approx(mean(own))


def test_the_section(folder: Path, frame: pd.DataFrame) -> None:
    section = task_section(frame, folder)
    assert section is not None
    assert section.title == "Task transfer"
    said = " ".join(text for part in section.parts for text in part.texts)
    assert "over a start from words" in said
    assert "similar task by per-token mean cosine" in said
    assert task_section(without_starts(frame), folder) is None
    sweep = read(folder)
    anchors = [each.anchor for each in sections(Results(frame, sweep=sweep))]
    assert "tasks" in anchors
    assert "Transfer" not in [finding.title for finding in findings(sweep)]


def test_without_early_prompts_nothing_is_said_of_retrieval(frame: pd.DataFrame) -> None:
    (tries, _) = every_try(frame, {})
    assert not tries.retrievals
    lines = set(retrieval_values(tries)["line"])
    assert lines == {NONE, WORDS, RANDOM, AVERAGE, MIXTURE, ORACLE}
    assert task_section(frame, None) is not None
