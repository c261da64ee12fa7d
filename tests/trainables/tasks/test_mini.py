"""The packaged tasks: contract, size, balance, and nothing alike across splits."""

import itertools
import re
import subprocess
import sys
from collections import Counter

import pytest
from tokenizers import Tokenizer

from trainables.pocket import POCKET_NAMES, pocket_path
from trainables.tasks import SPLITS, TASK_NAMES, load_task
from trainables.testing.task_contract import TaskContract

MINI = [name for name in TASK_NAMES if name.startswith("mini/")]


class TestReviews(TaskContract):
    task = "mini/reviews"


class TestQuestions(TaskContract):
    task = "mini/questions"


class TestTopics(TaskContract):
    task = "mini/topics"


class TestParaphrase(TaskContract):
    task = "mini/paraphrase"


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def five_grams(text: str) -> set[tuple[str, ...]]:
    """Within sentences: where one ends and the next begins no phrase is repeated."""
    sentences = map(words, re.split(r"[.!?]+", text))
    return {
        tuple(found[start : start + 5]) for found in sentences for start in range(len(found) - 4)
    }


def test_the_packaged_tasks() -> None:
    assert MINI == ["mini/paraphrase", "mini/questions", "mini/reviews", "mini/topics"]


@pytest.mark.parametrize("name", MINI)
def test_size_and_balance(name: str) -> None:
    task = load_task(name)
    part = 2 if name == "mini/paraphrase" else 1
    for split, least in zip(SPLITS, (200, 80, 200), strict=True):
        counts = Counter(example.label for example in task.rows(split))
        assert sum(counts.values()) >= least // part
        assert max(counts.values()) - min(counts.values()) <= 1, f"{split}: {counts}"


@pytest.mark.parametrize("name", MINI)
def test_no_near_duplicates_across_splits(name: str) -> None:
    task = load_task(name)
    texts = {split: [example.text for example in task.rows(split)] for split in SPLITS}
    for left, right in itertools.combinations(SPLITS, 2):
        bags = [(text, set(words(text))) for text in texts[right]]
        for text in texts[left]:
            bag = set(words(text))
            for other, other_bag in bags:
                jaccard = len(bag & other_bag) / len(bag | other_bag)
                assert jaccard < 0.5, f"{left} / {right}: {text!r} and {other!r}"
        grams = (set().union(*map(five_grams, texts[split])) for split in (left, right))
        shared = set.intersection(*grams)
        assert not shared, f"{left} / {right}: {sorted(shared)}"


@pytest.mark.parametrize("name", MINI)
def test_no_text_twice_within_a_split(name: str) -> None:
    task = load_task(name)
    for split in SPLITS:
        counts = Counter(example.text.lower() for example in task.rows(split))
        assert max(counts.values()) == 1, counts.most_common(1)


@pytest.mark.parametrize("name", ["mini/questions", "mini/reviews"])
def test_embedded_models_know_every_label_word(name: str) -> None:
    """Also those of the alternatives, as single tokens behind a space."""
    task = load_task(name)
    choices = [task.label_words, *task.label_words_alternatives]
    for model in POCKET_NAMES:
        known = Tokenizer.from_file(str(pocket_path(model) / "tokenizer.json"))
        for word in itertools.chain(*choices):
            tokens = known.encode(f" {word}", add_special_tokens=False).tokens
            assert len(tokens) == 1, f"{model}: {word!r} is {tokens}"


def test_label_words_of_the_papers() -> None:
    assert load_task("mini/reviews").label_words == ("bad", "good")
    assert load_task("mini/paraphrase").label_words == ("no", "yes")
    assert load_task("mini/paraphrase").manual == "Are the sentences equivalent?"


def test_import_is_light() -> None:
    heavy = "torch transformers datasets sklearn pandas ray pydantic yaml"
    code = (
        "import sys, trainables.tasks; "
        f"print([name for name in {heavy.split()} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
