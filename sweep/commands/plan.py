"""What `sweep plan` says, as data and as text."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sweep.ledger.folder import check_binding
from sweep.ledger.store import counted, held
from sweep.planning.plan import Plan
from sweep.planning.preflight import check_local
from sweep.planning.twins import done_for_two
from sweep.planning.work import work_of
from sweep.search.plan import any_plan
from sweep.spec.spec import SweepSpec
from sweep.timing.estimate import basis, estimate, format_estimate
from sweep.timing.readings import readings
from sweep.timing.search import search_estimate
from trainables.core.settings.base import CHAT
from trainables.core.texts import some
from trainables.models.chats import frames_note, has_chat_template

_CHOICES = 6


def plan_counts(
    spec: SweepSpec,
    out: Path | None = None,
    store: Path | None = None,
    profile: Path | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Cells of a spec, finished ones, ``work`` left and under ``estimate`` its time. Runs nothing.

    Args:
        out: a sweep's folder whose cells need not run; None for none.
        store: the store's folder; None for none.
        profile: a throughput profile or a sweep's folder; None takes this machine's.
        workers: most packs at once; None leaves it to the resources.

    Raises:
        InputError: a mistake in local models or tasks, or a folder of another spec.
    """
    plan = any_plan(spec)
    check_local(plan.resolved)
    rates = basis(profile)
    if isinstance(plan, Plan):
        done, stored = held(plan, out, store)
        time = estimate(plan, done | stored, rates, workers)
        work = work_of(plan.remaining(done | stored), passes=readings(plan.resolved))
        remarks = _remarks(plan)
        return {
            **counted(plan, done, stored),
            "work": work._asdict(),
            "estimate": time,
            **({"remarks": remarks} if remarks else {}),
        }
    if out is not None:
        check_binding(out, plan)
    time = search_estimate(plan, lambda some: set().union(*held(some, out, store)), rates, workers)
    return {**plan.counts(), "estimate": time}


def _remarks(plan: Plan) -> list[str]:
    """Who reads in a chat template, as far as local files tell."""
    methods = plan.resolved.spec.methods.values()
    if all(settings.template != CHAT for each in methods for settings in each.variants):
        return []
    models = plan.resolved.models.items()
    seen = {alias: has_chat_template(model) for alias, model in models}
    chat, plain = ([name for name, has in seen.items() if has is way] for way in (True, False))
    twice = done_for_two(plan.packs)
    return [
        *([frames_note(chat, plain)] if chat or plain else []),
        *([f"with and without template chat the same: {', '.join(twice)} tuned once for both"]
          if twice else []),
    ]  # fmt: skip


class Told(NamedTuple):
    """What is said of a plan.

    Attributes:
        before: lines.
        rows: rows with how many cells they have, or parameters of a search with what they may be.
        after: lines.
    """

    before: list[str]
    rows: dict[str, int | str]
    after: list[str]


def told(counts: Mapping[str, Any]) -> Told:
    """Counts as :func:`plan_counts` gives them, in words."""
    before, rows, after = _of_search(counts) if counts.get("search") else _of_grid(counts)
    work = [f"  {_work(counts['work'])}"] if "work" in counts else []
    time = [f"  {format_estimate(counts['estimate'])}"] if "estimate" in counts else []
    remarks = [f"  {remark}" for remark in counts.get("remarks", ())]
    return Told(before, rows, [*after, *remarks, *work, *time])


def format_plan(counts: Mapping[str, Any]) -> str:
    before, rows, after = told(counts)
    width = max(map(len, rows), default=0)
    return "\n".join(
        [*before, *(f"    {name.ljust(width)}  {said}" for name, said in rows.items()), *after]
    )


def _of_grid(counts: Mapping[str, Any]) -> Told:
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts["kinds"].items())
    return Told(
        [
            f"sweep {counts['name']} (spec {counts['spec_hash']})",
            f"  {counts['cells']} cells: {kinds}",
        ],
        dict(counts["rows"]),
        [
            f"  {_tunings(counts)} in {counts['packs']} packs",
            *_combinations(counts["combinations"]),
            f"  {counts['done']} done, {_stored(counts)}{counts['to_run']} to run",
        ],
    )


def _work(work: Mapping[str, int]) -> str:
    """What is left to do, no finer than it is counted."""
    texts, tokens = (f"{_rounded(work[name]):,}" for name in ("texts", "tokens"))
    backward = (
        f" ({_rounded(work['backward']):,} of them also backward)" if work["backward"] else ""
    )
    return (
        f"work: {work['steps']:,} optimisation steps, about {texts} texts through models{backward},"
        f" {tokens} tokens"
    )


def _rounded(count: int) -> int:
    """Three digits of a number that is larger."""
    zeros = int(10 ** max(len(str(count)) - 3, 0))
    return round(count / zeros) * zeros


def _stored(counts: Mapping[str, Any]) -> str:
    return f"{counts['in_store']} in the store, " if counts.get("in_store") else ""


def _tunings(counts: Mapping[str, Any]) -> str:
    tunings, searches = counts["tunings"], counts["searches"]
    direct = f" ({counts['direct']} on a target: row Direct)" if counts["direct"] else ""
    if not sum(tunings.values()):
        return f"{searches} searches of hard prompts{direct}"
    text = f"{tunings['independent']} independent{direct} and {tunings['joint']} joint tunings"
    return f"{text}, {searches} searches of hard prompts" if searches else text


def _combinations(combinations: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lines on combinations of settings, each tuned by itself; none where there is one."""
    if not combinations:
        return []
    texts = [
        ", ".join(f"{name} {value}" for name, value in item.items() if value is not None)
        for item in combinations
    ]
    return [f"  {len(texts)} combinations of settings:", *(f"    {text}" for text in texts)]


def _of_search(counts: Mapping[str, Any]) -> Told:
    size = "a continuum of" if counts["points"] is None else f"{counts['points']:,}"
    low, high = counts["cells_per_point"]
    cells = f"{low}" if low == high else f"{low} to {high}"
    bounds = ", ".join(f"{value:g} {key}" for key, value in counts["budget"].items())
    goals = ", ".join(f"{way} {name}" for name, way in counts["objectives"])
    return Told(
        [
            f"search {counts['name']} (spec {counts['spec_hash']}, study {counts['study']})",
            f"  {size} points of {cells} cells each, up to {bounds}",
            f"  {goals}; sampler {counts['sampler']}, pruner {counts['pruner']}",
            *(f"  subject to {name}" for name in counts["constraints"]),
        ],
        {name: _domain(domain) for name, domain in counts["parameters"].items()},
        [],
    )


def _domain(domain: Mapping[str, Any]) -> str:
    """What a parameter of a search may be, for people."""
    if "choices" in domain:
        names = [
            "+".join(item) if isinstance(item, list) else str(item) for item in domain["choices"]
        ]
        return some(names, _CHOICES)
    how = ["whole numbers"] if domain["int"] and domain["step"] == 1 else []
    if domain["step"] is not None and not how:
        how.append(f"in steps of {domain['step']:g}")
    if domain["log"]:
        how.append("on a log scale")
    return f"{domain['low']:g} to {domain['high']:g}" + (f" ({', '.join(how)})" if how else "")
