"""A sweep over architectures without a family, from plan to prompts in PEFT."""

from pathlib import Path

import pytest

from analysis import load
from sweep.engine.runner import Options, run
from sweep.planning.plan import make_plan
from sweep.spec.spec import parse_spec
from tests.sweep.drive import no_report
from tests.sweep.export.test_folders import manifest, score_by_peft
from tests.sweep.inline import inline as inline
from tests.sweep.samples import checked
from tests.sweep.test_cli import sweep
from tests.trainables.general import folder_of


@pytest.mark.slow
@pytest.mark.usefixtures("inline")
def test_they_are_sources_and_targets_and_their_prompts_load_in_peft(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("qwen3", "electra", "gemma2")}
    for name, folder in folders.items():
        folder_of(name, folder)
    spec = {
        "name": "general",
        "sources": [str(folders["qwen3"]), str(folders["electra"])],
        "targets": [str(folders["gemma2"])],
        "tasks": ["mini/topics"],
        "seeds": 1,
        "methods": {
            "soft": {"lambda": [0, 0.5], "steps": 2, "evaluations": 1, "text_tokens": 12},
            "random": {"prompt_length": 3, "text_tokens": 12},
        },
        "transfer": [{"solver": "closed_form"}, {"solver": "readout", "texts": 24}],
    }
    plan, out = make_plan(parse_spec(spec)), tmp_path / "out"
    assert run(plan, out, Options(preflight=checked, report=no_report)) == 0
    frame = load(out)
    assert len(frame) == len(plan.cells)
    assert set(folders) <= set(frame.target.dropna())
    assert frame.score.between(0, 1).all()

    cell = frame[(frame.row == "ours") & (frame.target == "gemma2")].iloc[0]
    to = tmp_path / "exports"
    assert sweep("export", str(out), "--cell", cell.cell, "--to", str(to)) == 0
    (entry,) = manifest(to)["sets"]
    scored = {item["role"]: to / item["folder"] for item in entry["prompts"]}
    assert {"target", "source"} <= set(scored)
    for folder in scored.values():
        assert score_by_peft(folder) == pytest.approx(manifest(folder)["score"], abs=1e-9)
