"""Parameters of the transfer of soft prompts, each with the reason for its default."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, get_args

from annotated_types import Ge, Len

from trainables.core.registries import (
    ALGORITHMS,
    FEATURES,
    NORMS,
    SELECTIONS,
    SOLVERS,
    STARTS,
    SUBSPACES,
    TEACHERS,
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
)

CarriedRow = Literal["single", "baseline", "ours"]
CARRIED: tuple[str, ...] = get_args(CarriedRow)
"""Rows of what is carried over: from one source, from several tuned apart, or tuned together."""
OWN = "own"
"""Row of what is found on a target without anything of a source."""


@dataclass(frozen=True)
class TransferSettings(Settings):
    """Transfer of tuned prompts to a target (Wu et al. 2024 and what stands beside it).

    A setting that the solver does not read must be left out (null); what it reads and is left out
    gets the default of :data:`trainables.core.registries.SOLVERS`.

    Attributes:
        solver: ``closed_form``: the maximiser of the mean cosine between relative representations,
            found by least squares instead of a 2,000-step search. ``ridge``: the same with a
            penalty, over a grid. ``adam``: the search as released. ``v2v_lin``, ``v2v_nn``,
            ``lin_comb``: maps between vocabularies (Lester et al. 2022). ``decisions``: the closed
            form for the vectors of dynamic prompts, and heads fitted to what the source decides
            about unlabelled texts. ``projector``: a network
            trained through the target with its labels (Su et al. 2022), a costly reference.
            ``distil``: a prompt trained on the target towards the sources' label probabilities of
            unlabelled texts. ``tune``: a prompt trained on the target's labels from a start of
            one's choice. ``search``: the same without gradients. ``random_words``: the best of
            random prompts. ``readout``: no prompt, but a linear map of what the target computes.
            ``proxy``, ``calibrated_sum``: scores of the target and of the sources together.
            ``copy``: the prompt as it is, between models where it has the same shape; keys and
            values of layers (method ``prefix``) are carried over in no other way.
        norm: length of each carried vector. The objective is blind to it. ``match`` keeps the
            source's length relative to its embedding table; ``mean`` uses the target's mean row;
            ``ptfer`` gives the whole matrix the target table's mean and standard deviation, as
            Wu et al. released it; ``own`` leaves what the solver found.
        selection: among a solver's candidates. ``none`` takes the solver's own (zero-shot);
            ``source_validation`` the one that scores best when carried back to the sources;
            ``agreement`` the one that agrees best with the teacher on texts held out;
            ``target_validation`` the one that scores best on the target's validation split.
        gammas: of ``ridge``, in units of the mean eigenvalue; 0 is the closed form.
        steps: of ``adam`` (paper A: 10,000), ``projector``, ``distil`` and ``tune``; several of
            the latter two are taken from one run.
        learning_rate: likewise. Of ``distil`` and ``tune`` in units of the root mean square of the
            target's word embeddings, as Adam moves every entry by about one rate a step.
        top_k: anchors kept per prompt token, those with the largest signed source similarity (the
            released setting is 8192); None keeps all.
        mask: ``union`` of the sources' ``top_k``, or those of the last source alone
            (``ptfer_release``: the result then depends on the order of the sources).
        anchor_sample: instead of ``top_k``, so many anchors at random, the same for every token
            (the default of Wu et al.'s code, 8192); all where there are not more. Similarities are
            then those over the sample.
        anchor_seed: which sample; has nothing to do with the runs' seeds.
        batch_size: texts a step.
        start: where the prompt begins, of :data:`trainables.core.registries.STARTS`: carried over
            in closed form, the nearest words of that, sampled words, the label words, a text.
        start_text: the text of ``start: text``.
        teacher: whose label probabilities are learnt, of
            :data:`trainables.core.registries.TEACHERS`: the ``sources``' with their prompts,
            calibrated and averaged; an ``ensemble`` of these and the target itself; a ``readout``
            of the target that learnt from the sources. As controls what the sources say
            ``permuted`` among texts, the target's ``own`` without prompt, that of a prompt tuned on
            it (``direct``), or ``gold`` labels.
        texts: texts of the training split that are used without labels, drawn by the seed; all
            where there are not more. A quarter of them is held out for what needs it.
        texts_from: another task whose texts they are; None: the task's own.
        temperature: of the teacher's and the learner's label probabilities.
        degenerate: what ``distil`` does with a teacher that gives all texts one class: ``keep`` the
            start, or ``distil`` it all the same.
        shots: labelled examples a class, drawn by the seed; None: all.
        features: what a ``readout`` reads: the ``states`` before the vocabulary head at the answer,
            or scores of frequent ``words``, which any model gives that shows its scores.
        algorithm: of ``search``: ``cma`` (CMA-ES) or ``sep_cma`` (its separable form).
        subspace: directions that it moves a prompt in, of
            :data:`trainables.core.registries.SUBSPACES`.
        dimensions: how many they are.
        budget: rows forward through the target; several are taken from one run.
        tries: prompts of ``random_words``.
        rows: which of single, baseline and ours are carried over this way; None: all. No result
            depends on it.
    """

    solver: Annotated[str, SOLVERS] = "closed_form"
    norm: Annotated[str, NORMS] = "match"
    selection: Annotated[str, SELECTIONS] = later("none")
    gammas: Annotated[tuple[NotNegative, ...], Len(1, 100)] | None = None
    steps: Count | None = axis(None)
    learning_rate: Positive | None = None
    top_k: Count | None = later(None)
    mask: Literal["union", "ptfer_release"] | None = None
    anchor_sample: Count | None = later(None)
    anchor_seed: Number | None = None
    batch_size: Count | None = None
    start: Annotated[str, STARTS] | None = axis(None)
    start_text: str | None = None
    teacher: Annotated[str, TEACHERS] | None = axis(None)
    texts: Count | None = axis(None)
    texts_from: str | None = None
    temperature: Positive | None = None
    degenerate: Literal["keep", "distil"] | None = None
    shots: Count | None = axis(None)
    features: Annotated[str, FEATURES] | None = axis(None)
    algorithm: Annotated[str, ALGORITHMS] | None = None
    subspace: Annotated[str, SUBSPACES] | None = axis(None)
    dimensions: Annotated[int, Ge(2)] | None = None
    budget: Count | None = axis(None)
    tries: Count | None = None
    rows: Annotated[tuple[CarriedRow, ...], Len(1, 3)] | None = None

    def complete(self) -> None:
        """What the solver reads gets its defaults, what it does not read must be left out."""
        read = SOLVERS[self.solver].settings
        for name in sorted(_optional()):
            readers = [solver for solver, kind in SOLVERS.items() if name in kind.settings]
            allowed = f"nothing with solver {self.solver} (it is read by {', '.join(readers)})"
            check(self, name, name in read or getattr(self, name) is None, allowed)
            if getattr(self, name) is None and name in read:
                object.__setattr__(self, name, read[name])
        gammas = self.gammas or ()
        check(self, "gammas", len(set(gammas)) == len(gammas), "each number once")
        good = self.mask in ("union", None) or self.top_k is not None
        check(self, "mask", good, "union where top_k is null")
        check_anchor_seed(self)
        good = self.anchor_sample is None or self.top_k is None
        check(self, "anchor_sample", good, f"null beside top_k ({self.top_k})")
        good = (self.start == "text") == bool(self.start_text and self.start_text.strip())
        check(self, "start_text", good, "a text with start text, else null")
        rows = self.rows or ()
        check(self, "rows", len(set(rows)) == len(rows), "each row once")
        good = self.texts_from is None or self.teacher != "gold"
        check(self, "texts_from", good, "null with teacher gold, whose labels are the task's own")
        good = self.selection != "agreement" or "teacher" in read
        taught = ", ".join(name for name, kind in SOLVERS.items() if "teacher" in kind.settings)
        check(self, "selection", good, f"agreement only where there is a teacher ({taught})")
        sensible = SOLVERS[self.solver].selections or (self.selection,)
        allowed = f"{' or '.join(sensible)} with solver {self.solver}"
        check(self, "selection", self.selection in sensible, allowed)

    @property
    def taught(self) -> bool:
        """Whether a teacher is asked for anything."""
        learnt = SOLVERS[self.solver].learns and self.shots is None
        return self.teacher is not None and (learnt or self.selection == "agreement")

    @property
    def aided(self) -> bool:
        """Whether anything of a source comes in: else one result does for all sources."""
        named = ((STARTS, self.start), (TEACHERS, self.teacher), (SUBSPACES, self.subspace))
        given = [(registry, name) for registry, name in named if name is not None]
        read = [pair for pair in given if self.taught or pair[0] is not TEACHERS]
        return not given or any(registry[name].of_sources for registry, name in read)

    def unread(self) -> frozenset[str]:
        """Settings that can make no difference beside the others: no cell records them."""
        read = set(SOLVERS[self.solver].settings)
        if self.top_k is None:
            read.discard("mask")
        if self.anchor_sample is None:
            read.discard("anchor_seed")
        if self.start != "text":
            read.discard("start_text")
        if not self.taught and "teacher" in read:
            read -= {"teacher", "texts", "texts_from"}
        return frozenset((_optional() - read) | {"rows"})


def _optional() -> set[str]:
    return {name for kind in SOLVERS.values() for name in kind.settings}


def transfer_settings(stored: Mapping[str, Any]) -> TransferSettings:
    """Settings of a cell's transfer; keys of other settings beside them are passed over."""
    known = {item.name for item in fields(TransferSettings)}
    return TransferSettings(**{key: value for key, value in stored.items() if key in known})


def of_one_run(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a cell without the one that says where along a run its result is taken."""
    along = SOLVERS[stored["solver"]].anytime
    return {name: value for name, value in stored.items() if name != along}
