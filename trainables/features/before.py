"""Features of a source set, a target and a task before anything is tuned."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from trainables.backbones import load_backbone
from trainables.core.cells import ModelRef, TaskRef
from trainables.core.contents import is_pinned
from trainables.core.kept import Facts, kept
from trainables.core.settings.base import CHAT
from trainables.errors import InputError
from trainables.features import models, texts
from trainables.tasks import load_task
from trainables.words.vocabulary import CANONICALISER, common_vocabulary


@dataclass(frozen=True)
class Looking:
    """How features are come by.

    Attributes:
        folder: where facts are kept between processes (None: nowhere).
        device: torch device.
        say: takes a line for each fact that could not be had.
    """

    folder: Path | None = None
    device: str = "cpu"
    say: Callable[[str], None] = lambda line: None


def before_tuning(
    sources: Sequence[ModelRef], target: ModelRef, looking: Looking
) -> dict[str, float]:
    """Features of a source set and a target; see :data:`analysis.forecast.features.FEATURES`.

    Args:
        sources: one model or more.
        target: a model, none of them.
        looking: where facts are kept.

    Raises:
        InputError: a model cannot be loaded, or two of them share too few words.
    """
    own = model_facts(target, looking)
    each = [model_facts(source, looking) for source in sources]
    pairs = [pair_facts(source, target, looking) for source in sources]
    within = [pair_facts(a, b, looking) for a, b in combinations(sources, 2)]
    return {
        "agreement": fmean(pair["agreement"] for pair in pairs),
        "vocabulary_overlap": fmean(pair["overlap"] for pair in pairs),
        "cka": fmean(pair["cka"] for pair in pairs),
        "common_words": math.log10(max(1, _common_words([*sources, target], looking))),
        "agreement_within": _mean(pair["agreement"] for pair in within),
        "cka_within": _mean(pair["cka"] for pair in within),
        "source_size": fmean(math.log10(one["parameters"]) for one in each),
        "target_size": math.log10(own["parameters"]),
        "same_family": fmean(float(one["family"] == own["family"]) for one in each),
        "same_kind": fmean(float(one["kind"] == own["kind"]) for one in each),
    }


def on_texts(
    sources: Sequence[ModelRef],
    target: ModelRef,
    task: TaskRef,
    looking: Looking,
    text_tokens: int | None = None,
    chat: bool = False,
) -> dict[str, float]:
    """Features that need the task's texts; NaN, and a line said, where they cannot be read.

    Args:
        sources: one model or more.
        target: a model, none of them.
        task: whose validation texts are read.
        looking: where facts are kept.
        text_tokens: texts are cut to this many tokens, as in the sweep.
        chat: whether models with a chat template read in it, as in the sweep.
    """
    own = text_facts(target, task, looking, text_tokens, chat)
    each = [text_facts(source, task, looking, text_tokens, chat) for source in sources]
    known = bool(own) and all(each)
    return {
        "empty_score": own.get("score", math.nan),
        "empty_entropy": own.get("entropy", math.nan),
        "empty_balance": own.get("balance", math.nan),
        "source_entropy": _mean(one["entropy"] for one in each) if all(each) else math.nan,
        "source_balance": _mean(one["balance"] for one in each) if all(each) else math.nan,
        "reading_correlation": fmean(
            texts.reading_correlation(_tensor(one), _tensor(own)) for one in each
        )
        if known
        else math.nan,
    }


def features_before(
    sources: Sequence[ModelRef],
    target: ModelRef,
    tasks: Iterable[TaskRef],
    looking: Looking,
    text_tokens: int | None = None,
    chat: bool = False,
) -> Iterator[tuple[TaskRef, dict[str, float]]]:
    """Each task with :func:`before_tuning` and :func:`on_texts` of a source set and a target."""
    pair = before_tuning(sources, target, looking)
    for task in tasks:
        yield task, {**pair, **on_texts(sources, target, task, looking, text_tokens, chat)}


def model_facts(model: ModelRef, looking: Looking) -> Facts:
    """``parameters``, ``family`` (its ``model_type``) and ``kind`` of a model."""

    def compute() -> Facts:
        backbone = load_backbone(model, looking.device)
        family = backbone.family
        size = models.parameters(backbone)
        return {"parameters": size, "family": family.model_type, "kind": family.head.name}

    return _kept(looking, [model.digest], {"model": model.digest, "told": "kind"}, compute)


def pair_facts(left: ModelRef, right: ModelRef, looking: Looking) -> Facts:
    """``agreement``, ``overlap`` and ``cka`` of two models, in either order the same."""
    first, second = sorted((left, right), key=lambda model: model.digest)
    key: dict[str, Any] = {
        "pair": [first.digest, second.digest],
        "k": models.NEIGHBOURS,
        "canonicaliser": CANONICALISER,
    }

    def compute() -> Facts:
        one, two = (load_backbone(model, looking.device) for model in (first, second))
        return {
            "agreement": models.mean_agreement(one, two),
            "overlap": models.vocabulary_overlap(one, two),
            "cka": models.linear_cka(*models.common_embeddings([one, two])),
        }

    return _kept(looking, key["pair"], key, compute)


def text_facts(
    model: ModelRef,
    task: TaskRef,
    looking: Looking,
    text_tokens: int | None = None,
    chat: bool = False,
) -> Facts:
    """``readings``, ``entropy``, ``balance`` and ``score`` of a model without a prompt.

    Empty, and a line said, where the task cannot be read or not by this model. With ``chat`` a
    model that has a chat template reads in it.
    """
    key: dict[str, Any] = {
        "model": model.digest,
        "task": task.digest,
        "text_tokens": text_tokens,
        "texts": texts.TEXTS,
        **({"template": CHAT} if chat else {}),
    }

    def compute() -> Facts:
        loaded = load_task(task)
        found = texts.readings(load_backbone(model, looking.device), loaded, text_tokens, chat=chat)
        return {
            "readings": found.tolist(),
            "entropy": texts.entropy(found),
            "balance": texts.balance(found),
            "score": texts.score(found, loaded),
        }

    try:
        return _kept(looking, [model.digest, task.digest], key, compute)
    except InputError as error:
        looking.say(str(error))
        return {}


def _common_words(group: Sequence[ModelRef], looking: Looking) -> int:
    digests = sorted(model.digest for model in group)
    key = {"common": digests, "canonicaliser": CANONICALISER}

    def compute() -> Facts:
        loaded = [load_backbone(model, looking.device) for model in group]
        return {"words": len(common_vocabulary(loaded))}

    return int(_kept(looking, digests, key, compute)["words"])


def _kept(
    looking: Looking, digests: Iterable[str], key: Mapping[str, Any], compute: Callable[[], Facts]
) -> Facts:
    """Facts on these models and tasks, kept where their digests say what they are for good."""
    return kept(looking.folder if all(map(is_pinned, digests)) else None, key, compute)


def _tensor(facts: Facts) -> torch.Tensor:
    return torch.tensor(facts["readings"], dtype=torch.float64)


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return fmean(found) if found else math.nan
