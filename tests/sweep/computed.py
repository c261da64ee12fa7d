"""Small sweeps that are really computed, in this process and without Ray."""

import os
import shutil
import tempfile
from pathlib import Path

from sweep.ledger.folder import bind
from sweep.ledger.ledger import Ledger
from sweep.planning.plan import Plan, make_plan, running_order
from sweep.spec.spec import parse_spec
from tests.sweep.samples import content
from trainables.packs.pack import run_pack

_COMPUTED: dict[str, Path] = {}


def compute(plan: Plan, folder: Path) -> Path:
    """All cells of a plan, in a ledger; a process computes a plan once and copies it afterwards."""
    key = repr(plan.resolved.spec)
    if key not in _COMPUTED:
        kept = Path(tempfile.mkdtemp(dir=os.environ["HOME"]))  # the tests' own, see conftest
        _COMPUTED[key] = _compute(plan, kept)
    shutil.copytree(_COMPUTED[key], folder, dirs_exist_ok=True)
    return folder


def _compute(plan: Plan, folder: Path) -> Path:
    bind(folder, plan, {})
    ledger = Ledger(folder)
    for pack in sorted(running_order(plan.packs), key=lambda pack: pack.kind == "transfer"):
        outcome = run_pack(pack, {name: ledger.prompt(name) for name in pack.needs})
        for cell in pack.cells:
            result, prompt = outcome.results[cell.id], outcome.prompts.get(cell.id)
            more = outcome.predictions.get(cell.id), outcome.readouts.get(cell.id)
            ledger.write(cell, result, pack.id, outcome.cost, prompt, *more)
    return folder


def soft_and_hard(task: str = "mini/topics") -> Plan:
    """Vectors and texts for a causal and a masked target; seconds to compute."""
    return make_plan(
        parse_spec(
            content(
                name="both",
                sources=["pocket-bert", "pocket-gpt2"],
                targets=["pocket-gpt2-large", "pocket-roberta"],
                tasks=[task],
                methods={
                    "soft": {"lambda": [0.5], "steps": 2, "evaluations": 1, "text_tokens": 12},
                    "random": {"text_tokens": 12},
                },
            )
        )
    )
