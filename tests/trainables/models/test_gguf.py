"""Models in GGUF files: as the same weights in a folder, and what is wrong said in one sentence."""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from trainables.backbones import Layout, load_backbone
from trainables.backbones.loading import load_reader
from trainables.core.cells import ModelRef
from trainables.errors import InputError
from trainables.models import gguf_file
from trainables.models.chats import has_chat_template
from trainables.models.first_look import read_shapes
from trainables.models.names import model_now, resolve_model
from trainables.packs.shipping import Item, Places, is_whole, travelling
from trainables.preflight import preflight

pytest.importorskip("gguf", reason="needs the package gguf, see the extra gguf")

TEXTS = ["the film was good", "It was bad"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``tiny.gguf`` with float32 numbers."""
    from tests.trainables.models.tiny_gguf import model, write

    place = tmp_path_factory.mktemp("gguf")
    write(place / "tiny.gguf", model())
    return place


def logits_of(made: Any) -> torch.Tensor:
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        found: torch.Tensor = made(input_ids=ids).logits
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "tied"), [("F32", True), ("F16", False), ("Q8_0", True)])
def test_logits_are_those_of_the_weights(kind: str, tied: bool, tmp_path: Path) -> None:
    import gguf

    from tests.trainables.models.tiny_gguf import model, write

    made = model(tied)
    ref = resolve_model(str(write(tmp_path / "tiny.gguf", made, kind)))
    quantised = gguf.GGMLQuantizationType[kind]
    with torch.no_grad():
        for weight in made.parameters():
            if weight.ndim > 1:
                blocks = gguf.quants.quantize(weight.numpy(), quantised)
                weight.copy_(torch.from_numpy(gguf.quants.dequantize(blocks, quantised)))
    backbone = load_backbone(ref)
    torch.testing.assert_close(logits_of(backbone.family.model), logits_of(made))
    assert ref.stored == ("F32" if kind == "F32" else f"{kind}, F32")
    assert not backbone.remark


@pytest.mark.slow
def test_it_reads_texts_plainly_and_in_its_chat_template(folder: Path) -> None:
    ref = resolve_model("tiny.gguf", base=folder)
    assert (ref.alias, ref.location) == ("tiny", str(folder / "tiny.gguf"))
    assert has_chat_template(ref)
    backbone = load_backbone(ref)
    found = {}
    for chat in (False, True):
        data = backbone.read(TEXTS, [0, 1], Layout(template="It was", chat=chat))
        labels = backbone.labels(["good", "bad"], "t", chat=chat)
        words = backbone.tokenizer.convert_ids_to_tokens(labels.tolist())
        assert words == (["good", "bad"] if chat else ["Ġgood", "Ġbad"])
        found[chat] = backbone.split_logits(data, labels)
    assert found[True].isfinite().all()
    assert not torch.allclose(found[True], found[False])


def test_what_lies_beside_it_says_nothing(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "tiny.gguf", tmp_path / "tiny.gguf")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "tokenizer_config.json").write_text("no JSON")
    ref = resolve_model(str(tmp_path / "tiny.gguf"))
    assert ref.digest == resolve_model("tiny.gguf", base=folder).digest
    reader = load_reader(ref)
    assert reader.family.model_type == "llama"
    assert reader.tokens("good") == reader.tokens("good")[:1]


def test_the_digest_is_of_its_bytes_and_what_was_planned_is_read(
    folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "tiny.gguf"
    shutil.copy(folder / "tiny.gguf", file)
    ref = resolve_model(str(file))
    assert model_now(ref) == ref
    with file.open("r+b") as content:
        content.seek(-1, 2)
        content.write(b"\1")
    assert resolve_model(str(file)).digest != ref.digest
    with pytest.raises(InputError, match="has changed since"):
        model_now(ref)
    with pytest.raises(InputError, match=r"tiny.gguf has changed since it was planned"):
        load_backbone(ref)


def test_it_travels_to_nodes_that_lack_it(folder: Path, tmp_path: Path) -> None:
    ref = resolve_model("tiny.gguf", base=folder)
    item = Item("model", ref.alias, ref.location, ref.digest)
    assert is_whole(item, Path(ref.location))

    def fetch(asked: Item) -> Any:
        files = travelling(Path(asked.location)).items()
        return iter([(name, iter([file.read_bytes()])) for name, file in files])

    place = Path(Places(fetch, look=False, folder=tmp_path)._place(item))
    assert place.parent.parent == tmp_path
    assert place.name == "tiny.gguf"
    assert is_whole(item, place)


def refused(ref_of: Any) -> str:
    with pytest.raises(InputError) as error:
        ref_of()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_broken_file_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    whole, file = (folder / "tiny.gguf").read_bytes(), tmp_path / "other.gguf"

    def told(content: bytes) -> str:
        file.write_bytes(content)
        return refused(lambda: resolve_model(str(file)))

    assert "it has 3 bytes; allowed: a GGUF file" in told(b"GGU")
    assert "does not begin with GGUF" in told(b"GGML" + whole[4:])
    assert "GGUF version 1; allowed: 2 and 3" in told(b"GGUF\1\0\0\0" + whole[8:])
    assert "its header cannot be read (it ends in the middle)" in told(whole[:2000])
    assert "cut short, " in told(whole[:-500])
    assert "cannot be read" in told(whole[:24] + b"\xff" * 8 + whole[32:])
    assert "no such file" in refused(lambda: resolve_model("models/none.gguf", base=tmp_path))
    (tmp_path / "folder.gguf").mkdir()
    assert "no config.json" in refused(lambda: resolve_model("folder.gguf", base=tmp_path))


def test_one_of_several_parts_is_refused(tmp_path: Path) -> None:
    from tests.trainables.models.tiny_gguf import model, write

    write(tmp_path / "part.gguf", model(), split_count=3)
    assert "one of 3 parts" in refused(lambda: resolve_model("part.gguf", base=tmp_path))


@pytest.mark.slow
def test_an_unknown_architecture_is_one_sentence(tmp_path: Path) -> None:
    from tests.trainables.models.tiny_gguf import model, write

    write(tmp_path / "odd.gguf", model(), architecture="quillstone")
    ref = resolve_model("odd.gguf", base=tmp_path)
    message = refused(lambda: preflight([ref]))
    assert "GGUF model with architecture quillstone is not supported yet" in message
    assert "allowed: a GGUF file of a masked or causal language model" in message


@pytest.mark.slow
def test_weights_that_are_not_there_are_named(tmp_path: Path) -> None:
    from tests.trainables.models.tiny_gguf import model, write

    made = model()
    del made.model.layers[1].mlp.up_proj
    ref = resolve_model(str(write(tmp_path / "less.gguf", made)))
    message = refused(lambda: load_backbone(ref))
    assert "model.layers.1.mlp.up_proj.weight" in message


def test_a_missing_package_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        gguf_file.importlib.util,
        "find_spec",
        lambda name: None if name == "gguf" else find_spec(name),
    )
    message = refused(lambda: resolve_model("tiny.gguf", base=folder))
    assert "needs the package gguf" in message
    assert "allowed: pip install gguf, or a model folder" in message


def test_its_header_is_read_without_torch(folder: Path) -> None:
    ref = ModelRef("tiny", str(folder / "tiny.gguf"), None, "")
    shapes = read_shapes(ref)
    assert shapes["blk.0.ffn_down.weight"] == (32, 64)
    assert "gguf" in sys.modules
