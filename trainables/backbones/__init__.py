"""Frozen language models behind one interface: prompt vectors in, label-word logits out."""

from trainables.backbones.base import Backbone
from trainables.backbones.loading import load_backbone, load_reader
from trainables.backbones.reader import Encoded, Layout, Reader

__all__ = ["Backbone", "Encoded", "Layout", "Reader", "load_backbone", "load_reader"]
