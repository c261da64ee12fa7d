"""The setting ``template``: soft prompts read with the task's template, on the models it names."""

from dataclasses import asdict, replace

import pytest
import torch

from tests.sweep.samples import plan_of
from trainables.backbones import Layout, load_backbone
from trainables.core.cells import Cell, Pack
from trainables.core.settings import SoftSettings
from trainables.models.names import resolve_model
from trainables.packs.pack import run_pack
from trainables.preflight import preflight
from trainables.tasks import load_task, resolve_task

NAMES = ("pocket-bert", "pocket-gpt2", "pocket-llama")
TASK = "mini/topics"
SHORT = {"steps": 2, "evaluations": 1, "prompt_length": 2, "text_tokens": 8}


@pytest.mark.slow
@pytest.mark.parametrize(("template", "told"), [("none", ""), ("causal", "gl"), ("all", "bgl")])
def test_scores_are_those_with_the_template_where_it_is_asked_for(template: str, told: str) -> None:
    """Sources and target of one joint tuning, scored again by hand."""
    pair = NAMES[:2]
    sources = tuple(
        Cell(
            kind="source",
            row="joint",
            method="soft",
            task=TASK,
            target=alias,
            sources=pair,
            seed=0,
            weight=0.5,
            schedule="constant",
            settings=asdict(SoftSettings(template=template, **SHORT)),
        )
        for alias in pair
    )
    carry = {"solver": "ridge", "selection": "source_validation", "gammas": [0.0, 1.0]}
    carried = replace(
        sources[0],
        kind="transfer",
        row="ours",
        target=NAMES[2],
        inputs=tuple(cell.id for cell in sources),
        settings={**carry, "norm": "match", "text_tokens": 8, "template": template},
    )
    models = {name: resolve_model(name) for name in NAMES}
    pack = Pack("tune", "soft", resolve_task(TASK), models, pair, (*sources, carried))
    outcome = run_pack(pack, {})
    assert outcome.failures == {}
    task = load_task(TASK)
    rows = task.rows("test")
    for cell in pack.cells:
        backbone = load_backbone(models[cell.target])
        words = task.manual if cell.target.removeprefix("pocket-")[0] in told else ""
        losses = []
        for text in {words, task.manual, ""}:
            layout = Layout(2, template=text, text_tokens=8)
            data = backbone.read([row.text for row in rows], [row.label for row in rows], layout)
            prompt = torch.from_numpy(outcome.prompts[cell.id])[None]
            labels = backbone.labels(task.label_words, "t")
            logits = backbone.split_logits(data, labels, prompt)[0]
            loss = float(torch.nn.functional.cross_entropy(logits, data.gold))
            same = outcome.results[cell.id]["loss"] == pytest.approx(loss, abs=1e-4)
            assert same == (text == words)
            losses.append(loss)
        assert len(set(losses)) == 2


def test_a_transfer_is_read_as_its_tuning_was() -> None:
    soft = {"lambda": [0, 0.5], "steps": 4, "evaluations": 2}
    plain, told = plan_of(), plan_of(methods={"soft": {**soft, "template": "causal"}})
    for cell in told.cells:
        assert cell.settings.get("template") == ("causal" if cell.sources else None)
    same = {cell.row for cell in told.cells if cell.id in plain.by_id}
    assert same == {"empty", "manual", "constant"}


def test_the_preflight_leaves_room_for_it() -> None:
    task = load_task(TASK)
    model = resolve_model("pocket-gpt2")
    backbone = load_backbone(model)
    words = len(backbone.template_ids(Layout(template=task.manual)))
    most = backbone.family.max_tokens - len(backbone.begin) - 1
    asked = {"prompt_length": most, "template": "none"}
    assert preflight([model], [task.ref], [asked]) == []
    with pytest.raises(Exception, match="with template and special tokens takes"):
        preflight([model], [task.ref], [{**asked, "template": "all"}])
    fitting = {"prompt_length": most - words, "template": "all"}
    assert preflight([model], [task.ref], [fitting]) == []
