"""What is left of a pack of which some cells are finished."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from sweep.plan.planner import models_of, needs_of
from trainables.core.cells import Cell, Pack


def missing_of(pack: Pack, done: Collection[str]) -> Iterator[Pack]:
    """The packs that compute what is missing of ``pack``: none, itself, or up to two smaller ones.

    Only a tuning whose own ``source`` cells are not all finished is done again, and as a whole: its
    other ``source`` cells come along, as they cost nothing more and later cells may take them as
    inputs. What only has to be carried over from finished prompts (to a model that was added to the
    spec, say) trains nothing.

    Args:
        pack: as planned.
        done: ids of finished cells.
    """
    missing = [cell for cell in pack.cells if cell.id not in done]
    if len(missing) == len(pack.cells):
        yield pack
        return
    trained = _trained(pack, missing) if pack.kind == "tune" else []
    here = {cell.id for cell in trained}
    if trained:
        trained += [
            cell
            for cell in missing
            if cell.kind != "source" and cell.inputs and here.issuperset(cell.inputs)
        ]
        # Rows without a tuned prompt go along with what loads their model anyway.
        trained += [cell for cell in missing if cell.kind == "reference"]
        yield _part(pack, "tune", pack.sources, trained)
    taken = {cell.id for cell in trained}
    left = [cell for cell in missing if cell.id not in taken]
    if left:
        yield _part(pack, "transfer", (), left)


def _trained(pack: Pack, missing: Iterable[Cell]) -> list[Cell]:
    wanted = {cell.id for cell in missing if cell.kind == "source"}
    again = {cell.tuning for cell in missing if cell.kind == "source"}
    return [
        cell
        for cell in pack.cells
        if cell.kind == "source"
        # A tuning on one model has one source cell: nothing comes along with it.
        and (cell.id in wanted or (len(cell.sources) > 1 and cell.tuning in again))
    ]


def _part(pack: Pack, kind: str, sources: tuple[str, ...], cells: Iterable[Cell]) -> Pack:
    chosen = {cell.id for cell in cells}
    kept = tuple(cell for cell in pack.cells if cell.id in chosen)
    return replace(
        pack,
        kind=kind,
        sources=sources,
        cells=kept,
        models={name: pack.models[name] for name in models_of(sources, kept)},
        needs=needs_of(kept) if kind == "transfer" else (),
    )
