"""The bounds hold, and each is broken by the waste that it guards against."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch

from benchmarks import tracking
from tests.counted import jobs
from tests.counted.bounds import BOUNDS
from trainables.backbones import Backbone, Encoded
from trainables.backbones.answer import AnswerLayer
from trainables.backbones.loading import resident
from trainables.compute.passes import PASS_TOKENS, SPARE_TOKENS
from trainables.core.settings import TransferSettings
from trainables.testing.work import Work

pytestmark = pytest.mark.slow

Patch = pytest.MonkeyPatch
MASKED, CAUSAL = jobs.SOURCES


def whole_vocabulary(patch: Patch) -> None:
    """The library's own forward: logits of all words at all positions."""

    def row_logits(
        model: Backbone,
        batch: Encoded,
        label_ids: Any,
        prompts: Any = None,
        owner: Any = None,
        rival: bool = False,
    ) -> torch.Tensor:
        assert not rival
        every = torch.arange(len(batch))
        embeds = model.embeddings[batch.ids]
        columns = batch.slots[:, None] + torch.arange(prompts.shape[1])
        embeds = embeds.index_put((every[:, None], columns), prompts[owner])
        mask = (torch.arange(batch.ids.shape[1]) < batch.lengths[:, None]).long()
        logits = model.family.model(inputs_embeds=embeds, attention_mask=mask).logits
        return logits[every, batch.answers][:, label_ids]

    patch.setattr(Backbone, "begin_alike", lambda *_: False)
    patch.setattr(Backbone, "row_logits", row_logits)


def padded_rows(patch: Patch) -> None:
    """Every row as long as the longest of its split."""
    real = Encoded.take
    patch.setattr(Encoded, "take", lambda data, index, *_: real(data, index, data.ids.shape[1]))


def mixed_lengths(patch: Patch) -> None:
    """One pass for rows of all lengths."""
    patch.setitem(PASS_TOKENS, "cpu", 10**9)
    patch.setitem(SPARE_TOKENS, "cpu", 10**9)


def whole_last_layer(patch: Patch) -> None:
    """The last layer at every token."""
    patch.setattr(
        AnswerLayer,
        "forward",
        lambda self, states, *args, **more: self.layer(states, *args, **more),
    )


def prompts_in_every_row(patch: Patch) -> None:
    """A causal model reads the prompt anew for each row."""
    real = jobs.read
    patch.setattr(jobs, "read", lambda *asked: replace(real(*asked), begin=None))


def evaluation(name: str) -> Work:
    return jobs.evaluating(name, 6)


@cache
def unspoilt(job: Callable[[str], Work], name: str) -> Work:
    """What the job takes where no waste was put in: several bounds look at it."""
    return job(name)


def flops(units: int) -> Callable[[Work, str], float]:
    return lambda work, name: work.flops / (units * jobs.weights_of(name) * work.needed)


def padding(work: Work, name: str) -> float:
    return work.padding


MEASURED: dict[str, tuple[Callable[[str], Work], Callable[[Work, str], float]]] = {
    "tuning, FLOPs by ideal": (jobs.tuning, flops(4)),
    "PEZ, FLOPs by ideal": (jobs.searching, flops(4)),
    "evaluation, FLOPs by ideal": (evaluation, flops(2)),
    "tuning, tokens read by needed": (jobs.tuning, padding),
    "evaluation, tokens read by needed": (evaluation, padding),
}
WASTES: list[tuple[str, str, Callable[[Patch], None]]] = [
    ("tuning, FLOPs by ideal", MASKED, whole_vocabulary),
    ("tuning, FLOPs by ideal", CAUSAL, whole_vocabulary),
    ("tuning, FLOPs by ideal", MASKED, padded_rows),
    ("tuning, FLOPs by ideal", MASKED, whole_last_layer),
    ("tuning, FLOPs by ideal", CAUSAL, whole_last_layer),
    ("tuning, FLOPs by ideal", CAUSAL, prompts_in_every_row),
    ("PEZ, FLOPs by ideal", MASKED, whole_vocabulary),
    ("PEZ, FLOPs by ideal", MASKED, whole_last_layer),
    ("evaluation, FLOPs by ideal", MASKED, whole_vocabulary),
    ("evaluation, FLOPs by ideal", MASKED, whole_last_layer),
    ("tuning, tokens read by needed", CAUSAL, mixed_lengths),
    ("tuning, tokens read by needed", MASKED, padded_rows),
    ("evaluation, tokens read by needed", MASKED, mixed_lengths),
    ("evaluation, tokens read by needed", CAUSAL, padded_rows),
]


@pytest.mark.parametrize("name", jobs.SOURCES)
@pytest.mark.parametrize("bound", MEASURED)
def test_the_bound_holds(bound: str, name: str) -> None:
    job, ratio = MEASURED[bound]
    found, most = ratio(unspoilt(job, name), name), BOUNDS[bound].most
    assert found <= most, BOUNDS[bound].why
    assert found > 0.5 * most, "a bound far off guards nothing"


@pytest.mark.parametrize(("bound", "name", "waste"), WASTES)
def test_the_waste_is_seen(
    bound: str, name: str, waste: Callable[[Patch], None], monkeypatch: Patch
) -> None:
    waste(monkeypatch)
    job, ratio = MEASURED[bound]
    assert ratio(job(name), name) > BOUNDS[bound].most


def test_replicas_share_passes() -> None:
    most = BOUNDS["tuning, passes of six prompts"].most
    assert unspoilt(jobs.tuning, MASKED).passes <= most
    alone = sum(jobs.tuning(MASKED, replicas=[one]).passes for one in jobs.REPLICAS)
    assert alone > most


def test_prompts_share_passes() -> None:
    most = BOUNDS["evaluation, passes of six prompts"].most
    assert unspoilt(evaluation, MASKED).passes <= most
    assert 6 * jobs.evaluating(MASKED, 1).passes > most


def test_a_transfer_is_a_few_products() -> None:
    prompts, bound = 4, BOUNDS["transfer, FLOPs by product"]
    unit = prompts * jobs.LENGTH * 128**2
    closed = jobs.carrying(TransferSettings(), prompts)
    assert closed.flops <= bound.most * unit, bound.why
    assert closed.passes == 0
    searched = jobs.carrying(TransferSettings(solver="adam", steps=100), prompts)
    assert searched.flops > bound.most * unit


def test_models_stay_between_packs(monkeypatch: Patch) -> None:
    most = BOUNDS["model loads of a sweep"].most
    assert jobs.loading() == most
    real = jobs.run_pack

    def forgetful(*asked: Any) -> Any:
        resident.clear()
        return real(*asked)

    monkeypatch.setattr(jobs, "run_pack", forgetful)
    assert jobs.loading() > most


def test_results_reach_mlflow_in_bulk() -> None:
    most = BOUNDS["MLflow calls for each result"].most
    assert tracking.writing(1, bulk=True, artifacts=False)["calls_per_result"] <= most
    assert tracking.writing(1, bulk=False, artifacts=False)["calls_per_result"] > most
