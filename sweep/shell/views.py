"""What each command shows on a terminal, from the data that it prints as text in a pipe."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweep.shell.tables import Part, Sheet

if TYPE_CHECKING:
    from sweep.commands.recommend import Advice, Learnt

_NONE = "–"


def plan_view(counts: Mapping[str, Any]) -> Iterator[Part]:
    """Rows with their cells, or parameters with their domains; the lines around them."""
    from sweep.commands.plan import told

    before, rows, after = told(counts)
    columns = ("parameter", "values") if counts.get("search") else ("row", ">cells")
    yield from before
    yield Sheet(
        columns,
        [(name, f"{said:,}" if isinstance(said, int) else said) for name, said in rows.items()],
    )
    yield from after


def status_view(status: Mapping[str, Any]) -> Iterator[Part]:
    """How far a sweep is; the best prompts and what failed as tables."""
    from sweep.commands import status as said
    from trainables.core.weight import Weight

    yield from said.head_lines(status)
    kinds = [
        (kind, f"{count['done']:,}", f"{count['planned']:,}")
        for kind, count in status["kinds"].items()
    ]
    yield Sheet(("kind", ">done", ">planned"), kinds)
    yield from said.points_lines(status)
    yield from said.rate_lines(status)
    packs = [
        (pack["label"], f"{pack['cells']:,}", pack["phase"], f"{pack['share']:.0%}")
        for pack in status["packs"]
    ]
    yield Sheet(("now", ">cells", "phase", ">share"), packs)
    best = [
        (
            row["target"],
            row["task"],
            "+".join(row["sources"]),
            row["row"],
            Weight.in_cell(row).label or _NONE,
            str(row["seed"]),
            f"{row['validation_score']:.3f}",
            f"{row['score']:.3f}",
        )
        for row in status["best"]
    ]
    columns = ("target", "task", "sources", "row", ">λ", ">seed", ">validation", ">test")
    yield Sheet(columns, best, "best on validation so far")
    yield from said.tracker_lines(status)
    yield from said.damage_lines(status)
    shown = status["failures"][: said.SHOWN_FAILURES]
    failures = [
        (
            "+".join(item["sources"]) or item["row"],
            item["target"],
            item["task"],
            item["cell"],
            item["reason"],
        )
        for item in shown
    ]
    yield Sheet(("failed", "target", "task", "cell", "reason"), failures)
    if more := len(status["failures"]) - len(shown):
        yield f"  and {more} further failed cells"


def presets_view(found: Mapping[str, str]) -> Iterator[Part]:
    """Names and what they are for."""
    yield Sheet(("preset", "what it is for"), list(found.items()))
    yield "sweep presets NAME prints one; sweep plan NAME says what it would take"


def words_view(found: Sequence[Mapping[str, Any]]) -> Iterator[Part]:
    """Choices of label words, a table for each model and task."""
    from sweep.commands.label_words import ROWS, format_words
    from trainables.core.texts import written

    for entry, block in zip(found, format_words(found).split("\n\n"), strict=False):
        away = [f">{row}, to paper A" for row in ROWS] if entry["published"] else []
        rows = []
        for item in entry["candidates"]:
            words = written(item["words"])
            if item["problem"]:
                said = item["problem"].partition(": ")[2].partition(";")[0]
                rows.append((words, *[_NONE] * (len(ROWS) + len(away)), said))
                continue
            scores = [
                f"{100 * item[row]['score']:.1f}{'*' if item[row]['degenerate'] else ''}"
                for row in ROWS
            ]
            off = [f"{100 * item['off'][row]:+.1f}" for row in ROWS] if away else []
            rows.append((words, *scores, *off, "nearest" if item["nearest"] else ""))
        columns = ("label words", *(f">{row}" for row in ROWS), *away, "")
        yield Sheet(columns, rows, block.splitlines()[0].strip())
    yield "* predicts one class only"


def advice_view(advice: Sequence["Advice"], shown: int = 10) -> Iterator[Part]:
    """Ranked source sets, a table for each list."""
    import math

    from sweep.commands.recommend import LISTS

    def number(value: float, form: str) -> str:
        return _NONE if math.isnan(value) else format(value, form)

    for item in advice:
        yield from item.verdict.splitlines()
        for (target, task, new), part in item.table.groupby(["target", "task", "new"], sort=False):
            past = new != "source"
            rows = [
                (
                    str(row["rank"]),
                    str(row["sources"]),
                    *([f"{100 * row['order']:+.1f}"] if past else []),
                    f"{row['agreement']:.3f}",
                    f"{row['cka']:.3f}",
                    f"{row['vocabulary_overlap']:.3f}",
                    number(row["reading_correlation"], "+.2f"),
                )
                for row in part.head(shown).to_dict("records")
            ]
            columns = (">#", "sources", *([">past mean"] if past else []),
                       ">agreement", ">CKA", ">overlap", ">reading ρ")  # fmt: skip
            about = f"{target}, {task} ({part['method'].iloc[0]}): {LISTS[str(new)]}"
            yield Sheet(columns, rows, about)
            if len(part) > shown:
                yield f"  … {len(part) - shown} more (--json prints all)"


def forecasts_view(learnt: "Learnt") -> Iterator[Part]:
    """What a sweep's features predict, a table for each kind of source sets."""
    from sweep.commands.recommend import EXPLORATORY, described, too_few

    if not learnt.forecasts:
        yield too_few(learnt)
    for item in learnt.forecasts:
        yield item.about
        yield from (check.sentence() for check in item.checks)
        columns = (EXPLORATORY, ">ρ within", ">blocks", ">regret (points)")
        yield Sheet(columns, described(item))


def doctor_view(found: Mapping[str, Any]) -> Iterator[Part]:
    """A line for each thing, by section."""
    from sweep.commands.doctor import SECTIONS

    rows = [
        ("" if number else name, line)
        for name, (_, told) in SECTIONS.items()
        for number, line in enumerate(told(found[name]))
    ]
    yield Sheet(("what", "found"), rows)
