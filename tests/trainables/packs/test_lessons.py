"""What teachers say, against slow readings."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from trainables.core.frontier import Cost
from trainables.packs import lessons
from trainables.packs.lessons import ensemble, readout
from trainables.scoring.calibration import calibrate
from trainables.transfer.taught.readout import Features

TEXTS, FEATURES, CLASSES = 9, 3, 2


class Room:
    """Two replicas, one source; both models say random things of nine texts."""

    target = "T"
    plain = None

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(4)
        self.rows = torch.stack([torch.randperm(TEXTS, generator=draw)[:7] for _ in range(2)])
        self.known = torch.randn(TEXTS, FEATURES, generator=draw)
        self.spoken = {name: torch.randn(2, 7, CLASSES, generator=draw) for name in ("S", "T")}
        self.run = SimpleNamespace(
            device="cpu",
            backbone=lambda alias: alias,
            labels=lambda alias, layout: torch.arange(CLASSES),
        )
        self.cells = [SimpleNamespace(sources=("S",), seed=seed) for seed in (0, 1)]
        self.layouts = dict.fromkeys("ST")

    def prompts(self, place: int) -> torch.Tensor:
        return torch.zeros(2, 1, 1)

    def logits(self, alias: str, prompts: torch.Tensor | None) -> torch.Tensor:
        assert (alias == "T") == (prompts is None)
        return self.spoken[alias]

    def texts(self, alias: str, layout: Any) -> "Texts":
        return Texts(self.known)

    def on_target(self, layout: Any) -> list[Cost]:
        return [Cost(target_forward_rows=7, unlabelled_texts=7, access="labels")] * 2


class Texts:
    def __init__(self, known: torch.Tensor) -> None:
        self.known, self.ids = known, known
        self.lengths = torch.full((len(known),), 5)

    def take(self, rows: torch.Tensor) -> "Texts":
        return Texts(self.known[rows])


def calibrated(logits: torch.Tensor) -> np.ndarray:
    """Calibrated log-probabilities [U, C] of one replica."""
    return calibrate("batch", logits[None])[0].double().log_softmax(-1).numpy()


def test_an_ensemble_is_the_mean_of_what_both_say() -> None:
    room = Room()
    soft, costs = ensemble(room)  # type: ignore[arg-type]
    for replica in range(2):
        both = [calibrated(room.spoken[name][replica]) for name in ("S", "T")]
        wanted = np.exp((both[0] + both[1]) / 2)
        wanted /= wanted.sum(-1, keepdims=True)
        np.testing.assert_allclose(soft[replica].numpy(), wanted, rtol=1e-5)
    assert costs[0] == Cost(
        target_forward_rows=7, unlabelled_texts=7, source_rows=7, access="labels"
    )


def test_a_readout_says_what_maps_that_had_not_seen_a_text_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gamma = 1.0
    monkeypatch.setattr("trainables.transfer.taught.readout.GAMMAS", (gamma,))
    read = Features(lambda backbone, data: data.known, "states")  # type: ignore[attr-defined]
    monkeypatch.setattr(lessons, "states", read)
    room = Room()
    soft, costs = readout(room)  # type: ignore[arg-type]
    for replica in range(2):
        said = calibrated(room.spoken["S"][replica])
        wanted = said - said.mean(-1, keepdims=True)
        features = room.known[room.rows[replica]].double().numpy()
        features = (features - features.mean(0)) / features.std(0)
        left_out = np.empty_like(wanted)
        for text in range(7):
            kept = [other for other in range(7) if other != text]
            # Ridge with an intercept; the penalty is that of all seven texts.
            design = np.hstack([features[kept], np.ones((6, 1))])
            penalty = gamma * 7 * np.diag([1.0] * FEATURES + [0.0])
            weights = np.linalg.solve(design.T @ design + penalty, design.T @ wanted[kept])
            left_out[text] = np.append(features[text], 1.0) @ weights
        size = np.sqrt((wanted**2).mean() / (left_out**2).mean())
        expected = np.exp(left_out * size)
        expected /= expected.sum(-1, keepdims=True)
        np.testing.assert_allclose(soft[replica].numpy(), expected, rtol=1e-4)
    assert costs[0].target_forward_rows == 7 and costs[0].access == "states"
    assert costs[0].source_rows == 7 and costs[0].unlabelled_texts == 7
