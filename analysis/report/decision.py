"""Whether to use a carried prompt on a target, or what to do instead: the verdict of a sweep.

Everything stands on one ground: all tasks of the target, each result beside that of the same task
and seed. Prompts are chosen by validation, each seed's on the other seeds, and so is the bar that
they have to beat, among the rows that need no tuning. Intervals are over new seeds and test
examples of these tasks.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.contrasts.examples import Examples
from analysis.data.combinations import HARD, main_ways, read_how, titled, tuning_label
from analysis.frontier.choice import TIE, rows_of, table
from analysis.frontier.lines import (
    CALIBRATED,
    PLAIN,
    PRICED,
    UNTUNED,
    Line,
    Price,
    hidden,
    price_of,
    strongest,
)
from analysis.frontier.shares import difference
from analysis.hard.rows import DRAWN, METHOD_NAMES, RANDOM, line_of
from analysis.present.grid import DASH, Entry, Grid, points, span
from analysis.present.grid import Line as GridLine
from analysis.present.words import ROW_NAMES, row_label, sources_name
from analysis.stats.bootstrap import Crossed
from trainables.core.frontier import PRODUCTS
from trainables.core.settings import OWN

PROMPT, READOUT = PRODUCTS[0], PRODUCTS[1]
_MOST = 200
"""Candidates near the best one that are looked at."""
_KEY = ["family", "method", "combination", "way", "row", "sources", "counterparts",
        "weight_label", "vocabulary", "s", "k"]  # fmt: skip
_HARD = {
    "all": "",
    "agreement": ", words that agree",
    "pruned": ", words drawn",
    "common": ", words in common",
}
_OVER = ["seed"]


@dataclass(frozen=True)
class Level:
    """A row that the best prompt is compared with.

    Attributes:
        what: what it is among the rows.
        name: what it is called.
        score: mean on test, points.
        lead: what the best prompt has over it, points.
    """

    what: str
    name: str
    score: float
    lead: Crossed | None = None


@dataclass(frozen=True)
class Decision:
    """The answer on one target.

    Attributes:
        target: its alias.
        use: whether to use the carried prompt; None where that is not known.
        head: the answer in a few words.
        texts: what it rests on, a sentence or two each.
        levels: the best prompt first, then what it is compared with.
    """

    target: str
    use: bool | None
    head: str
    texts: tuple[str, ...]
    levels: tuple[Level, ...] = ()

    @property
    def grid(self) -> Grid:
        """Score of every row, and what the best prompt has over it."""
        lines = [
            GridLine("", "", f"{level.what}: {level.name}",
                     (Entry(points(level.score)), _lead(level)))
            for level in self.levels
        ]  # fmt: skip
        columns = (("Score", ""), ("Best prompt minus this", ""))
        return Grid(("", "Row"), columns, tuple(lines))


def _lead(level: Level) -> Entry:
    if level.lead is None:
        return Entry(DASH)
    ends = span(level.lead.low, level.lead.high)
    return Entry(points(level.lead.mean, signed=True), strong=bool(level.lead.direction), note=ends)


def decisions(frame: pd.DataFrame, examples: Examples | None = None) -> list[Decision]:
    """The answer on every target, in the order of their names.

    Args:
        frame: table of :func:`analysis.load`.
        examples: reads the kept predictions.
    """
    moved = frame["kind"] == "transfer"
    names = sorted(frame.loc[moved, "target"].unique())
    return [_Target(frame, name, examples).decision() for name in names]


def still_tasks(frame: pd.DataFrame) -> list[str]:
    """Tasks on which no prompt of the tables is further than a tie from Empty, on no target."""
    moved = main_ways(frame)
    moved = moved[(moved["kind"] == "transfer") & moved["gain_over_empty"].notna()]
    named = moved[_KEY].astype("object").where(moved[_KEY].notna(), "")
    keys = [moved["task"], moved["target"], *(named[name] for name in _KEY)]
    gains = moved["gain_over_empty"].groupby(keys).mean().abs().groupby(level="task").max()
    return sorted(gains.index[gains <= TIE + 1e-9])


class _Target:
    def __init__(self, frame: pd.DataFrame, target: str, examples: Examples | None) -> None:
        self.frame, self.target, self.examples = frame, target, examples
        here = frame[frame["target"] == target]
        moved = here[(here["kind"] == "transfer") & (here["row"] != OWN)]
        self.moved = moved[(moved["method"] != RANDOM) & (moved["row"] != DRAWN)]
        self.here = here
        tasks, seeds = sorted(moved["task"].unique()), sorted(moved["seed"].dropna().unique())
        units = pd.MultiIndex.from_product([tasks, seeds], names=["task", "seed"]).to_frame(False)
        self.units = units.assign(sources="", target=target, unit=range(len(units)))

    def decision(self) -> Decision:
        """The answer."""
        product = self.moved["product"].fillna(PROMPT)
        prompts = self._lines(self.moved[product == PROMPT], _KEY, "prompt")
        untuned = list(self._untuned())
        if not prompts:
            return self._unknown("no carried-over prompt has every task and seed")
        if not untuned:
            return self._unknown("no row without tuning has every task")
        best = _Choice(prompts, self)
        told = ([float(line.rows[name].mean(skipna=False)) for line in untuned]
                for name in ("validation", "score"))  # fmt: skip
        bar: Line = strongest(untuned, *told)
        levels = [
            Level("best carried-over prompt", best.name, best.score),
            self._level("strongest untuned row", bar, best),
        ]
        empty = untuned[0]
        if empty is not bar and empty.row == "empty":
            levels.append(self._level("no prompt", empty, best))
        levels += [level for level in (self._source(best),) if level]
        tuned = self._lines(self.here[self.here["direct"]], ["combination", "settings"], "direct")
        direct = _Choice(tuned, self) if tuned else None
        if direct:
            levels.append(self._level("tuned on the target", direct, best))
        others = self._lines(self.moved[product == READOUT], _KEY, "readout")
        readout = _Choice(others, self) if others else None
        return self._told(best, bar, direct, readout, untuned, tuple(levels))

    def _unknown(self, why: str) -> Decision:
        return Decision(self.target, None, "Not known yet", (f"On {self.target} {why}.",))

    def _told(
        self,
        best: "_Choice",
        bar: Line,
        direct: "_Choice | None",
        readout: "_Choice | None",
        untuned: Sequence[Line],
        levels: tuple[Level, ...],
    ) -> Decision:
        lead = self.over(best, bar)
        mixed = "; some seeds choose another" if best.others else ""
        prompt = f"The best carried-over prompt ({best.name}{mixed})"
        if not lead.high > lead.low and lead.mean > 0:
            text = (f"{prompt}: {_by(lead)} against {bar.title}. One seed and no kept predictions "
                    "give no interval.")  # fmt: skip
            return Decision(self.target, None, "Not shown", (text,), levels)
        if lead.direction > 0:
            head = f"Use it: {best.name}"
            texts = [f"{prompt} is better than {bar.title}, the strongest row without tuning: "
                     f"{_by(lead)}."]  # fmt: skip
            ways = list(self._ways(best, "the prompt", direct, readout))
        else:
            does = "is worse" if lead.direction < 0 else "is not shown to be better"
            texts = [f"{prompt} {does} than that: {_by(lead)}."]
            ways = list(self._ways(bar, bar.title, direct, readout))
            better = [_INSTEAD[kind] for kind, clear, _ in ways if clear]
            head = "Do this instead: " + " or ".join(better or [_DO.get(bar.title, bar.title)])
            if better:
                texts = [f"{prompt} {does} than {bar.title}, which needs no tuning: {_by(lead)}."]
        texts += [text for _, _, text in ways]
        texts += self._higher(bar, untuned)
        return Decision(self.target, lead.direction > 0, head, tuple(texts), levels)

    def _ways(
        self, than: "Line | _Choice", called: str, *others: "_Choice | None"
    ) -> Iterator[tuple[str, bool, str]]:
        """What else there is: its kind, whether it is clearly better, and that in a sentence."""
        for choice in filter(None, others):
            more, kind = self.over(choice, than), choice.line.kind
            clear = more.direction > 0
            told = {1: "is better", -1: "is worse"}
            words = told.get(more.direction, "is not shown to be better")
            yield kind, clear, f"{_WAYS[kind]} {words} than {called}: {_by(more)}."

    def _higher(self, bar: Line, untuned: Sequence[Line]) -> Iterator[str]:
        """That another row is higher on test, where one is."""
        scores = [float(line.rows["score"].mean()) for line in untuned]
        most = max(scores)
        if most > float(bar.rows["score"].mean()) + TIE:
            title = untuned[scores.index(most)].title
            yield (f"Validation takes {bar.title} of {len(untuned)} rows without tuning; on test "
                   f"{title} is higher ({points(100 * most)}).")  # fmt: skip

    def over(self, choice: "_Choice", other: "Line | _Choice") -> Crossed:
        """What a choice has over a row, or over another choice, on the same tasks and seeds."""
        line = other if isinstance(other, Line) else other.line
        return difference(choice.rows, choice.rows["calibrated"], line, self.examples, _OVER)

    def _level(self, what: str, other: "Line | _Choice", best: "_Choice") -> Level:
        name = other.title if isinstance(other, Line) else other.name
        return Level(what, name, 100 * float(other.rows["score"].mean()), self.over(best, other))

    def _untuned(self) -> Iterator[Line]:
        """Empty first, each as it is and calibrated."""
        for row, scores in UNTUNED.items():
            every = self.here[(self.here["row"] == row) & (self.here["kind"] == "reference")]
            for label, rows in read_how(every):
                rows = rows.drop_duplicates("task").drop(columns="seed")
                for score in scores:
                    yield from self._line(rows, titled(ROW_NAMES[row], label), row, score, ["task"])

    def _lines(self, rows: pd.DataFrame, key: list[str], kind: str) -> list[Line]:
        """Of all candidates with every task and seed those that validation may choose."""
        lines: list[Line] = []
        keys = [name for name in key if name in rows]
        named = rows[keys].astype("object").where(rows[keys].notna(), "")
        rows = rows.assign(candidate=pd.factorize(pd.MultiIndex.from_frame(named))[0])
        rows = rows.drop_duplicates(["candidate", "task", "seed"])
        for score in (PLAIN, CALIBRATED):
            validation = hidden(score)
            if score not in rows or validation not in rows:
                continue
            known = rows[rows[score].notna() & rows[validation].notna()]
            for candidate in self._near(known, validation):
                mine = known[known["candidate"] == candidate]
                name = "Direct" if kind == "direct" else self._called(mine.iloc[0])
                lines += self._line(mine, name, kind, score, ["task", "seed"])
        return lines

    def _near(self, rows: pd.DataFrame, validation: str) -> list[int]:
        """Complete candidates that are as good as the best on all seeds, or on all but one."""
        counts = rows.groupby("candidate").size()
        whole = rows[rows["candidate"].isin(counts.index[counts == len(self.units)])]
        means = whole.groupby(["candidate", "seed"])[validation].mean().unstack("seed")
        if means.empty:
            return []
        values = means.to_numpy(dtype=np.float64)
        total, seeds = values.sum(axis=1, keepdims=True), values.shape[1]
        without = (total - values) / (seeds - 1) if seeds > 1 else values
        each = np.concatenate([total / seeds, without], axis=1)
        near = (each >= each.max(axis=0) - TIE - 1e-9).any(axis=1)
        order = means.index[near][np.argsort(-total[near, 0], kind="stable")]
        return [int(name) for name in order[:_MOST]]

    def _line(
        self, rows: pd.DataFrame, name: str, row: str, score: str, on: list[str]
    ) -> Iterator[Line]:
        if score not in rows:
            return
        told = rows.assign(score=rows[score], validation=rows.get(hidden(score), np.nan))
        kept = [name for name in (*on, "cell", "score", "validation", *PRICED) if name in told]
        told = told.loc[told["score"].notna(), kept]
        both = self.units.merge(told, on=on)
        if len(both) == len(self.units):
            calibrated = score == CALIBRATED
            # References need nothing; what calibration needs is the label scores of the texts.
            price = Price() if row in UNTUNED else price_of(both, calibrated)
            yield Line(name, "reference" if row in UNTUNED else row, row, calibrated, both, price)

    def _called(self, row: pd.Series) -> str:
        """How a candidate is called."""
        label = tuning_label(str(row["combination"] or "") if pd.notna(row["combination"]) else "")
        if row["family"] == HARD:
            line = line_of(row["method"], str(row["vocabulary"] or "all"))
            words = _HARD.get(line, f", {line}")
            sizes = [f"{sign}={row[name]}" for name, sign in (("s", "s"), ("k", "K"))
                     if line == "agreement" and self.moved[name].nunique() > 1]  # fmt: skip
            name = f"{METHOD_NAMES.get(row['method'], row['method'])}{words} {', '.join(sizes)}"
        else:
            name = row_label(row["row"], str(row["weight_label"] or ""))
            if self.moved.loc[self.moved["family"] != HARD, "way"].nunique() > 1:
                name = f"{name}, {row['way']},"
        return f"{titled(name.strip(), label)} from {sources_name(row['sources'])}"

    def _source(self, best: "_Choice") -> Level | None:
        """What the prompts that were carried over have on the models they were tuned on."""
        known = self.frame.drop_duplicates("cell").set_index("cell")
        rows = []
        for unit, cell in zip(best.rows["unit"], best.rows["cell"], strict=True):
            names = [name for name in json.loads(known.loc[cell, "inputs"]) if name in known.index]
            if not names:
                return None
            rows.append({"unit": unit, "score": float(known.loc[names, "score"].mean()),
                         "cell": names[0] if len(names) == 1 else None})  # fmt: skip
        found = self.units.merge(pd.DataFrame(rows), on="unit")
        line = Line("its tuning on the source", "source", "source", False, found, Price())
        return self._level("on its own source", line, best)


class _Choice:
    """What validation chooses among lines, each seed's on the other seeds."""

    def __init__(self, lines: Sequence[Line], place: _Target) -> None:
        found = table(lines, place.units)
        among = range(len(found.lines))
        chosen = found.chosen(among)
        chosen = chosen * len(found.seeds) if len(chosen) < len(found.seeds) else chosen
        best = found.lines[found.best(among)]
        self.rows = rows_of(found, chosen, place.units)
        others = sorted({found.lines[at].title for at in chosen} - {best.title})
        self.name = f"{best.name}, calibrated" if best.calibrated else best.name
        self.others = others
        # A choice as a line of its own, so that another choice can be held against it.
        self.line = Line(best.name, best.kind, best.row, best.calibrated, self.rows, best.price)
        self.score = 100 * float(self.rows["score"].mean())


_WAYS = {
    "direct": "Tuning on the target with its labels",
    "readout": "Reading the target out",
}
_INSTEAD = {
    "direct": "tune on the target with its labels",
    "readout": "read the target out (no prompt)",
}
_DO = {
    "Empty": "use the target without a prompt (Empty)",
    "Empty + calibration": "calibrate and use no prompt (Empty + calibration)",
    "Manual": "use the written template (Manual)",
    "Manual + calibration": "calibrate the written template (Manual + calibration)",
    "Constant": "use no model (Constant)",
}


def _by(more: Crossed) -> str:
    ends = span(more.low, more.high)
    return f"{points(more.mean, signed=True)} points {ends}".strip()
