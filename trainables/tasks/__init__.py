"""Tasks: a data set with its splits, text format, label words and metric, from one YAML file.

``load_task("mini/topics")`` gives a packaged task, ``load_task("my/task.yaml")`` one of your own;
README.md in this folder describes the file. A packaged task is found by listing this folder: to
add one, add its YAML file and inherit ``trainables.testing.task_contract.TaskContract``.

Importing this package is cheap: pydantic, yaml, datasets and scikit-learn wait until needed.
"""

from trainables.tasks.catalogue import (
    TASK_NAMES,
    load_task,
    recall_task,
    remember_task,
    resolve_task,
)
from trainables.tasks.splits import SPLITS, Example
from trainables.tasks.task import Task

__all__ = [
    "SPLITS",
    "TASK_NAMES",
    "Example",
    "Task",
    "load_task",
    "recall_task",
    "remember_task",
    "resolve_task",
]
