"""How prompts start: one function a way, found by the name that ``init`` gives.

After Lester et al. (2021), section 3.2: random uniform values, sampled vocabulary, class labels;
beside them the normal values of OptiPrompt, a given text and a given file. What their released code
does otherwise: its configuration draws from [0, 0.5] (``init_range``); of the vocabulary it takes
the first 5,000 rows of the table, which are the most frequent pieces in T5's order alone (here:
whole words, :func:`trainables.words.frequent.frequent_words`). Class labels come first in both, in
the task's order, and what is left of the prompt are sampled words.

``mask``, one vector over and over, is the weak start that PPT's released code compares with (Gu et
al. 2022). There it is to be that of "<mask>", which T5's vocabulary does not have, and is taken
before the weights are loaded: random numbers. Here it is the model's own row.

What is random depends on the seed and the model alone, not on what is tuned beside it: runs with
other λ or other partners start from the same point and can be compared in pairs. ``mask``,
``text`` and ``file`` have nothing random: there, seeds differ in data order (and dropout) only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import torch
from safetensors.numpy import load_file

from trainables.backbones import LAYERS, AnswerTexts, Backbone, Labels, Reader, label_texts
from trainables.core.registries import INITIALISATIONS
from trainables.core.seeds import beginning, initial_prompt
from trainables.core.settings import SoftSettings
from trainables.errors import InputError
from trainables.words.frequent import (
    filled,
    frequent_words,
    sampled_words,
    text_tokens,
    words_first,
)

TENSOR = "prompt"
"""Name of the tensor in a safetensors file that holds several."""


@dataclass(frozen=True)
class Beginning:
    """What a prompt may start from.

    Attributes:
        backbone: the model it is for.
        label_ids: the task's label words, or the few answers of free text that have names.
        settings: length m and the parameters of the ways.
        seed: the replica's seed.
        key: stands for the model in what is random, e.g. its content digest.
        file: path of ``init: file`` for this model.
    """

    backbone: Backbone
    label_ids: Labels
    settings: SoftSettings
    seed: int
    key: str
    file: Path | None = None

    @property
    def generator(self) -> torch.Generator:
        """A fresh generator of this seed and model."""
        return beginning(self.seed, self.key)

    @property
    def width(self) -> int:
        """Numbers of one vector of the prompt."""
        return self.backbone.vector_width(self.settings.position)

    def rows(self, ids: list[int]) -> torch.Tensor:
        """Embeddings of tokens, float32 on the CPU."""
        found: torch.Tensor = self.backbone.embeddings[ids].float().cpu()
        return found


def _normal(start: Beginning) -> torch.Tensor:
    length, std = start.settings.prompt_length, start.settings.init_std
    return initial_prompt(length, start.width, std, start.seed, start.key)


def _uniform(start: Beginning) -> torch.Tensor:
    shape = (start.settings.prompt_length, start.width)
    low, high = start.settings.init_range
    # The paper's range gives 0.5 · (2 u - 1) to the last bit, as it always did.
    unit = 2.0 * torch.rand(shape, generator=start.generator) - 1.0
    return (high - low) / 2 * unit + (high + low) / 2


def _vocabulary(start: Beginning) -> torch.Tensor:
    length = start.settings.prompt_length
    return start.rows(sampled_words(start.backbone, length, start.seed, start.key))


def _label_words(start: Beginning) -> torch.Tensor:
    length, table = start.settings.prompt_length, start.backbone.embeddings
    labels = start.label_ids
    own = (labels if isinstance(labels, AnswerTexts) else label_texts(labels)).vectors(table)
    found = words_first(start.backbone, own, table, length, start.seed, start.key)
    return found.float().cpu()


def _mask(start: Beginning) -> torch.Tensor:
    return start.rows([_mask_token(start.backbone)] * start.settings.prompt_length)


def _mask_token(reader: Reader) -> int:
    """The mask of a model, or its unknown token where it has none."""
    tokenizer = reader.tokenizer
    known = (tokenizer.mask_token_id, tokenizer.unk_token_id)
    found = [number for number in known if number is not None and number < reader.rows]
    if not found:
        raise InputError(
            f"init: found mask, but model {reader.alias!r} has neither a mask token nor an unknown"
            " token; allowed: normal, uniform, vocabulary, label_words or text for such a model"
        )
    return int(found[0])


def _text(start: Beginning) -> torch.Tensor:
    ids = text_tokens(start.backbone, start.settings.init_text or "")
    return start.rows(filled(ids, start.settings.prompt_length))


def _file(start: Beginning) -> torch.Tensor:
    if start.file is None:
        raise InputError(f"init_file: found no file for model {start.backbone.alias!r}")
    length, width = start.settings.prompt_length, start.width
    return torch.from_numpy(read_prompt(start.file, start.backbone.alias, length, width))


def begin(start: Beginning) -> torch.Tensor:
    """The initial prompt [m, d] that ``settings.init`` asks for; in layers [m, D].

    Raises:
        InputError: the file does not fit, the text has no tokens, or the model has no words.
    """
    way: Initialisation = INITIALISATIONS[start.settings.init]
    found = way.start(start)
    deep = way.words and start.settings.position == LAYERS
    return start.backbone.keys_and_values(found) if deep else found


def _check_words(reader: Reader, settings: SoftSettings, file: Path | None) -> None:
    frequent_words(reader)


def _check_mask(reader: Reader, settings: SoftSettings, file: Path | None) -> None:
    _mask_token(reader)


def _check_text(reader: Reader, settings: SoftSettings, file: Path | None) -> None:
    text_tokens(reader, settings.init_text or "")


def _check_file(reader: Reader, settings: SoftSettings, file: Path | None) -> None:
    if file is None:
        raise InputError(f"init_file: found no file for model {reader.alias!r}")
    width = reader.vector_width(settings.position)
    read_prompt(file, reader.alias, settings.prompt_length, width)


@dataclass(frozen=True)
class Initialisation:
    """A way to start, an entry of :data:`trainables.core.registries.INITIALISATIONS`.

    Attributes:
        start: the initial prompt [m, d], float32 on the CPU.
        check: finds what is wrong with it before any weights are loaded.
        words: whether it gives what stands for words: a prompt in layers starts from the keys and
            values that these leave there.
    """

    start: Callable[[Beginning], torch.Tensor]
    check: Callable[[Reader, SoftSettings, Path | None], None] | None = None
    words: bool = False


normal = Initialisation(_normal)
uniform = Initialisation(_uniform)
vocabulary = Initialisation(_vocabulary, _check_words, words=True)
label_words = Initialisation(_label_words, _check_words, words=True)
mask = Initialisation(_mask, _check_mask, words=True)
text = Initialisation(_text, _check_text, words=True)
file = Initialisation(_file, _check_file)


def check_beginning(reader: Reader, settings: SoftSettings, file: Path | None) -> None:
    """Refuse what :func:`begin` would refuse, with no weights at hand.

    Args:
        file: path of ``init: file`` for this model.

    Raises:
        InputError: as :func:`begin`.
    """
    reader.vector_width(settings.position)
    way: Initialisation = INITIALISATIONS[settings.init]
    if way.check is not None:
        way.check(reader, settings, file)


def read_prompt(path: Path, alias: str, length: int | None, width: int) -> np.ndarray:
    """The prompt of a .npy or .safetensors file, float32 [m, d].

    Args:
        path: the file; in safetensors the only tensor, or the one called ``prompt``.
        alias: the model it is for, named in errors.
        length: m; None: whatever it is.
        width: d.

    Raises:
        InputError: it cannot be read, is not of this shape or not finite.
    """
    where = f"init_file {str(path)!r} for model {alias!r}"
    size = "prompt_length" if length is None else length
    allowed = f"finite numbers of shape [{size}, {width}] (prompt_length, embedding width)"
    try:
        values = _tensor(path)
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{where}: cannot be read ({reason}); allowed: {allowed}") from None
    if length is None and values.ndim == 2 and len(values):
        length = len(values)
    if values.shape != (length, width):
        raise InputError(f"{where}: found shape {list(values.shape)}; allowed: {allowed}")
    if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise InputError(f"{where}: found values that are no finite numbers; allowed: {allowed}")
    return values.astype(np.float32)


def _tensor(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return np.asarray(np.load(path, allow_pickle=False))
    tensors = load_file(path)
    only = next(iter(tensors)) if len(tensors) == 1 else TENSOR
    if only not in tensors:
        raise ValueError(f"of its {len(tensors)} tensors none is called {TENSOR}")
    return np.asarray(tensors[only])
