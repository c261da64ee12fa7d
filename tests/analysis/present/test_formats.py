"""Tables as files: CSV, Markdown, LaTeX and HTML; and beside their published values."""

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from analysis import load
from analysis.contrasts.selection import choose
from analysis.present.exhibits import Table, file_name
from analysis.present.formats import FORMATS, latex, write_tables
from analysis.present.grid import Entry, Grid, Line, plain_grid
from analysis.report.published import beside_published, published_sentence, published_values
from analysis.report.sections import report_tables
from tests.analysis.builder import Design, build

NUMBERS = pd.DataFrame({"task": ["a_b"], "mean": [1.25]})


def table(text: str, strong: bool = False) -> Table:
    line = Line("block", "group_1", "x & y", (Entry(text, strong, note="[−1.0, +2.0]"),))
    grid = Grid(("Tuned on", "Row"), (("sst_2", "accuracy"),), (line,))
    return Table("name", "A title with 50 %", grid, NUMBERS)


class Cells(HTMLParser):
    """Text of every td."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found, self.inside = [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "td":
            self.inside = True
            self.found.append("")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "td"

    def handle_data(self, data):
        if self.inside:
            self.found[-1] += data


def test_latex_says_what_the_table_says() -> None:
    text = FORMATS["latex"][1](table("71.0 ± 1.2†", strong=True))
    assert r"\toprule" in text and r"\midrule" in text and r"\bottomrule" in text
    assert r"\caption{A title with 50 \%}" in text
    assert r"{llr}" in text
    (line,) = [line for line in text.split("\n") if "group" in line]
    number = r"\textbf{71.0 $\pm$ 1.2\textdagger{}}"
    assert line == rf"group\_1 & x \& y & {number} {{\footnotesize [$-$1.0, +2.0]}} \\"


def test_every_sign_of_latex_is_escaped() -> None:
    assert latex("\\&%$#_{}~^") == (
        r"\textbackslash{}\&\%\$\#\_\{\}\textasciitilde{}\textasciicircum{}"
    )


def test_no_line_of_latex_starts_with_a_bracket() -> None:
    grid = plain_grid("Name", ["n"], [("[odd]", ["1"])])
    text = FORMATS["latex"][1](Table("odd", "odd", grid, NUMBERS))
    assert "{}[odd] & 1" in text
    assert "{lr}" in text


def test_markdown_escapes_names_and_has_one_cell_a_column() -> None:
    text = FORMATS["markdown"][1](table("7|0"))
    head, rule, line = text.strip().split("\n")[2:]
    assert r"sst\_2 (accuracy)" in head
    assert r"group\_1" in line and r"7\|0" in line
    assert len({len(re.split(r"(?<!\\)\|", part)) for part in (head, rule, line)}) == 1


def test_csv_holds_the_numbers_in_full() -> None:
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(FORMATS["csv"][1](table("1")))), NUMBERS)


def test_file_names_are_plain() -> None:
    assert file_name("gap", "a/b c", "../..") == "gap_a-b-c_x"


@pytest.mark.slow
def test_every_table_in_every_format(full_frame: pd.DataFrame, tmp_path: Path) -> None:
    tables = report_tables(full_frame)
    names = [item.name for item in tables]
    assert len(set(names)) == len(names)
    assert {"transfer_elk", "differences_elk", "sources", "source_sets"} <= set(names)
    assert {"dependence_soft_effects_task", "dependence_soft_shares_gain"} <= set(names)
    paths = write_tables(tables, tmp_path / "tables", FORMATS)
    assert len(paths) == 4 * len(tables) == len(list((tmp_path / "tables").iterdir()))
    for item in tables:
        page = (tmp_path / "tables" / f"{item.name}.html").read_text(encoding="utf-8")
        shown = [entry.text + entry.note for line in item.grid.lines for entry in line.entries]
        assert Cells(page).found == shown


@pytest.mark.slow
def test_csv_of_transfers_is_what_slow_loops_give(full_frame: pd.DataFrame) -> None:
    (found,) = [item for item in report_tables(full_frame) if item.name == "transfer_elk"]
    for line in found.numbers[found.numbers["row"] == "single"].to_dict("records"):
        rows = full_frame[(full_frame["row"] == "single") & (full_frame["target"] == "elk")
                          & (full_frame["sources"] == line["sources"])]  # fmt: skip
        if line["task"] in set(rows["task"]):
            rows = rows[rows["task"] == line["task"]]
            assert line["mean"] == pytest.approx(100 * sum(rows["score"]) / len(rows))


def test_published_values_are_whole() -> None:
    table = published_values()
    assert table.groupby(["paper", "table"]).size().to_dict() == {
        ("A", 1): 35, ("A", 2): 49, ("A", 3): 56, ("A", 4): 42,
        ("B", 1): 40, ("B", 2): 40, ("B", 4): 30, ("B", 5): 30,
    }  # fmt: skip
    assert table["published"].between(20, 95).all()


def test_published_pairs_of_paper_a_are_those_of_the_counts() -> None:
    from tests.analysis.paper_a_values import dual_sources

    table = published_values()
    table = table[(table["paper"] == "A") & table["table"].isin((3, 4))]
    for row in ("ours", "baseline"):
        mine = table[table["row"] == row]
        assert mine["published"].tolist() == dual_sources()[row].tolist()
        assert mine["published_sd"].tolist() == dual_sources()[f"{row}_sd"].tolist()


@pytest.mark.slow
def test_a_reproduction_stands_beside_the_paper(tmp_path: Path) -> None:
    design = Design(
        sources=("bert-base", "GPT-2"), targets=("RoBERTa-large",), tasks=("sst2", "mine"),
        weights=(0.0, 0.3), seeds=(0, 1),
    )  # fmt: skip
    build(tmp_path, design)
    frame = load(tmp_path)
    table = beside_published(frame, {"": choose(frame)})
    rows = table.set_index(["table", "row", "sources"])
    assert set(table["task"]) == {"sst2"}
    assert len(table) == 2 + 2 + 2 + 2  # independent, references, single; Baseline and Ours
    own = frame[(frame["row"] == "baseline") & (frame["task"] == "sst2")]["score"]
    line = rows.loc[(3, "baseline", "BERT-base+GPT-2")]
    assert line["published"] == 79.3
    assert line["difference"] == pytest.approx(100 * own.mean() - 79.3)
    assert line["n"] == 2
    assert "8 scores have a published counterpart" in published_sentence(table)
    names = [item.name for item in report_tables(frame)]
    assert names[:3] == ["published_a1", "published_a2", "published_a3"]


def test_other_models_have_no_published_values(full_frame: pd.DataFrame) -> None:
    assert beside_published(full_frame, {"": choose(full_frame)}).empty
    assert published_sentence(beside_published(full_frame, {})) == ""
