"""``data.hub``: folders are known by content, the Hub's data sets by their commit."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.trainables.tasks.task_files import ROWS, hub_task, jsonl, load, three, write_task
from trainables.errors import InputError
from trainables.tasks import SPLITS, Task, load_task
from trainables.testing.task_contract import TaskContract

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def write_data(folder: Path, flip: bool = False) -> Path:
    """A data set in the Hub's layout."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        changed = flip and split == "test"
        rows = [{"text": f"{split} {row['text']}", "label": row["label"] ^ changed} for row in ROWS]
        (folder / f"{split}.jsonl").write_text(jsonl(rows))
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_data(tmp_path / "set")
    return hub_task(tmp_path, "set")


class TestFolderTask(TaskContract):
    """The contract on a task whose data is a folder."""

    @pytest.fixture(autouse=True)
    def _write(self, tmp_path: Path) -> None:
        write_data(tmp_path / "set")
        self.task = hub_task(tmp_path, "set")


@pytest.mark.slow
def test_flipped_labels_are_another_task_and_are_read(file: Path) -> None:
    """Also with the old times: the library's own cache goes by path and time."""
    before = load(file)
    old = [row.label for row in before.rows("test")]
    times = {path: path.stat() for path in (file.parent / "set").iterdir()}
    write_data(file.parent / "set", flip=True)
    for path, stat in times.items():
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    after = load(file)
    assert after.digest != before.digest
    assert [row.label for row in after.rows("test")] == [1 - label for label in old]
    with pytest.raises(InputError, match="has changed since it was planned"):
        load_task(before.ref)
    write_data(file.parent / "set")
    assert load(file).digest == before.digest


@pytest.mark.slow
def test_a_changed_archive_is_read_again(tmp_path: Path) -> None:
    for flip in (False, True):
        source = write_data(tmp_path / "unpacked", flip)
        for split in SPLITS:
            (tmp_path / "set").mkdir(exist_ok=True)
            shutil.make_archive(str(tmp_path / "set" / split), "zip", source, f"{split}.jsonl")
        labels = [row.label for row in load(hub_task(tmp_path, "set")).rows("test")]
        assert labels == [row["label"] ^ flip for row in ROWS]


@pytest.mark.parametrize("what", ["name", "deep", "card", "link"])
def test_all_that_counts_is_in_the_digest(file: Path, what: str) -> None:
    folder, before = file.parent / "set", load_task(file).digest
    (folder / ".gitattributes").write_text("does not count")
    assert load_task(file).digest == before
    if what == "name":
        (folder / "test.jsonl").rename(folder / "tests.jsonl")
    elif what == "deep":
        (folder / "more").mkdir()
        (folder / "more" / "train.jsonl").write_text("{}")
    elif what == "card":
        (folder / "README.md").write_text("---\nconfigs: []\n---\n")
    else:
        (file.parent / "far.jsonl").write_text("{}")
        (folder / "more.jsonl").symlink_to(file.parent / "far.jsonl")
        linked = load_task(file).digest
        (file.parent / "far.jsonl").write_text("{ }")
        assert load_task(file).digest != linked != before
    assert load_task(file).digest != before


@pytest.mark.slow
def test_where_the_folder_is_does_not_matter(file: Path, tmp_path: Path) -> None:
    task = load(file)
    assert load_task(hub_task(tmp_path, str(tmp_path / "set"))).digest == task.digest
    (tmp_path / "set").rename(tmp_path / "real")
    (tmp_path / "set").symlink_to(tmp_path / "real")
    assert load(hub_task(tmp_path, "set")).digest == task.digest


@pytest.mark.slow
def test_paths_start_from_the_task_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digest and rows alike, wherever the program runs and whatever extends the task."""
    elsewhere = tmp_path / "elsewhere"
    write_data(elsewhere / "set", flip=True)
    monkeypatch.chdir(elsewhere)
    task = load(file)
    assert task.rows("test")[0].label == ROWS[0]["label"]
    child = elsewhere / "child.yaml"
    child.write_text("extends: ../task.yaml\n")
    assert load(child).rows("test") == task.rows("test")
    assert load_task(child).digest == task.digest


def test_it_travels(file: Path, tmp_path: Path) -> None:
    deep = tmp_path / "set" / "data"
    deep.mkdir()
    for split in SPLITS:
        (tmp_path / "set" / f"{split}.jsonl").rename(deep / f"{split}.jsonl")
    task, node = load(file), tmp_path / "node"
    assert sorted(task.portable()) == [
        *(f"data/data/{split}.jsonl" for split in sorted(SPLITS)),
        "task.yaml",
    ]
    for name, content in task.portable().items():
        (node / name).parent.mkdir(parents=True, exist_ok=True)
        (node / name).write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    arrived = Task.read(node / "task.yaml")
    assert arrived.digest == task.digest
    assert arrived.rows("test") == task.rows("test")


def test_data_that_changes_before_it_is_read_is_refused(file: Path, tmp_path: Path) -> None:
    """Packs read the test split last, perhaps hours after their task."""
    task = load_task(file)
    task.rows("train")
    write_data(file.parent / "set", flip=True)
    with pytest.raises(InputError, match=r"test.* has changed since the task was planned"):
        task.rows("test")
    (tmp_path / "own").mkdir()
    own = load_task(write_task(tmp_path / "own", three()))
    own.rows("train")
    (tmp_path / "own" / "test.jsonl").write_text(jsonl(ROWS))
    with pytest.raises(InputError, match=r"test.jsonl has changed since the task was planned"):
        own.rows("test")


def test_data_files_from_elsewhere_are_refused(file: Path, tmp_path: Path) -> None:
    write_data(tmp_path / "set" / ".hidden")
    for place in (".hidden/test.jsonl", str(tmp_path / "other.jsonl")):
        (tmp_path / "other.jsonl").write_text(jsonl(ROWS))
        card = {"configs": [{"config_name": "default", "data_files": place}]}
        (tmp_path / "set" / "README.md").write_text(f"---\n{yaml.safe_dump(card)}---\n")
        with pytest.raises(InputError, match="hidden or not in the folder"):
            load_task(file).rows("train")


@pytest.mark.parametrize(
    ("path", "hub", "message"),
    [
        ("set", {"revision": COMMIT}, r"revision: found '0123.*', but .* is the folder"),
        ("empty", {}, r"folder .*empty holds no files"),
        ("./missing", {}, r"path: found './missing', and .*missing is no folder; allowed"),
        ("set/test.jsonl", {"name": "x"}, r"cannot be loaded|is no folder"),
        ("json", {}, r"path: found 'json', and .* is no folder; allowed"),
        ("hf://datasets/a/b", {}, r"is no folder; allowed: a folder .* or a Hub name"),
    ],
)
def test_what_is_neither(
    file: Path, tmp_path: Path, path: str, hub: dict[str, str], message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message) as caught:
        load(hub_task(tmp_path, path, **hub))
    assert "\n" not in str(caught.value)


def test_only_a_commit_pins_data_of_the_hub(tmp_path: Path) -> None:
    pinned = load_task(hub_task(tmp_path, "owner/set", revision=COMMIT)).digest
    assert len(pinned) == 16
    moving = [
        load_task(hub_task(tmp_path, "owner/set", **hub)).digest
        for hub in ({}, {"revision": "main"}, {"revision": "1.0"}, {"revision": COMMIT[:12]})
    ]
    assert all(digest.endswith("@unpinned") for digest in moving)
    assert len({*moving, pinned}) == 5


def test_a_folder_of_the_working_directory_is_not_taken_for_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "task").mkdir()
    file = hub_task(tmp_path / "task", "owner/set", revision=COMMIT)
    write_data(tmp_path / "owner" / "set")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"task.yaml: data.hub.path: found 'owner/set', which"):
        load_task(file).rows("test")


def test_another_commit_in_the_cache_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline the library gives whatever its cache has of a data set."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    write_data(tmp_path / "set")
    builder = datasets.load_dataset_builder(str(tmp_path / "set"), cache_dir=str(tmp_path / "x"))
    builder.download_and_prepare()
    for commit in ("f" * 40, COMMIT):
        place = tmp_path / "cache" / "owner___set" / "default" / "0.0.0" / commit
        shutil.copytree(builder.cache_dir, place)
        info = json.loads((place / "dataset_info.json").read_text())
        renamed: dict[str, Any] = {**info, "dataset_name": "set", "config_name": "default"}
        (place / "dataset_info.json").write_text(json.dumps(renamed))
        for arrow in place.glob("*.arrow"):
            arrow.rename(place / ("set-" + arrow.name.split("-", 1)[1]))
        os.utime(place, (2e9 + (commit == COMMIT),) * 2)  # it takes the youngest
        task = load_task(hub_task(tmp_path, "owner/set", revision=COMMIT))
        if commit == COMMIT:
            assert task.rows("test")[1].label == ROWS[1]["label"]
        else:
            with pytest.raises(InputError, match=rf"revision: found {COMMIT}, which .* is ffff"):
                task.rows("test")
