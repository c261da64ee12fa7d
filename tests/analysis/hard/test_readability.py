"""Readability against transfer: the right points meet, and the sentences say what they show."""

from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import spearmanr

from analysis import load
from analysis.hard.readability import (
    ALL_ROWS,
    MEASURES,
    OUTCOMES,
    correlation_grid,
    correlations,
    readability_scatter,
    readability_sentences,
    signed,
    transfers,
)
from analysis.hard.rows import hard_rows
from analysis.present.grid import DASH
from analysis.present.words import ALL_TASKS
from tests.analysis.builder import Design, Hard, build, is_hard, record_of
from tests.analysis.shown import drawn

TWO = Design(
    sources=(), weights=(), targets=("elk", "fox"), tasks=("mini/a", "mini/b"),
    seeds=(0, 1, 2, 3), hard=Hard(sources=("ant",)),
)  # fmt: skip


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("readable")
    build(folder, TWO)
    return transfers(hard_rows(load(folder)))


def moved_with(folder: Path, score, design: Design = TWO) -> pd.DataFrame:  # type: ignore[no-untyped-def]
    def alter(cell, record):  # type: ignore[no-untyped-def]
        if is_hard(cell) and cell.kind == "transfer":
            record["result"]["score"] = score(cell, record_of(cell, design)["result"])

    build(folder, design, alter=alter)
    return transfers(hard_rows(load(folder)))


@pytest.mark.slow
def test_every_correlation_is_over_the_transfers_it_names(moved: pd.DataFrame) -> None:
    table = correlations(moved)
    kinds = [ALL_ROWS, "Random", "PEZ", "PEZ-pruned", "CommonVocab-pruned", "Ours"]
    assert list(dict.fromkeys(table["made"])) == kinds
    assert list(dict.fromkeys(table["task"])) == [ALL_TASKS, "mini/a", "mini/b"]
    assert len(table) == 3 * len(kinds) * len(MEASURES) * len(OUTCOMES)
    for line in table.to_dict("records"):
        part = moved
        if line["task"] != ALL_TASKS:
            part = part[part["task"] == line["task"]]
        if line["made"] != ALL_ROWS:
            part = part[part["name"] == line["made"]]
        found = line["found"]
        assert found.n == len(part)
        assert found.clusters == len(part) / 2  # each prompt on two targets
        x, y = part[line["measure"]], part[line["outcome"]]
        if x.nunique() > 1:
            assert found.value == pytest.approx(spearmanr(x, y).statistic)
        else:
            assert found.value != found.value


def test_log_perplexity_is_the_targets_own(moved: pd.DataFrame) -> None:
    pairs = moved.pivot_table(index="prompt", columns="target", values="log_perplexity")
    assert (pairs["elk"] != pairs["fox"]).all()


def test_ours_of_two_methods_are_two_kinds(tmp_path: Path) -> None:
    design = Design(sources=(), weights=(), tasks=("mini/a",), seeds=(0, 1),
                    hard=Hard(sources=("ant",), methods=("pez", "autoprompt")))  # fmt: skip
    build(tmp_path, design)
    found = transfers(hard_rows(load(tmp_path)))
    assert list(found["made"].unique()) == [
        "Random", "AutoPrompt", "PEZ", "AutoPrompt-pruned", "PEZ-pruned",
        "CommonVocab-pruned (AutoPrompt)", "CommonVocab-pruned (PEZ)",
        "Ours (AutoPrompt)", "Ours (PEZ)",
    ]  # fmt: skip


def test_the_planted_relation_is_found_and_said(moved: pd.DataFrame) -> None:
    share, perplexity = readability_sentences(correlations(moved))
    count = f"over {len(moved)} transfers of {len(moved) // 2} prompts"
    assert share.startswith(f"Share of dictionary words, {count}: ρ = +0.")
    assert "with the gain over Empty (a relation)" in share
    assert "prompts with more dictionary words carry over better here." in share
    assert f"Log-perplexity on the target, {count}: ρ = −0." in perplexity
    assert "prompts that the target finds likely carry over better here." in perplexity


@pytest.mark.slow
def test_the_opposite_is_said_where_it_is_so(tmp_path: Path) -> None:
    found = moved_with(tmp_path, lambda cell, result: 0.9 - 0.5 * result["dictionary_share"])
    share, perplexity = readability_sentences(correlations(found))
    assert "prompts with more dictionary words carry over worse here." in share
    assert "prompts that the target finds unlikely carry over better here." in perplexity


def balanced(folder: Path, levels: dict[str, float]) -> pd.DataFrame:
    """Scores that go up and down with the seed, log-perplexity with its half: unrelated in a row.

    ``levels``: per row what it scores, and less log-perplexity by as much.
    """

    def score(cell, result):  # type: ignore[no-untyped-def]
        parity = (cell.seed + TWO.targets.index(cell.target)) % 2
        return levels[cell.row] + 0.01 * parity

    found = moved_with(folder, score)
    height = found["row"].map(levels)
    return found.assign(log_perplexity=9.0 - 10 * height + 0.1 * (found["seed"] // 2).astype(float))


@pytest.mark.slow
def test_where_nothing_is_found_that_is_said(tmp_path: Path) -> None:
    found = balanced(tmp_path, dict.fromkeys(("random", "all", "common", "agreement"), 0.5))
    share, perplexity = readability_sentences(correlations(found))
    for text in (share, perplexity):
        assert text.count("(no relation found)") == 2
        assert "carry over" not in text
    assert perplexity.endswith(
        "Within a single row no relation with the gain is found: the 95 % interval covers 0 in all "
        "5."
    )


@pytest.mark.slow
def test_a_relation_between_kinds_alone_is_called_that(tmp_path: Path) -> None:
    levels = {"random": 0.40, "all": 0.50, "common": 0.60, "agreement": 0.70}
    _, perplexity = readability_sentences(correlations(balanced(tmp_path, levels)))
    assert "prompts that the target finds likely carry over better here." in perplexity
    assert perplexity.endswith("so that the relation is one between kinds of prompts.")


def test_one_prompt_shows_nothing(tmp_path: Path) -> None:
    design = Design(sources=(), weights=(), tasks=("mini/a",), seeds=(0,), hard=Hard())
    build(tmp_path, design, keep=lambda cell: not is_hard(cell) or cell.row == "all")
    found = transfers(hard_rows(load(tmp_path)))
    share, _ = readability_sentences(correlations(found))
    assert share == (
        "Share of dictionary words: too few transfers, or all alike, so that no relation can be "
        "told."
    )


def test_no_transfers_no_sentences(moved: pd.DataFrame) -> None:
    nothing = correlations(moved[:0])
    assert readability_sentences(nothing) == []
    assert drawn(readability_scatter, moved[:0]) is None


@pytest.mark.slow
def test_the_grid_names_n_and_prompts(moved: pd.DataFrame) -> None:
    grid = correlation_grid(correlations(moved))
    assert grid.columns[-1] == ("n", "transfers of prompts")
    first = grid.lines[0]
    assert (first.group, first.label) == (ALL_TASKS, ALL_ROWS)
    assert first.entries[-1].text == f"{len(moved)} of {len(moved) // 2}"
    assert first.entries[0].note.startswith("[+0.")
    assert first.entries[0].strong
    random = grid.lines[1]
    assert random.entries[0].text == DASH  # all shares are 0
    assert [signed(value) for value in (0.123, -0.5, -0.001, float("nan"))] == [
        "+0.12", "−0.50", "+0.00", DASH,
    ]  # fmt: skip


@pytest.mark.slow
def test_the_figure(moved: pd.DataFrame, tmp_path: Path) -> None:
    png = drawn(readability_scatter, moved, fmt="png")
    assert png is not None
    assert png.startswith(b"\x89PNG")
    svg = drawn(readability_scatter, moved)
    assert svg == drawn(readability_scatter, moved)
    one = drawn(readability_scatter, moved.assign(log_perplexity=float("nan")))
    assert one is not None
    assert one != svg
