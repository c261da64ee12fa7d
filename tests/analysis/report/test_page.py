import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from markupsafe import escape

from analysis import load, write_report
from analysis.dependence.dependence import dependence
from analysis.present.pages import script
from analysis.report.findings import verdict_findings
from analysis.soft.best_prompts import best_prompts
from tests.analysis.builder import Design, build, cells_of, fail, write_record
from trainables.core.texts import duration
from trainables.errors import InputError

TWO = ("ant", "bee")
VOID = {"meta", "link", "img", "br", "source", "input"}


class Page(HTMLParser):
    """Collects what a page shows, loads and links to, and that its tags match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.resources: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.shown: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name == "src" or (name == "href" and tag == "link"):
                self.resources.append(value)
            elif name == "href":
                self.links.append(value)
            if name == "srcset":
                self.resources.append(value)
            assert not name.startswith("on")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.shown.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.shown).split())


def report_of(folder: Path) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


def test_the_report_holds_every_piece(full_report, full_folder):
    page = Page(full_report)
    for title in (
        "Findings", "Transfer to elk", "Scores on test", "Ours minus Baseline on the same seed",
        "Gain over Empty", "Choice of λ", "Similarity and gain", "On the source models",
        "Best prompts", "Missing and failed", "Reproduce", "Glossary",
    ):  # fmt: skip
        assert title in page.text
    assert page.tags.count("img") == 2 + 3 + 4  # at a glance, of the target, of what it depends on
    assert "All 1,143 planned cells are finished." in page.text
    assert "abcdef0123456789" in page.text
    assert "torch 9.9.9, transformers 8.8" in page.text
    assert "sweep run spec.yaml --out NEW_FOLDER" in page.text
    assert "lambda: [0, 0.3] # <as written>" in page.text
    assert "Nothing known to be missing" in page.text
    assert (full_folder / "results.csv").is_file()
    assert (full_folder / "results.parquet").is_file()
    assert "NaN" not in page.text
    assert "nan" not in page.text.split()


def test_it_loads_nothing_and_its_anchors_lead_somewhere(full_report):
    page = Page(full_report)
    assert all(item.startswith("data:") for item in page.resources)
    # One script of our own: the policy names it by its digest, so that no other one runs.
    code, policy = script()
    assert page.tags.count("script") == 1 and f"<script>{code}</script>" in full_report
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy
    assert str(escape(policy)) in full_report
    assert "http:" not in full_report and "https:" not in full_report
    assert "@import" not in full_report
    assert "url(" not in full_report
    inside = [link[1:] for link in page.links if link.startswith("#")]
    assert set(inside) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    prompts = [link for link in page.links if link.startswith("prompts/")]
    assert len(prompts) == 3 * 3
    assert all(re.fullmatch(r"prompts/\w\w/\w+\.safetensors", link) for link in prompts)
    assert len(full_report) < 2_000_000


def test_no_machine_path_is_in_it(full_report, full_folder):
    assert str(full_folder.parent) not in full_report


@pytest.mark.slow
def test_the_sentences_state_the_planted_effect(full_frame):
    (found,) = verdict_findings(dependence(full_frame))
    mean = float(re.search(r"Ours − Baseline is \+(\d\.\d) points", found.text)[1])
    assert mean == pytest.approx(5.0, abs=0.5)
    assert ": joint tuning helped." in found.text
    assert "it improves on at least 3 of 3 tasks" in found.text


@pytest.mark.slow
def test_the_sentences_say_when_there_is_no_effect(full_frame):
    frame = full_frame.copy()
    ours = frame["row"] == "ours"
    shift = {0: -0.04, 1: 0.0, 2: 0.04}
    frame.loc[ours, "score"] = 0.6 + frame.loc[ours, "seed"].map(shift).astype(float)
    frame.loc[frame["row"] == "baseline", "score"] = 0.6
    (found,) = verdict_findings(dependence(frame))
    assert "this sweep does not show that joint tuning helps or hurts" in found.text
    frame.loc[ours, "score"] = 0.5 + frame.loc[ours, "seed"].map(shift).astype(float) / 100
    (found,) = verdict_findings(dependence(frame))
    assert ": joint tuning hurt." in found.text


def test_the_best_prompt_is_chosen_on_validation_and_names_its_inputs(full_frame):
    found = best_prompts(full_frame)
    assert [item.task for item in found] == ["mini/a", "mini/b", "mini/c"]
    for item in found:
        rows = full_frame[(full_frame["kind"] == "transfer") & (full_frame["task"] == item.task)]
        assert item.validation == rows["validation_score"].max()
        assert item.candidates == len(rows)
        target, *sources = item.readings
        assert (target.model, target.role) == ("elk", "target")
        assert " + ".join(reading.model for reading in sources) == item.sources
        for reading in sources:
            row = full_frame.set_index("cell").loc[reading.cell]
            assert (row["kind"], row["task"]) == ("source", item.task)
            assert row["seed"] == int(item.seed)
        assert len(target.words) == 5
        assert target.words[0] == ("word0", "near0", "far0")


@pytest.mark.slow
def test_words_are_read_on_the_target_and_on_every_source(tmp_path):
    def alter(cell, record):
        if cell.kind == "reference":
            return
        record["result"] |= {
            "nearest": [[f"##{cell.target}", "b", "c"], ["The", "the", " "]],
            "nearest_cosine": [[0.912, 0.8, 0.7], [0.61, 0.6, None]],
            "nearest_words": [[f"{cell.target}word", "other", "third", "fourth"], []],
            "nearest_words_cosine": [[0.551, 0.5, 0.449, 0.4], []],
        }

    build(tmp_path, Design(TWO, tasks=("mini/a",), weights=(0.0, 0.3)), alter=alter)
    text = write_report(tmp_path).read_text(encoding="utf-8")
    page = Page(text)
    (prompt,) = best_prompts(load(tmp_path))
    assert [reading.role for reading in prompt.readings] == ["target", "source", "source"]
    for reading in prompt.readings:
        name = reading.model
        # A piece of a word, which no dictionary has, is no word.
        assert reading.words == (("other", "third", "fourth"), ("The",))
        assert reading.cosines == ((0.5, 0.449, 0.4), (0.61,))
        assert reading.tokens == (f"##{name} 0.91, b 0.80, c 0.70", "The 0.61, the 0.60")
        assert f"{name}word" not in page.text
        assert f'title="##{name} 0.91, b 0.80, c 0.70"' in text
    assert "fourth 0.40" in page.text


@pytest.mark.slow
def test_a_prompt_file_elsewhere_is_not_linked(tmp_path):
    def alter(cell, record):
        if cell.kind == "transfer":
            record["prompt"]["file"] = "/etc/prompt.safetensors"
        if cell.kind == "source":
            record["prompt"]["file"] = "javascript:alert(1)//x y.safetensors"

    build(tmp_path, Design(TWO, tasks=("mini/a",), seeds=(0,)), alter=alter)
    page = report_of(tmp_path)
    assert not any("/etc" in link or "javascript:" in link for link in page.links)


@pytest.mark.slow
def test_hostile_names_are_shown_as_text(tmp_path):
    evil = '"><script>alert(1)</script>'

    def alter(cell, record):
        record["result"]["metric"] = evil
        record["versions"] = {evil: evil}
        if "nearest" in record["result"]:
            record["result"]["nearest"] = [[evil, " ", ""], [evil]]

    design = Design(sources=(evil, "b<i>"), targets=("t&<u>",), tasks=(evil,), seeds=(0,))
    build(tmp_path, design, alter=alter)
    fail(tmp_path, next(cells_of(Design())), f"reason {evil}")
    (tmp_path / "spec.yaml").write_text(f"name: {evil}\n")
    meta = json.loads((tmp_path / "sweep.json").read_text())
    meta |= {"name": evil, "description": evil, "spec_hash": evil}
    (tmp_path / "sweep.json").write_text(json.dumps(meta))
    page = report_of(tmp_path)
    assert page.tags.count("script") == 1 and not {"i", "u"} & set(page.tags)
    assert evil in page.text


@pytest.mark.slow
def test_a_partial_sweep_says_how_much_is_missing(tmp_path):
    design = Design()
    planned = list(cells_of(design))
    build(tmp_path, design, keep=lambda cell: cell.task == "mini/a" or cell.row == "empty")
    lost = [cell for cell in planned if cell.task == "mini/b" and cell.row == "joint"][:8]
    for cell in lost:
        fail(tmp_path, cell, "the loss became NaN.")
    page = report_of(tmp_path)
    done = len(load(tmp_path))
    assert f"{done:,} of 1,143 planned cells are finished; 8 cells failed" in page.text
    assert f"{1143 - done - 8:,} of 1,143 planned cells have not been run yet" in page.text
    assert "Ours 108 of 324" in page.text
    assert "8 cells failed: the loss became NaN." in page.text
    ids = sorted(cell.id for cell in lost)
    assert all(name in page.text for name in ids[:6])
    assert not any(name in page.text for name in ids[6:])
    assert "The reference row Manual is missing for mini/b on elk, mini/c on elk." in page.text
    assert "ant + bee to elk: only 1 of 3 tasks are finished" in page.text


@pytest.mark.slow
def test_references_alone(tmp_path):
    build(tmp_path, keep=lambda cell: cell.kind == "reference")
    page = report_of(tmp_path)
    assert "No transferred prompt has been evaluated yet" in page.text
    assert "img" not in page.tags


@pytest.mark.slow
def test_source_cells_alone(tmp_path):
    build(tmp_path, Design(TWO), keep=lambda cell: cell.kind == "source" and cell.seed == 0)
    page = report_of(tmp_path)
    assert "On the source models" in page.text


@pytest.mark.slow
def test_one_task_and_one_seed(tmp_path):
    build(tmp_path, Design(TWO, tasks=("mini/a",), seeds=(0,)))
    page = report_of(tmp_path)
    assert "One seed and no kept predictions give no interval" in page.text
    assert "± –" in page.text
    assert "One seed gives no spread" in page.text
    assert "over tasks" not in page.text.split("Transfer to elk")[2].split("Choice of λ")[0]


@pytest.mark.slow
def test_missing_references(tmp_path):
    build(tmp_path, Design(TWO), keep=lambda cell: cell.kind != "reference")
    page = report_of(tmp_path)
    assert "Not known yet On elk no row without tuning has every task." in page.text
    assert "The reference row Empty is missing for mini/a on elk" in page.text


@pytest.mark.slow
def test_single_sources_only(tmp_path):
    build(tmp_path, Design(sources=("ant",)))
    page = report_of(tmp_path)
    assert "Single beats Empty in 3 of 3" in page.text
    assert "joint tuning cannot be judged" in page.text


@pytest.mark.slow
def test_baseline_without_ours_and_ours_without_baseline(tmp_path):
    build(tmp_path / "a", Design(TWO, tasks=("mini/a",), weights=(0.0,)))
    assert "joint tuning cannot be judged" in report_of(tmp_path / "a").text
    build(tmp_path / "b", Design(TWO, tasks=("mini/a",), weights=(0.3,)))
    assert "joint tuning cannot be judged" in report_of(tmp_path / "b").text


@pytest.mark.slow
def test_several_targets_each_have_their_section(tmp_path):
    build(tmp_path, Design(TWO, ("elk", "fox"), ("mini/a",), (0.0, 0.3), (0, 1)))
    page = report_of(tmp_path)
    assert page.tags.count("img") == 2 + 6 + 2
    assert {"target-1", "target-2"} <= set(page.ids)
    assert "elk: Use it: " in page.text and "fox: Use it: " in page.text


@pytest.mark.slow
def test_incomplete_weights_and_unreadable_records_are_named(tmp_path):
    design = Design(TWO, tasks=("mini/a",))
    build(
        tmp_path,
        design,
        keep=lambda cell: not (cell.row == "ours" and cell.weight == 0.3 and cell.seed == 0),
    )
    write_record(tmp_path, "ffff", {"cell": {}})
    page = report_of(tmp_path)
    assert "λ=0.3 lacks a task or seed and was left out" in page.text
    assert "ledger/ff/ffff.json" in page.text


@pytest.mark.slow
def test_constant_predictors_are_called_out(tmp_path):
    def alter(cell, record):
        if cell.row == "ours":
            record["result"]["degenerate"] = True

    build(tmp_path, Design(TWO, tasks=("mini/a",), seeds=(0, 1)), alter=alter)
    page = report_of(tmp_path)
    assert "12 of 18 transferred results predict one class" in page.text
    assert "†" in page.text.split("Tuned on")[1]


@pytest.mark.slow
def test_bare_results_are_enough(tmp_path):
    """Records with nothing but a score: no metric, words, prompt, cost or versions."""

    def alter(cell, record):
        kept = {"score": record["result"]["score"]}
        if cell.kind != "reference":
            kept["validation_score"] = record["result"]["validation_score"]
        record["result"] = kept
        record |= {"cost": {}, "versions": {}, "prompt": None}

    build(tmp_path, Design(TWO, tasks=("mini/a",), seeds=(0, 1)), alter=alter)
    (tmp_path / "spec.yaml").unlink()
    (tmp_path / "sweep.json").write_text("{}")
    page = report_of(tmp_path)
    assert "cells finished." in page.text
    assert "nan" not in page.text.split()


def test_no_sweep_no_report(tmp_path):
    with pytest.raises(InputError):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())


def test_durations():
    assert [duration(value) for value in (0.2, 59.6, 200, 7500)] == [
        "0 s", "1 min 0 s", "3 min 20 s", "2 h 5 min",
    ]  # fmt: skip


def test_parquet_opens_with_the_reports_rows(full_report, full_folder):
    assert len(pd.read_parquet(full_folder / "results.parquet")) == 1143
