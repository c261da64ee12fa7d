"""``sweep recommend``: which source sets to tune for a target, before anything is tuned."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.explain import nearest, show
from sweep.features import facts_folder, write_features
from sweep.resolve import ResolvedSpec, resolve
from sweep.spec import SweepSpec
from trainables.errors import InputError
from trainables.settings import family_of

if TYPE_CHECKING:
    import pandas as pd

    from analysis.prediction import Forecast
    from trainables.features.before import Looking

NOTHING_VALIDATED = (
    "No finished sweep was given (--from DIR): source sets are ranked by neighbour agreement alone,"
    " and nothing says yet that it predicts a gain; nothing is validated."
)


@dataclass(frozen=True)
class Advice:
    """Source sets in order of what is expected of them.

    Attributes:
        ranked_by: the model, or the feature that stands in for it.
        verdict: what the order is worth, in plain sentences.
        better: whether the order was better than chance where it could be checked.
        table: one row a (method, target, task, source set), the best of each target and task first:
            the features, ``rank``, and ``order``, ``predicted``, ``low``, ``high`` (NaN without a
            model)
        skills: of the models behind it.
    """

    ranked_by: str
    verdict: str
    better: bool
    table: "pd.DataFrame"
    skills: tuple[Any, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON-able; what is not known is null."""
        return {
            "ranked_by": self.ranked_by,
            "verdict": self.verdict,
            "better_than_chance": self.better,
            "skills": [_plain(asdict(skill)) for skill in self.skills],
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

    Soft methods rank the spec's pairs, methods of hard prompts its single sources. What is learnt
    from comes from finished sweeps, from cells of the same family with as many sources (one, or
    several).

    Args:
        spec: whose sources, targets and tasks are asked about.
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
        sets = resolved.pairs if family == "soft" else [(name,) for name in resolved.sources]
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
    if target not in resolved.targets:
        raise InputError(
            f"--target: found {show(target)}{nearest(target, resolved.targets)};"
            f" allowed: {', '.join(resolved.targets)}"
        )
    return (target,)


def _candidates(
    resolved: ResolvedSpec,
    method: str,
    sets: Sequence[Sequence[str]],
    targets: Sequence[str],
    looking: "Looking",
) -> "pd.DataFrame":
    import pandas as pd

    from trainables.features.before import before_tuning, on_texts

    cut = getattr(resolved.spec.methods[method].variants[0], "text_tokens", None)
    rows = []
    for target in targets:
        for names in (names for names in sets if target not in names):
            sources = [resolved.models[name] for name in names]
            own = resolved.models[target]
            features = before_tuning(sources, own, looking)
            for task in resolved.tasks:
                rows.append(
                    {
                        "method": method,
                        "target": target,
                        "task": task.name,
                        "sources": "+".join(names),
                        "size": len(names),
                        **features,
                        **on_texts(sources, own, task, looking, cut),
                    }
                )
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
    from analysis.prediction import best_heuristic, forecast

    if known is None:
        return _ranked(table, "agreement", NOTHING_VALIDATED)
    if known.empty:
        return _ranked(
            table,
            "agreement",
            "The finished sweeps hold no source set of this kind: the order is by neighbour"
            " agreement alone, and nothing is validated.",
        )
    usable = [name for name in table.columns if table[name].notna().all()]
    fitted = forecast(known, [name for name in _before() if name in usable])
    predicted = fitted.predict(table)
    verdict = f"{_learnt_from(known)} {fitted.sentence()}"
    if fitted.better:
        return _ranked(predicted, "order", verdict, fitted)
    name, rho = best_heuristic(known)
    found = "" if math.isnan(rho) else f" (mean ρ {rho:+.2f} there, not validated)"
    verdict += (
        " The order below is therefore by the simple feature that went best with the gain in the"
        f" finished sweeps, {_title(name)}{found}; do not read the predicted gains as knowledge."
    )
    return _ranked(predicted, name, verdict, fitted)


def _before() -> tuple[str, ...]:
    from analysis.features import BEFORE

    return BEFORE


def _title(name: str) -> str:
    from analysis.features import FEATURES

    return (
        FEATURES[name].title
        if name in FEATURES
        else "the rank model's order, with the gain model's prediction beside it"
    )


def _learnt_from(known: "pd.DataFrame") -> str:
    models = {model for text in known["source_ids"] for model in text.split("+")}
    return (
        f"Learnt from {len(known)} gains: {known['source_ids'].nunique()} source sets of"
        f" {len(models)} models, {known['target_id'].nunique()} targets, {known['task'].nunique()}"
        " tasks."
    )


def _ranked(
    table: "pd.DataFrame", by: str, verdict: str, fitted: "Forecast | None" = None
) -> Advice:
    """Rows by target, task and falling ``by``; equals in the order of their names."""
    if fitted is None:
        table = table.assign(order=math.nan, predicted=math.nan, low=math.nan, high=math.nan)
    table = table.sort_values(
        ["target", "task", by, "sources"], ascending=[True, True, False, True], ignore_index=True
    )
    place = table.groupby(["target", "task"])[by].rank(method="min", ascending=False)
    table.insert(0, "rank", place.fillna(len(table)).astype(int))
    return Advice(
        ranked_by=_title(by),
        verdict=verdict,
        better=fitted is not None and fitted.better,
        table=table,
        skills=() if fitted is None else fitted.skills,
    )


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(item, float) and not math.isfinite(item) else item
        for key, item in value.items()
    }


def advice_text(advice: Sequence[Advice], shown: int = 10) -> str:
    """Advice for people: gains and regrets in points, the first ``shown`` of each list."""
    return "\n\n".join(_one_text(item, shown) for item in advice)


def _one_text(advice: Advice, shown: int) -> str:
    table = advice.table
    lines = [advice.verdict, *_skill_lines(advice.skills), f"Ranked by {advice.ranked_by}."]
    for (target, task), part in table.groupby(["target", "task"], sort=False):
        lines += ["", f"{target}, {task} ({part['method'].iloc[0]})", _header(part)]
        lines += [_line(row, part) for row in part.head(shown).to_dict("records")]
        if len(part) > shown:
            lines.append(f"  … {len(part) - shown} more (--json prints all)")
    return "\n".join(lines)


def _skill_lines(skills: Sequence[Any]) -> list[str]:
    if not skills:
        return []
    lines = [
        "  left out  model  R²     ρ      ρ within  p      regret  random  source score (points)"
    ]
    for item in skills:
        numbers = f"{_n(item.r2)}  {_n(item.spearman)}  {_n(item.within)}     {_n(item.p, '.3f')}"
        regrets = (item.regret, item.random_regret, item.source_regret)
        shown = "  ".join(_n(100 * value, ".1f").rjust(6) for value in regrets)
        lines.append(f"  {item.grouping:<8}  {item.model:<5}  {numbers}  {shown}")
    return lines


def _n(value: float, form: str = "+.2f") -> str:
    return "–".ljust(5) if math.isnan(value) else format(value, form).ljust(5)


def _header(part: "pd.DataFrame") -> str:
    width = _width(part)
    gain = "" if part["predicted"].isna().all() else "  gain   (interval)        "
    return f"    #  {'sources'.ljust(width)}{gain}  agreement  CKA    overlap  reading ρ"


def _line(row: Mapping[Any, Any], part: "pd.DataFrame") -> str:
    gain = ""
    if not math.isnan(row["predicted"]):
        known = not math.isnan(row["low"])
        ends = f"({100 * row['low']:+.1f} to {100 * row['high']:+.1f})" if known else "(not known)"
        gain = f"  {100 * row['predicted']:+5.1f}  {ends:<18}"
    names = str(row["sources"]).ljust(_width(part))
    facts = f"{row['agreement']:.3f}      {row['cka']:.3f}  {row['vocabulary_overlap']:.3f}"
    return (
        f"  {row['rank']:>3}  {names}{gain}  {facts}    {_n(row['reading_correlation'])}".rstrip()
    )


def _width(part: "pd.DataFrame") -> int:
    return max(len("sources"), int(part["sources"].str.len().max()))


def features_text(
    folder: Path, after: bool, as_json: bool, say: Callable[[str], None] = lambda line: None
) -> str:
    """Work out a folder's features, and what they predict by family and size of source sets.

    Args:
        folder: a sweep's folder.
        after: also features of tuned prompts.
        as_json: JSON instead of text.
        say: takes a line for each fact that could not be had.

    Raises:
        InputError: as :func:`sweep.features.write_features`.
    """
    import json

    from analysis.forecasts import FEWEST, forecasts
    from trainables.features.before import Looking

    _, table = write_features(folder, Looking(facts_folder(), say=say), after)
    found = forecasts(table)
    if as_json:
        return json.dumps(
            [
                {"about": item.about, "verdict": item.forecast.sentence(), "skills": skills}
                for item in found
                for skills in [[_plain(asdict(skill)) for skill in item.forecast.skills]]
            ]
        )
    if not found:
        return (
            f"{folder}: features.parquet has {len(table)} gains; too few to predict anything from,"
            f" or all of one source set (needed: {FEWEST} of at least two)"
        )
    return "\n\n".join(
        "\n".join([item.about, item.forecast.sentence(), *_skill_lines(item.forecast.skills)])
        for item in found
    )
