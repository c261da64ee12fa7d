"""Whether the short cuts of a backbone give what the library itself gives, asked of each model.

A config may hold flags that change what a model computes and that no short cut knows of: BERT with
``is_decoder`` looks back only, GPT-2 with ``is_causal: false`` also ahead. So when a model is
loaded, a few rows of its own vocabulary, padded and with prompt vectors, are read both ways. The
outcome is kept by the content of the model folder, the versions of torch and transformers, the kind
of device and the code of this package: the same model is asked once.

It is asked in float32, before a model is rounded to what it computes in: differences are then those
of meaning, and one tolerance holds for all.

Shapes: N rows, m prompt tokens, d embedding width, V usable rows of the vocabulary.
"""

import hashlib
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
import transformers

from trainables.backbones.base import Backbone
from trainables.backbones.layout import Encoded, Layout
from trainables.compute.memory import out_of_memory
from trainables.core.cells import ModelRef
from trainables.core.contents import is_pinned
from trainables.core.kept import Facts, kept
from trainables.core.seeds import seeded
from trainables.errors import InputError
from trainables.files.cache import cache_folder

TOLERANCE = 1e-3
"""How far two readings of a row may be apart: the root mean square of their difference over the
vocabulary, divided by the standard deviation of the row's logits over the vocabulary. Rounding in
float32 gives 1e-7 to 1e-5, from models of two layers to models of dozens; the flags that matter
gave 1e-2 and more. What is apart by a thousandth of the spread turns no decision that means
anything."""

WORDS = (2, 5, 9)
"""Words of each row, besides prompt, answer and special tokens."""
CHOSEN = 50
"""About so many words of the vocabulary are also asked for by themselves."""
PROMPT = 2
"""Prompt vectors m in each row."""

FAST, LIBRARY, NEITHER = "fast", "library", "neither"

_known: dict[str, Facts] = {}


def literal_reading(ref: ModelRef, device: str, load: Callable[[], Backbone]) -> tuple[bool, str]:
    """Whether a model has to be read by the library's own forward pass.

    Args:
        load: gives the model in float32, not literal; called where the answer is not known.

    Returns:
        The answer, and if it is yes, one sentence for people.

    Raises:
        InputError: the library's own forward pass does not take prompt vectors.
    """
    key = {
        "reading": _code(),
        "model": ref.digest,
        "device": torch.device(device).type,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    # Whatever an unpinned name stands for tomorrow, in this process it is loaded once.
    folder = cache_folder() / "parity" if is_pinned(ref.digest) else None
    place = f"{ref.location} {key}"
    if place not in _known:
        _known[place] = kept(folder, key, lambda: compare(load()))
    found = _known[place]
    if found["reading"] == NEITHER:
        raise InputError(
            f"model {ref.alias!r}: it cannot be read with prompt vectors ({found['why']});"
            " allowed: models whose forward pass in transformers takes inputs_embeds as it takes"
            " input_ids"
        )
    if found["reading"] == FAST:
        return False, ""
    return True, (
        f"model {ref.alias!r}: the quick way through its last layer {found['why']}, so that it is"
        " read through the library's own layers, which takes longer"
    )


@cache
def _code() -> str:
    """Digest of this package's code: after a change of it, every model is asked anew."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


@torch.no_grad()
def compare(backbone: Backbone) -> Facts:
    """Read a few rows in every way there is.

    Args:
        backbone: the model in float32, not literal.

    Returns:
        ``reading``: :data:`FAST` where the short cuts agree with the library, else
        :data:`LIBRARY`, or :data:`NEITHER` where the library's own forward pass fails on prompt
        vectors, reads a row's embeddings otherwise than its ids, or a row alone otherwise than
        padded beside others; ``why``, in words.
    """
    literal = copy(backbone)
    literal.literal = True
    batch, prompts, owner = _rows(backbone)
    try:
        plain = _by_ids(backbone, batch)
        bare = literal.row_logits(batch, None)
        prompted = literal.row_logits(batch, None, prompts, owner)
    except Exception as error:
        if out_of_memory(error):
            raise
        return {"reading": NEITHER, "why": f"its forward pass fails: {_short(error)}"}
    if apart(bare, plain) > TOLERANCE:
        return {
            "reading": NEITHER,
            "why": f"embeddings and ids of the same words give logits {_far(apart(bare, plain))}",
        }
    alone = [
        literal.row_logits(batch.take(row[None]), None)
        for row in torch.arange(len(batch), device=backbone.device)
    ]
    if apart(torch.cat(alone), plain) > TOLERANCE:
        return {
            "reading": NEITHER,
            "why": "a row gives other logits alone than padded beside longer ones,"
            f" {_far(apart(torch.cat(alone), plain))}",
        }
    some = torch.arange(0, backbone.rows, max(1, backbone.rows // CHOSEN), device=backbone.device)
    try:
        ways = [(backbone.row_logits(batch, None), plain)]
        ways.append((backbone.row_logits(batch, some), plain[:, some]))
        # Behind a remembered beginning, where there is such a thing, and as whole rows.
        ways += [
            (backbone.row_logits(data, None, prompts, owner), prompted)
            for data in (batch, replace(batch, begin=None))
        ]
    except Exception as error:
        if out_of_memory(error):
            raise
        return {"reading": LIBRARY, "why": f"fails ({_short(error)})"}
    far = max(apart(found, wanted) for found, wanted in ways)
    if far > TOLERANCE:
        return {"reading": LIBRARY, "why": f"gives logits {_far(far)}"}
    return {"reading": FAST, "why": ""}


def _by_ids(backbone: Backbone, batch: Encoded) -> torch.Tensor:
    """Logits [N, V] at the answers, from the ids of the rows and with nothing of ours between."""
    family = backbone.family
    logits = family.model(
        input_ids=batch.ids, attention_mask=batch.mask, **batch.beside, **family.body_arguments()
    ).logits
    every = torch.arange(len(batch), device=logits.device)
    found: torch.Tensor = logits[every, batch.answers][:, : backbone.rows]
    return found


def apart(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """How far two readings [N, V] are apart, see :data:`TOLERANCE`; the worst of the rows.

    Numbers that are not finite have to be so in both; what there is left is compared.
    """
    same = torch.isfinite(wanted)
    if not torch.equal(same, torch.isfinite(found)):
        return float("inf")
    one, two = (torch.where(same, side, 0.0).double() for side in (found, wanted))
    off = (one - two).square().mean(1).sqrt()
    # Of logits that are all alike nothing but rounding is left.
    spread = two.std(1, correction=0).maximum(1e-3 * two.abs().amax(1)).clamp_min(1e-30)
    return float((off / spread).max())


def _rows(backbone: Backbone) -> tuple[Encoded, torch.Tensor, torch.Tensor]:
    """Rows of unequal length, prompts [2, m, d], and the prompt of each row [N]."""
    generator = seeded("parity")
    words = torch.arange(backbone.rows)
    words = words[~torch.isin(words, torch.tensor(backbone.tokenizer.all_special_ids))]
    begin, end = backbone.begin, backbone.end
    answer = backbone.answer_ids(Layout())
    rows, answers = [], []
    for count in WORDS:
        # Words stand in the places of the prompt as well: there is a reading without any prompt.
        drawn = words[torch.randint(len(words), (PROMPT + count,), generator=generator)].tolist()
        # A masked model has something to look at on both sides of its answer.
        place = PROMPT + count // 2 if answer else len(drawn)
        rows.append([*begin, *drawn[:place], *answer, *drawn[place:], *end])
        answers.append(len(begin) + place - (0 if answer else 1))
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.long)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = torch.tensor(row)
    types = None
    if backbone.second_type:
        index = torch.arange(ids.shape[1])
        second = (index >= lengths[:, None] // 2) & (index < lengths[:, None])
        types = backbone.second_type * second.long()
    shape = (2, PROMPT, backbone.width)
    prompts = torch.randn(shape, generator=generator) * backbone.scale / backbone.width**0.5
    rows_read = Encoded(
        ids=ids,
        lengths=lengths,
        slots=torch.full_like(lengths, len(begin)),
        answers=torch.tensor(answers),
        gold=torch.zeros_like(lengths),
        begin=len(begin),
        types=types,
    )
    batch = backbone.opened(rows_read).to(backbone.device)
    owner = torch.arange(len(rows), device=backbone.device) % 2
    return batch, prompts.to(backbone.device), owner


def _far(far: float) -> str:
    return (
        f"{far:.2g} of their spread from those of the library (at most {TOLERANCE:g} is rounding)"
    )


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
