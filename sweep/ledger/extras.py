"""What a spec may ask of every cell besides what its id says: calibrations, predictions, and more.

They add to a result and change nothing in it, so that no id depends on them. A finished cell may
have more or fewer of them than a later spec asks for.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from sweep.ledger.prompt_file import without
from trainables.core.predictions import SPLITS
from trainables.packs.records import PROMPT, READOUT
from trainables.scoring.calibration import CALIBRATIONS
from trainables.scoring.open_vocabulary import KEYS as OPEN_KEYS
from trainables.scoring.open_vocabulary import OPEN

_KEYS = ("score", "validation_score")


@dataclass(frozen=True)
class Extras:
    """Extras by kind; each field has the name that the spec calls it by.

    Attributes:
        calibration: names of :data:`trainables.scoring.calibration.CALIBRATIONS`.
        predictions: splits whose predictions are kept.
        evaluation: names of :data:`trainables.scoring.open_vocabulary.EVALUATIONS`.
    """

    calibration: tuple[str, ...] = ()
    predictions: tuple[str, ...] = ()
    evaluation: tuple[str, ...] = ()

    @classmethod
    def asked(cls, where: Any) -> Self:
        """What a spec asks for, or a mapping with its keys, as in ``sweep.json``."""
        found = where if isinstance(where, Mapping) else where.__dict__
        return cls(**{item.name: tuple(found.get(item.name, ())) for item in fields(cls)})

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """What a finished cell has.

        Raises:
            KeyError, TypeError: the record is none.
        """
        result, kept = record["result"], record.get("predictions")
        return cls(
            tuple(name for name in CALIBRATIONS if f"{_KEYS[0]}_{name}" in result),
            () if kept is None else tuple(name for name in SPLITS if name in kept["splits"]),
            (OPEN,) if OPEN_KEYS[0] in result else (),
        )

    def lacking(self, other: "Extras") -> "Extras":
        return Extras(
            *(
                tuple(name for name in getattr(self, kind) if name not in getattr(other, kind))
                for kind in self.by_kind()
            )
        )

    def common(self, other: "Extras") -> "Extras":
        return self.lacking(self.lacking(other))

    def by_kind(self) -> dict[str, tuple[str, ...]]:
        return {item.name: getattr(self, item.name) for item in fields(self)}

    def __bool__(self) -> bool:
        return any(self.by_kind().values())


def trimmed(
    record: Mapping[str, Any], content: bytes | None, wanted: Extras
) -> tuple[dict[str, Any], bytes | None] | None:
    """A record and its file with exactly these extras; None where one is lacking.

    Args:
        content: of its file, where it has one.

    Raises:
        KeyError, TypeError, ValueError: they are not as a ledger has them.
    """
    there = Extras.of(record)
    if wanted.lacking(there):
        return None
    surplus = there.lacking(wanted)
    gone = {f"{key}_{name}" for name in surplus.calibration for key in _KEYS}
    gone.update(OPEN_KEYS if surplus.evaluation else ())
    result = {key: value for key, value in record["result"].items() if key not in gone}
    found = {**record, "result": result}
    if surplus.predictions and content is not None:
        content = without(content, surplus.predictions)
        digest = None if content is None else hashlib.sha256(content).hexdigest()
        splits = [name for name in there.predictions if name in wanted.predictions]
        kept = {**record["predictions"], "sha256": digest, "splits": splits}
        found["predictions"] = kept if splits else None
        for name in (PROMPT, READOUT):
            if record.get(name):
                found[name] = {**record[name], "sha256": digest}
    return found, content
