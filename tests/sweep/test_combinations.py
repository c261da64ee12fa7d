"""Lists of settings: each combination is a tuning of its own, packed and counted as such."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from sweep.commands.plan import format_plan
from sweep.planning.plan import Plan, make_plan
from sweep.planning.work import cost
from sweep.spec.methods import parse_method
from sweep.spec.resolve import ResolvedSpec
from sweep.spec.spec import parse_spec
from sweep.testing.tabulated import find_model, find_task
from tests.sweep.samples import checked, content, plan_of
from trainables.core.cells import Pack
from trainables.core.settings import SoftSettings
from trainables.errors import InputError

SOFT = {"lambda": [0, 0.5], "steps": 4, "evaluations": 2}
AXES = {"prompt_length": [3, 5], "position": ["prefix", "suffix"], "init": ["normal", "uniform"]}


def sweep_of(**soft: Any) -> Plan:
    return plan_of(seeds=2, methods={"soft": {**SOFT, **soft}})


def test_each_combination_is_its_own_sweep() -> None:
    whole = sweep_of(**AXES)
    alone = [sweep_of(**dict(zip(AXES, values, strict=True))) for values in product(*AXES.values())]
    tuned = [{cell.id for cell in plan.cells if cell.sources} for plan in alone]
    assert sum(map(len, tuned)) == len(set().union(*tuned)), "no tuning is shared"
    found = {cell.id for cell in whole.cells}
    assert len(found) == len(whole.cells), "no cell is planned twice"
    references = {cell.id for cell in alone[0].cells if not cell.sources}
    assert found == references.union(*tuned)
    packs = {pack.id for plan in alone for pack in plan.packs if pack.sources[1:]}
    assert {pack.id for pack in whole.packs if pack.sources[1:]} == packs


def test_packs_hold_one_combination() -> None:
    for pack in sweep_of(**AXES).packs:
        tuned = [cell.settings for cell in pack.cells if cell.kind == "source"]
        assert all(settings == tuned[0] for settings in tuned)


def test_the_counts_and_the_plan_say_so() -> None:
    plan = sweep_of(prompt_length=[3, 5], position=["prefix", "infix"])
    counts, one = plan.counts(), sweep_of().counts()
    assert one["combinations"] == []
    assert counts["tunings"] == {name: 4 * number for name, number in one["tunings"].items()}
    assert counts["kinds"]["transfer"] == 4 * one["kinds"]["transfer"]
    assert counts["kinds"]["reference"] == one["kinds"]["reference"]
    assert counts["combinations"] == [
        {"method": "soft", "prompt_length": length, "position": position}
        for length, position in product([3, 5], ["prefix", "infix"])
    ]
    text = format_plan(counts)
    assert "4 combinations of settings:" in text
    assert "prompt_length 3, position infix" in text
    assert "combinations" not in format_plan(one)


def test_combinations_enter_the_specs_hash() -> None:
    hashes = [sweep_of(**more).hash for more in ({}, {"position": ["prefix"]}, AXES)]
    assert hashes[0] == hashes[1] != hashes[2]
    more = sweep_of(**{**AXES, "prompt_length": [3, 5, 7]})
    assert {cell.id for cell in sweep_of(**AXES).cells} < {cell.id for cell in more.cells}


def test_the_bound_on_cells_counts_combinations() -> None:
    with pytest.raises(InputError, match="allowed: 1000000 at most"):
        plan_of(
            seeds=10_000,
            methods={"soft": {"lambda": [0.1], "prompt_length": list(range(1, 50))}},
        )


def test_what_belongs_to_one_start_is_not_with_the_others() -> None:
    spec = parse_method("soft", {"init": ["normal", "text"], "init_text": "good film"})
    assert spec.variants == (SoftSettings(), SoftSettings(init="text", init_text="good film"))
    with pytest.raises(InputError, match=r"methods.soft.init_text: found 'x'; allowed: null"):
        parse_method("soft", {"init": ["normal", "uniform"], "prompt_length": 3, "init_text": "x"})


def test_work_under_epochs_is_estimated() -> None:
    def tune_cost(**soft: Any) -> int:
        return max(cost(pack) for pack in plan_of(methods={"soft": soft}).packs if pack.sources)

    assert tune_cost(steps=500) - tune_cost(steps=400) == 100
    assert tune_cost(epochs=10) - tune_cost(epochs=5) == 5 * 500
    assert tune_cost(epochs=10, batch_size=32) < tune_cost(epochs=10)
    assert tune_cost(epochs=10, max_steps=300) == tune_cost(steps=300)
    assert tune_cost(epochs=10, max_steps=10**6) == tune_cost(epochs=10)


# Files that prompts start from.


def with_files(folder: Path, pattern: str = "start-{model}.npy", **more: Any) -> ResolvedSpec:
    return plan_with_files(folder, pattern, **more).resolved


def plan_with_files(folder: Path, pattern: str = "start-{model}.npy", **more: Any) -> Plan:
    soft = {**SOFT, "init": "file", "init_file": pattern, **more}
    spec = parse_spec(content(methods={"soft": soft}), base=folder)
    return make_plan(spec, find_model, find_task)


def test_a_file_counts_by_its_content_not_by_its_place(tmp_path: Path) -> None:
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        for name in "AB":
            (tmp_path / place / f"start-{name}.npy").write_bytes(name.encode())
    one, two = (plan_with_files(tmp_path / place) for place in ("one", "two"))
    assert one.hash == two.hash
    assert one.by_id.keys() == two.by_id.keys()
    (tmp_path / "two" / "start-B.npy").write_bytes(b"other")
    changed = plan_with_files(tmp_path / "two")
    assert changed.hash != one.hash
    kept = {one.by_id[name].sources for name in one.by_id.keys() & changed.by_id.keys()}
    assert kept == {(), ("A",)}
    for pack in one.packs:
        assert set(pack.files) == set(pack.sources)
        assert all(Path(file).is_absolute() for file in pack.files.values())
        assert Pack.from_json(pack.to_json()) == pack


def test_files_only_where_prompts_start_from_them(tmp_path: Path) -> None:
    (tmp_path / "p.npy").write_bytes(b"x")
    plan = plan_with_files(tmp_path, "p.npy", init=["normal", "file"])
    plain = {cell.id for cell in plan_of(methods={"soft": SOFT}).cells}
    assert plain < plan.by_id.keys()
    assert [bool(pack.files) for pack in plan.packs if pack.sources] == [False] * 3 + [True] * 3


def test_a_file_that_is_not_there_is_named_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "start-A.npy").write_bytes(b"x")
    with pytest.raises(InputError, match=r"methods.soft.init_file: found 'start-.model..npy', for"):
        with_files(tmp_path)
    with pytest.raises(InputError, match=r"start-B.npy' \(No such file or directory\); allowed"):
        with_files(tmp_path)


def test_a_file_of_the_wrong_shape_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    import numpy as np

    soft = {**SOFT, "init": "file", "init_file": "{model}.npy", "prompt_length": 3}
    names = {"sources": ["pocket-bert", "pocket-gpt2"], "targets": ["pocket-llama"]}
    spec = parse_spec(
        content(**names, tasks=["mini/topics"], methods={"soft": soft}), base=tmp_path
    )
    from trainables.backbones import load_backbone
    from trainables.models.names import resolve_model

    for name in names["sources"]:
        width = load_backbone(resolve_model(name)).width
        np.save(tmp_path / f"{name}.npy", np.zeros((3, width)))
    assert checked(make_plan(spec)) == []
    np.save(tmp_path / "pocket-gpt2.npy", np.zeros((4, width)))
    with pytest.raises(InputError, match=r"'pocket-gpt2': found shape \[4, \d+\]; allowed: .*\[3,"):
        checked(make_plan(spec))
