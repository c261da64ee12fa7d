"""The process that has Weights & Biases' client: ``wandb_worker FOLDER PROJECT WHY_OFFLINE``.

It takes one run a line of JSON, and answers each with a line: where the runs are, or why it could
not be written. With a reason to be offline it writes files that ``wandb sync`` uploads.
"""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainables.compute.process import end_with_parent

_OFFLINE = ("offline", "dryrun")
_INIT_PATIENCE = 15.0
_POLITE = 10
"""How much nicer it is to others than the sweep."""


class Client:
    """Writes runs into one project.

    Attributes:
        offline: why it writes files; empty where it does not.
    """

    def __init__(self, folder: Path, project: str, offline: str = "") -> None:
        """Import the client, which takes seconds."""
        import wandb

        self._wandb, self._folder, self._project = wandb, folder, project
        mode = os.environ.get("WANDB_MODE", "")
        self.offline = offline or (f"WANDB_MODE={mode}" if mode in _OFFLINE else "")

    def write(self, run: Mapping[str, Any]) -> str:
        """Write one run; where the runs are.

        Raises:
            Exception: of whatever kind, where that fails.
        """
        if self.offline:  # what a broken try has left of it goes
            for path in (self._folder / "wandb").glob(f"*run-*-{run['id']}"):
                shutil.rmtree(path, ignore_errors=True)
        opened = self._wandb.init(
            project=self._project,
            id=run["id"],
            name=run["name"],
            group=run["group"],
            job_type=run["kind"],
            config=run["config"],
            dir=str(self._folder),
            mode="offline" if self.offline else None,
            resume=None if self.offline else "allow",
            reinit="create_new",
            settings=self._wandb.Settings(
                console="off",
                silent=True,
                init_timeout=_INIT_PATIENCE,
                login_timeout=_INIT_PATIENCE,
                save_code=False,
                disable_git=True,
                disable_job_creation=True,
                # The machine's name, load and packages are nobody's business.
                host="withheld",
                x_disable_machine_info=True,
                x_disable_meta=True,
                x_disable_stats=True,
                x_save_requirements=False,
            ),
        )
        # No step is taken twice; without one there would be no charts.
        for step, values in run["history"] or [[0, run["summary"]]]:
            if step >= opened.step:
                opened.log(values, step=step)
        opened.config.update(run["config"], allow_val_change=True)
        opened.summary.update(run["summary"])
        where = "" if self.offline else str(opened.project_url)
        opened.finish(exit_code=int(run["failed"]))
        if self.offline:
            files = self._folder / "wandb" / "offline-run-*"
            return f"{files}, offline ({self.offline}); wandb sync {files} uploads them"
        return where


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def main() -> None:
    end_with_parent()
    os.nice(_POLITE)
    folder, project, offline = sys.argv[1:]
    # The client prints too, where the answers go.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def answer(**content: str) -> None:
        print(json.dumps(content), file=answers, flush=True)

    try:
        client = Client(Path(folder), project, offline)
    except Exception as error:
        answer(error=first_line(error))
        return
    answer(where="")
    for line in sys.stdin:
        try:
            answer(where=client.write(json.loads(line)))
        except Exception as error:
            answer(error=first_line(error))


if __name__ == "__main__":
    main()
