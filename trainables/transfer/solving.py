"""Prompts of the sources in, prompt of the target out.

The published search (Wu et al. 2024) looks, with 2,000 steps of Adam, for the target prompt p whose
relative representation is nearest in cosine to those of the sources: max_p mean_s cos(Â_t p, r_s).
The default solver finds the same maximum in one solve; the others are its variants and baselines.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from trainables.core.registries import NORMS
from trainables.core.settings import TransferSettings
from trainables.transfer.problem import Candidates, Problem, Space
from trainables.transfer.selection import Judges, choose
from trainables.transfer.solver import solver_named
from trainables.words.relative import Grams

MOST_NUMBERS = 2**27
"""Numbers (1 GiB in float64) that the replicas solved at once may hold."""
_CANDIDATES = 64  # more than most solvers offer; a search of 10,000 steps has 200 of them


@dataclass(frozen=True)
class Transferred:
    """Result of a transfer.

    Attributes:
        prompt: [..., m, d_t], float32.
        similarity: [..., m]: achieved cosine of relative representations, mean over sources.
    """

    prompt: torch.Tensor
    similarity: torch.Tensor


@dataclass(frozen=True)
class Carried(Transferred):
    """Result of a transfer with selection.

    Attributes:
        candidates: how many the solver offered.
        chosen: per replica, γ or step of the chosen one (None: the solver has no such thing).
        logits: label-word logits on the target's validation split [R, v, C], where the selection
            has worked them out.
        judged: per replica, whether the selection had something to go by, see
            :class:`trainables.transfer.selection.Chosen`.
    """

    candidates: int
    chosen: list[float | None]
    logits: torch.Tensor | None
    judged: list[bool]


def solve(problem: Problem, settings: TransferSettings) -> Candidates:
    """All candidates of the settings' solver.

    Args:
        problem: what is carried; the order of its sources does not matter, but for masks of
            ``ptfer_release``, which are those of source ``problem.last``.
        settings: solver and what it reads; the norm is the problem's.
    """
    ordered = problem.in_key_order()
    found = solver_named(settings.solver).solve(ordered, settings)
    with torch.no_grad():
        prompts = ordered.finish(found.prompts)
        similarity = ordered.similarity(prompts)
    return Candidates(prompts.float(), found.labels, found.own, similarity.float())


def carry(problem: Problem, settings: TransferSettings, judges: Judges) -> Carried:
    """Solve and choose, as many replicas at a time as fit in memory.

    Args:
        problem: as :func:`solve`.
        settings: solver and selection.
        judges: what ``selection`` evaluates with; not used by ``none``.
    """
    parts = []
    for part in _parts(problem, settings):
        candidates = solve(part, settings)
        choice = choose(settings.selection, candidates, part, judges)
        replicas = torch.arange(len(choice.index))
        index = torch.tensor(choice.index)
        parts.append(
            Carried(
                prompt=candidates.prompts[index, replicas],
                similarity=candidates.similarity[index, replicas],
                candidates=len(candidates),
                chosen=[candidates.labels[number] for number in choice.index],
                logits=choice.logits,
                judged=list(choice.judged or [True] * len(choice.index)),
            )
        )
    logits = [part.logits for part in parts if part.logits is not None]
    return Carried(
        prompt=torch.cat([part.prompt for part in parts]),
        similarity=torch.cat([part.similarity for part in parts]),
        candidates=parts[0].candidates,
        chosen=[label for part in parts for label in part.chosen],
        logits=torch.cat(logits) if logits else None,
        judged=[known for part in parts for known in part.judged],
    )


def _parts(problem: Problem, settings: TransferSettings) -> Iterator[Problem]:
    replicas, tokens, width = problem.shape
    # Each candidate stands in float64, and again in the products of its similarity.
    offered = 4 * max(_CANDIDATES, (settings.steps or 0) // 50) * tokens * width
    each = solver_named(settings.solver).footprint(problem, settings) + offered
    size = max(1, MOST_NUMBERS // each)
    for first in range(0, replicas, size):
        yield problem.take(slice(first, first + size))


def transfer(
    prompts: Sequence[torch.Tensor],
    grams: Grams,
    source_scales: Sequence[float],
    target_scale: float,
    norm: str = "match",
) -> Transferred:
    """Carry the prompts of S sources to one target in closed form.

    Args:
        prompts: per source, [..., m, d_s]; the same leading shape for all.
        grams: Gram matrices over the models (sources in order, then the target).
        source_scales: mean length of each source's embedding rows.
        target_scale: the same of the target.
        norm: how long the vectors become: ``match`` or ``mean``.

    Returns:
        The prompt and its similarity; independent of the order of the sources.

    Raises:
        ValueError: no source, or an unknown ``norm``.
    """
    if not prompts:
        raise ValueError("transfer needs at least one source prompt")
    if norm not in NORMS:
        raise ValueError(f"norm: found {norm!r}; allowed: {', '.join(NORMS)}")
    leading = prompts[0].shape[:-2]
    stacked = tuple(prompt.reshape(-1, *prompt.shape[-2:]) for prompt in prompts)
    problem = Problem(
        prompts=stacked,
        spaces=tuple(Space(scale) for scale in (*source_scales, target_scale)),
        grams=grams,
        seeds=(0,) * len(stacked[0]),
        norm=norm,
    )
    found = solve(problem, TransferSettings())
    return Transferred(
        found.prompts[0].unflatten(0, leading) if leading else found.prompts[0, 0],
        found.similarity[0].unflatten(0, leading) if leading else found.similarity[0, 0],
    )
