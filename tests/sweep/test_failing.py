"""Packs that fail or give back nonsense: only their cells are lost, and tried again."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweep.ledger.ledger import Ledger
from sweep.testing.tabulated import run_tabulated
from tests.sweep.faulty import FOLDER, here, start
from tests.sweep.faulty import no_mlflow as no_mlflow
from tests.sweep.folders import check_complete
from tests.sweep.inline import inline as inline
from tests.sweep.samples import plan_of
from trainables.core.cells import Pack, PackOutcome
from trainables.errors import InputError

pytestmark = pytest.mark.usefixtures("inline")


# Packs that give back nonsense.


def _changed(pack: Pack, prompts: Mapping[str, Any], change: Callable[[Any], Any]) -> Any:
    outcome = run_tabulated(pack, prompts)
    return change(outcome) if pack.sources == ("A",) else outcome


def _first(outcome: PackOutcome) -> str:
    return next(iter(outcome.prompts))


def gives_text(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, lambda outcome: "done")


def gives_nothing(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, lambda outcome: None)


def _set(outcome: PackOutcome, name: str, value: Any) -> PackOutcome:
    setattr(outcome, name, value)
    return outcome


def results_are_a_list(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, lambda outcome: _set(outcome, "results", [1]))


def cost_is_text(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, lambda outcome: _set(outcome, "cost", "much"))


def a_result_is_a_list(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    def change(outcome: PackOutcome) -> PackOutcome:
        outcome.results[_first(outcome)] = [0.5]  # type: ignore[assignment]
        return outcome

    return _changed(pack, prompts, change)


def _with_score(value: Any) -> Callable[[PackOutcome], PackOutcome]:
    def change(outcome: PackOutcome) -> PackOutcome:
        outcome.results[_first(outcome)]["score"] = value
        return outcome

    return change


def score_is_nan(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, _with_score(float("nan")))


def score_is_text(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, _with_score("high"))


def score_is_a_set(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, _with_score({1}))


def _with_prompt(prompt: Any) -> Callable[[PackOutcome], PackOutcome]:
    def change(outcome: PackOutcome) -> PackOutcome:
        outcome.prompts[_first(outcome)] = prompt
        return outcome

    return change


def no_prompt(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, _with_prompt(None))


def prompt_of_three_axes(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, _with_prompt(np.zeros((1, 5, 8), np.float32)))


def prompt_of_no_rows(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, _with_prompt(np.zeros((0, 8), np.float32)))


def prompt_with_nan(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, _with_prompt(np.full((5, 8), np.nan, np.float32)))


def prompt_is_ragged(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, _with_prompt([[1.0], [1.0, 2.0]]))


def prompt_is_no_utf8(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, _with_prompt(np.array([255, 254], np.uint8)))


def prompt_is_bytes_in_rows(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    return _changed(pack, prompts, _with_prompt(np.zeros((2, 2), np.uint8)))


def raises_without_words(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> Any:
    if pack.sources == ("A",):
        raise MemoryError
    return run_tabulated(pack, prompts)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("executor", "reason"),
    [
        (gives_text, "'str' object has no attribute 'results'"),
        (gives_nothing, "'NoneType' object has no attribute"),
        (results_are_a_list, "the results its worker gave are a list"),
        (cost_is_text, "the cost its worker gave are a str"),
        (a_result_is_a_list, "a list is no mapping"),
        (score_is_nan, "its score is nan"),
        (score_is_text, "its score is 'high'"),
        (score_is_a_set, "a set is neither number"),
        (no_prompt, "gave no prompt for it"),
        (prompt_of_three_axes, "(1, 5, 8)"),
        (prompt_of_no_rows, "(0, 8)"),
        (prompt_with_nan, "no matrix of finite numbers"),
        (prompt_is_ragged, "inhomogeneous"),
        (prompt_is_no_utf8, "utf-8"),
        (prompt_is_bytes_in_rows, "no text (shape (2, 2))"),
        (raises_without_words, "MemoryError"),
    ],
    ids=lambda item: getattr(item, "__name__", ""),
)
def test_nonsense_is_a_failure_of_its_cells_alone(
    tmp_path: Path, no_mlflow: None, executor: Callable[..., Any], reason: str
) -> None:
    plan, lines = plan_of(), list[str]()
    assert start(plan, tmp_path, lines, here(executor)) == 1
    assert reason in " ".join(lines)
    assert all("\n" not in line for line in lines)
    done = Ledger(tmp_path).done_ids()
    assert {cell.id for cell in plan.cells if cell.sources == ("B",)} <= done
    assert start(plan, tmp_path, lines) == 0
    check_complete(tmp_path, plan)


# Cells that fail, and are tried again.


def fails_at_first(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> PackOutcome:
    """Packs of A fail as often as the file ``left`` says."""
    left = Path(os.environ[FOLDER]) / "left"
    if pack.sources == ("A",) and (number := int(left.read_text())):
        left.write_text(str(number - 1))
        raise RuntimeError(f"no luck, {number} to go")
    return run_tabulated(pack, prompts)


@pytest.mark.parametrize(("failures", "retries", "code"), [(2, 2, 0), (3, 2, 1), (1, 0, 1)])
def test_a_failing_cell_is_tried_again(
    tmp_path: Path,
    no_mlflow: None,
    faults: Path,
    monkeypatch: pytest.MonkeyPatch,
    failures: int,
    retries: int,
    code: int,
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    (tmp_path / "left").write_text(str(failures))
    plan, folder, lines = plan_of(retries=retries), tmp_path / "out", list[str]()
    assert plan.hash == plan_of().hash
    assert start(plan, folder, lines, here(fails_at_first)) == code
    left = failures - retries - 1 if code else 0
    assert (tmp_path / "left").read_text() == str(left)
    if code == 0:
        check_complete(folder, plan)
        return
    failed = [item for item in Ledger(folder).failures() if item["cell"]["sources"] == ["A"]]
    tuned = [item for item in failed if item["cell"]["row"] == "independent"]
    assert {item["attempt"] for item in tuned} == {retries + 1}
    assert all("RuntimeError: no luck, 1 to go" in item["traceback"] for item in tuned)
    # Nothing else waited for it in vain, and the same command tries again.
    done = Ledger(folder).done_ids()
    assert {cell.id for cell in plan.cells if cell.row in ("joint", "ours", "empty")} & done
    assert start(plan, folder, lines, here(fails_at_first)) == 0
    check_complete(folder, plan)


def one_seed_fails(pack: Pack, prompts: Mapping[str, Any], **more: Any) -> PackOutcome:
    outcome = run_tabulated(pack, prompts)
    log = Path(os.environ[FOLDER]) / "cells.log"
    with log.open("a") as file:
        file.write("".join(f"{cell.id}\n" for cell in pack.cells))
    for cell in pack.cells:
        if cell.row == "ours" and cell.seed == 1 and log.read_text().count(cell.id) < 2:
            del outcome.results[cell.id]
            outcome.failures[cell.id] = "no luck"
    return outcome


def test_only_what_failed_is_tried_again(
    tmp_path: Path, no_mlflow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its tuning, which is there, and without the other seed's."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    plan, lines = plan_of(seeds=2, retries=1), list[str]()
    assert start(plan, tmp_path / "out", lines, here(one_seed_fails)) == 0
    check_complete(tmp_path / "out", plan)
    runs = (tmp_path / "cells.log").read_text().split()
    twice = {name for name in runs if runs.count(name) == 2}
    again = {c.id for c in plan.cells if c.row == "ours" and c.seed == 1}
    assert twice == again
    assert len(runs) == len(plan.cells) + len(again)


@pytest.mark.parametrize("value", [-1, 1.5, True, "3", None, 101])
def test_retries_of_another_kind(value: Any) -> None:
    from sweep.spec.spec import parse_spec
    from tests.sweep.samples import content

    with pytest.raises(InputError, match=r"retries: found .*allowed: a whole number from 0 to 100"):
        parse_spec({**content(), "retries": value})
