import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import load, write_report
from analysis.contrasts.selection import CRITERIA, at_choices, choose, joint_at_choices, oracle
from analysis.data.results import read
from analysis.present.words import ALL_TASKS, PER_TASK
from analysis.report.page import render
from analysis.soft.section import oracle_note
from analysis.soft.tables import paired_differences, transfer_table
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
        assert (target, choice.weight_label) == ("elk", best)
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


@pytest.mark.slow
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


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(scores=st.lists(st.sampled_from([0.2, 0.5, 0.8]), min_size=6, max_size=6))
def test_the_rule_holds_for_any_scores(full_frame, scores):
    frame = full_frame.copy()
    given_scores = dict(zip(LABELS, scores, strict=True))
    ours = frame["row"] == "ours"
    frame.loc[ours, "validation_score"] = frame.loc[ours, "weight_label"].map(given_scores)
    best = LABELS[scores.index(max(scores))]
    assert {choice.weight_label for choice in choose(frame).values()} == {best}


# The alternatives: a weight for each task, and validation on the sources.


def slow_source_means() -> dict[tuple[str, str], float]:
    """Mean validation score of the joint prompts on their sources, by loops over the plan."""
    sums: dict[tuple[str, str], list[float]] = {}
    for cell in cells_of(Design()):
        if cell.row == "joint":
            label = "annealing" if cell.weight is None else str(cell.weight)
            score = score_of(cell, Design(), "validation")
            sums.setdefault(("+".join(cell.sources), label), []).append(score)
    return {key: sum(values) / len(values) for key, values in sums.items()}


@pytest.mark.slow
def test_by_source_validation(full_frame):
    means = slow_source_means()
    for (_, sources), choice in choose(full_frame, "source").items():
        best = max(LABELS, key=lambda label: means[sources, label])
        assert choice.weight_label == best
        assert choice.mean == pytest.approx(means[sources, best], abs=1e-12)
        assert list(choice.compared) == LABELS
    spoiled = full_frame.copy()
    ours = spoiled["row"] == "ours"
    spoiled.loc[ours, ["score", "validation_score"]] = 0.123
    assert choose(spoiled, "source") == choose(full_frame, "source")


@pytest.mark.slow
def test_by_source_validation_needs_every_source_and_the_transfer(full_frame):
    best = choose(full_frame, "source")["elk", "ant+bee"].weight_label
    here = (full_frame["sources"] == "ant+bee") & (full_frame["weight_label"] == best)
    here &= (full_frame["task"] == "mini/a") & (full_frame["seed"] == 1)
    for lost in (
        here & (full_frame["row"] == "joint") & (full_frame["target"] == "bee"),
        here & (full_frame["row"] == "ours"),
    ):
        assert lost.sum() == 1
        choice = choose(full_frame[~lost], "source")["elk", "ant+bee"]
        assert choice.incomplete == (best,)
        assert best not in choice.compared
        assert choice.weight_label != best


def test_each_task_for_itself(full_frame):
    frame = full_frame.copy()
    best = {"mini/a": "0.9", "mini/b": "0.1", "mini/c": "annealing"}
    ours = frame["row"] == "ours"
    for task, label in best.items():
        mine = ours & (frame["task"] == task) & (frame["weight_label"] == label)
        frame.loc[mine, "validation_score"] = 0.99
    choices = choose(frame, "task")
    for choice in choices.values():
        assert choice.weight_label == PER_TASK
        assert choice.by_task == best
        assert choice.mean == pytest.approx(0.99)
    rows = at_choices(frame, choices)
    assert len(rows) == 6 * 3 * 3
    assert set(rows["weight_label"]) == {PER_TASK}
    for task, label in best.items():
        cells = set(rows.loc[rows["task"] == task, "cell"])
        assert set(frame.loc[frame["cell"].isin(cells), "weight_label"]) == {label}
    # One line a source set in the tables, its mean over tasks included.
    table = transfer_table(frame, "elk", choices)
    lines = table[table["row"] == "ours"]
    assert lines.groupby("sources")["task"].agg(set).map(lambda names: ALL_TASKS in names).all()
    assert len(lines) == 6 * 4
    assert len(paired_differences(frame, "elk", choices)) == 6 * 3 * 3
    joint = joint_at_choices(frame, choices)
    assert set(zip(joint["task"], joint["weight_label"], strict=True)) == set(best.items())


def test_a_task_without_a_complete_weight_is_left_out(full_frame):
    ours = (full_frame["row"] == "ours") & (full_frame["task"] == "mini/b")
    drop = ours & (full_frame["seed"] == 0) & (full_frame["lambda"] < 0.4)
    drop |= ours & (full_frame["seed"] == 1) & ~(full_frame["lambda"] < 0.4)
    frame = full_frame[~drop]
    choices = choose(frame, "task")
    assert {choice.tasks for choice in choices.values()} == {("mini/a", "mini/c")}
    assert set(at_choices(frame, choices)["task"]) == {"mini/a", "mini/c"}


@pytest.mark.slow
def test_the_oracle_of_each_task_is_no_worse_than_any_choice(full_frame):
    means = {
        by: {key: choice.mean for key, choice in oracle(full_frame, by).items()} for by in CRITERIA
    }
    assert all(means["task"][key] >= means["pair"][key] - 1e-12 for key in means["pair"])
    assert means["source"] == means["pair"]
    for by in CRITERIA:
        note = oracle_note(full_frame, "elk", choose(full_frame, by))
        assert note.startswith("Oracle, not a result:")
        assert "−" not in note


def test_an_unknown_criterion(full_frame):
    with pytest.raises(ValueError, match="allowed: pair, task, source"):
        choose(full_frame, "test")


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The report of one sweep by every criterion, and the one written without a word on it."""
    folder = tmp_path_factory.mktemp("reports")
    build(folder, Design(("ant", "bee"), tasks=("mini/a", "mini/b"), weights=(0.0, 0.3, 0.9)))
    texts = {by: render(read(folder), by) for by in CRITERIA}
    return texts | {"": write_report(folder).read_text(encoding="utf-8")}


@pytest.mark.slow
@pytest.mark.parametrize("by", list(CRITERIA))
def test_the_report_says_how_the_weight_was_chosen(reports, by):
    text = reports[by]
    assert CRITERIA[by] in text
    assert (text == reports[""]) == (by == "pair")
    assert ("Ours λ per task" in text) == (by == "task")
    assert "Oracle, not a result" in text
