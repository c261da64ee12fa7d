"""``sweep push``: only on request, with nothing of this machine in it, and never over a network."""

import json
import os
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from huggingface_hub import HfApi

from sweep.commands.ui import free_port
from sweep.export.choose import PromptChoice
from sweep.export.push import Destination, format_upload, push_prompt
from sweep.planning.plan import Plan
from tests.sweep.computed import compute, soft_and_hard
from tests.sweep.test_cli import sweep
from trainables.core.cells import Cell
from trainables.errors import InputError

pytestmark = pytest.mark.slow

TOKEN = "hf_abcdefghijklmnopqrstuvwxyz012345"


@pytest.fixture(scope="module")
def plan() -> Plan:
    return soft_and_hard()


@pytest.fixture(scope="module")
def folder(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compute(plan, tmp_path_factory.mktemp("computed"))


def the(plan: Plan, method: str) -> Cell:
    like = ("transfer", method, "pocket-gpt2-large")
    return next(cell for cell in plan.cells if (cell.kind, cell.method, cell.target) == like)


class Hub:
    """Takes what would go to the Hub."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.files: dict[str, bytes] = {}

    def create_repo(self, repo_id: str, **options: Any) -> None:
        self.calls.append(("create_repo", {"repo_id": repo_id, **options}))
        if self.error is not None:
            raise self.error

    def upload_folder(self, **options: Any) -> Any:
        self.calls.append(("upload_folder", options))
        where = Path(options["folder_path"])
        self.files = {path.name: path.read_bytes() for path in where.iterdir()}
        return f"https://huggingface.co/{options['repo_id']}/commit/1"


@pytest.mark.parametrize("method", ["soft", "random"])
def test_what_is_uploaded(method: str, folder: Path, plan: Plan) -> None:
    cell, hub = the(plan, method), Hub()
    found = push_prompt(
        folder, PromptChoice(cell=cell.id), Destination("me/mine", True), lambda: hub
    )
    names = [name for name, _ in hub.calls]
    assert names == ["create_repo", "upload_folder"]
    assert hub.calls[0][1] == {"repo_id": "me/mine", "private": True, "exist_ok": True}
    assert hub.files == found.files
    kept = {"soft": {"adapter_config.json", "adapter_model.safetensors"}, "random": {"prompt.txt"}}
    assert hub.files.keys() == {"README.md", "promptsweep.json", *kept[method]}
    for content in hub.files.values():
        assert os.fsencode(Path.cwd()) not in content
        assert os.fsencode(folder) not in content
    about = json.loads(hub.files["promptsweep.json"])
    assert about["cell"] == cell.id
    assert about["base_model"]["location"] == "pocket-gpt2-large"
    if method == "soft":
        config = json.loads(hub.files["adapter_config.json"])
        assert config["base_model_name_or_path"] == "pocket-gpt2-large"
    card = hub.files["README.md"].decode()
    assert cell.id in card
    assert "Licence of the base model, as its card names it: apache-2.0." in card
    assert "https://huggingface.co/me/mine/commit/1" in format_upload(found)


def test_a_dry_run_shows_the_files_and_asks_nobody(
    folder: Path, plan: Plan, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr("huggingface_hub.HfApi", refuse)
    options = ["--cell", the(plan, "soft").id[:12], "--repo", "me/mine", "--dry-run"]
    assert sweep("push", str(folder), *options) == 0
    out = capsys.readouterr().out
    for words in ("adapter_model.safetensors", "README.md", "bytes", "nothing was uploaded"):
        assert words in out


def test_offline_is_one_sentence(
    folder: Path, plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    """The real client under HF_HUB_OFFLINE, which all tests set."""
    assert sweep("push", str(folder), "--cell", the(plan, "soft").id, "--repo", "me/mine") == 2
    check_sentence(capsys, "could not be written")


def check_sentence(capsys: pytest.CaptureFixture[str], named: str) -> None:
    out, err = capsys.readouterr()
    assert named in err
    assert (out, len(err.splitlines())) == ("", 1)
    assert TOKEN not in err


class _Refusing(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        content = json.dumps({"error": f"Invalid {self.headers['Authorization']}"}).encode()
        self.send_response(401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def refusing() -> Iterator[str]:
    """A Hub on loopback that lets nobody in and repeats the token."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refusing)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_tokens_are_not_repeated(
    refusing: str, folder: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    closed = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    for endpoint in (refusing, closed):
        with pytest.raises(InputError) as caught:
            push_prompt(
                folder,
                PromptChoice(cell=the(plan, "soft").id),
                Destination("me/mine"),
                lambda endpoint=endpoint: HfApi(endpoint=endpoint, token=TOKEN),
            )
        assert "me/mine could not be written" in str(caught.value)
        assert TOKEN not in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("repo", ["mine", "a/b/c", "../x", "me/..", "me/a--b", "/x", "me/ü", ""])
def test_wrong_names(repo: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep("push", str(folder), f"--repo={repo}") == 2
    check_sentence(capsys, "--repo: found")


def test_one_prompt_at_a_time(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep("push", str(folder), "--repo", "me/mine") == 2
    check_sentence(capsys, "prompts are the best of their target and task")


def test_hub_errors_are_sentences(folder: Path, plan: Plan, tmp_path: Path) -> None:
    hub = Hub(OSError(f"no room\nfor Bearer {TOKEN}"))
    copied = Path(shutil.copytree(folder, tmp_path / "sweep"))
    before = sorted(copied.rglob("*"))
    with pytest.raises(InputError) as caught:
        push_prompt(
            copied, PromptChoice(cell=the(plan, "random").id), Destination("me/x"), lambda: hub
        )
    assert "no room for" in str(caught.value)
    assert TOKEN not in str(caught.value)
    assert sorted(copied.rglob("*")) == before
