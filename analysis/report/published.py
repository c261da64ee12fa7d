"""The papers' own numbers beside those of a sweep with the same models and tasks."""

import json
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any

import pandas as pd

from analysis.contrasts.selection import Choices, at_choices
from analysis.data.combinations import SOFT, of_family, parts
from analysis.hard.rows import hard_rows
from analysis.present.grid import DASH, Entry, Grid, Line, points
from analysis.present.words import ROW_NAMES, sources_name, weight_name

ORIGINAL = "original"
"""Column of paper B's tables that is the source itself."""
_KEY = ["row", "target", "sources", "counterparts", "task"]
_COLUMNS = [
    "paper", "table", "row", "target", "sources", "counterparts", "task", "weight_label",
    "published", "published_sd", "published_n",
]  # fmt: skip
_FOUND = ["setting", "mean", "sd", "n", "difference"]
_HARD_NAMES = {"manual": "Empty", "random": "Random", "all": "PEZ", "pruned": "PEZ-pruned",
               "common": "CommonVocab-pruned", "agreement": "Ours"}  # fmt: skip


def published_values() -> pd.DataFrame:
    """Every score that papers A and B print in their tables, in points.

    Returns:
        Columns paper (``A`` or ``B``), table, row, target (the model scored on), sources and
        counterparts (joined by ``+``), task, weight_label (of Ours), published, published_sd (NaN
        where none is printed) and published_n (seeds).
    """
    return pd.DataFrame([*_paper_a(_read("paper_a")), *_paper_b(_read("paper_b"))],
                        columns=_COLUMNS)  # fmt: skip


def beside_published(frame: pd.DataFrame, choices: Mapping[str, Choices]) -> pd.DataFrame:
    """The scores of a sweep beside the published ones of the same models, task and row.

    Names are compared without case and without the folder of a task. Ours stands at the weight
    chosen here; the published weight may be another.

    Args:
        frame: table of :func:`analysis.load`.
        choices: by combination of settings, of :func:`analysis.contrasts.selection.choose`.

    Returns:
        Columns of :func:`published_values`, setting (what the sweep varies beside), mean, sd
        (points), n (seeds) and difference (mean minus published); one line per published value and
        setting that the sweep has.
    """
    known = published_values()
    mine = pd.concat([*_soft_scores(frame, choices), _hard_scores(frame)], ignore_index=True)
    for column in ("target", "sources", "counterparts"):
        known[f"{column}_key"] = known[column].map(_names)
        mine[f"{column}_key"] = mine[column].map(_names)
    # A sweep of other models shares tasks and rows alone, which is no reproduction.
    on = ["row", "task", "target_key", "sources_key", "counterparts_key"]
    mine["own_task"] = mine["task"]
    mine["task"] = mine["task"].str.rpartition("/")[2]
    groups = mine.groupby([*on, "own_task", "setting"], dropna=False)["score"]
    lines = groups.agg(["mean", "std", "count"])
    lines = (100 * lines[["mean", "std"]]).assign(n=lines["count"]).reset_index()
    both = known.merge(lines.rename(columns={"std": "sd"}), on=on)
    both["difference"] = both["mean"] - both["published"]
    return both[[*_COLUMNS, *_FOUND]]


def published_sentence(table: pd.DataFrame) -> str:
    """How far a reproduction is from the papers, in a sentence; empty without a common score."""
    if table.empty:
        return ""
    size = table["difference"].abs()
    return (
        f"{len(table):,} scores have a published counterpart with the same models, task and row: "
        f"the mean difference (here minus published) is "
        f"{points(table['difference'].mean(), signed=True)} points, the mean size of a difference "
        f"{points(size.mean())}, the largest {points(size.max())}."
    )


def published_grids(table: pd.DataFrame) -> Iterator[tuple[str, str, Grid, pd.DataFrame]]:
    """One grid a published table: name, title, grid and its lines of ``table``.

    Every entry is the score found, in small print the published one and the difference.
    """
    for (paper, number), part in table.groupby(["paper", "table"], sort=True):
        columns = list(dict.fromkeys(zip(part["task"], part["target"], strict=True)))
        lines = []
        keys = ["row", "sources", "counterparts", "setting"]
        for values, line in part.groupby(keys, sort=False):
            row, sources, partners, setting = map(str, values)
            places = zip(line["task"], line["target"], strict=True)
            known = dict(zip(places, line.to_dict("records"), strict=True))
            names = _HARD_NAMES if paper == "B" else ROW_NAMES
            label = " ".join(filter(None, [names.get(row, row), setting]))
            group = sources_name(sources) or "no tuned prompt"
            entries = [_entry(known[place]) if place in known else Entry(DASH) for place in columns]
            label += f" with {sources_name(partners)}" if partners else ""
            lines.append(Line(sources, group, label, tuple(entries)))
        grid = Grid(("Tuned on", "Row"), tuple(columns), tuple(lines))
        title = f"Paper {paper}, table {number}"
        yield f"published_{str(paper).lower()}{number}", title, grid, part


def _entry(line: Mapping[Any, Any]) -> Entry:
    note = f"published {points(line['published'])}, {points(line['difference'], signed=True)}"
    return Entry(f"{points(line['mean'])} ± {points(line['sd'])}", note=note)


def _read(name: str) -> dict[str, Any]:
    file = resources.files("sweep") / "published" / f"{name}.json"
    paper: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return paper


def _printed(paper: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Table, its row, column, mean, sd and seeds of every printed score."""
    for table in paper["tables"]:
        for line in table["rows"]:
            seeds = paper["n"] if line["sd"] else 1
            sds = line["sd"] or [None] * len(line["mean"])
            for column, mean, sd in zip(paper["columns"], line["mean"], sds, strict=True):
                yield table, line, column, mean, sd, seeds


def _paper_a(paper: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    for table, line, task, *score in _printed(paper):
        yield ("A", table["table"], line["row"], line["target"], "+".join(line["sources"]), "",
               task, line.get("weight", ""), *score)  # fmt: skip


def _paper_b(paper: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    for table, line, place, *score in _printed(paper):
        target = table["source"] if place == ORIGINAL else place
        sources = "" if line["row"] == "manual" else table["source"]
        yield ("B", table["table"], line["row"], target, sources, "+".join(line["counterparts"]),
               table["task"], "", *score)  # fmt: skip


def _soft_scores(frame: pd.DataFrame, choices: Mapping[str, Choices]) -> Iterator[pd.DataFrame]:
    soft = of_family(frame, SOFT)
    plain = soft[soft["row"].isin(("empty", "manual", "independent", "single", "baseline"))]
    plain = plain.assign(setting=plain["combination"].fillna(""))
    yield _scores(plain)
    for label, part in parts(soft):
        ours = at_choices(part, choices.get(label, {}))
        names = [" ".join(filter(None, [weight_name(str(weight)), label]))
                 for weight in ours["weight_label"]]  # fmt: skip
        yield _scores(ours.assign(setting=names))


def _hard_scores(frame: pd.DataFrame) -> pd.DataFrame:
    rows = hard_rows(frame)
    setting = [
        " ".join([f"s={s}"] * pd.notna(s) + [f"K={k}"] * pd.notna(k) + [str(label)] * bool(label))
        for s, k, label in zip(rows["s"], rows["k"], rows["combination"].fillna(""), strict=True)
    ]
    kept = rows["method"].isin(("random", "pez")).to_numpy()
    return _scores(rows.assign(row=rows["line"], setting=setting)[kept])


def _scores(rows: pd.DataFrame) -> pd.DataFrame:
    partners = rows["counterparts"].astype("object").fillna("")
    kept = rows[["row", "target", "sources", "task", "setting", "score"]]
    kept = kept.assign(counterparts=partners, sources=kept["sources"].fillna(""))
    return kept[[*_KEY, "setting", "score"]].dropna(subset=["score"])


def _names(text: str) -> str:
    """Names of models whatever their order and case."""
    return "+".join(sorted(name.casefold() for name in str(text).split("+")))
