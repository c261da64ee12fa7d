"""The task file that most tests of task files read."""

from pathlib import Path

import pytest

from tests.trainables.tasks.task_files import three, write_task


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_task(tmp_path, three())
