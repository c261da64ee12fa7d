"""What ``sweep report`` writes: the page, its tables in several formats, its figures as files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.contrasts.examples import examples_of
from analysis.data.loading import load
from analysis.present.formats import FORMATS, write_tables
from analysis.report.comparison import write_comparison
from analysis.report.figure_files import write_figures
from analysis.report.page import write_report
from analysis.report.tables import report_tables
from trainables.errors import InputError


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Attributes:
        select_lambda: by what Ours chooses its weight, see
            :func:`analysis.contrasts.selection.choose`.
        formats: of :data:`analysis.present.formats.FORMATS`; tables are written in each of them.
        figures: whether figures are written as files.
        to: file of a comparison of several sweeps; None for ``comparison.html`` in the first.
    """

    select_lambda: str = "pair"
    formats: Sequence[str] = ()
    figures: bool = False
    to: Path | None = None


def write_outputs(folders: Sequence[Path], wanted: Wanted) -> list[Path]:
    """Write what is wanted: the report of one sweep, parts of it, or a comparison of several.

    Of one sweep, with formats or figures these alone are written, into its folders ``tables`` and
    ``figures``; else the report and its results.

    Returns:
        Paths of what was written: files of pages, folders of tables and figures.

    Raises:
        InputError: options that do not go together, or a folder without a finished cell.
    """
    parts = bool(wanted.formats or wanted.figures)
    if len(folders) > 1:
        if parts:
            names = ", ".join(f"--{name}" for name in (*FORMATS, "figures"))
            raise InputError(
                f"sweep report: found {len(folders)} folders with one of {names}; allowed: one "
                "folder with them, or several without"
            )
        return [write_comparison(folders, wanted.to, wanted.select_lambda)]
    folder = folders[0]
    if wanted.to is not None:
        raise InputError("--to: found with one folder; allowed: with several, for their comparison")
    if not parts:
        return [write_report(folder, wanted.select_lambda)]
    frame, written = load(folder), []
    if wanted.formats:
        examples = examples_of(folder, frame)
        tables = report_tables(frame, wanted.select_lambda, examples=examples)
        write_tables(tables, folder / "tables", wanted.formats)
        written.append(folder / "tables")
    if wanted.figures:
        write_figures(folder, frame, wanted.select_lambda)
        written.append(folder / "figures")
    return written
