"""Task files that tests write."""

import json
from pathlib import Path
from typing import Any

import yaml

from trainables.tasks import SPLITS, Task, load_task

ROWS = [{"text": f"text number {index}", "label": index % 2} for index in range(20)]


def jsonl(rows: list[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write_task(folder: Path, tables: dict[str, str], **fields: Any) -> Path:
    """A task file ``task.yaml`` with its data files; a field given as None is left out."""
    for name, text in tables.items():
        (folder / name).write_text(text, encoding="utf-8")
    content: dict[str, Any] = {
        "name": "own/task",
        "version": 1,
        "data": {"files": {Path(name).stem: name for name in tables}},
        "text": "{text}",
        "classes": ["calm", "angry"],
        "label_words": ["fine", "bad"],
        **fields,
    }
    file = folder / "task.yaml"
    kept = {key: value for key, value in content.items() if value is not None}
    file.write_text(yaml.safe_dump(kept, sort_keys=False), encoding="utf-8")
    return file


def three(suffix: str = "jsonl", content: str | None = None) -> dict[str, str]:
    """The same content for three splits, told apart by what precedes every text."""
    if content is not None:
        return {f"{split}.{suffix}": content for split in SPLITS}
    return {
        f"{split}.{suffix}": jsonl([{**row, "text": f"{split} {row['text']}"} for row in ROWS])
        for split in SPLITS
    }


def load(file: Path) -> Task:
    task = load_task(file)
    task.check()
    return task


def hub_task(folder: Path, path: str, **hub: str) -> Path:
    return write_task(folder, {}, data={"hub": {"path": path, **hub}})
