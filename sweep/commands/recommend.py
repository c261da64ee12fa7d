"""``sweep recommend``: which source sets to tune for a target, before anything is tuned."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.commands.features import facts_folder, key_of, read_as, write_features
from sweep.spec.resolve import ResolvedSpec, resolve
from sweep.spec.spec import SweepSpec
from trainables.core.settings import family_of, stored
from trainables.errors import InputError, check_known

if TYPE_CHECKING:
    import pandas as pd

    from analysis.forecast.prediction import Check
    from analysis.forecast.section import Forecast
    from trainables.features.before import Looking

NOTHING_VALIDATED = (
    "No finished sweep was given (--from DIR): source sets are ranked by neighbour agreement alone,"
    " and nothing says yet that it predicts a gain; nothing is validated."
)
NOT_ALIKE = (
    "The finished sweeps hold no source set of this kind: the order is by neighbour agreement"
    " alone, and nothing is validated."
)


@dataclass(frozen=True)
class Advice:
    """Ranked source sets of one family.

    Attributes:
        verdict: how far each ranking can be trusted, and the power of its check.
        checks: by key of :data:`analysis.forecast.prediction.QUESTIONS`; empty without finished
            sweeps.
        table: one row a (method, target, task, source set), best first: the features, ``new`` (key
            of :data:`LISTS`), ``order`` (past mean gain relative to other source sets, 0 to 1, or
            neighbour agreement) and ``rank`` within target, task and ``new``.
    """

    verdict: str
    checks: "Mapping[str, Check]"
    table: "pd.DataFrame"

    @property
    def better(self) -> bool:
        return bool(self.checks) and all(check.better for check in self.checks.values())

    def to_json(self) -> dict[str, Any]:
        """JSON-able; what is not known is null."""
        return {
            "verdict": self.verdict,
            "better_than_chance": self.better,
            "checks": {
                name: {
                    **_plain(asdict(check)),
                    "better_than_chance": check.better,
                    "sentence": check.sentence(),
                }
                for name, check in self.checks.items()
            },
            "recommendations": [
                _plain({str(key): value for key, value in row.items()})
                for row in self.table.to_dict("records")
            ],
        }


def recommend(
    spec: SweepSpec,
    finished: Sequence[Path] = (),
    target: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Advice]:
    """Rank the source sets of a spec for its targets; tunes nothing.

    There are three lists (:data:`LISTS`), which cannot be compared with each other. Soft methods
    rank the spec's pairs, if any; all others its single sources. Only finished cells of the same
    family and kind of source set (one model, or several) count.

    Args:
        finished: folders of finished sweeps to learn from.
        target: one of the spec's targets; all if None.
        say: takes a line for each fact that could not be had.

    Returns:
        One advice a family of the spec's methods.

    Raises:
        InputError: an unknown model, task, target or folder, or no source set to choose from.
    """
    resolved = resolve(spec)
    chosen = _targets(resolved, target)
    import torch  # seconds to import, not needed to find a mistake above

    from trainables.features.before import Looking

    device = "cuda" if torch.cuda.is_available() else "cpu"
    looking = Looking(facts_folder(), device, say)
    methods = {family_of(name): name for name in reversed(spec.methods) if name != "random"}
    known = _learnt(finished, looking)
    advice = []
    for family, method in sorted(methods.items(), reverse=True):
        pairs = resolved.pairs if family == "soft" else ()
        sets = pairs or [(name,) for name in resolved.sources]
        table = _candidates(resolved, method, sets, chosen, looking)
        if table.empty:
            raise InputError(
                f"targets: found {', '.join(chosen)}; allowed: at least one model that is not in"
                " every source set"
            )
        advice.append(_advise(table, _alike(known, family, table)))
    return advice


def _targets(resolved: ResolvedSpec, target: str | None) -> tuple[str, ...]:
    if target is None:
        return resolved.targets
    check_known(target, resolved.targets, "--target")
    return (target,)


def _candidates(
    resolved: ResolvedSpec,
    method: str,
    sets: Sequence[Sequence[str]],
    targets: Sequence[str],
    looking: "Looking",
) -> "pd.DataFrame":
    import pandas as pd

    from trainables.features.before import features_before

    how = read_as(stored(resolved.spec.methods[method].variants[0]))
    rows = []
    for target in targets:
        for names in (names for names in sets if target not in names):
            sources = [resolved.models[name] for name in names]
            own = resolved.models[target]
            about = {
                "source_ids": "+".join(model.digest for model in sources),
                "target_id": own.digest,
                "size": len(names),
            }
            rows += [
                {**key_of(method, "+".join(names), target, task.name), **about, **features}
                for task, features in features_before(sources, own, resolved.tasks, looking, *how)
            ]
    return pd.DataFrame(rows)


def _learnt(finished: Sequence[Path], looking: "Looking") -> "pd.DataFrame | None":
    """Observations of all finished sweeps, one below the other."""
    import pandas as pd

    tables = []
    for folder in dict.fromkeys(path.resolve() for path in finished):
        sweep, table = write_features(folder, looking)
        name = str(sweep.meta.get("spec_hash") or folder)
        tables.append(table.assign(sweep=name, family=table["method"].map(family_of)))
    return pd.concat(tables, ignore_index=True) if tables else None


def _alike(
    known: "pd.DataFrame | None", family: str, table: "pd.DataFrame"
) -> "pd.DataFrame | None":
    """What is known of source sets of the kind that is asked about."""
    if known is None:
        return None
    several = bool((table["size"] > 1).any())
    alike = known[(known["family"] == family) & ((known["size"] > 1) == several)]
    return alike.reset_index(drop=True)


def _advise(table: "pd.DataFrame", known: "pd.DataFrame | None") -> Advice:
    import numpy as np

    from analysis.forecast.prediction import CHECKS, PRESPECIFIED, past_means, pooled

    table = table.assign(new="source", order=table[PRESPECIFIED])
    if known is None or known.empty:
        return Advice(NOTHING_VALIDATED if known is None else NOT_ALIKE, {}, _ranked(table))
    gains = pooled(known)
    for new in ("target", "task"):  # the nearer one last, as it is to stand
        past = past_means(gains, table, new)
        here = ~np.isnan(past)
        table.loc[here, "new"] = new
        table.loc[here, "order"] = past[here]
    asked = set(table["new"])
    checks = {new: check(gains) for new, check in CHECKS.items() if new in asked}
    said = [_learnt_from(known), *(check.sentence() for check in checks.values())]
    return Advice("\n".join(said), checks, _ranked(table))


def _learnt_from(known: "pd.DataFrame") -> str:
    models = {model for text in known["source_ids"] for model in text.split("+")}
    return (
        f"Learnt from {len(known)} gains: {known['source_ids'].nunique()} source sets of"
        f" {len(models)} models, {known['target_id'].nunique()} targets, {known['task'].nunique()}"
        " tasks."
    )


def _ranked(table: "pd.DataFrame") -> "pd.DataFrame":
    """Rows by target, task, question and falling order; equals in the order of their names."""
    place = {new: number for number, new in enumerate(LISTS)}
    table = table.assign(place=table["new"].map(place)).sort_values(
        ["target", "task", "place", "order", "sources"],
        ascending=[True, True, True, False, True],
        ignore_index=True,
    )
    rank = table.groupby(["target", "task", "new"])["order"].rank(method="min", ascending=False)
    table.insert(0, "rank", rank.fillna(len(table)).astype(int))
    return table.drop(columns="place")


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(item, float) and not math.isfinite(item) else item
        for key, item in value.items()
    }


LISTS = {
    "task": "source sets known on other tasks of this target, by their mean gain there",
    "target": "source sets known on other targets for this task, by their mean gain there",
    "source": "new source sets, by neighbour agreement",
}
"""Lists of a target and task by what is new, in the order in which they stand."""


def format_advice(advice: Sequence[Advice], shown: int = 10) -> str:
    """Advice for people: past means in points, the first ``shown`` of each list."""
    return "\n\n".join(_one_text(item, shown) for item in advice)


def _one_text(advice: Advice, shown: int) -> str:
    lines = [advice.verdict]
    for (target, task, new), part in advice.table.groupby(["target", "task", "new"], sort=False):
        lines += [
            "",
            f"{target}, {task} ({part['method'].iloc[0]}): {LISTS[str(new)]}",
            _header(part),
        ]
        lines += [_line(row, part) for row in part.head(shown).to_dict("records")]
        if len(part) > shown:
            lines.append(f"  … {len(part) - shown} more (--json prints all)")
    return "\n".join(lines)


def _header(part: "pd.DataFrame") -> str:
    past = "" if part["new"].iloc[0] == "source" else "  past mean"
    return f"    #  {'sources'.ljust(_width(part))}{past}  agreement  CKA    overlap  reading ρ"


def _line(row: Mapping[Any, Any], part: "pd.DataFrame") -> str:
    past = "" if row["new"] == "source" else f"  {100 * row['order']:+9.1f}"
    names = str(row["sources"]).ljust(_width(part))
    facts = f"{row['agreement']:.3f}      {row['cka']:.3f}  {row['vocabulary_overlap']:.3f}"
    reading = row["reading_correlation"]
    shown = "–" if math.isnan(reading) else f"{reading:+.2f}"
    return f"  {row['rank']:>3}  {names}{past}  {facts}    {shown}"


def _width(part: "pd.DataFrame") -> int:
    return max(len("sources"), int(part["sources"].str.len().max()))


@dataclass(frozen=True)
class Learnt:
    """What a folder's features predict.

    Attributes:
        folder: of the sweep.
        gains: in its features.parquet.
        forecasts: by family and size of source sets; empty where there are too few.
    """

    folder: Path
    gains: int
    forecasts: "Sequence[Forecast]"

    def to_json(self) -> list[dict[str, Any]]:
        """JSON-able; what is not known is null."""
        return [
            {
                "about": item.about,
                "verdict": " ".join(check.sentence() for check in item.checks),
                "checks": [_plain(asdict(check)) for check in item.checks],
                "exploratory": [
                    _plain({str(key): value for key, value in row.items()})
                    for row in item.described.to_dict("records")
                ],
            }
            for item in self.forecasts
        ]


def folder_forecasts(
    folder: Path, after: bool, say: Callable[[str], None] = lambda line: None
) -> Learnt:
    """Work out a folder's features, and what they predict by family and size of source sets.

    Args:
        after: also features of tuned prompts.
        say: takes a line for each fact that could not be had.

    Raises:
        InputError: as :func:`sweep.commands.features.write_features`.
    """
    from analysis.forecast.section import forecasts
    from trainables.features.before import Looking

    _, table = write_features(folder, Looking(facts_folder(), say=say), after)
    return Learnt(folder, len(table), forecasts(table))


def format_forecasts(learnt: Learnt) -> str:
    if not learnt.forecasts:
        return too_few(learnt)
    return "\n\n".join(
        "\n".join([item.about, *(one.sentence() for one in item.checks), *_described(item)])
        for item in learnt.forecasts
    )


def too_few(learnt: Learnt) -> str:
    """That nothing can be ordered."""
    from analysis.forecast.section import FEWEST

    return (
        f"{learnt.folder}: features.parquet has {learnt.gains} gains; too few to order, or all of"
        f" one source set (needed: {FEWEST} of at least two)"
    )


EXPLORATORY = "exploratory, nothing tested"


def described(item: "Forecast") -> list[tuple[str, str, str, str]]:
    """Each feature's title, ρ within blocks, number of blocks and regret in points."""
    rows = []
    for row in item.described.to_dict("records"):
        numbers = (row["rho"], "+.2f"), (row["blocks"], "d"), (100 * row["regret"], ".1f")
        rho, blocks, regret = (
            "–" if math.isnan(value) else format(value, form) for value, form in numbers
        )
        rows.append((str(row["title"]), rho, blocks, regret))
    return rows


def _described(item: "Forecast") -> list[str]:
    return [
        f"  {EXPLORATORY}               ρ within  blocks  regret (points)",
        *(
            f"  {title:<40}  {rho.rjust(8)}  {blocks.rjust(6)}  {regret.rjust(6)}"
            for title, rho, blocks, regret in described(item)
        ),
    ]
