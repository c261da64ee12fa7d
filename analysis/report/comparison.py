"""Several sweeps in one page: their headline numbers side by side, and paired where they agree."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from textwrap import shorten
from typing import Any

import pandas as pd

from analysis.contrasts.effects import overall, superiority, win_tie_loss
from analysis.contrasts.selection import at_choices, choose
from analysis.data.combinations import HARD, SOFT, has, of_family, parts
from analysis.data.results import Sweep, read
from analysis.dependence.dependence import PARTS
from analysis.dependence.stability import ROWS, family_numbers
from analysis.present.grid import DASH, Grid, plain_grid, points, span
from analysis.present.pages import rendered
from analysis.present.words import ROW_NAMES, sources_name
from analysis.stats.bootstrap import Crossed
from analysis.stats.intervals import LEVEL
from trainables.errors import InputError
from trainables.files.atomic import replace_file

_KEY = ["row", "method", "combination", "task", "target", "sources", "counterparts", "s", "k",
        "seed"]  # fmt: skip
_MOST_SETTINGS = 40
_WIDEST = 44
_CONTENTS = ("models", "task_files")
_NO_SETTINGS = ("name", "description", "methods", *_CONTENTS)


@dataclass(frozen=True)
class Pair:
    """Two sweeps on what both have: a sentence and a table by row, or a sentence alone."""

    title: str
    sentence: str
    table: Grid | None


def write_comparison(
    folders: Sequence[Path], to: Path | None = None, select_lambda: str = "pair"
) -> Path:
    """Write one self-contained page that compares several sweeps.

    Args:
        to: the page; ``comparison.html`` in the first folder where it is not given.
        select_lambda: by what Ours chooses its weight, see
            :func:`analysis.contrasts.selection.choose`.

    Returns:
        Path of the page.

    Raises:
        InputError: one is no sweep's folder or has no finished cell, or the page is no file's name
            that can be written.
    """
    path = to if to is not None else folders[0] / "comparison.html"
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise InputError(f"--to: found {path}; allowed: a file in a folder that is there")
    text = render_comparison([read(folder) for folder in folders], select_lambda)
    replace_file(path, text.encode())
    return path


def render_comparison(sweeps: Sequence[Sweep], select_lambda: str = "pair") -> str:
    """The page's HTML: headline numbers, design of each sweep, paired differences, settings."""
    names = sweep_names(sweeps)
    frames = dict(zip(names, (sweep.frame for sweep in sweeps), strict=True))
    return rendered(
        "comparison.html.j2",
        names=names,
        headline=headline_grid(frames, select_lambda),
        design=design_grid(frames),
        pairs=list(_pairs(frames, select_lambda)),
        settings=_settings(sweeps, names),
    )


def sweep_names(sweeps: Sequence[Sweep]) -> list[str]:
    """Name of every sweep, with a number where several share it."""
    names: list[str] = []
    for sweep in sweeps:
        name = str(sweep.meta.get("name") or sweep.folder.resolve().name)
        same = sum(other == name or other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({same + 1})" if same else name)
    return names


def headline_numbers(frames: dict[str, pd.DataFrame], select_lambda: str = "pair") -> pd.DataFrame:
    """Headline numbers of every sweep by itself, in points (cases up: percent).

    Returns:
        Columns number, then one a sweep; NaN where a sweep has none.
    """
    numbers_of: dict[str, dict[str, float]] = {}
    for name, frame in frames.items():
        moved = frame[frame["kind"] == "transfer"]
        for family in ROWS:
            if not has(moved, family):
                continue
            for label, part in PARTS[family](frame):
                kind = ", ".join(filter(None, [family, label]))
                for number, value in family_numbers(part, family, select_lambda).items():
                    numbers_of.setdefault(f"{number} ({kind})", {})[name] = value
    table = pd.DataFrame.from_dict(
        numbers_of, orient="index", columns=list(frames), dtype="float64"
    )
    return table.rename_axis("number").reset_index()


def headline_grid(frames: dict[str, pd.DataFrame], select_lambda: str = "pair") -> Grid:
    numbers = headline_numbers(frames, select_lambda)
    lines = [
        (str(number), [points(value, signed="%" not in str(number)) for value in values])
        for number, *values in numbers.itertuples(index=False)
    ]
    return plain_grid("Points", list(frames), lines)


def design_grid(frames: dict[str, pd.DataFrame]) -> Grid:
    """What every sweep is made of, and what they have in common."""
    columns = {"sources": "Source sets", "target": "Targets", "task": "Tasks", "seed": "Seeds"}
    lines = [("Cells", [f"{len(frame):,}" for frame in frames.values()] + [DASH])]
    for column, head in columns.items():
        sets = [
            set(frame.loc[frame["kind"] == "transfer", column].dropna())
            for frame in frames.values()
        ]
        both = set.intersection(*sets) if sets else set()
        lines.append((head, [str(len(each)) for each in (*sets, both)]))
    return plain_grid("Carried over", [*frames, "in all"], lines)


def common_cells(
    one: pd.DataFrame, other: pd.DataFrame, select_lambda: str = "pair"
) -> pd.DataFrame:
    """Transfers that two sweeps share: the same row, models, task and seed, λ chosen in each.

    Returns:
        Columns row, sources, task, target, seed, one, other and difference (other minus one), in
        points; one line a common cell, means where a sweep has several settings of one.
    """
    scores = [_scores(frame, select_lambda) for frame in (one, other)]
    both = pd.concat(scores, axis=1, join="inner", keys=["one", "other"]).reset_index()
    both["difference"] = (both["other"] - both["one"]).round(9)
    kept = ["row", "sources", "task", "target", "seed", "one", "other", "difference"]
    return both[kept].reset_index(drop=True)


def _scores(frame: pd.DataFrame, select_lambda: str) -> pd.Series:
    moved = frame[frame["kind"] == "transfer"]
    rest = moved[(moved["row"] != "ours") | (moved["family"] == HARD)]
    ours = [at_choices(part, choose(part, select_lambda))
            for _, part in parts(of_family(frame, SOFT))]  # fmt: skip
    rows = pd.concat([rest, *ours])
    rows = rows.assign(sources=rows["sources"].map(_ordered), points=100 * rows["score"])
    text = {name: rows[name].astype("string").fillna("") for name in _KEY if name != "seed"}
    return rows.assign(**text).groupby(_KEY)["points"].mean()


def _ordered(sources: Any) -> str:
    return "+".join(sorted(str(sources).split("+")))


def _pairs(frames: dict[str, pd.DataFrame], select_lambda: str) -> Iterator[Pair]:
    for first, second in combinations(frames, 2):
        both = common_cells(frames[first], frames[second], select_lambda)
        title = f"{second} minus {first}"
        if both.empty:
            text = "No cell is common: no row has the same models, task and seed in both."
            yield Pair(title, text, None)
            continue
        yield Pair(title, _difference(title, overall(both)), pair_grid(both))


def _difference(name: str, effect: Crossed) -> str:
    text = f"{name} is {points(effect.mean, signed=True)} points over {effect.n:,} pairs"
    if not effect.high > effect.low:
        return f"{text}; no interval can be given. {effect.note}".strip()
    verdict = "it excludes 0" if effect.direction else "it includes 0: no clear difference"
    ends = span(effect.low, effect.high)
    return f"{text}, {100 * LEVEL:.0f} % interval {ends}; {verdict}. {effect.note}".strip()


def pair_grid(both: pd.DataFrame) -> Grid:
    """Paired differences by row and, where several, by row and target and task."""
    lines = []
    for column in ("row", "target", "task", "sources"):
        if column != "row" and both[column].nunique() < 2:
            continue
        for value, part in both.groupby(column, sort=True):
            cases = part.groupby(["row", "sources", "task", "target"])["difference"].mean()
            counts = win_tie_loss(cases.to_numpy())
            effect = overall(part, replicates=0)
            name = ROW_NAMES.get(str(value), str(value)) if column == "row" else str(value)
            lines.append(
                (
                    f"{column}: {sources_name(name)}",
                    [
                        points(part["one"].mean()),
                        points(part["other"].mean()),
                        points(effect.mean, signed=True),
                        span(effect.low, effect.high),
                        f"{counts['win']} / {counts['tie']} / {counts['loss']}",
                        f"{superiority(part['difference']):.2f}",
                        str(len(part)),
                    ],
                )
            )
    heads = ("First", "Second", "Difference", "95 % interval", "Win / tie / loss", "Superiority",
             "Cells")  # fmt: skip
    return plain_grid("Over", heads, lines)


def _settings(sweeps: Sequence[Sweep], names: Sequence[str]) -> Grid | None:
    """Settings of the specs that differ, as a table; None where none does."""
    specs = [sweep.meta.get("spec") or {} for sweep in sweeps]
    methods = [spec.get("methods") or {} for spec in specs]
    shared = set.intersection(*(set(each) for each in methods))
    flat = []
    common = {
        key: set.intersection(*(set(each.get(key) or {}) for each in specs)) for key in _CONTENTS
    }
    for spec, own in zip(specs, methods, strict=True):
        rest = {key: part for key, part in spec.items() if key not in _NO_SETTINGS}
        # A method that one of them lacks is a line of its own, not one a setting.
        used = {name: part if name in shared else "used" for name, part in own.items()}
        # What only one of them has is named among its sources, targets and tasks.
        contents = {
            key: {name: spec[key][name]["digest"] for name in sorted(names)}
            for key, names in common.items()
        }
        flat.append(_flat({**rest, **contents, "methods": used}))
    keys = sorted({key for each in flat for key in each})
    differ = [key for key in keys if len({each.get(key, DASH) for each in flat}) > 1]
    if not differ:
        return None
    lines = [(key, [each.get(key, DASH) for each in flat]) for key in differ[:_MOST_SETTINGS]]
    return plain_grid("Setting", list(names), lines)


def _flat(value: Any, path: str = "") -> dict[str, str]:
    """Settings by their path in the spec; of several variants all values of each setting."""
    if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        names = dict.fromkeys(name for part in value for name in part)
        value = {name: _distinct(part.get(name) for part in value) for name in names}
    if not isinstance(value, dict):
        return {path: shorten(_text(value), _WIDEST, placeholder=" …") or DASH}
    settings: dict[str, str] = {}
    for name, part in value.items():
        # Variants are how a spec is kept, not something that one writes.
        settings |= _flat(part, path if name == "variants" else f"{path}.{name}" if path else name)
    return settings


def _distinct(values: Iterable[Any]) -> Any:
    kinds = list({_text(value): value for value in values if value is not None}.values())
    return kinds[0] if len(kinds) == 1 else kinds


def _text(value: Any) -> str:
    if isinstance(value, list):
        parts = ("+".join(map(str, part)) if isinstance(part, list) else part for part in value)
        return ", ".join(map(str, parts))
    return DASH if value is None else str(value)
