"""Answers among all words: against the whole vocabulary read word by word."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, recall_score

from tests.trainables.soft import toys
from tests.trainables.tiny import tiny
from trainables.backbones import Layout, base, load_backbone
from trainables.core.cells import Cell, Pack
from trainables.models.names import resolve_model
from trainables.packs.pack import run_pack
from trainables.scoring.open_vocabulary import KEYS, open_numbers, open_score
from trainables.tasks import load_task, resolve_task
from trainables.testing.work import rows_read

TEXTS = ["the film was good", "a very long and quite boring story", "no", "we won today ."]
WORDS = ["bad", "good", "yes"]


@pytest.mark.parametrize("literal", [False, True])
@pytest.mark.parametrize("name", ["bert", "llama", "t5"])
def test_the_rival_is_the_best_of_all_words_but_the_label_words(
    name: str, literal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny(name)
    monkeypatch.setattr(model, "literal", literal)
    data, labels = model.read(TEXTS, [0] * 4, Layout(2)), model.labels(WORDS, "t")
    torch.manual_seed(0)
    prompts = torch.randn(3, 2, model.width)
    plain = model.split_logits(data, labels, prompts)
    wide = model.split_logits(data, labels, prompts, rival=True)
    assert wide.shape == (3, 4, 4)
    assert torch.equal(wide[..., :3], plain), "to the last bit"
    monkeypatch.setattr(base, "_HEAD_NUMBERS", 2 * model.rows)  # two rows at a time
    assert torch.equal(model.split_logits(data, labels, prompts, rival=True), wide)
    for replica in range(3):
        for row in range(4):
            every = model.row_logits(
                data.take(torch.tensor([row])), None, prompts[replica][None], torch.tensor([0])
            )[0]
            others = [float(value) for word, value in enumerate(every) if word not in labels]
            assert float(wide[replica, row, 3]) == pytest.approx(max(others), abs=2e-4)


def test_illegal_answers_are_wrong_ones() -> None:
    logits = torch.tensor([[[2.0, 1.0, 1.5], [0.0, 3.0, 4.0], [5.0, 1.0, 5.0], [1, 2, torch.nan]]])
    gold = torch.tensor([0, 1, 0, 1])
    found = open_numbers(
        {"test": logits, "validation": logits[:, :2]},
        {"test": gold, "validation": gold[:2]},
        2,
        "accuracy",
    )
    assert found == [
        {
            "illegal_share": 0.5,
            "score_open": 0.5,
            "validation_illegal_share": 0.5,
            "validation_score_open": 0.5,
        }
    ]
    scores = {"test": logits[..., :2], "validation": logits[:, :2, :2]}
    gold_of = {"test": gold, "validation": gold[:2]}
    assert open_numbers(scores, gold_of, 2, "accuracy") == [dict.fromkeys(KEYS)]


@pytest.mark.parametrize("classes", [2, 4])
def test_every_metric_takes_an_illegal_answer_for_a_wrong_class(classes: int) -> None:
    """Each illegal answer is written out as one of every other class, all rows often enough."""
    draw = np.random.default_rng(classes)
    gold, said = draw.integers(classes, size=(2, 60))
    wrong = draw.random(60) < 0.3
    times = classes - 1
    truth = np.repeat(gold, times)
    answers = np.concatenate(
        [
            [other for other in range(classes) if other != true] if out else [own] * times
            for true, own, out in zip(gold, said, wrong, strict=True)
        ]
    )
    wanted = {
        "accuracy": accuracy_score(truth, answers),
        "macro_f1": f1_score(truth, answers, average="macro"),
        "macro_recall": recall_score(truth, answers, average="macro"),
        "f1:1": f1_score(truth == 1, answers == 1),
    }
    for metric, value in wanted.items():
        assert open_score(gold, said, wrong, classes, metric) == pytest.approx(value), metric
    right = (said == gold) & ~wrong
    assert open_score(gold, said, wrong, classes, "accuracy") == pytest.approx(right.mean())
    nothing = np.zeros(60, dtype=bool)
    assert open_score(gold, said, ~nothing, classes, "macro_f1") == 0.0
    legal = open_score(gold, said, nothing, classes, "macro_f1")
    assert legal == pytest.approx(f1_score(gold, said, average="macro"))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    place = toys.write_task(tmp_path_factory.mktemp("open") / "task")
    cell = toys.tuned("pocket-bert")
    cells = (cell, *(Cell("reference", row, "none", toys.TASK, "pocket-bert") for row in _FREE))
    models = {"pocket-bert": resolve_model("pocket-bert")}
    pack = Pack("tune", "soft", resolve_task(place), models, ("pocket-bert",), cells)
    yield pack, run_pack(pack, {}), run_pack(replace(pack, evaluation=("open",)), {}), place


_FREE = ("empty", "manual", "constant")


@pytest.mark.slow
def test_it_adds_numbers_and_changes_none(outcomes: Any) -> None:
    pack, plain, opened, _ = outcomes
    assert not plain.failures and not opened.failures
    for cell in pack.cells:
        before, after = plain.results[cell.id], opened.results[cell.id]
        assert {*after} - {*before} == {*KEYS}
        for name, value in before.items():
            assert after[name] == value or name.endswith("seconds"), name
        assert after["score_open"] <= after["score"]
    constant = opened.results[pack.cells[-1].id]
    assert [constant[name] for name in KEYS[:2]] == [0.0, constant["score"]]


@pytest.mark.slow
def test_the_numbers_are_those_of_the_prompt_read_by_hand(outcomes: Any) -> None:
    pack, _, opened, place = outcomes
    task, cell = load_task(resolve_task(place)), pack.cells[0]
    model = load_backbone(pack.models["pocket-bert"])
    prompt = torch.from_numpy(opened.prompts[cell.id])
    labels = model.labels(task.label_words, "t").tolist()
    for split, start in (("test", ""), ("validation", "validation_")):
        rows = task.rows(split)
        right = out = 0
        for row in rows:
            data = model.read([row.text], [0], Layout(len(prompt)))
            with torch.no_grad():
                best = int(model.row_logits(data, None, prompt[None], torch.tensor([0])).argmax())
            out += best not in labels
            right += best == labels[row.label]
        assert opened.results[cell.id][f"{start}illegal_share"] == pytest.approx(out / len(rows))
        assert opened.results[cell.id][f"{start}score_open"] == pytest.approx(right / len(rows))


@pytest.mark.slow
def test_no_text_is_read_twice_for_it(outcomes: Any) -> None:
    pack = outcomes[0]
    tuned = replace(pack, cells=pack.cells[:1])
    with rows_read() as plain:
        run_pack(tuned, {})
    with rows_read() as opened:
        run_pack(replace(tuned, evaluation=("open",)), {})
    assert plain == opened
