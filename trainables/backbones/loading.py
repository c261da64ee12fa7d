"""Load a model and its tokenizer once a process, frozen before any autograd."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from copy import deepcopy
from functools import partial
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoTokenizer,
    GenerationConfig,
    GgufConfig,
    PreTrainedConfig,
)

from trainables.backbones.base import Backbone
from trainables.backbones.family import Family
from trainables.backbones.general import KINDS, MORE, General
from trainables.backbones.parity import literal_reading
from trainables.backbones.reader import Reader
from trainables.backbones.sequence import FORCED
from trainables.compute.memory import Resident, out_of_memory
from trainables.core.cells import ModelRef
from trainables.core.contents import check_no_folder, is_hub_name, no_access
from trainables.core.kept import Facts, kept
from trainables.core.precision import FLOAT32
from trainables.core.registries import BACKBONES
from trainables.errors import InputError
from trainables.files.cache import cache_folder
from trainables.files.text_files import one_line
from trainables.models.first_look import (
    ABSOLUTE,
    CONFIG,
    TOKENIZER,
    check_plain,
    is_local,
    read_config,
    read_shapes,
    tokenizer_fault,
)
from trainables.models.gguf_file import SUFFIX, is_gguf, read_header
from trainables.models.heads import HEADS, SEQUENCE, SUPPORTED
from trainables.models.names import is_model

_OURS = {
    "return_dict": True,
    "output_attentions": False,
    "output_hidden_states": False,
    "chunk_size_feed_forward": 0,
}
"""How a forward pass hands out what it has found, and in what parts it works on a row, is ours to
say, whatever a config holds: no number depends on it."""
_FLOAT = 4
"""Bytes of a number in float32."""
_LONGEST = 300
"""Characters of a library's reason at most."""
_SPARE = 10_000_000
"""Numbers that may be missing of any model's weights before it is not even built, to name them."""
_SHARE = 0.5
"""Part of a device's memory that models may take between packs; the rest is for training. Models
that a pack is using stay whatever they take."""

resident: Resident[tuple[str, str, str, str], Backbone] = Resident(
    _SHARE, lambda backbone: backbone.nbytes
)
"""The models of this process by location, digest, device and precision."""


def load_backbone(ref: ModelRef, device: str = "cpu", precision: str = FLOAT32) -> Backbone:
    """The frozen backbone of ``ref``; it stays resident in this process as long as there is room.

    Args:
        precision: what it computes in, of :data:`trainables.core.precision.PRECISIONS`.

    Raises:
        InputError: the model cannot be had, is of no known family, ships no fast tokenizer, or
            cannot be read with prompt vectors (:mod:`trainables.backbones.parity`).
    """
    key = (ref.location, ref.digest, device, precision)
    make = partial(_load, ref, device, precision)
    return resident.get(key, device, make, lambda: _weight_bytes(ref))


def _weight_bytes(ref: ModelRef) -> int:
    """Bytes of a model's weights, as far as they are known; 0 for a Hub name."""
    with in_a_sentence(ref):
        if is_gguf(ref.location):
            return _FLOAT * read_header(Path(ref.location)).numbers
        return sum(file.stat().st_size for file in Path(ref.location).glob("*.safetensors"))


def load_reader(ref: ModelRef) -> Reader:
    """Tokenizer and conventions of ``ref``, without its weights: what can be checked early.

    Raises:
        InputError: as :func:`load_backbone`, or the tokenizer has ids beyond the embedding table.
    """
    logging.getLogger("transformers").setLevel(logging.ERROR)
    if is_hub_name(ref.location):
        check_no_folder(ref.location, f"model {ref.alias!r}")
    if is_local(ref) and not is_gguf(ref.location):
        # Before the library reads the rest, of which it may say anything.
        _check_type(ref, read_config(ref).get("model_type"))
    with in_a_sentence(ref, CONFIG):
        config = _config(ref)
        if getattr(config, "is_encoder_decoder", False):
            setattr(config, FORCED, _forced(ref))
        family = _family(ref, config)
    with in_a_sentence(ref, TOKENIZER), _source(ref) as (place, asked):
        tokenizer = AutoTokenizer.from_pretrained(place, **asked)
        if not getattr(tokenizer, "is_fast", False):
            raise InputError(
                f"model {ref.alias!r}: no fast tokenizer (tokenizer.json) in its folder"
            )
        reader = Reader(ref.alias, family, tokenizer)
        reader.check_ids()
    return reader


def _config(ref: ModelRef) -> Any:
    """The library's config; that of a GGUF file, which it takes seconds to read, is kept."""

    def read() -> Facts:
        with _source(ref) as (place, asked):
            return dict(PreTrainedConfig.get_config_dict(place, **asked)[0])

    if is_gguf(ref.location):
        key = {"config": ref.digest, "transformers": transformers.__version__}
        return AutoConfig.for_model(**kept(cache_folder() / "gguf", key, read))
    with _source(ref) as (place, asked):
        return AutoConfig.from_pretrained(place, **asked)


def _family(ref: ModelRef, config: Any) -> Family:
    _check_type(ref, config.model_type)
    kind = _kind(ref, config)
    check_plain(
        getattr(config, "quantization_config", None), f"model {ref.alias!r}: its config.json"
    )
    _check_positions(ref, config, kind)
    found = kind(config)
    if found.fault:
        raise InputError(
            f"model {ref.alias!r}: it cannot be read with prompt vectors ({found.fault}); allowed:"
            " models whose forward pass in transformers takes inputs_embeds"
        )
    sizes = {"positions": found.max_tokens, "width": found.width, "rows": int(config.vocab_size)}
    if found.head is SEQUENCE:
        sizes["decoder_start_token_id"] = len(found.opening)
    for name, size in sizes.items():
        if size < 1:
            raise InputError(
                f"model {ref.alias!r}: its config.json leaves {size} {name}; allowed: at least 1"
            )
    return found


def _check_type(ref: ModelRef, model_type: Any) -> None:
    """Refuse what the library has no language model of text for."""
    named = isinstance(model_type, str)
    if named and (model_type in BACKBONES or any(kind.of(model_type, ()) for kind in KINDS)):
        return
    raise InputError(
        f"model {ref.alias!r}: architecture {model_type!r} is not supported; allowed: a {SUPPORTED}"
        f" of text that transformers {transformers.__version__} has itself"
        f" ({', '.join(head.auto for head in HEADS)})"
    )


def _forced(ref: ModelRef) -> int | None:
    """The token that the library's ``generate`` makes a decoder say first, as BART's; often none.

    It stands in a file of its own or, in older folders, in the config. A GGUF file has none.
    """
    if is_gguf(ref.location):
        return None
    pinned = {"revision": ref.revision} if ref.revision else {}
    for file in ("generation_config.json", CONFIG):
        try:
            found = GenerationConfig.from_pretrained(ref.location, file, **pinned)
        except OSError:
            continue
        number: int | None = found.forced_bos_token_id
        return number
    return None


def _kind(ref: ModelRef, config: Any) -> type[Family]:
    """The family of an architecture, or the general one of the head that was saved.

    Raises:
        InputError: an encoder or a classifier, to which the library would give a random vocabulary
            head; one that may be masked as well as causal.
    """
    names = [str(name) for name in getattr(config, "architectures", None) or ()]
    told = f"model {ref.alias!r}: its config.json says {', '.join(names) or 'no architectures'}"
    family: type[Family] | None = None
    if config.model_type in BACKBONES:
        family = BACKBONES[config.model_type]
        if not names or any(name.endswith(family.head.endings) for name in names):
            return family
    paired = bool(getattr(config, "is_encoder_decoder", False))
    able = [kind for kind in KINDS if (kind.head is SEQUENCE) == paired]
    kinds = [kind for kind in able if kind.of(config.model_type, names)]
    if len(kinds) == 1:
        return kinds[0]
    if kinds:
        either = " or ".join(kind.classes[config.model_type] for kind in kinds)
        raise InputError(
            f"{told}, and {config.model_type!r} may be masked or causal; allowed: architectures"
            f" with one of {either}"
        )
    fit: list[type[Family]] = [kind for kind in able if kind.of(config.model_type, ())]
    if family:
        fit = [family]
    if not fit:
        raise InputError(f"{told}, no model of text; allowed: a {SUPPORTED} of text")
    heads = [kind.head for kind in fit]
    words = " or ".join(head.name for head in heads)
    endings = ", …".join(dict.fromkeys(ending for head in heads for ending in head.endings))
    more = any(name.endswith(MORE) for name in names)
    raise InputError(
        f"{told}, which {'reads more than one text' if more else 'has no vocabulary head'};"
        f" allowed: a {words} language model (a class named …{endings})"
    )


def _check_positions(ref: ModelRef, config: Any, family: type[Family]) -> None:
    """Refuse positions that the library once had and now passes over without a word."""
    kind = str(getattr(config, "position_embedding_type", None) or ABSOLUTE)
    passed_over = kind.startswith("relative") if issubclass(family, General) else kind != ABSOLUTE
    if passed_over:
        raise InputError(
            f"model {ref.alias!r}: its config.json says position_embedding_type {kind!r}, which"
            f" transformers {transformers.__version__} does not compute; allowed: {ABSOLUTE}"
        )


def check_weights(ref: ModelRef, reader: Reader) -> None:
    """Refuse a folder whose weights do not make the model its config says, without reading them.

    The library builds it as ever, from numbers of the shapes that stand in the files' headers and
    take no memory. That a folder has passed is kept by its digest.

    Raises:
        InputError: as :func:`load_backbone`.
    """
    if is_gguf(ref.location):
        read_shapes(ref)
        return
    key = {"weights": ref.digest, "transformers": transformers.__version__}

    def build() -> Facts:
        shapes = read_shapes(ref)
        _library_model(
            ref, reader, {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}
        )
        return {"complete": True}

    kept(cache_folder() / "weights", key, build)


def _library_model(
    ref: ModelRef, reader: Reader, weights: Mapping[str, torch.Tensor] | None = None
) -> Any:
    """The library's model in float32, of its files or of ``weights`` in their place."""
    transformers.utils.logging.disable_progress_bar()
    head, config = reader.family.head, deepcopy(reader.family.config)
    for name, value in _OURS.items():
        if hasattr(config, name):
            setattr(config, name, value)
    asked = {"config": config, "dtype": torch.float32, "output_loading_info": True}
    # Shapes that differ are told below, with their names.
    asked["ignore_mismatched_sizes"] = True
    with in_a_sentence(ref):
        if weights is None:
            auto = getattr(transformers, head.auto)
            with _source(ref, weights=True) as (place, more):
                model, found = auto.from_pretrained(place, use_safetensors=True, **asked, **more)
        else:
            known = getattr(transformers, head.mapping)
            _check_size(ref, lambda: known[type(config)](deepcopy(config)), weights)
            model, found = known[type(config)].from_pretrained(
                None, state_dict=dict(weights), **asked
            )
        missing, other = sorted(found["missing_keys"]), sorted(found["mismatched_keys"])
    if other:
        name, there, wanted = other[0]
        raise InputError(
            f"model {ref.alias!r}: {len(other)} of its weights have other shapes than its"
            f" config.json says ({name} {list(there)}, not {list(wanted)}); allowed: the config"
            " that belongs to the weights"
        )
    if missing:
        # What is not in the file would be random numbers, and no error would say so.
        raise InputError(
            f"model {ref.alias!r}: {len(missing)} of its weights are not in {ref.location!r}"
            f" ({', '.join(missing[:3])}); allowed: a complete {SUPPORTED}"
        )
    return model


def _check_size(
    ref: ModelRef, build: Callable[[], Any], weights: Mapping[str, torch.Tensor]
) -> None:
    """Refuse a config that asks for a far larger model than there are weights.

    The library would make room for what is missing before anyone could say so.
    """
    with in_a_sentence(ref, CONFIG), torch.device("meta"):
        wanted = sum(parameter.numel() for parameter in build().parameters())
    there = sum(tensor.numel() for tensor in weights.values())
    if wanted > 2 * there + _SPARE:  # an encoder lacks its head, which is never as large
        raise InputError(
            f"model {ref.alias!r}: its config.json describes a model of {wanted} numbers, but its"
            f" weights are {there}; allowed: the config that belongs to the weights"
        )


def _load(ref: ModelRef, device: str, precision: str) -> Backbone:
    reader = load_reader(ref)
    if is_local(ref):
        read_shapes(ref)
    model = _library_model(ref, reader)
    with in_a_sentence(ref):
        _check_unchanged(ref)
        family = type(reader.family)(model.config, model.to(device))
        parts = (ref.alias, family, reader.tokenizer, device)
        literal, remark = literal_reading(ref, device, lambda: Backbone(*parts))
        backbone = Backbone(*parts, precision, literal)
    backbone.remark = remark
    return backbone


def _check_unchanged(ref: ModelRef) -> None:
    """Results count as the planned model's: what was read must be that, hours later too."""
    place = Path(ref.location)
    if place.is_absolute() and not is_model(place, ref.digest):
        raise InputError(
            f"model {ref.alias!r}: {place} has changed since it was planned;"
            f" allowed: the model with the digest {ref.digest}, or a new plan"
        )


@contextmanager
def _source(ref: ModelRef, weights: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where the library finds a model, and what it is told of it.

    It gets a GGUF file alone in a folder: what else lies beside it must not say anything.
    """
    asked: dict[str, Any] = {"trust_remote_code": False}
    if not is_gguf(ref.location):
        yield ref.location, {**asked, **({"revision": ref.revision} if ref.revision else {})}
        return
    if weights:  # blocks that stay packed on a GPU could not be differentiated through
        asked["quantization_config"] = GgufConfig(dequantize=True)
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"model{SUFFIX}"
        file.symlink_to(ref.location)
        with redirect_stderr(StringIO()):  # a bar of progress that nothing else turns off
            yield folder, {**asked, "gguf_file": file.name}


@contextmanager
def in_a_sentence(ref: ModelRef, file: str | None = None) -> Iterator[None]:
    """Turn whatever a library raises about a model into one sentence; short memory stays itself.

    Args:
        file: which of its files is being read, where it is one.

    Raises:
        InputError: in place of any other exception.
    """
    try:
        yield
    except (InputError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a panic in a library of Rust is no Exception
        if out_of_memory(error):
            raise
        if file == TOKENIZER and is_local(ref) and not is_gguf(ref.location):
            fault = tokenizer_fault(ref)
            file = file if fault else f"{file} with its tokenizer_config.json"
            error = fault or error
        raise InputError(_cannot_load(ref, file, error)) from error


def _cannot_load(ref: ModelRef, file: str | None, error: BaseException) -> str:
    if is_gguf(ref.location):
        return (
            f"model {ref.alias!r}: file {ref.location!r} cannot be loaded ({reason(error)});"
            " allowed: a GGUF file of a masked or causal language model that transformers"
            f" {transformers.__version__} reads (or the model's folder with safetensors weights)"
        )
    if is_local(ref):
        place = str(Path(ref.location) / file) if file else f"folder {ref.location!r}"
    else:
        pinned = f" at revision {ref.revision}" if ref.revision else ""
        place = f"Hub model {ref.location!r}{pinned}"
        access = no_access(error, ref.location)
        if access is not None:
            return f"model {ref.alias!r}: {place} is {access}"
    return (
        f"model {ref.alias!r}: {place} cannot be loaded ({reason(error)}); allowed: a Hugging Face"
        f" {SUPPORTED} with safetensors weights, or a folder that holds one"
    )


def reason(error: BaseException) -> str:
    """The first line of an error's text that says something, short and printable."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # Some libraries end the first line in a colon and say why in the next.
    text = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    # A KeyError's text is nothing but the key.
    if not text or isinstance(error, KeyError):
        text = f"{type(error).__name__} {text}".strip()
    text = one_line(text).rstrip(".")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
