"""Races, floors, the table and the blocks of the pages."""

import json
import sys
from pathlib import Path
from shutil import copy
from typing import Any

import pytest

import benchmarks.__main__ as command
import benchmarks.machine as machine
from benchmarks import claims
from benchmarks.finding import Finding, Skipped
from benchmarks.machine import Floor, Rates
from benchmarks.race import race
from benchmarks.table import (
    BEGIN,
    END,
    SHORT_CLAIMS,
    as_markdown,
    as_text,
    cells,
    number,
    write_block,
    write_pages,
)

ROOT = Path(__file__).resolve().parents[2]
MACHINE = {
    "cores": 2,
    "processor": "Some",
    "memory_gib": 8,
    "torch": "2",
    "transformers": "5",
    "peft": "0",
    "ray": "2",
    "rates": {"matrix_gflops": 50.0, "memory_gb_per_second": 9.0},
}


def finding(**more: Any) -> Finding:
    given: dict[str, Any] = {
        "claim": "C",
        "peer": "P",
        "ours": 2.0,
        "theirs": 8.0,
        "unit": "s",
        "target": 5.0,
        "same": "all",
    }
    return Finding(**{**given, **more})


def test_contestants_alternate() -> None:
    order: list[str] = []
    times, given = race(3, {"a": lambda: order.append("a"), "b": lambda: order.append("b")})
    assert order == ["a", "b"] * 3
    assert given == {"a": None, "b": None}
    assert len(times["a"].wall) == len(times["b"].processor) == 3
    assert times["a"].record()["seconds"] == times["a"].median


def test_ratios_by_unit() -> None:
    assert finding().ratio == 4.0 and finding().met is False
    rate = finding(unit="steps/s", ours=8.0, theirs=1.0)
    assert rate.ratio == 8.0 and rate.met is True
    assert finding(target=None).met is None
    assert finding(target=None, at_most=1.9).met is False
    assert finding(target=None, at_most=2.0).met is True


def test_the_floor_is_the_slower_of_operations_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Floor(100.0, 30.0).seconds(Rates(10.0, 10.0, 1)) == 10.0
    assert Floor(100.0, 30.0).seconds(Rates(100.0, 10.0, 1)) == 3.0
    monkeypatch.setattr("benchmarks.finding.rates", lambda threads: Rates(10.0, 10.0, threads))
    seconds = finding(floor=Floor(10.0)).record()
    assert (seconds["floor"], seconds["floor_reached"]) == (1.0, 0.5)
    rate = finding(floor=Floor(10.0), unit="steps/s", ours=2.0, floor_count=8).record()
    assert (rate["floor"], rate["floor_reached"]) == (8.0, 0.25)


def test_rates_of_the_machine_are_measured() -> None:
    found = machine.rates.__wrapped__(1, rounds=1)
    assert found.flops > 1e8 and found.bytes > 1e7


def test_a_target_not_met_stays_in_the_table() -> None:
    line = cells(finding().record())
    assert line[4:7] == ("4.00×", "≥ 5×", "**not met**")
    assert cells(finding(theirs=20.0, estimated="so").record())[3] == "20.00 s (estimated)"
    skipped = cells(Skipped("C", "no model").record())
    assert skipped[:2] == ("C", "not measured: no model")
    records = [finding().record(), Skipped("D", "no model").record()]
    text = as_text(records, MACHINE)
    assert "not met" in text and "not measured: no model" in text and "2 cores of Some" in text
    assert as_markdown(records, MACHINE).count("\n| ") == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.01234, "0.0123"), (1.0, "1.00"), (12.345, "12.35"), (8372.9, "8,373"), (0, "0")],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_only_the_block_is_written(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(f"a\n{BEGIN}\nold\n{END}\nb\n")
    write_block(file, r"new \1")
    assert file.read_text() == f"a\n{BEGIN}\nnew \\1\n{END}\nb\n"
    file.write_text("a\n")
    with pytest.raises(ValueError, match="no block between"):
        write_block(file, "new")


def test_the_pages_have_what_was_measured(tmp_path: Path) -> None:
    kept = json.loads((ROOT / command.RESULTS).read_text())
    assert len(kept["claims"]) > 10 and set(kept["claims"]) <= set(claims.MEASURES)
    for name, rows in ((command.PAGE, len(kept["claims"])), (command.README, len(SHORT_CLAIMS))):
        assert (ROOT / name).read_text().count("\n| ") >= rows
        copy(ROOT / name, tmp_path / name.name)
    write_pages(kept, tmp_path / command.README.name, tmp_path / command.PAGE.name)
    for name in (command.README, command.PAGE):
        assert (tmp_path / name.name).read_text() == (ROOT / name).read_text()


def run(monkeypatch: pytest.MonkeyPatch, *given: str) -> int:
    monkeypatch.setattr(sys, "argv", ["benchmarks", *given])
    return command.main()


def test_one_command_measures_keeps_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readme, page, kept = tmp_path / "README.md", tmp_path / "s.md", tmp_path / "r" / "claims.json"
    for each in (readme, page):
        each.write_text(f"{BEGIN}\n{END}\n")
    monkeypatch.setattr(command, "machine", lambda: MACHINE)
    monkeypatch.setattr(command, "measured", lambda name: [Skipped(name, "try").record()])
    where = ("--json", str(kept), "--readme", str(readme), "--page", str(page))
    assert run(monkeypatch, *where, "--only", "transfer") == 0
    assert list(json.loads(kept.read_text())["claims"]) == ["transfer"]
    assert run(monkeypatch, *where, "--only", "agreement") == 0
    assert list(json.loads(kept.read_text())["claims"]) == ["transfer", "agreement"]
    assert "| agreement | not measured: try" in page.read_text()
    assert "agreement" not in readme.read_text()
    page.write_text(f"{BEGIN}\n{END}\n")
    monkeypatch.setattr(command, "measured", lambda name: pytest.fail("measured again"))
    assert run(monkeypatch, *where, "--markdown") == 0
    assert "| transfer |" in page.read_text()
    with pytest.raises(SystemExit, match="--only: found nothing; allowed: "):
        run(monkeypatch, *where, "--only", "nothing")
    assert "not measured: try" in capsys.readouterr().out


@pytest.mark.slow
def test_a_failed_measurement_is_a_line_and_an_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = command.measured("no-such-measurement")
    assert line["failed"] and "KeyError" in line["skipped"]
    readme, page = tmp_path / "README.md", tmp_path / "page.md"
    for each in (readme, page):
        each.write_text(f"{BEGIN}\n{END}\n")
    monkeypatch.setattr(command, "machine", lambda: MACHINE)
    monkeypatch.setattr(command, "measured", lambda name: [line])
    where = ("--json", str(tmp_path / "c.json"), "--readme", str(readme), "--page", str(page))
    assert run(monkeypatch, *where, "--only", "transfer") == 1
