"""The report on hard prompts: alone, beside soft ones, and with prompts that are hard to print."""

import re
from html import unescape
from pathlib import Path

import pytest

from analysis import load, write_report
from analysis.dependence.dependence import dependence
from analysis.hard.prompts import UNKNOWN, prompt_tables, shown
from analysis.hard.rows import blocks, hard_rows
from analysis.hard.section import agreement, hard_design, hard_report
from analysis.report.findings import verdict_findings
from sweep.export.choose import PromptChoice, chosen_cells
from sweep.ledger.ledger import Ledger
from tests.analysis.builder import Design, Hard, build, cells_of, is_hard, record_of
from tests.analysis.report.test_page import Page
from tests.analysis.shown import html
from trainables.errors import InputError

HARD_ONLY = Design(
    sources=(), weights=(), targets=("elk", "fox"), tasks=("mini/a", "mini/b"),
    seeds=(0, 1, 2, 3, 4), hard=Hard(s=(16, 64), k=(2, 4)),
)  # fmt: skip
SOFT_ONLY = Design(sources=("ant", "bee"), tasks=("mini/a",), weights=(0.0, 0.3), seeds=(0, 1))
BOTH = Design(sources=("ant", "bee"), tasks=("mini/a",), weights=(0.0, 0.3), seeds=(0, 1),
              hard=Hard(sources=("ant", "bee")))  # fmt: skip


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports") / "alone"
    build(folder, HARD_ONLY)
    return folder


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Soft and hard prompts in one sweep, with its report."""
    folder = tmp_path_factory.mktemp("reports") / "both"
    build(folder, BOTH)
    write_report(folder)
    return folder


def written(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def section(text: str, start: str, end: str) -> str:
    return text[text.index(start) : text.index(end, text.index(start))]


@pytest.mark.slow
def test_a_sweep_of_hard_prompts_alone(alone: Path) -> None:
    text = write_report(alone).read_text(encoding="utf-8")
    page = Page(text)
    for title in ("Hard prompts: PEZ", "mini/b, tuned on bee", "Effect of s and K", "Prompts",
                  "Readability and transfer", "Rank correlations"):  # fmt: skip
        assert title in page.text
    for title in ("Transfer to", "On the source models", "Best prompts", "Joint tuning",
                  "No transferred prompt"):  # fmt: skip
        assert title not in page.text
    assert re.search(r"\d source sets", page.text) is None
    assert {"hard-1", "readability"} <= set(page.ids)
    inside = [link[1:] for link in page.links if link.startswith("#")]
    assert set(inside) <= set(page.ids)
    assert "nan" not in page.text.lower().split()
    assert "Nothing known to be missing" in page.text


@pytest.mark.slow
def test_equal_folders_give_equal_reports(both: Path) -> None:
    text = written(both)
    assert write_report(both).read_text(encoding="utf-8") == text


@pytest.mark.slow
def test_soft_sections_do_not_see_hard_prompts(tmp_path: Path, both: Path) -> None:
    build(tmp_path, SOFT_ONLY)
    texts = {"soft": write_report(tmp_path).read_text(encoding="utf-8"), "both": written(both)}
    for start, end in (
        ('<section id="target-1">', '<section id="sources">'),
        ('<section id="sources">', '<section id="prompts">'),
        ('<section id="prompts">', "</section>"),
        ('<section id="glossary">', "</section>"),
    ):
        assert section(texts["soft"], start, end) == section(texts["both"], start, end)
    start = "<dt>Joint tuning</dt>"
    assert section(texts["soft"], start, "</dd>") == section(texts["both"], start, "</dd>")
    assert "Hard prompts" not in texts["soft"]
    assert '<section id="hard-1">' in texts["both"]
    hard = section(texts["both"], '<section id="hard-1">', "</section>")
    assert "Baseline" not in hard
    assert "Single" not in hard


@pytest.mark.slow
def test_hard_sections_do_not_see_soft_prompts(tmp_path: Path, both: Path) -> None:
    alone = Design(sources=(), targets=BOTH.targets, tasks=BOTH.tasks, weights=(), seeds=BOTH.seeds,
                   hard=BOTH.hard)  # fmt: skip
    build(tmp_path, alone)
    reports = [hard_report(load(folder)) for folder in (both, tmp_path)]
    assert reports[0].findings == reports[1].findings
    assert html(reports[0].sections) == html(reports[1].sections)
    assert hard_report(load(both).query("family != 'hard'")) is None


@pytest.mark.slow
def test_what_was_run_names_both(both: Path) -> None:
    page = Page(written(both))
    assert "Prompts of 5 vectors were tuned on 2 source models (ant, bee)" in page.text
    assert (
        "Hard prompts of 4 tokens (Random, PEZ, PEZ-pruned, CommonVocab-pruned, Ours) were found "
        "on 2 source models (ant, bee), for 1 task (mini/a), and carried over as text to 1 target "
        "(elk), with 2 seeds." in page.text
    )


@pytest.mark.slow
def test_the_findings_state_the_planted_effect(alone: Path) -> None:
    frame = load(alone)
    (block,) = blocks(hard_rows(frame))
    text = agreement(block)
    assert text.startswith(
        "Words that agree (Ours, mean over s and K) against the whole vocabulary (PEZ), on the "
        "source and the same seeds: above in "
    )
    assert text.endswith("That is no transfer yet.")
    (found,) = verdict_findings(dependence(frame), hard=True)
    assert found.title == "Neighbour agreement"
    assert found.text.startswith("agreement − all words is +")
    assert "neighbour agreement helped. At 95 % confidence it improves on" in found.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shift", "verdict"),
    [
        (-0.2, ": neighbour agreement hurt."),
        (None, "does not show that neighbour agreement helps or hurts."),
    ],
)
def test_the_finding_states_the_contrary_too(
    tmp_path: Path, shift: float | None, verdict: str
) -> None:
    def alter(cell, record):  # type: ignore[no-untyped-def]
        if is_hard(cell) and cell.row in ("agreement", "all"):
            level = 0.5 + 0.04 * ((cell.seed % 2) - 0.5) * (cell.row == "agreement")
            if shift is not None and cell.row == "agreement":
                level += shift
            record["result"]["score"] = level

    build(tmp_path, Design(sources=(), weights=(), tasks=("mini/a",), seeds=(0, 1, 2, 3),
                           hard=Hard()), alter=alter)  # fmt: skip
    (found,) = verdict_findings(dependence(load(tmp_path)), hard=True)
    assert verdict in found.text


@pytest.mark.slow
def test_one_seed_shows_nothing_either_way(tmp_path: Path) -> None:
    design = Design(sources=(), weights=(), tasks=("mini/a",), seeds=(0,), hard=Hard())
    build(tmp_path, design)
    (block,) = blocks(hard_rows(load(tmp_path)))
    assert "interval" not in agreement(block)
    page = Page(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "± –" in page.text
    assert "nan" not in page.text.lower().split()


@pytest.mark.slow
@pytest.mark.parametrize(
    "keep",
    [
        lambda cell: cell.kind != "transfer",
        lambda cell: cell.kind != "reference",
        lambda cell: cell.kind != "source",
        lambda cell: cell.row not in ("all", "random"),
        lambda cell: cell.row in ("all", "manual"),
    ],
)
def test_a_part_of_a_sweep_is_reported(tmp_path: Path, keep) -> None:  # type: ignore[no-untyped-def]
    design = Design(sources=(), weights=(), tasks=("mini/a",), seeds=(0, 1), hard=Hard())
    build(tmp_path, design, keep=keep)
    page = Page(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "Hard prompts: PEZ" in page.text
    assert "planned cells have not been run yet" in page.text
    assert "nan" not in page.text.lower().split()


@pytest.mark.slow
def test_bare_results_are_enough(tmp_path: Path) -> None:
    """Hard records with nothing but ids and a score."""

    def alter(cell, record):  # type: ignore[no-untyped-def]
        if is_hard(cell):
            record["result"] = {"score": record["result"]["score"], "ids": [1, 2]}

    build(tmp_path, Design(sources=(), weights=(), tasks=("mini/a",), seeds=(0, 1),
                           hard=Hard()), alter=alter)  # fmt: skip
    page = Page(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "as ids" not in page.text.split("Counterpart")[1]
    assert "no relation can be told" in page.text
    assert "nan" not in page.text.lower().split()


@pytest.mark.slow
def test_constant_predictors_are_flagged(tmp_path: Path) -> None:
    def alter(cell, record):  # type: ignore[no-untyped-def]
        record["result"]["degenerate"] |= is_hard(cell) and cell.row == "agreement"

    design = Design(sources=(), weights=(), tasks=("mini/a",), seeds=(0, 1), hard=Hard())
    build(tmp_path, design, alter=alter)
    text = write_report(tmp_path).read_text(encoding="utf-8")
    table = section(text, "<h3>mini/a, tuned on ant</h3>", "</table>")
    assert table.count("†") == 2 * 2  # two counterparts, on the source as text and on the target
    assert "8 of 28 transferred results predict one class" in text


@pytest.mark.slow
def test_every_prompt_is_listed_with_what_it_reaches(alone: Path) -> None:
    (block,) = blocks(hard_rows(load(alone)))
    tables = list(prompt_tables(block))
    assert [place for place, _ in tables] == [
        f"{task}, tuned on {source}" for task in ("mini/a", "mini/b") for source in ("ant", "bee")
    ]
    cells = {cell.id: cell for cell in cells_of(HARD_ONLY)}
    records = {name: record_of(cell, HARD_ONLY)["result"] for name, cell in cells.items()}
    seen = 0
    for place, table in tables:
        for group in [group for block_ in table.grid.blocks for group in block_]:
            assert [line.label for line in group] == ["0", "1", "2", "3", "4"]
        texts = [line.entries[0].text for line in table.grid.lines]
        for prompt, text in zip(table.numbers.to_dict("records"), texts, strict=True):
            (name,) = [
                name
                for name, result in records.items()
                if result["score"] == prompt["score"] and cells[name].kind == "source"
            ]
            cell, result = cells[name], records[name]
            assert f"{cell.task}, tuned on {cell.sources[0]}" == place
            assert cell.digests["counterparts"] == prompt["counterparts"]
            assert text == result["text"] + ("" if result["roundtrip_exact"] else " ‡")
            for key in ("roundtrip_exact", "dictionary_share", "log_perplexity"):
                assert prompt[key] == result[key]
            assert prompt["validation_score"] == result["validation_score"]
            moved = [records[other]["score"] for other, item in cells.items()
                     if item.inputs == (name,)]  # fmt: skip
            assert prompt["targets"] == len(moved) == 2
            assert prompt["carried"] == pytest.approx(sum(moved) / 2)
            seen += 1
    assert seen == sum(is_hard(cell) and cell.kind == "source" for cell in cells.values())


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (" uf Garcia  Kong", " uf Garcia  Kong"),
        ("a\nb\t\x00\x1b[31m", "a\\nb\\t\\x00\\x1b[31m"),
        ("\ufffd\ufffdort \ufffd", f"{UNKNOWN}ort {UNKNOWN}"),
        ("left\u202eright\u200d\u2028end", "left\\u202eright\\u200d\\u2028end"),
        ("naïve 映画 😀", "naïve 映画 😀"),
        ("\ud800 \U000e0001", "\\ud800 \\U000e0001"),
        ("\\n", "\\n"),
    ],
)
def test_prompts_are_shown_on_one_line(text: str, line: str) -> None:
    assert shown(text) == line
    assert len(shown(text).splitlines()) == 1


@pytest.mark.slow
def test_hostile_prompts_and_names_are_text(tmp_path: Path) -> None:
    evil = "</td><script>alert(1)</script>"

    def alter(cell, record):  # type: ignore[no-untyped-def]
        if is_hard(cell):
            record["result"]["text"] = f"{evil}\ufffd\u202e\n"
            record["cell"]["counterparts"] = ["<i>&"]

    design = Design(sources=(), weights=(), tasks=("<u>",), targets=("<b>x",), seeds=(0, 1),
                    hard=Hard(sources=("<s>",)))  # fmt: skip
    build(tmp_path, design, alter=alter)
    text = write_report(tmp_path).read_text(encoding="utf-8")
    page = Page(text)
    assert page.tags.count("script") == 1 and not {"i", "u", "s"} & set(page.tags)
    assert f"{evil}{{unknown}}\\u202e\\n" in page.text
    assert "\u202e" not in unescape(text)


def test_design_without_transfers(tmp_path: Path) -> None:
    design = Design(sources=(), weights=(), tasks=("mini/a",), seeds=(0,), hard=Hard())
    build(tmp_path, design, keep=lambda cell: cell.kind != "transfer")
    text = hard_design(hard_rows(load(tmp_path)))
    assert text.endswith("for 1 task (mini/a), with 1 seed.")


@pytest.mark.slow
def test_vectors_of_the_best_are_those_of_soft_prompts_alone(both: Path, alone: Path) -> None:
    """A hard prompt is text: it has no vectors that another library could load."""
    soft, cells = PromptChoice(top=3), {cell.id: cell for cell in cells_of(BOTH)}
    found = chosen_cells(both, Ledger(both), soft, ("soft",))
    assert [cells[name].method for name in found] == ["soft"] * 3
    with pytest.raises(InputError, match="no transferred soft prompt has finished yet"):
        chosen_cells(alone, Ledger(alone), soft, ("soft",))
