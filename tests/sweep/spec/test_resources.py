"""What a pack takes where the spec says auto."""

from pathlib import Path
from typing import Any

import pytest

from sweep.engine.runner import Options, run
from sweep.engine.trials import TrialOptions
from sweep.spec.resources import check_known_here, settle
from sweep.spec.spec import Resources, parse_spec
from tests.sweep.faulty import no_mlflow as no_mlflow
from tests.sweep.faulty import start
from tests.sweep.inline import inline as inline
from tests.sweep.inline import run_packs as run_inline
from tests.sweep.samples import content, plan_of
from trainables.errors import InputError

HEAD = {"CPU": 0.0, "memory": 1e9}
CPU = {"CPU": 16.0}
CARDS = {"CPU": 32.0, "GPU": 4.0, "accelerator_type:A100": 1.0}


@pytest.mark.parametrize(
    ("asked", "nodes", "cpu", "gpu"),
    [
        ({"cpu": 2.0, "gpu": 0.5}, [], 2.0, 0.5),
        ({"cpu": None, "gpu": None}, [HEAD, CPU], 1.0, 0.0),
        ({"cpu": None, "gpu": None}, [HEAD, CPU, CARDS], 8.0, 1.0),
        ({"cpu": None, "gpu": 0.0}, [CARDS], 1.0, 0.0),
        ({"cpu": 3.0, "gpu": None}, [CARDS], 3.0, 1.0),
        ({"cpu": None, "gpu": None}, [{"CPU": 2.0, "GPU": 4.0}], 1.0, 1.0),
    ],
    ids=str,
)
def test_what_a_pack_takes(
    asked: dict[str, float | None], nodes: list[dict[str, float]], cpu: float, gpu: float
) -> None:
    found = settle(Resources(**asked), nodes)
    assert (found.cpu, found.gpu) == (cpu, gpu)
    assert (found.reason is None) == (None not in asked.values())


def test_the_reason_is_said() -> None:
    found = settle(Resources(cpu=None, gpu=None), [HEAD, CARDS])
    assert found.reason == (
        "resources auto: 4 GPUs and 32 cores on 1 node, so a pack takes 1 GPU and 8 cores"
        " (a pack's prompts train as one stack, which fills a card)"
    )


def test_nothing_is_up_yet() -> None:
    with pytest.raises(InputError, match=r"resources.gpu: found auto, but no node .* a number"):
        settle(Resources(gpu=None), [HEAD])


@pytest.mark.parametrize(
    ("more", "known"),
    [
        ({}, True),
        ({"precision": "auto"}, False),
        ({"precision": "auto", "resources": {"gpu": "auto"}}, False),
        ({"precision": "auto", "resources": {"gpu": 0.5}}, True),
        ({"precision": "bfloat16", "resources": {"gpu": "auto"}}, True),
    ],
    ids=str,
)
def test_a_head_does_not_decide_the_precision_of_its_workers(
    more: dict[str, Any], known: bool, tmp_path: Path
) -> None:
    """It enters every hash; the sentence comes before anything is written."""
    spec = parse_spec(content(**more))
    if known:
        check_known_here(spec)
        return
    with pytest.raises(InputError, match=r"precision: found auto on a cluster, .*bfloat16.*gpu\)"):
        run(plan_of(**more), tmp_path / "out", Options(address="127.0.0.1:9"))
    assert not (tmp_path / "out").exists()


def test_the_spec_says_auto() -> None:
    spec = parse_spec(content(resources={"cpu": "auto", "gpu": "auto"}))
    assert (spec.resources.cpu, spec.resources.gpu) == (None, None)
    assert Resources(**spec.resources.model_dump()) == spec.resources
    with pytest.raises(InputError, match=r"resources.cpu: found 'all'; .* or auto"):
        parse_spec(content(resources={"cpu": "all"}))


@pytest.mark.parametrize("resources", [{"gpu": 1}, {"cpu": "auto", "gpu": "auto"}], ids=str)
def test_graphs_are_recorded_unless_a_spec_says_no(resources: dict[str, Any]) -> None:
    plain = parse_spec(content(resources=resources)).resources
    without = parse_spec(content(resources={**resources, "graphs": False})).resources
    assert settle(plain, [CARDS]).graphs
    assert not settle(without, [CARDS]).graphs
    with pytest.raises(InputError, match=r"resources.graphs: found 'yes'; .* true or false"):
        parse_spec(content(resources={"graphs": "yes"}))


@pytest.mark.parametrize(
    ("address", "workers", "most"),
    [(None, None, 3), (None, 2, 2), ("10.0.0.1:6379", None, None), ("10.0.0.1:6379", 2, 2)],
)
def test_how_many_packs_are_handed_out_at_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    inline: None,
    no_mlflow: None,
    address: str | None,
    workers: int | None,
    most: int | None,
) -> None:
    """No more than a machine has room for, as what waits cannot be chosen by a later result.

    A cluster may grow: there Ray decides.
    """
    found: list[int | None] = []

    def run_packs(agenda: Any, outcomes: Any, line: Any, options: TrialOptions, *more: Any) -> None:
        found.append(options.most)
        run_inline(agenda, outcomes, line, options, *more)

    monkeypatch.setattr("sweep.engine.trials.run_packs", run_packs)
    monkeypatch.setattr("sweep.engine.trials.room_for", lambda share, most: min(3, most or 3))
    options = {"address": address, "workers": workers}
    assert start(plan_of(), tmp_path, [], **options) == 0
    assert found == [most]
