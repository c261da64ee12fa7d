"""Prompts for other programs: PEFT folders, OptiPrompt's ``prompt_vecs.npy``, texts; readouts.

A further format is one module with a function from a tuned prompt to files, and one entry in
:data:`trainables.core.registries.FORMATS`.
"""

from trainables.interchange.peft import peft_files
from trainables.interchange.ptfer import ptfer_files, read_prompt_vecs, write_prompt_vecs
from trainables.interchange.readout import readout_files
from trainables.interchange.text import text_files
from trainables.interchange.tuned import KeptReadout, TunedPrompt, write_files

__all__ = [
    "KeptReadout",
    "TunedPrompt",
    "peft_files",
    "ptfer_files",
    "read_prompt_vecs",
    "readout_files",
    "text_files",
    "write_files",
    "write_prompt_vecs",
]
