"""What a result says of what was decided."""

from typing import Any

import torch

from trainables.dynamic.guide import LENGTH, POSITION, Guided


@torch.no_grad()
def decisions(guided: Guided, prompts: torch.Tensor) -> list[dict[str, Any]]:
    """Of each matrix [R, M, d], what is decided about n rows, as counts over them.

    Returns:
        ``parameters``: numbers that were trained; ``vectors_behind``: mean number of vectors behind
        the text; ``positions`` [m + 1]: texts by the number of vectors behind them; ``lengths``
        [m]: by the number kept, 1 to m; ``pool_shares`` [k]: mean share of each prompt of the pool.
    """
    guide, found = guided.guide, []
    for prompt in prompts:
        owner = torch.zeros(len(guided.ends), dtype=torch.long, device=prompt.device)
        decided = guided.decided(prompt[None], owner)
        moved = decided.behind.minimum(decided.kept).float()
        told: dict[str, Any] = {
            "parameters": guide.parameters,
            "vectors_behind": float(moved.mean()),
        }
        if POSITION in guide.parts:
            counted = torch.bincount(decided.behind, minlength=guide.length + 1)
            told["positions"] = counted.tolist()
        if LENGTH in guide.parts:
            counted = torch.bincount(decided.kept - 1, minlength=guide.length)
            told["lengths"] = counted.tolist()
        if decided.pool is not None:
            told["pool_shares"] = decided.pool.mean(0).tolist()
        found.append(told)
    return found
