import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.results import load
from analysis.selection import at_choices, choose, oracle
from tests.analysis.builder import Design, build, cells_of, score_of

LABELS = ["0.1", "0.3", "0.5", "0.7", "0.9", "annealing"]


def slow_means(split: str, target: str = "elk") -> dict[tuple[str, str], float]:
    """Mean score of Ours per source set and weight, by loops over the plan."""
    sums: dict[tuple[str, str], list[float]] = {}
    design = Design()
    for cell in cells_of(design):
        if cell.row == "ours" and cell.target == target:
            label = "annealing" if cell.weight is None else str(cell.weight)
            sums.setdefault(("+".join(cell.sources), label), []).append(
                score_of(cell, design, split)
            )
    return {key: sum(values) / len(values) for key, values in sums.items()}


@pytest.mark.parametrize(
    ("pick", "split", "name"),
    [(choose, "validation", "validation"), (oracle, "test", "test (oracle)")],
)
def test_the_choice_is_the_best_mean(full_frame, pick, split, name):
    means = slow_means(split)
    choices = pick(full_frame)
    assert len(choices) == 6
    for (target, sources), choice in choices.items():
        best = max(LABELS, key=lambda label: means[sources, label])
        assert (target, choice.weight_label, choice.criterion) == ("elk", best, name)
        assert choice.mean == pytest.approx(means[sources, best], abs=1e-12)
        assert list(choice.compared) == LABELS
        assert choice.incomplete == ()


def test_test_scores_choose_nothing(full_frame):
    spoiled = full_frame.copy()
    spoiled.loc[spoiled["weight_label"] == "0.9", "score"] = 1.0
    assert choose(spoiled) == choose(full_frame)
    assert {choice.weight_label for choice in oracle(spoiled).values()} == {"0.9"}


def test_source_validation_chooses_nothing(full_frame):
    spoiled = full_frame.copy()
    mine = (spoiled["row"] == "joint") & (spoiled["weight_label"] == "0.9")
    spoiled.loc[mine, "validation_score"] = 1.0
    assert choose(spoiled) == choose(full_frame)


def test_ties_go_to_the_smaller_weight_and_annealing_is_last(full_frame):
    level = full_frame.copy()
    level["validation_score"] = 0.5
    assert {choice.weight_label for choice in choose(level).values()} == {"0.1"}
    level.loc[level["weight_label"].isin(["0.9", "annealing"]), "validation_score"] = 0.6
    assert {choice.weight_label for choice in choose(level).values()} == {"0.9"}


def test_only_complete_weights_are_compared(full_frame):
    lacking = full_frame[
        ~(
            (full_frame["row"] == "ours")
            & (full_frame["sources"] == "ant+bee")
            & (full_frame["weight_label"] == "0.3")
            & (full_frame["task"] == "mini/b")
            & (full_frame["seed"] == 1)
        )
    ]
    choice = choose(lacking)["elk", "ant+bee"]
    assert choice.weight_label == "0.5"
    assert choice.incomplete == ("0.3",)
    assert "0.3" not in choice.compared
    assert choose(lacking)["elk", "ant+cat"].weight_label == "0.3"


def test_a_missing_validation_score_counts_as_missing(full_frame):
    lacking = full_frame.copy()
    mine = (lacking["row"] == "ours") & (lacking["weight_label"] == "0.3")
    lacking.loc[mine, "validation_score"] = float("nan")
    assert {choice.weight_label for choice in choose(lacking).values()} == {"0.5"}


def test_no_complete_weight_no_choice(full_frame):
    ours = full_frame["row"] == "ours"
    # Every weight lacks another seed, and no seed is lacking everywhere.
    drop = ours & (full_frame["seed"] == 0) & (full_frame["lambda"] < 0.4)
    drop |= ours & (full_frame["seed"] == 1) & ~(full_frame["lambda"] < 0.4)
    assert choose(full_frame[~drop]) == {}
    assert at_choices(full_frame, {}).empty


def test_each_target_chooses_for_itself(tmp_path):
    def alter(cell, record):
        if cell.row == "ours" and cell.target == "fox":
            best = cell.weight == 0.9
            record["result"]["validation_score"] = 0.9 if best else 0.1

    design = Design(targets=("elk", "fox"), tasks=("mini/a",), seeds=(0,))
    build(tmp_path, design, alter=alter)
    frame = load(tmp_path)
    choices = choose(frame)
    assert choices["fox", "ant+bee"].weight_label == "0.9"
    assert choices["elk", "ant+bee"].weight_label != "0.9"
    rows = at_choices(frame, choices)
    assert set(rows.loc[rows["target"] == "fox", "weight_label"]) == {"0.9"}
    assert len(rows) == 12


@settings(max_examples=25, deadline=None)
@given(scores=st.lists(st.sampled_from([0.2, 0.5, 0.8]), min_size=6, max_size=6))
def test_the_rule_holds_for_any_scores(full_frame, scores):
    frame = full_frame.copy()
    given_scores = dict(zip(LABELS, scores, strict=True))
    ours = frame["row"] == "ours"
    frame.loc[ours, "validation_score"] = frame.loc[ours, "weight_label"].map(given_scores)
    best = LABELS[scores.index(max(scores))]
    assert {choice.weight_label for choice in choose(frame).values()} == {best}
