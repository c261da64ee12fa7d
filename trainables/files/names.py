"""Names of models, tasks and sweeps as names of files: whatever they hold, they stay one name.

Aliases and task names come from specs, data sets and model cards. As a part of a path one of them
must not lead elsewhere (``..``, ``/``), nor be refused by some file system.
"""

import hashlib
import re
from urllib.parse import quote

from trainables.errors import InputError

LONGEST = 80
"""Characters of a safe name; three of them and a cell's id fit the 255 bytes of file systems."""

_DIGEST = 10
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
_CELL_ID = re.compile(r"[0-9a-z][0-9a-z_-]{0,63}")


def safe_name(name: str) -> str:
    """One path component for a name, readable where the name is.

    Slashes become dashes, other odd characters percent codes. A name that says nothing else than
    where to go, is reserved on some system, or is too long gets its digest behind it.
    """
    quoted = quote(name.replace("/", "-").replace("\\", "-"), safe="", errors="surrogatepass")
    short = quoted.strip(".") if quoted.startswith(".") or quoted.endswith(".") else quoted
    if short == quoted and 0 < len(short) <= LONGEST and not _RESERVED.fullmatch(short):
        return quoted
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:_DIGEST]
    kept = short[: LONGEST - _DIGEST - 1]
    # No half of a percent code at the end, and no reserved word before a dot.
    kept = re.sub(r"%.?$", "", kept).replace(".", "-")
    return f"{kept or 'name'}-{digest}"


def check_cell_id(cell_id: str) -> str:
    """A cell's id as it may stand in a path: ids read from files are not taken on trust.

    Raises:
        InputError: it holds something else than lower-case letters, digits, dashes, underscores.
    """
    if not _CELL_ID.fullmatch(cell_id):
        raise InputError(f"cell {cell_id[:80]!r}: found no id; allowed: 16 hexadecimal digits")
    return cell_id
