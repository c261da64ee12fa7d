"""What a pack takes where the spec says auto."""

from typing import Any

import pytest

from sweep.share import settle
from sweep.spec import Resources, parse_spec
from tests.sweep.samples import content
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


def test_the_spec_says_auto() -> None:
    spec = parse_spec(content(resources={"cpu": "auto", "gpu": "auto"}))
    assert (spec.resources.cpu, spec.resources.gpu) == (None, None)
    assert Resources(**spec.resources.model_dump()) == spec.resources
    with pytest.raises(InputError, match=r"resources.cpu: found 'all'; .* or auto"):
        parse_spec(content(resources={"cpu": "all"}))


@pytest.mark.parametrize("resources", [{"gpu": 1}, {"cpu": "auto", "gpu": "auto"}], ids=str)
def test_graphs_are_asked_for_in_so_many_words(resources: dict[str, Any]) -> None:
    plain = parse_spec(content(resources=resources)).resources
    asked = parse_spec(content(resources={**resources, "graphs": True})).resources
    assert not settle(plain, [CARDS]).graphs
    assert settle(asked, [CARDS]).graphs
    with pytest.raises(InputError, match=r"resources.graphs: found 'yes'; .* true or false"):
        parse_spec(content(resources={"graphs": "yes"}))
