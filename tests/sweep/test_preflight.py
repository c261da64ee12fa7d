"""The check before training runs in a process of its own and speaks through one line."""

import pytest

from sweep.plan import make_plan
from sweep.preflight import check_plan
from sweep.spec import load_spec, parse_spec
from sweep.testing.tabulated import find_task
from tests.sweep.samples import content
from trainables.errors import InputError


def test_a_sweep_of_embedded_models_passes() -> None:
    assert check_plan(make_plan(load_spec("smoke"))) == []


def test_a_mistake_is_one_sentence() -> None:
    spec = parse_spec(content(sources=["pocket-bert"], targets=["pocket-gpt2"]))
    plan = make_plan(spec, find_task=find_task)
    with pytest.raises(InputError, match=r"x/one\.yaml") as caught:
        check_plan(plan)
    assert "\n" not in str(caught.value)


def test_a_crash_is_told_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.preflight._question", lambda plan: {})
    with pytest.raises(RuntimeError, match=r"broke off[\s\S]*KeyError"):
        check_plan(make_plan(load_spec("smoke")))
