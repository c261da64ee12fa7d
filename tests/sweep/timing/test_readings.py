"""How often answers have rows read, told from files: what the models themselves then do."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from sweep.planning.plan import Plan, make_plan
from sweep.planning.work import once, work_of
from sweep.spec.spec import parse_spec
from sweep.timing.estimate import pack_seconds
from sweep.timing.readings import readings
from sweep.timing.throughput import Device, ModelRate, measured
from tests.sweep.samples import content
from trainables.backbones import judged_by, load_reader, reads_of
from trainables.core.texts import ONCE, Passes
from trainables.packs.pack import run_pack
from trainables.scoring.free_text import answers_of
from trainables.tasks import load_task

TEXTS = ["very bad", ["good", "rather very good"]]
MODELS = ["pocket-bert", "pocket-gpt2", "pocket-llama"]


def _plan(folder: Path, sources: list[str], **task: Any) -> Plan:
    file = folder / "task.yaml"
    file.write_text(yaml.safe_dump({"extends": "mini/reviews", **task}))
    soft = {"steps": 4, "evaluations": 2, "batch_size": 2, "lambda": [0]}
    return make_plan(
        parse_spec(
            content(sources=sources, pairs=[], targets=["pocket-roberta"], tasks=[str(file)],
                    methods={"soft": soft})
        )
    )  # fmt: skip


@pytest.mark.parametrize("scoring", ["mean", "sum", "first_token"])
def test_label_texts_are_counted_as_models_read_them(tmp_path: Path, scoring: str) -> None:
    words = {"label_words": TEXTS, "scoring": scoring}
    plan = _plan(tmp_path, MODELS, **words)
    passes, task = readings(plan.resolved), load_task(str(tmp_path / "task.yaml"))
    for cell in plan.cells:
        labels = answers_of(load_reader(plan.resolved.models[cell.target]), task)
        assert passes(cell) == Passes(reads_of(labels).rows, judged_by(labels).rows)
    found = {passes(cell) for cell in plan.cells}
    assert found == {ONCE} if scoring == "first_token" else len(found) > 1


def test_free_text_is_read_for_each_token_at_most(tmp_path: Path) -> None:
    free = {"name": "free", "data": {"files": {}}, "text": "{x}", "answer": "{y}"}
    names = ("train", "validation", "test")
    for name in names:
        (tmp_path / f"{name}.jsonl").write_text('{"x": "a", "y": "b"}')
    free["data"] = {"files": {name: f"{name}.jsonl" for name in names}}
    (tmp_path / "free.yaml").write_text(yaml.safe_dump({**free, "max_answer_tokens": 5}))
    plan = make_plan(
        parse_spec(
            content(sources=["pocket-gpt2"], pairs=[], targets=["pocket-llama"],
                    tasks=[str(tmp_path / "free.yaml")], methods={"soft": {"steps": 4}})
        )
    )  # fmt: skip
    passes = readings(plan.resolved)
    assert {passes(cell) for cell in plan.cells} == {Passes(5, 10)}
    told, plain = (work_of(plan.packs, passes=each) for each in (passes, once))
    assert told.backward == 5 * plain.backward
    assert told.texts == told.backward + 10 * (plain.texts - plain.backward)


def test_time_goes_by_what_is_read(tmp_path: Path) -> None:
    """Rates learnt from a task with label texts are those of one reading."""
    plan = _plan(tmp_path, ["pocket-gpt2"], label_words=TEXTS, scoring="mean")
    passes = readings(plan.resolved)
    rates = {
        model.digest: ModelRate(model.alias, {"soft": 2.0}, 1.0)
        for model in plan.resolved.models.values()
    }
    device = Device(1, 0.0, rates, {})
    pack = next(pack for pack in plan.packs if pack.kind == "tune")
    times = passes(pack.cells[0])
    assert times.trained > 1
    seconds = pack_seconds(device, passes)(pack)
    assert seconds == pytest.approx(times.trained * pack_seconds(device)(pack))


@pytest.mark.slow
def test_results_say_how_often_rows_were_read(tmp_path: Path) -> None:
    plan = _plan(tmp_path, ["pocket-gpt2"], label_words=TEXTS, scoring="mean",
                 limit={"train": 8, "validation": 4, "test": 4})  # fmt: skip
    pack = next(pack for pack in plan.packs if pack.kind == "tune")
    outcome, passes = run_pack(pack, {}), readings(plan.resolved)(pack.cells[0])
    records = [
        {
            "id": cell.id,
            "pack": pack.id,
            "cell": cell.to_json(),
            "result": outcome.results[cell.id],
            "cost": {"seconds": 100.0, "train_seconds": 60.0, "load_seconds": 0.0},
            "finished": "2026-01-01T00:00:00",
        }
        for cell in pack.cells
    ]
    for record in records:
        told = record["result"]
        if record["cell"]["row"] != "constant":
            assert (told["trained_passes"], told["judged_passes"]) == passes
    (rate,) = measured(records, "cpu").devices["cpu"].models.values()
    tuned = sum(cell.kind == "source" for cell in pack.cells)
    assert rate.trained_text["soft"] == pytest.approx(60 / (4 * 2 * tuned * passes.trained))
