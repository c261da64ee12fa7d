"""Memory of a device: how much is free, and what to do when it is not enough.

Sizes that have once been too large are remembered for the rest of the process: the next pack starts
where this one ended.
"""

import gc
import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import torch

RESERVE = 0.2
"""Share of the free memory that is left alone: what operations hold for a moment, evaluation, the
allocator's gaps, and on a CPU whatever else the machine does."""

_SAYS = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Room:
    """What a pack may take.

    Attributes:
        replicas: prompts trained at once at most; None measures how many fit.
        share: part of the device's memory that is this process's, 0 < share ≤ 1.
        graphs: whether training passes are recorded and replayed where the device can.
    """

    replicas: int | None = None
    share: float = 1.0
    graphs: bool = False


class NoRoomError(Exception):
    """Something does not fit in memory, however small it is made; one sentence says what."""


@dataclass
class _Process:
    """What this process has learned."""

    share: float = 1.0
    halvings: int = 0


_process = _Process()
_sizes: dict[Hashable, int] = {}


def settle(room: Room) -> None:
    """From now on this process's part of a device is ``room.share``."""
    _process.share = room.share


def halvings() -> int:
    """How often something was made half as large in this process because memory was short."""
    return _process.halvings


def forget() -> None:
    """Unlearn all sizes (tests)."""
    _sizes.clear()


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was short, on a GPU or a CPU."""
    if isinstance(error, (NoRoomError, MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, (RuntimeError, OSError)) and any(words in text for words in _SAYS)


def give_back() -> None:
    """Free what nobody holds any more, the CUDA allocator's cache included."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def known_size(key: Hashable, most: int) -> int:
    """The size under ``key`` that has not failed yet, ``most`` where none has."""
    return min(most, _sizes.get(key, most))


def note_shortage(key: Hashable, size: int) -> int:
    """Count that ``size`` was too much; remember and return half of it, at least 1."""
    give_back()
    _process.halvings += 1
    _sizes[key] = min(max(1, size // 2), _sizes.get(key, size))
    return _sizes[key]


def attempt(work: Callable[[], T]) -> T | None:
    """What ``work`` gives; None where memory was short.

    By the time this returns, the frames that held the failed attempt's tensors are gone.
    """
    try:
        return work()
    except Exception as error:
        if not out_of_memory(error):
            raise
    return None


def in_parts(
    items: Sequence[T], size: int, key: Hashable, work: Callable[[Sequence[T], int], object]
) -> list[T]:
    """Have ``work`` done on all items, as many at a time as fit.

    Args:
        items: what is to be done; what becomes of one must not depend on the others.
        size: how many at a time to begin with.
        key: names the kind of work, to remember a size that was too large.
        work: takes some items and the place of the first, and leaves no trace if memory is short.

    Returns:
        Items that do not fit even alone.
    """
    lost: list[T] = []
    size, start = max(1, known_size(key, size)), 0
    while start < len(items):
        part = items[start : start + size]

        def done(part: Sequence[T] = part, start: int = start) -> bool:
            work(part, start)
            return True

        if attempt(done):
            start += len(part)
        elif len(part) > 1:
            size = note_shortage(key, len(part))
        else:
            give_back()
            lost.append(part[0])
            start += 1
    return lost


def in_passes(key: Hashable, most: int, work: Callable[[int], T]) -> T:
    """What ``work`` gives, with passes of half the size as long as memory is short.

    Args:
        key: names the kind of pass.
        most: its size where memory has not been short yet, in tokens.
        work: takes a size and makes no pass larger than that, or than one row of one prompt.

    Raises:
        NoRoomError: passes of a single row do not fit either.
    """
    size = known_size(key, most)
    while True:
        found = attempt(lambda size=size: [work(size)])  # type: ignore[misc]
        if found is not None:
            result: T = found[0]
            return result
        if size == 1:
            give_back()
            raise NoRoomError("out of memory: one row behind one prompt does not fit")
        size = note_shortage(key, size)


def free_bytes(device: str) -> int:
    """Bytes of a device that this process may still take."""
    place = torch.device(device)
    if place.type == "cuda":
        free, total = torch.cuda.mem_get_info(place)
        held = torch.cuda.memory_allocated(place)
        cached = torch.cuda.memory_reserved(place) - held
        return int(max(0, min(free + cached, _process.share * total - held)))
    return int(_process.share * _available())


def total_bytes(device: str) -> int:
    """Bytes of a device that are this process's part."""
    place = torch.device(device)
    if place.type == "cuda":
        return int(_process.share * torch.cuda.mem_get_info(place)[1])
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(_process.share * min([whole, *_limits()]))


def _available() -> int:
    """Bytes of main memory that can be had without swapping."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found = {name: int(rest.split()[0]) for name, _, rest in (x.partition(":") for x in lines)}
        here = found["MemAvailable"] << 10
    except (OSError, KeyError, ValueError):
        here = whole // 2
    used = _numbers("/sys/fs/cgroup/memory.current")
    return min([here, *(max(0, limit - taken) for limit in _limits() for taken in used)])


def _limits() -> list[int]:
    """The control group's limit, if it has one: containers see the whole machine's memory."""
    return _numbers("/sys/fs/cgroup/memory.max")


def _numbers(path: str) -> list[int]:
    try:
        return [int(Path(path).read_text())]
    except (OSError, ValueError):
        return []


@contextmanager
def metered(device: str, weights: set[int]) -> Iterator[list[int]]:
    """Count the bytes that a forward pass keeps for its gradient; the list holds them afterwards.

    On CUDA it is the peak above what was allocated before. A CPU's resident memory tells little
    (freed blocks stay mapped), so that there the tensors saved for the backward pass are added up.

    Args:
        weights: addresses of storages that are there anyway.
    """
    found: list[int] = []
    place = torch.device(device)
    if place.type == "cuda":
        torch.cuda.synchronize(place)
        torch.cuda.reset_peak_memory_stats(place)
        before = torch.cuda.memory_allocated(place)
        yield found
        torch.cuda.synchronize(place)
        found.append(torch.cuda.max_memory_allocated(place) - before)
        return
    seen: dict[int, int] = {}

    def save(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        yield found
    found.append(sum(seen.values()))


class Resident(Generic[K, T]):
    """Things kept for the next packs of this process, the longest unused given up first.

    Attributes:
        made: how many have been added.
    """

    def __init__(self, share: float, size: Callable[[T], int]) -> None:
        """Keep nothing yet.

        Args:
            share: part of the process's part of a device that all of them may take.
            size: bytes of one.
        """
        self._share, self._size = share, size
        self._kept: OrderedDict[K, T] = OrderedDict()
        self.made = 0

    def __contains__(self, key: object) -> bool:
        return key in self._kept

    def __len__(self) -> int:
        return len(self._kept)

    def get(
        self, key: K, device: str, make: Callable[[], T], needs: Callable[[], int] = lambda: 0
    ) -> T:
        """The one under ``key``, made if it is not there.

        Args:
            make: makes it; tried once more with all others given up if memory is short.
            needs: gives the bytes it will take, as far as that is known before.
        """
        if key not in self._kept:
            self._shrink(device, needs())
            made = attempt(lambda: [make()])
            if made is None:
                self._kept.clear()
                give_back()
                made = [make()]
            self.made += 1
            self._kept[key] = made[0]
            self._shrink(device, 0)
        self._kept.move_to_end(key)
        return self._kept[key]

    def clear(self) -> None:
        self._kept.clear()

    def _shrink(self, device: str, more: int) -> None:
        """Give up the longest unused until what is there fits, the newest aside."""
        spare = 0 if more else 1
        if len(self._kept) <= spare:
            return
        limit = self._share * total_bytes(device)
        taken = sum(map(self._size, self._kept.values()))
        gone = False
        while len(self._kept) > spare and taken + more > limit:
            taken -= self._size(self._kept.popitem(last=False)[1])
            gone = True
        if gone:
            give_back()
