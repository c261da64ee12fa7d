"""``template: chat`` in plans: an axis, rows of its own, and no id of another template changes."""

from typing import Any

import pytest

from analysis.data.combinations import agree, combinations
from sweep.commands.plan import _remarks
from tests.sweep.samples import content, plan_of
from trainables.errors import InputError

SOFT = {"lambda": [0], "steps": 4, "evaluations": 2}


def rows(plan: Any, kind: str = "reference") -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for cell in plan.cells:
        if cell.kind == kind:
            found.setdefault(f"{cell.target} {cell.row}", []).append(cell.settings.get("template"))
    return found


@pytest.mark.parametrize(
    "method",
    [
        {"soft": {**SOFT, "template": ["none", "chat"]}},
        {"pez": {"vocabulary": "all", "steps": 4, "template": [True, "chat"]}},
    ],
)
def test_a_spec_lists_reading_with_it_and_without(method: dict[str, Any]) -> None:
    both = plan_of(methods=method)
    ((name, section),) = method.items()
    first, second = section["template"]
    alone = plan_of(methods={name: {**section, "template": first}})
    chat = plan_of(methods={name: {**section, "template": second}})
    assert {cell.id for cell in both.cells} == {cell.id for cell in (*alone.cells, *chat.cells)}
    assert not {cell.id for cell in alone.cells} & {cell.id for cell in chat.cells}
    assert all(found == [None, "chat"] for found in rows(both).values())
    assert all(found == ["chat"] for found in rows(chat).values())
    assert {cell.settings.get("template") for cell in chat.cells} == {"chat"}
    assert len(both.by_id) == len(both.cells)


def test_methods_that_read_alike_share_their_rows_without_prompts() -> None:
    plan = plan_of(
        methods={
            "soft": {**SOFT, "template": "chat"},
            "pez": {"vocabulary": "all", "steps": 4, "template": "chat"},
        }
    )
    assert all(found == ["chat"] for found in rows(plan).values())


def test_rows_of_one_frame_never_meet_those_of_the_other() -> None:
    """In the table of results, each prompt has the reference rows that were read as it was."""
    plan = plan_of(methods={"soft": {**SOFT, "template": ["all", "chat"]}})
    records = [
        {
            **{key: getattr(cell, key) for key in ("kind", "row", "method", "target", "task")},
            "cell": cell.id,
            "family": None if cell.kind == "reference" else "soft",
            "settings": dict(cell.settings),
            "precision": cell.precision,
            "inputs": "[" + ", ".join(f'"{name}"' for name in cell.inputs) + "]",
        }
        for cell in plan.cells
    ]
    told = combinations(records)
    labels = {label for label, _ in told}
    assert labels == {"", "template all", "template chat"}
    for one, (label, mine) in zip(records, told, strict=True):
        if label:
            other = [
                record["settings"].get("template") == "chat"
                for record, (_, theirs) in zip(records, told, strict=True)
                if record["kind"] == "reference" and agree(mine, theirs)
            ]
            assert set(other) == {one["settings"]["template"] == "chat"}


def test_the_plan_says_who_reads_how(monkeypatch: pytest.MonkeyPatch) -> None:
    soft = plan_of(methods={"soft": SOFT})
    chat = plan_of(methods={"soft": {**SOFT, "template": ["none", "chat"]}})
    assert _remarks(soft) == []
    assert _remarks(chat) == ["template chat: A, B, T read without, as template all does"]
    monkeypatch.setattr(
        "sweep.commands.plan.has_chat_template",
        lambda model: {"A": None, "B": True}.get(model.alias, False),
    )
    assert _remarks(chat) == [
        "template chat: B reads in its own chat template; T has none and reads the same words"
        " without (as template all)"
    ]


def test_other_values_are_refused() -> None:
    with pytest.raises(InputError, match="template: found 'talk'"):
        plan_of(**content(methods={"soft": {**SOFT, "template": "talk"}}))
