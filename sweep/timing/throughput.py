"""How fast a machine is, measured by what its sweeps have cost.

A profile is a small JSON file::

    {"format": 1, "measured": "2026-11-20", "devices": {"cpu": {
       "packs": 70, "pack_seconds": 1.2,
       "models": {"31706b6e8980a4b6": {"name": "pocket-gpt2", "trained_text": {"soft": 0.002},
                                       "evaluated_text": 0.0007}},
       "tasks": {"660423c57f5981e1": {"name": "mini/topics", "texts": 280}}}}}

``trained_text`` is seconds for each text that a method trains a model on (a step of batch size 16
is 16 of them; where there are no steps, for each prompt), ``evaluated_text`` for each text that a
finished prompt is scored on, ``pack_seconds`` what a pack takes beside, ``texts`` how many texts of
a task a prompt is scored on. Models and tasks go by their digests. The seconds were measured beside
as many other packs as there were then.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sweep.ledger.ledger import Record
from sweep.plan.plan import training_steps
from trainables.errors import InputError
from trainables.files.atomic import replace_file
from trainables.files.cache import cache_folder

FILE = "throughput.json"
FORMAT = 1
_ROUNDS = 200


@dataclass
class ModelRate:
    """Seconds for each text, of one model; see the module for what is counted."""

    name: str
    trained_text: dict[str, float] = field(default_factory=dict)
    evaluated_text: float | None = None


@dataclass
class Device:
    """What one kind of device has been measured to take."""

    packs: int = 0
    pack_seconds: float = 0.0
    models: dict[str, ModelRate] = field(default_factory=dict)
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Profile:
    """Rates by device (``cpu``, ``cuda``); ``measured`` is a date."""

    measured: str = ""
    devices: dict[str, Device] = field(default_factory=dict)

    def with_newer(self, other: "Profile") -> "Profile":
        """Both; where both know a rate, that of ``other``."""
        merged = Profile(other.measured or self.measured)
        for name in {**self.devices, **other.devices}:
            old, new = self.devices.get(name, Device()), other.devices.get(name, Device())
            models = {**old.models}
            for digest, rate in new.models.items():
                known = models.get(digest, ModelRate(rate.name))
                models[digest] = ModelRate(
                    rate.name,
                    {**known.trained_text, **rate.trained_text},
                    known.evaluated_text if rate.evaluated_text is None else rate.evaluated_text,
                )
            latest = new if new.packs else old
            merged.devices[name] = Device(
                latest.packs, latest.pack_seconds, models, {**old.tasks, **new.tasks}
            )
        return merged


def training_texts(settings: Mapping[str, Any], steps: int | None = None) -> int:
    """Texts that one prompt's tuning reads on each of its models.

    Args:
        settings: of a ``source`` cell.
        steps: those that were done; None takes those that are planned.
    """
    planned = training_steps(settings) if steps is None else steps
    return max(planned, 1) * int(settings.get("batch_size") or 1)


def measured(records: Iterable[Record], device: str) -> Profile:
    """The profile that finished cells give.

    A pack's costs are known, not its models' shares: the rates are those that explain all packs
    best, found with the updates of expectation maximisation for a Poisson model
    (Richardson 1972, Lucy 1974), which keep them positive.

    Args:
        records: of one or several sweeps.
        device: what they ran on.
    """
    packs: dict[str, list[Record]] = defaultdict(list)
    found, when = Device(), ""
    names: dict[str, str] = {}
    for record in records:
        packs[record["pack"]].append(record)
        names |= record["cell"]["digests"]
        when = max(when, record["finished"][:10])
        _note_task(found, record)
    whole = [items for items in packs.values() if "seconds" in items[0]["cost"]]
    if not whole:
        return Profile()
    trained = [(dict(_trained(items)), _train_seconds(items)) for items in whole]
    evaluated = [(_evaluated(items), _other_seconds(items)) for items in whole]
    aliases = {digest: name for name, digest in names.items()}
    for (digest, method), rate in explain(trained).items():
        _model(found, digest, aliases).trained_text[method] = rate
    rates = explain(evaluated)
    for (digest, _), rate in rates.items():
        _model(found, digest, aliases).evaluated_text = rate
    found.packs = len(whole)
    found.pack_seconds = sum(map(_load_seconds, whole)) / len(whole)
    return Profile(when, {device: found})


_Key = tuple[str, str]


def explain(observed: Iterable[tuple[Mapping[_Key, float], float]]) -> dict[_Key, float]:
    """Positive rates r with amounts · r ≈ seconds over all observations.

    Args:
        observed: per pack, the amount of work of each kind, and the seconds it took.
    """
    items = [(amounts, seconds) for amounts, seconds in observed if amounts and seconds > 0]
    total: dict[_Key, float] = defaultdict(float)
    for amounts, _ in items:
        for key, amount in amounts.items():
            total[key] += amount
    work = sum(total.values())
    rates = dict.fromkeys(total, sum(seconds for _, seconds in items) / work if work else 0.0)
    for _ in range(_ROUNDS):
        owed: dict[_Key, float] = defaultdict(float)
        for amounts, seconds in items:
            modelled = sum(amount * rates[key] for key, amount in amounts.items())
            for key, amount in amounts.items():
                owed[key] += amount * rates[key] * seconds / modelled
        rates = {key: owed[key] / total[key] for key in total}
    return rates


def _trained(items: list[Record]) -> Iterator[tuple[_Key, float]]:
    amounts: dict[_Key, float] = defaultdict(float)
    for record in items:
        cell = record["cell"]
        if cell["kind"] == "source":
            texts = training_texts(cell["settings"], record["result"].get("steps"))
            amounts[cell["digests"][cell["target"]], cell["method"]] += texts
    yield from amounts.items()


def _evaluated(items: list[Record]) -> dict[_Key, float]:
    amounts: dict[_Key, float] = defaultdict(float)
    for record in items:
        cell = record["cell"]
        amounts[cell["digests"][cell["target"]], ""] += _texts(record)
    return amounts


def _texts(record: Record) -> int:
    result = record["result"]
    return max(int(result.get("n_test") or 0) + int(result.get("n_validation") or 0), 1)


def _train_seconds(items: list[Record]) -> float:
    return float(items[0]["cost"].get("train_seconds", 0.0))


def _load_seconds(items: list[Record]) -> float:
    return float(items[0]["cost"].get("load_seconds", 0.0))


def _other_seconds(items: list[Record]) -> float:
    return float(items[0]["cost"]["seconds"]) - _train_seconds(items) - _load_seconds(items)


def _note_task(device: Device, record: Record) -> None:
    cell = record["cell"]
    digest = cell["digests"][cell["task"]]
    device.tasks.setdefault(digest, {"name": cell["task"], "texts": _texts(record)})


def _model(device: Device, digest: str, aliases: Mapping[str, str]) -> ModelRate:
    return device.models.setdefault(digest, ModelRate(aliases.get(digest, digest)))


def default_file() -> Path:
    """Where this machine's own profile is kept."""
    return cache_folder() / FILE


def load_profile(path: Path) -> Profile:
    """Read a profile.

    Raises:
        InputError: there is none, or it is not as it should be.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"--profile: {path} cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        raise InputError(f"--profile: {path} is no JSON ({error})") from None
    try:
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r}")
        return Profile(
            str(content["measured"]),
            {name: _device(item) for name, item in content["devices"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"--profile: {path} is no profile ({type(error).__name__}: {error});"
            f" allowed: a file such as {default_file()}, which finished sweeps write"
        ) from None


def _device(item: Mapping[str, Any]) -> Device:
    return Device(
        int(item["packs"]),
        _seconds(item["pack_seconds"]),
        {
            digest: ModelRate(
                str(model["name"]),
                {method: _seconds(rate) for method, rate in model["trained_text"].items()},
                None if model["evaluated_text"] is None else _seconds(model["evaluated_text"]),
            )
            for digest, model in item["models"].items()
        },
        {
            digest: {"name": str(task["name"]), "texts": int(task["texts"])}
            for digest, task in item["tasks"].items()
        },
    )


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise ValueError(f"found {value!r} where seconds should be")
    return float(value)


def save_profile(path: Path, profile: Profile) -> None:
    """Write a profile.

    Raises:
        OSError: it cannot be written.
    """
    content = {"format": FORMAT, **asdict(profile)}
    replace_file(path, json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n")


def learn(records: Iterable[Record], device: str, path: Path | None = None) -> None:
    """Add what a sweep has cost to this machine's profile; what cannot be kept is let go."""
    path = path or default_file()
    found = measured(records, device)
    if not found.devices:
        return
    try:
        known = load_profile(path)
    except InputError:
        known = Profile()
    try:
        save_profile(path, known.with_newer(found))
    except OSError:
        return
