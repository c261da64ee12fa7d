"""What every task must fulfil, as a test class to inherit.

A task's whole test is::

    class TestTopics(TaskContract):
        task = "mini/topics"
"""

import itertools
from pathlib import Path

from trainables.core.contents import UNPINNED
from trainables.core.texts import listed
from trainables.tasks import SPLITS, TASK_NAMES, Task, load_task, metrics, resolve_task


class TaskContract:
    """Tests of one task; pytest collects the classes that inherit it.

    Attributes:
        task: name of a packaged task, or path of a task file.
        allowed_duplicates: texts that two splits may share (published sets have some).
    """

    task: str | Path
    allowed_duplicates: int = 0

    def load(self) -> Task:
        """The task; override for one that needs more than a name."""
        return load_task(self.task)

    def test_loads_with_its_name(self) -> None:
        """The name leads back to the task; a packaged task is called like its file."""
        task = self.load()
        assert task.name, f"{task.file} has no name"
        assert load_task(task.ref).digest == task.digest, "loading by reference gives another task"
        if self.task in TASK_NAMES:
            assert task.name == self.task, f"{task.file} must have the name {self.task}"

    def test_splits_hold_rows(self) -> None:
        """No split is empty, and the second reading equals the first."""
        task, again = self.load(), self.load()
        for split in SPLITS:
            assert task.rows(split), f"the split {split} is empty"
            assert task.rows(split) == again.rows(split), f"{split} is not deterministic"

    def test_texts_are_filled(self) -> None:
        """Texts are stripped, and hardly any is empty: the text format names the right columns."""
        task = self.load()
        for split in SPLITS:
            texts = [example.whole for example in task.rows(split)]
            assert all(text == text.strip() for text in texts), f"{split} has unstripped texts"
            empty = texts.count("")
            assert empty <= len(texts) / 100, f"{split} has {empty} empty texts of {len(texts)}"
            assert len(set(texts)) > 1 or len(texts) == 1, f"{split} repeats one text"

    def test_labels_are_classes(self) -> None:
        """Every label is in range, and training and test rows have every class."""
        task = self.load()
        for split in SPLITS:
            labels = {example.label for example in task.rows(split)}
            assert labels <= set(range(task.num_classes)), f"labels of {split}: {sorted(labels)}"
            if split != "validation":
                assert len(labels) == task.num_classes, f"{split} has only {sorted(labels)}"

    def test_label_words_fit_the_classes(self) -> None:
        """Words for each class, all different; without a scoring none has white space."""
        task = self.load()
        for words in (task.label_words, *task.label_words_alternatives):
            every = [word for one in words for word in listed(one)]
            assert len(words) == task.num_classes, f"label words {words}"
            assert len(every) == len(set(every)), f"label words {words}"
            assert task.scoring or all(word.split() == [word] for word in every), f"{words}"

    def test_metric_rewards_the_truth(self) -> None:
        """True labels score 1 and no constant prediction does."""
        task = self.load()
        gold = [example.label for example in task.rows("test")]
        assert metrics.compute(task.metric, gold, gold, task.num_classes) == 1.0
        assert max(metrics.constant_scores(task.metric, gold, task.num_classes)) < 1.0

    def test_digest_is_stable(self) -> None:
        """Loading again and resolving give the same digest."""
        task = self.load()
        assert task.digest == self.load().digest == resolve_task(str(task.file)).digest
        assert len(task.digest.removesuffix(UNPINNED)) == 16

    def test_splits_share_no_text(self) -> None:
        """A text in two splits would let training see what is measured."""
        task = self.load()
        for left, right in itertools.combinations(SPLITS, 2):
            texts = ({example.whole for example in task.rows(split)} for split in (left, right))
            shared = set.intersection(*texts)
            assert len(shared) <= self.allowed_duplicates, (
                f"{left} and {right} share {len(shared)} texts, such as {sorted(shared)[0]!r}"
            )
