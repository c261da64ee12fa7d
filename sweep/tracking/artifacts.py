"""The prompt of a run, with where it comes from, as MLflow's artifacts."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sweep.tracking.facts import Facts
from sweep.tracking.view import SWEEP, RunData
from trainables.packs.records import PROMPT, READOUT

FOLDER = "prompt"
SPEC = "spec.yaml"
_ABOUT = ("row", "method", "task", "target", "sources", "seed", "weight", "schedule", "settings")


class PromptFiles:
    """Reads prompts from a sweep's folder."""

    def __init__(self, folder: Path, facts: Facts) -> None:
        """Nothing is read yet."""
        self._folder = folder
        self._facts = facts

    def __call__(self, run: RunData) -> Mapping[str, bytes]:
        """Artifacts of a run: path to content. A prompt that is gone is left out.

        A soft prompt is ``prompt/prompt.safetensors``, the ledger's own file (tensor ``prompt`` [m,
        d] and kept predictions), a hard one ``prompt/prompt.txt``, a readout likewise
        ``prompt/readout.safetensors``; ``prompt/provenance.json`` is beside it.
        """
        if run.kind == SWEEP:
            return {SPEC: self._facts.spec.encode()} if self._facts.spec else {}
        if run.record is None or not self._facts.artifacts:
            return {}
        if run.record["cell"]["kind"] in ("reference", "crossed"):  # they have none
            return {}
        files = {f"{FOLDER}/provenance.json": self._provenance(run)}
        text = run.record["result"].get("text")
        if text is not None:
            return files | {f"{FOLDER}/prompt.txt": str(text).encode()}
        for name in (PROMPT, READOUT):
            named = run.record.get(name)
            path = self._folder / named["file"] if named else None
            if path is not None and path.is_file():
                files[f"{FOLDER}/{name}.safetensors"] = path.read_bytes()
        return files

    def _provenance(self, run: RunData) -> bytes:
        assert run.record is not None
        record, facts = run.record, self._facts
        cell = record["cell"]
        models = (cell["target"], *cell["sources"], *cell.get("counterparts", ()))
        origin = {
            "cell": record["id"],
            "sweep": {"name": facts.name, "spec_hash": facts.spec_hash},
            **{name: cell[name] for name in _ABOUT},
            "models": {name: facts.models.get(name, name) for name in models},
            "digests": cell["digests"],
            "inputs": cell["inputs"],
            "prompt_sha256": (record["prompt"] or {}).get("sha256"),
            "score": record["result"]["score"],
            "metric": record["result"].get("metric"),
            "finished": record["finished"],
            "versions": record.get("versions", {}),
        }
        return (json.dumps(origin, indent=2, ensure_ascii=False) + "\n").encode()


@contextmanager
def as_folder(files: Mapping[str, bytes]) -> Iterator[str]:
    with TemporaryDirectory() as scratch:
        for name, content in files.items():
            path = Path(scratch) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        yield scratch
