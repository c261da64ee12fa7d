"""``analysis.load``: cells of sweeps' folders, ledgers or an MLflow server as one table."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from analysis.data.columns import SWEEP
from analysis.data.mlflow_reader import PREFIX, read_mlflow
from analysis.data.results import read
from trainables.errors import InputError


def load(*places: Path | str) -> pd.DataFrame:
    """Finished cells, one row a cell; see ``docs/columns.md`` for the columns.

    ``results.parquet`` is read if no record has changed since; otherwise the ledger. Rows of
    several places follow each other; a cell in two places comes twice.

    Args:
        *places: a sweep's folder, the ``ledger`` folder in one, or ``mlflow:URI[#EXPERIMENT]`` for
            a tracking server or database (all experiments with sweeps if none is named).

    Returns:
        The columns of :data:`analysis.data.columns.COLUMNS`, scores between 0 and 1; of several
        places also ``sweep``, the sweep's name, numbered where two share it.

    Raises:
        InputError: no place, one that is none of these, or one without a finished cell.
    """
    if not places:
        raise InputError("analysis.load: found no place; allowed: one sweep's folder or more")
    tables = [table for place in places for table in _tables(place)]
    if len(tables) == 1:
        return tables[0][1]
    names: dict[str, int] = {}
    parts = []
    for name, table in tables:
        names[name] = names.get(name, 0) + 1
        label = name if names[name] == 1 else f"{name} ({names[name]})"
        parts.append(table.assign(**{SWEEP: label}))
    return pd.concat(parts, ignore_index=True)


def _tables(place: Path | str) -> Iterator[tuple[str, pd.DataFrame]]:
    if isinstance(place, str) and place.startswith(PREFIX):
        yield from read_mlflow(place)
        return
    folder = Path(place)
    if folder.name == "ledger" and (folder.parent / "sweep.json").is_file():
        folder = folder.parent
    sweep = read(folder)
    yield str(sweep.meta.get("name") or folder.name), sweep.frame
