"""Real data sets beside the repository; skipped where there are none."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from trainables.tasks import SPLITS, Task, load_task, metrics

pytestmark = pytest.mark.real


def task_of(folder: Path, data: Path, name: str, **fields: Any) -> Task:
    """A task over ``data/name``; validation is held out where the set has none."""
    files = {
        split: str(data / name / f"{split}.jsonl")
        for split in SPLITS
        if (data / name / f"{split}.jsonl").is_file()
    }
    splits = {} if "validation" in files else {"validation": {"from": "train", "share": 0.1}}
    content = {
        "name": name,
        "version": 1,
        "data": {"files": files},
        "text": "{text}",
        "splits": splits,
        **fields,
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(content))
    return load_task(file)


def test_sst2(tmp_path: Path, shared_data: Path) -> None:
    task = task_of(
        tmp_path,
        shared_data,
        "sst2",
        classes=["negative", "positive"],
        label_words=["bad", "good"],
        limit={"validation": 500},
    )
    assert [len(task.rows(split)) for split in SPLITS] == [67349 - 6735, 500, 872]
    assert task.rows("test")[0].text == "it 's a charming and often affecting journey ."
    again = load_task(task.ref)
    assert again.rows("validation") == task.rows("validation")


def test_ag_news(tmp_path: Path, shared_data: Path) -> None:
    words = ["politics", "sports", "business", "technology"]
    task = task_of(tmp_path, shared_data, "ag_news", classes=words, label_words=words)
    assert [len(task.rows(split)) for split in SPLITS] == [9864 - 986, 986, 7600]
    texts = [{row.text for row in task.rows(split)} for split in SPLITS]
    assert not texts[0] & texts[2]


@pytest.mark.parametrize(
    ("name", "words", "percent"),
    [
        ("tweeteval_hate", ["harmless", "hate"], 36.6),
        ("tweeteval_offensive", ["acceptable", "offensive"], 41.9),
    ],
)
def test_constant_predictor(
    tmp_path: Path, shared_data: Path, name: str, words: list[str], percent: float
) -> None:
    """Paper A prints these as results: they are what predicting the majority class scores."""
    task = task_of(tmp_path, shared_data, name, classes=words, label_words=words, metric="macro_f1")
    gold, train = ([row.label for row in task.rows(split)] for split in ("test", "train"))
    score, label = metrics.constant_score(task.metric, gold, task.num_classes, train)
    assert (round(100 * score, 1), label) == (percent, 0)
