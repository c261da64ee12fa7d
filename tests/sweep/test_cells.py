"""Properties that resuming rests on: equal content, equal hash, whatever the way it came."""

import json
import random
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sweep.samples import relaxed
from trainables.core.cells import Cell, ModelRef, Pack, TaskRef, content_hash

finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
names = st.text(alphabet="abcXYZ-/._0", min_size=1, max_size=8)
cells = st.builds(
    Cell,
    kind=st.sampled_from(["source", "transfer", "reference"]),
    row=names,
    method=names,
    task=names,
    target=names,
    sources=st.lists(names, max_size=3).map(tuple),
    seed=st.none() | st.integers(0, 2**32),
    weight=st.none() | st.floats(0, 1),
    schedule=st.sampled_from(["none", "constant", "annealing"]),
    inputs=st.lists(names, max_size=3).map(tuple),
    settings=st.dictionaries(names, finite | st.text(max_size=5) | st.none(), max_size=4),
    digests=st.dictionaries(names, names, max_size=3),
)


def _shuffled(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {key: _shuffled(value[key], rng) for key in keys}
    if isinstance(value, list):
        return [_shuffled(item, rng) for item in value]
    return value


@relaxed
@given(value=json_values, seed=st.integers(0, 9))
def test_the_hash_knows_no_order_of_keys(value: Any, seed: int) -> None:
    assert content_hash(_shuffled(value, random.Random(seed))) == content_hash(value)


@relaxed
@given(value=json_values)
def test_the_hash_survives_json(value: Any) -> None:
    assert content_hash(json.loads(json.dumps(value))) == content_hash(value)


@pytest.mark.slow
@relaxed
@given(first=json_values, second=json_values)
def test_different_values_have_different_hashes(first: Any, second: Any) -> None:
    same = json.dumps(first, sort_keys=True) == json.dumps(second, sort_keys=True)
    assert (content_hash(first) == content_hash(second)) == same


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": -float("inf")}])
def test_no_hash_of_what_equals_nothing(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON"):
        content_hash(value)


def test_the_hash_is_the_same_in_another_process() -> None:
    value = {"b": [1, 2.5, None], "a": {"x": "λ"}}
    code = f"from trainables.core.cells import content_hash; print(content_hash({value!r}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == content_hash(value)


@relaxed
@given(cell=cells)
def test_a_cell_survives_json(cell: Cell) -> None:
    again = Cell.from_json(json.loads(json.dumps(cell.to_json())))
    assert again == cell
    assert again.id == cell.id
    assert again.tuning == cell.tuning


@pytest.mark.slow
@relaxed
@given(cell=cells, other=cells)
def test_every_field_of_a_cell_is_in_its_id(cell: Cell, other: Cell) -> None:
    for name in cell.to_json():
        changed = replace(cell, **{name: getattr(other, name)})
        assert (changed.id == cell.id) == (changed.to_json() == cell.to_json())


@pytest.mark.slow
@relaxed
@given(members=st.lists(cells, max_size=4), needs=st.lists(names, max_size=3))
def test_a_pack_survives_json(members: list[Cell], needs: list[str]) -> None:
    pack = Pack(
        kind="tune",
        method="soft",
        task=TaskRef("t", "/t.yaml", "d"),
        models={"A": ModelRef("A", "/a", None, "x")},
        sources=("A",),
        cells=tuple(members),
        needs=tuple(needs),
    )
    again = Pack.from_json(json.loads(json.dumps(pack.to_json())))
    assert again == pack
    assert again.id == pack.id
