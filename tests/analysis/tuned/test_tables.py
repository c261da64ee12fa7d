"""Tables on tuned prompts against slow loops over a small made-up sweep."""

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.contrasts.examples import Examples
from analysis.data.predictions import Kept
from analysis.present.drawing import drawing
from analysis.present.exhibits import Table
from analysis.tuned import label_words, length_and_start, open_answers
from analysis.tuned.ensemble_table import ensemble_table, summary
from analysis.tuned.ensembles import RULES
from analysis.tuned.section import tuned_section

TASKS, SEEDS, LENGTHS, STARTS = ("a", "b"), (0, 1, 2), (1, 5), ("uniform", "label_words")
MODELS, N = ("t5", "t5-lm"), 60
LABELS = {"a": {"bad", "good"}, "b": {"yes", "no"}}
META = {"tasks": {task: {"fields": {"label_words": sorted(LABELS[task])}} for task in TASKS}}


def rows() -> list[dict[str, Any]]:
    found = []
    for model in MODELS:
        for task in TASKS:
            found.append({"row": "empty", "kind": "reference", "target": model, "task": task})
        for task in TASKS:
            for seed in SEEDS:
                for length in LENGTHS:
                    for start in STARTS:
                        found.append(
                            {
                                "row": "independent",
                                "kind": "source",
                                "target": model,
                                "task": task,
                                "seed": seed,
                                "prompt_length": length,
                                "init": start,
                            }
                        )
    for task in TASKS:
        for seed in SEEDS:
            for source in ("ant", "bee"):
                more = {"row": "single", "kind": "transfer", "target": "t5", "sources": source}
                found.append({"task": task, "seed": seed, "way": "closed_form", **more})
    return found


def frame() -> pd.DataFrame:
    draw = np.random.default_rng(1)
    lines = []
    for number, row in enumerate(rows()):
        settings = {key: row[key] for key in ("prompt_length", "init") if key in row}
        score, illegal = draw.uniform(0.3, 0.9), draw.uniform(0, 0.5)
        words = [["good", "fine", "yes", "x", "y"]] + [["q", "r", "s", "t", "u"]] * 4
        lines.append(
            {
                "method": "soft",
                "combination": ", ".join(f"{key} {value}" for key, value in settings.items()),
                "way": None,
                "sources": row["target"] if row["kind"] == "source" else None,
                "seed": None,
                "prompt_length": None,
                "init": None,
                "weight_label": "0",
                "product": "prompt",
                "metric": "accuracy",
                "settings": json.dumps(settings),
                "cell": f"c{number:03}",
                "score": score,
                "validation_score": draw.uniform(0.3, 0.9),
                "score_open": score * (1 - illegal),
                "illegal_share": illegal,
                "nearest_words": json.dumps(words[: row.get("prompt_length", 1)])
                if row["kind"] != "reference"
                else None,
                **row,
            }
        )
    return pd.DataFrame(lines)


def kept(table: pd.DataFrame) -> dict[str, Kept]:
    found = {}
    for number, (cell, task) in enumerate(zip(table["cell"], table["task"], strict=True)):
        draw = np.random.default_rng(number)
        gold = np.random.default_rng(len(task) + TASKS.index(task)).integers(2, size=N)
        logits = draw.normal(size=(N, 2)) + 1.2 * np.eye(2)[gold]
        logs = (logits - np.log(np.exp(logits).sum(-1, keepdims=True))).astype(np.float32)
        found[cell] = Kept(cell, gold, logs.argmax(1), logs)
    return found


@pytest.fixture(scope="module")
def made() -> tuple[pd.DataFrame, dict[str, Kept], Examples]:
    table = frame()
    said = kept(table)
    metrics = dict.fromkeys(TASKS, "accuracy")
    reader = lambda cells: [said[cell] for cell in cells]  # noqa: E731
    return table, said, Examples(reader, metrics)


def test_every_ensemble_is_its_members_put_together(made: Any) -> None:
    table, said, examples = made
    found = ensemble_table(table, examples)
    seeds = len(MODELS) * len(TASKS) * len(LENGTHS) * len(STARTS) + len(TASKS) * 2
    assert found["over"].value_counts().to_dict() == {
        "seeds": seeds,
        "sources": len(TASKS) * len(SEEDS),
        "seeds and sources": len(TASKS),
    }
    for place, row in found.iterrows():
        here = table[(table["row"] == row["row"]) & (table["target"] == row["target"])]
        for name in ("task", "combination", "seed", "sources"):
            if row[name] is not None and not pd.isna(row[name]):
                here = here[here[name] == row[name]]
        cells = here.sort_values(["sources", "seed"])["cell"].tolist()
        assert len(cells) == row["members"]
        gold = said[cells[0]].gold
        alone = [100 * float((said[cell].predicted == gold).mean()) for cell in cells]
        assert row["member"] == pytest.approx(np.mean(alone))
        chosen = here.sort_values(["sources", "seed"])["validation_score"].to_numpy().argmax()
        assert row["best"] == alone[chosen]
        for name, rule in RULES.items():
            answer = rule(np.stack([said[cell].log_probs for cell in cells]))
            assert row[name] == pytest.approx(100 * float((answer == gold).mean()))
            assert row[f"{name}_gain"] == pytest.approx(row[name] - np.mean(alone))
            right = np.mean([said[cell].predicted == gold for cell in cells], axis=0)
            wanted = 100 * ((answer == gold) - right)
            mine = found.attrs["influences"][place][name]
            np.testing.assert_allclose(mine, wanted - wanted.mean(), atol=1e-9)


def test_a_member_that_keeps_nothing_leaves_its_ensembles_out(made: Any) -> None:
    table, said, examples = made
    gone = table.loc[table["row"] == "independent", "cell"].iloc[0]
    reader = lambda cells: [said[cell] for cell in cells if cell != gone]  # noqa: E731
    found = ensemble_table(table, Examples(reader, examples.metrics))
    assert len(found) == len(ensemble_table(table, examples)) - 1
    assert ensemble_table(table[table["seed"] == 0][:5], examples).empty


def test_the_summary_pools_ensembles_of_one_kind(made: Any) -> None:
    table, _, examples = made
    found = ensemble_table(table, examples)
    pooled = summary(found)
    assert pooled["n"].sum() == len(found)
    first = pooled[(pooled["target"] == "t5-lm") & (pooled["over"] == "seeds")].iloc[0]
    part = found[(found["target"] == "t5-lm") & (found["over"] == "seeds")]
    assert first["vote_gain"] == pytest.approx(part["vote_gain"].mean())
    assert first["vote_low"] < first["vote_gain"] < first["vote_high"]
    # Never narrower than the drawing of examples alone makes it.
    drawn = 0.0
    for task in TASKS:
        at = part.index[part["task"] == task]
        total = sum(found.attrs["influences"][place]["vote"] for place in at) / len(part)
        drawn += float(np.var(total, ddof=1)) / N
    assert first["vote_high"] - first["vote_gain"] > 1.9 * math.sqrt(drawn)


@pytest.mark.slow
def test_the_ablation_is_the_mean_over_tasks_with_an_interval_over_seeds(made: Any) -> None:
    table = made[0]
    rows = length_and_start.tuned_alone(table)
    assert length_and_start.varied(rows)
    found = length_and_start.ablation_table(rows, {"t5": 8})
    assert len(found) == len(MODELS) * len(LENGTHS) * len(STARTS)
    for row in found.to_dict("records"):
        values = []
        for seed in SEEDS:
            here = table[
                (table["row"] == "independent")
                & (table["target"] == row["target"])
                & (table["seed"] == seed)
                & (table["prompt_length"] == row["prompt_length"])
                & (table["init"] == row["start"])
            ]
            values.append(100 * here["score"].mean())
        half = stats.t.ppf(0.975, 2) * np.std(values, ddof=1) / math.sqrt(3)
        assert row["mean"] == pytest.approx(np.mean(values))
        assert row["high"] - row["mean"] == pytest.approx(half)
        known = row["target"] == "t5"
        assert row["parameters"] == (8 * row["prompt_length"] if known else None) or not known
    lost = rows[~((rows["seed"] == 2) & (rows["task"] == "a"))]
    assert set(length_and_start.ablation_table(lost, {})["n"]) == {2}, "a seed without every task"
    with drawing() as new:
        assert length_and_start.ablation_figure(new, found, {"t5": 40.0}) is not None
        assert length_and_start.ablation_figure(new, found[:0], {}) is None


def test_starts_of_another_range_are_lines_of_their_own(made: Any) -> None:
    rows = made[0][made[0]["init"] == "uniform"].copy()
    texts = [
        {"init": "uniform", "init_range": [0, 0.5]},
        {"init": "uniform", "init_range": [-0.5, 0.5]},
    ]
    rows["settings"] = [json.dumps(texts[place % 2]) for place in range(len(rows))]
    named = length_and_start.tuned_alone(rows)
    assert set(named["start"]) == {"uniform [0, 0.5]", "uniform [-0.5, 0.5]"}
    rows["settings"] = [json.dumps({"steps": 10 + place % 2}) for place in range(len(rows))]
    assert set(length_and_start.tuned_alone(rows)["panel"]) == {
        f"{model} (steps {steps})" for model in MODELS for steps in (10, 11)
    }


def test_two_models_are_paired_on_everything_else(made: Any) -> None:
    table = made[0]
    found = open_answers.model_pairs(length_and_start.tuned_alone(table))
    assert found[["one", "other"]].to_numpy().tolist() == [["t5", "t5-lm"]]
    row = found.iloc[0]
    assert row["n"] == len(TASKS) * len(SEEDS) * len(LENGTHS) * len(STARTS)
    own = table[table["row"] == "independent"].groupby("target")
    for name in open_answers.VALUES:
        means = 100 * own[name].mean()
        assert row[name] == pytest.approx(means["t5-lm"] - means["t5"])
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
    said = open_answers.pair_sentence(found)
    assert said.startswith("From t5 to t5-lm") and "open score" in said


def test_shares_of_label_words(made: Any) -> None:
    nearest = [["Good", "bad", "x", "y", "z"], ["a", "b", "c", "d", "e"]]
    assert label_words.of_prompt(nearest, {"good", "bad", "so"}) == (0.5, 0.2, pytest.approx(2 / 3))
    labels = label_words.label_words_of(META)
    assert labels == LABELS
    assert label_words.label_words_of(
        {"tasks": {"a": {"fields": {"label_words": [["A ", "b"], "c"]}}}}
    ) == {"a": {"a", "b", "c"}}
    assert label_words.label_words_of({"tasks": [1]}) == {}
    table = label_words.label_word_table(length_and_start.tuned_alone(made[0]), labels)
    assert len(table) == len(MODELS) * len(LENGTHS) * len(STARTS)
    assert set(table["n"]) == {len(TASKS) * len(SEEDS)}
    five = table[table["prompt_length"] == 5].iloc[0]
    assert five["vectors"] == pytest.approx(0.2)
    assert five["slots"] == pytest.approx(1 / 25)
    assert five["found"] == pytest.approx(0.5)


@pytest.mark.slow
def test_the_section_shows_what_there_is_and_nothing_else(made: Any) -> None:
    table, _, examples = made
    whole = tuned_section(table, examples, None, META)
    names = [item.name for part in whole.parts for item in part.exhibits if isinstance(item, Table)]
    assert names == [
        *("length_and_start", "length_and_start_open", "open_answers", "model_pairs"),
        *("ensembles", "ensembles_each", "label_words"),
    ]
    one = table[(table["prompt_length"] == 5) & (table["init"] == "uniform")]
    bare = one[one["seed"] == 0].assign(score_open=np.nan, nearest_words=None)
    assert not tuned_section(bare, examples).shown
