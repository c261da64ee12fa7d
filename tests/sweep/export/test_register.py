"""``sweep register``: prompts served by MLflow score what their cells score."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml

from sweep.commands.ui import free_port
from sweep.export.choose import PromptChoice
from sweep.export.register import PACKAGES, Registered, register_prompt, requirements
from sweep.ledger.folder import bind
from sweep.ledger.ledger import Ledger
from sweep.planning.plan import Plan
from sweep.tracking.facts import default_tracking_uri
from tests.sweep.computed import compute, soft_and_hard
from tests.sweep.samples import plan_of
from tests.sweep.test_cli import sweep
from trainables.core.cells import Cell
from trainables.tasks import load_task, metrics

TASK = "mini/topics"


@pytest.fixture(scope="module")
def plan() -> Plan:
    return soft_and_hard()


@pytest.fixture(scope="module")
def folder(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One database for all tests here: to make one takes seconds."""
    return compute(plan, tmp_path_factory.mktemp("computed"))


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    yield
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)


def the(plan: Plan, method: str, target: str) -> Cell:
    return next(
        cell
        for cell in plan.cells
        if (cell.kind, cell.method, cell.target) == ("transfer", method, target)
    )


def texts() -> pd.DataFrame:
    return pd.DataFrame({"text": [row.text for row in load_task(TASK).rows("test")]})


def check_scores(answers: pd.DataFrame, result: dict[str, Any]) -> None:
    """The ledger's score, histogram and loss, from labels and probabilities alone."""
    task = load_task(TASK)
    gold = [row.label for row in task.rows("test")]
    classes = list(task.classes)
    predicted = [classes.index(label) for label in answers["label"]]
    assert metrics.compute(task.metric, gold, predicted, len(classes)) == result["score"]
    assert np.bincount(predicted, minlength=len(classes)).tolist() == result["histogram"]
    shares = answers[[f"probability_{name}" for name in classes]].to_numpy()
    assert np.allclose(shares.sum(1), 1)
    loss = -np.log(shares[np.arange(len(gold)), gold]).mean()
    assert loss == pytest.approx(result["loss"], rel=1e-5)


def loaded(found: Registered) -> Any:
    mlflow.set_tracking_uri(found.tracking_uri)
    return mlflow.pyfunc.load_model(found.uri)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["soft", "random"])
@pytest.mark.parametrize("target", ["pocket-gpt2-large", "pocket-roberta"])
def test_a_registered_model_scores_what_its_cell_scores(
    method: str, target: str, folder: Path, plan: Plan
) -> None:
    cell = the(plan, method, target)
    found = register_prompt(folder, PromptChoice(cell=cell.id[:10]))
    assert not {"MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"} & os.environ.keys()
    assert found.tracking_uri == default_tracking_uri(folder)
    assert found.name == f"both-mini-topics-{target}"
    assert found.uri == f"models:/{found.name}/{found.version}"
    model = loaded(found)
    check_scores(model.predict(texts()), Ledger(folder).record(cell.id)["result"])

    assert [str(column.type) for column in model.metadata.signature.inputs] == ["DataType.string"]
    assert model.metadata.signature.inputs.input_names() == ["text"]
    names = [f"probability_{name}" for name in load_task(TASK).classes]
    assert model.metadata.signature.outputs.input_names() == ["label", *names]
    example = model.predict(model.input_example)
    assert list(example.columns) == ["label", *names]
    assert len(example) == 2
    assert len(model.predict(texts().head(0))) == 0
    # Serving hands in other batches: the classes stay.
    alone = [model.predict(texts().iloc[[row]])["label"].item() for row in range(5)]
    assert alone == list(model.predict(texts())["label"][:5])


@pytest.mark.slow
def test_what_a_registered_model_holds(folder: Path, plan: Plan) -> None:
    """Text and safetensors, one embedded backbone, pinned packages, and nothing pickled."""
    for method, kept in (("soft", "prompt.safetensors"), ("random", "prompt.txt")):
        cell = the(plan, method, "pocket-roberta")
        found = register_prompt(folder, PromptChoice(cell=cell.id), name=f"model-{method}")
        mlflow.set_tracking_uri(found.tracking_uri)
        model = Path(mlflow.artifacts.download_artifacts(found.uri))
        held = {path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file()}
        inside = sorted(path.name for path in (model / "artifacts" / "classifier").iterdir())
        assert inside == sorted(["prompt.yaml", kept, "task.yaml"])
        task = yaml.safe_load((model / "artifacts/classifier/task.yaml").read_text())
        assert task["label_words"] == list(load_task(TASK).label_words)
        assert task["manual"] == load_task(TASK).manual
        about = yaml.safe_load((model / "artifacts/classifier/prompt.yaml").read_text())
        assert about["backbone"]["location"] == "pocket-roberta"
        assert about["about"]["cell"] == cell.id
        assert not {Path(name).suffix for name in held} & {".pkl", ".pickle", ".pt", ".bin"}
        weights = [name for name in held if name.endswith("model.safetensors")]
        assert weights == ["code/trainables/pocket/models/pocket-roberta/model.safetensors"]
        wanted = (model / "requirements.txt").read_text().split()
        assert set(requirements()) <= set(wanted)
        assert all("==" in line for line in wanted)
        assert "signature" in yaml.safe_load((model / "MLmodel").read_text())
        client = mlflow.MlflowClient(found.tracking_uri)
        tags = client.get_model_version(found.name, found.version).tags
        assert (tags["cell"], tags["method"]) == (cell.id, method)


@pytest.mark.slow
def test_results_stay_apart_and_a_cell_is_registered_once(
    folder: Path, plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    cell = the(plan, "soft", "pocket-roberta")
    arguments = ["register", str(folder), "--target", "pocket-roberta", "--method", "soft"]
    assert sweep(*arguments, "--name", "a.b") == 0
    assert "registered as a.b, version 1" in capsys.readouterr().out
    assert sweep("register", str(folder), "--cell", cell.id, "--name", "a.b") == 0
    out = capsys.readouterr().out
    client = mlflow.MlflowClient(default_tracking_uri(folder))
    versions = client.search_model_versions("name = 'a.b'")
    ledger = Ledger(folder)
    best = max(
        (
            c
            for c in plan.cells
            if (c.kind, c.method, c.target) == ("transfer", "soft", cell.target)
        ),
        key=lambda c: [
            ledger.record(c.id)["result"][key] for key in ("validation_score", "similarity")
        ],
    )
    assert best.id in {version.tags["cell"] for version in versions}
    assert ("is registered already" in out) == (best.id == cell.id)
    assert len(versions) == len({version.tags["cell"] for version in versions})
    assert client.get_experiment_by_name("both") is None
    runs = client.search_runs([client.get_experiment_by_name("both-models").experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}


@pytest.mark.slow
def test_mistakes(folder: Path, plan: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    where, cell = str(folder), the(plan, "soft", "pocket-roberta").id

    def refuse(named: str, *arguments: str) -> str:
        assert sweep("register", *arguments) == 2
        out, err = capsys.readouterr()
        assert named in err
        assert (out, len(err.splitlines())) == ("", 1)
        return err

    refuse("prompts are the best of their target and task", where)
    refuse("--name: found 'a/../b'", where, "--cell", cell, "--name", "a/../b")
    reference = next(cell.id for cell in plan.cells if cell.kind == "reference")
    refuse("is the reference row", where, "--cell", reference)
    secret = "http://ann:pa55word@127.0.0.1:9"
    assert "pa55word" not in refuse(
        "password or token", where, "--cell", cell, "--tracking-uri", secret
    )
    free = f"http://127.0.0.1:{free_port()}"
    refuse("does not take the model", where, "--cell", cell, "--tracking-uri", free)


@pytest.mark.slow
def test_the_backbone_must_be_the_one_that_was_scored(folder: Path, plan: Plan) -> None:
    from trainables.errors import InputError
    from trainables.interchange.classifier import Classifier

    found = register_prompt(folder, PromptChoice(cell=the(plan, "soft", "pocket-roberta").id))
    mlflow.set_tracking_uri(found.tracking_uri)
    model = Path(mlflow.artifacts.download_artifacts(found.uri)) / "artifacts" / "classifier"
    path = model / "prompt.yaml"
    about = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**about, "backbone": {**about["backbone"], "digest": "0"}}))
    with pytest.raises(InputError, match="has changed since the sweep"):
        Classifier.load(model)
    path.write_text("[")
    with pytest.raises(InputError, match="invalid YAML"):
        Classifier.load(model)
    path.write_text(yaml.safe_dump({**about, "version": 2}))
    with pytest.raises(InputError, match="cannot be used"):
        Classifier.load(model)


@pytest.mark.slow
def test_served_over_http(folder: Path, plan: Plan, tmp_path: Path) -> None:
    """``mlflow models serve`` on loopback, from a folder without this project's sources."""
    cell = the(plan, "random", "pocket-gpt2-large")
    found = register_prompt(folder, PromptChoice(cell=cell.id))
    port = free_port()
    environment = {
        **{key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        "MLFLOW_TRACKING_URI": found.tracking_uri,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", found.uri]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            command, env=environment, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/ping", server, tmp_path / "log")
        body = json.dumps({"dataframe_split": texts().to_dict(orient="split")}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            answers = pd.DataFrame(json.load(response)["predictions"])
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
    check_scores(answers, Ledger(folder).record(cell.id)["result"])


def wait_for(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.5)
    pytest.fail(log.read_text()[-3000:])


def test_a_sweep_without_prompts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bind(tmp_path, plan_of(), {})
    assert sweep("register", str(tmp_path)) == 2
    assert "holds no finished cell yet" in capsys.readouterr().err
    assert set(PACKAGES) == {line.partition("==")[0] for line in requirements()}
