"""Frozen language models behind one interface: prompt vectors in, label-word logits out."""

from trainables.backbones.base import Backbone, Prompts, Remembered
from trainables.backbones.labels import (
    ONE,
    AnswerTexts,
    Labels,
    LabelTexts,
    Reads,
    judged_by,
    label_texts,
    reads_of,
    spell,
)
from trainables.backbones.layout import LAYERS, Encoded, Layout
from trainables.backbones.loading import load_backbone, load_reader
from trainables.backbones.reader import Reader

__all__ = [
    "LAYERS",
    "ONE",
    "AnswerTexts",
    "Backbone",
    "Encoded",
    "LabelTexts",
    "Labels",
    "Layout",
    "Prompts",
    "Reader",
    "Reads",
    "Remembered",
    "judged_by",
    "label_texts",
    "load_backbone",
    "load_reader",
    "reads_of",
    "spell",
]
