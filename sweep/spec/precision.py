"""``precision: auto``, made one of the precisions there are."""

import os

from sweep.spec.resources import gpus_here, settle
from sweep.spec.spec import Resources
from trainables.core.precision import BFLOAT16, FLOAT32, native_bfloat16

AUTO = "auto"


def settled(asked: str, resources: Resources) -> str:
    """The precision that a spec asks for.

    ``auto`` is bfloat16 where packs take a GPU or this machine's processor has it, else float32:
    the machine that starts the sweep decides, as the precision is part of what a cell is.
    """
    if asked != AUTO:
        return asked
    here = {"CPU": float(os.cpu_count() or 1), "GPU": float(gpus_here())}
    return BFLOAT16 if settle(resources, [here]).gpu or native_bfloat16() else FLOAT32
