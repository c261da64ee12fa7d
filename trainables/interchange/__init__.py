"""Prompts in the formats of other programs: PEFT folders and OptiPrompt's ``prompt_vecs.npy``.

A further format is one module with a function from a tuned prompt to files, and one entry in
:data:`FORMATS`.
"""

from collections.abc import Callable, Mapping

from trainables.interchange.peft import peft_files
from trainables.interchange.ptfer import ptfer_files, read_prompt_vecs, write_prompt_vecs
from trainables.interchange.tuned import TunedPrompt, write_files

FORMATS: dict[str, Callable[[TunedPrompt], Mapping[str, bytes]]] = {
    "peft": peft_files,
    "npy": ptfer_files,
}
"""Per format, what turns a prompt into the files of its folder (name to content)."""

__all__ = [
    "FORMATS",
    "TunedPrompt",
    "peft_files",
    "ptfer_files",
    "read_prompt_vecs",
    "write_files",
    "write_prompt_vecs",
]
