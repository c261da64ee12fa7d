"""A ledger into MLflow: to catch up, or to fill a server that has never seen the sweep."""

from pathlib import Path

from sweep.ledger.folder import read_meta
from sweep.ledger.ledger import Ledger
from sweep.ledger.lock import DriverLock
from sweep.tracking.artifacts import PromptFiles
from sweep.tracking.facts import facts_of_folder
from sweep.tracking.places import target_of
from sweep.tracking.sink import NOTE, MlflowSink
from sweep.tracking.view import View, grouping_of
from trainables.errors import InputError
from trainables.files.redact import redact


def sync(folder: Path, uri: str | None = None) -> str:
    """Write the runs of a sweep's folder that MLflow lacks; nothing else is read or run.

    Args:
        folder: the sweep's.
        uri: tracking URI; None takes the spec's, or the database in the folder.

    Returns:
        One sentence on what is there now.

    Raises:
        InputError: no sweep's folder, a driver is at work in it, or MLflow cannot be written.
    """
    meta = read_meta(folder)
    with DriverLock(folder):
        ledger = Ledger(folder)
        records = list(ledger.records())
        facts = facts_of_folder(folder, records)
        target = target_of(folder, uri or meta["spec"]["mlflow"]["tracking_uri"])
        view, files = View(facts, grouping_of(facts)), PromptFiles(folder, facts)
        note = folder / NOTE if uri is None else None
        sink = MlflowSink(target, view, files, note=note)
        sink.start(records)
        failed = any(True for _ in ledger.failures())
        # A search plans as it goes: only what failed is known to be missing.
        planned = meta.get("planned_cells")
        whole = not failed if planned is None else len(records) >= int(planned)
        late = sink.close("FINISHED" if whole else "FAILED" if failed else "KILLED")
    if late:
        raise InputError(late.replace("the next run of the same command", "sweep sync"))
    count = sum(record["cell"]["kind"] == "transfer" for record in records)
    return f"{count} results of sweep {facts.name} are in MLflow at {redact(target.uri)}"
