"""A model whose logits are NaN or infinite fails its cells; it never gets the score of class 0."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from trainables.backbones import Backbone, Layout, load_backbone
from trainables.core.cells import Cell, ModelRef, Pack, PackOutcome
from trainables.core.predictions import SPLITS
from trainables.core.settings import SoftSettings
from trainables.core.settings.pez import PezSettings
from trainables.errors import InputError
from trainables.features.texts import readings
from trainables.interchange.classifier import Classifier
from trainables.models.names import resolve_model
from trainables.packs.pack import run_pack
from trainables.packs.run import Run
from trainables.pocket.zoo import pocket_path
from trainables.scoring.calibration import calibrate
from trainables.scoring.evaluate import Evaluated, finite, no_number, scores, together, unreadable
from trainables.scoring.label_words import score_label_words
from trainables.tasks import load_task, resolve_task
from trainables.transfer.selection import _Best

TASK = "mini/topics"
SOFT = asdict(SoftSettings(steps=2, evaluations=1, prompt_length=2, text_tokens=8, batch_size=2))
CARRY = {"solver": "closed_form", "norm": "match", "prompt_length": 2, "text_tokens": 8}
SENTENCE = r"model '{}', task 'mini/topics', split '{}': the logits of the label words are not all"


def broken_model(folder: Path, value: float, word: str | None = None) -> ModelRef:
    """The embedded BERT with a value in the bias of its head, for one word or all."""
    model = transformers.AutoModelForMaskedLM.from_pretrained(pocket_path("pocket-bert"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(pocket_path("pocket-bert"))
    chosen = slice(None) if word is None else tokenizer.convert_tokens_to_ids(word)
    with torch.no_grad():
        model.cls.predictions.decoder.bias[chosen] = value
        model.cls.predictions.bias[chosen] = value
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return resolve_model(str(folder))


@pytest.fixture(scope="module")
def word() -> str:
    """A label word of the task."""
    return load_task(resolve_task(TASK)).label_words[1]


@pytest.fixture(scope="module", params=[math.nan, math.inf, -math.inf], ids=str)
def broken(request: Any, word: str, tmp_path_factory: Any) -> ModelRef:
    """A model with one label word whose logit is no finite number."""
    return broken_model(tmp_path_factory.mktemp("models") / "broken", request.param, word)


def run_cells(ref: ModelRef, cells: list[Cell], method: str, **more: Any) -> PackOutcome:
    models = {"broken": ref, "pocket-gpt2": resolve_model("pocket-gpt2")}
    kind = "tune" if more.get("sources") else "transfer"
    sources, task = more.pop("sources", ()), resolve_task(TASK)
    pack = Pack(kind, method, task, models, sources, tuple(cells), predictions=SPLITS, **more)
    return run_pack(pack, {name: np.zeros((2, 256), np.float32) for name in pack.needs})


def check(outcome: PackOutcome, cell: Cell, model: str, *splits: str) -> None:
    assert cell.id not in outcome.results
    assert cell.id not in outcome.prompts
    assert cell.id not in outcome.predictions
    sentence = outcome.failures[cell.id]
    assert sentence.startswith(tuple(no_number(model, TASK, split) for split in splits))
    assert "\n" not in sentence


@pytest.mark.slow
def test_reference_rows(broken: ModelRef) -> None:
    cells = [
        Cell("reference", row, "none", TASK, alias, settings={"text_tokens": 8})
        for alias in ("broken", "pocket-gpt2")
        for row in ("empty", "manual", "constant")
    ]
    outcome = run_cells(broken, cells, "soft", calibration=("batch", "content_free"))
    for cell in cells:
        if cell.target == "broken" and cell.row != "constant":
            check(outcome, cell, "broken", "test")
        else:
            assert 0.0 < outcome.results[cell.id]["score"] < 1.0
            assert set(SPLITS) < outcome.predictions[cell.id].keys()


@pytest.mark.slow
def test_soft_source_and_transfer_rows(broken: ModelRef) -> None:
    single = Cell(
        "source", "single", "soft", TASK, "broken", ("broken",), 0, 0.0, "constant", (), SOFT
    )
    outcome = run_cells(broken, [single], "soft", sources=("broken",))
    assert single.id not in outcome.results
    assert "finite number" in outcome.failures[single.id]
    whole = Cell(
        "source",
        "single",
        "soft",
        TASK,
        "pocket-gpt2",
        ("pocket-gpt2",),
        0,
        0.0,
        "constant",
        (),
        SOFT,
    )
    carried = Cell(
        *("transfer", "ours", "soft", TASK, "broken", ("pocket-gpt2",), 0, 0.0, "constant"),
        (whole.id,),
        CARRY,
    )
    for selection, split in (("none", "test"), ("target_validation", "test")):
        settings = {**CARRY, "solver": "ridge", "selection": selection}
        cell = Cell(**{**carried.__dict__, "settings": settings})
        outcome = run_cells(broken, [whole, cell], "soft", sources=("pocket-gpt2",))
        assert whole.id in outcome.results
        check(outcome, cell, "broken", split)


@pytest.mark.slow
def test_a_selection_on_sources_that_cannot_be_read(broken: ModelRef) -> None:
    """The target may be as sound as can be: nothing has been chosen there."""
    inputs = Cell(
        "source", "single", "soft", TASK, "broken", ("broken",), 0, 0.0, "constant", (), SOFT
    )
    cell = Cell(
        *("transfer", "ours", "soft", TASK, "pocket-gpt2", ("broken",), 0, 0.0, "constant"),
        (inputs.id,),
        {**CARRY, "solver": "ridge", "selection": "source_validation"},
    )
    width = load_backbone(broken).width
    models = {"broken": broken, "pocket-gpt2": resolve_model("pocket-gpt2")}
    pack = Pack("transfer", "soft", resolve_task(TASK), models, (), (cell,), (inputs.id,))
    prompt = np.random.default_rng(0).normal(size=(2, width)).astype(np.float32)
    check(run_pack(pack, {inputs.id: prompt}), cell, "broken", "validation")


@pytest.mark.slow
def test_hard_source_and_transfer_rows(broken: ModelRef) -> None:
    for method, settings in (
        (
            "pez",
            PezSettings(steps=2, evaluations=1, prompt_length=2, vocabulary="all", text_tokens=8),
        ),
    ):
        chosen = asdict(settings)
        single = Cell("source", "single", method, TASK, "broken", ("broken",), 0, settings=chosen)
        outcome = run_cells(broken, [single], method, sources=("broken",))
        assert single.id not in outcome.results
        assert "finite number" in outcome.failures[single.id]
        known = Cell(
            "source", "single", method, TASK, "pocket-gpt2", ("pocket-gpt2",), 0, settings=chosen
        )
        carried = Cell(
            "transfer",
            "ours",
            method,
            TASK,
            "broken",
            ("pocket-gpt2",),
            0,
            inputs=(known.id,),
            settings=chosen,
        )
        models = {"broken": broken, "pocket-gpt2": resolve_model("pocket-gpt2")}
        pack = Pack("transfer", method, resolve_task(TASK), models, (), (carried,), (known.id,))
        text = np.frombuffer(b"good news", dtype=np.uint8).copy()
        check(run_pack(pack, {known.id: text}), carried, "broken", "test")


def test_random_words_are_not_scored_either(broken: ModelRef) -> None:
    """A search without training finds it on validation."""
    from trainables.core.settings.random_words import RandomSettings

    chosen = asdict(RandomSettings(prompt_length=2, vocabulary="all", text_tokens=8))
    cell = Cell("source", "random", "random", TASK, "broken", ("broken",), 0, settings=chosen)
    outcome = run_cells(broken, [cell], "random", sources=("broken",))
    check(outcome, cell, "broken", "validation")


@pytest.mark.slow
def test_one_prompt_that_is_not_finite_leaves_the_others_of_a_stack_alone() -> None:
    models = {"m": resolve_model("pocket-gpt2")}
    pack = Pack("transfer", "soft", resolve_task(TASK), models, (), (), predictions=SPLITS)
    run = Run(pack, "cpu")
    layout = Layout(2, text_tokens=8)
    torch.manual_seed(0)
    prompts = torch.randn(3, 2, run.backbone("m").width)
    prompts[1, 0, 0] = math.nan
    found = run.evaluate("m", layout, prompts)
    assert found[1] == no_number("m", TASK, "test")
    for place in (0, 2):
        alone = run.evaluate("m", layout, prompts[place : place + 1])[0]
        beside = found[place]
        assert isinstance(alone, Evaluated)
        assert isinstance(beside, Evaluated)
        assert alone.plus({"loss": 0}).numbers == beside.plus({"loss": 0}).numbers
        assert alone.numbers["loss"] == pytest.approx(beside.numbers["loss"], rel=1e-5)
        assert alone.predictions.keys() == {"validation", "validation_gold", "test", "test_gold"}
        for name, kept in alone.predictions.items():
            np.testing.assert_allclose(kept, beside.predictions[name], rtol=2e-3)
    read = run.readings("m", prompts)
    assert [isinstance(item, str) for item in read] == [False, True, False]
    assert "cosines" in str(read[1])


def test_content_free_inputs_are_a_split_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Backbone.split_logits

    def split_logits(backbone: Backbone, data: Any, *args: Any, **more: Any) -> torch.Tensor:
        logits = real(backbone, data, *args, **more)
        return logits * math.nan if len(data) < 4 else logits

    monkeypatch.setattr(Backbone, "split_logits", split_logits)
    cell = Cell("reference", "empty", "none", TASK, "pocket-gpt2", settings={"text_tokens": 8})
    models = {"pocket-gpt2": resolve_model("pocket-gpt2")}
    for names, fails in ((("batch",), False), (("batch", "content_free"), True)):
        pack = Pack("transfer", "soft", resolve_task(TASK), models, (), (cell,), calibration=names)
        outcome = run_pack(pack, {})
        assert (cell.id in outcome.failures) == fails
        if fails:
            check(outcome, cell, "pocket-gpt2", "content-free inputs")


def test_a_probability_of_zero_does_not_make_a_calibrated_score_infinite() -> None:
    logits = torch.tensor([[[0.0, 1.0], [1.0, 0.0], [2.0, 0.0]]])
    free = torch.tensor([[[300.0, 0.0], [299.0, 0.0]]])
    assert bool(finite(calibrate("content_free", logits, free)))
    near = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    literal = logits.log_softmax(-1) - near.softmax(-1).mean(1, keepdim=True).log()
    torch.testing.assert_close(calibrate("content_free", logits, near), literal)


def test_scores_are_nan_and_the_first_broken_split_is_named() -> None:
    gold = torch.tensor([0, 1])
    logits = torch.zeros(3, 2, 2)
    logits[1, 1, 0], logits[2, 0, 1] = math.nan, -math.inf
    found = scores(logits, gold, "accuracy")
    assert found[0] == 0.5
    assert all(math.isnan(value) for value in found[1:])
    told = unreadable("m", "t", {"test": logits, "validation": None, "free": logits * math.nan})
    assert told == [no_number("m", "t", split) for split in ("free", "test", "test")]
    one = Evaluated({"a": 1}, {"test": np.zeros((1, 2), np.float16)})
    assert together(one, {"b": 2}) == Evaluated({"a": 1, "b": 2}, one.predictions)
    assert together(one, "why", {"b": 2}, "other") == "why"
    assert together("why", {"b": 2}, "other") == "why"


def test_a_candidate_that_is_not_finite_is_never_chosen() -> None:
    best = _Best(2, 7)
    assert best.offer(0, [math.nan, math.nan], [0.1, math.nan]) == []
    assert best.judged == [False, False]
    assert best.offer(1, [0.2, math.nan], [0.5, 0.0]) == [0]
    assert (best.index, best.judged) == ([1, 7], [True, False])


@pytest.mark.slow
def test_label_words_tried_out_and_readings_and_classes(broken: ModelRef, word: str) -> None:
    task = load_task(resolve_task(TASK))
    others = tuple("good" if item == word else item for item in task.label_words)
    own, fine = score_label_words(broken, task, [task.label_words, others], text_tokens=8)
    assert own["problem"] == no_number("broken", TASK, "validation")
    assert (own["empty"], own["manual"]) == (None, None)
    assert fine["problem"] is None
    assert 0.0 < fine["empty"]["score"] < 1.0
    backbone = load_backbone(broken)
    with pytest.raises(InputError, match=SENTENCE.format("broken", "validation")):
        readings(backbone, task, 8)
    about = {"name": TASK, "classes": list(task.classes), "label_words": list(task.label_words)}
    classifier = Classifier(backbone, broken, Layout(), torch.empty(0, backbone.width), None, about)
    with pytest.raises(InputError, match=SENTENCE.format("broken", "text 1 of 2")):
        classifier.classify(["good news", "bad news"])
