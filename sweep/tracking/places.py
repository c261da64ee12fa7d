"""Where a sweep's MLflow runs are."""

import re
from dataclasses import dataclass
from pathlib import Path

DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"
_PASSWORD = re.compile(r"(://[^/@:\s]*):[^/@\s]+@")


@dataclass(frozen=True)
class SinkTarget:
    """Where the runs go.

    Attributes:
        uri: tracking URI.
        artifacts: artifact folder for an experiment that is new; None leaves it to the server.
    """

    uri: str
    artifacts: str | None = None


def default_tracking_uri(folder: Path) -> str:
    """The SQLite database in a sweep's folder, as an absolute URI."""
    return f"sqlite:///{folder.resolve() / DATABASE}"


def target_of(folder: Path, uri: str | None) -> SinkTarget:
    """The place a spec or a command line asks for; None is the database in the folder."""
    if uri is not None:
        return SinkTarget(uri)
    return SinkTarget(default_tracking_uri(folder), (folder.resolve() / ARTIFACTS).as_uri())


def without_password(text: str) -> str:
    """``text`` with the passwords of the addresses in it replaced by ``***``."""
    return _PASSWORD.sub(r"\1:***@", text)
