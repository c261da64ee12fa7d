"""What a token costs: FLOPs counted through the code that trains and evaluates."""

from dataclasses import dataclass

import torch

from benchmarks.gpu.models import PROMPT, source_of
from trainables.backbones import Backbone
from trainables.scoring.losses import StackLoss
from trainables.soft.source import TaskGradient
from trainables.testing.work import counted

ROWS, TOKENS = 16, 24


@dataclass(frozen=True)
class Cost:
    """FLOPs for each token that passes a model: in a training step, and read only."""

    calm: float
    dropout: float
    reading: float

    def of(self, kind: str) -> float:
        """Of a kind of work, e.g. ``joint dropout`` or ``reading``."""
        return float(getattr(self, kind.split()[-1]))


def cost_of(backbone: Backbone) -> Cost:
    """Counted on rows of one length."""
    source = source_of(backbone, torch.full((ROWS,), TOKENS))
    prompts = torch.randn(1, PROMPT, backbone.width, device=backbone.device)

    def training(dropout: bool) -> float:
        gradient = TaskGradient(source, StackLoss("label_words", dropout, [0]))
        with counted() as work:
            gradient(prompts, torch.arange(ROWS), torch.ones(1), 1)
        return work.flops / work.read

    with counted() as work:
        backbone.split_logits(source.validation, source.label_ids, prompts)
    return Cost(training(False), training(True), work.flops / work.read)
