"""Prompts as they are, on tasks they were not tuned on: zero-shot task transfer (Su et al. 2022).

A ``crossed`` cell reads a prompt in the layout that it was tuned in, with the template and the
label words of the cell's own task. Nothing of that task is used for it. Its inputs are the prompt
and the task's own one on the same model, to which its likeness is recorded; on the task that it was
tuned on, a prompt has the scores of its own cell to the last bit. A cell without inputs has a
prompt of random numbers: each vector as long, in the mean, as the model's word embeddings. (The
release of Su et al. draws from U[0, 1), far off that scale.)

Shapes: R prompts, m tokens, d width of the model.
"""

from collections.abc import Callable, Mapping, Sequence

import torch

from trainables.compute.memory import in_parts
from trainables.core.cells import Cell, content_hash
from trainables.core.frontier import Cost
from trainables.core.registries import SIMILARITIES
from trainables.core.seeds import seeded
from trainables.packs.run import Run, layout_on
from trainables.scoring.evaluate import together
from trainables.scoring.neurons import activated_by_layer, layer_windows, neuron_overlap

NEURONS = "neurons"
"""Key of the likeness by activated neurons of all layers; of layers 1 to 3, ``neurons_1-3``."""


def evaluate_crossed(run: Run, cells: Sequence[Cell], known: Mapping[str, torch.Tensor]) -> None:
    """Evaluate ``crossed`` cells, those of one model and layout at a time."""
    groups: dict[tuple[str, str, int], list[Cell]] = {}
    for cell in cells:
        missing = [name for name in cell.inputs if name not in known]
        if missing:
            run.outcome.failures[cell.id] = (
                f"the tuned prompt that it evaluates or is compared with ({missing[0]}) is not"
                " available"
            )
            continue
        length = len(known[cell.inputs[0]]) if cell.inputs else int(cell.settings["prompt_length"])
        key = (cell.target, content_hash(dict(cell.settings)), length)
        groups.setdefault(key, []).append(cell)
    for (target, _, length), group in groups.items():
        kind = ("crossed", target, run.device)

        def cross(part: Sequence[Cell], first: int, length: int = length) -> None:
            del first
            _cross(run, part, known, length)

        lost = in_parts(group, len(group), kind, cross)
        for cell in lost:
            run.outcome.failures[cell.id] = (
                f"out of memory: one prompt does not fit beside {target} on {run.device}"
            )


def random_prompt(run: Run, cell: Cell) -> torch.Tensor:
    """Normal numbers [m, d]: vectors of a root mean square length of the mean word embedding."""
    backbone = run.backbone(cell.target)
    key = run.pack.models[cell.target].digest
    shape = int(cell.settings["prompt_length"]), backbone.width
    drawn = torch.randn(shape, generator=seeded("random prompt", key, cell.seed or 0))
    spread: float = backbone.scale / backbone.width**0.5
    return drawn * spread


def _cross(run: Run, cells: Sequence[Cell], known: Mapping[str, torch.Tensor], length: int) -> None:
    first = cells[0]
    backbone = run.backbone(first.target)
    layout = layout_on(backbone, run.task, first.settings, length)
    prompts = torch.stack(
        [
            known[cell.inputs[0]].float().to(run.device)
            if cell.inputs
            else random_prompt(run, cell).to(run.device)
            for cell in cells
        ]
    )
    alike = _likeness(run, first.target, known)
    said = {"product": "none", **Cost().numbers()}  # the prompt is kept with its own cell
    for cell, found in zip(cells, run.evaluate(first.target, layout, prompts), strict=True):
        more = {"likeness": alike(*cell.inputs)} if len(cell.inputs) > 1 else {}
        run.settle(cell, together(found, said, more))


def _likeness(
    run: Run, alias: str, known: Mapping[str, torch.Tensor]
) -> Callable[[str, str], dict[str, float]]:
    """What tells how like two prompts of a model are, by the ids of their cells."""
    heard: dict[str, list[torch.Tensor]] = {}

    def neurons(name: str) -> list[torch.Tensor]:
        if name not in heard:
            layers = activated_by_layer(run.backbone(alias), known[name].float()[None])
            heard[name] = [layer[0] for layer in layers]
        return heard[name]

    def alike(one: str, other: str) -> dict[str, float]:
        pair = [known[name].float().cpu().numpy() for name in (one, other)]
        found = {name: float(SIMILARITIES[name](*pair)) for name in SIMILARITIES}
        left, right = neurons(one), neurons(other)
        windows = layer_windows(len(left))
        every = [(NEURONS, 1, len(left))] if left else []
        if len(windows) > 1:
            every += [(f"{NEURONS}_{first}-{last}", first, last) for first, last in windows]
        for name, begin, end in every:
            sides = (torch.cat(side[begin - 1 : end]) for side in (left, right))
            found[name] = neuron_overlap(*sides)
        return found

    return alike
