"""What a prompt decides about texts, carried to another model by regression, without labels.

Heads read one model's own states and cannot be carried. Their decisions can: positions, lengths and
shares of a pool mean the same on every model. A source's prompt decides about unlabelled texts, and
the target's heads are fitted to that by ridge regression on its own states of the same texts: of
position and length to the one-hot of the choice, of the pool to the centred logarithms of its
shares. The penalty has the least leave-one-out error. What is decided of the task alone is copied.

Shapes: R replicas, U texts of each, h width of states, C choices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from trainables.backbones import Layout
from trainables.core.cells import Cell
from trainables.core.frontier import Cost
from trainables.core.seeds import seeded
from trainables.dynamic.guide import REPRESENTATION, Guided
from trainables.packs.run import Run
from trainables.transfer.taught.readout import centred, fitted


@dataclass(frozen=True)
class Heads:
    """What decides on the target.

    Attributes:
        tensors: of each replica, as :meth:`trainables.dynamic.guide.Guide.packed` takes them.
        numbers: per replica what its result says of it: by part, the share of texts about which a
            fit that has not seen them decides as the source does.
        cost: of each replica.
    """

    tensors: list[torch.Tensor]
    numbers: list[dict[str, Any]]
    cost: Cost


def blank_heads(layout: Layout, replicas: int, device: str) -> Heads:
    """Heads that decide nothing."""
    guide = layout.guide
    assert guide is not None
    tensors = [head.expand(replicas, *head.shape).to(device) for head in guide.blank()]
    return Heads(tensors, [{} for _ in range(replicas)], Cost())


def carried_heads(
    run: Run,
    cells: Sequence[Cell],
    prompts: torch.Tensor,
    layouts: Mapping[str, Layout],
    texts: int,
) -> Heads:
    """Heads on the target that decide as each cell's source prompt does.

    Args:
        cells: a cell a replica, of one source and target.
        prompts: the source's matrices [R, M, d].
        layouts: per model, how it reads.
        texts: how many of the training split are read; all where there are not more.
    """
    ((source,), target) = cells[0].sources, cells[0].target
    there, here = (_guided(run, alias, layouts[alias]) for alias in (source, target))
    if not here.guide.reads:
        return Heads(there.guide.unpacked(prompts)[1], [{} for _ in cells], Cost())
    count = len(there.ends)
    tensors: list[list[torch.Tensor]] = []
    numbers: list[dict[str, Any]] = []
    rows: list[torch.Tensor] = []
    for cell, prompt in zip(cells, prompts, strict=True):
        drawn = torch.randperm(count, generator=seeded("decisions", cell.seed or 0))[:texts]
        rows.append(drawn)
        own, told = _fit(there.take(drawn), here.take(drawn), prompt)
        tensors.append(own)
        numbers.append(told)
    lengths = run.texts(target, layouts[target]).lengths.cpu()
    used = len(rows[0])
    tokens = int((lengths[rows[0]] - here.guide.length).sum())
    cost = Cost(used, 0, tokens, unlabelled_texts=used, source_rows=used, access="states")
    stacked = [torch.stack(same) for same in zip(*tensors, strict=True)]
    return Heads(stacked, numbers, cost)


def _guided(run: Run, alias: str, layout: Layout) -> Guided:
    guided = run.texts(alias, layout).guided
    assert guided is not None
    return guided


def _fit(
    there: Guided, here: Guided, prompt: torch.Tensor
) -> tuple[list[torch.Tensor], dict[str, Any]]:
    """The heads' tensors that decide about texts as a source's prompt [M, d] does."""
    assert here.states is not None
    owner = torch.zeros(len(there.ends), dtype=torch.long, device=there.ends.device)
    tensors: list[torch.Tensor] = []
    told: dict[str, Any] = {}
    for part, logits in there.logits(prompt[None], owner).items():
        chosen = logits.argmax(-1)
        if part == REPRESENTATION:
            wanted = centred(logits.softmax(-1))
        else:
            wanted = F.one_hot(chosen, logits.shape[1]).double()
        maps, _, left_out = fitted(here.states.double(), wanted[None].to(here.states.device))
        tensors += [maps[0, :, :-1].mT.float(), maps[0, :, -1].float()]
        same = left_out[0].argmax(-1).to(chosen.device) == chosen
        told[f"agreement_{part}"] = float(same.float().mean())
    return tensors, told
