"""A model of one-token prompts whose answers are a table, and which counts what it reads."""

from types import SimpleNamespace
from typing import Any

import torch

from trainables.backbones import Encoded
from trainables.hard.problem import TaskModel


class TableModel:
    """Logits looked up in a table [prompts, rows, classes]; a prompt is one token, its number."""

    alias = "table"
    device = torch.device("cpu")

    def __init__(self, table: torch.Tensor) -> None:
        self.table = table
        self.embeddings = torch.arange(len(table), dtype=torch.float64)[:, None]
        self.rows = len(table)
        self.family = SimpleNamespace(max_tokens=64)
        self.rows_read = 0

    def label_logits(
        self, prompts: torch.Tensor, batch: Encoded, label_ids: torch.Tensor
    ) -> torch.Tensor:
        assert prompts.shape[1:] == (1, 1)
        self.rows_read += len(prompts) * len(batch)
        number = prompts[:, 0, 0].long()
        return self.table[number][:, batch.ids[:, 1]][..., : len(label_ids)]


def table_reading(table: torch.Tensor, gold: torch.Tensor) -> TaskModel:
    """A reading whose validation rows hold a prompt slot and their own number."""
    rows = len(gold)
    data = Encoded(
        ids=torch.stack([torch.zeros(rows, dtype=torch.long), torch.arange(rows)], 1),
        lengths=torch.full((rows,), 2),
        slots=torch.zeros(rows, dtype=torch.long),
        answers=torch.ones(rows, dtype=torch.long),
        gold=gold,
        begin=0,
    )
    model: Any = TableModel(table)
    return TaskModel(model, torch.arange(table.shape[-1]), data, data)
