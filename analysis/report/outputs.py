"""What ``sweep report`` writes: the page, its tables in several formats, its figures as files."""

from collections.abc import Sequence
from pathlib import Path

from analysis.contrasts.examples import examples_of
from analysis.data.results import read
from analysis.present.exhibits import Figure, Table, exhibits
from analysis.present.formats import FORMATS, write_figures, write_tables
from analysis.report.background import dependence_of
from analysis.report.comparison import write_comparison
from analysis.report.page import write_report
from analysis.report.sections import Results, sections
from trainables.errors import InputError


def write_outputs(
    folders: Sequence[Path],
    select_lambda: str = "pair",
    formats: Sequence[str] = (),
    figures: bool = False,
    to: Path | None = None,
) -> list[Path]:
    """Write the report of one sweep, parts of it, or a comparison of several.

    Formats or figures are written alone, into the folders ``tables`` and ``figures`` of the one
    sweep.

    Args:
        select_lambda: key of :data:`analysis.contrasts.selection.CRITERIA`.
        formats: of :data:`analysis.present.formats.FORMATS`; tables are written in each of them.
        figures: whether figures are written as files.
        to: file of a comparison of several sweeps; None for ``comparison.html`` in the first.

    Returns:
        Paths of what was written: files of pages, folders of tables and figures.

    Raises:
        InputError: options that do not go together, or a folder without a finished cell.
    """
    if len(folders) > 1:
        if formats or figures:
            names = ", ".join(f"--{name}" for name in (*FORMATS, "figures"))
            raise InputError(
                f"sweep report: found {len(folders)} folders with one of {names}; allowed: one "
                "folder with them, or several without"
            )
        return [write_comparison(folders, to, select_lambda)]
    folder = folders[0]
    if to is not None:
        raise InputError("--to: found with one folder; allowed: with several, for their comparison")
    if not formats and not figures:
        return [write_report(folder, select_lambda)]
    sweep, written = read(folder), []
    with dependence_of(sweep, select_lambda) as answers:
        examples = examples_of(folder, sweep.frame)
        shown = list(sections(Results(sweep.frame, select_lambda, sweep, examples, answers)))
    if formats:
        write_tables(exhibits(shown, Table), folder / "tables", formats)
        written.append(folder / "tables")
    if figures:
        write_figures(exhibits(shown, Figure), folder / "figures")
        written.append(folder / "figures")
    return written
