"""Prompt tuning with Hugging Face PEFT: by a plain loop, and by the Hugging Face Trainer.

One prompt (of one set of sources) at a time, the model's own full forward pass with logits of the
whole vocabulary, batches padded to their longest row.

PEFT puts its virtual tokens before everything else, we put prompts after the token that a text
begins with. That token's embedding is the first virtual token here, it gets no gradient, and texts
come without it: rows have as many tokens as ours, and results are the same.

Shapes: m prompt tokens, d width, B rows of a batch, L tokens, V vocabulary, C classes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    Trainer,
    TrainingArguments,
)

from trainables.backbones import Encoded
from trainables.compute.optim import linear_schedule
from trainables.core.settings import SoftSettings
from trainables.soft.tuning import Replica, Source, annealing, batch_order
from trainables.words.relative import relative_representation


@dataclass(frozen=True)
class Rows:
    """A split as PEFT is to read it: what follows the virtual tokens.

    Attributes:
        ids: token ids of each row, of its own length.
        answers: where each row's answer is read, virtual tokens counted [n].
        gold: label of each row [n].
    """

    ids: list[torch.Tensor]
    answers: torch.Tensor
    gold: torch.Tensor

    @classmethod
    def of(cls, data: Encoded, virtual: int) -> "Rows":
        """The rows of a split laid out as ``prefix``, less their first ``virtual`` tokens."""
        ids = [
            row[virtual:length] for row, length in zip(data.ids, data.lengths.tolist(), strict=True)
        ]
        return cls(ids, data.answers, data.gold)

    def batch(self, index: torch.Tensor) -> dict[str, torch.Tensor]:
        """Rows ``index``, padded on the right to the longest of them."""
        rows = [self.ids[place] for place in index.tolist()]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        lengths = torch.tensor([len(row) for row in rows])
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "answers": self.answers[index],
            "gold": self.gold[index],
        }


class PeftPrompt:
    """One prompt on one model by PEFT.

    Attributes:
        model: the PEFT model.
        prompt: its virtual tokens [b + m, d], b of them the text's own beginning.
        train: training split.
        validation: validation split.
    """

    def __init__(
        self, source: Source, base: Any, start: torch.Tensor, loss: str = "label_words"
    ) -> None:
        """Wrap ``base``, the library's own model, around the prompt ``start`` [m, d].

        ``loss`` is a name in :data:`LOSSES`.
        """
        from peft import PromptTuningConfig, get_peft_model  # takes seconds

        self.kind = loss
        self.masked = source.backbone.family.masked
        begin = source.backbone.embeddings[source.train.ids[0, : source.train.begin]]
        self.fixed = len(begin)
        virtual = self.fixed + len(start)
        config = PromptTuningConfig(
            task_type="FEATURE_EXTRACTION" if self.masked else "CAUSAL_LM",
            num_virtual_tokens=virtual,
            token_dim=source.backbone.width,
        )
        self.model = get_peft_model(base, config)
        self.prompt = self.model.prompt_encoder["default"].embedding.weight
        with torch.no_grad():
            self.prompt.copy_(torch.cat([begin.float(), start]))
        trained = torch.ones(virtual, 1)
        trained[: self.fixed] = 0.0
        self.prompt.register_hook(lambda gradient: gradient * trained)
        self.labels = source.label_ids
        self.train = Rows.of(source.train, virtual)
        self.validation = Rows.of(source.validation, virtual)

    @property
    def own(self) -> torch.Tensor:
        """The prompt [m, d] without the text's beginning."""
        return self.prompt[self.fixed :]

    def logits(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Label-word logits [B, C], out of those of all words everywhere."""
        out = self.model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).logits
        return out[torch.arange(len(out)), batch["answers"]][:, self.labels]

    def loss(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """The training loss."""
        return LOSSES[self.kind](self, batch)

    @torch.no_grad()
    def validate(self, size: int) -> torch.Tensor:
        """Validation logits [v, C], ``size`` rows at a time."""
        rows = torch.arange(len(self.validation.gold))
        parts = [self.logits(self.validation.batch(part)) for part in rows.split(size)]
        return torch.cat(parts)


def _label_words(tuning: PeftPrompt, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Cross-entropy over the label words: the least that a careful user computes."""
    return F.cross_entropy(tuning.logits(batch), batch["gold"])


def _vocabulary(tuning: PeftPrompt, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """``outputs.loss`` as in PEFT's documentation: labels are -100 but at the answer."""
    ids, mask, words = batch["input_ids"], batch["attention_mask"], tuning.labels[batch["gold"]]
    rows, virtual = torch.arange(len(ids)), len(tuning.prompt)
    if tuning.masked:  # PEFT has no task type for masked models and leaves labels as they are
        labels = torch.full((len(ids), virtual + ids.shape[1]), -100)
        labels[rows, batch["answers"]] = words
    else:  # the label word stands behind the text, the model shifts labels by one
        ids, mask = F.pad(ids, (0, 1)), F.pad(mask, (0, 1))
        behind = batch["answers"] + 1 - virtual
        labels = torch.full_like(ids, -100)
        ids[rows, behind], labels[rows, behind], mask[rows, behind] = words, words, 1
    loss: torch.Tensor = tuning.model(input_ids=ids, attention_mask=mask, labels=labels).loss
    return loss


LOSSES = {"label_words": _label_words, "vocabulary": _vocabulary}
"""Training losses, by the names our settings have for them."""


def plain_model(source: Source, location: str) -> Any:
    """The library's own model with its vocabulary head, without dropout (as ours is by default)."""
    auto = AutoModelForMaskedLM if source.backbone.family.masked else AutoModelForCausalLM
    model = auto.from_pretrained(location, dtype=torch.float32)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model.eval()


def _optimiser(
    parameters: Sequence[torch.Tensor], settings: SoftSettings, steps: int
) -> tuple[torch.optim.Optimizer, Any]:
    optimiser = torch.optim.AdamW(parameters, settings.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: linear_schedule(min(step, steps - 1), steps, settings.warmup)
    )
    return optimiser, schedule


@dataclass(frozen=True)
class Outcome:
    """Of one tuning, per source: the prompt [m, d] and the validation logits [v, C]."""

    prompts: list[torch.Tensor]
    validation: list[torch.Tensor]


def by_loop(
    tunings: Sequence[PeftPrompt],
    replica: Replica,
    settings: SoftSettings,
    anchors: Sequence[torch.Tensor] = (),
) -> Outcome:
    """The loop that PEFT's documentation shows; with ``anchors``, jointly and with L_ra.

    Args:
        tunings: one a source.
        replica: seed (order of examples) and weight of L_ra.
        settings: steps, rates and the like.
        anchors: per source the anchors [k, d], for equation 5 read word by word.
    """
    order = batch_order(len(tunings[0].train.gold), settings, replica.seed)
    steps = len(order)
    optimiser, schedule = _optimiser([one.prompt for one in tunings], settings, steps)
    for step, rows in enumerate(order, start=1):
        task = torch.stack([one.loss(one.train.batch(rows)) for one in tunings]).mean()
        aligned = _alignment([one.own for one in tunings], anchors)
        weight = replica.weight.value
        if weight is None:
            loss = task + annealing(step, steps) * aligned
        else:
            loss = (1.0 - weight) * task + weight * aligned
        loss.backward()
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
    return Outcome(
        [one.own.detach().clone() for one in tunings],
        [one.validate(settings.batch_size) for one in tunings],
    )


def _alignment(prompts: Sequence[torch.Tensor], anchors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Equation 5 as it is printed: cosines with every anchor, then their cosine."""
    total, pairs = torch.zeros(()), 0
    if not anchors:
        return total
    seen = [relative_representation(p, a) for p, a in zip(prompts, anchors, strict=True)]
    for j in range(len(seen)):
        for k in range(j + 1, len(seen)):
            total = total + (1.0 - torch.cosine_similarity(seen[j], seen[k], dim=-1)).mean()
            pairs += 1
    return total / pairs


class _Ordered(torch.utils.data.Sampler[int]):
    """Examples in a given order, so that both sides see the same batches."""

    def __init__(self, order: torch.Tensor) -> None:
        self.order = order.flatten().tolist()

    def __iter__(self) -> Iterator[int]:
        return iter(self.order)

    def __len__(self) -> int:
        return len(self.order)


class _PromptTrainer(Trainer):  # type: ignore[misc]
    """The Trainer with the loss over label words."""

    def __init__(self, tuning: PeftPrompt, order: torch.Tensor, **more: Any) -> None:
        self.tuning, self.ordered = tuning, order
        super().__init__(model=tuning.model, **more)

    def _get_train_sampler(self, *arguments: Any) -> _Ordered:
        return _Ordered(self.ordered)

    def compute_loss(self, model: Any, inputs: dict[str, Any], *more: Any, **named: Any) -> Any:
        return self.tuning.loss(inputs)


def by_trainer(
    tuning: PeftPrompt, replica: Replica, settings: SoftSettings, folder: str
) -> Outcome:
    """One prompt on one model by the Hugging Face Trainer, with nothing written or logged."""
    order = batch_order(len(tuning.train.gold), settings, replica.seed)
    arguments = TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=settings.batch_size,
        max_steps=len(order),
        max_grad_norm=0.0,
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
    )
    trainer = _PromptTrainer(
        tuning,
        order,
        args=arguments,
        train_dataset=list(range(len(tuning.train.gold))),
        data_collator=lambda rows: tuning.train.batch(torch.tensor(rows)),
        optimizers=_optimiser([tuning.prompt], settings, len(order)),
    )
    trainer.train()
    return Outcome([tuning.own.detach().clone()], [tuning.validate(settings.batch_size)])
