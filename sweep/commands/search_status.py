"""What `sweep status` says of a search, from its folder alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweep.search.records import Outcome, read_study, studies_in
from sweep.search.study import JOURNAL
from sweep.search.table import parameters_of

_SHOWN = 5


def search_status(folder: Path, search: Mapping[str, Any]) -> dict[str, Any]:
    """How far a search is; ``search`` is that entry of its ``sweep.json``.

    Returns:
        ``study``, ``budget``, numbers of points ``complete``, ``pruned``, ``failed``, ``running``
        and ``warm``, ``over`` (the budget of trials is spent), ``best`` (points that no other
        beats: point, values, parameters) and ``reasons`` (counts of failures by reason).
    """
    journal = folder / JOURNAL
    outcomes: tuple[Outcome, ...] = ()
    if search["study"] in studies_in(journal):
        outcomes = read_study(journal, search["study"]).outcomes
    # A point that failed and was tried again is known by what became of it last.
    last = {outcome.point.key: outcome for outcome in outcomes}
    own = [outcome for outcome in last.values() if not outcome.warm]
    counts = {
        state: sum(outcome.state == state for outcome in own)
        for state in ("complete", "pruned", "failed", "running")
    }
    trials = search["budget"].get("trials")
    reasons: dict[str, int] = {}
    for outcome in own:
        if outcome.state == "failed":
            reason = outcome.reason or "no reason is known"
            reasons[reason] = reasons.get(reason, 0) + 1
    return {
        "study": search["study"],
        "budget": search["budget"],
        **counts,
        "warm": len(last) - len(own),
        "over": trials is not None and counts["complete"] + counts["pruned"] >= trials,
        "best": [
            {
                "point": outcome.number,
                "values": dict(outcome.values),
                "parameters": parameters_of(outcome, search["parameters"]),
            }
            for outcome in best_of(list(last.values()), search["objectives"])[:_SHOWN]
        ],
        "reasons": reasons,
    }


def best_of(outcomes: Sequence[Outcome], objectives: Sequence[Sequence[str]]) -> list[Outcome]:
    """With one objective the feasible points, best first; with several the Pareto front."""
    sign = [(name, 1.0 if way == "maximize" else -1.0) for name, way in objectives]
    complete = [item for item in outcomes if item.state == "complete" and item.feasible]

    def values(item: Outcome) -> tuple[float, ...]:
        return tuple(way * item.values[name] for name, way in sign)

    ranked = sorted(complete, key=lambda item: (values(item), -item.number), reverse=True)
    if len(sign) == 1:
        return ranked
    return [one for one in ranked if not any(_beats(values(two), values(one)) for two in ranked)]


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))


def search_lines(found: Mapping[str, Any]) -> list[str]:
    bounds = ", ".join(f"{value:g} {name}" for name, value in found["budget"].items())
    counts = ", ".join(
        f"{found[state]} {state}"
        for state in ("complete", "pruned", "running", "failed")
        if found[state]
    )
    learnt = f", {found['warm']} learnt from older studies" if found["warm"] else ""
    lines = [f"  points: {counts or 'none yet'} (of up to {bounds}){learnt}"]
    if found["best"]:
        lines.append("  best points on validation:")
    for row in found["best"]:
        values = ", ".join(f"{name} {value:.4g}" for name, value in row["values"].items())
        chosen = ", ".join(f"{_short(name)} {_shown(x)}" for name, x in row["parameters"].items())
        lines.append(f"    {values}: {chosen}")
    lines += [f"  failed: {count} points: {reason}" for reason, count in found["reasons"].items()]
    return lines


def _short(name: str) -> str:
    setting = name.rpartition(".")[2]
    return "λ" if setting == "lambda" else setting


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
