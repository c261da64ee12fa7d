"""Rates that a machine without any of its own is told times from.

``python -m benchmarks.reference_rates`` runs small packs in this process, on one core, and writes
``sweep/timing/reference.json``. Seconds are those of the processor, so that a machine that is busy
with other things measures right too. A folder as argument keeps what is finished: the same command
goes on there.
"""

import json
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from sweep.engine.outcomes import Outcomes
from sweep.ledger.ledger import Ledger
from sweep.planning.agenda import Agenda, Closed
from sweep.planning.plan import Plan, make_plan
from sweep.planning.schedule import play
from sweep.spec.spec import parse_spec
from sweep.timing.reference import FILE, core_gflops, layer_weights
from sweep.timing.throughput import Device, ModelRate, measured
from trainables.core.cells import Pack
from trainables.models.names import resolve_model
from trainables.tune import run_once

SMALL = "pocket-bert"
WIDE = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 6}
"""Beside the small one of the same family, what says how times grow with a model's size."""
HARD = {"batch_size": 8, "steps": 3}
SOFT = {"lambda": [0, 0.5], "steps": 24, "batch_size": 8, "learning_rate": 0.05, "evaluations": 2}
WAYS = [
    {"solver": "closed_form"},
    {"solver": "adam", "steps": 200},
    {"solver": "distil", "steps": 20, "texts": 200, "rows": ["single"]},
    {"solver": "tune", "steps": 20, "rows": ["single"]},
    {"solver": "search", "budget": 2000, "rows": ["single"]},
    {"solver": "readout", "texts": 200, "rows": ["single"]},
]
COMMON = {
    "name": "reference",
    "tasks": ["mini/topics"],
    "seeds": 2,
    "direct": False,
    "resources": {"cpu": 1, "gpu": 0},
}


def specs(wide: Path) -> list[dict[str, Any]]:
    """What is run: every embedded model, every way, every method on the small one, a wide one."""
    pockets = ["pocket-gpt2", "pocket-roberta", "pocket-llama", SMALL]
    paired = ["pocket-t5", "pocket-t5-lm"]
    target = {"targets": ["pocket-gpt2-large"], "direct": True}
    one = {"sources": [SMALL], "pairs": []}
    hard = {"autoprompt": HARD, "pez": HARD}
    return [
        COMMON
        | target
        | {"sources": pockets + paired, "pairs": [pockets[:2]], "methods": {"soft": SOFT}},
        COMMON | target | one | {"methods": {"soft": SOFT}, "transfer": WAYS},
        COMMON | target | {"sources": pockets[::3], "pairs": [], "methods": hard, "direct": False},
        COMMON | one | {"sources": [str(wide)], "targets": [SMALL], "methods": {"soft": SOFT}},
    ]


def run_here(plan: Plan, folder: Path) -> Device:
    """What the packs of a plan take in this process."""
    ledger = Ledger(folder)
    outcomes = Outcomes(ledger, lambda record: None)

    done = ledger.done_ids()

    def close(pack: Pack) -> Closed:
        found = run_once(outcomes.payload(pack), "trainables.packs.pack:run_pack", "cpu", 1)
        if "error" in found:
            raise RuntimeError(found["error"])
        return outcomes.close(pack, found)

    play(Agenda(plan.remaining(done), done, outcomes.refuse), 1, lambda pack: 1.0, close)
    return measured(ledger.records(), "cpu").devices["cpu"]


def make_wide(folder: Path) -> Path:
    """A larger BERT with random weights, the same every time, and the small one's tokenizer."""
    if folder.exists():
        return folder
    from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

    small = Path(resolve_model(SMALL).location)
    torch.manual_seed(0)
    config = BertConfig.from_pretrained(small, **WIDE, intermediate_size=4 * WIDE["hidden_size"])
    BertForMaskedLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(small).save_pretrained(folder)
    return folder


def main() -> None:
    """Measure, and write the file."""
    torch.set_num_threads(1)
    time.perf_counter = time.process_time
    with tempfile.TemporaryDirectory(prefix="reference-") as scratch:
        place = Path(*sys.argv[1:2] or [scratch])
        wide = make_wide(place / "wide")
        found = Device.unknown()
        plans = [make_plan(parse_spec(content)) for content in specs(wide)]
        for number, plan in enumerate(plans):
            new = run_here(plan, place / str(number))
            for digest, rate in new.models.items():
                known = found.models.setdefault(digest, ModelRate(rate.name))
                known.trained_text |= rate.trained_text
                known.carried |= rate.carried
                known.evaluated_text = known.evaluated_text or rate.evaluated_text
            found.pack_seconds = max(found.pack_seconds, new.pack_seconds)
        names = {rate.name: rate for rate in found.models.values()}
        content = {
            "format": 1,
            "measured": datetime.now(UTC).date().isoformat(),
            "machine": "one core of an Intel Xeon with AVX-512",
            "gflops": round(core_gflops(), 1),
            "pack_seconds": round(found.pack_seconds, 3),
            "models": {
                digest: {
                    "name": rate.name,
                    "evaluated_text": _short(rate.evaluated_text or 0.0),
                    "trained_text": {
                        name: _short(each) for name, each in rate.trained_text.items()
                    },
                    "carried": {name: _short(each) for name, each in rate.carried.items()},
                }
                for digest, rate in found.models.items()
                if rate.name != wide.name
            },
            "by_size": [
                {
                    "weights": layer_weights(config),
                    "evaluated_text": _short(rate.evaluated_text or 0.0),
                    "trained_text": {"soft": _short(rate.trained_text["soft"])},
                }
                for config, rate in (
                    (Path(resolve_model(SMALL).location), names[SMALL]),
                    (wide, names[wide.name]),
                )
            ],
        }
    FILE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _short(seconds: float) -> float:
    return float(f"{seconds:.3g}")


if __name__ == "__main__":
    main()
