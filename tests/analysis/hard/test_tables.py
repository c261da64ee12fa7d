"""Paper B's tables against slow loops over the records."""

import json
import statistics
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

import analysis.data.combinations
from analysis import load
from analysis.data.combinations import HARD, SOFT, family_of, has, of_family
from analysis.data.results import COLUMNS
from analysis.hard.rows import Block, blocks, hard_rows, line_of, name_of
from analysis.hard.tables import (
    AS_IDS,
    AS_TEXT,
    CARRIED,
    ON_SOURCE,
    effect_grid,
    effect_table,
    method_grid,
    method_table,
    paired_gains,
    places,
)
from analysis.present.exhibits import Table
from analysis.present.formats import FORMATS
from analysis.present.grid import DASH
from analysis.stats.intervals import t_interval
from tests.analysis.builder import (
    AS_IDS as IDS_BONUS,
)
from tests.analysis.builder import (
    EMPTY,
    HARD_EFFECT,
    MANUAL,
    Design,
    Hard,
    build,
    cells_of,
    is_hard,
    record_of,
    write_record,
)

ONE = Design(
    sources=(), weights=(), targets=("elk", "fox"), tasks=("mini/a", "mini/b"),
    hard=Hard(s=(16, 64), k=(2, 4)),
)  # fmt: skip


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("hard")
    build(folder, ONE)
    return load(folder)


@pytest.fixture(scope="module")
def block(frame: pd.DataFrame) -> Block:
    (found,) = blocks(hard_rows(frame))
    return found


def frame_of(folder: Path, design: Design, **more: object) -> pd.DataFrame:
    build(folder, design, **more)  # type: ignore[arg-type]
    return load(folder)


@pytest.mark.slow
def test_the_columns_are_what_the_records_say(frame: pd.DataFrame) -> None:
    assert list(frame.columns) == list(COLUMNS)
    cells = {cell.id: cell for cell in cells_of(ONE)}
    hard = frame[frame["family"] == HARD]
    assert set(hard["cell"]) == {name for name, cell in cells.items() if is_hard(cell)}
    for row in hard.itertuples():
        cell, result = cells[row.cell], record_of(cells[row.cell], ONE)["result"]
        assert (row.text, row.n_tokens) == (result["text"], result["n_tokens"])
        assert json.loads(row.ids) == result["ids"]
        assert row.roundtrip_exact == result["roundtrip_exact"]
        assert row.dictionary_share == result["dictionary_share"]
        assert row.log_perplexity == result["log_perplexity"]
        assert (row.vocabulary, row.s, row.k) == tuple(
            cell.settings[name] for name in ("vocabulary", "s", "k")
        )
        assert row.template
        assert (row.prompt_length, row.combination) == (4, "")
        partner = cell.digests["counterparts"]
        assert (row.counterparts == partner) if partner else pd.isna(row.counterparts)
        assert pd.isna(row.state) if cell.method == "random" else row.state == "continuous"
        bonus = IDS_BONUS if cell.kind == "source" else float("nan")
        assert row.score_as_ids - row.score == pytest.approx(bonus, nan_ok=True)
    for name in ("s", "k", "n_tokens"):
        assert frame[name].dtype == "Int64"


@pytest.mark.slow
def test_gain_is_over_the_same_input_without_the_prompt(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    levels = {
        (row.target, row.task): row.score for row in frame.itertuples() if row.row == "manual"
    }
    for row in frame[frame["family"] == HARD].itertuples():
        assert row.gain_over_no_prompt == pytest.approx(row.score - levels[row.target, row.task])
    assert frame.loc[frame["family"] != HARD, "gain_over_no_prompt"].isna().all()

    def bare(cell, record):  # type: ignore[no-untyped-def]
        if is_hard(cell):
            record["cell"]["settings"]["template"] = False

    other = frame_of(tmp_path, ONE, alter=bare)
    shift = other["gain_over_no_prompt"] - frame["gain_over_no_prompt"]
    assert shift.dropna().unique() == pytest.approx(MANUAL - EMPTY)
    (block,) = blocks(hard_rows(other))
    table = method_table(block, other, "mini/a", "ant")
    assert table.loc[table["line"] == "empty", "mean"].unique() == pytest.approx(100 * EMPTY)


@pytest.mark.slow
def test_a_carried_prompt_has_the_settings_it_was_tuned_with(tmp_path: Path) -> None:
    design = Design(sources=(), weights=(), tasks=("mini/a",), seeds=(0,),
                    hard=Hard(states=("continuous", "projected")))  # fmt: skip

    def carry(cell, record):  # type: ignore[no-untyped-def]
        if is_hard(cell) and cell.kind == "transfer":
            record["cell"]["settings"] = {"prompt_length": 4, "carry": {"seam": "space"}}
            record["cell"]["counterparts"] = []

    whole, short = (
        frame_of(tmp_path / name, design, **more)  # type: ignore[arg-type]
        for name, more in (("whole", {}), ("short", {"alter": carry}))
    )
    names = ["vocabulary", "s", "k", "state", "template", "counterparts", "combination"]
    one, other = (each.set_index("cell").sort_index()[names] for each in (whole, short))
    pd.testing.assert_frame_equal(one, other)
    assert set(whole["combination"]) == {"", "state continuous", "state projected"}


def test_the_family_is_the_methods_or_shows_in_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    tuned = {"kind": "source", "method": "pez"}
    monkeypatch.setattr(analysis.data.combinations, "METHODS", {"soft": SimpleNamespace()})
    assert family_of({"kind": "reference", "method": "none"}, {}) is None
    assert family_of({"kind": "source", "method": "soft"}, {}) == SOFT
    assert family_of(tuned, {"ids": [1]}) == HARD
    known = {"pez": SimpleNamespace(family="hard")}
    monkeypatch.setattr(analysis.data.combinations, "METHODS", known)
    assert family_of(tuned, {}) == HARD


def test_soft_and_hard_never_meet(tmp_path: Path) -> None:
    both = Design(sources=("ant", "bee"), tasks=("mini/a",), seeds=(0,), weights=(0.0, 0.3),
                  hard=Hard(sources=("ant",)))  # fmt: skip
    frame = frame_of(tmp_path, both)
    soft, hard = (of_family(frame, family) for family in (SOFT, HARD))
    assert set(soft["method"].dropna()) == {"soft", "none"}
    assert set(hard["method"].dropna()) == {"pez", "random", "none"}
    references = int((frame["kind"] == "reference").sum())
    assert len(soft) + len(hard) == len(frame) + references
    assert has(frame, SOFT)
    assert not has(hard, SOFT)
    # Prompts of 5 vectors and of 4 tokens are no two combinations of one method.
    assert set(frame["combination"]) == {""}


@pytest.mark.slow
def test_every_number_of_a_table_is_the_mean_over_seeds(frame: pd.DataFrame, block: Block) -> None:
    cells = {cell.id: cell for cell in cells_of(ONE)}
    assert places(block) == [AS_TEXT, AS_IDS, "elk", "fox"]
    table = method_table(block, frame, "mini/b", "bee")
    tuned = table[~table["line"].isin(["empty", "constant"])]
    # Random, PEZ, 2 pruned, 2 × 2 common, 2 × 2 × 2 ours
    assert len(tuned) == (1 + 1 + 2 + 4 + 8) * 4
    for line in tuned.to_dict("records"):
        scores, base = [], []
        for cell in cells.values():
            if not is_hard(cell) or cell.task != "mini/b" or cell.sources != ("bee",):
                continue
            where = AS_TEXT if line["place"] == AS_IDS else line["place"]
            if (cell.target if cell.kind == "transfer" else AS_TEXT) != where:
                continue
            name = "score_as_ids" if line["place"] == AS_IDS else "score"
            value = 100 * record_of(cell, ONE)["result"][name]
            if line_of(cell.method, cell.settings["vocabulary"]) == "all":
                base.append(value)
            if (
                line_of(cell.method, cell.settings["vocabulary"]) == line["line"]
                and cell.digests["counterparts"] == line["counterparts"]
                and (pd.isna(line["s"]) or cell.settings["s"] == line["s"])
                and (pd.isna(line["k"]) or cell.settings["k"] == line["k"])
            ):
                scores.append(value)
        assert len(scores) == line["n"] == 3
        assert line["mean"] == pytest.approx(statistics.mean(scores))
        assert line["sd"] == pytest.approx(statistics.stdev(scores))
        above = line["line"] == "agreement" and statistics.mean(scores) > statistics.mean(base)
        assert line["better"] == above
    ours = tuned[tuned["line"] == "agreement"]
    assert ours["better"].any()
    assert not ours["better"].all()


def test_references_stand_on_every_model(frame: pd.DataFrame, block: Block) -> None:
    table = method_table(block, frame, "mini/b", "bee")
    empty = table[table["line"] == "empty"]
    assert list(empty["place"]) == [AS_TEXT, "elk", "fox"]
    assert empty["mean"].unique() == pytest.approx(100 * MANUAL + 5)
    assert list(table["name"][:1]) == ["Empty"]
    constant = table[table["line"] == "constant"]
    assert not constant["flagged"].any()


def test_the_grid_is_paper_bs_layout(frame: pd.DataFrame, block: Block) -> None:
    table = method_table(block, frame, "mini/a", "ant")
    grid = method_grid(table, block, "accuracy")
    lines = [(line.group, line.label) for line in grid.lines]
    assert lines == [
        ("Empty", DASH), ("Constant", DASH), ("Random", DASH), ("PEZ", DASH),
        ("PEZ-pruned s=16", DASH), ("PEZ-pruned s=64", DASH),
        *((f"CommonVocab-pruned s={s}", name) for s in (16, 64) for name in ("bee", "cat")),
        *((f"Ours s={s}, K={k}", name)
          for s in (16, 64) for k in (2, 4) for name in ("bee", "cat")),
    ]  # fmt: skip
    text = FORMATS["markdown"][1](Table("name", "title", grid, table))
    assert "| Row | Counterpart | Original (as text) | Original (as ids) | elk (accuracy)" in text
    assert "±" not in text.split("\n")[4]
    assert "**" in text.split("| Ours s=16, K=2 | bee |")[1].split("\n")[0]


@pytest.mark.slow
def test_s_and_k_are_named_only_where_they_differ(tmp_path: Path) -> None:
    design = Design(sources=(), weights=(), tasks=("mini/a",), seeds=(0, 1), hard=Hard(k=(2, 4)))
    frame = frame_of(tmp_path, design)
    (block,) = blocks(hard_rows(frame))
    grid = method_grid(method_table(block, frame, "mini/a", "ant"), block, "")
    assert list(dict.fromkeys(line.group for line in grid.lines)) == [
        "Empty", "Constant", "Random", "PEZ", "PEZ-pruned", "CommonVocab-pruned",
        "Ours K=2", "Ours K=4",
    ]  # fmt: skip


@pytest.mark.slow
def test_the_same_prompt_under_another_s_is_counted_once(
    tmp_path: Path, frame: pd.DataFrame
) -> None:
    """A plan may list PEZ for every s and K though neither means anything to it."""
    build(tmp_path, ONE)
    for cell in cells_of(ONE):
        if is_hard(cell) and cell.row in ("all", "common"):
            record = record_of(cell, ONE)
            record["cell"]["settings"] |= {"k": 99} | ({"s": 99} if cell.row == "all" else {})
            record["id"] = cell.id[::-1]
            write_record(tmp_path, record["id"], record)
    doubled = load(tmp_path)
    assert len(doubled) > len(frame)
    assert len(hard_rows(doubled)) == len(hard_rows(frame))
    (one,), (other,) = (list(blocks(hard_rows(each))) for each in (frame, doubled))
    columns = ["line", "place", "mean", "n", "better"]
    tables = [method_table(each, frame, "mini/a", "ant")[columns] for each in (one, other)]
    pd.testing.assert_frame_equal(*tables)
    assert one.shows == other.shows


@pytest.mark.slow
def test_each_method_state_and_length_is_a_block(tmp_path: Path) -> None:
    design = Design(sources=(), weights=(), tasks=("mini/a",), seeds=(0, 1),
                    hard=Hard(sources=("ant",), methods=("pez", "autoprompt"), lengths=(2, 4),
                              states=("continuous", "projected")))  # fmt: skip
    found = list(blocks(hard_rows(frame_of(tmp_path, design))))
    assert [block.title for block in found] == [
        "AutoPrompt (prompt_length 2)",
        "AutoPrompt (prompt_length 4)",
        "PEZ (prompt_length 2, state continuous)",
        "PEZ (prompt_length 2, state projected)",
        "PEZ (prompt_length 4, state continuous)",
        "PEZ (prompt_length 4, state projected)",
    ]
    for block in found:
        assert block.rows["prompt_length"].nunique() == 1
        own = block.rows[block.rows["method"] != "random"]
        assert own["state"].fillna("none").nunique() == 1
        assert (block.rows["line"] == "random").sum() == 2 * 2
    assert found[0].about == "Prompts of 2 tokens, s = 16, K = 2."
    assert name_of("autoprompt", "random") == "AutoPrompt-pruned"


def test_random_prompts_alone_are_a_block(tmp_path: Path) -> None:
    design = Design(sources=(), weights=(), tasks=("mini/a",), seeds=(0,), hard=Hard())
    keep = {"keep": lambda cell: not is_hard(cell) or cell.method == "random"}
    (block,) = blocks(hard_rows(frame_of(tmp_path, design, **keep)))
    assert (block.title, set(block.rows["line"])) == ("Random", {"random"})
    assert effect_table(block).empty


def test_gains_are_paired_on_the_seed_and_averaged_over_cases(block: Block) -> None:
    scores = {
        (cell.row, cell.settings["s"], cell.settings["k"], cell.digests["counterparts"], cell.task,
         cell.sources, cell.target, cell.kind, cell.seed): record_of(cell, ONE)["result"]["score"]
        for cell in cells_of(ONE) if is_hard(cell) and cell.method == "pez"
    }  # fmt: skip
    table = effect_table(block)
    assert len(table) == 2 * 4
    assert list(table["where"]) == [ON_SOURCE] * 4 + [CARRIED] * 4
    for line in table.to_dict("records"):
        kind = "source" if line["where"] == ON_SOURCE else "transfer"
        by_seed: dict[int, list[float]] = {0: [], 1: [], 2: []}
        for (row, s, k, _, *case, here, seed), score in scores.items():
            if (row, s, k, here) == ("agreement", line["s"], line["k"], kind):
                base = scores["all", 16, 2, "", *case, here, seed]
                by_seed[seed].append(100 * (score - base))
        # 2 counterparts × 2 tasks × 2 sources, on 1 model or 2
        assert {len(each) for each in by_seed.values()} == {line["cases"]}
        assert line["cases"] == (8 if kind == "source" else 16)
        wanted = t_interval(statistics.mean(each) for each in by_seed.values())
        assert (line["mean"], line["low"], line["high"]) == pytest.approx(
            (wanted.mean, wanted.low, wanted.high)
        )
        assert line["direction"] == (-1 if HARD_EFFECT[line["s"], line["k"]] < -0.06 else 1)
    grid = effect_grid(table, block)
    assert [line.label for line in grid.lines] == ["s = 16", "s = 64"] * 2
    assert grid.heads[0] == "Gain of Ours over PEZ"


@pytest.mark.slow
def test_a_missing_seed_is_named_and_left_out_of_pairs(tmp_path: Path) -> None:
    frame = frame_of(tmp_path, ONE, keep=lambda cell: not (
        is_hard(cell) and cell.row == "all" and cell.seed == 2 and cell.target == "fox"
    ))  # fmt: skip
    (block,) = blocks(hard_rows(frame))
    table = method_table(block, frame, "mini/a", "ant")
    grid = method_grid(table, block, "")
    text = FORMATS["markdown"][1](Table("name", "title", grid, table))
    assert "(n=2)" in text.split("| PEZ |")[1].split("\n")[0]
    gains = paired_gains(block)
    assert set(gains.loc[gains["target"] == "fox", "seed"]) == {0, 1}
    table = effect_table(block)
    assert set(table.loc[table["where"] == CARRIED, "cases"]) == {8}
