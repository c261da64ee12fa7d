"""Prompts do not leave without a word on what there is without them."""

import json
from pathlib import Path

import pytest

from analysis import load
from analysis.contrasts.examples import examples_of
from analysis.frontier.standing import standing
from sweep.export.choose import PromptChoice
from sweep.export.folders import export_prompts
from sweep.export.standings import Standings, line_of, warnings_of
from tests.sweep.computed import compute, soft_and_hard
from tests.sweep.test_cli import sweep

WARNED = {"text": "50.0 on test", "warning": "this prompt is worse than Empty"}


def test_a_line_and_a_warning() -> None:
    assert line_of(None) == []
    assert line_of(WARNED) == ["  50.0 on test"]
    fine = {"text": "60.0 on test", "warning": None}
    assert warnings_of([("x on T", WARNED), ("y on T", None), ("z on T", fine)]) == [
        "x on T: this prompt is worse than Empty; --force leaves this warning out"
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compute(soft_and_hard(), tmp_path_factory.mktemp("computed"))


@pytest.mark.slow
def test_export_says_what_the_report_says(folder: Path, tmp_path: Path) -> None:
    frame = load(folder)
    to, found = export_prompts(folder, PromptChoice(), to=tmp_path / "out")
    manifest = json.loads((to / "promptsweep.json").read_text())
    for item in found:
        own = standing(frame, item.entry["cell"], examples_of(folder, frame))
        assert own is not None
        assert item.entry["standing"] == own.facts()
        assert own.empty is not None
        # Two steps of tuning: what is known of them is on the card, of the source's too.
        for prompt in item.entry["prompts"]:
            inside = to / prompt["folder"]
            card = (inside / "README.md").read_text()
            stands = Standings(folder).of(prompt["cell"])
            assert stands is not None
            assert "## Beside what needs no tuning" in card
            assert stands["text"] in card
            assert ("**Note:**" in card) == bool(stands["warning"])
            assert json.loads((inside / "promptsweep.json").read_text())["standing"] == stands
    assert [entry["standing"] for entry in manifest["sets"]] == [
        item.entry["standing"] for item in sorted(found, key=lambda item: item.folder)
    ]


@pytest.mark.slow
def test_the_commands_warn_on_standard_error(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = load(folder)
    moved = frame[(frame["kind"] == "transfer") & (frame["target"] == "pocket-roberta")]
    cell = str(moved.sort_values("score")["cell"].iloc[0])
    stands = Standings(folder).of(cell)
    assert stands is not None
    assert stands["warning"]
    push = ("push", str(folder), "--cell", cell, "--repo", "a/b", "--dry-run")
    export = ("export", str(folder), "--cell", cell, "--to", str(tmp_path / "out"))
    for command in (push, export):
        assert sweep(*command) == 0
        told = capsys.readouterr()
        assert f"  {stands['text']}" in told.out
        assert f"warning: mini/topics on pocket-roberta: {stands['warning']}; --for" in told.err
        assert sweep(*command, "--force") == 0
        quiet = capsys.readouterr()
        assert quiet.out == told.out
        assert "warning" not in quiet.err
