"""How long a plan would take, told from what a machine has been measured to take."""

import math
import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.ledger.folder import META_FILE, read_meta
from sweep.ledger.ledger import Ledger
from sweep.planning.plan import Plan
from sweep.planning.schedule import would_take
from sweep.planning.twins import computed
from sweep.planning.work import TEXTS, Readings, TargetRun, cost, once, runs_of, training_texts
from sweep.spec.resources import Share, gpus_here, settle
from sweep.spec.spec import Resources
from sweep.timing.readings import readings
from sweep.timing.reference import DEVICE, Reference, with_reference
from sweep.timing.throughput import (
    Device,
    Profile,
    default_file,
    load_profile,
    measured,
)
from trainables.core.cells import Cell, Pack
from trainables.core.precision import FLOAT32
from trainables.core.texts import duration, some
from trainables.errors import InputError

_SHOWN = 3


@dataclass(frozen=True)
class Basis:
    """Rates and where they are from, as a part of a sentence.

    Attributes:
        own: whether they are this machine's; what those lack, reference rates stand in for.
    """

    profile: Profile
    source: str
    own: bool = False

    @classmethod
    def nothing(cls) -> "Basis":
        """Of a machine on which no sweep has finished yet."""
        return cls(Profile(), "", own=True)


def basis(path: Path | None = None) -> Basis:
    """The rates to tell from.

    Args:
        path: a profile, or the folder of a sweep with finished cells; None takes what this
            machine's own sweeps have left.

    Raises:
        InputError: ``path`` is neither.
    """
    if path is None:
        own = default_file()
        if not own.exists():
            return Basis.nothing()
        found = load_profile(own)
        return Basis(found, f"sweeps on this machine until {found.measured}", own=True)
    if (path / META_FILE).exists() or path.is_dir():
        spec = read_meta(path)["spec"]
        device = device_of(Resources(**spec["resources"]), spec.get("precision", FLOAT32))
        found = measured(Ledger(path).records(), device)
        return Basis(found, f"the sweep in {path}, {found.measured or 'nothing finished'}")
    found = load_profile(path)
    return Basis(found, f"{path}, measured until {found.measured}")


def device_of(resources: Resources, precision: str) -> str:
    """Name of the device that packs run on, with the precision where it is not float32."""
    name = "cuda" if share_here(resources).gpu else "cpu"
    return name if precision == FLOAT32 else f"{name} {precision}"


def _device_of(plan: Plan) -> str:
    return device_of(plan.resolved.spec.resources, plan.resolved.precision)


def share_here(resources: Resources) -> Share:
    """What one pack takes on this machine."""
    return settle(resources, [{"CPU": os.cpu_count() or 1, "GPU": gpus_here()}])


def pack_seconds(device: Device, passes: Readings = once) -> Callable[[Pack], float]:
    """What packs take on a device that knows all that :func:`unknown` asks for.

    ``passes``: how often an answer has its model read a text.
    """

    def of_cell(cell: Cell) -> float:
        rate = device.models[cell.digests[cell.target]]
        task = device.tasks.get(cell.digests[cell.task])
        seconds = (rate.evaluated_text or 0.0) * (task.texts if task else TEXTS)
        seconds *= passes(cell).judged
        if cell.kind == "source":
            texts = training_texts(cell.settings) * passes(cell).trained
            seconds += rate.trained_text[cell.method] * texts
        return seconds

    def of_run(run: TargetRun, times: int) -> float:
        rate = device.models[run.digest]
        if run.solver in rate.carried:
            return rate.carried[run.solver] * run.units_of(times)
        read = rate.evaluated_text or 0.0
        # A target that was never tuned: a text backwards takes two forwards.
        trained = rate.trained_text.get(run.method, 3 * read) * run.trained
        return times * (read * run.forward + trained)

    return lambda pack: (
        device.pack_seconds
        + sum(map(of_cell, computed(pack.cells)))
        + sum(of_run(run, passes(pack.cells[0]).trained) for run in runs_of(pack.cells))
    )


def weights(plan: Plan, packs: Collection[Pack]) -> Callable[[Pack], float]:
    """What packs weigh against one another: this machine's seconds, or steps where it has none."""
    try:
        found = basis()
    except InputError:  # a damaged profile is no reason not to run
        found = Basis.nothing()
    rates, _ = _rates(found, _device_of(plan), packs)
    return cost if unknown(packs, rates) else pack_seconds(rates, readings(plan.resolved))


def _rates(known: Basis, device: str, packs: Collection[Pack]) -> tuple[Device, Reference | None]:
    """Rates of a device, and what was taken of the reference for these packs, if anything."""
    rates = known.profile.devices.get(device, Device.unknown())
    if known.own and device == DEVICE and unknown(packs, rates):
        reference = with_reference(rates, packs)
        if reference.models:
            return reference.device, reference
    return rates, None


def unknown(packs: Iterable[Pack], device: Device) -> list[str]:
    """What no rate is known of: models, or models trained with a method."""
    lacking: dict[tuple[str, str], str] = {}
    for pack in packs:
        for cell in pack.cells:
            rate = device.models.get(cell.digests[cell.target])
            if rate is None or rate.evaluated_text is None:
                lacking[cell.target, ""] = cell.target
            elif cell.kind == "source" and cell.method not in rate.trained_text:
                lacking[cell.target, cell.method] = f"{cell.target} trained with {cell.method}"
    return sorted(lacking.values())


def at_once(resources: Resources, workers: int | None = None) -> int:
    """Packs that this machine runs at a time, at least 1."""
    share = share_here(resources)
    room = [(os.cpu_count() or 1) / share.cpu]
    if share.gpu:
        room.append(gpus_here() / share.gpu)
    if workers is not None:
        room.append(workers)
    return max(1, math.floor(min(room) + 1e-9))


def estimate(
    plan: Plan, done: Collection[str], known: Basis, workers: int | None = None
) -> dict[str, Any]:
    """Time that what is missing of a plan would take.

    Args:
        done: ids of cells that need not run.
        known: the rates.
        workers: packs at once at most; None leaves it to the resources.

    Returns:
        ``seconds`` from begin to end, ``pack_seconds`` of all packs together and ``gpu_hours``
        (all None where it cannot be told), ``packs_at_once``, ``basis`` (what it is told from;
        None where no sweep has finished here), ``reference`` (of what stands in for what was never
        measured here, see :meth:`sweep.timing.reference.Reference.facts`; None: nothing) and
        ``unknown`` (models, or models and methods, that no rate is known of).
    """
    resources = plan.resolved.spec.resources
    device = _device_of(plan)
    packs = plan.remaining(done)
    result: dict[str, Any] = {
        "seconds": None,
        "pack_seconds": None,
        "gpu_hours": None,
        "packs_at_once": at_once(resources, workers),
        "basis": known.source or None,
        "reference": None,
        "device": device,
        "unknown": [],
    }
    rates, reference = _rates(known, device, packs)
    result["reference"] = reference and reference.facts()
    result["unknown"] = unknown(packs, rates)
    if result["unknown"]:
        return result
    seconds = pack_seconds(rates, readings(plan.resolved))
    schedule = would_take(packs, done, result["packs_at_once"], seconds)
    hours = schedule.busy * share_here(resources).gpu / 3600
    return result | {
        "seconds": schedule.makespan,
        "pack_seconds": schedule.busy,
        "gpu_hours": hours,
    }


def format_estimate(result: dict[str, Any]) -> str:
    if result["seconds"] is None:
        if result.get("points", 0) is None:
            return "time: as long as the budget allows"
        names = some(result["unknown"], _SHOWN)
        if result["basis"] is None:
            return (
                "time: cannot be told, as no sweep has finished on this machine yet and there are"
                f" no reference rates on {result['device']} of {names}; --profile takes the rates"
                " of another one"
            )
        lacks = f"{result['basis']} has no rates on {result['device']} of {names}"
        return f"time: cannot be told, as {lacks}"
    if not result["seconds"]:
        return "time: none, nothing is left to run"
    packs = result["packs_at_once"]
    gpu = f", {result['gpu_hours']:.1f} GPU hours" if result["gpu_hours"] else ""
    at_once = f"{packs} pack{'s' if packs > 1 else ''} at once"
    if result.get("points"):
        at_once += f" for {result['points']} points"
    return f"time: about {_rounded(result['seconds'])} on {at_once}{gpu} (from {_source(result)})"


def _source(result: dict[str, Any]) -> str:
    reference = result["reference"]
    if reference is None:
        return str(result["basis"])
    speed = f"{reference['gflops']:.0f} GFLOP/s; a core here does {reference['gflops_here']:.0f}"
    rates = f"reference rates, measured on {reference['machine']} at {speed}"
    if result["basis"] is None:
        return f"{rates}; no sweep has finished on this machine yet"
    return f"{result['basis']}; {some(reference['models'], _SHOWN)} from {rates}"


def _rounded(seconds: float) -> str:
    """In words, no finer than such an estimate is."""
    if seconds < 90:
        return duration(max(10 * round(seconds / 10), 10))
    if seconds < 3600:
        return f"{round(seconds / 60)} min"
    return duration(seconds)
