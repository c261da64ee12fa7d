"""Mistakes found before training: one sentence each, or a warning with the count."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import transformers
import yaml
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from trainables.core.cells import ModelRef
from trainables.errors import InputError
from trainables.models.names import resolve_model
from trainables.preflight import preflight
from trainables.tasks import resolve_task

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def model_of(folder: Path, words: list[str], positions: int = 64, begin: int = 2) -> ModelRef:
    """A tiny BERT that knows just these words."""
    vocabulary = {word: place for place, word in enumerate([*SPECIAL, "##a", *words])}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))  # type: ignore[arg-type]
    tokenizer.pre_tokenizer = Whitespace()  # type: ignore[assignment]
    tokenizer.post_processor = TemplateProcessing(  # type: ignore[assignment]
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", begin), ("[SEP]", 3)]
    )
    names = dict(zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL, strict=True))
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{f"{name}_token": token for name, token in names.items()}
    ).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        max_position_embeddings=positions,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
    )
    transformers.BertForMaskedLM(config).save_pretrained(folder)
    return resolve_model(str(folder))


def words(count: int) -> list[str]:
    """Words that the embedded BERT has as one token."""
    known = transformers.AutoTokenizer.from_pretrained(resolve_model("pocket-bert").location)
    table = [word for word in sorted(known.get_vocab()) if word.isalpha() and word.islower()]
    return list(dict.fromkeys(["bad", "good", "a", "the", *table]))[:count]


def test_few_common_words_are_a_warning_with_their_number(tmp_path: Path) -> None:
    small, pocket = model_of(tmp_path / "small", words(60)), resolve_model("pocket-bert")
    task = resolve_task("mini/reviews")
    found = preflight([small, pocket], [task], [{"prompt_length": 5}], [("small", "pocket-bert")])
    assert found == [
        "models pocket-bert, small share only 60 single-token words; relative representations rest"
        " on few anchors (fewer than 500)"
    ]


def test_a_sample_of_more_words_than_there_are_is_a_warning(tmp_path: Path) -> None:
    small, pocket = model_of(tmp_path / "small", words(60)), resolve_model("pocket-bert")
    asked = [(("small", "pocket-bert"), size) for size in (60, 8192)]
    assert preflight([small, pocket], [], [], samples=asked) == [
        "models small, pocket-bert share only 60 single-token words; anchor_sample 8192 takes all"
        " of them"
    ]


def test_no_common_word_is_an_error(tmp_path: Path) -> None:
    small = model_of(tmp_path / "small", ["zzyzx", "qwrtp", "a" * 9])
    pocket = resolve_model("pocket-bert")
    with pytest.raises(InputError, match="models pocket-bert, small: no word is a single token"):
        preflight([small, pocket], [], [], [("small", "pocket-bert")])


@pytest.mark.parametrize("length", [61, 64, 1000])
def test_a_prompt_longer_than_the_positions(tmp_path: Path, length: int) -> None:
    small = model_of(tmp_path / "small", words(60))
    task = resolve_task("mini/reviews")
    assert preflight([small], [task], [{"prompt_length": 60}]) == []
    with pytest.raises(InputError, match=f"prompt_length {length} .*; allowed: fewer than 64"):
        preflight([small], [task], [{"prompt_length": length}])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"text": "fine"}', "line 1 has no column 'label'"),
        ('{"text": "fine", "label": -1}', "all labels of .* are -1, .*not public"),
        ('{"text": "fine", "label": null}', "line 1 has the label None"),
    ],
)
def test_a_test_split_without_labels(tmp_path: Path, row: str, message: str) -> None:
    for split in ("train", "validation"):
        lines = [f'{{"text": "{split} {label}", "label": {label}}}' for label in (0, 1)]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(lines))
    (tmp_path / "test.jsonl").write_text(row)
    files = {split: f"{split}.jsonl" for split in ("train", "validation", "test")}
    content: dict[str, Any] = {"extends": "mini/reviews", "name": "own", "data": {"files": files}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(content))
    task = resolve_task(str(tmp_path / "own.yaml"))
    with pytest.raises(InputError, match=message) as caught:
        preflight([resolve_model("pocket-bert")], [task], [])
    assert "\n" not in str(caught.value)


def test_a_token_beyond_the_embedding_table_is_named_with_its_id(tmp_path: Path) -> None:
    """Added tokens, whether a text can hold them or the tokenizer puts them around one."""
    ref, task = model_of(tmp_path / "small", words(60)), resolve_task("mini/reviews")
    rows = len(SPECIAL) + 61
    load = transformers.AutoTokenizer.from_pretrained
    plain = load(ref.location)
    assert len(plain) == rows
    for added, token in (
        ({"new_tokens": ["zyxwvut"]}, "zyxwvut"),
        ({"new_tokens": ["<here>"], "special_tokens": True}, "<here>"),
        ({"new_tokens": ["<one>", "<two>", "<three>"]}, "<one>"),
    ):
        tokenizer = load(ref.location)
        tokenizer.add_tokens(**added)
        tokenizer.save_pretrained(ref.location)
        more = " and 2 more beyond it" if token == "<one>" else ""
        sentence = (
            f"model 'small': its tokenizer has the token {token!r} with id {rows}{more}, but its"
            f" embedding table has {rows} rows; allowed: ids 0 to {rows - 1}"
        )
        with pytest.raises(InputError, match=re.escape(sentence)) as caught:
            preflight([ref], [task], [])
        assert "\n" not in str(caught.value)
        plain.save_pretrained(ref.location)
    for name in ("mask_token", "pad_token"):
        tokenizer = load(ref.location)
        tokenizer.add_special_tokens({name: "<mine>"})
        tokenizer.save_pretrained(ref.location)
        with pytest.raises(InputError, match=f"the token '<mine>' with id {rows}, but"):
            preflight([ref], [task], [])
        plain.save_pretrained(ref.location)
    assert preflight([ref], [task], []) == []


def test_what_stands_around_texts_is_looked_at_too(tmp_path: Path) -> None:
    """The tokenizer's frame names ids of its own, which its vocabulary need not have."""
    ref = model_of(tmp_path / "framed", words(60), begin=900)
    with pytest.raises(InputError, match=r"the token '\(unnamed\)' with id 900, but its embedding"):
        preflight([ref], [], [])


@pytest.mark.slow
def test_reading_text_does_without_torchs_compiler() -> None:
    """It takes two seconds to import, and what reads these models has no need of it."""
    code = (
        "import sys, trainables.preflight\n"
        "from trainables.backbones.loading import load_reader\n"
        "from trainables.models.names import resolve_model\n"
        "for name in ('pocket-bert', 'pocket-gpt2', 'pocket-roberta'):\n"
        "    load_reader(resolve_model(name))\n"
        "print('torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"


def test_label_texts_are_looked_at_on_every_model(tmp_path: Path) -> None:
    """What a model cannot tell apart, and positions that a text leaves no room for."""
    small = model_of(tmp_path / "small", words(60), positions=10)
    texts = {"extends": "mini/reviews", "label_words": ["a bad", "a good"]}

    def check(**more: Any) -> list[str]:
        file = tmp_path / "task.yaml"
        file.write_text(yaml.safe_dump({**texts, **more}))
        return preflight([small], [resolve_task(str(file))], [{"prompt_length": 4}])

    assert check(scoring="sum") == []
    with pytest.raises(InputError, match="begin with the same token; allowed under scoring"):
        check(scoring="first_token")
    with pytest.raises(InputError, match="allowed: words without white space, or texts with sco"):
        check()
    with pytest.raises(InputError, match="takes 10 positions"):
        check(scoring="sum", label_words=["a bad the a", "a good"])
