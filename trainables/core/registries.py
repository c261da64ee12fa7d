"""Everything of one kind that comes with the project: each name stands here, once. No torch.

A new entry is a name and the place of its function or class, or a call in a file of the user's own
(:mod:`trainables.core.registry`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from trainables.core.registry import Registry, loaded

_ANCHORS = {"top_k": None, "mask": "union", "anchor_sample": None, "anchor_seed": 0}
_TAUGHT = {"teacher": "sources", "texts": 512, "texts_from": None}
_PLACE, _TAUGHT_PLACE = "trainables.transfer.solvers", "trainables.transfer.taught"


@dataclass(frozen=True)
class SolverKind:
    """A way of transfer, before it is loaded.

    Attributes:
        solver: the subclass of :class:`trainables.transfer.solver.Solver` or of
            :class:`trainables.transfer.solver.Predictor`, or its place.
        settings: the settings of the transfer that it reads, with their defaults.
        anytime: the setting that says where along one run its result is taken: what is found with
            a smaller value is found on the way to a larger one. None where there is no such thing.
        selections: of :data:`SELECTIONS`, those that make sense with it; empty: all.
        learns: whether a teacher that it is given is learnt from, or chooses at most.
        through: whether it works through the target, instead of mapping between embedding tables:
            it is planned in packs of its own, and compared under "Cost and gain" alone where
            others are not.
        prompt: whether it ends in a prompt.
        layers: whether it carries keys and values of layers too; else vectors alone.
        heads: whether it also carries what a prompt's heads decide
            (:mod:`trainables.soft.decided`).
    """

    solver: Any
    settings: Mapping[str, Any] = field(default_factory=dict)
    anytime: str | None = None
    selections: tuple[str, ...] = ()
    learns: bool = True
    through: bool = False
    prompt: bool = True
    layers: bool = False
    heads: bool = False

    def load(self) -> Any:
        return loaded(self.solver)()


@dataclass(frozen=True)
class Part:
    """One of the things that a way of transfer is put together from, before it is loaded.

    Attributes:
        place: a function, or its place.
        of_sources: whether something of the sources comes in by it.
    """

    place: Any
    of_sources: bool = False

    def load(self) -> Any:
        """The function."""
        return loaded(self.place)


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
        "copy": SolverKind(f"{_PLACE}.copied:Copy", selections=("none",), layers=True),
        "decisions": SolverKind(
            f"{_PLACE}.decisions:Decisions",
            {**_ANCHORS, "texts": 512},
            selections=("none",),
            through=True,
            heads=True,
        ),
        "v2v_lin": SolverKind(f"{_PLACE}.v2v_lin:V2vLin"),
        "v2v_nn": SolverKind(f"{_PLACE}.v2v_nn:V2vNn"),
        "lin_comb": SolverKind(f"{_PLACE}.lin_comb:LinComb"),
        "projector": SolverKind(
            f"{_PLACE}.projector:Projector",
            {"steps": 500, "learning_rate": 1e-3},
            through=True,
        ),
        "distil": SolverKind(
            f"{_TAUGHT_PLACE}.distil:Distil",
            {
                "steps": 120,
                "learning_rate": 0.2,
                "batch_size": 8,
                "start": "vocabulary",
                "start_text": None,
                "temperature": 1.0,
                "degenerate": "keep",
                **_TAUGHT,
            },
            anytime="steps",
            through=True,
        ),
        "tune": SolverKind(
            f"{_TAUGHT_PLACE}.tune:Tune",
            {
                "steps": 120,
                "learning_rate": 0.2,
                "batch_size": 8,
                "start": "carried",
                "start_text": None,
                "shots": None,
            },
            anytime="steps",
            through=True,
        ),
        "search": SolverKind(
            f"{_TAUGHT_PLACE}.search:Search",
            {
                "algorithm": "cma",
                "subspace": "random",
                "dimensions": 32,
                "start": "vocabulary",
                "start_text": None,
                "shots": None,
                "budget": 16_000,
                **_TAUGHT,
                "texts": 64,
            },
            anytime="budget",
            through=True,
        ),
        "random_words": SolverKind(
            f"{_TAUGHT_PLACE}.random_words:RandomWords",
            {"tries": 40, **_TAUGHT, "texts": 64},
            selections=("agreement", "target_validation"),
            learns=False,
            through=True,
        ),
        "readout": SolverKind(
            f"{_TAUGHT_PLACE}.readout:Readout",
            {"features": "states", **_TAUGHT},
            selections=("none",),
            through=True,
            prompt=False,
        ),
        "proxy": SolverKind(
            f"{_TAUGHT_PLACE}.proxy:Proxy", selections=("none",), through=True, prompt=False
        ),
        "calibrated_sum": SolverKind(
            f"{_TAUGHT_PLACE}.proxy:CalibratedSum",
            selections=("none",),
            through=True,
            prompt=False,
        ),
    },
)

STARTS: Registry[Part] = Registry(
    "start",
    {
        "carried": Part("trainables.transfer.taught.starts:carried", of_sources=True),
        "nearest_words": Part("trainables.transfer.taught.starts:nearest_words", of_sources=True),
        "vocabulary": Part("trainables.transfer.taught.starts:vocabulary"),
        "label_words": Part("trainables.transfer.taught.starts:label_words"),
        "text": Part("trainables.transfer.taught.starts:text"),
    },
)
"""Where a prompt begins that is trained on the target, see :mod:`trainables.transfer.taught`."""

TEACHERS: Registry[Part] = Registry(
    "teacher",
    {
        "sources": Part("trainables.packs.lessons:sources", of_sources=True),
        "permuted": Part("trainables.packs.lessons:permuted", of_sources=True),
        "ensemble": Part("trainables.packs.lessons:ensemble", of_sources=True),
        "readout": Part("trainables.packs.lessons:readout", of_sources=True),
        "own": Part("trainables.packs.lessons:own"),
        "direct": Part("trainables.packs.lessons:direct"),
        "gold": Part("trainables.packs.lessons:gold"),
    },
)
"""Whose label probabilities of texts the target is taught, see :mod:`trainables.packs.lessons`."""

SUBSPACES: Registry[Part] = Registry(
    "subspace",
    {
        "random": Part("trainables.transfer.taught.subspaces:random_directions"),
        "sources": Part("trainables.transfer.taught.subspaces:carried_directions", of_sources=True),
        "words": Part("trainables.transfer.taught.subspaces:word_directions"),
    },
)
"""Directions that a search moves a prompt in, see :mod:`trainables.transfer.taught.subspaces`."""

FEATURES: Registry[Any] = Registry(
    "features",
    {name: f"trainables.transfer.taught.readout:{name}" for name in ("states", "words")},
)
"""What a readout reads, a :class:`trainables.transfer.taught.readout.Features`."""

ALGORITHMS: Registry[Any] = Registry("algorithm", {"cma": "cmaes:CMA", "sep_cma": "cmaes:SepCMA"})
"""What a search asks for points and tells their losses: a class of the package ``cmaes``, or one
that is made and used like it."""

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
        "agreement": "trainables.transfer.selection:with_teacher",
        "target_validation": "trainables.transfer.selection:on_target",
    },
)
"""How one of a solver's candidates is chosen."""

METHODS: Registry[Any] = Registry(
    "method",
    {
        "soft": "trainables.core.settings.soft:SoftSettings",
        "dynamic": "trainables.core.settings.dynamic:DynamicSettings",
        "autoprompt": "trainables.core.settings.autoprompt:AutoPromptSettings",
        "fluentprompt": "trainables.core.settings.fluentprompt:FluentPromptSettings",
        "mixed": "trainables.core.settings.mixed:MixedSettings",
        "pez": "trainables.core.settings.pez:PezSettings",
        "prefix": "trainables.soft.prefix:PrefixSettings",
        "proposals": "trainables.core.settings.helped.proposals:ProposalsSettings",
        "random": "trainables.core.settings.random_words:RandomSettings",
        "rlprompt": "trainables.core.settings.helped.rlprompt:RLPromptSettings",
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
        for name in ("normal", "uniform", "vocabulary", "label_words", "mask", "text", "file")
    },
)
"""How a soft prompt starts, a :class:`trainables.soft.initialisation.Initialisation`."""

REPARAMETRISATIONS: Registry[Any] = Registry(
    "reparametrisation",
    {
        "none": "trainables.soft.parametrisation:Vectors",
        "mlp": "trainables.soft.forms.mlp:MLP",
        "residual": "trainables.soft.forms.residual:Residual",
    },
)
"""What is trained of a prompt, a :class:`trainables.soft.parametrisation.Parametrisation`; what it
stands for is what is kept."""

PRETEXTS: Registry[Any] = Registry(
    "pretext",
    {
        "nsp": "trainables.pretext.pairs:nsp",
        "nss": "trainables.pretext.choices:nss",
        "unified": "trainables.pretext.choices:unified",
        "pseudo": "trainables.pretext.pseudo:pseudo",
    },
)
"""A kind of pretext task, made of ordered documents: a :class:`trainables.pretext.material.Kind`.
Those that need no labels are built by default."""

SIMILARITIES: Registry[Any] = Registry(
    "similarity",
    {name: f"trainables.tasks.similarity:{name}" for name in ("average_tokens", "per_token")},
)
"""How like two tasks are by prompts [m, d] that were tuned on them for a few steps."""

OPTIMISERS: Registry[Any] = Registry(
    "optimiser",
    {
        name: f"trainables.compute.optim:{name}"
        for name in ("adafactor", "adafactor_whole", "adamw")
    },
)
"""What moves the vectors of a prompt: from stacked tensors [R, ...] and the method's settings to a
:class:`trainables.compute.optim.Optimiser`."""

SCHEDULES: Registry[Any] = Registry(
    "schedule",
    {
        name: f"trainables.compute.optim:{name}_schedule"
        for name in ("linear", "constant", "inverse_root")
    },
)
"""Factor of the learning rate before a step (from 0), of so many steps, with a share of warm-up."""

BACKBONES: Registry[Any] = Registry(
    "backbone",
    {
        name: f"trainables.backbones.families.{family}"
        for name, family in {
            "bert": "bert:Bert",
            "gpt2": "gpt2:GPT2",
            "llama": "llama:Llama",
            "mpnet": "mpnet:MPNet",
            "mt5": "t5:MT5",
            "opt": "opt:OPT",
            "roberta": "roberta:Roberta",
            "t5": "t5:T5",
            "umt5": "t5:UMT5",
        }.items()
    },
)
"""The :class:`trainables.backbones.family.Family` of a ``model_type`` of Hugging Face configs. For
models of other types there is :mod:`trainables.backbones.general`."""


@dataclass(frozen=True)
class ExportFormat:
    """A folder for another program.

    Attributes:
        files: from a :class:`trainables.interchange.tuned.TunedPrompt` (of a readout, a
            :class:`trainables.interchange.tuned.KeptReadout`) to the content of each file by its
            name, or the place of such a function.
        family: of the methods whose results it takes.
        product: what it takes of them, of :data:`trainables.core.frontier.PRODUCTS`.
    """

    files: Any
    family: str
    product: str = "prompt"

    def load(self) -> Any:
        return loaded(self.files)


FORMATS: Registry[ExportFormat] = Registry(
    "format",
    {
        "peft": ExportFormat("trainables.interchange.peft:peft_files", "soft"),
        "npy": ExportFormat("trainables.interchange.ptfer:ptfer_files", "soft"),
        "text": ExportFormat("trainables.interchange.text:text_files", "hard"),
        "readout": ExportFormat("trainables.interchange.readout:readout_files", "soft", "readout"),
    },
)
"""Export formats; the first of a family and product is its default."""
