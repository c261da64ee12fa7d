"""What a model folder shows without torch: what is wrong with it for certain, and what may be.

A plan is made in a second; the libraries that read models take several to import. So what is sure
is said at once, and what is only doubtful is left to them.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trainables.core.cells import ModelRef
from trainables.core.registries import BACKBONES
from trainables.errors import InputError
from trainables.models.gguf_file import is_gguf, read_header
from trainables.models.heads import HEADS, MASKED
from trainables.models.weights import read_object, tensor_shapes

ABSOLUTE = "absolute"
"""The one kind of positions that the library computes wherever a config can name one."""

CONFIG, TOKENIZER = "config.json", "tokenizer.json"

_COUNTS = ("num_hidden_layers", "n_layer")
"""How configs call the number of layers; each of them has several tensors."""


def is_local(ref: ModelRef) -> bool:
    return Path(ref.location).is_absolute()


def read_config(ref: ModelRef) -> dict[str, Any]:
    """Content of a folder's config.json.

    Raises:
        InputError: it is no JSON object, or says that the weights are quantised.
    """
    path = Path(ref.location) / CONFIG
    with _of(ref):
        config = read_object(path)
        check_plain(config.get("quantization_config"), str(path))
    return config


def check_plain(quantised: Any, place: str) -> None:
    """Refuse weights that are quantised: prompts are trained through plain ones.

    Args:
        quantised: what a config has under ``quantization_config``, None where it has nothing.

    Raises:
        InputError: it has something.
    """
    if quantised is not None:
        method = quantised.get("quant_method") if isinstance(quantised, dict) else None
        raise InputError(
            f"{place}: found quantization_config ({str(method or 'no method')[:40]!r});"
            " allowed: a model that is not quantised"
        )


def read_shapes(ref: ModelRef) -> dict[str, tuple[int, ...]]:
    """Shape by name of a folder's tensors; the weights themselves are not read.

    Raises:
        InputError: as :func:`read_config`, or the weights are no safetensors files, incomplete, or
            of another model.
    """
    if is_gguf(ref.location):  # names and shapes are llama.cpp's: only the library knows whose
        with _of(ref):
            return dict(read_header(Path(ref.location)).shapes)
    folder, config = Path(ref.location), read_config(ref)
    path = folder / CONFIG
    with _of(ref):
        shapes = tensor_shapes(folder, config)
        rows, table = config.get("vocab_size"), {shape[0] for shape in shapes.values() if shape}
        if type(rows) is int and rows not in table:
            raise InputError(
                f"{path}: found vocab_size {rows}, but none of the weights has so many rows;"
                " allowed: the config that belongs to the weights"
            )
        for name in _COUNTS:
            layers = config.get(name)
            if type(layers) is int and layers > len(shapes):
                raise InputError(
                    f"{path}: found {name} {layers}, but there are only {len(shapes)} weights;"
                    " allowed: the config that belongs to the weights"
                )
    return shapes


@contextmanager
def _of(ref: ModelRef) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"model {ref.alias!r}: {error}") from None


def doubtful(ref: ModelRef, words: Iterable[str]) -> bool:
    """Whether a folder needs a closer look, at its architecture, tokenizer or label words.

    Args:
        ref: a model in a folder.
        words: label words, which have to be single tokens.
    """
    folder = Path(ref.location)
    if is_gguf(folder):
        return True
    return _odd_architecture(read_config(ref)) or _odd_words(folder, words)


def _odd_architecture(config: Mapping[str, Any]) -> bool:
    kind, classes = config.get("model_type"), config.get("architectures")
    known = kind in BACKBONES
    endings = tuple(ending for head in HEADS for ending in head.endings)
    heads = isinstance(classes, list) and all(
        isinstance(name, str) and name.endswith(endings) for name in classes
    )
    return not (known and heads and config.get("position_embedding_type") in (None, ABSOLUTE))


def _odd_words(folder: Path, words: Iterable[str]) -> bool:
    words = list(words)
    try:
        return len(_single(folder, words)) < len(set(words))
    except Exception:  # the library has one exception for all that can be wrong
        return True


def single_tokens(ref: ModelRef, words: Iterable[str]) -> dict[str, str]:
    """Those of ``words`` that are one token within a text of this model, and which token.

    Args:
        ref: a model in a folder with a tokenizer.json.
        words: without white space.

    Raises:
        InputError: the tokenizer cannot be read.
    """
    try:
        return _single(Path(ref.location), words)
    except Exception as error:
        raise InputError(
            f"model {ref.alias!r}: its {TOKENIZER} cannot be read ({error});"
            " allowed: a tokenizer that the library tokenizers reads"
        ) from None


def _single(folder: Path, words: Iterable[str]) -> dict[str, str]:
    tokenizer = _tokenizer(folder)
    unknown = getattr(tokenizer.model, "unk_token", None)
    return {
        word: own[0]
        for word, own in _pieces(tokenizer, words).items()
        if len(own) == 1 and own != (unknown,)
    }


def _pieces(tokenizer: Any, texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    def tokens(text: str) -> tuple[str, ...]:
        return tuple(tokenizer.encode(text, add_special_tokens=False).tokens)

    lead = " " if len(tokens(" the")) <= len(tokens("the")) else ""
    return {text: tokens(lead + text) for text in texts}


def pieces(ref: ModelRef, texts: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Tokens of each text within a text of this model; of none where no folder shows them."""
    try:
        return _pieces(_tokenizer(Path(ref.location)), texts) if is_local(ref) else {}
    except Exception:  # the library has one exception for all that can be wrong
        return {}


def is_masked(ref: ModelRef) -> bool:
    """Whether a folder's config says that its model is a masked one."""
    if not is_local(ref) or is_gguf(ref.location):
        return False
    config = read_config(ref)
    classes = config.get("architectures")
    named = classes if isinstance(classes, list) else []
    return not config.get("is_encoder_decoder") and any(
        str(name).endswith(MASKED.endings) for name in named
    )


def tokenizer_fault(ref: ModelRef) -> BaseException | None:
    """Why a folder's tokenizer.json itself cannot be read; None where it can, or is not there."""
    if not (Path(ref.location) / TOKENIZER).is_file():
        return None
    try:
        _tokenizer(Path(ref.location))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic is no Exception
        return error
    return None


def _tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / TOKENIZER))
