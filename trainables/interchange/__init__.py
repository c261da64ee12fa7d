"""Prompts for other programs: PEFT folders, OptiPrompt's ``prompt_vecs.npy``, texts.

A further format is one module with a function from a tuned prompt to files, and one entry each in
:data:`FORMATS` and :data:`FAMILIES`.
"""

from collections.abc import Callable, Mapping

from trainables.interchange.peft import peft_files
from trainables.interchange.ptfer import ptfer_files, read_prompt_vecs, write_prompt_vecs
from trainables.interchange.text import text_files
from trainables.interchange.tuned import TunedPrompt, write_files

FORMATS: dict[str, Callable[[TunedPrompt], Mapping[str, bytes]]] = {
    "peft": peft_files,
    "npy": ptfer_files,
    "text": text_files,
}
"""Per format, what turns a prompt into the files of its folder (name to content)."""

FAMILIES = {"peft": "soft", "npy": "soft", "text": "hard"}
"""Per format, the family of methods whose prompts it takes."""

DEFAULT_FORMATS = {"soft": "peft", "hard": "text"}
"""Per family, the format where none is asked for."""

__all__ = [
    "DEFAULT_FORMATS",
    "FAMILIES",
    "FORMATS",
    "TunedPrompt",
    "peft_files",
    "ptfer_files",
    "read_prompt_vecs",
    "text_files",
    "write_files",
    "write_prompt_vecs",
]
