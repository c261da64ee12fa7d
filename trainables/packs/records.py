"""What a record of a finished cell and the file beside it hold: one schema for all who read them.

They come from a ledger or a store, into which others may write: what does not fit is no record,
however well its digest fits. Nothing is converted: a record is read as it was written.
"""

import hashlib
import json
import math
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from pydantic_core import SchemaValidator, ValidationError, from_json
from pydantic_core import core_schema as schema

from trainables.core.frontier import ACCESS, COUNTED, PRODUCTS
from trainables.core.predictions import GOLD, SPLITS
from trainables.core.registries import METHODS
from trainables.core.settings import family_of
from trainables.core.texts import Passes
from trainables.scoring.calibration import CALIBRATIONS
from trainables.scoring.open_vocabulary import KEYS as OPEN_KEYS

LARGEST_RECORD = 16 << 20
"""Bytes of a record; usual ones have a few thousand."""
LARGEST_FILE = 1 << 30
"""Bytes of the file beside a record."""
PROMPT = "prompt"
"""Name of a prompt's tensor in that file: float32 [m, d], or uint8 [n], a text's UTF-8."""
READOUT = "readout"
"""Name of a readout's: float32 [C, h + 1], see :mod:`trainables.transfer.taught.readout`."""

OPEN = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
"""How files are opened that may be something else: a pipe is not waited for."""

TENSORS = (PROMPT, READOUT, *SPLITS)
"""What a file may hold, for :func:`check_file`."""
IN_FILE = (PROMPT, READOUT, "predictions")
"""Fields of a record that name its file."""

_JSON = ".json"
_SEAL = b',"digest":"'
_SEAL_LENGTH = len(_SEAL) + 64 + len(b'"}')
_AT_ONCE = 1 << 16
_MOST = 1 << 53  # the whole numbers below it are floats too
_LONGEST_HEADER = 1 << 20
_DTYPES = {"F32": "<f4", "F16": "<f2", "U8": "<u1", "U16": "<u2", "U32": "<u4", "U64": "<u8"}
_Tensor = tuple[str, list[int], memoryview]
_EXAMPLES = {"test": "n_test", "validation": "n_validation"}


def _moment(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("it has no time zone")
    return text


_TEXT = schema.str_schema(strict=True)
_ID = schema.str_schema(pattern="^[0-9a-z][0-9a-z_-]{0,63}$", strict=True)
_MOMENT = schema.no_info_after_validator_function(_moment, _TEXT)
_COUNT = schema.int_schema(ge=0, lt=_MOST, strict=True)
_NUMBER = schema.float_schema(allow_inf_nan=False, strict=True)  # whole ones too
_TEXTS = schema.list_schema(_TEXT, strict=True)
_BOOLEAN = schema.bool_schema(strict=True)


def _or_null(kind: Any) -> Any:
    return schema.nullable_schema(kind)


def _mapping(kind: Any) -> Any:
    return schema.dict_schema(_TEXT, kind, strict=True)


def _fields(needed: Mapping[str, Any], more: Mapping[str, Any], closed: bool = False) -> Any:
    """A mapping with the fields ``needed``, perhaps those of ``more``, and others unless closed."""
    fields = {name: schema.typed_dict_field(kind, required=True) for name, kind in needed.items()}
    fields |= {name: schema.typed_dict_field(kind, required=False) for name, kind in more.items()}
    extra: Any = "forbid" if closed else "allow"
    return schema.typed_dict_schema(fields, extra_behavior=extra, strict=True)


_SETTINGS = _fields(
    {},
    {
        **dict.fromkeys(("prompt_length", "text_tokens", "s", "k"), _or_null(_COUNT)),
        **dict.fromkeys(("texts", "shots", "budget"), _or_null(_COUNT)),
        **dict.fromkeys(("position", "init", "solver", "vocabulary", "state"), _or_null(_TEXT)),
        **dict.fromkeys(("start", "teacher", "features", "subspace"), _or_null(_TEXT)),
        **dict.fromkeys(("adapt", "level"), _or_null(_TEXT)),
        **dict.fromkeys(("pool", "behind"), _or_null(_COUNT)),
        "template": _or_null(schema.union_schema([_BOOLEAN, _TEXT])),
    },
)
_CELL = _fields(
    {
        "kind": schema.literal_schema(["source", "transfer", "crossed", "reference"]),
        **dict.fromkeys(("row", "method", "task", "target", "schedule"), _TEXT),
        "sources": _TEXTS,
        "seed": _or_null(_COUNT),
        "weight": _or_null(_NUMBER),
        "inputs": schema.list_schema(_ID, strict=True),
        "settings": _SETTINGS,
        "digests": _mapping(_TEXT),
    },
    {"counterparts": _TEXTS, "precision": _TEXT, "origin": _TEXTS},
    closed=True,
)
_ROWS_OF_NUMBERS = schema.list_schema(
    schema.list_schema(_or_null(_NUMBER), strict=True), strict=True
)
_RESULT = _fields(
    {"score": _NUMBER},
    {
        name: _or_null(kind)
        for kind, names in (
            (_NUMBER, ("validation_score", "loss", "similarity", "alignment", "chosen")),
            (_NUMBER, ("train_seconds", "transfer_seconds", "score_as_ids", "log_perplexity")),
            (_NUMBER, ("dictionary_share", "search_validation")),
            (_NUMBER, ("teacher_agreement", "teacher_misfit")),
            (_NUMBER, [f"{split}_{x}" for x in CALIBRATIONS for split in _EXAMPLES]),
            (_NUMBER, OPEN_KEYS),
            (_COUNT, ("n_test", "n_validation", "best_step", "steps", "candidates", "n_tokens")),
            (_COUNT, [f"{name}_passes" for name in Passes._fields]),
            (_COUNT, COUNTED),
            (_COUNT, ("parameters",)),
            (_NUMBER, ("vectors_behind",)),
            (schema.list_schema(_COUNT, strict=True), ("positions", "lengths")),
            (schema.list_schema(_NUMBER, strict=True), ("pool_shares",)),
            (_BOOLEAN, ("degenerate", "roundtrip_exact")),
            (_BOOLEAN, ("source_at_inference", "teacher_degenerate")),
            (_TEXT, ("metric", "selection", "text", "frame")),
            (schema.literal_schema(list(ACCESS)), ("access",)),
            (schema.literal_schema(list(PRODUCTS)), ("product",)),
            (schema.list_schema(_COUNT, strict=True), ("histogram", "ids", "tuned_ids")),
            (schema.list_schema(_TEXTS, strict=True), ("nearest", "nearest_words")),
            (_ROWS_OF_NUMBERS, ("nearest_cosine", "nearest_words_cosine")),
            (schema.list_schema(_fields({"step": _COUNT}, {}), strict=True), ("curve",)),
            (_mapping(_or_null(_NUMBER)), ("likeness",)),
        )
        for name in names
    },
)
_FILE = {"file": _TEXT, "sha256": _TEXT}
_SPLITS = schema.list_schema(schema.literal_schema(list(SPLITS)), strict=True)
_ORIGIN = _or_null(_mapping(_TEXT))
_RECORD = _fields(
    {
        "id": _TEXT,
        "cell": _CELL,
        "result": _RESULT,
        "pack": _TEXT,
        "cost": _mapping(_or_null(_NUMBER)),
        "finished": _MOMENT,
        "versions": _mapping(_TEXT),
        "prompt": _or_null(_fields(_FILE, {})),
    },
    {
        "predictions": _or_null(_fields({**_FILE, "splits": _SPLITS}, {})),
        READOUT: _or_null(_fields(_FILE, {})),
        "sweep": _ORIGIN,
        "reused_from": _ORIGIN,
    },
)


@cache
def _validator() -> SchemaValidator:
    return SchemaValidator(_RECORD)


def check_regular(file: int, most: int) -> None:
    """See that an open file is a regular one of at most ``most`` bytes; ValueError if not."""
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("it is no regular file")
    if found.st_size > most:
        raise ValueError(f"it has {found.st_size:,} bytes; allowed: at most {most:,}")


def read_bytes(path: str, most: int = LARGEST_RECORD) -> bytes:
    """What a small regular file holds; a third of the time that ``Path.read_bytes`` takes.

    A ledger is tens of thousands of files of a few kilobytes, all of which are read at each start.

    Raises:
        OSError: there is none, or it cannot be read.
        ValueError: it is no regular file, or has more than ``most`` bytes.
    """
    file = os.open(path, OPEN)
    try:
        check_regular(file, most)
        content = os.read(file, _AT_ONCE)
        if len(content) < _AT_ONCE:
            return content
        parts = [content]
        while part := os.read(file, _AT_ONCE):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(file)


def canonical(value: Any) -> bytes:
    """The one JSON text of ``value``: keys sorted, no spaces.

    Raises:
        ValueError: ``value`` holds NaN or an infinity.
        TypeError: ``value`` holds something JSON cannot.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode()


def seal(record: Mapping[str, Any]) -> bytes:
    """JSON of ``record`` with a last key ``digest``, the SHA-256 of the canonical rest.

    ``record`` has at least one key.
    """
    text = canonical(record)
    digest = hashlib.sha256(text).hexdigest().encode()
    return text[:-1] + _SEAL + digest + b'"}'


def unseal(content: bytes) -> dict[str, Any]:
    """Inverse of :func:`seal`, without the digest.

    Raises:
        ValueError: ``content`` is not what was sealed.
    """
    body, tail = content[:-_SEAL_LENGTH] + b"}", content[-_SEAL_LENGTH:]
    # As written, the digest is checked on the bytes: no second JSON text is made.
    if tail.startswith(_SEAL) and tail[len(_SEAL) : -2].decode(errors="replace") == _sha(body):
        found = parsed(body)
    else:
        found = parsed(content)
        if not isinstance(found, dict) or found.pop("digest", None) != _sha(canonical(found)):
            raise ValueError("its digest does not fit its content")
    if not isinstance(found, dict):
        raise ValueError("it is no mapping")
    return found


def _mistake(record: Mapping[str, Any]) -> str:
    """The first field of a record that is not as the schema says, and how."""
    try:
        _validator().validate_python(record)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        return f"its field {'.'.join(map(str, first['loc']))}: {first['msg']}"[:200]
    return "it is no record"


def parsed(content: bytes) -> Any:
    """The value of a JSON text in which nothing is nested too deeply, and no NaN.

    Raises:
        ValueError: it is none.
    """
    return from_json(content, allow_inf_nan=False, cache_strings="keys")


def record_in(content: bytes, cell_id: str) -> dict[str, Any]:
    """The record of a cell, checked against its digest and the schema.

    Raises:
        ValueError: one sentence on what is wrong with it.
    """
    record = unseal(content)
    if not _validator().isinstance_python(record):
        raise ValueError(_mistake(record))
    if record["id"] != cell_id:
        raise ValueError("it holds another cell")
    return record


def record_files(ledger: Path) -> Iterator[tuple[str, str]]:
    """Path and cell id of every record in a sweep's folder ``ledger``, in the order of the ids.

    Texts, as a ``Path`` for each would take as long as reading it.
    """
    if not ledger.is_dir():
        return
    # Two hexadecimal digits name a shard, so `failed/` and `damaged/` stay out.
    entries = (entry for entry in os.scandir(ledger) if len(entry.name) == 2)
    for shard in sorted(entry.name for entry in entries if entry.is_dir()):
        folder = str(ledger / shard)
        for name in sorted(entry.name for entry in os.scandir(folder)):
            # A name that starts with a dot is a record half-written.
            if name.endswith(_JSON) and not name.startswith("."):
                yield f"{folder}/{name}", name[: -len(_JSON)]


def read_record(path: str, cell_id: str) -> dict[str, Any]:
    """The record of a cell in a file, checked against its digest and the schema.

    Raises:
        OSError: there is none, or it cannot be read.
        ValueError: one sentence on what is wrong with it.
    """
    return record_in(read_bytes(path), cell_id)


def damage_note(count: int, folder: Path | str, more: str = "") -> str:
    """How many records of a sweep could not be read, and the command that computes them."""
    records, them = ("1 record", "it") if count == 1 else (f"{count:,} records", "them")
    return f"{records} could not be read{more}; sweep run SPEC --out {folder} computes {them} again"


def file_place(cell_id: str) -> str:
    """Where the file beside a record is, relative to the sweep's folder."""
    return f"prompts/{cell_id[:2]}/{cell_id}.safetensors"


def file_named(record: Mapping[str, Any]) -> Mapping[str, str] | None:
    """``file`` and ``sha256`` of what lies beside a record; None where nothing does.

    Raises:
        ValueError: prompt, readout and predictions name two, or one that is not in its place.
    """
    found: Mapping[str, str] | None = None
    for name in IN_FILE:
        named = record.get(name)
        if not named:
            continue
        if named["file"] != file_place(record["id"]):
            raise ValueError(f"its file {named['file']!r} is not in its place")
        if found and found["sha256"] != named["sha256"]:
            raise ValueError(f"its {name} and what else it has are in different files")
        found = found or named
    return found


def check_file(record: Mapping[str, Any], content: bytes, tensors: Collection[str]) -> None:
    """See that the file beside a record is what the record says.

    Args:
        record: as :func:`record_in` gives it.
        content: of the file that it names.
        tensors: which of :data:`TENSORS` to look at, where the record has them; the digest is
            checked in any case.

    Raises:
        ValueError: one sentence on what is wrong with it.
    """
    named = file_named(record)
    if named is None or _sha(content) != named["sha256"]:
        raise ValueError("its file is damaged")
    if not tensors:
        return
    start = 8 + int.from_bytes(content[:8], "little")
    if not 8 < start <= min(_LONGEST_HEADER, len(content)):
        raise ValueError("its file has no header")
    header = parsed(content[8:start])
    found = memoryview(content)[start:]
    if record["prompt"] is not None and PROMPT in tensors:
        _check_prompt(record, header, found)
    if record.get(READOUT) is not None and READOUT in tensors:
        _check_readout(record["result"], header, found)
    for split in (record.get("predictions") or {}).get("splits", ()):
        if split in tensors:
            _check_predictions(record["result"].get(_EXAMPLES[split]), split, header, found)


def _check_prompt(record: Mapping[str, Any], header: Any, tensors: memoryview) -> None:
    cell = record["cell"]
    if family_of(cell["method"]) == "hard":
        _, _, found = _tensor(PROMPT, header, tensors, ("U8",), 1)
        text = bytes(found).decode()
        if text != record["result"].get("text", text):
            raise ValueError("its prompt is another text than its result's")
        return
    _, shape, found = _tensor(PROMPT, header, tensors, ("F32",), 2)
    length = cell["settings"].get("prompt_length")
    # Behind vectors there may be the numbers of heads, see trainables.dynamic.guide.
    headed = getattr(METHODS.get(cell["method"]), "heads", False)
    wrong = length is not None and (shape[0] < length if headed else shape[0] != length)
    if not len(found) or wrong:
        raise ValueError(f"its prompt has the shape {shape}; allowed: [{length or 'm'}, d]")
    if not math.isfinite(_total(found)):
        raise ValueError("its prompt holds what is no finite number")


def _check_readout(result: Mapping[str, Any], header: Any, tensors: memoryview) -> None:
    _, shape, found = _tensor(READOUT, header, tensors, ("F32",), 2)
    classes = len(result["histogram"]) if result.get("histogram") else shape[0]
    if not len(found) or shape[0] != classes or shape[1] < 2:
        raise ValueError(f"its readout has the shape {shape}; allowed: [{classes}, h + 1]")
    if not math.isfinite(_total(found)):
        raise ValueError("its readout holds what is no finite number")


def _total(numbers: memoryview) -> float:
    """Sum of float32 numbers, which is finite where all of them are."""
    if len(numbers) <= _AT_ONCE:  # sooner summed than NumPy is called
        return float(sum(numbers.cast("f")))
    import numpy as np

    return float(np.frombuffer(numbers, "<f4").sum(dtype="float64"))


def _check_predictions(count: int | None, split: str, header: Any, tensors: memoryview) -> None:
    import numpy as np

    values = _tensor(split, header, tensors, ("F16",), 2)
    gold = _tensor(split + GOLD, header, tensors, ("U8", "U16", "U32", "U64"), 1)
    rows = values[1][0]
    if not len(values[2]) or gold[1] != [rows] or (count is not None and rows != count):
        raise ValueError(
            f"its predictions on {split} have the shapes {values[1]} and {gold[1]};"
            f" allowed: [{'n' if count is None else count}, C] and a true class each"
        )
    total = np.frombuffer(values[2], _DTYPES[values[0]]).sum(dtype="float64")
    highest = np.frombuffer(gold[2], _DTYPES[gold[0]]).max()
    if math.isnan(total) or total == math.inf or highest >= values[1][1]:
        raise ValueError(f"its predictions on {split} are no log-probabilities with true classes")


def _tensor(
    name: str, header: Any, tensors: memoryview, kinds: tuple[str, ...], axes: int
) -> _Tensor:
    """Type, shape and bytes of a tensor; ValueError unless it has such a type and so many axes."""
    try:
        entry = header[name]
        kind, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        if kind not in kinds or len(shape) != axes:
            raise ValueError(f"it is {kind} of {len(shape)} axes")
        size = math.prod(shape) * int(_DTYPES[kind][-1])
        if min(begin, *shape) < 0 or end - begin != size or end > len(tensors):
            raise ValueError("its shape does not fit its bytes")
        return kind, shape, tensors[begin:end]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        reason = "there is none" if isinstance(error, KeyError) else error
        raise ValueError(f"its file holds no tensor {name} as it must be ({reason})") from None


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
