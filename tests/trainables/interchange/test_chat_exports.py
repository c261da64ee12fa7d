"""Folders of prompts that were tuned in a chat template read in it too, and say so."""

import json
from dataclasses import replace
from pathlib import Path

import torch

from tests.trainables.backbones.chat_templates import TEMPLATES
from tests.trainables.interchange.test_peft import loaded, our_scores, peft_scores, tuned_on
from tests.trainables.interchange.test_readout import kept_on, scores_of
from tests.trainables.tiny import pristine, tiny
from trainables.backbones import Backbone
from trainables.core.cells import ModelRef
from trainables.core.registries import FEATURES
from trainables.hard.text import encode
from trainables.interchange import readout_files, write_files
from trainables.interchange.classifier import Classifier
from trainables.interchange.provenance import card_head, provenance
from trainables.interchange.text import text_files
from trainables.models.gguf_file import is_gguf
from trainables.transfer.taught.readout import applied

TEXTS = ["the film was good", "", "a long and boring story", "word " * 100]
SAID = "user's turn of the model's own chat template"


def chatty() -> Backbone:
    backbone = tiny("gpt2")
    backbone.tokenizer.chat_template = TEMPLATES["mistral"]
    return backbone


def test_peft_begins_with_the_template(tmp_path: Path) -> None:
    tuned = tuned_on(chatty(), template="It was", chat=True, text_tokens=20)
    frame = tuned.backbone.chat
    assert frame is not None
    model, about = loaded(tuned, tmp_path, pristine("gpt2"))
    expected = our_scores(tuned, TEXTS)
    for row, text in enumerate(TEXTS):
        found = peft_scores(text, model, tuned, about)
        torch.testing.assert_close(found, expected[row], atol=1e-4, rtol=0)
    assert about["layout"]["begin_ids"] == frame.begin
    assert about["layout"]["chat"] == {"before": "<|endoftext|>[INST] ", "after": " [/INST]"}
    assert about["peft"]["of_which_begin"] == len(frame.begin)
    card = (tmp_path / "README.md").read_text()
    assert SAID in card
    assert "<|endoftext|>[inst]" in card.lower()


def test_texts_and_readouts_give_the_same_scores(tmp_path: Path) -> None:
    kept = kept_on("gpt2", "states", tmp_path / "model")
    backbone = chatty()
    layout = replace(kept.layout, chat=True)
    kept = replace(kept, backbone=backbone, layout=layout)
    write_files(tmp_path / "readout", readout_files(kept))
    data = backbone.read(TEXTS, [0] * len(TEXTS), layout)
    expected = applied(
        torch.from_numpy(kept.weights)[None], FEATURES["states"].read(backbone, data)
    )
    ids = encode(backbone, "answer this")
    tuned = replace(
        tuned_on(backbone),
        text="answer this",
        prompt=backbone.embeddings[ids].numpy(),
        layout=replace(layout, prompt_length=len(ids), template="It was"),
        model=kept.model,
    )
    write_files(tmp_path / "text", text_files(tuned))
    wanted = {"readout": expected[0], "text": our_scores(tuned, TEXTS)}
    for name, rows in wanted.items():
        scores = scores_of(tmp_path / name)
        for row, text in enumerate(TEXTS):
            torch.testing.assert_close(scores(text), rows[row], atol=1e-4, rtol=1e-4)
        assert SAID in (tmp_path / name / "README.md").read_text()
    torch.testing.assert_close(Classifier.of(tuned).logits(TEXTS), wanted["text"])
    plain = Classifier.of(replace(tuned, layout=replace(tuned.layout, chat=False)))
    assert not torch.allclose(plain.logits(TEXTS), wanted["text"])


def test_cards_say_what_a_gguf_file_was_made_plain_from() -> None:
    place = "/models/tiny.gguf"
    model = ModelRef("tiny", place, None, "c0ffee", "Q4_K, F32")
    tuned = replace(tuned_on(tiny("gpt2")), model=model)
    assert is_gguf(place)
    assert "digest c0ffee, weights dequantised from Q4_K, F32" in provenance(tuned)
    assert "base_model" not in card_head(tuned)
    names = {"Path": Path, "base": {"location": place}}
    exec(f"def load(*args, **more): return args, more\nfound = load({tuned.loading})", names)
    assert names["found"] == (("/models",), {"gguf_file": "tiny.gguf"})
    about = json.loads(tuned.manifest("npy"))
    assert about["base_model"]["stored"] == "Q4_K, F32"
