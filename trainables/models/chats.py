"""Chat templates of models as far as they are seen without their tokenizers. Torch-free."""

from collections.abc import Iterable
from pathlib import Path

from trainables.core.cells import ModelRef
from trainables.errors import InputError
from trainables.models.gguf_file import CHAT_TEMPLATE, is_gguf, read_header
from trainables.models.weights import read_object

TEMPLATE_FILE = "chat_template.jinja"
"""Where newer folders have their chat template; older ones have it in their tokenizer's config."""


def has_chat_template(ref: ModelRef) -> bool | None:
    """Whether a local model has a chat template; None where that cannot be seen.

    A masked model with one has no use of it: :attr:`trainables.backbones.reader.Reader.chat`.
    """
    place = Path(ref.location)
    if not place.is_absolute():
        return None
    try:
        if is_gguf(place):
            return CHAT_TEMPLATE in read_header(place).metadata
        config = place / "tokenizer_config.json"
        if (place / TEMPLATE_FILE).is_file() or not config.is_file():
            return (place / TEMPLATE_FILE).is_file()
        return bool(read_object(config).get("chat_template"))
    except InputError:  # whoever loads it says so
        return None


def frames_note(chat: Iterable[str], plain: Iterable[str]) -> str:
    """One sentence on which models read in chat templates under ``template: chat``."""
    own, other = list(chat), list(plain)
    if not own:
        return f"template chat: {', '.join(other)} read without, as template all does"
    told = f"template chat: {', '.join(own)} read{'' if len(own) > 1 else 's'} in"
    told += f" {'their own chat templates' if len(own) > 1 else 'its own chat template'}"
    if not other:
        return told
    has = "have none and read" if len(other) > 1 else "has none and reads"
    return f"{told}; {', '.join(other)} {has} the same words without (as template all)"
