"""``sweep recheck``: a new model is there; what do the prompts of a finished sweep do on it?

Nothing is tuned on sources again. The stored prompts are carried to the new model; beside them are
no prompt, the same calibrated, a readout and a distilled prompt, within a budget.
"""

from pathlib import Path
from typing import Any

from sweep.ledger.folder import SPEC_FILE, bind, read_meta_for_models
from sweep.ledger.ledger import Ledger
from sweep.ledger.lock import DriverLock
from sweep.planning.plan import Plan, make_plan
from sweep.spec.spec import SweepSpec, parse_spec
from trainables.core.frontier import BACKWARD, CHEAP
from trainables.core.registries import SOLVERS
from trainables.core.settings import TransferSettings, family_of
from trainables.errors import InputError, show
from trainables.files.names import safe_name
from trainables.files.strict_yaml import load_yaml
from trainables.files.text_files import read_text

FOLDER = "recheck"
"""In the sweep's folder, where the results on new models are."""
_LEFT = ("search", "domains", "direct", "task_transfer", "resources", "mlflow")


def recheck_plan(folder: Path, targets: list[str], budget: int = CHEAP) -> Plan:
    """The cells that carry a sweep's prompts to other models.

    Args:
        folder: of the finished sweep, a grid.
        targets: models as a spec names them.
        budget: row equivalents (a row backward is two) on the target that each prompt may take.

    Raises:
        InputError: the folder holds no grid of soft prompts, a model or task is gone or has
            changed, or the budget is below one step.
    """
    plan = make_plan(_spec(folder, targets, budget))
    lacking = _prompts(plan) - Ledger(folder).done_ids()
    if lacking:
        raise InputError(
            f"{folder}: {len(lacking):,} of the {len(_prompts(plan)):,} prompts that go to"
            f" {', '.join(targets)} are not there; allowed: a sweep whose prompts are all tuned, by"
            " this version and from the same models and tasks"
        )
    return plan


def recheck_folder(folder: Path, targets: list[str]) -> Path:
    """Where the results on these models go."""
    return folder / FOLDER / "+".join(safe_name(Path(name).name) for name in targets)


def adopt_prompts(folder: Path, out: Path, plan: Plan) -> None:
    """Put the stored prompts into the folder of the recheck, as finished cells of its plan.

    Raises:
        InputError: the folder is in use, or holds something else.
        OSError: it cannot be written.
    """
    from sweep.engine.runner import package_versions

    out.mkdir(parents=True, exist_ok=True)
    with DriverLock(out):
        bind(out, plan, package_versions())
        old, new = Ledger(folder), Ledger(out)
        for cell_id in _prompts(plan) - new.done_ids():
            record = old.record(cell_id)
            content = (folder / record["prompt"]["file"]).read_bytes()
            new.adopt(record, content)


def _prompts(plan: Plan) -> set[str]:
    return {cell.id for cell in plan.cells if cell.kind == "source"}


def _spec(folder: Path, targets: list[str], budget: int) -> SweepSpec:
    meta = read_meta_for_models(folder)
    known: dict[str, Any] = meta["spec"]
    if "search" in known:
        raise InputError(f"{folder}: holds a search; allowed: the folder of a grid")
    where = f"{folder / SPEC_FILE}"
    written = load_yaml(read_text(folder / SPEC_FILE, where), where)
    methods = {name: each for name, each in written["methods"].items() if family_of(name) == "soft"}
    if not methods:
        raise InputError(
            f"{folder}: holds no soft prompts (methods {', '.join(written['methods'])});"
            " allowed: the folder of a sweep of soft prompts"
        )
    for name in targets:
        if name in known["models"]:
            raise InputError(
                f"--target: {show(name)} is a model of the sweep itself; allowed: another one"
            )
    ways = known["transfer"] if isinstance(known["transfer"], list) else [known["transfer"]]
    spec = {
        **{name: value for name, value in written.items() if name not in _LEFT},
        "name": f"{known['name'][:56]}-recheck",
        "models": {
            alias: {"path": model["location"], "revision": model["revision"]}
            for alias, model in known["models"].items()
        },
        "sources": known["sources"],
        "pairs": known["pairs"],
        "targets": targets,
        "tasks": [known["task_files"][name]["file"] for name in known["tasks"]],
        "seeds": known["seeds"],
        "plugins": [item["place"] for item in known.get("plugins", {}).values()],
        "methods": methods,
        "transfer": [*_kept(ways), *_within(budget)],
        "direct": False,
        "calibration": ["batch"],
        "resources": known["resources"],
        "precision": known.get("precision", "float32"),
    }
    return parse_spec(spec, where, Path.cwd())


def _kept(ways: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first of the sweep's ways that maps prompts: it costs nothing on another model."""
    return [way for way in ways if not SOLVERS[way["solver"]].through][:1]


def _within(budget: int) -> list[dict[str, Any]]:
    """A readout and a distilled prompt that together with its texts stay within a budget."""
    distilled = TransferSettings(solver="distil")
    step = (1 + BACKWARD) * (distilled.batch_size or 1)
    if budget < step:
        raise InputError(
            f"--budget: found {budget}; allowed: at least {step}, one step of a distilled prompt"
        )
    rows = ["single"]
    return [
        {"solver": "readout", "texts": min(512, budget), "rows": rows},
        {"solver": "distil", "steps": budget // step, "rows": rows},
    ]


def verdicts(out: Path) -> list[dict[str, str]]:
    """What to do on each new model, in words: its ``title`` and ``text``."""
    from analysis.contrasts.examples import examples_of
    from analysis.data.results import read
    from analysis.frontier.section import costs_and_gains

    sweep = read(out)
    found = costs_and_gains(sweep.frame, examples=examples_of(sweep.folder, sweep.frame))
    return [{"title": one.title, "text": one.text} for item in found for one in item.findings()]


def format_verdicts(found: list[dict[str, str]]) -> str:
    """The same for people."""
    return "\n".join(f"{one['title']}: {one['text']}" for one in found)
