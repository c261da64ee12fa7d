"""What a node lacks is fetched once, checked, and used in the place of the driver's files."""

import json
import multiprocessing
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sweep.planning.plan import Plan, make_plan
from sweep.spec.spec import load_spec
from trainables.core.cells import Pack
from trainables.errors import InputError
from trainables.models.names import folder_digest, resolve_model
from trainables.packs.pack import run_pack
from trainables.packs.shipping import KINDS, Fetch, Item, Places
from trainables.tasks import TASK_NAMES, Task, load_task


def fetcher(log: list[Item], spoil: bool = False) -> Fetch:
    """Reads the driver's files in parts of 1,000 bytes."""

    def fetch(item: Item) -> Iterator[tuple[str, Iterator[bytes]]] | None:
        path = Path(item.location)
        log.append(item)
        if not path.exists():
            return None
        files = KINDS[item.kind].files(path).items()
        return ((name, parts(content)) for name, content in files)

    def parts(content: bytes | Path) -> Iterator[bytes]:
        whole = content if isinstance(content, bytes) else content.read_bytes()
        for start in range(0, len(whole), 1000):
            yield whole[start : start + 1000]
            if spoil:
                return

    return fetch


def plan_with_files(folder: Path, seeds: int = 1, tasks: int = 1, **more: Any) -> Plan:
    """A pocket model of one's own, a task that extends another, and prompts to start from."""
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / "mine"
    if not model.exists():
        shutil.copytree(resolve_model("pocket-bert").location, model)
    (folder / "rows.jsonl").write_text(
        "".join(
            json.dumps({"text": f"row {number}", "label": number % 2}) + "\n"
            for number in range(40)
        )
    )
    (folder / "base.yaml").write_text(
        "name: base\nversion: 1\ndata: {files: {all: rows.jsonl}}\ntext: '{text}'\n"
        "classes: [no, yes]\nlabel_words: [bad, good]\n"
        "splits: {train: all, validation: {from: all, share: 0.25}, test: {from: all, share: 0.25}}"
    )
    for number in range(tasks):
        text = f"extends: base.yaml\nname: rows-{number}\n"
        (folder / f"task-{number}.yaml").write_text(text)
    np.save(folder / "start.npy", np.zeros((2, 128), dtype=np.float32))
    spec = {
        "name": "files",
        "sources": ["./mine"],
        "targets": ["./mine", "pocket-roberta"],
        "tasks": [f"task-{number}.yaml" for number in range(tasks)],
        "seeds": seeds,
        "methods": {
            "soft": {
                "steps": 1,
                "evaluations": 1,
                "prompt_length": 2,
                "init": "file",
                "init_file": "start.npy",
            }
        },
        "direct": False,
        **more,
    }
    (folder / "sweep.yaml").write_text(yaml.safe_dump(spec))
    return make_plan(load_spec(str(folder / "sweep.yaml")))


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    plan = plan_with_files(tmp_path / "driver")
    return next(pack for pack in plan.packs if pack.kind == "tune")


def places_of(pack: Pack) -> list[str]:
    return [
        *(model.location for model in pack.models.values()),
        pack.task.file,
        *pack.files.values(),
    ]


def test_what_is_there_is_used_where_it_is(tmp_path: Path, pack: Pack) -> None:
    log: list[Item] = []
    assert Places(fetcher(log), folder=tmp_path / "node")(pack) == pack
    assert log == []


def test_what_is_not_there_is_fetched_once(tmp_path: Path, pack: Pack) -> None:
    node, log = tmp_path / "node", list[Item]()
    # A second process of the node finds what the first has fetched.
    for _ in range(2):
        places = Places(fetcher(log), look=False, folder=node)
        for _ in range(2):
            found = places(pack)
            assert all(Path(place).is_relative_to(node) for place in places_of(found))
    assert sorted(item.kind for item in log) == ["model"] * len(pack.models) + ["prompt", "task"]
    assert found.id == pack.id
    shutil.rmtree(tmp_path / "driver")
    assert places(pack) == found
    assert load_task(found.task).rows("test")
    assert not list(node.glob(".partial-*"))


@pytest.mark.slow
def test_results_are_those_of_the_drivers_files(tmp_path: Path, pack: Pack) -> None:
    here = run_pack(pack, {})
    there = run_pack(Places(fetcher([]), look=False, folder=tmp_path / "node")(pack), {})
    assert not here.failures
    for name, prompt in here.prompts.items():
        assert (there.prompts[name] == prompt).all()
        assert there.results[name]["score"] == here.results[name]["score"]


def test_other_content_at_the_same_path_is_not_used(tmp_path: Path, pack: Pack) -> None:
    """A node may have an older copy there: its numbers would be wrong and nobody would see."""
    log: list[Item] = []
    older = replace(pack, models={k: replace(m, digest="0" * 16) for k, m in pack.models.items()})
    with pytest.raises(InputError, match="what arrived on this node is not what was planned"):
        Places(fetcher(log), folder=tmp_path / "node")(older)
    assert not list((tmp_path / "node").glob(".partial-*"))
    assert not list((tmp_path / "node").glob("model-*"))


@pytest.mark.parametrize("harm", ["cut", "gone", "flip"])
def test_what_was_fetched_and_spoilt_is_fetched_again(
    tmp_path: Path, pack: Pack, harm: str
) -> None:
    node, log = tmp_path / "node", list[Item]()
    first = Places(fetcher(log), look=False, folder=node)(pack)
    folder = Path(next(iter(first.models.values())).location)
    weights = next(folder.glob("*.safetensors"))
    if harm == "gone":
        weights.unlink()
    else:
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content[:-5] if harm == "cut" else content)
    log.clear()
    assert Places(fetcher(log), look=False, folder=node)(pack) == first
    assert [item.kind for item in log] == ["model"]
    assert folder_digest(folder) == next(iter(first.models.values())).digest


def test_half_a_transport_is_an_error_and_leaves_nothing(tmp_path: Path, pack: Pack) -> None:
    with pytest.raises(InputError, match="what arrived"):
        Places(fetcher([], spoil=True), look=False, folder=tmp_path / "node")(pack)
    assert all(path.name.endswith(".lock") for path in (tmp_path / "node").iterdir())


def test_what_the_driver_lacks_too_and_names_of_the_hub_stay(tmp_path: Path, pack: Pack) -> None:
    log: list[Item] = []
    models = {
        "hub": replace(pack.models["mine"], location="owner/name"),
        "lost": replace(pack.models["mine"], location=str(tmp_path / "lost")),
    }
    found = Places(fetcher(log), folder=tmp_path / "node")(replace(pack, models=models))
    assert found.models == models
    assert [item.name for item in log] == ["lost"]


def _one(folder: Path, pack: Pack, log: Path) -> None:
    def fetch(item: Item) -> Any:
        with log.open("a") as file:
            file.write(f"{item.kind}\n")
        return fetcher([])(item)

    Places(fetch, look=False, folder=folder)(pack)


@pytest.mark.slow
def test_several_processes_of_a_node_fetch_once(tmp_path: Path, pack: Pack) -> None:
    context = multiprocessing.get_context("fork")
    log = tmp_path / "log"
    workers = [context.Process(target=_one, args=(tmp_path / "node", pack, log)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert sorted(log.read_text().split()) == ["model"] * len(pack.models) + ["prompt", "task"]


@pytest.mark.parametrize("name", TASK_NAMES)
def test_every_packaged_task_can_travel(name: str, tmp_path: Path) -> None:
    task = load_task(name)
    for file, content in task.portable().items():
        (tmp_path / file).write_bytes(
            content if isinstance(content, bytes) else content.read_bytes()
        )
    arrived = Task.read(tmp_path / "task.yaml")
    assert (arrived.digest, arrived.name) == (task.digest, task.name)
    assert arrived.label_words_alternatives == task.label_words_alternatives
