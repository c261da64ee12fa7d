"""What commands print: results on standard output, warnings on standard error."""

import json
import sys
from collections.abc import Callable
from typing import Any

from sweep.shell.tables import View, on_terminal, show
from trainables.files.cache import no_cache

MISTAKE = 2
"""Exit code of a mistake in what was asked for."""


def tell(found: Any, text: Callable[[Any], str], as_json: bool, view: View | None = None) -> None:
    """Print a result: as JSON for scripts, as tables on a terminal, else as plain text.

    Args:
        view: what a terminal shows; None: the text as well.
    """
    if not as_json and view is not None and on_terminal():
        show(view(found))
    else:
        print(json.dumps(found) if as_json else text(found))


def warn(*lines: str) -> None:
    for line in lines:
        print(f"warning: {line}", file=sys.stderr)


def warn_of_no_cache() -> None:
    warn(*filter(None, [no_cache()]))
