"""Corpus, tokenizers and windows for the pocket models."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from trainables.pocket.denoising import SENTINELS

HELD_OUT_EVERY = 200
"""Every 200th line is never trained on; held-out figures are measured on these lines."""

_URL = re.compile(r"https?://\S+|www\.\S+|\S+\.co/\S+")
_SPACES = re.compile(r"\s+")


def read_lines(path: Path) -> tuple[list[str], list[str]]:
    """Read a plain or gzipped text file, one passage a line.

    Returns:
        (training lines, held-out lines); addresses of web pages are cut out.
    """
    opener = gzip.open if path.suffix == ".gz" else open
    train: list[str] = []
    held_out: list[str] = []
    with opener(path, "rt", encoding="utf-8", errors="replace") as handle:
        for number, raw in enumerate(handle):
            line = _SPACES.sub(" ", _URL.sub("", raw)).strip()
            if line:
                (held_out if number % HELD_OUT_EVERY == 0 else train).append(line)
    return train, held_out


def _wordpiece(lines: Iterator[str], vocab_size: int) -> tuple[Tokenizer, dict[str, str]]:
    names = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=list(names.values()),
        limit_alphabet=200,
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    _wrap(tokenizer, "[CLS]", "[SEP]")
    return tokenizer, names


def _bytelevel(lines: Iterator[str], vocab_size: int) -> tuple[Tokenizer, dict[str, str]]:
    names = {
        "bos_token": "<s>",
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "cls_token": "<s>",
        "sep_token": "</s>",
    }
    specials: list[str | AddedToken] = ["<s>", "<pad>", "</s>", "<unk>"]
    # lstrip: the space before a mask belongs to the mask, as in RoBERTa's own tokenizer.
    specials.append(AddedToken("<mask>", lstrip=True, special=True))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # Every word is met with its leading space, so that word-start tokens are learnt for all.
    tokenizer.train_from_iterator((" " + line for line in lines), trainer)
    _wrap(tokenizer, "<s>", "</s>")
    return tokenizer, names | {"mask_token": "<mask>"}


def _gpt_bytelevel(lines: Iterator[str], vocab_size: int) -> tuple[Tokenizer, dict[str, str]]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((" " + line for line in lines), trainer)
    # Every training window opens with the end-of-text token; a text does so too.
    _wrap(tokenizer, "<|endoftext|>", "")
    return tokenizer, dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")


def _metaspace(lines: Iterator[str], vocab_size: int) -> tuple[Tokenizer, dict[str, str]]:
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    tokenizer = _spaced_pieces(lines, vocab_size, [*names.values()])
    _wrap(tokenizer, "<s>", "")
    return tokenizer, names


def _spaced_pieces(lines: Iterator[str], vocab_size: int, special: list[str]) -> Tokenizer:
    """SentencePiece's way of writing: ▁ before a word, bytes for unknown characters."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always"),
            pre_tokenizers.Punctuation(),
        ]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[*special, *(f"<0x{byte:02X}>" for byte in range(256))],
        limit_alphabet=120,
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def _sentinels(lines: Iterator[str], vocab_size: int) -> tuple[Tokenizer, dict[str, str]]:
    """As T5's: words with ▁, no token before a text, one behind it, sentinels, and no mask."""
    names = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    gaps = [f"<extra_id_{place}>" for place in range(SENTINELS)]
    tokenizer = _spaced_pieces(lines, vocab_size, [*names.values(), *gaps])
    _wrap(tokenizer, "", "</s>")
    return tokenizer, names


def _wrap(tokenizer: Tokenizer, first: str, last: str) -> None:
    """Have the tokenizer put ``first`` before and ``last`` (may be empty) after a text."""
    used = [token for token in (first, last) if token]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=" ".join(part for part in (first, "$A", last) if part),
        pair=" ".join(part for part in (first, "$A", last, "$B", last) if part),
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in used],
    )


_TRAINERS = {
    "wordpiece": _wordpiece,
    "bytelevel": _bytelevel,
    "gpt-bytelevel": _gpt_bytelevel,
    "metaspace": _metaspace,
    "sentinels": _sentinels,
}


def train_tokenizer(
    kind: str, lines: list[str], vocab_size: int
) -> tuple[Tokenizer, dict[str, str]]:
    """Train a tokenizer of one of the families of :data:`_TRAINERS` on lower-cased text.

    Returns:
        (tokenizer, names of its special tokens as ``tokenizer_config.json`` wants them).
    """
    return _TRAINERS[kind](iter(lines), vocab_size)


def encode(tokenizer: Tokenizer, lines: list[str], end: int, leading_space: bool) -> np.ndarray:
    """All lines as one int32 stream, each closed by token ``end``."""
    text = [" " + line for line in lines] if leading_space else lines
    parts: list[int] = []
    for start in range(0, len(text), 4096):
        for item in tokenizer.encode_batch(text[start : start + 4096], add_special_tokens=False):
            parts.extend(item.ids)
            parts.append(end)
    return np.asarray(parts, dtype=np.int32)
