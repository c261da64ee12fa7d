"""A prompt with its model as a classifier of texts, and the folder it is kept in.

``classify`` reads and scores as evaluation does (:meth:`Backbone.read`,
:meth:`Backbone.split_logits`): a split classified as a whole gives the score that its cell has.

The folder holds ``task.yaml`` (classes, label words, template), ``prompt.yaml`` (the model by name
or folder, the layout, where the prompt comes from), and ``prompt.safetensors`` (one tensor
``prompt`` [m, d]) or ``prompt.txt`` (a hard prompt's text). The model itself is not in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from trainables.backbones import Backbone, Layout, load_backbone, reads_of
from trainables.core.cells import ModelRef
from trainables.core.precision import FLOAT32, PRECISIONS
from trainables.core.texts import Text
from trainables.errors import InputError
from trainables.files.strict_yaml import dump_yaml, load_yaml
from trainables.files.text_files import read_text
from trainables.hard.text import encode
from trainables.interchange import TunedPrompt
from trainables.models.names import model_now, portable
from trainables.scoring.evaluate import finite, no_number

TASK, ABOUT = "task.yaml", "prompt.yaml"
VECTORS, TEXT = "prompt.safetensors", "prompt.txt"
FORMAT = "promptsweep-classifier"


@dataclass(frozen=True)
class Answers:
    """What a classifier says of n texts.

    Attributes:
        labels: name of the class with the highest label-word logit, [n].
        probabilities: softmax over the label words' logits, float64 [n, C].
    """

    labels: list[str]
    probabilities: torch.Tensor


@dataclass(frozen=True, eq=False)
class Classifier:
    """A frozen model with a prompt, ready to classify.

    Attributes:
        backbone: the model.
        model: where it is to be had.
        layout: how inputs are put together.
        prompt: float32 [m, d].
        text: what a hard prompt says; None for a soft one.
        task: name, classes, label_words (and their scoring), manual, metric, text, pair, digest of
            the task.
        about: where the prompt comes from.
    """

    backbone: Backbone
    model: ModelRef
    layout: Layout
    prompt: torch.Tensor
    text: str | None
    task: Mapping[str, Any]
    about: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, tuned: TunedPrompt) -> "Classifier":
        task = tuned.task
        task.need_classes("register", "tasks with classes")
        return cls(
            backbone=tuned.backbone,
            model=tuned.model,
            layout=tuned.layout,
            prompt=torch.from_numpy(tuned.prompt.copy()),
            text=tuned.text,
            task={
                "name": task.name,
                "digest": task.digest,
                "classes": list(task.classes),
                "label_words": [
                    word if isinstance(word, str) else list(word) for word in task.label_words
                ],
                **({} if task.scoring is None else {"scoring": task.scoring}),
                "manual": task.manual,
                "metric": task.metric,
                "text": task.text,
                "pair": task.pair,
            },
            about=tuned.about,
        )

    @property
    def pair(self) -> bool:
        return self.task["pair"] is not None

    @property
    def classes(self) -> list[str]:
        """Names of the classes, [C]."""
        return list(self.task["classes"])

    @torch.no_grad()
    def logits(self, texts: Sequence[Text]) -> torch.Tensor:
        """Label-word logits [n, C] of texts, or of pairs of texts.

        Raises:
            InputError: no room for a text, nothing at all to read, or logits that are not finite.
        """
        backbone, name = self.backbone, str(self.task["name"])
        chat, scoring = self.layout.chat, self.task.get("scoring")
        labels = backbone.labels(self.task["label_words"], name, scoring, chat)
        if not texts:
            return torch.empty(0, len(labels))
        blind, spare = [0] * len(texts), reads_of(labels).longest
        data = backbone.read(texts, blind, self.layout, name, spare)
        prompt = self.prompt.to(backbone.device)[None] if len(self.prompt) else None
        logits = backbone.split_logits(data, labels, prompt)[0].cpu()
        broken = (~finite(logits)).nonzero().flatten().tolist()
        if broken:
            raise InputError(
                no_number(backbone.alias, name, f"text {broken[0] + 1} of {len(texts)}")
            )
        return logits

    def classify(self, texts: Sequence[Text]) -> Answers:
        """Class and probabilities of every text; errors as :meth:`logits`."""
        logits = self.logits(texts)
        names = self.classes
        return Answers(
            labels=[names[index] for index in logits.argmax(-1).tolist()],
            probabilities=logits.double().softmax(-1),
        )

    def write(self, folder: Path) -> None:
        """Write the classifier's folder, which is made where it does not exist.

        Raises:
            OSError: it cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        about = {
            "format": FORMAT,
            "version": 1,
            "backbone": asdict(portable(self.model)),
            "precision": self.backbone.precision,
            "layout": asdict(self.layout),
            "prompt": VECTORS if self.text is None else TEXT,
            "about": dict(self.about),
        }
        (folder / TASK).write_text(dump_yaml(self.task, readable=True), encoding="utf-8")
        (folder / ABOUT).write_text(dump_yaml(about, readable=True), encoding="utf-8")
        if self.text is None:
            vectors = self.prompt.float().contiguous()
            (folder / VECTORS).write_bytes(save({"prompt": vectors}, {"format": "pt"}))
        else:
            (folder / TEXT).write_bytes(self.text.encode())

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> "Classifier":
        """Inverse of :meth:`write`; loads the model.

        Raises:
            InputError: a file is missing or wrong, or the model cannot be had or is another one.
        """
        about, task = _read_yaml(folder / ABOUT), _read_yaml(folder / TASK)
        try:
            if (about["format"], about["version"]) != (FORMAT, 1):
                raise ValueError("it is no classifier's of version 1")
            model = ModelRef(**about["backbone"])
            layout = Layout(**about["layout"])
            precision = str(about.get("precision", FLOAT32))
            if precision not in PRECISIONS:
                raise ValueError(f"precision {precision!r}")
            stored = str(about["prompt"])
            if len(task["label_words"]) != len(task["classes"]) or "pair" not in task:
                raise ValueError(f"{TASK} has other classes than label words, or no pair")
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{folder / ABOUT}: cannot be used ({error}); allowed: the folder as sweep register"
                " wrote it"
            ) from None
        backbone = load_backbone(model_now(model), device, precision)
        text = None
        if stored == TEXT:
            text = _bytes(folder / TEXT).decode()
            prompt = backbone.embeddings[encode(backbone, text)].float().cpu()
        else:
            prompt = _vectors(folder / VECTORS)
        expected = [layout.prompt_length, backbone.vector_width(layout.position)]
        if list(prompt.shape) != expected:
            raise InputError(
                f"{folder / stored}: found a prompt of shape {list(prompt.shape)};"
                f" allowed: {expected} on {model.alias}"
            )
        return cls(backbone, model, layout, prompt, text, task, about.get("about", {}))


def _vectors(path: Path) -> torch.Tensor:
    try:
        vectors: torch.Tensor = load(_bytes(path))["prompt"]
    except (SafetensorError, KeyError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); allowed: safetensors with one tensor prompt"
        ) from None
    return vectors.float()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def _read_yaml(path: Path) -> dict[str, Any]:
    found = load_yaml(read_text(path, str(path)), str(path))
    if not isinstance(found, dict):
        raise InputError(f"{path}: found no mapping; allowed: the file as sweep register wrote it")
    return found
