"""What the target makes of texts that differ from replica to replica, and what that costs."""

from collections.abc import Sequence

import torch

from trainables.backbones import ONE, Backbone, Encoded, Labels, Reads
from trainables.core.frontier import Cost


def own_logits(
    backbone: Backbone,
    label_ids: Labels,
    texts: Encoded,
    rows: torch.Tensor,
    prompts: torch.Tensor | None = None,
) -> torch.Tensor:
    """Label-word logits [R, U, C] of each replica's own texts, without gradient.

    Args:
        backbone: the model.
        label_ids: what answers are compared by, C classes.
        texts: n of them.
        rows: each replica's [R, U].
        prompts: each replica's [R, m, d]; None where the texts are read without a prompt.
    """
    found = torch.empty(*rows.shape, len(label_ids), device=backbone.device)
    for same, own in alike(rows):
        part = None if prompts is None else prompts[same]
        found[same] = backbone.split_logits(
            texts.take(own.to(texts.ids.device)), label_ids, part
        ).expand(len(same), -1, -1)
    return found


def alike(rows: torch.Tensor) -> list[tuple[list[int], torch.Tensor]]:
    """Replicas that have the same texts, with them."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for replica, own in enumerate(rows.tolist()):
        groups.setdefault(tuple(own), []).append(replica)
    return [(same, torch.tensor(own, dtype=torch.long)) for own, same in groups.items()]


class Meter:
    """Rows and tokens that each of R replicas has sent through the target so far."""

    def __init__(self, begin: Sequence[Cost]) -> None:
        """Start from what each replica has cost already."""
        self.costs = list(begin)

    def add(
        self,
        texts: Encoded,
        rows: torch.Tensor,
        *,
        backward: bool,
        access: str,
        reads: Reads = ONE,
    ) -> None:
        """Each replica reads its texts ``rows`` [R, B], whose lengths hold the prompt's slots.

        ``reads``: what an answer to one takes, where answers are read.
        """
        tokens = texts.lengths.cpu()[rows.cpu()].sum(1).tolist()
        read = [reads.of(rows.shape[1], each) for each in tokens]
        self.costs = [
            cost + Cost(count, count if backward else 0, each, access=access)
            for cost, (count, each) in zip(self.costs, read, strict=True)
        ]
