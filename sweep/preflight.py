"""What can go wrong with models and tasks, found before anything is trained.

``python -m sweep.preflight`` checks what its standard input names. A process of its own keeps torch
and transformers out of the driver, which lives as long as the sweep.
"""

import json
import subprocess
import sys
from dataclasses import asdict
from itertools import product
from typing import Any, NoReturn

from sweep.plan import Plan
from trainables.cells import ModelRef, TaskRef
from trainables.errors import InputError

_MISTAKE = 2


def check_plan(plan: Plan) -> list[str]:
    """Have :func:`trainables.preflight.preflight` check a plan, in another process.

    Returns:
        Warnings, one sentence each.

    Raises:
        InputError: models, tasks and prompts do not fit one another.
        RuntimeError: the other process did not end as it should.
    """
    found = subprocess.run(
        [sys.executable, "-m", "sweep.preflight"],
        input=json.dumps(_question(plan)),
        capture_output=True,
        text=True,
        start_new_session=True,  # Ctrl-C is for the driver
        check=False,
    )
    if found.returncode not in (0, _MISTAKE):
        raise RuntimeError(f"the check of models and tasks broke off:\n{found.stderr}")
    # Libraries may print too; the answer is the last line.
    answer = json.loads(found.stdout.splitlines()[-1])
    if found.returncode == _MISTAKE:
        raise InputError(answer)
    return [str(warning) for warning in answer]


def _question(plan: Plan) -> dict[str, Any]:
    together = {(*cell.sources, *cell.counterparts) for cell in plan.cells if cell.row == "joint"}
    together |= {(*cell.sources, cell.target) for cell in plan.cells if cell.kind == "transfer"}
    methods = plan.resolved.spec.methods.values()
    variants = [(method.name, settings) for method in methods for settings in method.variants]
    return {
        "models": [asdict(model) for model in plan.resolved.models.values()],
        "tasks": [asdict(task) for task in plan.resolved.tasks],
        "settings": [asdict(settings) for _, settings in variants],
        "together": sorted(together),
        "samples": sorted(_samples(plan)),
        "starts": [
            {
                "model": source,
                "method": method,
                "settings": asdict(settings),
                "file": file and file.path,
            }
            for (method, settings), source in product(variants, plan.resolved.sources)
            for file in [plan.resolved.start(settings, source)]
        ],
    }


def _samples(plan: Plan) -> set[tuple[tuple[str, ...], int]]:
    """Models whose common words are sampled, and how many are wanted."""
    return {
        ((*cell.sources, *(cell.counterparts if cell.kind == "source" else (cell.target,))), size)
        for cell in plan.cells
        if (size := cell.settings.get("anchor_sample"))
    }


def main() -> NoReturn:
    """Answer the question on standard input with one line of JSON; exit code 2 on a mistake."""
    from trainables.preflight import preflight

    question = json.load(sys.stdin)
    try:
        warnings = preflight(
            [ModelRef(**model) for model in question["models"]],
            [TaskRef(**task) for task in question["tasks"]],
            question["settings"],
            question["together"],
            question["starts"],
            question["samples"],
        )
    except InputError as error:
        print(json.dumps(str(error)))
        sys.exit(_MISTAKE)
    print(json.dumps(warnings))
    sys.exit(0)


if __name__ == "__main__":
    main()
