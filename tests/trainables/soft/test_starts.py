"""Prompts that start from other cells' prompts, and few-shot tuning, on toys."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainables.soft import toys
from trainables.core.cells import Cell, Pack, PackOutcome
from trainables.core.settings import SoftSettings, stored
from trainables.core.settings.starts import StartSettings, parted
from trainables.errors import InputError
from trainables.models.names import resolve_model
from trainables.packs.pack import run_pack
from trainables.soft.starts import Begun, given
from trainables.tasks import load_task, resolve_task
from trainables.tasks.shots import drawn, few_shot

MODEL = "pocket-bert"
SETTINGS = SoftSettings(steps=5, evaluations=2, prompt_length=2, batch_size=4, init="vocabulary")


def cell(row: str, seed: int = 0, inputs: tuple[str, ...] = (), origin: tuple[str, ...] = (),
         **settings: Any) -> Cell:  # fmt: skip
    return Cell(
        kind="source", row=row, method="soft", task=toys.TASK, target=MODEL, sources=(MODEL,),
        seed=seed, weight=0.0, inputs=inputs, settings={**stored(SETTINGS), **settings},
        origin=origin,
    )  # fmt: skip


def ran(cells: list[Cell], task: str, prompts: dict[str, np.ndarray] | None = None,
        files: dict[str, str] | None = None) -> PackOutcome:  # fmt: skip
    needs = tuple(dict.fromkeys(name for one in cells for name in one.inputs))
    models = {MODEL: resolve_model(MODEL)}
    given = {name: (prompts or {})[name] for name in needs if name in (prompts or {})}
    pack = Pack("tune", "soft", resolve_task(task), models, (MODEL,), tuple(cells), needs,
                files or {})  # fmt: skip
    return run_pack(pack, given)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> str:
    return toys.write_task(tmp_path_factory.mktemp("toys") / "one")


@pytest.fixture(scope="module")
def first(task: str) -> dict[str, np.ndarray]:
    """Two tuned prompts by their cells' ids."""
    cells = [cell("independent", seed) for seed in (0, 1)]
    found = ran(cells, task).prompts
    return {name: found[name] for name in (one.id for one in cells)}


@pytest.mark.slow
def test_a_start_from_a_cell_is_a_start_from_a_file_of_its_prompt(
    first: dict[str, np.ndarray], task: str, tmp_path: Path
) -> None:
    name, prompt = next(iter(first.items()))
    np.save(tmp_path / "prompt.npy", prompt)
    continued = cell("continued", 3, (name,), ("other",))
    filed = cell("independent", 3, init="file", init_file="prompt.npy")
    one = ran([continued], task, first).prompts[continued.id]
    other = ran([filed], task, files={MODEL: str(tmp_path / "prompt.npy")}).prompts[filed.id]
    assert np.array_equal(one, other)


@pytest.mark.slow
def test_starts_in_one_stack_are_what_each_is_alone(
    first: dict[str, np.ndarray], task: str
) -> None:
    names = tuple(first)
    cells = [
        *(cell("continued", seed, (name,), ("other",)) for seed in (0, 1) for name in names),
        cell("independent", 0),
        cell("restarted", 0, draw=1),
        cell("restarted", 0, draw=2),
    ]
    together = ran(cells, task, first)
    assert not together.failures
    for one in cells:
        alone = ran([one], task, first)
        torch.testing.assert_close(
            torch.tensor(together.prompts[one.id]), torch.tensor(alone.prompts[one.id])
        )
    different = {together.prompts[one.id].tobytes() for one in cells}
    assert len(different) == len(cells)


def test_a_cell_whose_start_is_not_there_fails_alone(
    first: dict[str, np.ndarray], task: str
) -> None:
    name = next(iter(first))
    there, lost = cell("continued", 0, (name,)), cell("continued", 0, ("0" * 16,))
    found = ran([there, lost], task, first)
    assert set(found.prompts) == {there.id}
    assert found.failures == {
        lost.id: f"the tuned prompt it starts from ({'0' * 16}) is not available"
    }


def test_an_average_is_weighted_by_similarity() -> None:
    """Against the formula of Vu et al., vector by vector."""
    draw = np.random.default_rng(1)
    names = [f"p{number}" for number in range(3)]
    known = {name: torch.tensor(draw.normal(size=(2, 4)), dtype=torch.float32) for name in names}
    early = {f"e{number}": torch.tensor(draw.normal(1, 1, (2, 4)), dtype=torch.float32)
             for number in range(3)}  # fmt: skip
    own = torch.tensor(draw.normal(1, 1, (2, 4)), dtype=torch.float32)
    start = StartSettings(top=2, retrieval="average_tokens")
    begun = Begun((*names, *early, "own"), ("a", "b", "c"), start)
    found = given(begun, {**known, **early, "own": own})
    assert found is not None

    def cosine(one: np.ndarray, other: np.ndarray) -> float:
        return float(one @ other / np.sqrt((one @ one) * (other @ other)))

    means = {name: value.double().numpy().mean(0) for name, value in early.items()}
    similar = [cosine(means[f"e{number}"], own.double().numpy().mean(0)) for number in range(3)]
    places = sorted(range(3), key=lambda place: -similar[place])[:2]
    total = sum(similar[place] for place in places)
    expected = sum(similar[place] / total * known[f"p{place}"].numpy() for place in places)
    assert found.numbers["start_tasks"] == ["abc"[place] for place in places]
    np.testing.assert_allclose(found.prompt.numpy(), expected, rtol=1e-5)
    assert given(Begun(("p1",), ("b",)), known).prompt.equal(known["p1"])  # type: ignore[union-attr]
    assert given(Begun(), known) is None


def test_settings_of_the_start_are_told_apart_from_the_methods() -> None:
    own, start = parted({**stored(SETTINGS), "draw": 3})
    assert own == stored(SETTINGS)
    assert start == StartSettings(draw=3)
    with pytest.raises(InputError, match="retrieval: found None; allowed: a similarity with top"):
        StartSettings(top=2)


def test_few_shot_draws_as_many_of_every_class_from_both_splits(task: str) -> None:
    whole = load_task(resolve_task(task))
    few = few_shot(whole, 2, 5)
    for split in ("train", "validation"):
        rows, every = few.rows(split), whole.rows(split)
        assert Counter(row.label for row in rows) == {0: 2, 1: 2}
        places = drawn(2, [row.label for row in every], 2, 5).tolist()
        assert list(rows) == [every[place] for place in places]
        assert set(rows) <= set(few_shot(whole, 3, 5).rows(split))
    assert few.rows("test") == whole.rows("test")
    assert few_shot(whole, 2, 6).rows("train") != few.rows("train")
    assert few_shot(whole, None, 5) is whole
    with pytest.raises(InputError, match=r"shots: found 5; allowed: at most 4, .* the validation"):
        few_shot(whole, 5, 0)


def test_shots_bind_the_tuning_and_not_the_rows_beside_it(task: str) -> None:
    few = cell("independent", shots=2)
    empty = Cell("reference", "empty", "none", toys.TASK, MODEL)
    found = ran([few, empty], task)
    assert not found.failures
    assert found.results[few.id]["n_validation"] == 4
    assert found.results[few.id]["target_labels"] == 4 + 4
    assert found.results[empty.id]["n_validation"] == 8
    assert found.results[few.id]["n_test"] == found.results[empty.id]["n_test"] == 6


def test_a_seed_of_shots_makes_no_difference_without_shots() -> None:
    assert "shots_seed" not in stored(replace(SETTINGS, shots_seed=3))
    assert stored(replace(SETTINGS, shots=2, shots_seed=3))["shots_seed"] == 3
