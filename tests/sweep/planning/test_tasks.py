"""Task transfer: what is planned, in which order it runs, and what a mistake is answered with."""

from collections import Counter
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from sweep.ledger.ledger import Ledger
from sweep.planning.agenda import Agenda
from sweep.planning.plan import MOST_CELLS, Plan, _upper_bound, check_inputs, make_plan
from sweep.planning.preflight import _question
from sweep.spec.spec import parse_spec
from sweep.testing.simulated import simulate_sweep
from tests.sweep.samples import checked, plan_of
from tests.trainables.soft.toys import TEXTS, write_task
from trainables.core.cells import Cell, Pack
from trainables.errors import InputError

FEW = {"soft": {"lambda": [0], "steps": 4, "evaluations": 2, "shots": 4}}


def planned(section: dict[str, Any] | None = None, **changes: Any) -> Plan:
    given = {
        **{"sources": ["A"], "targets": ["A"], "pairs": [], "tasks": ["x", "y", "z"], "seeds": 2},
        **{"methods": FEW, "task_transfer": section or {}},
    }
    return plan_of(**{**given, **changes})


def rows(plan: Plan, row: str) -> list[Cell]:
    return [cell for cell in plan.cells if cell.row == row]


def test_every_target_task_starts_from_every_other_tasks_prompt() -> None:
    plan = planned()
    assert len(plan.by_id) == len(plan.cells)
    continued = rows(plan, "continued")
    wanted = {(a, b, seed) for a, b, seed in product("xyz", "xyz", (0, 1)) if a != b}
    assert {(cell.origin[0], cell.task, cell.seed) for cell in continued} == wanted
    for cell in continued:
        (first,) = (plan.by_id[name] for name in cell.inputs)
        assert (first.row, first.task, first.target) == ("independent", cell.origin[0], "A")
        assert (first.seed, first.settings.get("shots")) == (cell.seed, None)
        assert cell.settings["shots"] == 4
    # The control has one try from words of its own, and one less than there are source tasks.
    controls = [cell for cell in rows(plan, "independent") if cell.settings.get("shots")]
    assert {cell.settings.get("init") for cell in controls} == {"vocabulary"}
    assert Counter((cell.task, cell.seed) for cell in rows(plan, "restarted")) == dict.fromkeys(
        product("xyz", (0, 1)), 1
    )


def test_chosen_tasks_and_other_names_for_them() -> None:
    plan = planned({"source_tasks": ["x", "y"], "target_tasks": ["y", "z"]})
    pairs = {(cell.origin[0], cell.task) for cell in rows(plan, "continued")}
    assert pairs == {("x", "y"), ("x", "z"), ("y", "z")}
    assert not rows(plan, "embedding")


def test_averages_take_every_source_task_and_what_tells_how_like_they_are() -> None:
    plan = planned({"embedding_steps": 2, "weighted": [1, 2], "retrieval": ["per_token"]})
    averages = [cell for cell in rows(plan, "continued") if "top" in cell.settings]
    assert len(averages) == 2 * 3 * 2
    for cell in averages:
        inputs = [plan.by_id[name] for name in cell.inputs]
        names = [name for name in "xyz" if name != cell.task]
        assert [item.task for item in inputs] == [*names, *names, cell.task]
        assert [item.row for item in inputs] == ["independent"] * 2 + ["embedding"] * 3
        # The target task has few examples to be looked up with, the source tasks all.
        assert [item.settings.get("shots") for item in inputs[2:]] == [None, None, 4]
        assert {item.settings["steps"] for item in inputs[2:]} == {2}
        assert {item.seed for item in inputs} == {cell.seed}


def test_mixtures_hold_the_tasks_they_may_be_made_of() -> None:
    plan = planned({"embedding_steps": 2, "mixture": [2], "cap": 50, "source_shots": 9})
    mixtures = rows(plan, "mixture")
    assert {(cell.task, cell.seed) for cell in mixtures} == set(product("xyz", (0, 1)))
    for cell in mixtures:
        names = tuple(name for name in "xyz" if name != cell.task)
        inputs = [plan.by_id[name] for name in cell.inputs]
        assert cell.origin == names
        assert [(item.row, item.task) for item in inputs] == [
            ("embedding", name) for name in (*names, cell.task)
        ]
        start = {"top": 2, "retrieval": "per_token", "mixture": True, "cap": 50, "origin_shots": 9}
        assert start.items() <= cell.settings.items()
        (pack,) = (pack for pack in plan.packs if cell in pack.cells)
        assert set(pack.texts) == set(names)
        assert Pack.from_json(pack.to_json()) == pack
        (after,) = (other for other in plan.cells if other.inputs == (cell.id,))
        assert (after.row, after.task, after.origin) == ("continued", cell.task, names)


def test_a_source_prompt_is_tuned_once_whatever_starts_from_it() -> None:
    """With ``shots: [4, null]`` the source prompts of one are row Direct of the other."""
    section = {"embedding_steps": 2, "weighted": [1]}
    both = {"soft": {**FEW["soft"], "shots": [4, None], "init": "vocabulary"}}
    plan = planned(section, methods=both)
    assert len(plan.by_id) == len(plan.cells)
    assert len(rows(plan, "independent")) == 2 * 3 * 2
    assert len(rows(plan, "embedding")) == 2 * 3 * 2


def test_a_sweep_without_the_section_has_the_cells_it_had() -> None:
    with_section = {cell.id for cell in planned().cells}
    without = plan_of(sources=["A"], targets=["A", "B"], pairs=[], methods=FEW)
    assert all("origin" not in cell.to_json() for cell in without.cells)
    assert {cell.id for cell in planned(targets=["A"]).cells} == with_section
    assert "task_transfer" not in without.resolved.settings_json()


def test_packs_wait_for_the_prompts_they_start_from() -> None:
    plan = planned({"embedding_steps": 2, "weighted": [2]})
    agenda = Agenda(plan.packs, set(), lambda *told: None)
    done: set[str] = set()
    while (pack := agenda.next_pack()) is not None:
        assert set(pack.needs) <= done
        here = {cell.id for cell in pack.cells}
        assert set(pack.needs) == {name for cell in pack.cells for name in cell.inputs} - here
        done |= here
        agenda.close(pack.id, here, [])
    assert done == set(plan.by_id)


def test_what_starts_from_a_failed_prompt_is_refused_and_the_rest_runs(tmp_path: Path) -> None:
    plan = planned({"embedding_steps": 2, "weighted": [2]})

    def fails(pack: Pack) -> str | None:
        first = pack.cells[0]
        lost = first.row == "independent" and not first.settings.get("shots")
        return "no luck" if lost and pack.task.name == "x" else None

    found = simulate_sweep(plan, tmp_path, fails=fails)
    refused = [plan.by_id[name] for name in found.failures if plan.by_id[name].row == "continued"]
    assert {cell.task for cell in refused} == {"y", "z"}
    assert all("x" in cell.origin for cell in refused)
    assert len(refused) == 2 * 2 + 2 * 2
    assert found.done + len(found.failures) == len(plan.cells)


def test_a_sweep_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    plan = planned({"embedding_steps": 2, "weighted": [2]})
    simulate_sweep(planned(), tmp_path / "less")
    done = set(list(Ledger(tmp_path / "less", {}).done_ids() & plan.by_id.keys())[::2])
    left = plan.remaining(done)
    assert {cell.id for pack in left for cell in pack.cells} == set(plan.by_id) - done
    wanted = {name for pack in left for cell in pack.cells for name in cell.inputs}
    assert wanted <= done | {cell.id for pack in left for cell in pack.cells}
    assert simulate_sweep(plan, tmp_path / "whole").failures == {}
    assert simulate_sweep(plan, tmp_path / "whole").done == 0


def test_the_upper_bound_holds() -> None:
    section = {"embedding_steps": 2, "weighted": [1, 2], "mixture": [1, 2]}
    for changes in ({}, {"methods": {"soft": {"steps": 4, "evaluations": 2, "shots": [2, None]}}}):
        plan = planned(section, **changes)
        assert len(plan.cells) <= _upper_bound(plan.resolved) <= MOST_CELLS


@pytest.mark.parametrize(
    ("section", "changes", "text"),
    [
        ({"source_tasks": ["q"]}, {}, r"task_transfer.source_tasks\[0\]: found 'q'; allowed: tasks"
         " of the spec: x, y, z"),
        ({"target_tasks": "x"}, {}, "task_transfer.target_tasks: found 'x'; allowed: all, or a li"),
        ({"source_tasks": ["x"], "target_tasks": ["x"]}, {}, "no source task for 'x'; allowed: at"),
        ({}, {"tasks": ["x"]}, "no source task for 'x'"),
        ({"weighted": [1]}, {}, r"weighted: found \[1\]; allowed: \[\] where embedding_steps is"),
        ({"mixture": [1]}, {}, r"mixture: found \[1\]; allowed: \[\] where embedding_steps is"),
        ({"weighted": [3], "embedding_steps": 2}, {}, "weighted: found 3; allowed: at most 2"),
        ({"retrieval": "cosine"}, {}, "task_transfer.retrieval"),
        ({"embedding_steps": 0}, {}, "task_transfer.embedding_steps: found 0; allowed: a whole"),
        ({"steps": 3}, {}, "task_transfer"),
        ({}, {"methods": {"pez": {"steps": 4, "evaluations": 2, "vocabulary": "all"}}},
         "task_transfer: found beside pez; allowed: with"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(
    section: dict[str, Any], changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(InputError, match=text) as caught:
        planned(section, **changes)
    assert "\n" not in str(caught.value)


def test_a_plan_whose_packs_could_never_run_is_refused() -> None:
    plan = planned()
    packs = [pack for pack in plan.packs if pack.cells[0].row == "continued"][:2]
    with pytest.raises(InputError, match=r"plan: continued on A \(task x\) needs the prompt of"):
        check_inputs(packs)
    one, other = packs
    circle = [replace(one, needs=(other.cells[0].id,)), replace(other, needs=(one.cells[0].id,))]
    with pytest.raises(
        InputError, match=r"task x\) needs .* needs continued on A .task x|task y\)"
    ):
        check_inputs(circle)
    check_inputs(plan.packs)


@pytest.mark.slow
def test_shots_that_a_split_lacks_are_refused_before_anything_is_trained() -> None:
    def asked(shots: int, source_shots: int | None) -> list[str]:
        spec = {
            "name": "few", "sources": ["pocket-bert"], "targets": ["pocket-bert"], "pairs": [],
            "tasks": ["mini/topics", "mini/reviews"],
            "task_transfer": {"source_shots": source_shots},
            "methods": {"soft": {"shots": shots, "steps": 2, "evaluations": 1}},
        }  # fmt: skip
        return checked(make_plan(parse_spec(spec)))

    assert asked(16, 20) == []
    with pytest.raises(
        InputError, match=r"shots: found 5000; allowed: at most \d+, the examples of"
    ):
        asked(5000, None)
    with pytest.raises(InputError, match="shots: found 6000; allowed: at most"):
        asked(16, 6000)


@pytest.mark.slow
def test_answers_that_no_mixture_reads_are_refused_before_anything_is_trained(
    tmp_path: Path,
) -> None:
    texts = write_task(tmp_path / "texts", words=TEXTS)

    def asked(mixture: list[int]) -> list[str]:
        spec = {
            "name": "few", "sources": ["pocket-bert"], "targets": ["pocket-bert"], "pairs": [],
            "tasks": ["mini/reviews", texts],
            "task_transfer": {"embedding_steps": 1, "mixture": mixture},
            "methods": {"soft": {"steps": 2, "evaluations": 1}},
        }  # fmt: skip
        return checked(make_plan(parse_spec(spec)))

    assert asked([]) == []
    with pytest.raises(InputError, match=r"task_transfer.mixture: found task 'toy/films', whose"):
        asked([1])


PPT = {"soft": {**FEW["soft"], "init": "vocabulary", "shots": [2, 4], "template": ["none", "all"]}}


def test_tasks_that_serve_as_sources_only_are_tuned_on_for_nothing_else() -> None:
    """A pretext task has source prompts, tuned as they are to be, and nothing else."""
    section = {
        "source_tasks": ["x"], "target_tasks": ["y", "z"], "sources_only": True, "restarts": False,
        "source_settings": {"steps": 9, "evaluations": 3, "schedule": "inverse_root",
                            "template": "none"},
    }  # fmt: skip
    plan = planned(section, methods=PPT)
    (kept,) = {
        (cell.settings["steps"], cell.settings["evaluations"], cell.settings["schedule"],
         cell.settings.get("template"), cell.settings.get("shots"))
        for cell in plan.cells if cell.task == "x"
    }  # fmt: skip
    assert kept == (9, 3, "inverse_root", None, None)
    pretext = [cell for cell in plan.cells if cell.task == "x"]
    assert [(cell.row, cell.kind) for cell in pretext] == [("independent", "source")] * 2
    continued = rows(plan, "continued")
    assert len(continued) == 2 * 2 * 4
    assert {cell.inputs[0] for cell in continued} == {cell.id for cell in pretext}
    assert {cell.settings["steps"] for cell in continued} == {4}
    every = planned({**section, "sources_only": False}, methods=PPT)
    assert len([cell for cell in every.cells if cell.task == "x"]) > len(pretext)
    assert set(plan.by_id) < set(every.by_id)


def test_controls_are_cells_of_their_own_starts() -> None:
    plan = planned({"controls": ["mask", "label_words"]})
    few = [cell for cell in rows(plan, "independent") if cell.settings.get("shots")]
    found = Counter((cell.task, cell.settings["init"]) for cell in few)
    assert found == dict.fromkeys(product("xyz", ("vocabulary", "mask", "label_words")), 2)
    direct = planned(methods={"soft": {**FEW["soft"], "init": "mask"}}, direct=True)
    shared = {cell.id for cell in few if cell.settings["init"] == "mask"}
    assert shared <= set(direct.by_id)


def test_the_younger_settings_change_no_hash_at_their_defaults() -> None:
    plain = planned()
    said = planned({"source_settings": {}, "sources_only": False, "controls": []})
    assert plain.hash == said.hash
    assert set(plain.by_id) == set(said.by_id)
    for more in ({"source_settings": {"batch_size": 3}}, {"controls": ["mask"]}):
        assert planned(more).hash != plain.hash


def test_shots_are_checked_where_they_are_drawn() -> None:
    """A pretext task may have fewer examples of a class than target tasks are tuned with."""
    question = _question(planned({"source_tasks": ["x"], "sources_only": True}))
    assert question["shots"] == [("y", 4), ("z", 4)]


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"source_settings": {"stepz": 4}}, "source_settings: unknown key 'stepz'.*mean steps"),
        ({"source_settings": {"shots": 4}}, "source_settings.shots: found 4; allowed: settings"),
        ({"source_settings": {"steps": 1, "epochs": 2}}, "source_settings.steps: found 1 beside"),
        ({"source_settings": {"steps": 1}}, "source_settings.evaluations: found 2; allowed: at"),
        ({"source_settings": {"steps": "1"}}, "source_settings.steps: found '1'"),
        ({"controls": ["masks"]}, r"controls\[0\]: found 'masks' \(did you mean mask"),
        ({"controls": ["mask", "mask"]}, "controls: .*none twice"),
        ({"controls": ["text"]}, "controls: init_text: found None"),
    ],
)
def test_mistakes_in_how_sources_are_tuned(section: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=f"task_transfer.{sentence}"):
        planned(section)
