"""What a tracker is told of one cell: the parameters, metrics and tags of its run.

Whatever one compares is a parameter, never a tag, and has a value in every run: charts have no
axis for tags and drop runs that lack a value. ``lambda`` is a number in every run: -1 stands for
annealing (``schedule`` says so in words), since an axis that mixes numbers and words loses the
words. For the same reason the ``seed`` of what has none (Empty, Manual, Constant) is -1. Names
before the slash of a metric are the sections of MLflow's charts. A run has some 40 keys: searches
return all of them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sweep.ledger.ledger import Record
from trainables.core.frontier import ACCESS, gap_recovered, work
from trainables.core.settings import TransferSettings, default_of, family_of
from trainables.core.weight import Weight

NONE = "none"
"""Value of a parameter that means nothing in a run, such as the solver of a hard prompt."""
NO_SEED = "-1"
DIRECT = "direct"
"""Value of the parameter ``row`` of a prompt that was tuned on its target."""
NO_SELECTION = str(TransferSettings().selection)
"""Cells name a selection only where there is one."""
SCORE = "test/score"
VALIDATION = "validation/score"
GAIN = "test/gain_over_empty"
GAP = "test/gap_recovered"
TRANSFER_GAP = "transfer/gap_recovered"
"""The same number in the section of charts that has what a transfer is."""
SOURCE_SCORE = "test/source_score"
COMMIT = "git_commit"
"""Key of a record's versions: the commit of the folder that the driver was started in."""
ALIASES = "aliases"
"""Tag with what records say instead of some parameters, as JSON: aliases of models, mostly."""
CELL_KIND = "cell_kind"
"""Tag with the kind of cell, source or reference; carried prompts have none."""
TRANSFER = "transfer"
MOST_PARAMS = 40
"""Parameters of a run."""
LABEL = 10
"""MLflow's compare page merges labels that share so many first characters."""
_NO_VARIED = ("lambda", "weight", "schedule", "counterparts", "sources", "recipe", "label")
_LONGEST_TAG = 5000
_OF_TRANSFER = "transfer_"
"""Before the names of settings of a transfer; the tuning has some of the same name."""
_USUAL_SOLVER = str(TransferSettings().solver)


@dataclass(frozen=True)
class Tuned:
    """What a transfer's run says about one of the prompts it was carried from.

    Attributes:
        settings: of the tuning.
        sources: models tuned together.
        score: on the source it was tuned on.
        validation_score: likewise.
        seconds: of training; all prompts of one tuning say the same.
        pack: that tuned it.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    score: float | None = None
    validation_score: float | None = None
    seconds: float | None = None
    pack: str = ""

    @classmethod
    def of(cls, record: Record) -> "Tuned":
        cell, result = record["cell"], record["result"]
        return cls(
            settings=cell["settings"],
            sources=tuple(cell["sources"]),
            score=result.get("score"),
            validation_score=result.get("validation_score"),
            seconds=result.get("train_seconds"),
            pack=record["pack"],
        )


def run_params(
    record: Record,
    tuned: Sequence[Tuned],
    sources: int,
    names: Mapping[str, str],
    varied: Mapping[str, str] | None = None,
    direct: bool = False,
) -> dict[str, str]:
    """Parameters of a cell's run: the same keys for every run, each with a value.

    Args:
        tuned: the prompts it was carried from, as far as they are known; of a tuning itself.
        sources: how many parameters source_1 … source_n there are.
        names: per alias of a model its name in charts.
        varied: further settings of which the sweep has several values, each with what stands for
            it in runs of a method without it.
        direct: whether it belongs to row Direct.
    """
    cell = record["cell"]
    tuning = tuned[0].settings if tuned else {}
    settings, method = cell["settings"], cell["method"]
    place = NONE if method == NONE else "prefix"
    padded = [*(names.get(name, name) for name in cell["sources"]), *[NONE] * sources][:sources]
    found = {
        "method": method,
        "row": DIRECT if direct else cell["row"],
        "task": cell["task"],
        "target": names.get(cell["target"], cell["target"]),
        **{f"source_{number}": name for number, name in enumerate(padded, 1)},
        "seed": NO_SEED if cell["seed"] is None else str(cell["seed"]),
        "lambda": f"{Weight.in_cell(cell).number:g}",
        "schedule": cell["schedule"],
        "prompt_length": str(tuning.get("prompt_length", settings.get("prompt_length", 0))),
        "position": str(tuning.get("position", default_of(method, "position") or place)),
        "init": str(tuning.get("init", default_of(method, "init") or NONE)),
        "solver": str(settings.get("solver", NONE)),
        "selection": str(settings.get("selection", NO_SELECTION)),
        "vocabulary": str(settings.get("vocabulary", NONE)),
        "s": str(settings.get("s", 0)),
        "k": str(settings.get("k", 0)),
        "state": str(settings.get("state", NONE)),
        "counterparts": "+".join(names.get(x, x) for x in cell.get("counterparts", ())) or NONE,
    }
    for name, blank in (varied or {}).items():
        if name not in found and len(found) < MOST_PARAMS:
            if name.startswith(_OF_TRANSFER):
                own = settings if cell["kind"] == TRANSFER else {}
                value = own.get(name.removeprefix(_OF_TRANSFER))
            else:
                value = tuning.get(name, settings.get(name, default_of(method, name)))
            found[name] = blank if value is None else str(value)
    return found


def varied_settings(methods: Mapping[str, Any]) -> dict[str, str]:
    """Settings of which a sweep has several values, each with what it is where there is none.

    Args:
        methods: section ``methods`` of a folder's spec: of a grid with its ``variants``, of a
            search as written.
    """
    values: dict[str, list[Any]] = {}
    for section in methods.values():
        variants = section.get("variants", [section])
        for name in {key for variant in variants for key in variant}:
            every = (each[name] for each in variants if each.get(name) is not None)
            found = list({repr(item): item for item in every}.values())
            if len(found) > 1 or any(isinstance(item, list | Mapping) for item in found):
                values.setdefault(name, []).extend(found)
    return {
        name: "0" if _is_number(found) else NONE
        for name, found in sorted(values.items())
        if name not in _NO_VARIED
    }


def varied_ways(transfer: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Settings in which a sweep's ways of transfer differ, as :func:`varied_settings` gives them.

    ``transfer``: that section of a folder's spec.
    """
    ways = _ways(transfer)
    found: dict[str, str] = {}
    for name in sorted({name for way in ways for name in way} - {"solver", "selection", "rows"}):
        values = {repr(way.get(name)): way.get(name) for way in ways}
        if len(values) > 1:
            found[f"{_OF_TRANSFER}{name}"] = "0" if _is_number([*values.values()]) else NONE
    return found


def telling_ways(transfer: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """As :func:`varied_ways`: those that differ between ways of one solver."""
    by_solver: dict[Any, list[Mapping[str, Any]]] = {}
    for way in _ways(transfer):
        by_solver.setdefault(way.get("solver"), []).append(way)
    return {name: blank for ways in by_solver.values() for name, blank in varied_ways(ways).items()}


def _ways(transfer: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [transfer] if isinstance(transfer, Mapping) else list(transfer)


def _is_number(value: Any) -> bool:
    """Whether a setting, a list of choices or a range of one is numbers."""
    if isinstance(value, list):
        return all(map(_is_number, value))
    if isinstance(value, Mapping):
        return "low" in value
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def run_metrics(
    record: Record,
    tuned: Sequence[Tuned] = (),
    empty: float | None = None,
    direct: float | None = None,
) -> dict[str, float]:
    """Metrics of a cell's run; those that are not known are left out.

    Args:
        tuned: the prompts it was carried from.
        empty: score without a prompt on its target and task.
        direct: mean Direct score there.
    """
    result = record["result"]
    gap = None
    if empty is not None and direct is not None:
        gap = gap_recovered(result["score"], empty, direct)
    found = {
        SCORE: result.get("score"),
        VALIDATION: result.get("validation_score"),
        "transfer/similarity": result.get("similarity"),
        "test/score_open": result.get("score_open"),
        "test/illegal_share": result.get("illegal_share"),
        "validation/score_open": result.get("validation_score_open"),
        "validation/illegal_share": result.get("validation_illegal_share"),
        GAIN: None if empty is None else result["score"] - empty,
        GAP: gap,
        TRANSFER_GAP: gap if "target_forward_rows" in result else None,
        SOURCE_SCORE: _mean([item.score for item in tuned]),
        "validation/source_score": _mean([item.validation_score for item in tuned]),
        "cost/train_seconds": _train_seconds(tuned) if tuned else result.get("train_seconds"),
        "cost/transfer_seconds": result.get("transfer_seconds"),
        **_costs(result),
        "transfer/teacher_agreement": result.get("teacher_agreement"),
        "transfer/teacher_misfit": result.get("teacher_misfit"),
        "prompt/log_perplexity": result.get("log_perplexity"),
        "prompt/dictionary_share": result.get("dictionary_share"),
    }
    return {name: float(value) for name, value in found.items() if value is not None}


def _costs(result: Mapping[str, Any]) -> dict[str, float | None]:
    """What it took on the target, as far as charts need it; of older records nothing is known."""
    found = {f"cost/{name}": result.get(name) for name in ("target_labels", "unlabelled_texts")}
    forward, backward = (result.get(f"target_{name}_rows") for name in ("forward", "backward"))
    if forward is not None and backward is not None:
        found["cost/target_work"] = work(forward, backward)
    always, access = result.get("source_at_inference"), result.get("access")
    found["cost/source_at_inference"] = None if always is None else float(always)
    found["cost/access"] = None if access is None else float(ACCESS.index(access))
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _train_seconds(tuned: Sequence[Tuned]) -> float | None:
    """Time of the tunings behind a transfer; prompts tuned together count once."""
    seconds = {item.sources: item.seconds for item in tuned}
    known = [value for value in seconds.values() if value is not None]
    return sum(known) if known and len(known) == len(seconds) else None


def run_tags(
    record: Record,
    models: Mapping[str, str],
    names: Mapping[str, str] | None = None,
    direct: bool = False,
) -> dict[str, str]:
    """Tags of a cell's run: what says where it comes from and cannot be an axis.

    Args:
        models: per alias the model's full name with its revision.
        names: per alias its name in charts: where that is another one, a tag has the aliases.
        direct: whether it belongs to row Direct, which records know by the name of its tuning.
    """
    cell, result = record["cell"], record["result"]
    places = {f"source_{number}": name for number, name in enumerate(cell["sources"], 1)}
    sources = {f"{place}_model": models.get(name, name) for place, name in places.items()}
    places |= {"target": cell["target"]}
    places |= {"counterparts": "+".join(cell.get("counterparts", ()))}
    shown = {
        place: "+".join((names or {}).get(alias, alias) for alias in own.split("+"))
        for place, own in places.items()
    }
    aliases = {place: own for place, own in places.items() if own != shown[place]}
    if direct:
        aliases["row"] = cell["row"]
    found = {
        CELL_KIND: "" if cell["kind"] == TRANSFER else cell["kind"],
        "pack": record["pack"],
        "target_model": models.get(cell["target"], cell["target"]),
        **sources,
        "origin": "+".join(cell.get("origin", ())),
        ALIASES: json.dumps(aliases) if aliases else "",
        "prompt_file": (record["prompt"] or {}).get("file", ""),
        "nearest_words": str(result.get("nearest_words", "")),
        "prompt": str(result.get("text", "")),
        "mlflow.source.git.commit": str(record.get("versions", {}).get(COMMIT, "")),
    }
    return {name: text[:_LONGEST_TAG] for name, text in found.items() if text}


def run_name(
    cell: Mapping[str, Any], params: Mapping[str, str], named: Mapping[str, str] | None = None
) -> str:
    """What a cell's run is called in lists, whose columns are narrow: what differs comes first.

    Args:
        params: :func:`run_params` of the cell.
        named: further parameters, each with what stands for it where it means nothing: where it
            does, it is part of the name.
    """
    direct, kind, method = params["row"] == DIRECT, cell["kind"], cell["method"]
    place = f"{params['target']}, {params['task']}"
    if kind == "reference":
        return f"{cell['row'].capitalize()}, {place}"
    hard = family_of(method) == "hard"
    words = ["Direct"] if direct else ["source"] if kind == "source" else []
    words += [method] if method != "soft" else []
    words += [params["row"]] if hard and not direct else []
    words += [params["solver"]] if params["solver"] not in (NONE, _USUAL_SOLVER) else []
    words += [
        f"{name.removeprefix(_OF_TRANSFER)}={params[name]}"
        for name, blank in (named or {}).items()
        if params.get(name, blank) != blank
    ]
    if hard:
        words += [f"{name}={params[name]}" for name in ("s", "k") if params[name] != "0"]
    elif not direct:
        words.append(f"λ={Weight.in_cell(cell).label or 0}")
    words.append(f"seed={params['seed']}")
    sources = "+".join(
        params[name] for name in sorted(params, key=_place) if _place(name) and params[name] != NONE
    )
    way = "" if direct else f"{sources} {'to' if kind == TRANSFER else 'on'} "
    return f"{' '.join(words)}, {way}{place}"


def way_name(cell: Mapping[str, Any], direct: bool = False) -> str:
    """What rows of one kind share, in the sweep's summary: method, row and solver."""
    solver = cell["settings"].get("solver", _USUAL_SOLVER)
    method = cell["method"]
    words = [method] if method not in ("soft", "none") else []
    words.append(DIRECT if direct else cell["row"])
    return " ".join(words + ([solver] if solver != _USUAL_SOLVER else []))


def _place(name: str) -> int:
    """Number of a parameter source_1, source_2, …; 0 for any other."""
    number = name.removeprefix("source_")
    return int(number) if number != name and number.isdecimal() else 0


def tuning_label(cell: Mapping[str, Any]) -> str:
    """What the curves of a tuning are called, without its model and seed."""
    if family_of(cell["method"]) == "hard":
        sizes = [f"{key}{cell['settings'][key]}" for key in ("s", "k") if key in cell["settings"]]
        return "_".join([cell["method"], cell["row"], *sizes])
    weight = Weight.in_cell(cell)
    label = f"lambda_{weight.label}" if weight.value else weight.label
    variant = "" if cell["method"] == "soft" else f"{cell['method']}_"
    return variant + (label if weight.joint else "independent")


def chart_names(aliases: Iterable[str]) -> dict[str, str]:
    """Per alias a name whose first :data:`LABEL` characters are unique.

    Mostly the alias. Where two collide (``pocket-gpt2``, ``pocket-gpt2-large``), all lose the first
    word that these share; where that does not help, a number comes first.
    """
    names = {alias: alias for alias in sorted(set(aliases))}
    while clashing := _clashing(names):
        words = {names[alias].partition("-")[0] for alias in clashing}
        shorter = {alias: _without_first(name, words) for alias, name in names.items()}
        if len(set(shorter.values())) < len(names) or shorter == names:
            return names | {
                alias: f"{number}-{names[alias]}" for number, alias in enumerate(clashing, 1)
            }
        names = shorter
    return names


def _clashing(names: dict[str, str]) -> list[str]:
    labels = [name[:LABEL] for name in names.values()]
    return [alias for alias, name in names.items() if labels.count(name[:LABEL]) > 1]


def _without_first(name: str, words: set[str]) -> str:
    first, _, rest = name.partition("-")
    return rest if rest and first in words else name
