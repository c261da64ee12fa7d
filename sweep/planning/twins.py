"""Tunings that are the same under ``template: chat`` and without it: those of models without one.

Their cells are two, so that each stands beside what was read as it was; they are computed once, in
one pack (:func:`trainables.packs.pack.run_pack`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sweep.spec.resolve import ResolvedSpec
from trainables.core.cells import Cell, Pack
from trainables.models.chats import has_chat_template, unframed


def joined(packs: Sequence[Pack], resolved: ResolvedSpec) -> tuple[Pack, ...]:
    """The packs, with a tuning under ``template: chat`` in the pack of the same without it.

    Only where all its sources are seen to have no chat template: of a name on the Hub nobody knows.
    """
    place = {
        cell.id: number
        for number, pack in enumerate(packs)
        for cell in pack.cells
        if cell.kind == "source"
    }
    found: dict[int, Pack] = dict(enumerate(packs))
    for number, pack in enumerate(packs):
        same = [unframed(cell) for cell in pack.cells if cell.kind == "source"]
        homes = {None if cell is None else place.get(cell.id) for cell in same}
        home = next(iter(homes)) if len(homes) == 1 else None
        plain = (has_chat_template(resolved.models[name]) is False for name in pack.sources)
        if home is None or pack.kind != "tune" or not all(plain):
            continue
        other = found[home]
        found[home] = replace(
            other,
            cells=(*other.cells, *found.pop(number).cells),
            models={**other.models, **pack.models},
            files={**other.files, **pack.files},
            texts={**other.texts, **pack.texts},
            needs=tuple(dict.fromkeys((*other.needs, *pack.needs))),
        )
    return tuple(found.values())


def computed(cells: Iterable[Cell]) -> list[Cell]:
    """Cells of a pack, without tunings that another one of them does for two."""
    every = list(cells)
    same = {number: unframed(cell) for number, cell in enumerate(every) if cell.kind == "source"}
    if not any(same.values()):
        return every
    there = {every[number].id for number in same}
    twins = {number for number, cell in same.items() if cell and cell.id in there}
    return [cell for number, cell in enumerate(every) if number not in twins]


def done_for_two(packs: Iterable[Pack]) -> tuple[str, ...]:
    """Models whose prompts are tuned once for both."""
    return tuple(
        dict.fromkeys(
            name
            for pack in packs
            if len(computed(pack.cells)) < len(pack.cells)
            for name in pack.sources
        )
    )
