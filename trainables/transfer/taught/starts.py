"""Where a prompt that is trained or searched on the target begins, for all replicas [R, m, d_t].

What is sampled is drawn by seed and model as for prompts that are tuned from scratch
(:mod:`trainables.soft.initialisation`): a prompt taught from ``vocabulary`` begins where one that
is tuned on the target itself with ``init: vocabulary`` and the same seed does.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from trainables.backbones import Reader, label_texts
from trainables.core.registries import STARTS
from trainables.core.settings import TransferSettings
from trainables.scoring.nearest_words import nearest_word_ids
from trainables.transfer.problem import Problem
from trainables.transfer.solvers.closed_form import ClosedForm
from trainables.words.frequent import (
    filled,
    frequent_words,
    sampled_words,
    text_tokens,
    words_first,
)


@dataclass(frozen=True)
class Start:
    """A way to begin, an entry of :data:`trainables.core.registries.STARTS`.

    Attributes:
        begin: gives the prompts [R, m, d_t].
        check: finds what is wrong with it before any weights are loaded.
    """

    begin: Callable[[Problem, TransferSettings], torch.Tensor]
    check: Callable[[Reader, TransferSettings], None] | None = None

    def __call__(self, problem: Problem, settings: TransferSettings) -> torch.Tensor:
        """The prompts [R, m, d_t], float32 on the target's device."""
        found = self.begin(problem, settings)
        return found.float().to(problem.on_target.backbone.device)


def begun(problem: Problem, settings: TransferSettings) -> torch.Tensor:
    """Where ``settings.start`` says that prompts begin, float32 [R, m, d_t].

    Raises:
        InputError: the text has no tokens, or the target has no words.
    """
    check_start(problem.on_target.backbone, settings)
    found: torch.Tensor = STARTS[_named(settings)].load()(problem, settings)
    return found


def check_start(reader: Reader, settings: TransferSettings) -> None:
    """Refuse what :func:`begun` would refuse, with no weights at hand.

    Args:
        reader: the target.
        settings: of the transfer.

    Raises:
        InputError: as :func:`begun`.
    """
    check = getattr(STARTS[_named(settings)].load(), "check", None)
    if check is not None:
        check(reader, settings)


def _named(settings: TransferSettings) -> str:
    if settings.start is None:
        raise ValueError(f"the solver {settings.solver} has no start")
    return settings.start


def _carried(problem: Problem, settings: TransferSettings) -> torch.Tensor:
    """The sources' prompts, carried over in closed form."""
    del settings
    found = ClosedForm().solve(problem, TransferSettings())
    return problem.finish(found.prompts[0])


def _nearest_words(problem: Problem, settings: TransferSettings) -> torch.Tensor:
    """The words nearest to these."""
    return _rows(
        problem, nearest_word_ids(problem.on_target.backbone, _carried(problem, settings)).tolist()
    )


def _vocabulary(problem: Problem, settings: TransferSettings) -> torch.Tensor:
    """Frequent words."""
    del settings
    backbone, key = problem.on_target.backbone, problem.target.key
    count = problem.shape[1]
    return _rows(problem, [sampled_words(backbone, count, seed, key) for seed in problem.seeds])


def _label_words(problem: Problem, settings: TransferSettings) -> torch.Tensor:
    """The label words, then frequent words."""
    del settings
    task, key, count = problem.on_target, problem.target.key, problem.shape[1]
    table = task.backbone.embeddings
    own = label_texts(task.label_ids).vectors(table)
    return torch.stack(
        [words_first(task.backbone, own, table, count, seed, key) for seed in problem.seeds]
    )


def _text(problem: Problem, settings: TransferSettings) -> torch.Tensor:
    """A text, cut or repeated to the prompt's length."""
    ids = text_tokens(problem.on_target.backbone, settings.start_text or "", "start_text")
    return _rows(problem, [filled(ids, problem.shape[1])] * len(problem.seeds))


def _rows(problem: Problem, ids: list[list[int]]) -> torch.Tensor:
    """Embeddings of the target's tokens [R, m]."""
    found: torch.Tensor = problem.on_target.backbone.embeddings[torch.tensor(ids)]
    return found


def _check_words(reader: Reader, settings: TransferSettings) -> None:
    del settings
    frequent_words(reader, "start", "carried or text")


def _check_text(reader: Reader, settings: TransferSettings) -> None:
    text_tokens(reader, settings.start_text or "", "start_text")


carried = Start(_carried)
nearest_words = Start(_nearest_words, _check_words)
vocabulary = Start(_vocabulary, _check_words)
label_words = Start(_label_words, _check_words)
text = Start(_text, _check_text)
