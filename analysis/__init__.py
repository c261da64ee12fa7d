"""The ledger read back: tidy results, tables, figures and one self-contained report.

Throughout, ``frame`` is a table of :func:`load` or a part of it (one combination of settings where
means are taken), ``target`` a target's alias, ``choices`` the weights that
:func:`analysis.contrasts.selection.choose` gives, ``examples`` reads kept predictions (without it
intervals leave test examples out), and ``new`` makes figures in the house style.

Reads the files a sweep leaves behind: no torch, no Ray, MLflow only where :func:`load` is told to
read a server. Importing the package costs nothing; pandas is imported when :func:`load` or
:func:`write_report` is first used, matplotlib when a figure is drawn.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.data.loading import load
    from analysis.data.predictions import predictions
    from analysis.report.page import write_report

__all__ = ["load", "predictions", "write_report"]

_HOMES = {
    "load": "analysis.data.loading",
    "predictions": "analysis.data.predictions",
    "write_report": "analysis.report.page",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
