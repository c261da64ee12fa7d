"""Where a sweep's MLflow runs are."""

from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"

USUAL_PORT = 5000


DATABASE = "mlflow.db"
ARTIFACTS = "mlartifacts"


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
    """The place a spec or a command line asks for; None is the database in the folder.

    A server knows where artifacts go. A database does not: they go into the sweep's folder then,
    and not into the working directory, which is MLflow's choice.
    """
    if uri is not None and uri.startswith(("http://", "https://")):
        return SinkTarget(uri)
    artifacts = (folder.resolve() / ARTIFACTS).as_uri()
    return SinkTarget(uri or default_tracking_uri(folder), artifacts)
