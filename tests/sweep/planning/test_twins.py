"""Models without a chat template under ``template: [all, chat]``: two cells, one tuning."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from sweep.commands.plan import plan_counts
from sweep.planning.plan import Plan, make_plan
from sweep.planning.twins import computed
from sweep.planning.work import work_of
from sweep.spec.spec import SweepSpec, parse_spec
from tests.sweep.samples import content
from tests.trainables.backbones.chat_templates import TEMPLATES
from trainables.models.chats import TEMPLATE_FILE
from trainables.pocket.zoo import pocket_path


@pytest.fixture
def chatty(tmp_path: Path) -> str:
    folder = tmp_path / "chatty"
    shutil.copytree(pocket_path("pocket-llama"), folder)
    (folder / TEMPLATE_FILE).write_text(TEMPLATES["mistral"])
    return str(folder)


def _spec(template: Any, chatty: str) -> SweepSpec:
    asked = {"steps": 4, "evaluations": 2}
    return parse_spec(
        content(
            sources=["pocket-bert", "pocket-gpt2"],
            targets=[chatty],
            tasks=["mini/reviews"],
            methods={
                "soft": {**asked, "lambda": [0, 0.5], "template": template},
                "pez": {**asked, "vocabulary": "all", "template": _hard(template)},
            },
            direct=True,
        )
    )


def _hard(template: Any) -> Any:
    every = template if isinstance(template, list) else [template]
    return [True if item == "all" else item for item in every]


def _tuned(plan: Plan) -> int:
    return sum(pack.kind == "tune" for pack in plan.packs)


def test_no_cell_is_another_one_and_each_tuning_is_there_once(chatty: str) -> None:
    plans = [make_plan(_spec(template, chatty)) for template in ("all", "chat")]
    both = make_plan(_spec(["all", "chat"], chatty))
    assert set(plans[1].by_id) < set(both.by_id)
    assert len(both.by_id) == len(both.cells)
    sizes = [_tuned(plan) for plan in plans]
    own = sum(1 for pack in plans[0].packs if pack.kind == "tune" and "chatty" in pack.sources)
    assert _tuned(both) == sum(sizes) - (sizes[0] - own)
    for pack in both.packs:
        tuned = [cell for cell in pack.cells if cell.kind == "source"]
        once = [cell for cell in computed(pack.cells) if cell.kind == "source"]
        chat = {cell.settings["template"] for cell in tuned} == {"chat"}
        assert len(once) == (len(tuned) if chat or "chatty" in pack.sources else len(tuned) / 2)
    steps = [work_of(plan.packs).steps for plan in (*plans, both)]
    assert steps[2] < steps[0] + steps[1]


def test_the_plan_says_so_in_one_line(chatty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweep.commands.plan.check_local", lambda resolved: None)
    said = plan_counts(_spec(["all", "chat"], chatty))["remarks"]
    assert said[-1] == (
        "with and without template chat the same: pocket-bert, pocket-gpt2 tuned once for both"
    )
    assert len(plan_counts(_spec("chat", chatty))["remarks"]) == 1
