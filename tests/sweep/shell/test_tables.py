"""Tables and colours for people on a terminal; in a pipe the plain text, byte for byte."""

import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.cells import cell_len

from sweep.commands.plan import format_plan
from sweep.commands.status import folder_status, format_status
from sweep.ledger.folder import bind
from sweep.ledger.ledger import Ledger
from sweep.shell.output import tell
from sweep.shell.tables import Sheet, show
from sweep.shell.views import (
    advice_view,
    doctor_view,
    forecasts_view,
    plan_view,
    status_view,
    words_view,
)
from tests.sweep.drive import SPACE, search_of
from tests.sweep.samples import plan_of
from tests.sweep.test_cli import fill, sweep

COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m")
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What is shown on a terminal, so many columns wide."""

    def shown(act: Callable[[], Any], columns: int = 120, **environment: str) -> str:
        for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {"TERM": "xterm-256color", **environment}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("COLUMNS", str(columns))
        screen = Screen()
        with monkeypatch.context() as context:
            context.setattr(sys, "stdout", screen)
            act()
        return screen.getvalue()

    return shown


def _counts() -> dict[str, Any]:
    plan = plan_of(methods={"soft": {"lambda": [0, 0.5], "steps": 4, "prompt_length": [5, 8]}})
    work = {"steps": 12, "texts": 34567, "backward": 890, "tokens": 1234567}
    return {**plan.counts(), "work": work}


def _facts(text: str) -> set[str]:
    return set(re.findall(r"[\w.]+", ESCAPE.sub("", text)))


def test_a_pipe_gets_the_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = _counts()
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    tell(counts, format_plan, False, plan_view)
    assert capsys.readouterr().out == format_plan(counts) + "\n"


def test_a_terminal_gets_a_table_with_the_same_facts(terminal: Callable[..., str]) -> None:
    counts = _counts()
    found = terminal(lambda: tell(counts, format_plan, False, plan_view))
    assert COLOUR.search(found)
    assert "─" in found
    assert _facts(format_plan(counts)) <= _facts(found)
    plain = terminal(lambda: tell(counts, format_plan, False, plan_view), NO_COLOR="1")
    assert not COLOUR.search(plain)
    assert ESCAPE.sub("", plain) == ESCAPE.sub("", found)
    dumb = terminal(lambda: tell(counts, format_plan, False, plan_view), TERM="dumb")
    assert dumb == format_plan(counts) + "\n"
    as_json = terminal(lambda: tell(counts, format_plan, True, plan_view))
    assert as_json.startswith("{")


def test_a_search_shows_its_parameters(terminal: Callable[..., str]) -> None:
    counts = search_of(SPACE, sampler="tpe", trials=9).counts()
    found = terminal(lambda: tell(counts, format_plan, False, plan_view))
    assert _facts(format_plan(counts)) <= _facts(found)


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_nothing_is_wider_than_the_terminal_and_nothing_is_cut(
    terminal: Callable[..., str], columns: int
) -> None:
    name = "a-model-of-a-very-long-name-" * 3
    sheet = Sheet(("model", ">score"), [(name, "12.5"), ("[red]no markup[/red]", "99")], "scores")
    found = ESCAPE.sub("", terminal(lambda: show(["a line", sheet, "warning: so"]), columns))
    assert all(cell_len(line) <= columns for line in found.splitlines())
    squeezed = "".join(found.replace("12.5", "").split())
    assert name in squeezed
    assert "[red]nomarkup[/red]" in squeezed
    assert "12.5" in found
    assert "warning: so" in found


def test_a_table_without_rows_is_not_shown(terminal: Callable[..., str]) -> None:
    assert terminal(lambda: show([Sheet(("a", "b"))])) == ""


def test_the_status_of_a_folder(terminal: Callable[..., str], tmp_path: Path) -> None:
    plan = plan_of(seeds=2)
    bind(tmp_path, plan, {})
    ledger = Ledger(tmp_path)
    fill(ledger, plan.cells[:-1])
    ledger.fail(plan.cells[-1], "no luck", "p")
    status = folder_status(tmp_path)
    found = terminal(lambda: tell(status, format_status, False, status_view))
    assert _facts(format_status(status)) - {"of", "to", "A", "B"} <= _facts(found)
    running = {
        **status,
        "cells_per_minute": 7.0,
        "eta_seconds": 61.0,
        "packs": [{"label": "A on x", "cells": 3, "phase": "train", "share": 0.45}],
    }
    found = terminal(lambda: tell(running, format_status, False, status_view))
    assert {"45", "train", "min"} <= _facts(found)


def test_presets(terminal: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep("presets") == 0
    plain = capsys.readouterr().out
    assert _facts(plain) <= _facts(terminal(lambda: sweep("presets")))


@pytest.mark.slow
def test_label_words_advice_and_findings(terminal: Callable[..., str]) -> None:
    import pandas as pd

    from sweep.commands.recommend import Advice, Learnt, format_forecasts

    scores = {"score": 0.5, "degenerate": True}
    item = {"words": ["bad", "good"], "problem": None, "empty": scores, "manual": scores}
    known = {"off": {"empty": -0.01, "manual": 0.02}, "nearest": True}
    bad = {"words": ["no"], "problem": "words: found two tokens; allowed: one", "off": None}
    entry = {
        "model": "M",
        "frame": "plain",
        "task": "t",
        "metric": "f1",
        "rows": 9,
        "published": {"empty": 0.5, "manual": 0.5},
        "candidates": [{**item, **known}, {**bad, "empty": None, "manual": None, "nearest": False}],
    }
    found = terminal(lambda: show(words_view([entry])))
    assert {"50.0", "nearest", "bad", "tokens", "M"} <= _facts(found)
    row = {
        "target": "T",
        "task": "t",
        "new": "task",
        "method": "soft",
        "rank": 1,
        "sources": "A+B",
        "order": 0.1,
        "agreement": 0.5,
        "cka": 0.25,
        "vocabulary_overlap": 0.75,
        "reading_correlation": float("nan"),
    }
    found = terminal(lambda: show(advice_view([Advice("so", {}, pd.DataFrame([row] * 12))])))
    assert {"10.0", "0.250", "more", "so"} <= _facts(found)
    item = SimpleNamespace(
        about="pairs",
        checks=(),
        described=pd.DataFrame([{"title": "CKA", "rho": 0.5, "blocks": 3, "regret": 0.02}]),
    )
    learnt = Learnt(Path("x"), 9, [item])  # type: ignore[list-item]
    found = terminal(lambda: tell(learnt, format_forecasts, False, forecasts_view))
    assert _facts(format_forecasts(learnt)) <= _facts(found)
    few = Learnt(Path("x"), 3, [])
    found = terminal(lambda: tell(few, format_forecasts, False, forecasts_view))
    assert "too few to order" in found
    findings = {
        "versions": {"python": "3.11"},
        "devices": {"cores": 2, "bfloat16": True, "gpus": [], "no_gpu": "no card"},
        "places": [],
        "variables": [],
        "servers": [],
        "hub": {"on": False, "answer": "off", "token": False},
    }
    found = terminal(lambda: show(doctor_view(findings)))
    assert {"versions", "devices", "3.11", "card"} <= _facts(found)
