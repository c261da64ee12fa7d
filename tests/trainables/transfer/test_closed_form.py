"""Closed-form transfer against the published search."""

import itertools

import pytest
import torch

from trainables.transfer import transfer
from trainables.words.relative import gram_matrices, relative_representation


def setting(sources: int, seed: int, anchors: int = 300) -> tuple[list[torch.Tensor], ...]:
    """Random anchors with some common structure, and source prompts [2, 3, d]."""
    torch.manual_seed(seed)
    latent = torch.randn(anchors, 6).double()
    widths = [*[8, 10, 7][:sources], 9]
    tables = [
        latent @ torch.randn(6, width).double() + 0.7 * torch.randn(anchors, width).double()
        for width in widths
    ]
    prompts = [torch.randn(2, 3, width) for width in widths[:-1]]
    return tables, prompts


def literal_similarity(
    found: torch.Tensor, prompts: list[torch.Tensor], tables: list[torch.Tensor]
) -> torch.Tensor:
    """Mean over sources of the cosine between k-dimensional relative representations."""
    mine = relative_representation(found.double(), tables[-1])
    return torch.stack(
        [
            torch.cosine_similarity(mine, relative_representation(p.double(), t), dim=-1)
            for p, t in zip(prompts, tables, strict=False)
        ]
    ).mean(0)


def adam_search(
    prompts: list[torch.Tensor], tables: list[torch.Tensor], steps: int
) -> torch.Tensor:
    """Wu et al.'s search without masks: Adam on the target vector, learning rate 5e-3."""
    torch.manual_seed(0)
    unit = torch.nn.functional.normalize(tables[-1], dim=1)
    wanted = [relative_representation(p.double(), t) for p, t in zip(prompts, tables, strict=False)]
    variable = torch.nn.init.xavier_normal_(
        torch.empty(prompts[0].shape[0] * prompts[0].shape[1], unit.shape[1]).double()
    ).requires_grad_()
    optimiser = torch.optim.Adam([variable], lr=5e-3)
    for _ in range(steps):
        mine = torch.nn.functional.normalize(variable, dim=-1) @ unit.T
        loss = sum(
            (1 - torch.cosine_similarity(mine, r.flatten(0, 1), dim=-1)).mean() for r in wanted
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return variable.detach().view(*prompts[0].shape[:2], -1)


def carry(prompts: list[torch.Tensor], tables: list[torch.Tensor], **options: str):
    unit = [torch.nn.functional.normalize(table, dim=1) for table in tables]
    scales = [float(table.norm(dim=1).mean()) for table in tables]
    grams = gram_matrices(unit, torch.float64)
    return transfer(prompts, grams, scales[:-1], scales[-1], **options)


@pytest.mark.slow
@pytest.mark.parametrize("sources", [1, 2, 3])
def test_closed_form_is_at_least_as_near_as_2000_adam_steps(sources: int) -> None:
    tables, prompts = setting(sources, seed=sources)
    got = carry(prompts, tables)
    closed = literal_similarity(got.prompt, prompts, tables)
    searched = literal_similarity(adam_search(prompts, tables, 2000), prompts, tables)
    torch.testing.assert_close(closed, got.similarity.double(), atol=1e-5, rtol=1e-5)
    assert (closed >= searched - 1e-6).all()
    assert float(searched.mean()) > 0.3, "the search must have found something"


def test_no_small_step_improves_the_closed_form() -> None:
    tables, prompts = setting(2, seed=5)
    found = carry(prompts, tables).prompt.double().requires_grad_()
    literal_similarity(found, prompts, tables).sum().backward()
    assert found.grad is not None
    assert float(found.grad.abs().max()) < 1e-5


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_order_of_sources_does_not_matter(order: tuple[int, ...]) -> None:
    tables, prompts = setting(3, seed=7)
    straight = carry(prompts, tables)
    turned = carry([prompts[i] for i in order], [*(tables[i] for i in order), tables[-1]])
    torch.testing.assert_close(turned.prompt, straight.prompt, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(turned.similarity, straight.similarity)


def test_same_model_gives_the_prompt_back() -> None:
    tables, prompts = setting(1, seed=3)
    same = carry(prompts, [tables[0], tables[0]])
    torch.testing.assert_close(same.prompt, prompts[0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(same.similarity, torch.ones(2, 3))


def test_rotated_model_gives_the_rotated_prompt() -> None:
    tables, prompts = setting(1, seed=4)
    rotation = torch.linalg.qr(torch.randn(8, 8).double()).Q
    got = carry(prompts, [tables[0], 3.0 * tables[0] @ rotation])
    expected = 3.0 * prompts[0] @ rotation.float()
    torch.testing.assert_close(got.prompt, expected, atol=1e-3, rtol=1e-3)


def test_norm_rules() -> None:
    tables, prompts = setting(2, seed=6)
    scales = [float(table.norm(dim=1).mean()) for table in tables]
    matched = carry(prompts, tables, norm="match").prompt.norm(dim=-1)
    wanted = (prompts[0].norm(dim=-1) / scales[0] + prompts[1].norm(dim=-1) / scales[1]) / 2
    torch.testing.assert_close(matched, wanted * scales[2], atol=1e-4, rtol=1e-4)
    mean = carry(prompts, tables, norm="mean").prompt.norm(dim=-1)
    torch.testing.assert_close(mean, torch.full_like(mean, scales[2]))
    with pytest.raises(ValueError, match="norm: found 'other'; allowed: match, mean"):
        carry(prompts, tables, norm="other")


def test_fewer_anchors_than_dimensions_stay_finite() -> None:
    tables, prompts = setting(2, seed=8, anchors=5)
    got = carry(prompts, tables)
    assert torch.isfinite(got.prompt).all()
    assert float(got.similarity.min()) > 0.2
