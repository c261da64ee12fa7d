"""Which prompts (or readouts) of a sweep are meant: one by its cell, or the best by validation."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.ledger.ledger import Ledger
from trainables.core.frontier import PRODUCTS
from trainables.core.settings import family_of
from trainables.errors import InputError, check_known, show

if TYPE_CHECKING:
    import pandas as pd

FILTERS = ("row", "task", "target", "method")
_SHOWN = 5
_ENDS = {"prompt": "a prompt", "readout": "a readout", "none": "scores that need the sources"}
PROMPTS = PRODUCTS[:1]


@dataclass(frozen=True)
class PromptChoice:
    """Which prompts to export.

    Attributes:
        cell: id of one cell, or a unique start of it; None for the best ones.
        top: how many prompts per target and task, soft and hard apart, by the score on the target's
            validation split, never by the test score; ties go to the higher similarity.
        row: only this row of results.csv; None for all. So are the others.
        task: only this task.
        target: only this target.
        method: only this method.
    """

    cell: str | None = None
    top: int = 1
    row: str | None = None
    task: str | None = None
    target: str | None = None
    method: str | None = None

    @property
    def filters(self) -> dict[str, str]:
        wanted = {name: getattr(self, name) for name in FILTERS}
        return {name: value for name, value in wanted.items() if value is not None}


def make_choice(cell: str | None, best: int | None, **filters: str | None) -> PromptChoice:
    """The choice that options of the command line stand for.

    Args:
        **filters: values of :data:`FILTERS`.

    Raises:
        InputError: options that exclude each other, or a number below 1.
    """
    if best is not None and best < 1:
        raise InputError(f"--best: found {best}; allowed: a whole number of at least 1")
    others = [name for name, value in {"best": best, **filters}.items() if value is not None]
    if cell is not None and others:
        raise InputError(
            f"--cell, --{others[0]}: found both; allowed: a cell, or filters and a number"
        )
    return PromptChoice(cell=cell, top=best or 1, **filters)


def chosen_cells(
    folder: Path,
    ledger: Ledger,
    choice: PromptChoice,
    families: tuple[str, ...],
    products: tuple[str, ...] = PROMPTS,
) -> list[str]:
    """Ids of the prompts that are meant.

    Args:
        families: of which families of methods (``soft``, ``hard``).
        products: what a cell may end in; the best ones are of the first.

    Raises:
        InputError: no such cell, or none that passes the filters.
    """
    if choice.cell is None:
        return _best(folder, choice, families, products[0])
    return [_find(ledger, choice.cell, families, products)]


def one_cell(folder: Path, ledger: Ledger, choice: PromptChoice) -> str:
    """Id of the one prompt that is meant.

    Raises:
        InputError: as :func:`chosen_cells`, or there are several.
    """
    found = chosen_cells(folder, ledger, choice, ("soft", "hard"))
    if len(found) > 1:
        raise InputError(
            f"--cell: not given, and {len(found)} prompts are the best of their target and task"
            f" ({_some(found)}); allowed: one of them, by --cell or by --task, --target, --method"
            " and --row"
        )
    return found[0]


def product_of(record: Mapping[str, Any]) -> str:
    """What a cell ends in; records that do not say so are of prompts."""
    return str(record["result"].get("product") or PRODUCTS[0])


def _best(folder: Path, choice: PromptChoice, families: tuple[str, ...], product: str) -> list[str]:
    from analysis import load
    from analysis.data.combinations import of_family
    from analysis.soft.best_prompts import ranked
    from trainables.core.settings import OWN

    frame = load(folder)
    moved = frame[(frame["kind"] == "transfer") & frame["family"].isin(families)]
    moved = moved[moved["product"].fillna(PRODUCTS[0]) == product]
    if moved.empty:
        raise InputError(
            f"{folder}: no transferred {' or '.join(families)} {product} has finished yet;"
            " allowed: a sweep with one, or --cell with the id of a tuned prompt"
        )
    _check_filters(moved, choice.filters)
    for column, value in choice.filters.items():
        moved = moved[moved[column] == value]
    if choice.row is None:
        moved = moved[moved["row"] != OWN]  # tuned on the target itself: no transfer
    found = [
        str(name)
        for family in families
        for rows in ranked(of_family(moved, family), product)
        for name in rows["cell"].head(choice.top)
    ]
    if not found:
        wanted = " ".join(f"--{name} {value}" for name, value in choice.filters.items())
        raise InputError(
            f"{wanted or folder}: no finished transferred {product} with a validation score;"
            " allowed: rows, tasks, targets and methods that results.csv shows together"
        )
    return found


def _check_filters(moved: "pd.DataFrame", filters: Mapping[str, str]) -> None:
    for column, value in filters.items():
        known = sorted(moved[column].dropna().astype(str).unique())
        check_known(value, known, f"--{column}")


def _find(ledger: Ledger, start: str, families: tuple[str, ...], products: tuple[str, ...]) -> str:
    """The one finished cell whose id starts with ``start``, of a family and product wanted."""
    found = sorted(name for name in ledger.done_ids() if start and name.startswith(start))
    if len(found) != 1:
        many = f"{len(found)} cells start with it ({_some(found)})"
        raise InputError(
            f"--cell: found {show(start)}, but {many if found else 'no finished cell has it'};"
            " allowed: the id of a finished cell, or a start of it that no other id shares"
        )
    record = ledger.record(found[0])
    cell = record["cell"]
    if cell["kind"] in ("reference", "crossed"):
        raise InputError(
            f"--cell: {found[0]} is the {cell['kind']} row {cell['row']!r}, which has no prompt;"
            " allowed: a tuned or transferred cell"
        )
    if product_of(record) not in products:
        raise InputError(
            f"--cell: {found[0]} ends in {_ENDS[product_of(record)]}; allowed: a cell whose column"
            f" `product` is {' or '.join(products)}"
        )
    family = family_of(cell["method"])
    if family not in families:
        raise InputError(
            f"--cell: {found[0]} is a {family} prompt; allowed: {' or '.join(families)} prompts in"
            " this format"
        )
    return found[0]


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
