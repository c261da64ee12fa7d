"""How many replicas of a joint tuning fit in memory, measured and not guessed."""

from collections.abc import Hashable, Sequence

import torch

from trainables.backbones import reads_of
from trainables.compute.memory import RESERVE, attempt, free_bytes, give_back, metered
from trainables.compute.passes import pass_tokens
from trainables.core.settings import SoftSettings
from trainables.soft.initialisation import Beginning
from trainables.soft.parametrisation import parametrisation_of
from trainables.soft.source import Source, TaskGradient, stack_loss

BESIDE = 1.5
"""On a CPU the bytes saved for the backward pass times this are taken as a step's peak: gradients
and what an operation holds for a moment come on top. On CUDA the peak itself is measured."""

COPIES = 4
"""Of what is trained: itself, its gradient and two moments."""

_measured: dict[Hashable, tuple[int, int]] = {}
"""Bytes of a step by shape: of one replica, and of each further one in the same pass."""


def shape_of(sources: Sequence[Source], settings: SoftSettings) -> Hashable:
    """What the memory of a step depends on besides the number of replicas."""
    return (
        "soft",
        str(sources[0].backbone.device),
        *(
            (
                *(source.key, int(source.examples.lengths.max()), reads_of(source.words)),
                source.examples.guided and source.examples.guided.guide,
            )
            for source in sources
        ),
        *(settings.batch_size, settings.prompt_length, settings.loss, settings.dropout),
        *(settings.position, settings.reparametrise, settings.reparametrise_hidden),
    )


def replicas_that_fit(sources: Sequence[Source], settings: SoftSettings, most: int) -> int:
    """Replicas of a stack that fit in the free memory less :data:`memory.RESERVE`, 1 to ``most``.

    One step with one replica and one with two are run, once per models and batch shape in this
    process, on the longest examples: a stack never holds more than they say. Where a full pass
    fits, only what is trained grows on with the stack: rows beyond it take another pass.

    Args:
        sources: the backbones with the task.
        settings: batch size, prompt length and the like.
        most: replicas there are; nothing is measured for a single one.
    """
    if most == 1:
        return 1
    shape = shape_of(sources, settings)
    if shape not in _measured:
        one = attempt(lambda: step_bytes(sources, settings, 1))
        two = attempt(lambda: step_bytes(sources, settings, 2))
        give_back()
        if one is None or two is None:
            return 1  # not remembered: another time there may be more room
        _measured[shape] = (one, max(1, two - one))
    first, further = _measured[shape]
    device = sources[0].backbone.device
    room = (1.0 - RESERVE) * free_bytes(device)
    kept = trained_bytes(sources, settings)
    fit = 1 + int((room - first - kept) // (further + kept))
    longest = max(int(source.lengths.max()) for source in sources)
    full = int(pass_tokens(device) / (settings.batch_size * longest))
    if fit > full:
        fit = max(fit, int((room - first - full * further) // kept))
    return min(most, max(1, fit))


def step_bytes(sources: Sequence[Source], settings: SoftSettings, replicas: int) -> int:
    """Bytes that one training step of so many replicas takes beside the models."""
    device = str(sources[0].backbone.device)
    weights = {
        tensor.untyped_storage().data_ptr()
        for source in sources
        for tensor in source.backbone.family.model.state_dict(keep_vars=True).values()
    }
    lengths = torch.stack([source.lengths for source in sources]).amax(0)
    order = torch.argsort(lengths, descending=True)
    size = settings.batch_size
    rows = order.repeat(-(-size // len(order)))[:size].repeat(replicas)
    loss = stack_loss(sources[0], settings, range(replicas))
    most = 0
    for source in sources:  # one after another, as in training
        guided = source.examples.guided
        length = settings.prompt_length if guided is None else guided.guide.rows
        prompts = _some_prompt(source, settings, length).expand(replicas, -1, -1).clone()
        with metered(device, weights) as found:
            TaskGradient(source, loss)(prompts, rows, torch.ones(replicas), 1)
        most = max(most, *found)
    return most if torch.device(device).type == "cuda" else int(BESIDE * most)


def trained_bytes(sources: Sequence[Source], settings: SoftSettings) -> int:
    """Bytes that what is trained of one replica takes, with gradient and moments.

    Of vectors that is next to nothing; keys and values of all layers, or a network in front of
    them, may be larger than what a step keeps.
    """
    form = parametrisation_of(settings)
    total = 0
    for source in sources:
        prompt = _some_prompt(source, settings, settings.prompt_length)
        start = Beginning(source.backbone, source.label_ids, settings, 0, source.key)
        total += sum(tensor.nbytes for tensor in form.start(prompt, start))
    return COPIES * total


def _some_prompt(source: Source, settings: SoftSettings, length: int) -> torch.Tensor:
    """Numbers in the shape of a prompt of so many rows; what they are does not matter."""
    shape = length, source.backbone.vector_width(settings.position)
    draw = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return 0.02 * draw.to(source.backbone.device)
