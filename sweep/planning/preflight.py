"""What can go wrong with models and tasks, found before anything is trained.

``python -m sweep.planning.preflight`` checks what its standard input names. A process of its own
keeps torch and transformers out of the driver, which lives as long as the sweep.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import product
from typing import Any, NoReturn

from sweep.planning.plan import Plan
from sweep.planning.soft import stays
from sweep.planning.tasks import started_settings
from sweep.process.setup import child_command, child_environment
from sweep.spec.resolve import ResolvedSpec
from trainables.compute.process import end_with_parent, lasting
from trainables.core.cells import Cell, ModelRef, TaskRef
from trainables.core.plugins import Plugin
from trainables.core.registries import METHODS, SOLVERS
from trainables.core.settings import family_of, from_mapping, stored
from trainables.core.settings.base import CHAT
from trainables.errors import InputError

_MISTAKE = 2
_UNDER_WAY: set[subprocess.Popen[str]] = set()


def check_plan(plan: Plan) -> list[str]:
    """Have :func:`trainables.preflight.preflight` check a plan, in another process.

    Returns:
        Warnings, one sentence each.

    Raises:
        InputError: models, tasks and prompts do not fit one another.
        RuntimeError: the other process did not end as it should.
    """
    return _ask(_question(plan))


def check_local(resolved: ResolvedSpec) -> None:
    """Check the models that lie on this machine, as far as no data and no weights are needed.

    A look at their files without torch takes a moment; only what that leaves in doubt is put to the
    other process, which takes seconds to start.

    Raises:
        InputError: a folder that :func:`trainables.preflight.preflight` would refuse, or a label
            word that is not one token of its tokenizer.
    """
    from trainables.core.texts import listed
    from trainables.models.first_look import doubtful, is_local, read_shapes
    from trainables.tasks import load_task

    scored = {*resolved.sources, *resolved.targets}
    words = {
        word
        for task in resolved.tasks
        for one in load_task(task).label_words
        for word in listed(one)
    }
    local = [model for model in resolved.models.values() if is_local(model)]
    for model in local:
        read_shapes(model)
    methods = resolved.spec.methods.values()
    settings = [item for method in methods for item in method.variants]
    # What label words are behind a chat template, only the library knows.
    chat = any(item.template == CHAT for item in settings)
    odd = [
        model for model in local if chat or doubtful(model, words if model.alias in scored else ())
    ]
    if odd:
        _ask(
            {
                "models": [asdict(model) for model in odd],
                "labels": [asdict(task) for task in resolved.tasks],
                "scored": sorted(scored & {model.alias for model in odd}),
                "settings": [asdict(item) for item in settings] if chat else [],
                "part": True,
                "plugins": [asdict(plugin) for plugin in resolved.spec.loaded],
            }
        )


def _ask(question: dict[str, Any]) -> list[str]:
    process = subprocess.Popen(
        child_command("sweep.planning.preflight"),
        env=child_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the driver
    )
    _UNDER_WAY.add(process)
    try:
        output, errors = process.communicate(json.dumps(question))
    finally:
        process.kill()  # where it was not waited for to the end
        _UNDER_WAY.discard(process)
    if process.returncode not in (0, _MISTAKE):
        raise RuntimeError(f"the check of models and tasks broke off:\n{errors}")
    # Libraries may print too; the answer is the last line.
    answer = json.loads(output.splitlines()[-1])
    if process.returncode == _MISTAKE:
        raise InputError(answer)
    return [str(warning) for warning in answer]


@contextmanager
def abandoned_on_error() -> Iterator[None]:
    """Checks under way are of no use to anybody once the ``with`` has failed or was stopped."""
    try:
        yield
    except BaseException:
        for process in list(_UNDER_WAY):
            process.kill()
        raise


def _question(plan: Plan) -> dict[str, Any]:
    soft = [cell for cell in plan.cells if family_of(cell.method) == "soft"]
    together = {(*cell.sources, *cell.counterparts) for cell in soft if cell.row == "joint"}
    carried = [cell for cell in soft if cell.kind == "transfer"]
    copied = [cell for cell in carried if _copied(cell)]
    together |= {(*cell.sources, cell.target) for cell in carried if not _copied(cell)}
    methods = plan.resolved.spec.methods.values()
    variants = [(method.name, settings) for method in methods for settings in method.variants]
    variants += started_settings(plan.resolved)
    tuned_on = dict.fromkeys(
        (*plan.resolved.sources, *(plan.resolved.targets if plan.resolved.spec.direct else ()))
    )
    return {
        "plugins": [asdict(plugin) for plugin in plan.resolved.spec.loaded],
        "scored": sorted({cell.target for cell in plan.cells} | _judges(plan)),
        "words": _words(plan),
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
            for (method, settings), source in product(variants, tuned_on)
            if family_of(method) == "soft"
            for file in [plan.resolved.start(settings, source)]
        ],
        "ways": [
            {
                "settings": stored(way),
                "targets": list(plan.resolved.targets),
                "texts": way.texts_from and asdict(plan.resolved.texts[way.texts_from]),
            }
            for way in (plan.resolved.transfer if soft else ())
        ],
        "mixtures": _mixtures(soft),
        "copies": [
            {"solver": solver, "sources": sources, "target": target, "position": position}
            for solver, sources, target, position in sorted(
                {
                    (str(cell.settings["solver"]), cell.sources, cell.target, _position(cell))
                    for cell in copied
                }
            )
        ],
        "staying": stays(plan.resolved),
        "shots": sorted(
            {(cell.task, few) for cell in soft if (few := cell.settings.get("shots")) is not None}
        ),
    }


def _copied(cell: Cell) -> bool:
    """Whether a prompt is carried as it is: no common words are needed for it."""
    return SOLVERS[cell.settings["solver"]].layers


def _position(cell: Cell) -> str:
    return str(cell.settings.get("position", "prefix"))


def _judges(plan: Plan) -> set[str]:
    """Models that score candidates of other models' searches."""
    return {
        alias
        for search in _words(plan)
        for alias in from_mapping(METHODS[search["method"]], search["settings"]).judges(
            tuple(search["models"][1:])
        )
    }


def _words(plan: Plan) -> list[dict[str, Any]]:
    """Per search of hard prompts, seeds aside: its models and settings."""
    found = {
        (cell.sources, cell.counterparts, json.dumps(cell.settings, sort_keys=True)): cell
        for cell in plan.cells
        if cell.kind == "source" and family_of(cell.method) == "hard"
    }
    return [
        {
            "method": cell.method,
            "models": [*cell.sources, *cell.counterparts],
            "settings": dict(cell.settings),
            "task": cell.task,
        }
        for cell in found.values()
    ]


def _mixtures(cells: Iterable[Cell]) -> list[dict[str, Any]]:
    """Per mixture of tasks, seeds aside: its model, tasks and settings."""
    found = {
        (cell.target, cell.task, json.dumps(cell.settings, sort_keys=True)): cell
        for cell in cells
        if cell.row == "mixture"
    }
    return [
        {
            "model": cell.target,
            "tasks": [cell.task, *cell.origin],
            "settings": dict(cell.settings),
        }
        for cell in found.values()
    ]


def _samples(plan: Plan) -> set[tuple[tuple[str, ...], int]]:
    """Models whose common words are sampled, and how many are wanted."""
    return {
        ((*cell.sources, *(cell.counterparts if cell.kind == "source" else (cell.target,))), size)
        for cell in plan.cells
        if (size := cell.settings.get("anchor_sample"))
    }


def answer(question: dict[str, Any]) -> list[str]:
    """The warnings of the check that ``question`` asks for, in this process."""
    with lasting():
        from trainables.preflight import preflight

    question["models"] = [ModelRef(**model) for model in question["models"]]
    for name in {"tasks", "labels"} & question.keys():
        question[name] = [TaskRef(**task) for task in question[name]]
    for way in question.get("ways", ()):
        way["texts"] = TaskRef(**way["texts"]) if way["texts"] else None
    question["plugins"] = [Plugin(**plugin) for plugin in question.get("plugins", ())]
    return preflight(**question)


def main() -> NoReturn:
    """Answer the question on standard input with one line of JSON; exit code 2 on a mistake."""
    end_with_parent()
    try:
        warnings = answer(json.load(sys.stdin))
    except InputError as error:
        print(json.dumps(str(error)))
        sys.exit(_MISTAKE)
    print(json.dumps(warnings))
    sys.exit(0)


if __name__ == "__main__":
    main()
