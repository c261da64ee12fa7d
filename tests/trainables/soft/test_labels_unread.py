"""Ways that are to read no label read none: with every label wrong they find the same bits."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.trainables.soft import toys
from trainables.core.cells import PackOutcome
from trainables.core.settings import TransferSettings
from trainables.packs.pack import run_pack

SEEN = TransferSettings(solver="tune", steps=5, batch_size=4, start="carried")
UNSEEN = {
    "distil": TransferSettings(solver="distil", steps=5, batch_size=4, texts=8),
    "distil by agreement": TransferSettings(
        solver="distil", steps=5, batch_size=4, texts=8, start="carried", selection="agreement"
    ),
    "distil from a readout": TransferSettings(
        solver="distil", steps=5, batch_size=4, texts=8, teacher="readout"
    ),
    "search": TransferSettings(solver="search", dimensions=2, budget=150, texts=8),
    "random words": TransferSettings(
        solver="random_words", tries=4, texts=8, selection="agreement"
    ),
    "readout of states": TransferSettings(solver="readout", texts=8),
    "readout of words": TransferSettings(solver="readout", texts=8, features="words"),
}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The same texts with the right labels, with wrong ones to train on, with wrong ones in all."""
    folder = tmp_path_factory.mktemp("toys")
    turned = ((), ("train",), ("train", "validation"))
    return [toys.write_task(folder / str(len(some)), some) for some in turned]


def outcomes(settings: TransferSettings, tasks: list[str]) -> list[PackOutcome]:
    found = [run_pack(*toys.pack_of(toys.carried(settings), task)) for task in tasks]
    assert not any(one.failures for one in found)
    return found


def numbers(outcome: PackOutcome) -> dict[str, Any]:
    (result,) = outcome.results.values()
    return {name: value for name, value in result.items() if not name.endswith("seconds")}


def kept(outcome: PackOutcome) -> bytes:
    """The prompt or the readout."""
    (found,) = (*outcome.prompts.values(), *outcome.readouts.values())
    return bytes(np.ascontiguousarray(found).tobytes())


@pytest.mark.slow
@pytest.mark.parametrize("settings", UNSEEN.values(), ids=list(UNSEEN))
def test_wrong_labels_change_nothing(settings: TransferSettings, tasks: list[str]) -> None:
    right, wrong, all_wrong = outcomes(settings, tasks)
    assert kept(right) == kept(wrong) == kept(all_wrong)
    assert numbers(right) == numbers(wrong)
    assert numbers(right)["target_labels"] == 0
    # What validation says of it is told and chooses nothing.
    assert numbers(right)["score"] == numbers(all_wrong)["score"]
    assert numbers(right)["chosen"] == numbers(all_wrong)["chosen"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [SEEN, replace(UNSEEN["readout of states"], teacher="gold")],
    ids=["tune", "readout of gold"],
)
def test_the_labels_are_wrong_enough_to_show(settings: TransferSettings, tasks: list[str]) -> None:
    right, wrong, _ = outcomes(settings, tasks)
    assert kept(right) != kept(wrong)
    assert numbers(right)["target_labels"] > 0
