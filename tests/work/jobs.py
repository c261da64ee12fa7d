"""Small fixed jobs through the real code, whose work is counted."""

from functools import cache

import numpy as np

from sweep.plan import Plan, make_plan, running_order
from sweep.spec import parse_spec
from trainables.cells import Pack, PackOutcome
from trainables.packs import run_pack
from trainables.testing.work import Work, counted

SOURCES, TARGET, TASK = ("pocket-bert", "pocket-gpt2"), "pocket-llama", "mini/topics"
SOFT = {"steps": 2, "evaluations": 1, "prompt_length": 4, "batch_size": 8, "text_tokens": 24}
PEZ = {**SOFT, "vocabulary": "all"}


@cache
def planned() -> Plan:
    """Soft prompts of one pair, four weights and two seeds, carried to one target."""
    spec = {
        "name": "work",
        "sources": list(SOURCES),
        "targets": [TARGET],
        "tasks": [TASK],
        "seeds": 2,
        "methods": {"soft": {"lambda": [0, 0.3, 0.5, "annealing"], **SOFT}},
        "direct": False,
    }
    return make_plan(parse_spec(spec))


def kinds() -> dict[str, Pack]:
    """The plan's packs: one source alone, the other, the pair, and what is carried over."""
    names = {("pocket-bert",): "alone", ("pocket-gpt2",): "other", SOURCES: "pair", (): "carried"}
    return {names[pack.sources]: pack for pack in planned().packs}


def drawn(pack: Pack) -> dict[str, np.ndarray]:
    """Prompts that a pack needs, random ones."""
    widths = {"pocket-bert": 128, "pocket-gpt2": 128}
    generator = np.random.default_rng(0)
    cells = planned().by_id
    return {
        name: generator.normal(size=(4, widths[cells[name].target])).astype(np.float32)
        for name in pack.needs
    }


def work_of(pack: Pack) -> tuple[Work, PackOutcome]:
    """What a pack asks of the models."""
    with counted() as work:
        outcome = run_pack(pack, drawn(pack))
    assert outcome.failures == {}
    return work, outcome


def loads_of_all() -> int:
    """Models that are loaded for the whole plan in one process."""
    loads = 0.0
    known: dict[str, np.ndarray] = {}
    for pack in running_order(planned().packs):
        outcome = run_pack(pack, {name: known[name] for name in pack.needs})
        known |= outcome.prompts
        loads += outcome.cost["model_loads"]
    return int(loads)
