"""Packs of hard prompts on embedded models: searched, told, carried as text, scored as told."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from trainables.backbones import Layout, load_backbone
from trainables.core.cells import Cell, Pack, PackOutcome
from trainables.core.registries import METHODS
from trainables.core.settings import stored
from trainables.core.settings.pez import PezSettings
from trainables.hard.text import decode, encode, from_bytes, to_bytes
from trainables.models.names import resolve_model
from trainables.packs.pack import run_pack
from trainables.packs.run import layout_on
from trainables.scoring.evaluate import scores
from trainables.tasks import load_task, resolve_task

TASK = "mini/topics"
SOURCE, OTHER, TARGET = "pocket-gpt2", "pocket-llama", "pocket-bert"
SETTINGS = PezSettings(
    prompt_length=3, steps=4, evaluations=2, batch_size=4, s=300, k=8, text_tokens=16
)


def _cell(settings: PezSettings, *counterparts: str, seed: int = 0) -> Cell:
    return Cell(
        kind="source",
        row=settings.row,
        method="pez",
        task=TASK,
        target=SOURCE,
        sources=(SOURCE,),
        counterparts=counterparts,
        seed=seed,
        settings=stored(settings),
    )


def _carried(cell: Cell, target: str = TARGET) -> Cell:
    return replace(cell, kind="transfer", target=target, inputs=(cell.id,))


def _pack(kind: str, *cells: Cell, needs: tuple[str, ...] = ()) -> Pack:
    models = dict.fromkeys(
        name for cell in cells for name in (*cell.sources, *cell.counterparts, cell.target)
    )
    return Pack(
        kind,
        "pez",
        resolve_task(TASK),
        {name: resolve_model(name) for name in models},
        (SOURCE,) if kind == "tune" else (),
        cells,
        needs,
    )


SEARCHED = (
    _cell(replace(SETTINGS, vocabulary="all")),
    _cell(replace(SETTINGS, vocabulary="all", word_start=False), seed=1),
    _cell(replace(SETTINGS, vocabulary="random")),
    _cell(replace(SETTINGS, vocabulary="common"), OTHER),
    _cell(replace(SETTINGS, vocabulary="agreement"), OTHER),
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> PackOutcome:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROMPTSWEEP_CACHE", str(tmp_path_factory.mktemp("cache")))
        return run_pack(_pack("tune", *SEARCHED), {})


@pytest.mark.slow
@pytest.mark.parametrize("cell", SEARCHED, ids=lambda cell: cell.row)
def test_a_search_says_what_it_found(cell: Cell, found: PackOutcome) -> None:
    result = found.results[cell.id]
    assert not found.failures
    source = load_backbone(resolve_model(SOURCE), "cpu")
    assert from_bytes(found.prompts[cell.id]) == result["text"]
    assert decode(source, result["tuned_ids"]) == result["text"]
    assert result["ids"] == encode(source, result["text"])
    assert result["roundtrip_exact"] == (result["ids"] == result["tuned_ids"])
    assert result["n_tokens"] == len(result["ids"])
    assert 0.0 <= result["dictionary_share"] <= 1.0
    assert result["log_perplexity"] > 0
    assert result["rows_read"] > 0
    assert (result["product"], result["access"]) == ("prompt", "gradients")
    assert result["target_backward_rows"] == SETTINGS.steps * SETTINGS.batch_size
    assert result["target_forward_rows"] >= result["target_backward_rows"] + result["rows_read"]
    assert result["n_validation"] < result["target_labels"] <= result["n_validation"] + 4 * 4


def test_words_start_words_come_back_exactly(found: PackOutcome) -> None:
    for cell in SEARCHED:
        if cell.settings.get("word_start", True):
            result = found.results[cell.id]
            assert result["roundtrip_exact"]
            assert result["score_as_ids"] == result["score"]
            assert result["search_validation"] == pytest.approx(result["validation_score"])


def test_what_was_there_to_choose_from_is_told(found: PackOutcome) -> None:
    every, _, random, common, agreement = (found.results[cell.id] for cell in SEARCHED)
    assert every["words_used"] == every["words_available"]
    assert every["words_common"] is None
    assert random["words_used"] == common["words_used"] == agreement["words_used"] == 300
    assert common["words_common"] == agreement["words_common"]
    # Fewer common words than sample_size: K stands as it is.
    assert agreement["words_common"] < 8192
    assert agreement["effective_k"] == 8


def _literal_score(alias: str, text: str, settings: PezSettings) -> float:
    """Accuracy of the plain string: prompt, text and template as tokens, nothing shared."""
    backbone = load_backbone(resolve_model(alias), "cpu")
    task = load_task(resolve_task(TASK))
    labels = task.label_words
    answers = [backbone.word_id(word) for word in labels]
    right = 0
    rows = task.rows("test")
    for row in rows:
        words = backbone.tokens(backbone.lead + row.text)[: settings.text_tokens]
        prompt = backbone.tokens(backbone.lead + text)
        template = backbone.tokens(backbone.lead + task.manual)
        mask = [backbone.tokenizer.mask_token_id] if backbone.family.masked else []
        ids = [*backbone.begin, *prompt, *words, *template, *mask, *backbone.end]
        with torch.no_grad():
            logits = backbone.family.model(torch.tensor([ids])).logits[0]
        place = ids.index(mask[0]) if mask else -1
        right += int(logits[place, answers].argmax()) == row.label
    return right / len(rows)


@pytest.mark.slow
@pytest.mark.parametrize("target", [TARGET, SOURCE])
def test_a_score_is_that_of_the_string(target: str, found: PackOutcome) -> None:
    cell = SEARCHED[4]
    text = found.results[cell.id]["text"]
    if target == SOURCE:
        score = found.results[cell.id]["score"]
    else:
        carried = _carried(cell)
        outcome = run_pack(
            _pack("transfer", carried, needs=(cell.id,)), {cell.id: found.prompts[cell.id]}
        )
        score = outcome.results[carried.id]["score"]
    # Sentences of other lengths are batched: a tie may fall either way, by 1 of 240 rows.
    assert score == pytest.approx(_literal_score(target, text, SETTINGS), abs=1.5 / 240)


@pytest.mark.slow
def test_texts_of_different_lengths_go_to_one_target(found: PackOutcome) -> None:
    texts = ["a", "", "unbelievably incomprehensible gobbledygook 漢字"]
    cells = [_carried(replace(SEARCHED[0], seed=seed)) for seed in range(3)]
    cells = [replace(cell, inputs=(f"input {place}",)) for place, cell in enumerate(cells)]
    outcome = run_pack(
        _pack("transfer", *cells, needs=tuple(cell.inputs[0] for cell in cells)),
        {cell.inputs[0]: to_bytes(text) for cell, text in zip(cells, texts, strict=True)},
    )
    results = [outcome.results[cell.id] for cell in cells]
    assert not outcome.failures
    assert [result["n_tokens"] for result in results][:2] == [1, 0]
    assert results[2]["n_tokens"] > 3
    assert [result["roundtrip_exact"] for result in results] == [True, True, False]
    assert results[1]["log_perplexity"] is None


def test_a_text_that_does_not_fit_fails_alone() -> None:
    cells = [
        replace(_carried(replace(SEARCHED[0], seed=seed)), inputs=(f"input {seed}",))
        for seed in range(2)
    ]
    outcome = run_pack(
        _pack("transfer", *cells, needs=("input 0", "input 1")),
        {"input 0": to_bytes("good"), "input 1": to_bytes("good " * 600)},
    )
    assert list(outcome.results) == [cells[0].id]
    assert "positions" in outcome.failures[cells[1].id]
    assert "\n" not in outcome.failures[cells[1].id]


def test_an_input_that_is_not_there_is_a_failure_of_its_cell() -> None:
    carried = _carried(SEARCHED[0])
    outcome = run_pack(_pack("transfer", carried), {})
    assert "is not available" in outcome.failures[carried.id]


@pytest.mark.slow
def test_a_search_does_not_depend_on_what_is_searched_beside_it(found: PackOutcome) -> None:
    alone = run_pack(_pack("tune", SEARCHED[2]), {})
    (cell,) = [SEARCHED[2]]
    assert alone.results[cell.id]["text"] == found.results[cell.id]["text"]
    np.testing.assert_allclose(
        alone.results[cell.id]["loss"], found.results[cell.id]["loss"], rtol=1e-4
    )


def layout(settings: dict[str, object], manual: str) -> Layout:
    """Of a text without a prompt."""
    backbone = load_backbone(resolve_model(SOURCE), "cpu")
    return layout_on(backbone, SimpleNamespace(manual=manual), settings, 0)  # type: ignore[arg-type]


def test_the_seam_and_the_frame_are_settings() -> None:
    backbone = load_backbone(resolve_model(SOURCE), "cpu")
    texts, gold = ["hide new"], [0]

    def ids(**changes: object) -> list[int]:
        values = {"template": False, "text_tokens": None, "seam": "space", "bos": True, **changes}
        return backbone.read(texts, gold, layout(values, "It was")).ids[0].tolist()

    start = backbone.begin
    assert ids(seam="space") == [*start, *backbone.tokens(" hide new")]
    assert ids(seam="glued") == [*start, *backbone.tokens("hide new")]
    assert ids(template=True) == [*start, *backbone.tokens(" hide new It was")]
    bert = load_backbone(resolve_model(TARGET), "cpu")
    values = {"template": False, "text_tokens": None, "seam": "space"}
    framed = bert.read(texts, gold, layout({**values, "bos": True}, "")).ids[0].tolist()
    bare = bert.read(texts, gold, layout({**values, "bos": False}, "")).ids[0].tolist()
    assert framed == [*bert.begin, *bare]


def test_a_template_that_begins_with_a_mark_goes_on_where_the_text_ends() -> None:
    backbone = load_backbone(resolve_model(SOURCE), "cpu")
    values = {"template": True, "text_tokens": None, "seam": "space", "bos": True}
    read = backbone.read(["hide new"], [0], layout(values, ". It was")).ids[0].tolist()
    assert read == [
        *backbone.begin,
        *backbone.tokens(" hide new"),
        *backbone.tokens(". It was"),
    ]


def test_validation_chooses_and_is_told(found: PackOutcome) -> None:
    cell = SEARCHED[4]
    result = found.results[cell.id]
    backbone = load_backbone(resolve_model(SOURCE), "cpu")
    task = load_task(resolve_task(TASK))
    layout = layout_on(backbone, task, cell.settings, len(result["ids"]))
    rows = task.rows("validation")
    data = backbone.read([row.text for row in rows], [row.label for row in rows], layout)
    prompt = backbone.embeddings[torch.tensor([result["ids"]])]
    logits = backbone.split_logits(data, backbone.labels(task.label_words, task.name), prompt)
    assert scores(logits, data.gold, task.metric)[0] == pytest.approx(result["validation_score"])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["rlprompt", "proposals"])
def test_a_helped_search_and_its_control_tell_what_they_scored(method: str) -> None:
    """A masked source and a causal helper; a control alone is what it is beside its search."""
    small = {"prompt_length": 2, "steps": 2, "prompts": 3, "reward_texts": 6, "text_tokens": 12}
    small |= {"evaluations": 1, "width": 8} if method == "rlprompt" else {"examples": 1}
    settings = METHODS[method](**small)
    own = {"method": method, "task": TASK, "target": TARGET, "sources": (TARGET,), "seed": 1}
    found = Cell("source", "all", settings=stored(settings), **own)
    drawn = replace(found, row="drawn")
    models = {name: resolve_model(name) for name in (TARGET, SOURCE)}
    moved = replace(drawn, kind="transfer", target=SOURCE, inputs=(drawn.id,))
    pack = Pack("tune", method, resolve_task(TASK), models, (TARGET,), (found, drawn, moved))
    outcome = run_pack(pack, {})
    assert outcome.failures == {}
    one, other = (outcome.results[cell.id] for cell in (found, drawn))
    assert one["prompts_scored"] == other["prompts_scored"] > 0
    assert one["source_rows"] > 0 == other["source_rows"]
    assert outcome.results[moved.id]["text"] == other["text"]
    alone = run_pack(replace(pack, cells=(drawn,)), {})
    assert alone.results[drawn.id]["text"] == other["text"]
