"""The numbers of paper B that its preset can be held against."""

import json
from importlib import resources

import pytest
from scipy.stats import ttest_ind_from_stats

PAPER = json.loads((resources.files("sweep") / "published" / "paper_b.json").read_text())
TABLES = {table["table"]: table for table in PAPER["tables"]}
OPT, GPT2, LLAMA = "OPT-1.3B", "GPT-2-Large", "LLaMA-3.2-1B-Instruct"


def line(table: int, row: str, *counterparts: str) -> dict[str, list[float]]:
    (found,) = [
        item
        for item in TABLES[table]["rows"]
        if item["row"] == row and item["counterparts"] == list(counterparts)
    ]
    return dict(zip(PAPER["columns"], zip(found["mean"], found["sd"] or [None] * 5, strict=True),
                    strict=True))  # fmt: skip


def test_what_the_tables_are_of() -> None:
    assert PAPER["n"] == 5
    assert {number: (table["task"], table["source"]) for number, table in TABLES.items()} == {
        1: ("sst2", GPT2), 2: ("ag_news", OPT), 4: ("sst2", LLAMA), 5: ("ag_news", LLAMA),
    }  # fmt: skip
    rows = ["manual", "random", "all", "pruned", "common", "common", "agreement", "agreement"]
    for number, table in TABLES.items():
        kinds = [item["row"] for item in table["rows"]]
        assert kinds == (rows if number < 3 else [row for row in rows if row != "common"])
        for item in table["rows"]:
            assert len(item["mean"]) == len(PAPER["columns"])
            assert (item["sd"] is None) == (item["row"] == "manual")
            partners = item["counterparts"]
            assert bool(partners) == (item["row"] in ("common", "agreement"))
            assert table["source"] not in partners


def test_single_values() -> None:
    assert line(1, "all")["GPT-2-XL"] == (71.83, 6.12)
    assert line(1, "agreement", OPT)["LLaMA-3.2-3B"] == (68.35, 3.43)
    assert line(2, "common", GPT2)["original"] == (52.39, 2.02)
    assert line(2, "random")["LLaMA-3.2-3B-Instruct"] == (40.74, 0.70)
    assert line(4, "pruned")["OPT-2.7B"] == (67.57, 4.93)
    assert line(5, "agreement", OPT)["LLaMA-3.2-3B-Instruct"] == (42.84, 1.35)


def test_empty_does_not_depend_on_the_source() -> None:
    for one, other in ((1, 4), (2, 5)):
        here, there = line(one, "manual"), line(other, "manual")
        targets = PAPER["columns"][1:]
        assert [here[name] for name in targets] == [there[name] for name in targets]
        assert here["original"] != there["original"]


@pytest.mark.parametrize(
    ("table", "counterpart", "column", "gain", "p"),
    [
        (1, LLAMA, "GPT-2-XL", 3.10, 0.38),
        (2, GPT2, "OPT-2.7B", 9.73, 0.10),
        (1, OPT, "original", 0.80, 0.54),
    ],
)
def test_the_gains_that_the_paper_speaks_of(
    table: int, counterpart: str, column: str, gain: float, p: float
) -> None:
    (mine, sd), (other, other_sd) = (
        line(table, *row)[column] for row in (("agreement", counterpart), ("all",))
    )
    assert mine - other == pytest.approx(gain, abs=0.005)
    n = PAPER["n"]
    found = ttest_ind_from_stats(mine, sd, n, other, other_sd, n, equal_var=False)
    assert found.pvalue == pytest.approx(p, abs=0.01)
