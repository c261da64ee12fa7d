"""Models and sentences of several claims: real ones beside the repository, else embedded."""

from functools import cache
from pathlib import Path

from trainables.backbones import Backbone, Encoded, Layout, load_backbone
from trainables.core.cells import ModelRef
from trainables.models.names import resolve_model
from trainables.soft.tuning import Source
from trainables.tasks import Task, load_task

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
REAL = {
    "BERT-tiny": SHARED / "models" / "bert-tiny-mlm",
    "MiniLM-L6": SHARED / "models" / "minilm-l6-mlm",
}
"""Models beside the repository, by the name in the table."""
TASK = ROOT / "examples" / "tasks" / "rotten_tomatoes.yaml"
MINI = "mini/reviews"


def missing(model: str) -> str:
    """Why a model cannot be had; empty if it can."""
    if model in REAL and not REAL[model].is_dir():
        return f"no folder shared/models/{REAL[model].name} beside the repository"
    return ""


def located(model: str) -> ModelRef:
    """The model, real or embedded."""
    return resolve_model(str(REAL.get(model, model)))


@cache
def task() -> Task:
    """Sentences of film reviews where they lie beside the repository, else the embedded ones."""
    real = (SHARED / "data" / "rotten_tomatoes").is_dir()
    return load_task(TASK if real else MINI)


def read(backbone: Backbone, split: str, layout: Layout, rows: int | None = None) -> Encoded:
    """A split of :func:`task`, or its first rows."""
    examples = task().rows(split)[:rows]
    texts, gold = [row.text for row in examples], [row.label for row in examples]
    return backbone.read(texts, gold, layout)


def source(model: str, layout: Layout, rows: int | None = None, validation: int = 16) -> Source:
    """A model with the task, ready to be tuned."""
    backbone = load_backbone(located(model))
    return Source(
        backbone,
        located(model).digest,
        backbone.labels(task().label_words, task().name),
        read(backbone, "train", layout, rows),
        read(backbone, "validation", layout, validation),
    )
