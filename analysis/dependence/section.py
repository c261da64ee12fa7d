"""What transfer depends on, as the report's section: sentences, tables and figures as HTML."""

import base64
import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd
from markupsafe import Markup

from analysis.contrasts.effects import ROPE
from analysis.contrasts.verdict import QUESTIONS, explanations, verdict_text
from analysis.data.combinations import titled
from analysis.data.families import HARD, SOFT
from analysis.dependence.dependence import Dependence, Spread, dependence
from analysis.dependence.figures import (
    best_of_n_curve,
    critical_difference_diagram,
    interaction_plot,
    term_name,
    variance_bars,
)
from analysis.dependence.importance import noise_grid, noise_sentence
from analysis.dependence.power import power_grid, power_sentence
from analysis.dependence.tables import effect_grid, stability_grid
from analysis.present.grid import Grid, points, span
from analysis.present.words import ROW_NAMES
from analysis.soft.figures import drawing, encoded
from analysis.stats.bootstrap import Crossed
from analysis.stats.importance import LABEL
from analysis.stats.intervals import LEVEL
from analysis.stats.ranks import Ranking
from analysis.stats.shapley import REST
from analysis.stats.variance import Shares

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TITLES = {SOFT: "soft prompts", HARD: "hard prompts"}
_PERCENT = f"{100 * LEVEL:.0f} %"


def dependence_section(frame: pd.DataFrame, found: Sequence[Dependence] | None = None) -> Markup:
    """The section for every family of prompts that was carried over; empty where there is none.

    Args:
        frame: table of :func:`analysis.data.results.load`.
        found: of :func:`analysis.dependence.dependence.dependence`, where it is already worked out.

    Returns:
        ``<section>`` elements with ids ``dependence-soft`` and ``dependence-hard``.
    """
    items = dependence(frame) if found is None else found
    counts: Counter[str] = Counter()
    sections = []
    for item in items:
        counts[item.family] += 1
        sections.append(_section(item, counts[item.family]))
    return Markup("\n").join(sections)


def _section(item: Dependence, place: int) -> Markup:
    name = QUESTIONS[item.family].name
    anchor = item.family if place == 1 else f"{item.family}-{place}"
    parts = [
        Markup('<section id="dependence-{}">\n<h2>What transfer depends on: {}</h2>').format(
            anchor, titled(_TITLES[item.family], item.label)
        ),
        *_effects(item),
        *(part for spread in item.spreads for part in _variance(spread)),
        *_interaction(item.pairs, name),
        *_ranks(item.ranking),
        *_stability(item.stability),
        *_best(item.best),
        *_importance(item.importance),
        Markup("</section>"),
    ]
    return Markup("\n").join(parts)


def _effects(item: Dependence) -> list[Markup]:
    question = QUESTIONS[item.family]
    title = _h3(f"How much {question.words}")
    if item.verdict is None or item.detectable is None:
        return [title, _p(f"There is no pair of results to take {question.name} of.")]
    texts = [
        verdict_text(item.verdict),
        *explanations(item.verdict),
        bootstrap_sentence(item.verdict.answer),
        power_sentence(item.detectable),
    ]
    note = (
        f"Points, mean over models, tasks, targets and seeds with its {_PERCENT} interval over new "
        "ones of each (crossed). Cases are source set × task × target; a tie lies within "
        f"± {ROPE:g} points. Superiority: share of pairs above 0, ties half. p: the t-test that "
        "goes with the interval; Holm over the lines."
    )
    tables = [_table(effect_grid(table, column)) for column, table in item.effects.items()]
    if len(item.detectable.by_task) > 1:
        tables.append(_table(power_grid(item.detectable.by_task)))
    return [title, *map(_p, texts), _p(note, "quiet"), *tables]


def bootstrap_sentence(found: Crossed) -> str:
    """The plain crossed bootstrap beside the interval; empty without draws."""
    if not found.boot_high > found.boot_low:
        return ""
    ends = span(found.boot_low, found.boot_high)
    return f"The plain crossed bootstrap gives {ends}."


def _variance(item: Spread) -> list[Markup]:
    title = _h3(f"Where the spread of {item.what} lies")
    if item.shares.table.empty:
        return [title, _p(item.shares.note)]
    caption = (
        f"Share of the variance of single results by random effects; lines: {_PERCENT} "
        "intervals (crossed bootstrap, wider where levels are few). Shares describe this design."
    )
    with drawing() as new:
        picture = _figure(
            variance_bars(new, item.shares.table), f"Variance shares of {item.what}.", caption
        )
    return [title, _p(shares_sentence(item.shares, item.check)), picture]


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


def _ranks(found: Ranking) -> list[Markup]:
    title = _h3("Ranks over tasks")
    if found.note:
        described = ", ".join(
            f"{ROW_NAMES.get(str(row), str(row))} {rank:.1f}" for row, rank in found.ranks.items()
        )
        return [title, _p(f"Mean ranks: {described}." if described else ""), _p(found.note)]
    caption = (
        f"Mean rank of each kind of prompt over {found.blocks} tasks, 1 is best; "
        "bars join ranks that Nemenyi's test does not tell apart at 5 %. Ranks alone: sizes of "
        "differences do not enter."
    )
    with drawing() as new:
        picture = _figure(critical_difference_diagram(new, found), "Critical-difference diagram.",
                          caption)  # fmt: skip
    return [title, _p(_friedman(found)), picture]


def _friedman(found: Ranking) -> str:
    if math.isnan(found.p):
        return "All rows tie on every task."
    size = "< 0.001" if found.p < 0.001 else f"= {found.p:.3f}"
    return f"Friedman's test over {found.blocks} tasks: p {size}."


def _stability(table: pd.DataFrame) -> list[Markup]:
    if table.empty:
        return []
    note = "Every number computed anew without each model (as source, as target) and task; λ " \
        "chosen anew. Points; the model or task in brackets is the one left out."  # fmt: skip
    return [
        _h3("How much rests on one model or task"),
        _p(note, "quiet"),
        _table(stability_grid(table), texts=3),
    ]


def _best(table: pd.DataFrame) -> list[Markup]:
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


def _importance(table: pd.DataFrame) -> list[Markup]:
    if len(table) < 2:
        return []
    return [
        _h3("Importance of settings (PED-ANOVA)"),
        _p(LABEL, "quiet"),
        _p(noise_sentence(table)),
        _table(noise_grid(table)),
    ]


def _table(grid: Grid, texts: int = 0) -> Markup:
    """A grid of :mod:`analysis.dependence.tables`; its last ``texts`` columns are words."""
    numbers = len(grid.columns) - texts
    kinds = [Markup(' class="number"' if at < numbers else "") for at in range(len(grid.columns))]
    top = Markup("").join(
        Markup('<th scope="col"{}>{}</th>').format(kind, head)
        for kind, (head, _) in zip(kinds, grid.columns, strict=True)
    )
    rows = Markup("\n").join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            line.label,
            Markup("").join(
                Markup("<td{}>{}</td>").format(kind, entry.text)
                for kind, entry in zip(kinds, line.entries, strict=True)
            ),
        )
        for line in grid.lines
    )
    return Markup(
        '<div class="scroll">\n<table class="plain">\n<thead><tr><th scope="col">{}</th>{}</tr>'
        "</thead>\n<tbody>\n{}\n</tbody>\n</table>\n</div>"
    ).format(grid.heads[1], top, rows)


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
