"""The prompt's own fluency against the library's logits of the whole input."""

import pytest
import torch
import torch.nn.functional as F

from tests.trainables.hard.literal import all_logits
from tests.trainables.hard.problems import problem, words
from trainables.errors import InputError
from trainables.hard.methods.fluency import check_fluency, fluency_loss


@pytest.mark.parametrize("name", ["gpt2", "opt", "opt-projected", "llama"])
def test_it_is_the_next_token_loss_on_the_prompts_positions(name: str) -> None:
    """Also its gradient; what follows the prompt makes no difference."""
    task = problem(name, 4)
    backbone = task.source.backbone
    ids = words(task, 12).view(3, 4)
    prompts = backbone.embeddings[ids].clone().requires_grad_()
    loss = fluency_loss(backbone, prompts, ids)
    (gradient,) = torch.autograd.grad(loss.sum(), prompts)
    data = task.source.train
    begin = len(backbone.begin)
    for replica in range(3):
        prompt = prompts[replica].detach().requires_grad_()
        logits = all_logits(backbone, data, prompt)
        predicted = logits[:, begin : begin + 3].reshape(-1, backbone.rows)
        expected = F.cross_entropy(predicted, ids[replica, 1:].repeat(len(data)))
        (slope,) = torch.autograd.grad(expected, prompt)
        torch.testing.assert_close(loss[replica], expected, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(gradient[replica], slope, atol=1e-4, rtol=1e-3)
    assert gradient[:, :-1].abs().max() > 1e-3


def test_a_weight_is_refused_on_masked_models_alone() -> None:
    masked, causal = problem("mpnet", 2), problem("llama", 2)
    check_fluency(masked.source.backbone, 0.0)
    check_fluency(causal.source.backbone, 1.0)
    with pytest.raises(InputError, match=r"fluency: found 0.1 on model 'mpnet'"):
        check_fluency(masked.source.backbone, 0.1)
