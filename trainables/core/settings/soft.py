"""Parameters of joint soft-prompt tuning, each with the reason for its default."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Interval

from trainables.core.registries import (
    CHECKPOINTS,
    INITIALISATIONS,
    LOSSES,
    OPTIMISERS,
    REPARAMETRISATIONS,
    SCHEDULES,
)
from trainables.core.settings.base import (
    Count,
    NotNegative,
    Number,
    Positive,
    Settings,
    axis,
    check,
    check_anchor_seed,
    later,
    only_with,
)
from trainables.errors import InputError

STEPS = 1000
"""Optimiser steps where neither steps nor epochs are given."""

PAPER_RANGE = (-0.5, 0.5)
"""Where ``init: uniform`` draws from (Lester et al. 2021, section 3.2)."""

Range = tuple[float, float]

ALIGNMENT = ("anchors", "anchor_sample", "anchor_seed")
"""Settings that only a joint tuning reads: nothing else has an alignment loss."""


@dataclass(frozen=True)
class SoftSettings(Settings):
    """Joint soft-prompt tuning (paper A, section 3).

    Attributes:
        prompt_length: prompt vectors m; paper A uses 5.
        steps: optimiser steps T; 1000 where neither ``steps`` nor ``epochs`` is given.
        batch_size: examples a step, shared by all sources of a joint tuning.
        learning_rate: peak rate; 3e-3 is OptiPrompt's, of AdamW for thousands of steps. With tens
            of steps (the quickstart) a prompt needs some 0.05 to leave where it started.
        warmup: share of the steps with a linearly rising rate; what follows is ``schedule``.
        bias_correction: False is the AdamW of OptiPrompt (about 3 times larger first steps).
        init_std: standard deviation of the initial ``normal`` prompt; 0.02 is what
            ``resize_token_embeddings`` drew in OptiPrompt's time.
        position: ``prefix`` (paper A, table 6: prompt, text, answer), ``infix`` (text, prompt,
            answer: OptiPrompt's template) or ``suffix`` (the prompt ends the input: text, answer,
            prompt; a causal model answers after its last token, so that there it is ``infix``).
        evaluations: validation passes in a run, the last at the end; by default, and with
            ``epochs``, never more than steps.
        spacing: how they are spaced: ``even``, or ``geometric``: dense early (of 1,000 steps and 11
            evaluations after 1, 2, 4, 8, 16, 32, …), which tells how soon a prompt is good. The
            latter also evaluates the start itself, step 0; passes that would fall on one step are
            one.
        text_tokens: texts are cut to this many tokens (None: to what the model's positions allow).
        epochs: passes over the training split, instead of ``steps``; steps an epoch are rounded up.
        max_steps: with ``epochs``, never more steps than this: SST-2's 10 epochs are 38,000 steps,
            MRPC's 2,100. Warm-up and decay are those of the shortened run.
        weight_decay: decoupled; each step takes away this times the rate. 0 is OptiPrompt's.
        dropout: whether the frozen model drops out in training steps, at the rates of its own
            config (0 in the embedded models and in LLaMA). Off by default, since a replica then
            gets exactly what it would get alone; OptiPrompt has it on.
        loss: cross-entropy over the ``label_words`` (paper A, equation 1) or of the label word
            over the whole ``vocabulary`` (OptiPrompt's code).
        checkpoint: ``best`` keeps the common step with the best mean validation metric, ``last``
            the last step.
        optimiser: ``adamw`` (OptiPrompt), ``adafactor_whole`` (Lester et al.) or ``adafactor``, of
            which the second moment is factored (PEZ).
        schedule: of the rate after warm-up: ``linear`` down to 0 (OptiPrompt), ``constant``
            (Lester et al.) or ``inverse_root`` (PPT's on pretext tasks).
        clip_gradient: largest norm of a replica's gradient over all its prompts (None: any); 1 is
            PPT's.
        init: how prompts start, see :mod:`trainables.soft.initialisation`.
        init_range: between which numbers ``init: uniform`` draws. [-0.5, 0.5] is what Lester et al.
            say, [0, 0.5] what their released configuration draws.
        init_text: the text of ``init: text``.
        init_file: the .npy or .safetensors file of ``init: file``, [m, d]; ``{model}`` in it stands
            for the model's short name.
        template: whose inputs have the task's manual template after the text: ``none`` (paper A,
            table 6: prompt, text, answer), those of ``causal`` models, which else have to say the
            label word right after the text, or ``all``. Transferred prompts are read likewise; the
            rows Empty and Manual stay as they are. ``chat`` is ``all``, and where a model has a
            chat template prompt, text and template stand in its user's turn
            (:mod:`trainables.backbones.chat`); rows Empty and Manual are read so too.
        anchors: whose words the alignment loss of a joint tuning compares prompts on (V_common of
            paper A, equation 3, which does not say): those that the ``sources`` tuned together
            share, or those that they share with all targets of the spec (``with_targets``). The
            transfer's anchors are always those of its sources and its target.
        anchor_sample: so many of those words, at random (paper A's "8192 anchors" read as in the
            default of Wu et al.'s code); all where there are not more. None takes all: with Gram
            matrices they cost nothing.
        anchor_seed: which sample; has nothing to do with the runs' seeds.
        answer: how sequence-to-sequence models (T5, BART) are asked; no other model reads it.
            ``bare``: the label word is the first word of the decoder (Lester et al. 2021).
            ``sentinel``: the encoder's text ends in ``<extra_id_0>``, the decoder begins with it,
            and the label word follows (PPT), which is what T5 was pre-trained to do. Carried
            prompts are read likewise; the rows Empty and Manual are always ``bare``.
        shots: labelled examples a class that a prompt is tuned with, and as many for validation
            (Gu et al. 2022: a few-shot score that was chosen on a large validation split is none);
            None: all of both splits. Only the tuning is bound by it.
        shots_seed: which examples; has nothing to do with the runs' seeds.
        reparametrise: what is trained instead of the prompt, and folded away when it is stored:
            ``none``, the ``mlp`` of prefix tuning (Li & Liang 2021) or the ``residual`` network of
            Residual Prompt Tuning (Razdaibiedina et al. 2023), see :mod:`trainables.soft.forms`.
        reparametrise_hidden: hidden numbers of its network; None: as its paper.
    """

    family: ClassVar[str] = "soft"
    family_key: ClassVar[str] = "lambda"
    """Key that the family adds to its methods in a spec."""
    parametrisation: ClassVar[Any] = "trainables.soft.parametrisation:Vectors"
    """What is trained (:mod:`trainables.soft.parametrisation`), or its place."""
    joint: ClassVar[bool] = True
    """Whether prompts have a geometry that an alignment loss, weighted by λ, could compare."""
    heads: ClassVar[bool] = False
    """Whether what is kept holds more than vectors: heads that read one model's own states."""
    INSTEAD: ClassVar[Mapping[str, str]] = {"steps": "epochs", "epochs": "steps"}
    """Of a setting and its alternative, the one a spec names replaces the other in its recipe."""

    prompt_length: Count = axis(5)
    steps: Count | None = None
    batch_size: Count = 16
    learning_rate: Positive = axis(3e-3)
    warmup: Annotated[float, Interval(ge=0, lt=1)] = 0.1
    bias_correction: bool = True
    init_std: Positive = 0.02
    position: Literal["prefix", "infix", "suffix"] = axis("prefix")
    evaluations: Count = 10
    text_tokens: Count | None = None
    epochs: Count | None = later(None)
    weight_decay: NotNegative = later(0.0)
    dropout: bool = later(False)
    loss: Annotated[str, LOSSES] = later("label_words")
    checkpoint: Annotated[str, CHECKPOINTS] = later("best")
    init: Annotated[str, INITIALISATIONS] = later("normal", axis=True)
    init_range: Range = later(PAPER_RANGE, only_with="uniform")
    init_text: str | None = later(None, only_with="text")
    init_file: str | None = later(None, only_with="file")
    max_steps: Count | None = later(None)
    template: Literal["none", "causal", "all", "chat"] = later("none", axis=True)
    anchors: Literal["sources", "with_targets"] = later("sources")
    anchor_sample: Count | None = later(None)
    anchor_seed: Number = later(0)
    answer: Literal["bare", "sentinel"] = later("bare", axis=True)
    shots: Count | None = later(None, axis=True)
    shots_seed: Number = later(0, axis=True)
    spacing: Literal["even", "geometric"] = later("even")
    optimiser: Annotated[str, OPTIMISERS] = later("adamw")
    schedule: Annotated[str, SCHEDULES] = later("linear")
    reparametrise: Annotated[str, REPARAMETRISATIONS] = later("none", axis=True)
    reparametrise_hidden: Count | None = later(None)
    clip_gradient: Positive | None = later(None)

    @classmethod
    def fitted(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Evaluations are at most the steps: of the two the one that is given decides."""
        if given.get("epochs") is not None:
            return {}
        steps = given.get("steps") or max(STEPS, given.get("evaluations", 0))
        return {"steps": steps, "evaluations": max(1, min(cls.evaluations, steps))}

    def unread(self) -> frozenset[str]:
        """Settings that can make no difference beside the others: no cell records them."""
        needed = {
            "bias_correction": self.optimiser == "adamw",
            "reparametrise_hidden": self.reparametrise != "none",
            "shots_seed": bool(self.shots),
        }
        return frozenset(name for name, read in needed.items() if not read)

    def complete(self) -> None:
        """Steps are what neither steps nor epochs say; what belongs to another setting needs it."""
        if self.steps is not None and self.epochs is not None:
            raise InputError(
                f"steps: found {self.steps} beside epochs {self.epochs}; allowed: one of the two"
            )
        if self.epochs is None and self.steps is None:
            object.__setattr__(self, "steps", STEPS)
        good = self.max_steps is None or self.epochs is not None
        check(self, "max_steps", good, "null without epochs")
        good = self.steps is None or self.evaluations <= self.steps
        check(self, "evaluations", good, f"at most the number of steps ({self.steps})")
        check_anchor_seed(self)
        good = self.reparametrise == "none" or self.parametrisation == SoftSettings.parametrisation
        check(self, "reparametrise", good, "none in a method that is a form of its own")
        low, high = self.init_range
        check(self, "init_range", low < high, "two numbers, the lower one first")
        good = self.init == "uniform" or self.init_range == PAPER_RANGE
        check(self, "init_range", good, f"nothing, as init is {self.init} and not uniform")
        only_with(self, "init_text", "text", "a text that is not empty")
        only_with(self, "init_file", "file", "the path of a .npy or .safetensors file")
        good = self.init_file is None or self.init_file.endswith((".npy", ".safetensors"))
        check(self, "init_file", good, "the path of a .npy or .safetensors file")

    def steps_for(self, rows: int) -> int:
        """Optimiser steps T on a training split of ``rows`` examples.

        Epochs are chained passes (:func:`trainables.soft.tuning.batch_order`): rounding each of
        them up makes a run at most ``epochs`` steps longer than its passes.
        """
        if self.steps is not None:
            return self.steps
        steps = (self.epochs or 1) * -(-rows // self.batch_size)
        return steps if self.max_steps is None else min(steps, self.max_steps)

    @property
    def carried(self) -> bool:
        """Whether its prompts can be carried to another model."""
        return True

    @property
    def decides(self) -> bool:
        """Whether anything is decided about its prompts."""
        return False

    def temperatures(self, steps: int) -> Sequence[float]:
        """Of what is decided in training, at steps 1..``steps``; empty: nothing is."""
        del steps
        return ()
