"""Secrets kept out of what is stored and printed.

Passwords and tokens belong in the environment (``MLFLOW_TRACKING_USERNAME`` and ``_PASSWORD``,
``PGPASSWORD``, ``HF_TOKEN``) or in the files of the programs that ask for them. A spec that holds
one is refused, since it is copied; messages of other programs are redacted before they are shown.
"""

import os
import re
from collections.abc import Iterator

from trainables.errors import InputError

HIDDEN = "[redacted]"

# Up to the last @, since passwords may hold one, or a slash; but what begins as a port is none.
_USER_INFO = re.compile(r"(?<=://)(?P<user>[^\s/?#'\":]*):(?P<password>(?!\d*[/?#])[^\s'\"]*)@")
_QUERY = re.compile(
    r"(?P<name>[?&;][\w.-]*(?:password|passwd|pwd|token|secret|api_?key|signature)[\w.-]*=)"
    r"(?P<value>[^&;#\s'\"]+)",
    re.IGNORECASE,
)
_TOKENS = (
    re.compile(r"\bhf_[A-Za-z0-9]{8,}"),
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    re.compile(r"(?<=\bbearer )[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE),
    re.compile(r"(?<=\bbasic )[A-Za-z0-9+/=]{8,}", re.IGNORECASE),
)
_SECRET_NAME = re.compile(r"TOKEN|PASSWORD|PASSWD|SECRET|API_?KEY|ACCESS_KEY", re.IGNORECASE)
_NO_SECRET_NAME = re.compile(r"_(?:PATH|FILE|DIR|MODE)$|PARALLELISM|^DISABLE_|_DISABLE_")
_SHORTEST = 6
"""Characters of an environment variable's value below which it is taken for a switch."""


def redact(text: str) -> str:
    """``text`` without passwords of URIs, tokens, and values of secret environment variables."""
    for value in sorted(_environment(), key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    text = _USER_INFO.sub(lambda found: f"{found['user']}:{HIDDEN}@", text)
    text = _QUERY.sub(lambda found: found["name"] + HIDDEN, text)
    for token in _TOKENS:
        text = token.sub(HIDDEN, text)
    return text


def holds_password(text: str) -> bool:
    """Whether a URI in ``text`` holds a password, or anything in it looks like a token."""
    values = [found["password"] for found in _USER_INFO.finditer(text)]
    values += [found["value"] for found in _QUERY.finditer(text)]
    return any(values) or any(token.search(text) for token in _TOKENS)


def check_no_password(text: str, where: str) -> None:
    """See that a text that will be stored or printed holds no URI with a password.

    Args:
        text: a URI, or the whole text of a spec.

    Raises:
        InputError: it holds one; the message does not.
    """
    if holds_password(text):
        raise InputError(
            f"{where}: found a URI with a password or token in it, which would be stored;"
            " allowed: the URI without, and MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            " (PostgreSQL: PGUSER and PGPASSWORD, or ~/.pgpass) in the environment"
        )


def is_secret(name: str) -> bool:
    """Whether an environment variable of this name holds a password or token."""
    return bool(_SECRET_NAME.search(name)) and not _NO_SECRET_NAME.search(name)


def _environment() -> Iterator[str]:
    for name, value in os.environ.items():
        if is_secret(name) and len(value) >= _SHORTEST:
            yield value
