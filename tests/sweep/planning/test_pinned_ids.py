"""Ids of cells, written down: a change that means no change of results moves none of them.

Ledgers and the store find results by them. Where results do change, `CODE_VERSION` or a family's
`code_version` rises, and the ids are written down anew:
`python -m tests.sweep.planning.test_pinned_ids` prints them.
"""

from importlib.resources import files
from typing import Any

import pytest
import yaml

from sweep.planning.plan import Plan, make_plan
from sweep.spec.spec import parse_spec
from sweep.testing.tabulated import find_model, find_task
from tests.sweep.samples import content
from trainables.core.cells import content_hash

SPECS: dict[str, dict[str, Any]] = {
    **{
        name: yaml.safe_load((files("sweep") / "presets" / f"{name}.yaml").read_text())
        for name in ("smoke", "quickstart", "paper_a", "paper_b")
    },
    "ways": content(
        pairs=[["A", "B"]],
        seeds=2,
        transfer=[
            {"solver": "closed_form"},
            {"solver": "readout", "features": ["states", "words"], "teacher": "permuted"},
            {"solver": "distil", "steps": [15, 60], "start": ["vocabulary", "carried"]},
            {"solver": "distil", "teacher": ["own", "direct", "gold"], "selection": "agreement"},
            {"solver": "tune", "shots": [2, 4], "rows": ["single"]},
            {"solver": "search", "subspace": ["random", "sources"]},
            {"solver": "random_words", "selection": "agreement"},
            {"solver": "proxy"},
        ],
    ),
    "every setting": content(
        sources=["A", "B", "C"],
        targets=["T", "A"],
        seeds=2,
        direct=True,
        methods={
            "soft": {
                "recipe": "fast",
                "prompt_length": [3, 5],
                "steps": 6,
                "evaluations": 2,
                "init": ["normal", "vocabulary"],
                "template": "causal",
                "loss": "vocabulary",
                "checkpoint": "last",
                "anchors": "with_targets",
                "anchor_sample": 64,
                "lambda": [0, 0.3, "annealing"],
            }
        },
        transfer={
            "solver": "adam",
            "steps": 5,
            "norm": "ptfer",
            "top_k": 9,
            "mask": "ptfer_release",
        },
        precision="bfloat16",
        calibration=["batch"],
    ),
    "hard": content(
        sources=["A", "B", "C"],
        methods={
            "random": {"prompt_length": 4},
            "pez": {"steps": 4, "evaluations": 2, "vocabulary": ["all", "agreement"], "k": [5, 9]},
            "autoprompt": {"steps": 4},
            "fluentprompt": {"steps": 4, "evaluations": 2},
        },
    ),
}
# As it was first: of 0.1, with one way.
SPECS["quickstart"].pop("transfer")
SPECS["quickstart"]["sources"] = ["pocket-bert", "pocket-gpt2", "pocket-roberta", "pocket-llama"]
SPECS["quickstart"]["tasks"] = ["mini/topics", "mini/reviews", "mini/paraphrase"]
SPECS["quickstart"]["methods"]["soft"].update(
    {"lambda": [0, 0.1, 0.3, 0.5, 0.7, 0.9, "annealing"], "steps": 24, "learning_rate": 0.05}
)
PINNED: dict[str, tuple[int, str, tuple[str, ...]]] = {
    "smoke": (
        18,
        "5d7b23c5ddb7da5f",
        ("22fcb40edfdc7e99", "6315bcbfca607634", "15964039e9228c6f", "dcd6dc787c830203"),
    ),
    "quickstart": (
        1152,
        "4385b237835f29b6",
        ("339d67ac0c7829b3", "de0c25045b3a7a76", "2b8f772d97e21199", "06df312c4c48a1d6"),
    ),
    "paper_a": (
        7126,
        "8d9364448d96604c",
        ("6dcf8e8cbf83d495", "76470532b3c6d968", "f7470a5588ae12ed", "96b0e039ac8d08ae"),
    ),
    "paper_b": (
        1992,
        "ba8a5bb5350d5233",
        ("69469b6190452d28", "ffdcc2d7c6faed2a", "f7c9d66f4612f21d", "cff70cea6052cb81"),
    ),
    "every setting": (
        276,
        "89c9d94b9b554cfb",
        ("04542d1eae5977cc", "87adea144742285f", "55eb2cf1fd4e2744", "411233dc746dc1c4"),
    ),
    "ways": (
        121,
        "a9e899d9c76705ad",
        ("c5281418759318c0", "78448f92d9611bb5", "9405d941a868ad4d", "5507cfa642b0a540"),
    ),
    "hard": (
        72,
        "1ebd9e9f3160742c",
        ("304cc3c8b28a12e1", "461e110dd599ecb2", "b4e137d3b3cbb6af", "22e8119c257ecb8e"),
    ),
}


def _plan(name: str) -> Plan:
    return make_plan(parse_spec(SPECS[name]), find_model, find_task)


def _pins(plan: Plan) -> tuple[int, str, tuple[str, ...]]:
    """How many cells, the hash of all their ids in order, and four of them."""
    ids = [cell.id for cell in plan.cells]
    return len(ids), content_hash(ids), tuple(ids[:: max(1, len(ids) // 3 - 1)][:4])


@pytest.mark.parametrize("name", SPECS)
def test_ids_stay(name: str) -> None:
    assert _pins(_plan(name)) == PINNED[name]


if __name__ == "__main__":
    for name in SPECS:
        print(f"    {name!r}: {_pins(_plan(name))},")
