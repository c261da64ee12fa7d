"""Hard prompts searched, chosen and carried by label texts of several tokens."""

from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from tests.trainables.soft import toys
from trainables.backbones import load_backbone, reads_of
from trainables.core.cells import Cell, Pack
from trainables.core.settings import HardSettings, stored
from trainables.core.settings.autoprompt import AutoPromptSettings
from trainables.core.settings.pez import PezSettings
from trainables.hard import pack as hard_pack
from trainables.hard.text import encode
from trainables.models.names import resolve_model
from trainables.packs.pack import run_pack
from trainables.packs.run import layout_on
from trainables.scoring.evaluate import scores
from trainables.tasks import load_task, resolve_task
from trainables.testing.work import rows_read

pytestmark = pytest.mark.slow

SOURCE, TARGET = "pocket-gpt2", "pocket-bert"
SHORT = {"prompt_length": 3, "steps": 2, "batch_size": 4, "s": 200, "vocabulary": "random"}
METHODS: dict[str, HardSettings] = {
    "pez": PezSettings(evaluations=1, **SHORT),  # type: ignore[arg-type]
    "autoprompt": AutoPromptSettings(accumulation=1, candidates=3, **SHORT),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("method", METHODS)
def test_a_search_reads_and_scores_whole_texts(method: str, tmp_path: Path) -> None:
    path = toys.write_task(tmp_path / "task", words=toys.TEXTS)
    task, models = load_task(path), {name: resolve_model(name) for name in (SOURCE, TARGET)}
    settings = METHODS[method]
    found = Cell(
        *("source", settings.row, method, task.name, SOURCE, (SOURCE,)),
        seed=0,
        settings=stored(settings),
    )
    carried = replace(found, kind="transfer", target=TARGET, inputs=(found.id,))
    pack = Pack("tune", method, resolve_task(path), models, (SOURCE,), (found, carried))
    backbones = {name: load_backbone(ref) for name, ref in models.items()}
    measured = hard_pack._Search._measured
    with rows_read() as read:

        def quietly(*args):  # type: ignore[no-untyped-def]
            with read.paused():
                return measured(*args)

        with patch.object(hard_pack._Search, "_measured", quietly):
            outcome = run_pack(pack, {})
    assert not outcome.failures
    result = outcome.results[found.id]
    assert result["target_forward_rows"] == read[SOURCE].forward
    assert result["target_backward_rows"] == read[SOURCE].backward > 0
    assert result["target_forward_tokens"] == read[SOURCE].tokens
    for cell in (found, carried):
        backbone = backbones[cell.target]
        ids = encode(backbone, result["text"])
        labels = backbone.labels(task.label_words, task.name, task.scoring)
        layout = layout_on(backbone, task, cell.settings, len(ids))
        rows = task.rows("test")
        texts, gold = [row.text for row in rows], [row.label for row in rows]
        data = backbone.read(texts, gold, layout, task.name, reads_of(labels).longest)
        logits = backbone.split_logits(data, labels, backbone.embeddings[ids][None])
        expected = scores(logits, torch.tensor(gold), task.metric)[0]
        assert outcome.results[cell.id]["score"] == expected
