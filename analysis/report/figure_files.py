"""Every figure of a sweep as SVG and PNG files."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.contrasts.examples import examples_of
from analysis.contrasts.selection import choose
from analysis.contrasts.verdict import QUESTIONS
from analysis.data.combinations import leading_parts
from analysis.data.families import SOFT, has, of_family
from analysis.data.results import replace_file
from analysis.dependence.dependence import PARTS, Dependence, dependence
from analysis.dependence.figures import (
    best_of_n_curve,
    critical_difference_diagram,
    interaction_plot,
    variance_bars,
)
from analysis.hard.readability import transfers
from analysis.hard.readability_figure import readability_scatter
from analysis.hard.rows import hard_rows
from analysis.present.formats import file_name
from analysis.soft.figures import drawing, encoded, gain_heatmap, similarity_scatter, weight_curves
from analysis.soft.tables import targets
from analysis.soft.transfer_figures import (
    prompt_map,
    size_surface,
    slope_chart,
    source_target_heatmap,
)

FORMATS = ("svg", "png")
MOST_PROMPTS = 300
"""Prompts of one source model that the map shows; more are thinned evenly."""
_Draw = Callable[[str], bytes | None]


def write_figures(folder: Path, frame: pd.DataFrame, select_lambda: str = "pair") -> list[Path]:
    """Write every figure there is data for into the folder ``figures`` of a sweep.

    Args:
        folder: the sweep's folder, whose prompts are read.
        frame: its table.
        select_lambda: by what Ours chooses its weight, see
            :func:`analysis.contrasts.selection.choose`.

    Returns:
        Paths of the files, two a figure.
    """
    place = folder / "figures"
    place.mkdir(exist_ok=True)
    written = []
    for name, draw in figures(folder, frame, select_lambda):
        for fmt in FORMATS:
            data = draw(fmt)
            if data is None:
                break
            path = place / f"{name}.{fmt}"
            replace_file(path, partial(_write, data))
            written.append(path)
    return written


def figures(
    folder: Path, frame: pd.DataFrame, select_lambda: str = "pair"
) -> Iterator[tuple[str, _Draw]]:
    """Name of every figure, and what draws it in a format (None: there is nothing to draw)."""
    for label, part in leading_parts(of_family(frame, SOFT))[0]:
        choices = choose(part, select_lambda)
        for target in targets(part):
            end = [target, label] if label else [target]
            yield file_name("gain", *end), partial(gain_heatmap, part, target, choices)
            yield file_name("weights", *end), partial(weight_curves, part, target, choices)
            yield file_name("similarity", *end), partial(similarity_scatter, part, target)
    families = [family for family in PARTS if has(frame[frame["kind"] == "transfer"], family)]
    for family, (label, part) in ((name, item) for name in families for item in PARTS[name](frame)):
        end = [*([family] if len(families) > 1 else []), *([label] if label else [])]
        for name, make in (
            ("source_target", source_target_heatmap),
            ("slopes", slope_chart),
            ("sizes", size_surface),
        ):
            yield file_name(name, *end), _drawn(make, part)
    yield "prompt_map", _drawn(prompt_map, frame, prompts(folder, frame))
    moved = transfers(hard_rows(frame))
    if not moved.empty:
        yield "readability", lambda fmt: readability_scatter(moved, fmt)
    for item in dependence(frame, select_lambda, examples_of(folder, frame)):
        yield from _dependence(item)


def prompts(folder: Path, frame: pd.DataFrame, most: int = MOST_PROMPTS) -> dict[str, np.ndarray]:
    """Tuned soft prompts of a sweep as [vectors, dimensions], by cell.

    Files that are missing or damaged are left out; of more than ``most`` prompts of one model every
    k-th is read.

    Args:
        folder: the sweep's folder.
        frame: its table.
        most: prompts read for one model.
    """
    from safetensors.numpy import load_file

    rows = frame[(frame["kind"] == "source") & (frame["family"] == SOFT)]
    rows = rows[rows["prompt_file"].notna()]
    found = {}
    for _, part in rows.groupby("target", sort=True):
        thinned = part.iloc[:: -(-len(part) // most)]
        for cell, name in zip(thinned["cell"], thinned["prompt_file"], strict=True):
            path = folder / str(name)
            # A record that names a file elsewhere is not followed.
            if not path.resolve().is_relative_to(folder.resolve()):
                continue
            try:
                tensors = load_file(path)
            except Exception:  # safetensors has an error class of its own per cause
                continue
            if "prompt" in tensors and tensors["prompt"].ndim == 2:
                found[str(cell)] = tensors["prompt"]
    return found


def _dependence(item: Dependence) -> Iterator[tuple[str, _Draw]]:
    name = file_name(*filter(None, [f"dependence_{item.family}", item.label]))
    for spread in item.spreads:
        table = spread.shares.table
        if not table.empty:
            yield f"{name}_shares_{spread.key}", _drawn(variance_bars, table)
    pairs = item.pairs
    if len(pairs) and pairs["task"].nunique() > 1 and pairs["sources"].nunique() > 1:
        label = f"{QUESTIONS[item.family].name}, points"
        draw = _drawn(interaction_plot, pairs, "difference", "task", "sources", label)
        yield f"{name}_interaction", draw
    if not item.ranking.note:
        yield f"{name}_ranks", _drawn(critical_difference_diagram, item.ranking)
    if len(item.best) > 1:
        yield f"{name}_best_of_n", _drawn(best_of_n_curve, item.best)


def _write(data: bytes, path: Path) -> None:
    path.write_bytes(data)


def _drawn(make: Callable[..., Any], *of: Any) -> _Draw:
    def draw(fmt: str) -> bytes | None:
        with drawing() as new:
            figure = make(new, *of)
            return None if figure is None else encoded(figure, fmt)

    return draw
