"""What every way says it took is what really passed through the models.

Counted at the one place where rows enter a model. Left out is what only reports: the evaluation of
the final prompt or readout, the agreement of teacher and target, what a prompt is nearest to.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from tests.trainables.soft import toys
from trainables.backbones import Backbone, Encoded, load_backbone
from trainables.core.cells import Cell
from trainables.core.registries import SELECTIONS, SOLVERS
from trainables.core.settings import TransferSettings
from trainables.errors import InputError
from trainables.packs.pack import run_pack
from trainables.packs.run import Run
from trainables.soft.carrying import _Group
from trainables.testing.work import Reading, rows_read
from trainables.transfer import Predictor, solver_named
from trainables.transfer.solvers import v2v_nn

SMALL: dict[str, dict[str, Any]] = {
    "adam": {"steps": 3},
    "projector": {"steps": 3},
    "distil": {"steps": 5, "batch_size": 4, "texts": 8},
    "tune": {"steps": 5, "batch_size": 4},
    "search": {"dimensions": 2, "budget": 100, "texts": 8},
    "random_words": {"tries": 3, "texts": 8},
    "readout": {"texts": 8},
}
"""Settings that keep ways short."""
MORE: list[dict[str, Any]] = [
    {"solver": "readout", "features": "words"},
    {"solver": "readout", "teacher": "own"},
    {"solver": "readout", "teacher": "gold"},
    {"solver": "distil", "teacher": "permuted", "start": "carried", "selection": "agreement"},
    {"solver": "distil", "teacher": "ensemble"},
    {"solver": "distil", "teacher": "readout"},
    {"solver": "tune", "shots": 2, "start": "vocabulary"},
    {"solver": "search", "shots": 2, "algorithm": "sep_cma", "subspace": "words"},
    {"solver": "search", "shots": 2, "selection": "agreement"},
]


def ways() -> Iterator[TransferSettings]:
    """Every solver with every selection that it allows, and a few more."""
    # A copy needs models of one shape, which these are not: see test_prefix.
    mapped = [name for name, kind in SOLVERS.items() if not kind.layers]
    asked = [{"solver": name, "selection": how} for name in mapped for how in SELECTIONS]
    for content in (*asked, *MORE):
        try:
            yield TransferSettings(**{**SMALL.get(content["solver"], {}), **content})
        except InputError:  # they do not go together
            continue


def named(settings: TransferSettings) -> str:
    parts = (settings.solver, settings.selection, settings.teacher, settings.features)
    return " ".join(part for part in (*parts, settings.shots and "shots") if part)


@contextmanager
def no_reports(read: Reading) -> Iterator[None]:
    """What only reports is not counted."""
    reports: list[Encoded] = []

    def silent(cls: type, name: str) -> Any:
        real = getattr(cls, name)

        def quietly(*args: Any, **more: Any) -> Any:
            with read.paused():
                return real(*args, **more)

        return patch.object(cls, name, quietly)

    predict = _Group._predict

    def predicting(group: _Group, *args: Any) -> None:
        """Ways without a prompt read both splits themselves."""
        with whole_splits(read, reports, group):
            predict(group, *args)

    with (
        silent(Run, "evaluate"),
        silent(Run, "readings"),
        silent(_Group, "_agreement"),
        patch.object(_Group, "_predict", predicting),
    ):
        yield


@contextmanager
def whole_splits(read: Reading, reports: list[Encoded], group: _Group) -> Iterator[None]:
    split, over = Run.split, Backbone._over_split

    def noted(run: Run, alias: str, name: str, layout: Any) -> Encoded:
        found = split(run, alias, name, layout)
        reports.extend([found] if name != "train" else [])
        return found

    def counted(backbone: Backbone, data: Encoded, *args: Any) -> Any:
        if not any(data is one for one in reports):
            return over(backbone, data, *args)
        with read.paused():
            return over(backbone, data, *args)

    with patch.object(Run, "split", noted), patch.object(Backbone, "_over_split", counted):
        yield


def check(cell: Cell, task: str) -> dict[str, Any]:
    pack, prompts = toys.pack_of(cell, task)
    for model in pack.models.values():  # when it is loaded, a model reads a few rows as a check
        load_backbone(model)
    with rows_read() as read, no_reports(read):
        outcome = run_pack(pack, dict(prompts))
    assert not outcome.failures
    result = outcome.results[cell.id]
    target = read[cell.target]
    told = [result[f"target_{name}"] for name in ("forward_rows", "backward_rows")]
    assert told == [target.forward, target.backward]
    assert result["target_forward_tokens"] == target.tokens
    others = sum(rows.forward for alias, rows in read.items() if alias != cell.target)
    assert result["source_rows"] == others
    looked_at = target.forward or result["source_at_inference"]
    assert (result["access"] == "none") == (not looked_at)
    assert (result["access"] == "gradients") == (target.backward > 0)
    return result


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> str:
    return toys.write_task(tmp_path_factory.mktemp("toy") / "task")


@pytest.mark.slow
@pytest.mark.parametrize("settings", list(ways()), ids=named)
def test_a_way_costs_what_it_reads(
    settings: TransferSettings, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(v2v_nn, "EPOCHS", 1)
    result = check(toys.carried(settings), task)
    if isinstance(solver_named(settings.solver), Predictor):
        assert result["product"] in ("readout", "none")
    assert result["source_at_inference"] == (result["product"] == "none")


def test_direct_costs_what_it_reads(task: str) -> None:
    result = check(toys.tuned(toys.TARGET), task)
    assert result["target_labels"] == 12 + 8


OF_EACH_KIND: list[dict[str, Any]] = [
    {"solver": "ridge", "selection": "target_validation"},
    {"solver": "ridge", "selection": "source_validation"},
    {"solver": "projector", "steps": 2},
    {"solver": "distil", "teacher": "ensemble", "selection": "agreement", "steps": 2, "texts": 8},
    {"solver": "tune", "shots": 2, "start": "label_words", "steps": 2},
    {"solver": "search", "shots": 2, "subspace": "words", "dimensions": 2, "budget": 50},
    {"solver": "random_words", "selection": "target_validation", "tries": 2},
    {"solver": "readout", "texts": 8},
    {"solver": "proxy"},
    {"solver": "calibrated_sum"},
]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> str:
    return toys.write_task(tmp_path_factory.mktemp("toy") / "task", words=toys.TEXTS)


@pytest.mark.slow
@pytest.mark.parametrize("content", OF_EACH_KIND, ids=lambda content: content["solver"])
def test_with_texts_of_several_tokens_each_reading_counts(
    content: dict[str, Any], texts: str
) -> None:
    result = check(toys.carried(TransferSettings(**content)), texts)
    assert 0.0 <= result["score"] <= 1.0
    assert result["loss"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["label_words", "vocabulary"])
def test_direct_on_texts_of_several_tokens_costs_what_it_reads(loss: str, texts: str) -> None:
    cell = toys.tuned(toys.TARGET)
    cell = replace(cell, settings={**cell.settings, "loss": loss, "init": "label_words"})
    assert check(cell, texts)["target_labels"] == 12 + 8
