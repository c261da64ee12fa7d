"""Parameters that every method of hard prompts shares (paper B), and which words they may use."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge

from trainables.core.settings.base import Count, Number, Positive, Settings, axis, check, later

Vocabulary = Literal["all", "random", "common", "agreement"]

_ROWS = {"random": "pruned"}  # the row ``random`` is that of random prompts

_READ: dict[str, tuple[str, ...]] = {
    "all": ("word_start",),
    "random": ("s", "word_start"),
    "common": ("s",),
    "agreement": ("s", "k", "agreement", "include_self", "center"),
}
_READ_BY_AGREEMENT: dict[str, tuple[str, ...]] = {
    "exact": ("k_scale",),
    "sampled": ("sample_size", "samples", "sample_seed"),
}
_OPTIONAL = {name for names in _READ.values() for name in names} | {
    name for names in _READ_BY_AGREEMENT.values() for name in names
}

WORDS = frozenset({"vocabulary", "exclude_labels"} | _OPTIONAL)
"""Settings that say which words a prompt may use; searches that differ in nothing else share a
stack."""

DRAWN = "drawn"
"""Row of the best of as many random prompts as a search has scored."""

_LAYOUT = frozenset({"prompt_length", "template", "seam", "bos", "text_tokens", "answer"})
CARRIED = _LAYOUT | {"vocabulary", "s", "k", "state"}
"""Settings that a transferred prompt's cell repeats: its layout, and what tables tell it by."""


@dataclass(frozen=True)
class HardSettings(Settings):
    """What methods of hard prompts have in common; each of them adds its own fields.

    Attributes:
        family: ``hard``.
        family_key: the key that the family adds to its methods in a spec.
        search: the method, a :class:`trainables.hard.problem.HardSearch` or its place.
        judged: whether the first counterpart scores candidates (mixed training).
        control: whether beside every search the best of as many random prompts is planned, a row
            :data:`DRAWN` (:mod:`trainables.hard.drawn`).
        backwards: whether a search differentiates through the texts that it reads.
        code_version: raised whenever a change alters results of the family.
        prompt_length: prompt tokens m; paper B uses 10.
        vocabulary: the words a prompt may use. ``all`` of the source (PEZ), ``random``: s of them
            (PEZ-pruned), ``common``: s of those it shares with the counterparts
            (CommonVocab-pruned), ``agreement``: the s of those whose neighbours agree best (Ours).
            The draws of ``random`` and ``common`` are new ones for each seed.
        s: how many words are kept; more than there are means all, with a warning. Paper B: 8192.
        k: neighbours K compared per word. Paper B: 64.
        agreement: ``exact`` compares with the whole common vocabulary, ``sampled`` with
            ``samples`` random parts of ``sample_size`` words (paper B, equation 4).
        sample_size: h of paper B; in ``exact`` mode the size that ``k`` refers to.
        samples: L of paper B.
        sample_seed: of the sampled parts; has nothing to do with the runs' seeds.
        k_scale: in ``exact`` mode, ``paper`` takes K·c/h neighbours among all c common words, the
            share of K among h (K itself where there are no more than h words), ``literal`` takes K.
        include_self: whether a word counts among its own neighbours.
        center: ``mean`` takes the mean embedding of the common words away first.
        word_start: of ``all`` and ``random``, only tokens that start a word and encode back to
            themselves (those of ``common`` and ``agreement`` always do). Such a prompt is the same
            text on every model; without it, about a quarter of random prompts of 10 tokens is not
            read back as it was.
        exclude_labels: whether label words are taken out of the vocabulary.
        template: whether the task's manual template stands after the text, as in paper B. ``chat``:
            it does, and where a model has a chat template prompt, text and template stand in its
            user's turn (:mod:`trainables.backbones.chat`); rows Empty and Manual are read so too.
        seam: ``space`` between prompt and text, or ``glued`` as in the released code of PEZ.
        bos: whether models whose tokenizer puts a token before a text (OPT, LLaMA) get it before
            the prompt; the released code of PEZ has none. A chat template says so itself.
        text_tokens: texts are cut to this many tokens (None: to what the model's positions allow).
        ties: of prompts with the same validation metric, ``loss`` keeps the one with the lower
            validation loss, then the earlier; ``latest`` the later, as the released code of PEZ.
        race_margin: None stops a prompt's validation once it cannot win, whatever the rows left
            say; a number also when it trails by that many standard errors (3 is careful).
        answer: as in :class:`trainables.core.settings.soft.SoftSettings`.
    """

    family: ClassVar[str] = "hard"
    family_key: ClassVar[str] = "counterparts"
    search: ClassVar[Any]
    judged: ClassVar[bool] = False
    control: ClassVar[bool] = False
    backwards: ClassVar[bool] = True
    code_version: ClassVar[str] = "hard-2"
    INSTEAD: ClassVar[Mapping[str, str]] = {}

    prompt_length: Count = axis(10)
    vocabulary: Vocabulary = axis("agreement")
    s: Count = axis(8192)
    k: Count = axis(64)
    agreement: Literal["exact", "sampled"] = "exact"
    sample_size: Annotated[int, Ge(2)] = 8192
    samples: Count = 5
    sample_seed: Number = 0
    k_scale: Literal["paper", "literal"] = "paper"
    include_self: bool = False
    center: Literal["none", "mean"] = "none"
    word_start: bool = True
    exclude_labels: bool = False
    template: bool | Literal["chat"] = axis(True)
    seam: Literal["space", "glued"] = "space"
    bos: bool = True
    text_tokens: Count | None = None
    ties: Literal["loss", "latest"] = "loss"
    race_margin: Positive | None = None
    answer: Literal["bare", "sentinel"] = later("bare", axis=True)

    @property
    def row(self) -> str:
        """The table row of its results: ``all``, ``pruned``, ``common`` or ``agreement``."""
        return _ROWS.get(self.vocabulary, self.vocabulary)

    @property
    def counterparts_needed(self) -> bool:
        """Whether a search reads models beside its source."""
        return self.judged or self.vocabulary in ("common", "agreement")

    def judges(self, counterparts: tuple[str, ...]) -> tuple[str, ...]:
        """Those of a search's counterparts that score its prompts."""
        return counterparts[:1] if self.judged else ()

    def unread(self) -> frozenset[str]:
        """Settings that can make no difference beside the others: no cell records them."""
        read = {*_READ[self.vocabulary]}
        if self.vocabulary == "agreement":
            read |= {*_READ_BY_AGREEMENT[self.agreement]}
            if self.k_scale == "paper" and self.agreement == "exact":
                read.add("sample_size")
        return frozenset(_OPTIONAL - read)

    @classmethod
    def fitted(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """K is below h: of the two the one that is given decides."""
        size = given.get("sample_size", max(cls.sample_size, given.get("k", cls.k) + 1))
        return {"sample_size": size, "k": max(1, min(cls.k, size - 1))}

    def complete(self) -> None:
        """K is below h."""
        check(self, "k", self.k < self.sample_size, f"fewer than sample_size ({self.sample_size})")
