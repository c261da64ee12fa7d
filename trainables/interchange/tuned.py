"""A prompt or a readout with all that its scores rest on, and what a folder says about it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from trainables.backbones import (
    Backbone,
    Labels,
    LabelTexts,
    Layout,
    label_texts,
    reads_of,
    spell,
)
from trainables.core.cells import ModelRef
from trainables.core.texts import listed
from trainables.errors import InputError
from trainables.files.strict_yaml import load_yaml
from trainables.files.text_files import read_text
from trainables.tasks import Task

MANIFEST = "promptsweep.json"
README = "README.md"


class OnModel:
    """What was found for a model, whatever it is.

    Attributes:
        backbone: the model.
        model: where that model is to be had.
        layout: how inputs were put together when it was scored.
        task: what it was scored on.
        about: further facts for the manifest: cell, sources, seed, λ, scores.
    """

    backbone: Backbone
    model: ModelRef
    layout: Layout
    task: Task
    about: Mapping[str, Any]

    def what(self) -> dict[str, Any]:
        """What the manifest says of its numbers."""
        raise NotImplementedError

    @cached_property
    def labels(self) -> Labels:
        """The task's label words on the model; InputError where one does not do."""
        task = self.task
        task.need_classes("export", "tasks with classes")
        chat = self.layout.chat
        return spell(self.backbone, task.label_words, task.name, task.scoring, chat=chat)

    @property
    def several(self) -> LabelTexts | None:
        """They, where a class has more than one token."""
        return self.labels if isinstance(self.labels, LabelTexts) else None

    @property
    def template_ids(self) -> list[int]:
        """Ids of the template."""
        return self.backbone.template_ids(self.layout)

    @property
    def closing_ids(self) -> list[int]:
        """Ids between the template or its mask and the answer: of a chat template."""
        return self.backbone.closing(self.layout)

    @property
    def ids_after_text(self) -> list[int]:
        """Ids of what follows a text in the layout ``prefix``: template, mask or chat, end."""
        answer = self.backbone.answer_ids(self.layout)
        return [*self.template_ids, *answer, *self.closing_ids, *self.backbone.end]

    @property
    def decoder_ids(self) -> list[int]:
        """Ids that a decoder of its own is given before its answer; empty: there is none."""
        return self.backbone.decoder_ids(self.layout.answer)

    @property
    def where_to_read(self) -> dict[str, Any]:
        """Entries of the manifest on where the answer is, from the end of what is read."""
        if self.decoder_ids:
            return {"answer_index": -1, "decoder_ids": self.decoder_ids}
        return {"answer_index": -1 - len(self.backbone.end)}

    @property
    def call_of_model(self) -> dict[str, str]:
        """Parts of the code in a folder's README: which class, and what it takes beside ids."""
        decoder = (
            ', decoder_input_ids=torch.tensor([usage["decoder_ids"]])' if self.decoder_ids else ""
        )
        auto = self.backbone.family.head.auto
        return {"auto": auto, "load": self.loading, "decoder": decoder}

    @property
    def loading(self) -> str:
        """Arguments, as code of a README, with which the library loads the model."""
        if self.model.stored is None:
            return 'base["location"], revision=base["revision"]'
        return 'str(Path(base["location"]).parent), gguf_file=Path(base["location"]).name'

    def manifest(self, kind: str, **more: Any) -> bytes:
        """JSON that says what it is and how to read with it.

        Args:
            kind: the format of the numbers beside it.
            **more: entries that only this format has.
        """
        backbone, task = self.backbone, self.task
        content = {
            "format": f"promptsweep-{kind}",
            "version": 1,
            **self.about,
            "base_model": {
                **asdict(self.model),
                "head": backbone.family.head.name,
                "license": licence_of(self.model.location) or "unknown",
            },
            "task": {
                "name": task.name,
                "digest": task.digest,
                "metric": task.metric,
                "labels": self._labels(),
                **({} if task.scoring is None else {"scoring": task.scoring}),
            },
            **self.what(),
            "layout": {
                "position": self.layout.position,
                "template": self.layout.template,
                "text_prefix": backbone.text_lead(self.layout),
                "most_text_tokens": backbone.room(
                    self.layout, task.name, task.pair is not None, reads_of(self.labels).longest
                ),
                "begin_ids": list(backbone.frame(self.layout)),
                "mask_id": backbone.blank if backbone.family.masked else None,
                "end_ids": list(backbone.end),
                **self._pair(),
                **self._chat(),
            },
            **more,
        }
        return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()

    def _chat(self) -> dict[str, Any]:
        """What the chat template puts around the user's turn; nothing without one."""
        frame = self.backbone.chat if self.layout.chat else None
        if frame is None:
            return {}
        return {"chat": {"before": frame.text.before + frame.text.lead, "after": frame.text.after}}

    def _labels(self) -> list[dict[str, Any]]:
        """What stands for each class, as words and as tokens."""
        spelled = label_texts(self.labels).spelled
        return [
            {"class": name, "word": word, "token_id": ids[0][0]}
            if self.several is None
            else {"class": name, "words": listed(word), "token_ids": ids}
            for name, word, ids in zip(
                self.task.classes, self.task.label_words, spelled, strict=True
            )
        ]

    def _pair(self) -> dict[str, Any]:
        """How the two texts of a pair stand; nothing for tasks on one text."""
        if self.task.pair is None:
            return {}
        backbone = self.backbone
        return {
            "pair_separator": list(backbone.separator) or " ",
            "second_token_type": backbone.second_type,
        }


@dataclass(frozen=True, eq=False)
class TunedPrompt(OnModel):
    """A tuned or carried prompt on the model it is meant for.

    Attributes:
        prompt: float32 [m, d].
        text: what a hard prompt says; its vectors are the embeddings of its tokens then.
    """

    prompt: np.ndarray
    backbone: Backbone
    model: ModelRef
    layout: Layout
    task: Task
    about: Mapping[str, Any] = field(default_factory=dict)
    text: str | None = None

    def __post_init__(self) -> None:
        """Raise InputError for a prompt that does not fit the model or the layout."""
        expected = (self.layout.prompt_length, self.backbone.vector_width(self.layout.position))
        if self.prompt.shape != expected:
            raise InputError(
                f"model {self.model.alias!r}: found a prompt of shape {list(self.prompt.shape)};"
                f" allowed: {list(expected)} (prompt length, numbers of a vector on the model)"
            )

    def what(self) -> dict[str, Any]:
        found = {"vectors": len(self.prompt), "width": self.prompt.shape[1]}
        deep = {"past": self.backbone.past._asdict()} if self.layout.deep else {}
        return {"prompt": {**found, **deep}}


@dataclass(frozen=True, eq=False)
class KeptReadout(OnModel):
    """A linear map of what a model computes of a text without a prompt.

    Attributes:
        weights: float32 [C, h + 1], the last column the bias.
        features: what it reads, a name of :data:`trainables.core.registries.FEATURES`.
    """

    weights: np.ndarray
    features: str
    backbone: Backbone
    model: ModelRef
    layout: Layout
    task: Task
    about: Mapping[str, Any] = field(default_factory=dict)

    def what(self) -> dict[str, Any]:
        return {"readout": dict(zip(("classes", "columns"), self.weights.shape, strict=True))}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files (name to content) into ``folder``, which is made where it does not exist.

    Raises:
        OSError: it cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def licence_of(location: str) -> str | None:
    """The licence that the card (``README.md``) of a model's folder names; None where none does.

    A Hub name gives None: nothing is asked of the Hub for it.
    """
    try:
        text = read_text(Path(location) / README, README)
    except InputError:
        return None
    start, mark, rest = text.partition("---\n")
    if start.strip() or not mark:
        return None
    try:
        head: Any = load_yaml(rest.partition("\n---")[0], README)
    except InputError:
        return None
    named = head.get("license") if isinstance(head, dict) else None
    if isinstance(named, list):
        named = ", ".join(map(str, named))
    return named if isinstance(named, str) and named else None
