"""No prompt: a linear map of what the target computes anyway, fitted to the teacher.

The line that every carried prompt has to beat. Nothing is differentiated, no label is read (but by
the teacher ``gold``), and no source runs where it is used.

Shapes: R replicas, U texts of each, n rows, h features, C classes, g values of γ.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from trainables.backbones import Backbone, Encoded
from trainables.core.registries import FEATURES
from trainables.core.settings import TransferSettings
from trainables.transfer.problem import Problem
from trainables.transfer.reading import Meter, alike
from trainables.transfer.selection import agreement
from trainables.transfer.solver import Predicted, Predictor
from trainables.words.frequent import frequent_words

WORDS = 300
"""Frequent words whose scores are features."""

GAMMAS = tuple(10.0 ** (half / 2) for half in range(-6, 5))
"""Penalties tried, 0.001 to 100, in units of a standardised feature's sum of squares. What a weak
teacher says asks for much of it, so that the grid goes far up."""

_ROUNDING = 1e-5
"""Spread of a feature, relative to its size, that differences between passes may make."""

_LEAST = 1e-6
"""Probabilities are taken to be at least this, so that gold labels have logarithms."""


class Readout(Predictor):
    """Ridge regression from the target's features φ(x) of plain texts to the teacher.

    With φ standardised over a replica's texts and y the teacher's log-probabilities, centred over
    classes,

        W = argmin_W Σ_i |W φ_i + b − y_i|² + γ U |W|²,    b = mean of y,

    where γ has the least leave-one-out error. That error is exact and comes with the fit, so that
    all U texts are fitted, those held out for other ways included.
    """

    def predict(self, problem: Problem, settings: TransferSettings) -> Predicted:
        """Scores W φ(x) + b of both splits, and [W, b] for the features as they are."""
        task, lesson = problem.on_target, problem.lesson(settings)
        if task.plain is None:
            raise ValueError("the splits without a prompt were not handed in")
        features: Features = FEATURES[str(settings.features)]
        maps, chosen, left_out = learnt(
            features, task.backbone, lesson.plain, lesson.rows, lesson.soft
        )
        scores = {
            split: applied(maps, features.read(task.backbone, task.plain(split))).float()
            for split in ("validation", "test")
        }
        meter = Meter(lesson.costs)
        meter.add(lesson.plain, lesson.rows, backward=False, access=features.access)
        losses = agreement(left_out, lesson.soft.to(left_out.device)).losses
        numbers = [
            {
                "product": "readout",
                "chosen": gamma,
                "teacher_degenerate": one_class,
                "teacher_misfit": None if math.isnan(loss) else loss,
            }
            for gamma, one_class, loss in zip(
                chosen.tolist(), lesson.degenerate, losses, strict=True
            )
        ]
        return Predicted(scores, meter.costs, {"readout": maps.float()}, numbers)


@dataclass(frozen=True)
class Features:
    """What a readout reads, an entry of :data:`trainables.core.registries.FEATURES`.

    Attributes:
        read: gives features [n, h] of texts.
        access: what the target must give away for it, of :data:`trainables.core.frontier.ACCESS`.
    """

    read: Callable[[Backbone, Encoded], torch.Tensor]
    access: str


def word_ids(backbone: Backbone) -> list[int]:
    """Tokens whose scores the features ``words`` are."""
    return frequent_words(backbone, "features", "states")[:WORDS]


def _words(backbone: Backbone, data: Encoded) -> torch.Tensor:
    return backbone.split_logits(data, torch.tensor(word_ids(backbone), device=backbone.device))[0]


states = Features(Backbone.split_features, "states")
words = Features(_words, "vocabulary")


def centred(soft: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of label probabilities [..., C] minus their mean over classes, float64."""
    logs = soft.double().clamp_min(_LEAST).log()
    return logs - logs.mean(-1, keepdim=True)


def learnt(
    features: Features, backbone: Backbone, texts: Encoded, rows: torch.Tensor, soft: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """As :func:`fitted`, of each replica's teacher on its own texts.

    Args:
        features: what is read of texts, each once, however many replicas learn from it.
        backbone: the target.
        texts: plain ones, of all replicas.
        rows: each replica's [R, U].
        soft: its teacher's label probabilities of them [R, U, C].
    """
    used, places = rows.unique(return_inverse=True)
    known = features.read(backbone, texts.take(used.to(texts.ids.device))).double()
    wanted = centred(soft.to(known.device))
    maps = torch.empty(*wanted.shape[::2], known.shape[1] + 1).to(wanted)
    chosen, left_out = torch.empty(len(rows)).to(wanted), torch.empty_like(wanted)
    for same, own in alike(places):
        maps[same], chosen[same], left_out[same] = fitted(known[own.to(known.device)], wanted[same])
    return maps, chosen, left_out


def fitted(
    features: torch.Tensor, wanted: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The best map of each of R teachers of the same texts.

    Args:
        features: [U, h], float64.
        wanted: [R, U, C], float64.

    Returns:
        Maps with a column for b [R, C, h + 1], for features as they are; γ [R]; and what the maps
        that had not seen a text say of it [R, U, C].
    """
    count, replicas = len(features), len(wanted)
    if not bool(features.isfinite().all()):  # no decomposition then, and no score means anything
        nothing = wanted.new_full((replicas, wanted.shape[2], features.shape[1] + 1), math.nan)
        return nothing, wanted.new_full((replicas,), GAMMAS[-1]), wanted * math.nan
    middle, spread = features.mean(0), features.std(0, correction=0)
    # What differs by rounding alone says nothing; it stays about 0.
    spread = spread.where(spread > _ROUNDING * features.abs().amax(0), 1.0)
    left, lengths, right = torch.linalg.svd((features - middle) / spread, full_matrices=False)
    mean = wanted.mean(1, keepdim=True)
    parts = left.T @ (wanted - mean)
    gammas = features.new_tensor(GAMMAS)
    kept = lengths**2 / (lengths**2 + gammas[:, None] * count)  # [g, k]
    said = mean + left @ (kept[:, None, :, None] * parts)  # [g, R, U, C]
    # A text's own weight in what is said of it; a fit without that text errs by so much more.
    own = 1 / count + kept @ (left**2).T
    errors = (wanted - said) / (1 - own).clamp_min(1e-12)[:, None, :, None]
    # The largest of equal ones: a constant teacher asks for no map at all.
    best = len(gammas) - 1 - errors.pow(2).sum((2, 3)).flip(0).argmin(0)
    shrunk = kept[best] / lengths.clamp_min(1e-300)
    weights = (right.T @ (shrunk[..., None] * parts)).mT / spread
    bias = mean[:, 0] - weights @ middle
    left_out = wanted - errors[best, torch.arange(replicas, device=best.device)]
    return torch.cat([weights, bias[..., None]], -1), gammas[best], left_out


def applied(maps: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Scores [R, n, C] that maps [R, C, h + 1] give features [n, h]."""
    return features.to(maps) @ maps[..., :-1].mT + maps[..., None, :, -1]
