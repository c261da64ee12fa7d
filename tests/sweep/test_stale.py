"""What changes behind a name: no finished cell is taken for another's."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sweep.ledger.ledger import Ledger
from sweep.ledger.store import counted, held, make_reuse, shareable
from sweep.planning.plan import Plan, make_plan
from sweep.spec.resolve import resolve
from sweep.spec.spec import parse_spec
from sweep.testing.tabulated import find_model, find_task
from tests.sweep.ledger.test_ledger import fill
from tests.sweep.samples import content
from tests.trainables.tasks.task_files import hub_task
from tests.trainables.tasks.test_data_folder import COMMIT, write_data
from trainables.backbones.loading import load_backbone
from trainables.core.cells import Pack
from trainables.core.contents import is_pinned
from trainables.errors import InputError
from trainables.models.names import model_files, resolve_model
from trainables.packs.run import Run
from trainables.tasks import resolve_task


def plan_on(folder: Path, **changes: Any) -> Plan:
    """Tabulated models on a real task file of the folder."""
    spec = parse_spec(content(tasks=["task.yaml"], **changes), base=folder)
    return make_plan(spec, find_model, resolve_task)


def stored(plan: Plan, store: Path, folder: Path) -> None:
    ledger = Ledger(folder)
    fill(ledger, plan.cells)
    reuse = make_reuse(plan, ledger, store, pytest.fail)
    for record in ledger.records():
        reuse.keep(record)


def in_store(plan: Plan, store: Path) -> int:
    """As ``sweep plan`` counts, which has to agree with what a run would take."""
    count = int(counted(plan, *held(plan, None, store))["in_store"])
    assert count == len(make_reuse(plan, Ledger(Path("none")), store, pytest.fail).find(plan.cells))
    return count


def test_flipped_labels_of_a_folder_are_computed_again(tmp_path: Path) -> None:
    write_data(tmp_path / "set")
    hub_task(tmp_path, "set")
    before, store = plan_on(tmp_path), tmp_path / "store"
    stored(before, store, tmp_path / "a")
    assert in_store(plan_on(tmp_path), store) == len(before.cells)
    write_data(tmp_path / "set", flip=True)
    flipped = plan_on(tmp_path)
    assert flipped.hash != before.hash
    assert not flipped.by_id.keys() & before.by_id.keys()
    assert in_store(flipped, store) == 0
    assert counted(flipped, *held(flipped, None, store))["to_run"] == len(flipped.cells)
    write_data(tmp_path / "set")
    assert in_store(plan_on(tmp_path), store) == len(before.cells)


@pytest.mark.parametrize(
    ("hub", "shared"),
    [({"revision": COMMIT}, True), ({}, False), ({"revision": "main"}, False),
     ({"revision": "v1"}, False)],
)  # fmt: skip
def test_only_pinned_data_of_the_hub_is_shared(
    tmp_path: Path, hub: dict[str, str], shared: bool
) -> None:
    hub_task(tmp_path, "owner/set", **hub)
    plan, store = plan_on(tmp_path, direct=True), tmp_path / "store"
    stored(plan, store, tmp_path / "a")
    assert in_store(plan, store) == (len(plan.cells) if shared else 0)
    assert len(list(store.glob("cells/*/*"))) == (len(plan.cells) if shared else 0)
    # One's own folder goes on with them all the same.
    assert Ledger(tmp_path / "a").done_ids() == plan.by_id.keys()


@pytest.mark.parametrize("role", ["sources", "targets", "counterparts"])
def test_every_model_of_a_cell_must_be_pinned(tmp_path: Path, role: str) -> None:
    def find(revision: str) -> Callable[..., Any]:
        def model(name: str, aliases: Any, base: Any) -> Any:
            found = find_model(name, aliases, base)
            return replace(found, digest=f"owner/x@{revision}") if name == "X" else found

        return model

    hub_task(tmp_path, "owner/set", revision=COMMIT)
    changes: dict[str, Any] = {
        "sources": {"sources": ["X", "B"]},
        "targets": {"targets": ["X"]},
        "counterparts": {"methods": {"pez": {"counterparts": ["X"], "vocabulary": "common"}}},
    }[role]
    spec = parse_spec(content(tasks=["task.yaml"], **changes), base=tmp_path)
    pinned = make_plan(spec, find(COMMIT), resolve_task)
    assert all(map(shareable, pinned.cells))
    for cell in make_plan(spec, find("v1"), resolve_task).cells:
        touched = "X" in (cell.target, *cell.sources, *cell.counterparts)
        assert shareable(cell) is not touched
    assert any("X" in cell.digests for cell in pinned.cells)


# ----------------------------------------------------------------------- every input by its content


def model_folder(folder: Path) -> Path:
    return Path(shutil.copytree(resolve_model("pocket-bert").location, folder))


def whole_plan(folder: Path) -> Plan:
    """All kinds of inputs: a model, a task that extends one in a folder, a file to start from."""
    spec = {
        "sources": ["./mine"],
        "targets": ["other"],
        "tasks": ["child.yaml"],
        "models": {"other": {"path": "linked"}},
        "methods": {
            "soft": {"steps": 1, "evaluations": 1, "prompt_length": 2, "init": "file",
                     "init_file": "{model}.npy"}
        },
    }  # fmt: skip
    return make_plan(parse_spec(content(**spec), base=folder))


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    write_data(tmp_path / "parent" / "set")
    hub_task(tmp_path / "parent", "set")
    (tmp_path / "child.yaml").write_text("extends: parent/task.yaml\nname: child\n")
    model_folder(tmp_path / "mine")
    # As the Hub's cache has them: a folder of links.
    blobs = model_folder(tmp_path / "blobs")
    (blobs / "config.json").rename(blobs / "0001")
    (tmp_path / "linked").mkdir()
    for file in blobs.iterdir():
        name = "config.json" if file.name == "0001" else file.name
        (tmp_path / "linked" / name).symlink_to(file)
    np.save(tmp_path / "far.npy", np.zeros((2, 128), dtype=np.float32))
    (tmp_path / "mine.npy").symlink_to(tmp_path / "far.npy")
    return tmp_path


CHANGES: dict[str, Callable[[Path], object]] = {
    "model behind a link": lambda folder: (folder / "blobs" / "0001").write_text(
        (folder / "blobs" / "0001").read_text() + " "
    ),
    "weights": lambda folder: _append(folder / "mine" / "model.safetensors"),
    "tokenizer": lambda folder: _append(folder / "mine" / "tokenizer.json"),
    "file to start from": lambda folder: np.save(folder / "far.npy", np.ones((2, 128), "f4")),
    "data of the task that is extended": lambda folder: write_data(folder / "parent/set", True),
    "task that is extended": lambda folder: _field(folder / "parent" / "task.yaml"),
}


def _append(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b" ")


def _field(file: Path) -> None:
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "manual": "So it is"}))


@pytest.mark.parametrize("what", CHANGES)
def test_no_input_changes_behind_its_digest(whole: Path, what: str) -> None:
    before = whole_plan(whole)
    assert before.by_id.keys() == whole_plan(whole).by_id.keys()
    times = {path: path.stat() for path in whole.rglob("*") if path.is_file()}
    CHANGES[what](whole)
    for path, stat in times.items():
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = whole_plan(whole)
    assert after.hash != before.hash
    transfers = {cell.id for cell in before.cells if cell.kind == "transfer"}
    assert transfers
    assert not transfers & after.by_id.keys()


def tuning(folder: Path) -> Pack:
    return next(pack for pack in whole_plan(folder).packs if pack.kind == "tune")


def test_a_model_that_changes_after_the_plan_is_refused(whole: Path) -> None:
    models = whole_plan(whole).resolved.models
    config = whole / "blobs" / "0001"
    config.write_text(config.read_text() + " ")
    load_backbone(models["mine"])
    with pytest.raises(InputError, match=r"'other': .*linked has changed since it was planned"):
        load_backbone(models["other"])


def test_a_file_to_start_from_that_changes_after_the_plan_is_refused(whole: Path) -> None:
    pack = tuning(whole)
    assert Run(pack, "cpu").start_file("mine") == (whole / "far.npy").resolve()
    np.save(whole / "far.npy", np.ones((2, 128), "f4"))
    with pytest.raises(InputError, match=r"init_file .*far.npy: has changed since"):
        Run(pack, "cpu").start_file("mine")
    (whole / "far.npy").unlink()
    with pytest.raises(InputError, match=r"init_file .*far.npy: cannot be read"):
        Run(pack, "cpu").start_file("mine")


def test_a_model_folder_is_read_from_what_is_digested(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all that the libraries open in the folder nothing is left out of its digest."""
    import builtins

    folder, opened = whole / "mine", set()
    plain = builtins.open

    def noting(file: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(file, str | Path):
            opened.add(Path(file))
        return plain(file, *arguments, **options)

    monkeypatch.setattr(builtins, "open", noting)
    load_backbone(resolve_model(str(folder)))
    inside = {path for path in opened if path.is_relative_to(folder)}
    assert {path.name for path in inside} >= {"config.json", "tokenizer_config.json"}
    assert inside <= set(model_files(folder))


def test_a_folder_of_the_working_directory_is_not_taken_for_a_model_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = resolve_model(f"owner/name@{COMMIT}", base=tmp_path / "specs")
    model_folder(tmp_path / "owner" / "name")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="'name': found 'owner/name', which shall come from the"):
        load_backbone(ref)


def test_a_folder_with_an_adapter_is_refused(whole: Path) -> None:
    (whole / "mine" / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"adapter_config.json, an adapter whose base"):
        whole_plan(whole)


def test_a_broken_link_in_a_model_folder_is_one_sentence(whole: Path) -> None:
    (whole / "linked" / "extra.json").symlink_to(whole / "gone.json")
    with pytest.raises(InputError, match=r"'other': .*extra.json cannot be read \(No such file"):
        whole_plan(whole)


def test_a_recipe_counts_as_what_it_says() -> None:
    """A recipe's file may change; cells hold its values, not its name."""
    spec = parse_spec(content(methods={"soft": {"recipe": "fast"}}))
    cells = make_plan(spec, find_model, find_task).cells
    tuned = next(cell for cell in cells if cell.kind == "source")
    assert "recipe" not in tuned.settings
    assert "steps" in tuned.settings


@pytest.mark.parametrize("name", ["mini/reviews", "sst2", "paper_b/ag_news"])
def test_packaged_tasks_are_pinned(name: str) -> None:
    spec = parse_spec(content(tasks=[name]))
    (task,) = resolve(spec, find_model, resolve_task).tasks
    assert is_pinned(task.digest)
