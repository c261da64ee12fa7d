"""``sweep doctor``: what is there, what would stop a sweep, and no secret of anybody."""

import json
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from sweep import cli
from sweep.commands import doctor
from sweep.ledger.store import VARIABLE as STORE
from trainables.compute import devices


def said(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", *arguments])
    code = ended.value.code
    assert isinstance(code, int)
    return (code, *capsys.readouterr())


def test_what_is_there_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "store" / "cells").mkdir(parents=True)
    (tmp_path / "store" / "cells" / "x").write_bytes(b"1234")
    monkeypatch.setenv(STORE, str(tmp_path / "store"))
    monkeypatch.setenv("HF_TOKEN", "abcd1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:pass5word@host/runs")
    monkeypatch.setenv("SOMEBODYS_OWN", "x")
    code, text, errors = said(capsys=capsys)
    assert (code, errors) == (0, "")
    for words in (
        *(f"torch {torch.__version__}", "CPU cores", f"store {tmp_path / 'store'}: 4 B"),
        *("HF_TOKEN=[redacted]", "postgresql://me:[redacted]@host", "no web server, not asked"),
        *("no sweep reads it: mlflow.tracking_uri", "off (HF_HUB_OFFLINE is set), a token"),
    ):
        assert words in text
    code, found, _ = said("--json", capsys=capsys)
    assert code == 0
    assert json.loads(found).keys() == {*doctor.SECTIONS, "problems"}
    for each in (text, found):
        assert "abcd1" not in each
        assert "pass5word" not in each
        assert "SOMEBODYS_OWN" not in each


def test_what_would_stop_a_sweep_is_a_sentence_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROMPTSWEEP_STORE_SIZE", "much")
    monkeypatch.setenv("PROMPTSWEEP_PLUGINS", "/nowhere/mine.py")
    monkeypatch.setattr(doctor, "versions_of", lambda names: dict.fromkeys(names[:4], "1"))
    code, text, errors = said(capsys=capsys)
    assert code == 1
    assert text.startswith("versions ")
    packages, size, plugin = (line.removeprefix("error: ") for line in errors.splitlines()[1:])
    assert "mlflow: not installed" in errors
    assert packages.startswith("optuna: not installed; allowed: ")
    assert size.startswith("PROMPTSWEEP_STORE_SIZE: found 'much'; allowed: ")
    assert plugin.startswith("PROMPTSWEEP_PLUGINS: /nowhere/mine.py: cannot be read")


def test_a_torch_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    found = doctor.examine()
    (problem,) = found["problems"]
    assert problem.startswith("torch: cannot be imported (")
    assert problem.endswith("; allowed: install it anew")
    assert "no GPU: torch cannot be imported" in doctor.format_findings(found)


def test_gpus_as_torch_sees_them(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = [SimpleNamespace(name=f"card {number}", total_memory=80e9) for number in range(2)]
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(cards))
    monkeypatch.setattr(torch.cuda, "get_device_properties", cards.__getitem__)
    found = doctor.examine()
    assert found["devices"]["no_gpu"] is None
    assert "GPU 1: card 1, 80 GB" in doctor.format_findings(found)


def test_why_torch_sees_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def init() -> None:
        raise RuntimeError("The driver is too old (found version 11040). Please update\nit.")

    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices.gpus() == ([], "The driver is too old (found version 11040)")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.gpus()[1] == (
        "The driver is too old (found version 11040) (CUDA_VISIBLE_DEVICES is '')"
    )


class Refusing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(401)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_whether_a_server_answers(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert doctor.answer_of(f"http://127.0.0.1:{port}/runs") == "answers"
    assert doctor.answer_of(f"http://me:secret@127.0.0.1:{port}") == "answers"
    assert doctor.answer_of("sqlite:///mlflow.db") == "no web server, not asked"
    assert doctor.answer_of("http://[").startswith("no answer (")
    monkeypatch.setattr(doctor, "_PATIENCE", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        taken = silent.getsockname()[1]
        assert "refused" in doctor.answer_of(f"http://127.0.0.1:{taken}")
        silent.listen()
        assert "timed out" in doctor.answer_of(f"http://127.0.0.1:{taken}")
