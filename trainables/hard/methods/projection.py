"""The allowed word nearest to a vector.

Shapes: R replicas, m prompt tokens, d embedding width, V vocabulary, s allowed words.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import torch
import torch.nn.functional as F


def _cosine(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    # The vector's own length is the same factor for all rows: only theirs must go.
    return F.normalize(rows, dim=-1), None


def _l2(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    # -½|p - e|² without |p|², which is the same for all rows.
    return rows, -0.5 * rows.square().sum(-1)


NEAREST: dict[str, Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor | None]]] = {
    "cosine": _cosine,
    "l2": _l2,
}
"""Per measure: rows [s, d] to matrix A [s, d] and offset b [s]; the nearest has the largest Ap + b.
"""


@dataclass(frozen=True)
class _Group:
    """Replicas with the same allowed words."""

    members: torch.Tensor
    ids: torch.Tensor
    matrix: torch.Tensor
    offset: torch.Tensor | None


class Projection:
    """Projection of prompts onto words, for every replica onto its own.

    Rows are normalised once. Replicas with the same words share one matrix product, and nothing is
    read back from the device. Words with equal rows count as the one with the lowest id, and so do
    words that are equally near. Even a vector of NaN is projected onto an allowed word.
    """

    def __init__(
        self, table: torch.Tensor, allowed: Sequence[torch.Tensor], measure: str = "cosine"
    ) -> None:
        """Prepare for a stack.

        Args:
            table: word embeddings [V, d].
            allowed: per replica, the sorted ids [s] of its words; at least one.
            measure: a name in :data:`NEAREST`.
        """
        self.table = table
        self.replicas = len(allowed)
        groups: dict[tuple[int, ...], list[int]] = {}
        for replica, ids in enumerate(allowed):
            groups.setdefault(tuple(ids.tolist()), []).append(replica)
        self._groups = [
            self._group(torch.tensor(ids), members, measure) for ids, members in groups.items()
        ]

    def _group(self, ids: torch.Tensor, members: list[int], measure: str) -> _Group:
        device = self.table.device
        matrix, offset = NEAREST[measure](self.table[ids.to(device)].float())
        # A matrix product may give equal rows values that differ in the last bit.
        kept = _first_of_equals(matrix)
        if len(kept) < len(ids):
            ids, matrix = ids[kept], matrix[kept.to(device)]
            offset = None if offset is None else offset[kept.to(device)]
        return _Group(torch.tensor(members, device=device), ids.to(device), matrix, offset)

    def keep(self, rows: torch.Tensor) -> None:
        place = {row: number for number, row in enumerate(rows.tolist())}
        self.replicas = len(place)
        left = []
        for group in self._groups:
            members = [place[row] for row in group.members.tolist() if row in place]
            if members:
                moved = torch.tensor(members, device=group.members.device)
                left.append(replace(group, members=moved))
        self._groups = left

    @torch.no_grad()
    def __call__(self, prompts: torch.Tensor) -> torch.Tensor:
        """Ids [R, m] of the words nearest to prompts [R, m, d]."""
        found = torch.empty(prompts.shape[:2], dtype=torch.long, device=prompts.device)
        for group in self._groups:
            scores = prompts[group.members].float() @ group.matrix.T
            if group.offset is not None:
                scores = scores + group.offset
            found[group.members] = group.ids[scores.argmax(-1)]
        return found

    def rows(self, ids: torch.Tensor) -> torch.Tensor:
        """Embeddings of words [R, m] as float32 [R, m, d]."""
        return self.table[ids].float()


def _first_of_equals(rows: torch.Tensor) -> torch.Tensor:
    """Places, ascending, of the rows [s, d] that are equal to none before them."""
    first: dict[bytes, int] = {}
    for place, row in enumerate(rows.cpu().numpy()):
        first.setdefault(blake2b(row.tobytes(), digest_size=16).digest(), place)
    return torch.tensor(sorted(first.values()))
