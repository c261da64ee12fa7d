"""What the embedded encoder–decoders are trained on, and that they are trained."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from trainables.backbones import Layout, load_backbone
from trainables.models.names import resolve_model
from trainables.pocket import train as script
from trainables.pocket import zoo
from trainables.pocket.denoising import SENTINELS, continued, parts, spans_taken_out
from trainables.pocket.recipes import RECIPES

FIRST, END = 900, 1


def draw() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(("length", "rate"), [(4, 0.25), (31, 0.15), (63, 0.25), (127, 0.5)])
def test_spans_put_back_are_the_text(length: int, rate: float) -> None:
    ids = torch.randint(10, 800, (6, length), generator=draw())
    read, said = spans_taken_out(ids, FIRST, END, rate, draw())
    again = []
    for left, right in zip(read.tolist(), said.tolist(), strict=True):
        assert (left.pop(), right.pop()) == (END, END)
        gaps: dict[int, list[int]] = {}
        for token in right:
            if token >= FIRST:
                gaps[token] = []
                last = gaps[token]
            else:
                last.append(token)
        assert list(gaps) == [FIRST + place for place in range(len(gaps))]
        assert len(gaps) <= SENTINELS and all(gaps.values())
        assert left[-1] in gaps, "a window ends in a gap"
        assert sum(map(len, gaps.values())) == max(1, round(rate * length))
        again.append([word for token in left for word in gaps.get(token, [token])])
    assert again == ids.tolist()
    assert len(set(map(tuple, read.tolist()))) == 6


def test_parts_are_all_ways_alike() -> None:
    generator = draw()
    found = [tuple(parts(5, 3, generator)) for _ in range(3000)]
    kinds = {kind: found.count(kind) for kind in set(found)}
    assert len(kinds) == 6 and all(sum(kind) == 5 and min(kind) > 0 for kind in kinds)
    assert min(kinds.values()) > 400
    assert parts(4, 1, generator) == [4]


def test_a_text_is_continued_where_it_is_cut() -> None:
    ids = torch.randint(10, 800, (3, 32), generator=draw())
    read, said = continued(ids, END, draw())
    assert torch.equal(torch.cat([read[:, :-1], said[:, :-1]], 1), ids)
    assert {*read[:, -1].tolist(), *said[:, -1].tolist()} == {END}
    assert 8 <= read.shape[1] - 1 <= 24


def test_both_recipes_are_one_tokenizer_and_size() -> None:
    first, second = (RECIPES[name] for name in ("pocket-t5", "pocket-t5-lm"))
    same = {"masked", "cycles", "causal_share", "moved_share", "start", "muon_lr", "adam_lr"}
    assert replace(second, **{name: getattr(first, name) for name in same}) == first
    assert second.start == "pocket-t5"
    assert sum(second.cycles) * 10 == sum(first.cycles)


@pytest.mark.slow
def test_one_is_trained_and_the_other_goes_on_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    names = ["cat", "dog", "bird", "tree", "house", "river", "likes", "sees", "old", "new", "red"]
    lines = [" ".join(generator.choice(names, size=generator.integers(5, 14))) for _ in range(3000)]
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(lines) + "\n")
    small = {"vocab_size": 400, "width": 32, "layers": 1, "heads": 2, "batch_tokens": 512}
    first = replace(RECIPES["pocket-t5"], **small, cycles=(6_000, 3_000), moved_share=(0.0, 0.5))
    second = replace(RECIPES["pocket-t5-lm"], **small, cycles=(2_000,), start="tiny-t5")
    monkeypatch.setitem(RECIPES, "tiny-t5", first)
    monkeypatch.setitem(RECIPES, "tiny-t5-lm", second)
    monkeypatch.setattr(zoo, "_MODELS", tmp_path / "models")
    arguments = ["--corpus", str(corpus), "--work", str(tmp_path / "work"), "--threads", "1"]
    assert script.main(["tiny-t5", "tiny-t5-lm", *arguments]) == 0
    tables = []
    for name in ("tiny-t5", "tiny-t5-lm"):
        folder = tmp_path / "models" / name
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)
        assert len(tokenizer) <= model.config.vocab_size == 400
        assert tokenizer("cat")["input_ids"][-1] == tokenizer.eos_token_id
        tables.append(model.get_input_embeddings().weight)
        card = (folder / "README.md").read_text()
        assert "sequence-to-sequence language model (t5 architecture)" in card
        assert ("goes on with the weights of tiny-t5" in card) == name.endswith("lm")
        backbone = load_backbone(resolve_model(str(folder)))
        data = backbone.read(["old cat", "red"], [0, 1], Layout(2, answer="sentinel"))
        assert backbone.blank == tokenizer.convert_tokens_to_ids("<extra_id_0>")
        assert data.decoder is not None and data.decoder.tolist() == [[0, backbone.blank]] * 2
        assert {"cat", "river"} <= set(backbone.words)
        assert not backbone.literal
    moved = (tables[0] - tables[1]).abs().max()
    assert 0 < moved < 1
