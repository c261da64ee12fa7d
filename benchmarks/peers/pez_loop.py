"""PEZ as its released code runs it: one prompt at a time, everything worked out anew in every step.

The table of allowed words is normalised in each step, the three nearest words are searched and one
of them taken, in Python lists, and the model gives logits of the whole vocabulary at every
position. A literal reading of the published procedure, with the library's own Adafactor.

Shapes: m prompt tokens, d width, s allowed words, B rows, L tokens, V vocabulary.
"""

from typing import Any

import torch
import torch.nn.functional as F
from transformers import Adafactor

from trainables.backbones import Encoded
from trainables.core.settings.pez import PezSettings
from trainables.hard.problem import HardProblem, HardReplica
from trainables.soft.tuning import batch_order

NEAREST = 3


def project(table: torch.Tensor, allowed: torch.Tensor, prompt: torch.Tensor) -> list[int]:
    """Nearest allowed ids of vectors [m, d] by cosine."""
    rows = F.normalize(table[allowed], dim=-1)
    near = F.normalize(prompt, dim=-1) @ rows.T
    _, places = near.topk(NEAREST, dim=-1)
    return [int(allowed[hits[0]]) for hits in places.cpu().tolist()]


def loss_of(model: Any, problem: HardProblem, batch: Encoded, prompt: torch.Tensor) -> torch.Tensor:
    """Cross-entropy over the class words, out of logits [B, L, V]; rows padded to the longest."""
    table = model.get_input_embeddings().weight
    rows = [
        torch.cat([table[ids[:slot]], prompt, table[ids[slot + len(prompt) :]]])
        for ids, slot in zip(batch.ids, batch.slots.tolist(), strict=True)
    ]
    index = torch.arange(batch.ids.shape[1])
    mask = (index[None, :] < batch.lengths[:, None]).long()
    logits = model(inputs_embeds=torch.stack(rows), attention_mask=mask).logits
    answers = logits[torch.arange(len(batch)), batch.answers]
    return F.cross_entropy(answers[:, problem.source.label_ids], batch.gold)


def search_one(
    model: Any, problem: HardProblem, replica: HardReplica, settings: PezSettings
) -> tuple[int, ...]:
    """The words after the last step of algorithm 1, from the class words on.

    Args:
        model: the library's own, with its vocabulary head.
        problem: the task on its source.
        replica: seed and allowed words.
        settings: steps, rate and the like.
    """
    table = model.get_input_embeddings().weight.detach()
    count = len(problem.class_ids)
    start = [problem.class_ids[place % count] for place in range(settings.prompt_length)]
    ids = project(table, replica.allowed, table[start])
    prompt = torch.nn.Parameter(table[ids].clone())
    optimiser = Adafactor(
        [prompt],
        lr=settings.learning_rate,
        relative_step=False,
        scale_parameter=False,
        warmup_init=False,
        weight_decay=settings.weight_decay,
    )
    train = problem.source.train
    for examples in batch_order(len(train), settings, replica.seed):
        copy = prompt.data.clone()
        prompt.data = table[project(table, replica.allowed, prompt.data)].clone()
        loss_of(model, problem, train.take(examples), prompt).backward()
        prompt.data = copy
        if settings.clip_gradient is not None:
            torch.nn.utils.clip_grad_norm_([prompt], settings.clip_gradient)
        optimiser.step()
        optimiser.zero_grad()
    ids = project(table, replica.allowed, prompt.data)
    loss_on_validation(model, problem, table[ids], settings.batch_size)
    return tuple(ids)


@torch.no_grad()
def loss_on_validation(
    model: Any, problem: HardProblem, prompt: torch.Tensor, size: int
) -> torch.Tensor:
    """The final evaluation: mean loss over the batches of the validation split."""
    data = problem.source.validation
    parts = torch.arange(len(data)).split(size)
    return torch.stack([loss_of(model, problem, data.take(part), prompt) for part in parts]).mean()
