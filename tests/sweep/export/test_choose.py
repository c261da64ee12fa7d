"""What leaves no prompt is neither among the best nor exported by its id."""

from pathlib import Path

import pytest

from analysis import load
from sweep.export.choose import PromptChoice, chosen_cells
from sweep.ledger.ledger import Ledger
from tests.analysis.planted_ways import CLOSED, READOUT, SELF, Sweep, build_ways
from trainables.errors import InputError
from trainables.packs.records import record_in, seal


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("ways")
    build_ways(place, Sweep((CLOSED, READOUT, SELF), tasks=("mini/a",), seeds=(0, 1)))
    return place


@pytest.mark.slow
def test_readouts_are_no_prompts(folder: Path) -> None:
    ledger, frame = Ledger(folder), load(folder).set_index("cell")
    best = chosen_cells(folder, ledger, PromptChoice(top=99), ("soft",))
    assert set(frame.loc[best, "way"]) == {"closed_form"}
    own = chosen_cells(folder, ledger, PromptChoice(top=99, row="own"), ("soft",))
    assert set(frame.loc[own, "row"]) == {"own"}
    readout = str(frame.index[frame["way"] == "readout"][0])
    with pytest.raises(InputError, match="ends in a readout; allowed: a cell whose"):
        chosen_cells(folder, ledger, PromptChoice(cell=readout), ("soft",))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "value"),
    [("product", "poem"), ("access", "all"), ("target_labels", -1), ("source_at_inference", 1)],
)
def test_costs_that_are_none_make_no_record(folder: Path, key: str, value: object) -> None:
    ledger = Ledger(folder)
    name = next(iter(ledger.done_ids()))
    record = dict(ledger.record(name))
    assert record_in(seal(record), name) == record
    record["result"] = record["result"] | {key: value}
    with pytest.raises(ValueError, match=key):
        record_in(seal(record), name)
