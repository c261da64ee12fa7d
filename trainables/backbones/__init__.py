"""Frozen language models behind one interface: prompt vectors in, label-word logits out."""

from trainables.backbones.base import Backbone, Prompts, Remembered
from trainables.backbones.layout import Encoded, Layout
from trainables.backbones.loading import load_backbone, load_reader
from trainables.backbones.reader import Reader

__all__ = [
    "Backbone",
    "Encoded",
    "Layout",
    "Prompts",
    "Reader",
    "Remembered",
    "load_backbone",
    "load_reader",
]
