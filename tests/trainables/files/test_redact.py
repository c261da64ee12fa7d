"""Secrets stay out of what is stored and printed."""

import json
from pathlib import Path

import pytest

from sweep.engine.runner import say_to_stderr
from sweep.ledger.folder import bind
from sweep.ledger.ledger import Ledger
from sweep.spec.spec import load_spec, parse_spec
from tests.sweep.samples import content, plan_of
from tests.sweep.test_cli import sweep
from trainables.errors import InputError
from trainables.files.redact import HIDDEN, holds_password, is_secret, redact

PASSWORD = "pa55-w0rd"


@pytest.mark.parametrize(
    "secret",
    [
        f"http://ann:{PASSWORD}@mlflow.example:5000",
        f"postgresql+psycopg2://ann:{PASSWORD}@db:5432/mlflow",
        f"postgresql://ann:x@{PASSWORD}@db/mlflow",
        f"postgresql://ann:x/{PASSWORD}@db/mlflow",
        f"http://:{PASSWORD}@host",
        f"postgresql://db/mlflow?user=ann&password={PASSWORD}",
        f"https://host/x?access_token={PASSWORD}#a",
        f"Authorization: Bearer {PASSWORD}",
        f"token hf_{PASSWORD.replace('-', '')}",
    ],
)
def test_secrets_go_and_the_rest_stays(secret: str) -> None:
    text = f"before {secret} after"
    shown = redact(text)
    assert PASSWORD not in shown
    assert PASSWORD.replace("-", "") not in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert HIDDEN in shown
    assert holds_password(secret)
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "harmless",
    [
        "http://127.0.0.1:5000",
        "http://host:5000/path/@me",
        "postgresql://ann@db:5432/mlflow",
        "sqlite:////home/ann/mlflow.db",
        "owner/name@main: label word 'token' is not a single token",
        "a list of [token, password] and basic words: bearer of news",
    ],
)
def test_what_is_no_secret_stays(harmless: str) -> None:
    assert redact(harmless) == harmless
    assert not holds_password(harmless)


def test_values_of_secret_variables_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false-or-true")
    assert redact(f"refused: {PASSWORD}, false-or-true") == f"refused: {HIDDEN}, false-or-true"


def test_which_variables_hold_secrets() -> None:
    assert all(map(is_secret, ("HF_TOKEN", "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "X_API_KEY")))
    assert not any(map(is_secret, ("HF_TOKEN_PATH", "TOKENIZERS_PARALLELISM", "RAY_AUTH_MODE")))


def test_a_spec_with_a_password_is_refused_and_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"http://ann:{PASSWORD}@host:5000"
    with pytest.raises(InputError) as caught:
        parse_spec(content(mlflow={"tracking_uri": uri}), "my.yaml")
    assert "my.yaml" in str(caught.value)
    assert "MLFLOW_TRACKING_PASSWORD" in str(caught.value)
    assert PASSWORD not in str(caught.value)
    # Wherever it stands, and even if the spec is wrong in other ways: the file would be copied.
    for text in (
        f"# {uri}\nname: x\n",
        f"nmae: [\n  {uri}]\n",
        f'mlflow: {{tracking_uri: "{uri}"}}',
    ):
        file = tmp_path / "spec.yaml"
        file.write_text(text)
        assert sweep("run", str(file), "--out", str(tmp_path / "out")) == 2
        out, err = capsys.readouterr()
        assert "password or token" in err
        assert PASSWORD not in out + err
        assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
    # Escaped in YAML it is the same address.
    file.write_text('name: x\nmlflow: {tracking_uri: "http://ann:pa55-w0rd\\x40host"}\n')
    with pytest.raises(InputError, match="password or token"):
        load_spec(str(file))


def test_failures_and_lines_hold_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_of()
    ledger = Ledger(tmp_path)
    reason = f"no answer from http://ann:{PASSWORD}@host"
    ledger.fail(plan.cells[0], reason, "pack", f"Traceback\n{reason}")
    say_to_stderr(reason)
    assert PASSWORD not in capsys.readouterr().err
    assert list(ledger.failures())
    for path in tmp_path.rglob("*.json"):
        assert PASSWORD not in path.read_text()


def test_an_older_folder_with_a_password_does_not_show_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bind(tmp_path, plan_of(), {})
    meta = json.loads((tmp_path / "sweep.json").read_text())
    meta["spec"]["mlflow"]["tracking_uri"] = f"http://ann:{PASSWORD}@host"
    (tmp_path / "sweep.json").write_text(json.dumps(meta))
    assert sweep("ui", str(tmp_path)) == 2
    err = capsys.readouterr().err
    assert "http://ann:[redacted]@host" in err
    assert PASSWORD not in err
