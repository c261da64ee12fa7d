"""Names from specs and data sets never lead out of a folder."""

from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.ledger.ledger import Ledger
from tests.sweep.ledger.test_ledger import fill, record_file
from tests.sweep.samples import plan_of, relaxed
from trainables.errors import InputError
from trainables.files.names import LONGEST, check_cell_id, safe_name
from trainables.packs.records import seal, unseal

WICKED = [
    *("", ".", "..", "../..", "../../etc/passwd", "/etc/passwd", "a/../../b", "..\\..\\x", "C:\\x"),
    *("a\0b", "con", "NUL", "COM1.txt", "lpt9", "aux.", "x" * 400, "é" * 300, " ", "a\nb", "~root"),
    *(".hidden", "ends.", "a:b", "\ud800", "%2e%2e%2f", "-rf"),
]


@pytest.mark.parametrize("name", WICKED)
def test_wicked_names(name: str, tmp_path: Path) -> None:
    check(name)
    inside = tmp_path / safe_name(name)
    inside.write_text("x")
    assert inside.resolve().parent == tmp_path.resolve()


@relaxed
@given(st.text(max_size=300))
def test_any_name(name: str) -> None:
    check(name)


def check(name: str) -> None:
    safe = safe_name(name)
    assert 0 < len(safe.encode()) <= LONGEST
    assert safe.isascii()
    assert safe.isprintable()
    assert not set(safe) & set('/\\:*?"<>|\0 ')
    assert safe.strip(".") == safe
    assert PurePosixPath(safe).name == safe
    assert PureWindowsPath(safe).name == safe
    stem = safe.partition(".")[0].casefold()
    assert stem not in {"con", "prn", "aux", "nul"}
    assert not (len(stem) == 4 and stem[:3] in {"com", "lpt"} and stem[3].isdigit())


def test_names_that_are_safe_already_stay() -> None:
    assert safe_name("mini/topics") == "mini-topics"
    assert safe_name("pocket-gpt2-large") == "pocket-gpt2-large"
    assert safe_name("v1.5_x") == "v1.5_x"


def test_long_names_that_differ_late_differ() -> None:
    assert safe_name("x" * 300 + "a") != safe_name("x" * 300 + "b")


@pytest.mark.parametrize("wrong", ["../../etc/passwd", "", "/a", "a/b", "A\0", "a" * 65, ".."])
def test_cell_ids_are_no_paths(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="hexadecimal"):
        check_cell_id(wrong)
    with pytest.raises(InputError, match="hexadecimal"):
        Ledger(tmp_path).record(wrong)


def test_a_record_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    """Not even one whose digest it knows."""
    plan = plan_of()
    cell = next(cell for cell in plan.cells if cell.kind == "source")
    folder = tmp_path / "sweep"
    fill(Ledger(folder), [cell])
    record = unseal(record_file(folder, cell).read_bytes())
    (tmp_path / "secret").write_bytes((folder / record["prompt"]["file"]).read_bytes())
    record["prompt"]["file"] = "../secret"
    record_file(folder, cell).write_bytes(seal(record))
    warnings: list[str] = []
    assert Ledger(folder, warn=warnings.append).done_ids() == set()
    assert "not in its place" in warnings[0]
