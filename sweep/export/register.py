"""A prompt with its backbone as a registered MLflow model that classifies text.

Nothing is pickled: the model is code (:mod:`sweep.export.pyfunc_model`), YAML, and a prompt as
safetensors or text. It carries the package ``trainables``, and of the embedded models the one it
needs; any other backbone is loaded from the folder or the Hub name and revision that the sweep
used.
"""

import importlib.metadata
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweep.export.choose import PromptChoice, one_cell
from sweep.export.folders import intact, place_of, title
from sweep.export.prompt import tuned_prompt
from sweep.export.standings import Facts, Standings, line_of
from sweep.ledger.folder import read_meta_for_models
from sweep.ledger.ledger import Ledger
from sweep.process.setup import settled, variables
from sweep.tracking.facts import ARTIFACTS, default_tracking_uri
from sweep.tracking.writer import bring_home
from trainables.errors import InputError
from trainables.files.names import safe_name
from trainables.files.redact import check_no_password, redact

if TYPE_CHECKING:
    from trainables.interchange.classifier import Classifier

PACKAGES = (
    *("mlflow", "numpy", "pandas", "pydantic", "pyyaml", "safetensors", "tokenizers"),
    *("torch", "transformers"),
)
"""What serving a model imports; registered models ask for the versions installed here."""

_LONGEST_NAME = 200
_NAMED = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
"""MLflow sets them for its children, and does not take them back."""


@dataclass(frozen=True)
class Registered:
    """A registered version.

    Attributes:
        name: of the registered model.
        version: of it.
        uri: ``models:/name/version``.
        tracking_uri: where it is registered; holds no password.
        line: the prompt in one line.
        new: whether it was registered now; a cell is registered once under a name.
        place: the prompt in a few words.
        stands: how it stands beside what needs no tuning.
    """

    name: str
    version: str
    uri: str
    tracking_uri: str
    line: str
    new: bool
    place: str = ""
    stands: Facts | None = None


def register_prompt(
    folder: Path, choice: PromptChoice, name: str | None = None, tracking_uri: str | None = None
) -> Registered:
    """Register one prompt of a sweep.

    Args:
        name: of the registered model; None: sweep, task and target.
        tracking_uri: MLflow server or database; None: the spec's, or the database in the folder.

    Raises:
        InputError: no such prompt, a model or task that is gone or has changed, a wrong name, a
            password in the URI, or a server that does not answer or refuses.
    """
    meta = read_meta_for_models(folder)
    local = tracking_uri is None and meta["spec"]["mlflow"]["tracking_uri"] is None
    uri = tracking_uri or meta["spec"]["mlflow"]["tracking_uri"] or default_tracking_uri(folder)
    check_no_password(uri, "--tracking-uri")
    ledger = Ledger(folder)
    record = intact(ledger, one_cell(folder, ledger, choice))
    cell = record["cell"]
    parts = (meta["name"], cell["task"], cell["target"])
    chosen = "-".join(map(safe_name, parts)) if name is None else _checked(name)
    stands = Standings(folder).of(record["id"])
    tuned = tuned_prompt(ledger, meta, record, stands)
    from mlflow.exceptions import MlflowException

    from trainables.interchange.classifier import Classifier

    destination = _Destination(
        uri=uri,
        experiment=f"{meta['name']}-models",
        artifacts=(folder.resolve() / ARTIFACTS).as_uri() if local else None,
        name=chosen,
    )
    facts = {
        "cell": record["id"],
        "spec_hash": meta["spec_hash"],
        "task": cell["task"],
        "target": cell["target"],
        "method": cell["method"],
        "row": cell["row"],
        "validation_score": str(record["result"].get("validation_score")),
        "score": str(record["result"]["score"]),
        **({"standing": stands["text"]} if stands else {}),
    }
    try:
        version, new = destination.log(Classifier.of(tuned), facts)
    except (MlflowException, OSError) as error:
        reason = redact(" ".join(str(error).split()))[:300]
        raise InputError(
            f"--tracking-uri: {redact(uri)} does not take the model ({reason}); allowed: an"
            " MLflow server that answers and has a model registry, with MLFLOW_TRACKING_USERNAME"
            " and MLFLOW_TRACKING_PASSWORD or MLFLOW_TRACKING_TOKEN set where it asks for them"
        ) from None
    line, place = title(tuned.about), place_of(tuned.about)
    model = f"models:/{chosen}/{version}"
    return Registered(chosen, version, model, uri, line, new, place, stands)


@dataclass(frozen=True)
class _Destination:
    """Where a model goes.

    Attributes:
        uri: tracking URI.
        experiment: name of the experiment that keeps models apart from results.
        artifacts: artifact folder for an experiment that is new; None leaves it to the server.
        name: registered name.
    """

    uri: str
    experiment: str
    artifacts: str | None
    name: str

    def log(self, classifier: "Classifier", facts: Mapping[str, str]) -> tuple[str, bool]:
        """Log and register; the version, and whether it is a new one."""
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        import mlflow

        for logger in ("mlflow", "alembic"):
            logging.getLogger(logger).setLevel(logging.ERROR)
        bring_home(self.uri)
        client = mlflow.MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        for known in client.search_model_versions(f"name = '{self.name}'"):
            if known.tags.get("cell") == facts["cell"]:
                return str(known.version), False
        with (
            _pointed_at(self.uri),
            settled(local=False),
            tempfile.TemporaryDirectory(prefix="promptsweep-model-") as scratch,
            mlflow.start_run(
                experiment_id=self._experiment(client),
                run_name=f"register {facts['cell']}",
                tags={**facts, "kind": "model"},
            ),
        ):
            made = _log_model(classifier, Path(scratch), facts)
            return self._version(client, made, facts), True

    def _experiment(self, client: Any) -> str:
        known = client.get_experiment_by_name(self.experiment)
        if known is None:
            made = client.create_experiment(self.experiment, artifact_location=self.artifacts)
            return str(made)
        if known.lifecycle_stage == "deleted":
            client.restore_experiment(known.experiment_id)
        return str(known.experiment_id)

    def _version(self, client: Any, made: Any, facts: Mapping[str, str]) -> str:
        from mlflow.exceptions import MlflowException

        try:
            client.create_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        found = client.create_model_version(
            name=self.name,
            source=made.model_uri,
            run_id=made.run_id,
            tags=dict(facts),
            description=facts.get("standing"),
            model_id=made.model_id,
        )
        return str(found.version)


@contextmanager
def _pointed_at(uri: str) -> Iterator[None]:
    """Runs and models go there; afterwards where they went before."""
    import mlflow

    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    with variables({name: os.environ.get(name) for name in _NAMED}):
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        try:
            yield
        finally:
            mlflow.set_tracking_uri(before[0])
            # Unset, the registry follows the tracking URI.
            mlflow.set_registry_uri(None if before[1] == before[0] else before[1])


def _log_model(classifier: "Classifier", scratch: Path, facts: Mapping[str, str]) -> Any:
    import mlflow

    from sweep.export import pyfunc_model

    classifier.write(scratch / pyfunc_model.ARTIFACT)
    return mlflow.pyfunc.log_model(
        name=pyfunc_model.ARTIFACT,
        python_model=str(Path(pyfunc_model.__file__)),
        artifacts={pyfunc_model.ARTIFACT: str(scratch / pyfunc_model.ARTIFACT)},
        code_paths=[str(_code(scratch / "code", classifier))],
        signature=_signature(classifier),
        input_example=_example(classifier),
        pip_requirements=requirements(),
        metadata=dict(facts),
    )


def requirements() -> list[str]:
    """What the served model needs, each in the version that is installed here."""
    return [f"{name}=={importlib.metadata.version(name)}" for name in PACKAGES]


def _code(folder: Path, classifier: "Classifier") -> Path:
    """A copy of ``trainables`` with at most one embedded model in it."""
    import trainables
    from trainables.pocket.zoo import POCKET_NAMES

    needed = Path(classifier.model.location).name

    def left_out(where: str, names: list[str]) -> set[str]:
        models = Path(where).name == "models"
        return {
            name
            for name in names
            if name == "__pycache__" or (models and name in POCKET_NAMES and name != needed)
        }

    source = Path(trainables.__file__).parent
    return Path(shutil.copytree(source, folder / source.name, ignore=left_out))


def _signature(classifier: "Classifier") -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    outputs = [ColSpec("string", "label")]
    outputs += [ColSpec("double", f"probability_{name}") for name in classifier.classes]
    inputs = [ColSpec("string", name) for name in _columns(classifier)]
    return ModelSignature(Schema(inputs), Schema(outputs))


def _example(classifier: "Classifier") -> Any:
    """Two rows that show the columns; made up, so that no data set leaks into models."""
    import pandas as pd

    texts = ["a quiet and moving story", "nothing in it works"]
    return pd.DataFrame(dict.fromkeys(_columns(classifier), texts))


def _columns(classifier: "Classifier") -> tuple[str, ...]:
    from sweep.export.pyfunc_model import PAIR_COLUMNS, TEXT_COLUMNS

    return PAIR_COLUMNS if classifier.pair else TEXT_COLUMNS


def _checked(name: str) -> str:
    if not 1 <= len(name) <= _LONGEST_NAME or safe_name(name[:60]) != name[:60] or "/" in name:
        raise InputError(
            f"--name: found {name[:80]!r}; allowed: at most {_LONGEST_NAME} letters, digits, dots,"
            " dashes and underscores"
        )
    return name


def format_registered(found: Registered) -> str:
    stands = "".join(f"{line}\n" for line in line_of(found.stands))
    verb = "registered" if found.new else "is registered already"
    return (
        f"{found.line}\n{stands}{verb} as {found.name}, version {found.version}\n"
        f"MLFLOW_TRACKING_URI={found.tracking_uri} mlflow models serve -m {found.uri}"
        " --env-manager local --host 127.0.0.1"
    )
