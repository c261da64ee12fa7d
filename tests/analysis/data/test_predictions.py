"""Kept predictions of really computed sweeps, and how they are read."""

import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import analysis
from analysis.data.predictions import read_predictions, recompute_scores
from sweep.ledger.ledger import Ledger
from sweep.planning.plan import Plan, make_plan
from sweep.spec.spec import load_spec, parse_spec
from sweep.testing.tabulated import tabulated_arrays, tabulated_predictions, tabulated_result
from tests.pace import slowness
from tests.sweep.computed import compute, soft_and_hard
from tests.sweep.samples import content, plan_of
from trainables.errors import InputError
from trainables.tasks import load_task

PLANS = {
    "smoke": lambda: make_plan(load_spec("smoke")),
    "more calibrations": lambda: small(["batch", "content_free"]),
    "no calibration, two classes": lambda: small([]),
    "soft and hard": soft_and_hard,
}


def small(calibration: list[str]) -> Plan:
    """Few soft prompts of little training, with these calibrations or none."""
    spec = content(
        sources=["pocket-bert", "pocket-gpt2"],
        targets=["pocket-roberta"],
        tasks=["mini/reviews" if calibration else "mini/paraphrase"],
        methods={"soft": {"lambda": [0], "steps": 2, "evaluations": 2, "text_tokens": 12}},
        direct=True,
        calibration=calibration,
    )
    return make_plan(parse_spec(spec))


SLOW = ("smoke", "more calibrations", "soft and hard")


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in PLANS],
)
def swept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    plan = PLANS[request.param]()
    return plan, compute(plan, tmp_path_factory.mktemp("swept"))


@pytest.mark.slow
def test_scores_recomputed_are_those_recorded(swept: tuple[Plan, Path]) -> None:
    plan, folder = swept
    found = recompute_scores(folder)
    assert len(found) == 2 * len(plan.cells)
    assert set(found["cell"]) == plan.by_id.keys()
    assert (found["recorded"] == found["recomputed"]).all()
    rows = {(cell.kind, cell.row) for cell in plan.cells}
    assert {("reference", row) for row in ("empty", "manual", "constant")} <= rows


def test_examples_are_those_of_the_split(swept: tuple[Plan, Path]) -> None:
    """Cell by cell and example by example against the task's own rows and the raw file."""
    plan, folder = swept
    frame = analysis.predictions(folder)
    assert list(frame.columns[:5]) == ["cell", "split", "example", "gold", "predicted"]
    golds = {
        (task.name, split): [row.label for row in load_task(task).rows(split)]
        for task in plan.resolved.tasks
        for split in ("validation", "test")
    }
    assert len(frame) == sum(
        len(golds[cell.task, split]) for cell in plan.cells for split in ("validation", "test")
    )
    for (name, split), part in frame.groupby(["cell", "split"], observed=True):
        cell = plan.by_id[name]
        assert part["gold"].tolist() == golds[cell.task, split]
        assert part["example"].tolist() == list(range(len(part)))
        raw = load_file(folder / "prompts" / name[:2] / f"{name}.safetensors")
        assert raw[split].dtype == np.float16
        columns = [f"log_prob_{c}" for c in range(raw[split].shape[1])]
        np.testing.assert_array_equal(part[columns].to_numpy(), raw[split].astype(np.float32))
        assert part["predicted"].tolist() == raw[split].argmax(1).tolist()
        total = np.exp(raw[split].astype(np.float64)).sum(1)
        np.testing.assert_allclose(total, 1, atol=0.01)
        # Of equals, which is predicted is nobody's choice: the highest stands alone.
        ordered = np.sort(raw[split], 1)
        assert (ordered[:, -1] > ordered[:, -2]).all()


def test_histogram_and_loss_are_those_of_the_predictions(swept: tuple[Plan, Path]) -> None:
    plan, folder = swept
    for kept in read_predictions(folder):
        result = Ledger(folder).record(kept.cell)["result"]
        classes = kept.log_probs.shape[1]
        assert np.bincount(kept.predicted, minlength=classes).tolist() == result["histogram"]
        if plan.by_id[kept.cell].row != "constant":
            loss = -kept.log_probs[np.arange(len(kept.gold)), kept.gold].mean()
            assert loss == pytest.approx(result["loss"], rel=2e-3)


def test_the_constant_row_knows_the_training_split_and_no_more(swept: tuple[Plan, Path]) -> None:
    plan, folder = swept
    for cell in (cell for cell in plan.cells if cell.row == "constant"):
        task = next(task for task in plan.resolved.tasks if task.name == cell.task)
        labels = [row.label for row in load_task(task).rows("train")]
        (kept,) = read_predictions(folder, [cell.id])
        shares = np.bincount(labels, minlength=kept.log_probs.shape[1]) / len(labels)
        np.testing.assert_allclose(np.exp(kept.log_probs), [shares] * len(kept.gold), atol=2e-3)


@pytest.fixture
def tabulated(tmp_path: Path) -> tuple[Plan, Path]:
    plan, ledger = plan_of(), Ledger(tmp_path)
    for cell in plan.cells:
        ledger.write(cell, tabulated_result(cell), "p", {}, *tabulated_arrays(cell))
    return plan, tmp_path


def test_cells_come_in_the_order_asked_for(tabulated: tuple[Plan, Path]) -> None:
    plan, folder = tabulated
    names = [cell.id for cell in reversed(plan.cells)]
    for split in ("validation", "test"):
        found = list(read_predictions(folder, names, split))
        assert [kept.cell for kept in found] == names
        for kept in found:
            expected = tabulated_predictions(plan.by_id[kept.cell])
            np.testing.assert_array_equal(kept.log_probs, expected[split].astype(np.float32))
            np.testing.assert_array_equal(kept.gold, expected[f"{split}_gold"])
    assert [kept.cell for kept in read_predictions(folder)] == sorted(names)
    frame = analysis.predictions(folder, names[:2], "test")
    assert frame["cell"].unique().tolist() == names[:2]
    assert frame["split"].unique().tolist() == ["test"]


def test_cells_that_keep_none_are_left_out(tmp_path: Path) -> None:
    plan, ledger = plan_of(), Ledger(tmp_path)
    kept = {0: None, 1: {}, 2: ("validation",), 3: ("test",), 4: ("validation", "test")}
    for number, splits in kept.items():
        cell = plan.cells[number]
        arrays = None if splits is None else tabulated_predictions(cell, splits)
        ledger.write(cell, tabulated_result(cell), "p", {}, tabulated_arrays(cell)[0], arrays)
    on = {
        split: {item.cell for item in read_predictions(tmp_path, None, split)}
        for split in ("validation", "test")
    }
    assert on["validation"] == {plan.cells[2].id, plan.cells[4].id}
    assert on["test"] == {plan.cells[3].id, plan.cells[4].id}
    assert set(analysis.predictions(tmp_path)["cell"]) == on["validation"] | on["test"]
    # Tasks of different numbers of classes stand in one table; nothing at all is a table too.
    empty = analysis.predictions(tmp_path, [])
    assert list(empty.columns) == ["cell", "split", "example", "gold", "predicted"]
    assert len(empty) == 0


def test_fewer_classes_leave_columns_empty(tmp_path: Path) -> None:
    plan, ledger = plan_of(), Ledger(tmp_path)
    for cell, classes in zip(plan.cells, (2, 5), strict=False):
        values = np.log(np.full((3, classes), 1 / classes)).astype(np.float16)
        arrays = {"test": values, "test_gold": np.array([0, 1, 1], dtype=np.uint8)}
        ledger.write(cell, tabulated_result(cell), "p", {}, tabulated_arrays(cell)[0], arrays)
    frame = analysis.predictions(tmp_path).set_index("cell")
    first, second = (frame.loc[cell.id].filter(like="log_prob") for cell in plan.cells[:2])
    assert first.notna().sum(axis=1).tolist() == [2] * 3
    assert second.notna().sum(axis=1).tolist() == [5] * 3


def test_a_long_prompt_is_not_in_the_way(tmp_path: Path) -> None:
    """Predictions lie behind the prompt, beyond what is read at once."""
    cell = plan_of().cells[0]
    arrays = tabulated_predictions(cell)
    prompt = np.ones((100, 1024), dtype=np.float32)
    Ledger(tmp_path).write(cell, tabulated_result(cell), "p", {}, prompt, arrays)
    (kept,) = read_predictions(tmp_path)
    np.testing.assert_array_equal(kept.log_probs, arrays["test"].astype(np.float32))
    (kept,) = read_predictions(tmp_path, split="validation")
    np.testing.assert_array_equal(kept.gold, arrays["validation_gold"])


@pytest.mark.parametrize("harm", ["cut", "empty", "garbage", "list", "other shape"])
def test_a_damaged_file_is_one_sentence(tabulated: tuple[Plan, Path], harm: str) -> None:
    plan, folder = tabulated
    lost = plan.cells[1].id
    path = folder / "prompts" / lost[:2] / f"{lost}.safetensors"
    whole = path.read_bytes()
    path.write_bytes(
        {
            "cut": whole[: len(whole) // 2],
            "empty": b"",
            "garbage": b"\xff" * 400,
            "list": (2).to_bytes(8, "little") + b"[]",
            "other shape": whole.replace(b'"shape":[200,2]', b'"shape":[2,200]'),
        }[harm]
    )
    with pytest.raises(InputError, match=f"{lost}.safetensors: cannot be used") as caught:
        for split in ("validation", "test"):
            list(read_predictions(folder, split=split))
    assert "\n" not in str(caught.value)
    lines: list[str] = []
    found = [kept.cell for kept in read_predictions(folder, damaged=lines.append)]
    assert sorted([*found, lost]) == sorted(plan.by_id)
    assert len(lines) == 1
    with pytest.raises(InputError, match="damaged"):
        recompute_scores(folder)


def test_a_changed_prediction_does_not_pass_the_check(tabulated: tuple[Plan, Path]) -> None:
    plan, folder = tabulated
    recompute_scores(folder)
    name = plan.cells[0].id
    path = folder / "prompts" / name[:2] / f"{name}.safetensors"
    content = bytearray(path.read_bytes())
    content[-300] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        recompute_scores(folder)


def test_mistakes_are_one_sentence(tabulated: tuple[Plan, Path], tmp_path: Path) -> None:
    _, folder = tabulated
    with pytest.raises(InputError, match="split: found 'train'; allowed: validation, test"):
        analysis.predictions(folder, split="train")
    for read in (analysis.predictions, recompute_scores):
        with pytest.raises(InputError, match="no ledger"):
            read(tmp_path / "nowhere")


@pytest.mark.slow
def test_a_hundred_microseconds_a_cell(tabulated: tuple[Plan, Path]) -> None:
    plan, folder = tabulated
    names = [cell.id for cell in plan.cells] * (2000 // len(plan.cells))
    began = time.process_time()
    count = sum(1 for _ in read_predictions(folder, names))
    spent = time.process_time() - began
    assert count == len(names)
    assert spent < 300e-6 * count * slowness()
