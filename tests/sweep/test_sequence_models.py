"""A sweep in which encoder–decoders are sources, partners and targets, from plan to PEFT."""

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
from tests.trainables.general import folder_of, saved
from tests.trainables.tiny import SENTINELS, pristine
from trainables.errors import InputError

TAUGHT = {"texts": 24, "steps": 2, "solver": "distil"}


def _folders(at: Path, *names: str) -> dict[str, str]:
    """Tiny models of these names, each in a folder."""
    for name in names:
        if "t5" in name:
            saved(pristine(name), at / name, SENTINELS)
        else:
            folder_of(name, at / name)
    return {name: str(at / name) for name in names}


def _few_topics(at: Path) -> str:
    """A task file with few rows."""
    (at / "few.yaml").write_text(
        "extends: mini/topics\nlimit: {train: 48, validation: 16, test: 24}\n"
    )
    return str(at / "few.yaml")


@pytest.mark.slow
@pytest.mark.usefixtures("inline")
def test_prompts_of_one_kind_of_model_reach_the_other_kinds(tmp_path: Path) -> None:
    """A causal source's reach an encoder–decoder, and an encoder–decoder's a masked model."""
    folders = _folders(tmp_path, "qwen3", "t5", "t5-gated", "electra")
    ways = ["closed_form", "readout", "distil"]
    spec = {
        "name": "across",
        "sources": [folders["qwen3"], folders["t5"]],
        "pairs": [],
        "targets": [folders["t5-gated"], folders["electra"]],
        "tasks": [_few_topics(tmp_path)],
        "seeds": 1,
        "methods": {
            "soft": {"lambda": [0], "steps": 2, "evaluations": 1, "text_tokens": 12},
            "random": {"prompt_length": 3, "text_tokens": 12},
        },
        "transfer": [{"solver": "closed_form"}, {"solver": "readout", "texts": 24}, TAUGHT],
        "direct": False,
    }
    plan, out = make_plan(parse_spec(spec)), tmp_path / "out"
    assert run(plan, out, Options(preflight=checked, report=no_report)) == 0
    frame = load(out)
    assert len(frame) == len(plan.cells)
    assert frame.score.between(0, 1).all()
    for source, target in (("qwen3", "t5-gated"), ("t5", "electra")):
        carried = frame[(frame.sources == source) & (frame.target == target)]
        assert sorted(carried[carried.family == "soft"].solver) == sorted(ways)
        assert (carried.family == "hard").sum() == 1
        assert carried[carried.solver == "closed_form"].similarity.between(-1, 1).all()


@pytest.mark.slow
@pytest.mark.usefixtures("inline")
def test_they_are_sources_partners_and_targets(tmp_path: Path) -> None:
    folders = _folders(tmp_path, "t5", "t5-gated", "electra", "qwen3")
    spec = {
        "name": "sequence",
        "sources": [folders["t5"], folders["electra"]],
        "targets": [folders["t5-gated"], folders["qwen3"]],
        "tasks": ["mini/topics"],
        "seeds": 1,
        "methods": {
            "soft": {
                "lambda": [0.5],
                "steps": 2,
                "evaluations": 1,
                "text_tokens": 12,
                "answer": ["bare", "sentinel"],
            },
            "random": {"prompt_length": 3, "text_tokens": 12, "answer": "sentinel"},
        },
        "transfer": [{"solver": "closed_form"}, {"solver": "readout", "texts": 24}, TAUGHT],
    }
    plan, out = make_plan(parse_spec(spec)), tmp_path / "out"
    assert run(plan, out, Options(preflight=checked, report=no_report)) == 0
    frame = load(out)
    assert len(frame) == len(plan.cells)
    assert set(folders) <= set(frame.target.dropna())
    assert frame.score.between(0, 1).all()
    ours = frame[(frame.row == "ours") & (frame.target == "t5-gated")]
    assert set(ours.solver) == {"closed_form", "readout", "distil"}
    told = ours.combination.str.cat(ours.settings.astype(str))
    assert told.str.contains("sentinel").any() and not told.str.contains("sentinel").all()
    hard = frame[(frame.family == "hard") & frame.target.isin(["t5", "t5-gated"])]
    assert len(hard) and hard.log_perplexity.notna().all()

    exported = frame[(frame.row == "ours") & (frame.solver == "closed_form")]
    assert len(exported) == 4
    for number, cell in enumerate(exported[exported.target == "t5-gated"].cell):
        to = tmp_path / f"exports{number}"
        assert sweep("export", str(out), "--cell", cell, "--to", str(to)) == 0
        (entry,) = manifest(to)["sets"]
        for item in entry["prompts"]:
            folder = to / item["folder"]
            assert score_by_peft(folder) == pytest.approx(manifest(folder)["score"], abs=1e-9)


@pytest.mark.slow
def test_a_model_without_sentinels_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    folder_of("bart", tmp_path / "bart")
    spec = {
        "name": "asked",
        "sources": ["pocket-bert"],
        "targets": [str(tmp_path / "bart")],
        "tasks": ["mini/topics"],
        "seeds": 1,
        "methods": {"soft": {"lambda": [0], "steps": 2, "answer": "sentinel"}},
    }
    with pytest.raises(InputError, match="answer: found 'sentinel' on model 'bart'"):
        checked(make_plan(parse_spec(spec)))
