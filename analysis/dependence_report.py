"""What transfer depends on, as the report's section: sentences, tables and figures as HTML."""

import base64
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
from markupsafe import Markup

from analysis.best_of_n import best_of_n
from analysis.bootstrap import Crossed
from analysis.dependence_figures import (
    best_of_n_curve,
    critical_difference_diagram,
    interaction_plot,
    term_name,
    variance_bars,
)
from analysis.effects import ROPE, effect_table, hard_differences, overall, paired
from analysis.families import HARD, SOFT, has, of_family
from analysis.figures import drawing, encoded
from analysis.importance import LABEL, importance
from analysis.layout import DASH, points, span
from analysis.power import Detectable, detectable_effects, seeds_needed
from analysis.ranks import Ranking, ranking
from analysis.shapley import REST, shapley_shares
from analysis.stability import NUMBERS, chosen_rows, leave_one_out
from analysis.statistics import LEVEL
from analysis.tables import sources_name
from analysis.variance import REPLICATES, Shares, variance_shares

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUESTIONS = {
    SOFT: ("Ours − Baseline", "joint tuning gains over independent tuning", "ours"),
    HARD: (
        "agreement − all words",
        "words that agree gain over the whole vocabulary",
        "agreement",
    ),
}
"""By family: name of the difference, what it is in words, and the row that is searched over."""
_TITLES = {SOFT: "soft prompts", HARD: "hard prompts"}
_GAIN = "gain_points"
_MANY = 20_000
_PERCENT = f"{100 * LEVEL:.0f} %"


def dependence_section(frame: pd.DataFrame) -> Markup:
    """The section for every family of prompts that was carried over; empty where there is none.

    Args:
        frame: table of :func:`analysis.results.load`.

    Returns:
        ``<section>`` elements with ids ``dependence-soft`` and ``dependence-hard``.
    """
    here = [name for name in QUESTIONS if has(frame[frame["kind"] == "transfer"], name)]
    return Markup("\n").join(_section(of_family(frame, family), family) for family in here)


def _section(frame: pd.DataFrame, family: str) -> Markup:
    name, words, row = QUESTIONS[family]
    pairs = _PAIRS[family](frame)
    moved = frame[(frame["kind"] == "transfer") & (frame["family"] == family)]
    moved = moved.assign(**{_GAIN: 100 * moved["gain_over_empty"]})
    parts = [
        Markup('<section id="dependence-{}">\n<h2>What transfer depends on: {}</h2>').format(
            family, _TITLES[family]
        ),
        *_effects(pairs, name, words),
        *_variance(moved, _GAIN, "the gain over Empty", family),
        *_variance(pairs, "difference", f"the difference {name}", family),
        *_interaction(pairs, name),
        *_ranks(moved, family),
        *_stability(frame, family),
        *_best(moved[moved["row"] == row]),
        *_importance(moved[moved["row"] == row]),
        Markup("</section>"),
    ]
    return Markup("\n").join(parts)


def _soft_pairs(frame: pd.DataFrame) -> pd.DataFrame:
    """As :func:`analysis.effects.soft_differences`, the weights chosen in one pass."""
    moved = frame[(frame["kind"] == "transfer") & (frame["family"] == SOFT)]
    on = ["combination", "sources", "task", "target", "seed"]
    return paired(chosen_rows(moved), moved[moved["row"] == "baseline"], on)


_PAIRS = {SOFT: _soft_pairs, HARD: hard_differences}


def _effects(pairs: pd.DataFrame, name: str, words: str) -> list[Markup]:
    title = _h3(f"How much {words}")
    if pairs.empty:
        return [title, _p(f"There is no pair of results to take {name} of yet.")]
    found = overall(pairs)
    texts = [effect_sentence(name, found), power_sentence(detectable_effects(pairs))]
    note = (
        f"Points, mean over models, tasks, targets and seeds with its {_PERCENT} interval over new "
        "ones of each (crossed). Cases are source set × task × target; a tie lies within "
        f"± {ROPE:g} points. Superiority: share of pairs above 0, ties half. Wilcoxon on cases, "
        "taken as independent; Holm over the lines."
    )
    shown = [title, *map(_p, texts), _p(note, "quiet")]
    for column, head in (("task", "Task"), ("sources", "Source set")):
        if pairs[column].nunique() > 1:
            shown.append(_effect_table(effect_table(pairs, [column]), column, head))
    return shown


def effect_sentence(name: str, found: Crossed) -> str:
    """A mean difference with both intervals, in a sentence or two."""
    text = f"{name} is {points(found.mean, signed=True)} points over {found.n:,} pairs"
    if not found.high > found.low:
        return f"{text}; no interval can be given. {found.note}".strip()
    text += f", {_PERCENT} interval {span(found.low, found.high)}"
    if found.boot_low == found.boot_low:
        text += f" (plain crossed bootstrap {span(found.boot_low, found.boot_high)})"
    verdict = "it excludes 0" if found.direction else "it includes 0: no clear effect"
    return f"{text}; {verdict}. {found.note}".strip()


def power_sentence(found: Detectable) -> str:
    """What the design could have found, and the seeds it would take for one point."""
    texts = []
    spread = found.spread
    if found.one_case == found.one_case:
        seeds = seeds_needed(1.0, spread.between_seeds)
        many = f"; finding 1 point there takes {seeds:,} seeds" if seeds else ""
        texts.append(
            f"With {spread.seeds:g} seeds a single case shows differences from "
            f"{points(found.one_case)} points up (two-sided paired t-test, power 80 %, level 5 %)"
            f"{many}."
        )
    if found.over_cases == found.over_cases:
        texts.append(
            f"The mean over {spread.cases} cases shows differences from {points(found.over_cases)} "
            f"points up if cases were independent (spread between cases "
            f"{points(spread.between_cases)}, between seeds {points(spread.between_seeds)} points)."
        )
    return " ".join([*texts, found.note]).strip()


def _variance(frame: pd.DataFrame, value: str, what: str, family: str) -> list[Markup]:
    if frame.empty or frame[value].notna().sum() == 0:
        return []
    # Singles have sets of one model: their spread is another design's.
    part = frame[frame["row"] != "single"] if family == SOFT and "row" in frame else frame
    part = part if len(part) else frame
    replicates = REPLICATES if len(part) <= _MANY else REPLICATES // 2
    found = variance_shares(part, value, replicates=replicates)
    title = _h3(f"Where the spread of {what} lies")
    if found.table.empty:
        return [title, _p(found.note)]
    check = shapley_shares(part, value)
    caption = (
        f"Share of the variance of single results by random effects; lines: {_PERCENT} crossed "
        "bootstrap. Shares describe this design."
    )
    with drawing() as new:
        picture = _figure(variance_bars(new, found.table), f"Variance shares of {what}.", caption)
    return [title, _p(shares_sentence(found, check)), picture]


def shares_sentence(found: Shares, check: pd.DataFrame) -> str:
    """The largest shares, the Shapley check, the design's fill and what weakens it all."""
    top = found.table.sort_values("share", ascending=False, kind="stable").head(3)
    named = ", ".join(
        f"{term_name(line['term'])} {100 * line['share']:.0f} %{_ends(line['low'], line['high'])}"
        for line in top.to_dict("records")
    )
    mains = check[check["term"] != REST].sort_values("share", ascending=False, kind="stable")
    other = ", ".join(
        f"{term_name(term)} {100 * share:.0f} %"
        for term, share in mains.head(3).itertuples(index=False)
    )
    fill = (
        f"The design has {found.cells_present:,} of {found.cells_expected:,} combinations "
        f"({100 * found.fill:.0f} %)."
    )
    shapley = f"Shapley shares of R² of the main factors: {other}." if other else ""
    return " ".join(filter(None, [f"Largest: {named}.", shapley, fill, found.note]))


def _interaction(pairs: pd.DataFrame, name: str) -> list[Markup]:
    if pairs.empty:
        return []
    lines = "sources" if pairs["sources"].nunique() > 1 else "target"
    if pairs["task"].nunique() < 2 or pairs[lines].nunique() < 2:
        return []
    label = f"{name}, points"
    caption = "Mean over seeds and targets. Lines that run alike: source set and task add up; " \
        "lines that cross: the best source set depends on the task."  # fmt: skip
    shown = [_h3("Source set and task together")]
    with drawing() as new:
        figure = interaction_plot(new, pairs, "difference", "task", lines, label)
        shown.append(_figure(figure, f"{name} across tasks by {lines}.", caption))
        if pairs["target"].nunique() > 1 and lines != "target":
            figure = interaction_plot(new, pairs, "difference", "task", "target", label)
            caption = "The same by target, mean over seeds and source sets."
            shown.append(_figure(figure, f"{name} across tasks by target.", caption))
    return shown


def _ranks(moved: pd.DataFrame, family: str) -> list[Markup]:
    rows = moved
    if family == SOFT:
        rows = pd.concat([chosen_rows(moved), moved[moved["row"] != "ours"]])
    found = ranking(rows, "row", ["task", "target"])
    title = _h3("Ranks over tasks and targets")
    if found.note:
        return [title, _p(found.note)]
    caption = (
        f"Mean rank of each kind of prompt over {found.blocks} blocks (task × target), 1 is best; "
        "bars join ranks that Nemenyi's test does not tell apart at 5 %. Ranks alone: sizes of "
        "differences do not enter."
    )
    with drawing() as new:
        picture = _figure(critical_difference_diagram(new, found), "Critical-difference diagram.",
                          caption)  # fmt: skip
    return [title, _p(_friedman(found)), picture]


def _friedman(found: Ranking) -> str:
    if math.isnan(found.p):
        return "All rows tie in every block."
    size = "< 0.001" if found.p < 0.001 else f"= {found.p:.3f}"
    return f"Friedman's test over {found.blocks} blocks: p {size}."


def _stability(frame: pd.DataFrame, family: str) -> list[Markup]:
    table = leave_one_out(frame, NUMBERS[family])
    if table.empty:
        return []
    lines = []
    for number, part in table.groupby("number", sort=False):
        entries = [points(part["all"].iloc[0], signed=True)]
        for kind in ("model", "task"):
            known = part[(part["left_out"] == kind) & part["value"].notna()]
            entries.append(_range(known))
        flips = part[part["flips"].astype(bool)]["name"]
        entries.append(", ".join(flips) or "none")
        lines.append((str(number), entries))
    note = "Every number computed anew without each model (as source, as target) and task; λ " \
        "chosen anew. Points; the model or task in brackets is the one left out."  # fmt: skip
    heads = ("All", "Without one model", "Without one task", "Sign changes without")
    return [
        _h3("How much rests on one model or task"),
        _p(note, "quiet"),
        _table("Number", heads, lines, texts=3),
    ]


def _range(known: pd.DataFrame) -> str:
    if known.empty:
        return DASH
    low, high = known.iloc[known["value"].argmin()], known.iloc[known["value"].argmax()]
    return (
        f"{points(low['value'], signed=True)} ({low['name']}) to "
        f"{points(high['value'], signed=True)} ({high['name']})"
    )


def _best(candidates: pd.DataFrame) -> list[Markup]:
    table = best_of_n(candidates)
    if len(table) < 2:
        return []
    first, last = table.iloc[0], table.iloc[-1]
    text = (
        f"Choosing the best of {int(last['n'])} candidates per task, target and seed on validation "
        f"brings {points(100 * (last['chosen'] - first['chosen']), signed=True)} points on test "
        f"over a random one; validation promises "
        f"{points(100 * (last['validation'] - first['validation']), signed=True)}."
    )
    with drawing() as new:
        picture = _figure(
            best_of_n_curve(new, table),
            "Expected score against the number of candidates.",
            "Expected over random draws of n candidates, mean over tasks, targets and seeds.",
        )
    return [_h3("What a larger search brings"), _p(text), picture]


def _importance(candidates: pd.DataFrame) -> list[Markup]:
    table = importance(candidates)
    if len(table) < 2:
        return []
    lines = [
        (term_name(str(setting)), [f"{100 * share:.0f} %", str(values)])
        for setting, share, values in table.itertuples(index=False)
    ]
    return [
        _h3("Importance of settings (PED-ANOVA)"),
        _p(LABEL, "quiet"),
        _table("Setting", ("Importance", "Values"), lines),
    ]


def _effect_table(table: pd.DataFrame, column: str, head: str) -> Markup:
    lines = [
        (
            sources_name(str(line[column])),
            [
                points(line["mean"], signed=True),
                span(line["low"], line["high"]),
                f"{line['win']} / {line['tie']} / {line['loss']}",
                f"{line['superiority']:.2f}",
                _p_value(line["p"]),
                _p_value(line["holm"]),
                str(line["n"]),
            ],
        )
        for line in table.to_dict("records")
    ]
    heads = ("Mean", f"{_PERCENT} interval", "Win / tie / loss", "Superiority", "Wilcoxon p",
             "Holm p", "n")  # fmt: skip
    return _table(head, heads, lines)


def _table(
    first: str, heads: Sequence[str], lines: Sequence[tuple[str, Sequence[str]]], texts: int = 0
) -> Markup:
    """A table; its last ``texts`` columns are words."""
    kinds = [Markup("")] * len(heads)
    numbers = len(heads) - texts
    kinds[:numbers] = [Markup(' class="number"')] * numbers
    top = Markup("").join(
        Markup('<th scope="col"{}>{}</th>').format(kind, head)
        for kind, head in zip(kinds, heads, strict=True)
    )
    rows = Markup("\n").join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            name,
            Markup("").join(
                Markup("<td{}>{}</td>").format(kind, entry)
                for kind, entry in zip(kinds, entries, strict=True)
            ),
        )
        for name, entries in lines
    )
    return Markup(
        '<div class="scroll">\n<table class="plain">\n<thead><tr><th scope="col">{}</th>{}</tr>'
        "</thead>\n<tbody>\n{}\n</tbody>\n</table>\n</div>"
    ).format(first, top, rows)


def _figure(figure: "Figure", alt: str, caption: str) -> Markup:
    uri = f"data:image/svg+xml;base64,{base64.b64encode(encoded(figure, 'svg')).decode()}"
    return Markup(
        '<figure>\n<img src="{}" alt="{}">\n<figcaption>{}</figcaption>\n</figure>'
    ).format(uri, alt, caption)


def _p(text: str, kind: str = "") -> Markup:
    name = Markup(' class="{}"').format(kind) if kind else Markup("")
    return Markup("<p{}>{}</p>").format(name, text) if text else Markup("")


def _h3(text: str) -> Markup:
    return Markup("<h3>{}</h3>").format(text)


def _ends(low: float, high: float) -> str:
    return "" if low != low else f" [{100 * low:.0f}, {100 * high:.0f}]"


def _p_value(p: float) -> str:
    if p != p:
        return DASH
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
