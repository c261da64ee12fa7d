"""The embedded models: ordinary folders, small, honest cards; and the script that makes them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
)

from trainables.interchange.tuned import licence_of
from trainables.pocket import POCKET_NAMES, pocket_path
from trainables.pocket import train as script
from trainables.pocket.card import model_card
from trainables.pocket.recipes import RECIPES, PocketRecipe
from trainables.pocket.wordvectors import ppmi_svd

MIB = 2**20
SENTENCE = "the president of the united states said on"


def test_zoo_and_recipes_agree_and_fit_the_size() -> None:
    total = sum(f.stat().st_size for name in POCKET_NAMES for f in pocket_path(name).iterdir())
    assert total < 40 * MIB
    assert len({recipe.family for recipe in RECIPES.values()}) >= 4
    assert len({recipe.width for recipe in RECIPES.values()}) >= 4
    with pytest.raises(KeyError):
        pocket_path("pocket-none")


@pytest.mark.parametrize("name", POCKET_NAMES)
def test_loads_as_an_ordinary_model_and_knows_some_english(name: str) -> None:
    folder = pocket_path(name)
    recipe = RECIPES[name]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    auto = AutoModelForMaskedLM if recipe.masked else AutoModelForCausalLM
    if recipe.family == "t5":
        auto = AutoModelForSeq2SeqLM
    model, info = auto.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["mismatched_keys"]
    assert model.config.model_type == recipe.family
    assert len(tokenizer) == recipe.vocab_size == model.config.vocab_size
    model.eval()
    # A real text must be far likelier than the same words shuffled.
    words = [
        "he",
        "said",
        "that",
        "he",
        "would",
        "not",
        "be",
        "able",
        "to",
        "go",
        "to",
        "the",
        "city",
        "with",
        "his",
        "family",
        ".",
    ]
    shuffled = [words[i] for i in np.random.default_rng(0).permutation(len(words))]
    read = mean_loss if recipe.family != "t5" else (said_loss, continued_loss)[not recipe.masked]
    losses = [read(model, tokenizer, " ".join(text)) for text in (words, shuffled)]
    assert losses[0] < losses[1] - 0.5
    assert losses[0] < 0.75 * np.log(recipe.vocab_size), "no better than a guess"


@torch.no_grad()
def mean_loss(model: torch.nn.Module, tokenizer: object, text: str) -> float:
    ids = tokenizer(" " + text, return_tensors="pt")["input_ids"]  # type: ignore[operator]
    mask = getattr(tokenizer, "mask_token_id", None)
    if mask is None:
        logits = model(ids).logits[0, :-1]
        return float(torch.nn.functional.cross_entropy(logits, ids[0, 1:]))
    places = torch.arange(1, ids.shape[1] - 1)
    rows = ids.repeat(len(places), 1)
    rows[torch.arange(len(places)), places] = mask
    logits = model(rows).logits[torch.arange(len(places)), places]
    return float(torch.nn.functional.cross_entropy(logits, ids[0, places]))


@torch.no_grad()
def said_loss(model: torch.nn.Module, tokenizer: object, text: str) -> float:
    """Each word taken out in turn, and said by the decoder behind the sentinel in its place."""
    ids = tokenizer(text, return_tensors="pt")["input_ids"]  # type: ignore[operator]
    sentinel = tokenizer.convert_tokens_to_ids("<extra_id_0>")  # type: ignore[attr-defined]
    places = torch.arange(ids.shape[1] - 1)
    rows = ids.repeat(len(places), 1)
    rows[places, places] = sentinel
    given = torch.tensor([[0, sentinel]]).repeat(len(places), 1)
    logits = model(input_ids=rows, decoder_input_ids=given).logits[:, 1]
    return float(torch.nn.functional.cross_entropy(logits, ids[0, places]))


@torch.no_grad()
def continued_loss(model: torch.nn.Module, tokenizer: object, text: str) -> float:
    """The second half of the words behind the first."""
    ids = tokenizer(text, return_tensors="pt")["input_ids"][0]  # type: ignore[operator]
    half = len(ids) // 2
    read, said = torch.cat([ids[:half], ids[-1:]]), ids[half:-1]
    given = torch.cat([torch.zeros(1, dtype=torch.long), said[:-1]])
    logits = model(input_ids=read[None], decoder_input_ids=given[None]).logits[0]
    return float(torch.nn.functional.cross_entropy(logits, said))


@pytest.mark.parametrize("name", POCKET_NAMES)
def test_card_tells_what_was_measured(name: str) -> None:
    record = json.loads((pocket_path(name) / "card.json").read_text())
    card = (pocket_path(name) / "README.md").read_text()
    assert record["name"] == name
    assert record["tokens_seen"] >= sum(RECIPES[name].cycles)
    assert 0.1 < record["held_out_top1"] < 0.6
    for key in ("held_out_top1", "held_out_loss"):
        assert f"{record[key]:.3f}" in card
    assert f"{record['tokens_seen']:,}" in card
    assert card == model_card(record)
    assert licence_of(str(pocket_path(name))) == "apache-2.0"


TINY = PocketRecipe("roberta", "bytelevel", True, 400, 32, 1, 2, (6_000,), 0.4, (0.5,), 512)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    names = [
        "the",
        "cat",
        "dog",
        "bird",
        "tree",
        "house",
        "river",
        "likes",
        "sees",
        "finds",
        "old",
        "new",
        "red",
        "big",
        "small",
    ]
    lines = [
        " ".join(generator.choice(names, size=generator.integers(5, 14))) + " ."
        for _ in range(3000)
    ]
    path = tmp_path / "corpus.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.slow
def test_training_is_deterministic_and_resumes_where_it_was(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "pocket_path", lambda name: tmp_path / "models" / name)
    monkeypatch.setitem(script.RECIPES, "tiny-a", TINY)
    weights = []
    for folder, interrupted in (("straight", False), ("again", False), ("resumed", True)):
        work = tmp_path / folder
        if interrupted:
            calls = 0
            real = script.rate_factor

            def stop_early(progress: float) -> float:
                nonlocal calls
                calls += 1
                if calls == 8:
                    raise KeyboardInterrupt
                return real(progress)  # noqa: B023

            monkeypatch.setattr(script, "rate_factor", stop_early)
            arguments = ["tiny-a", "--corpus", str(corpus), "--work", str(work)]
            assert script.main([*arguments, "--save-every", "0", "--threads", "1"]) == 130
            monkeypatch.setattr(script, "rate_factor", real)
        assert (
            script.main(["tiny-a", "--corpus", str(corpus), "--work", str(work), "--threads", "1"])
            == 0
        )
        exported = AutoModelForMaskedLM.from_pretrained(tmp_path / "models" / "tiny-a")
        weights.append(torch.cat([p.flatten().float() for p in exported.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])


def test_bad_arguments_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        script.main(["pocket-berd", "--corpus", str(tmp_path)])
    assert caught.value.code == 2
    assert "unknown model 'pocket-berd'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        script.main(["--corpus", str(tmp_path / "none.txt")])
    assert caught.value.code == 2


def test_ppmi_vectors_put_words_of_equal_company_together() -> None:
    generator = np.random.default_rng(0)
    rows = [
        [generator.choice([1, 2]), generator.choice([3, 4]), 9]
        if generator.random() < 0.5
        else [generator.choice([5, 6]), generator.choice([7, 8]), 10]
        for _ in range(4000)
    ]
    vectors = ppmi_svd(np.concatenate(rows).astype(np.int32), 12, 4, seed=0)
    unit = torch.nn.functional.normalize(vectors, dim=1)
    assert float(unit[1] @ unit[2]) > 0.8
    assert float(unit[1] @ unit[2]) > float(unit[1] @ unit[5]) + 0.5
    assert float(vectors.std()) == pytest.approx(1.0, abs=1e-3)


def test_cycles_and_rates() -> None:
    assert script.cycle_of(0, (10, 5)) == (0, 0.0)
    assert script.cycle_of(10, (10, 5)) == (1, 0.0)
    assert script.cycle_of(14, (10, 5)) == (1, 0.8)
    assert script.rate_factor(script.WARMUP / 2) == pytest.approx(0.5)
    assert script.rate_factor(0.3) == 1.0
    assert script.rate_factor(1.0) == 0.0
