"""``template: chat`` through packs: who reads in a chat template, reference rows too."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainables.backbones.chat_templates import TEMPLATES
from trainables.backbones import Layout, load_backbone
from trainables.core.cells import Cell, ModelRef, Pack
from trainables.core.settings import SoftSettings
from trainables.errors import InputError
from trainables.models.chats import TEMPLATE_FILE, has_chat_template
from trainables.models.names import is_model, model_now, resolve_model, travelling, with_chat
from trainables.packs.pack import run_pack
from trainables.packs.run import layout_on, plain_layout
from trainables.pocket.zoo import pocket_path
from trainables.preflight import preflight
from trainables.tasks import load_task, resolve_task

TASK = "mini/topics"
SHORT = {"steps": 2, "evaluations": 1, "prompt_length": 2, "text_tokens": 8, "template": "chat"}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, ModelRef]:
    """``chatty``, a LLaMA with a chat template, and a BERT, which has none."""
    folder = tmp_path_factory.mktemp("models") / "chatty"
    shutil.copytree(pocket_path("pocket-llama"), folder)
    (folder / TEMPLATE_FILE).write_text(TEMPLATES["mistral"])
    bert = replace(resolve_model("pocket-bert"), alias="bert")
    return {"chatty": with_chat(resolve_model(str(folder))), "bert": bert}


def cell(target: str, **more: Any) -> Cell:
    values = {"kind": "reference", "row": "empty", "method": "none", "task": TASK, **more}
    return Cell(target=target, **values)


@pytest.mark.slow
def test_a_model_without_one_is_tuned_once_for_both(models: Mapping[str, ModelRef]) -> None:
    """Results, prompts and what is carried over are as if each had been computed by itself."""

    def cells(template: str) -> tuple[Cell, ...]:
        asked = {"template": template, "text_tokens": 8}
        free = {} if template == "all" else {"template": "chat"}
        settings = asdict(SoftSettings(**{**SHORT, "template": template}))
        tuned = replace(
            cell("bert"),
            kind="source",
            row="independent",
            method="soft",
            sources=("bert",),
            seed=0,
            weight=0.0,
            settings=settings,
        )
        moved = replace(
            tuned,
            kind="transfer",
            row="single",
            target="chatty",
            inputs=(tuned.id,),
            settings={"solver": "ridge", "norm": "match", "gammas": [0.0], **asked},
        )
        return tuned, moved, cell("bert", settings={**free, "text_tokens": 8})

    apart = [Pack("tune", "soft", resolve_task(TASK), models, ("bert",), cells(name))
             for name in ("all", "chat")]  # fmt: skip
    told: list[tuple[str, int, int]] = []
    both = replace(apart[0], cells=(*apart[0].cells, *apart[1].cells))
    found = run_pack(both, {}, progress=lambda *step: told.append(step))
    assert {total for phase, _, total in told if phase == "train"} == {SHORT["steps"]}
    for each in (run_pack(pack, {}) for pack in apart):
        assert each.failures == {}
        for name, result in each.results.items():
            less = {key for key in result if key.endswith("_seconds")}
            own = found.results[name]
            assert own | dict.fromkeys(less, 0) == result | dict.fromkeys(less, 0)
        for name, prompt in each.prompts.items():
            assert (found.prompts[name] == prompt).all()


@pytest.mark.slow
def test_rows_are_read_in_the_template_of_models_that_have_one(
    models: Mapping[str, ModelRef],
) -> None:
    asked = {"template": "chat", "text_tokens": 8}
    free = [
        cell(name, row=row, settings=settings)
        for name in models
        for row in ("empty", "manual")
        for settings in (asked, {"text_tokens": 8})
    ]
    tuned = cell(
        "bert",
        kind="source",
        row="independent",
        method="soft",
        sources=("bert",),
        seed=0,
        weight=0.0,
        settings=asdict(SoftSettings(**SHORT)),
    )
    moved = replace(
        tuned,
        kind="transfer",
        row="single",
        target="chatty",
        inputs=(tuned.id,),
        settings={"solver": "ridge", "norm": "match", "gammas": [0.0], **asked},
    )
    pack = Pack("tune", "soft", resolve_task(TASK), models, ("bert",), (*free, tuned, moved))
    outcome = run_pack(pack, {})
    assert outcome.failures == {}
    task = load_task(TASK)
    rows = task.rows("test")
    for each in pack.cells:
        backbone, found = load_backbone(models[each.target]), outcome.results[each.id]
        chat = each.target == "chatty" and each.settings.get("template") == "chat"
        frame = None if "template" not in each.settings else "chat" if chat else "plain"
        assert found.get("frame") == frame
        words = "" if each.row == "empty" else task.manual
        prompt = outcome.prompts.get(each.id)
        length = 0 if prompt is None else len(prompt)
        losses = []
        for other in (chat, False):
            layout = Layout(length, template=words, text_tokens=8, chat=other)
            data = backbone.read([row.text for row in rows], [row.label for row in rows], layout)
            labels = backbone.labels(task.label_words, "t", other)
            prompts = None if prompt is None else torch.from_numpy(prompt)[None]
            logits = backbone.split_logits(data, labels, prompts)[0]
            losses.append(float(torch.nn.functional.cross_entropy(logits, data.gold)))
        assert found["loss"] == pytest.approx(losses[0], abs=1e-4)
        assert (losses[0] == losses[1]) == (not chat)


def test_layouts_of_all_families_follow(models: Mapping[str, ModelRef]) -> None:
    task = load_task(TASK)
    for name, ref in models.items():
        reader = load_backbone(ref)
        for settings in (
            {"prompt_length": 3, "template": "chat"},
            {"prompt_length": 3, "template": "chat", "seam": "glued", "bos": False},
        ):
            layout = layout_on(reader, task, settings)
            assert (layout.chat, layout.template) == (name == "chatty", task.manual)
            assert plain_layout(reader, settings) == Layout(chat=name == "chatty")
        for value in ("none", "causal", "all", True, False, None):
            assert not layout_on(reader, task, {"template": value}).chat


def test_the_preflight_says_who_reads_how(models: Mapping[str, ModelRef]) -> None:
    task, asked = resolve_task(TASK), [{"prompt_length": 2, "template": "chat"}]
    told = preflight(list(models.values()), [task], asked)
    assert told == [
        "template chat: chatty reads in its own chat template; bert has none and reads the same"
        " words without (as template all)"
    ]
    assert preflight([models["chatty"]], [task], asked) == []
    with pytest.raises(InputError) as error:
        preflight([models["bert"]], [task], asked)
    assert str(error.value) == (
        "template: found chat, but no model here has a chat template (bert); allowed: a causal"
        " model with one (an instruction-tuned one), or another template"
    )


def test_the_template_counts_where_it_is_read_and_nowhere_else(tmp_path: Path) -> None:
    folder = tmp_path / "chatty"
    shutil.copytree(pocket_path("pocket-llama"), folder)
    bare = resolve_model(str(folder))
    assert with_chat(bare) == bare
    assert has_chat_template(bare) is False
    (folder / TEMPLATE_FILE).write_text(TEMPLATES["mistral"])
    plain = resolve_model(str(folder))
    chat = with_chat(plain)
    assert has_chat_template(plain) is True
    assert plain == bare
    assert chat.digest != plain.digest
    assert is_model(folder, plain.digest)
    assert is_model(folder, chat.digest)
    assert TEMPLATE_FILE in travelling(folder)
    assert model_now(chat) == chat
    (folder / TEMPLATE_FILE).write_text(TEMPLATES["phi3"])
    assert is_model(folder, plain.digest)
    assert not is_model(folder, chat.digest)
    with pytest.raises(InputError, match="has changed since"):
        model_now(chat)
    assert has_chat_template(ModelRef("hub", "owner/name", None, "")) is None
