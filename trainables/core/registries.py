"""Everything of one kind that comes with the project: each name stands here, once. No torch.

A new entry is a name and the place of its function or class, or a call in a file of the user's own
(:mod:`trainables.core.registry`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainables.core.registry import Registry, loaded

_ANCHORS = {"top_k": None, "mask": "union", "anchor_sample": None, "anchor_seed": 0}
_PLACE = "trainables.transfer.solvers"


@dataclass(frozen=True)
class SolverKind:
    """A transfer solver, before it is loaded.

    Attributes:
        solver: the subclass of :class:`trainables.transfer.solver.Solver`, or its place.
        settings: the settings of the transfer that it reads, with their defaults.
    """

    solver: Any
    settings: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Any:
        return loaded(self.solver)()


SOLVERS: Registry[SolverKind] = Registry(
    "solver",
    {
        "closed_form": SolverKind(f"{_PLACE}.closed_form:ClosedForm", _ANCHORS),
        "ridge": SolverKind(
            f"{_PLACE}.ridge:Ridge", {"gammas": (0.0, 0.001, 0.01, 0.1, 1.0, 10.0), **_ANCHORS}
        ),
        "adam": SolverKind(
            f"{_PLACE}.adam:Adam", {"steps": 2000, "learning_rate": 5e-3, **_ANCHORS}
        ),
        "v2v_lin": SolverKind(f"{_PLACE}.v2v_lin:V2vLin"),
        "v2v_nn": SolverKind(f"{_PLACE}.v2v_nn:V2vNn"),
        "lin_comb": SolverKind(f"{_PLACE}.lin_comb:LinComb"),
        "projector": SolverKind(
            f"{_PLACE}.projector:Projector", {"steps": 500, "learning_rate": 1e-3}
        ),
    },
)

NORMS: Registry[Any] = Registry(
    "norm",
    {name: f"trainables.transfer.norms:{name}" for name in ("match", "mean", "ptfer", "own")},
)
"""What turns found vectors [..., R, m, d] into vectors of the wanted length."""

SELECTIONS: Registry[Any] = Registry(
    "selection",
    {
        "none": "trainables.transfer.selection:own",
        "source_validation": "trainables.transfer.selection:on_sources",
        "target_validation": "trainables.transfer.selection:on_target",
    },
)
"""How one of a solver's candidates is chosen."""

METHODS: Registry[Any] = Registry(
    "method",
    {
        "soft": "trainables.core.settings.soft:SoftSettings",
        "autoprompt": "trainables.core.settings.autoprompt:AutoPromptSettings",
        "fluentprompt": "trainables.core.settings.fluentprompt:FluentPromptSettings",
        "mixed": "trainables.core.settings.mixed:MixedSettings",
        "pez": "trainables.core.settings.pez:PezSettings",
        "random": "trainables.core.settings.random_words:RandomSettings",
    },
)
"""The dataclass of a method's settings. Its ``family`` says which packs compute the method; what
computes it is named by ``search`` (hard) or ``parametrisation`` (soft)."""

FAMILIES: Registry[Any] = Registry(
    "family", {"soft": "trainables.soft.pack", "hard": "trainables.hard.pack"}
)
"""The module that computes the cells of a family's methods, see
:class:`trainables.packs.stacks.Family`."""

LOSSES: Registry[Any] = Registry(
    "loss",
    {name: f"trainables.scoring.losses:{name}" for name in ("label_words", "vocabulary")},
)
"""Loss [N] of N rows, see :data:`trainables.scoring.losses.RowLoss`."""

CHECKPOINTS: Registry[Any] = Registry(
    "checkpoint", {name: f"trainables.soft.tuning:{name}" for name in ("best", "last")}
)
"""Rank of an evaluation by its step, mean validation metric and loss; the highest is kept."""

INITIALISATIONS: Registry[Any] = Registry(
    "initialisation",
    {
        name: f"trainables.soft.initialisation:{name}"
        for name in ("normal", "uniform", "vocabulary", "label_words", "text", "file")
    },
)
"""How a soft prompt starts, a :class:`trainables.soft.initialisation.Initialisation`."""

OPTIMISERS: Registry[Any] = Registry(
    "optimiser", {name: f"trainables.hard.methods.pez:{name}" for name in ("adafactor", "adamw")}
)
"""What moves the vectors of PEZ."""

BACKBONES: Registry[Any] = Registry(
    "backbone",
    {
        name: f"trainables.backbones.{name}:{family}"
        for name, family in {
            "bert": "Bert",
            "gpt2": "GPT2",
            "llama": "Llama",
            "mpnet": "MPNet",
            "opt": "OPT",
            "roberta": "Roberta",
        }.items()
    },
)
"""The :class:`trainables.backbones.family.Family` of a ``model_type`` of Hugging Face configs."""


@dataclass(frozen=True)
class ExportFormat:
    """A folder for another program.

    Attributes:
        files: from a :class:`trainables.interchange.tuned.TunedPrompt` to the content of each file
            by its name, or the place of such a function.
        family: of the methods whose prompts it takes.
    """

    files: Any
    family: str

    def load(self) -> Any:
        return loaded(self.files)


FORMATS: Registry[ExportFormat] = Registry(
    "format",
    {
        "peft": ExportFormat("trainables.interchange.peft:peft_files", "soft"),
        "npy": ExportFormat("trainables.interchange.ptfer:ptfer_files", "soft"),
        "text": ExportFormat("trainables.interchange.text:text_files", "hard"),
    },
)
"""Export formats; the first of a family is its default."""
