"""How fast a machine is, measured by what its sweeps have cost.

A profile is a small JSON file::

    {"format": 1, "measured": "2026-11-20", "devices": {"cpu": {
       "packs": 70, "pack_seconds": 1.2,
       "models": {"31706b6e8980a4b6": {"name": "pocket-gpt2", "trained_text": {"soft": 0.002},
                                       "evaluated_text": 0.0007, "carried": {"distil": 0.0004}}},
       "tasks": {"660423c57f5981e1": {"name": "mini/topics", "texts": 280}}}}}

``trained_text`` is seconds for each text that a method trains a model on (a step of batch size 16
is 16 of them; where there are no steps, for each prompt), ``evaluated_text`` for each text that a
finished prompt is scored on, ``carried`` for each unit of a way of transfer to it
(:attr:`sweep.planning.work.TargetRun.units`), ``pack_seconds`` what a pack takes beside, ``texts``
how many texts of a task a prompt is scored on. A text that is read several times for one answer
counts as so many. Models and tasks go by their digests. The seconds were measured beside as many
other packs as there were then; on processors, where others kept them busy, they are those that were
worked (the smaller of both counts).
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError

from sweep.ledger.ledger import Record
from sweep.planning.twins import computed
from sweep.planning.work import runs_of, training_texts
from trainables.core.cells import Cell, processor_time
from trainables.core.frontier import PRODUCTS
from trainables.core.texts import Passes
from trainables.errors import InputError
from trainables.files.atomic import replace_file
from trainables.files.cache import cache_folder

FILE = "throughput.json"
PROMPT = PRODUCTS[0]
_ROUNDS = 200


Seconds = Annotated[float, Field(ge=0, lt=1e9)]


@dataclass
class ModelRate:
    """Seconds for each text, of one model; see the module for what is counted."""

    name: str
    trained_text: dict[str, Seconds] = field(default_factory=dict)
    evaluated_text: Seconds | None = None
    carried: dict[str, Seconds] = field(default_factory=dict)


@dataclass
class TaskSize:
    """How many texts of a task a prompt is scored on."""

    name: str
    texts: int


@dataclass
class Device:
    """What one kind of device has been measured to take."""

    packs: int
    pack_seconds: Seconds
    models: dict[str, ModelRate]
    tasks: dict[str, TaskSize]

    @classmethod
    def unknown(cls) -> Self:
        return cls(0, 0.0, {}, {})


@dataclass
class Profile:
    """Rates by device (``cpu``, ``cuda``); ``measured`` is a date."""

    measured: str = ""
    devices: dict[str, Device] = field(default_factory=dict)

    def with_newer(self, other: "Profile") -> "Profile":
        """Both; where both know a rate, that of ``other``."""
        merged = Profile(other.measured or self.measured)
        for name in {**self.devices, **other.devices}:
            old, new = (item.devices.get(name, Device.unknown()) for item in (self, other))
            models = {**old.models}
            for digest, rate in new.models.items():
                known = models.get(digest, ModelRate(rate.name))
                models[digest] = ModelRate(
                    rate.name,
                    {**known.trained_text, **rate.trained_text},
                    known.evaluated_text if rate.evaluated_text is None else rate.evaluated_text,
                    {**known.carried, **rate.carried},
                )
            latest = new if new.packs else old
            merged.devices[name] = Device(
                latest.packs, latest.pack_seconds, models, {**old.tasks, **new.tasks}
            )
        return merged


def measured(records: Iterable[Record], device: str) -> Profile:
    """The profile that finished cells give.

    A pack's costs are known, not its models' shares: the rates are those that explain all packs
    best, found with the updates of expectation maximisation for a Poisson model
    (Richardson 1972, Lucy 1974), which keep them positive.

    Args:
        records: of one or several sweeps.
    """
    packs: dict[str, list[Record]] = defaultdict(list)
    found, when = Device.unknown(), ""
    names: dict[str, str] = {}
    for record in records:
        packs[record["pack"]].append(record)
        names |= record["cell"]["digests"]
        when = max(when, record["finished"][:10])
        _note_task(found, record)
    timed = [items for items in packs.values() if "seconds" in items[0]["cost"]]
    whole = [_computed(items) for items in timed]
    if not whole:
        return Profile()
    clocks = (str, processor_time) if device.startswith("cpu") else (str,)

    def least(seconds: Callable[[Costs], float], items: list[Record]) -> float:
        """Of a pack by the clock that has the least of them, among those that its costs have."""
        named = (Costs(items, clock) for clock in clocks)
        return min(seconds(costs) for costs in named if costs.known)

    trained = [(dict(_trained(items)), least(Costs.train, items)) for items in whole]
    evaluated = [(_evaluated(items), least(Costs.scoring, items)) for items in whole]
    carried = [(_carried(items), least(Costs.moving, items)) for items in whole]
    aliases = {digest: name for name, digest in names.items()}
    for (digest, method), rate in explain(trained).items():
        _model(found, digest, aliases).trained_text[method] = rate
    rates = explain(evaluated)
    for (digest, _), rate in rates.items():
        _model(found, digest, aliases).evaluated_text = rate
    for (digest, solver), rate in explain(carried).items():
        _model(found, digest, aliases).carried[solver] = rate
    found.packs = len(whole)
    found.pack_seconds = sum(least(Costs.load, items) for items in whole) / len(whole)
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


def _computed(items: list[Record]) -> list[Record]:
    """Records of a pack without those that others were computed for as well."""
    kept = {cell.id for cell in computed(Cell.from_json(record["cell"]) for record in items)}
    return [record for record in items if record["id"] in kept]


def _trained(items: list[Record]) -> Iterator[tuple[_Key, float]]:
    amounts: dict[_Key, float] = defaultdict(float)
    for record in items:
        cell = record["cell"]
        if cell["kind"] == "source":
            texts = training_texts(cell["settings"], record["result"].get("steps"))
            texts *= _passes(record).trained
            amounts[cell["digests"][cell["target"]], cell["method"]] += texts
    yield from amounts.items()


def _evaluated(items: list[Record]) -> dict[_Key, float]:
    amounts: dict[_Key, float] = defaultdict(float)
    for record in items:
        cell = record["cell"]
        # What leaves no prompt has its scores already.
        if cell["kind"] != "transfer" or (record["result"].get("product") or PROMPT) == PROMPT:
            texts = _texts(record) * _passes(record).judged
            amounts[cell["digests"][cell["target"]], ""] += texts
    return amounts


def _texts(record: Record) -> int:
    result = record["result"]
    return max(int(result.get("n_test") or 0) + int(result.get("n_validation") or 0), 1)


def _passes(record: Record) -> Passes:
    """How often its model has read a row for one answer."""
    known = {name: int(record["result"].get(f"{name}_passes") or 1) for name in Passes._fields}
    return Passes(**known)


def _carried(items: list[Record]) -> dict[_Key, float]:
    amounts: dict[_Key, float] = defaultdict(float)
    passes = max((_passes(record).trained for record in items), default=1)
    for run in runs_of(Cell.from_json(record["cell"]) for record in items):
        amounts[run.digest, run.solver] += run.units_of(passes)
    return amounts


@dataclass(frozen=True)
class Costs:
    """What a pack took by one clock, in seconds.

    Attributes:
        items: its records.
        clock: from a cost's name to the one that this clock has it under.
    """

    items: list[Record]
    clock: Callable[[str], str] = str

    @property
    def known(self) -> bool:
        """Whether the pack was measured by this clock."""
        return self.clock("seconds") in self.items[0]["cost"]

    def _spent(self, name: str, otherwise: float = 0.0) -> float:
        return float(self.items[0]["cost"].get(self.clock(name), otherwise))

    def load(self) -> float:
        """To read models and the task."""
        return self._spent("load_seconds")

    def train(self) -> float:
        """To tune prompts."""
        return self._spent("train_seconds")

    def moving(self) -> float:
        """To carry prompts over."""
        return self._rest - self.scoring()

    def scoring(self) -> float:
        """To score prompts.

        Where it carried any over, those that it has put down as such: what is asked of a target
        besides (how far it agrees with a teacher) comes with the way.
        """
        scoring = self._rest - self._spent("transfer_seconds")
        if _carried(self.items):
            return self._spent("evaluate_seconds", scoring)
        # To carry over a text is nothing but to score it; where no cell says so, it has been lost.
        moved = any(record["cell"]["kind"] == "transfer" for record in self.items)
        return self._rest if moved else scoring

    @property
    def _rest(self) -> float:
        return self._spent("seconds") - self.train() - self.load()


def _note_task(device: Device, record: Record) -> None:
    cell = record["cell"]
    digest = cell["digests"][cell["task"]]
    device.tasks.setdefault(digest, TaskSize(cell["task"], _texts(record)))


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
        file = TypeAdapter(_File).validate_json(path.read_bytes(), strict=True)
    except OSError as error:
        raise InputError(f"--profile: {path} cannot be read ({error.strerror or error})") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(
            f"--profile: {path} is no profile ({where}: {first['msg']}); allowed: a file such as"
            f" {default_file()}, which finished sweeps write"
        ) from None
    return Profile(file.measured, file.devices)


@dataclass
class _File:
    format: Literal[1]
    measured: str
    devices: dict[str, Device]


def save_profile(path: Path, profile: Profile) -> None:
    """Write a profile.

    Raises:
        OSError: it cannot be written.
    """
    content = asdict(_File(1, profile.measured, profile.devices))
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
