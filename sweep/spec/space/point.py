"""A point: one combination of what a search varies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

from sweep.spec.methods import LAMBDA, MethodSpec, parse_method
from sweep.spec.space.domains import canonical_value
from trainables.core.cells import content_hash


@dataclass(frozen=True, eq=False)
class Point:
    """What one trial of a search runs, over all tasks, targets and seeds of the sweep.

    Points are equal if their canonical forms are (floats to 12 significant digits, see
    :func:`sweep.spec.space.domains.rounded`); equal points have equal keys.

    Attributes:
        method: key of ``METHODS``.
        sources: aliases of the models to tune on, in this order.
        weight: λ in [0, 1] or ``annealing``; None where the method's section names no ``lambda``.
        settings: the method's settings as cells store them, all of them, typed.
    """

    method: str
    sources: tuple[str, ...]
    weight: float | str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """16 hex digits: the content hash of the canonical form."""
        return content_hash(self.to_json())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def to_json(self) -> dict[str, Any]:
        """The canonical form, fit for JSON; :meth:`from_json` is its inverse."""
        return {
            "method": self.method,
            "sources": list(self.sources),
            LAMBDA: canonical_value(self.weight),
            "settings": canonical_value(dict(self.settings)),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_json`."""
        return cls(value["method"], tuple(value["sources"]), value[LAMBDA], dict(value["settings"]))

    def method_spec(self) -> MethodSpec:
        """The entry of a spec's ``methods`` that stands for this point: one weight, one variant.

        Raises:
            InputError: the point comes from a version with other settings.
        """
        weights = {} if self.weight is None else {LAMBDA: [self.weight]}
        return parse_method(self.method, {**self.settings, **weights})
