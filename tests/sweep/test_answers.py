"""A sweep on label texts of several tokens and on answers in free text, up to its report."""

from pathlib import Path
from typing import Any

import pytest

import sweep
from tests.sweep.inline import inline as inline
from tests.trainables.packs import test_free_text
from tests.trainables.soft import toys
from trainables.errors import InputError


def spec_of(folder: Path, **changes: Any) -> dict[str, Any]:
    (folder / "free").mkdir()
    return {
        "name": "answers",
        "sources": ["pocket-gpt2"],
        "targets": ["pocket-llama"],
        "tasks": [
            test_free_text.write_task(folder / "free"),
            toys.write_task(folder / "texts", words=toys.TEXTS),
        ],
        "seeds": 1,
        "methods": {"soft": {"lambda": [0], "steps": 2, "evaluations": 1, "prompt_length": 2}},
        "transfer": {"solver": "closed_form"},
        **changes,
    }


@pytest.mark.slow
def test_both_kinds_side_by_side(tmp_path: Path, inline: None) -> None:
    result = sweep.run(spec_of(tmp_path), tmp_path / "out", store="none")
    assert (result.ok, result.failures) == (True, {})
    frame = result.frame()
    assert set(frame["metric"]) == {"accuracy", "token_f1"}
    assert frame.groupby("task")["score"].count().nunique() == 1
    assert {"empty", "manual", "constant"} <= set(frame["row"])
    assert frame["score"].between(0, 1).all()
    assert "toy/things" in result.report().read_text()


def test_what_needs_classes_is_found_before_anything_is_trained(
    tmp_path: Path, inline: None
) -> None:
    spec = spec_of(tmp_path, transfer=[{"solver": "readout"}])
    with pytest.raises(InputError, match=r"transfer\.solver: readout: found task 'toy/things'"):
        sweep.run(spec, tmp_path / "out", store="none")
