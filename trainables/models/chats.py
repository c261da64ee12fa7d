"""Chat templates of models as far as they are seen without their tokenizers. Torch-free."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from trainables.core.cells import Cell, ModelRef
from trainables.core.settings import family_of
from trainables.core.settings.base import CHAT
from trainables.errors import InputError
from trainables.models.gguf_file import CHAT_TEMPLATE, is_gguf, read_header
from trainables.models.weights import read_object

_ALIKE = {"soft": "all", "hard": True}
"""Per family of methods the template that reads as ``chat`` does, but for the chat template."""
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


def unframed(cell: Cell) -> Cell | None:
    """The cell that is the same on models without a chat template; None where there is none.

    Of a tuning under ``template: chat`` the one whose inputs have the task's words alike, of a
    reference row the one that asks for no chat template. A carried prompt's inputs are cells too.
    """
    if cell.settings.get("template") != CHAT or cell.kind == "transfer":
        return None
    settings = {name: value for name, value in cell.settings.items() if name != "template"}
    if cell.kind == "source":
        settings["template"] = _ALIKE[family_of(cell.method)]
    return replace(cell, settings=settings)


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
