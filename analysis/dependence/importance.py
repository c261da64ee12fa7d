"""Importance of settings beside what pure noise gives: the table and the sentence."""

from collections.abc import Mapping

import pandas as pd

from analysis.dependence.figures import term_name
from analysis.present.formats import plain_grid
from analysis.present.grid import DASH, Grid
from analysis.stats.importance import beyond_noise

HEADS = ("Importance", "By noise alone", "Noise stays below", "More than noise", "Values")


def noise_grid(table: pd.DataFrame) -> Grid:
    """Importance of every setting in percent, beside its mean and bound under pure noise.

    Args:
        table: of :func:`analysis.stats.importance.against_noise`.
    """
    lines = []
    for line, beyond in zip(table.to_dict("records"), beyond_noise(table), strict=True):
        numbers = [_percent(line[name]) for name in ("importance", "noise", "bound")]
        verdict = DASH if line["bound"] != line["bound"] else ("yes" if beyond else "no")
        lines.append((term_name(str(line["setting"])), [*numbers, verdict, str(line["values"])]))
    return plain_grid("Setting", HEADS, lines)


def noise_sentence(table: pd.DataFrame, names: Mapping[str, str] | None = None) -> str:
    """Which settings matter more than noise does; empty for an empty table.

    Args:
        table: columns setting, importance and bound, as of
            :func:`analysis.stats.importance.against_noise`.
        names: settings as they are called; by :func:`analysis.dependence.figures.term_name` where
            not given.
    """
    called = [
        names[str(name)] if names else term_name(str(name)) for name in table["setting"].tolist()
    ]
    beyond, tested = beyond_noise(table).tolist(), table["bound"].notna().tolist()
    kinds = list(zip(called, beyond, tested, strict=True))
    groups = (
        ([name for name, more, _ in kinds if more], "more than noise gives"),
        (
            [name for name, more, known in kinds if known and not more],
            "indistinguishable from noise",
        ),
        (
            [name for name, _, known in kinds if not known],
            "not comparable with noise in this design",
        ),
    )
    texts = [f"{', '.join(found)}: {words}" for found, words in groups if found]
    return f"{'; '.join(texts)}." if texts else ""


def _percent(share: float) -> str:
    return DASH if share != share else f"{100 * share:.0f} %"
