"""``sweep recommend`` on a spec with ``task_transfer``: which source task's prompt to start from.

How like a new task the source tasks are is told by early prompts, of ``embedding_steps`` steps
each. Those that finished sweeps or the store have are taken from there; the rest is tuned here.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.commands.recommend import _plain
from sweep.ledger.ledger import Ledger
from sweep.ledger.prompt_file import tensor_in
from sweep.ledger.store import Store, store_folder
from sweep.planning.plan import Plan, make_plan
from sweep.planning.tasks import Looked, looked_at
from sweep.spec.spec import SweepSpec
from trainables.core.cells import Cell
from trainables.core.registries import SIMILARITIES
from trainables.errors import InputError, check_known

if TYPE_CHECKING:
    import pandas as pd

    from analysis.starts.choice import Skill

UNTOLD = "per_token"
"""The similarity that orders source tasks where nothing was learnt, fixed before any outcome."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class TaskAdvice:
    """Ranked source tasks.

    Attributes:
        verdict: how far the order can be trusted.
        rule: what orders them, a key of :data:`analysis.starts.choice.ORDERS`.
        skill: what such an order was worth in finished sweeps; None where there are none.
        table: one row a model, target task (``task``) and source task (``origin``), best first: the
            similarities, ``past_mean`` (0 to 1, NaN where nothing is known) and ``rank``.
    """

    verdict: str
    rule: str
    skill: "Skill | None"
    table: "pd.DataFrame"

    def to_json(self) -> dict[str, Any]:
        """JSON-able; what is not known is null."""
        better = self.skill is not None and self.skill.better
        return {
            "verdict": self.verdict,
            "order": self.rule,
            "better_than_chance": better,
            "skill": self.skill and {**_plain(asdict(self.skill)), "better_than_chance": better},
            "recommendations": [
                _plain({str(key): value for key, value in row.items()})
                for row in self.table.to_dict("records")
            ],
        }


def recommend_tasks(
    spec: SweepSpec, finished: Sequence[Path] = (), model: str | None = None,
    say: Say = lambda line: None,
) -> TaskAdvice:  # fmt: skip
    """Rank the source tasks of a spec for each of its target tasks.

    Args:
        spec: with a section ``task_transfer``; its first combination of settings counts.
        finished: folders of finished sweeps to learn from.
        model: one of the spec's sources; all if None.
        say: takes a line for each thing worth telling.

    Raises:
        InputError: no early prompts are asked for, an unknown model or folder, or what a run of the
            spec would be refused for.
    """
    plan = make_plan(spec)
    if model is not None:
        check_known(model, plan.resolved.sources, "--target")
    looked = [item for item in looked_at(plan.resolved) if model in (None, item.model)]
    if not looked:
        raise InputError(
            "task_transfer.embedding_steps: found null; allowed: a whole number from 1, as early"
            " prompts tell how like tasks are"
        )
    known = _learnt(finished)
    return _advise(_alike(looked, _prompts(plan, looked, finished, say)), known)


def _alike(looked: Iterable[Looked], prompts: Mapping[str, Any]) -> "pd.DataFrame":
    """Similarities of each target task and its source tasks, mean over seeds."""
    import pandas as pd

    rows = [
        {"model": item.model, "task": item.task, "origin": name,
         **{each: measure(prompts[cell.id], prompts[item.own.id])
            for each, measure in SIMILARITIES.items()}}
        for item in looked
        if item.own.id in prompts
        for name, cell in item.early.items()
        if cell.id in prompts
    ]  # fmt: skip
    by = ["model", "task", "origin"]
    table = pd.DataFrame(rows, columns=[*by, *SIMILARITIES])
    return table.groupby(by, sort=False, as_index=False).mean()


def _advise(table: "pd.DataFrame", known: "pd.DataFrame | None") -> TaskAdvice:
    from analysis.starts.choice import ORDERS, PAST, past_means, skill

    if known is None or known.empty:
        why = "was given (--from DIR)" if known is None else "started from other tasks' prompts"
        verdict = (
            f"No finished sweep {why}: source tasks are ordered by {ORDERS[UNTOLD]} alone, and"
            " nothing says yet that it predicts a gain; nothing is validated."
        )
        return TaskAdvice(
            verdict, UNTOLD, None, _ranked(table.assign(**{PAST: float("nan")}), UNTOLD)
        )
    found, table = skill(known), table.assign(**{PAST: past_means(known, table)})
    return TaskAdvice(found.sentence(), found.rule, found, _ranked(table, found.rule))


def _ranked(table: "pd.DataFrame", rule: str) -> "pd.DataFrame":
    table = table.sort_values(
        ["model", "task", rule, "origin"], ascending=[True, True, False, True], ignore_index=True
    )
    rank = table.groupby(["model", "task"])[rule].rank(method="min", ascending=False)
    table.insert(0, "rank", rank.fillna(len(table)).astype(int))
    return table


def _learnt(finished: Sequence[Path]) -> "pd.DataFrame | None":
    """What is known of finished sweeps; None where none was given."""
    from analysis.data.results import read
    from analysis.forecast.features import model_ids
    from analysis.soft.transfer_figures import tuned_prompts
    from analysis.starts.choice import known_gains, pooled

    tables = []
    for folder in dict.fromkeys(path.resolve() for path in finished):
        sweep = read(folder)
        early = sweep.frame[sweep.frame["row"] == "embedding"]
        prompts = tuned_prompts(folder, early, len(early)) if len(early) else {}
        tables.append(known_gains(sweep.frame, prompts, model_ids(sweep.meta)))
    return pooled(tables) if tables else None


def _prompts(
    plan: Plan, looked: Sequence[Looked], finished: Sequence[Path], say: Say
) -> dict[str, Any]:
    """Early prompts by cell: those that are there, then those that are tuned here."""
    wanted = {cell.id: cell for item in looked for cell in (*item.early.values(), item.own)}
    found = _kept(wanted, finished)
    missing = set(wanted) - set(found)
    if not missing:
        return found
    from sweep.planning.preflight import check_plan

    for line in check_plan(plan):
        say(line)
    import torch  # seconds to import, not needed where all prompts are there

    from trainables.packs.pack import run_pack

    device = "cuda" if torch.cuda.is_available() else "cpu"
    done = set(plan.by_id) - missing
    for pack in plan.remaining(done):
        outcome = run_pack(pack, {}, device)
        found |= {name: prompt for name, prompt in outcome.prompts.items() if name in missing}
        for name, why in outcome.failures.items():
            say(f"early prompt of task {plan.by_id[name].task}: {why}")
    return found


def _kept(wanted: Mapping[str, Cell], finished: Sequence[Path]) -> dict[str, Any]:
    """Prompts that finished sweeps or the store have."""
    found: dict[str, Any] = {}
    ledgers, place = [Ledger(folder) for folder in finished], store_folder()
    store = Store(place) if place else None
    for name, cell in wanted.items():
        for ledger in ledgers:
            with suppress(KeyError):
                found[name] = ledger.prompt(name)
                break
        else:
            kept = store.get(cell) if store else None
            if kept is not None and kept[1] is not None:
                found[name] = tensor_in(kept[1])
    return found


def format_tasks(advice: TaskAdvice, shown: int = 10) -> str:
    """Advice for people: past means in points, the first ``shown`` source tasks of each task."""
    from analysis.starts.choice import ORDERS, PAST

    lines = [advice.verdict]
    width = max([len("source task"), *advice.table["origin"].str.len()])
    for (model, task), part in advice.table.groupby(["model", "task"], sort=False):
        lines += [
            "",
            f"{model}, {task}: source tasks by {ORDERS[advice.rule]}",
            f"    #  {'source task'.ljust(width)}  average  per token  past mean",
        ]
        for row in part.head(shown).to_dict("records"):
            past = "–" if row[PAST] != row[PAST] else f"{100 * row[PAST]:+.1f}"
            lines.append(
                f"  {row['rank']:>3}  {row['origin'].ljust(width)}  {row['average_tokens']:+7.2f}"
                f"  {row['per_token']:+9.2f}  {past:>9}"
            )
        if len(part) > shown:
            lines.append(f"  … {len(part) - shown} more (--json prints all)")
    return "\n".join(lines)
