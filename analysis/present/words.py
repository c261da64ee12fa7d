"""Pieces that sentences of the report are made of."""

from dataclasses import dataclass

ROW_NAMES = {
    "empty": "Empty",
    "manual": "Manual",
    "constant": "Constant",
    "direct": "Direct",
    "independent": "Independent",
    "joint": "Joint",
    "single": "Single",
    "baseline": "Baseline",
    "ours": "Ours",
    "own": "Own",
    "embedding": "Embedding",
    "mixture": "Mixture",
    "continued": "Continued",
    "restarted": "Restarted",
}

ALL_TASKS = "all tasks"
"""Task name of a row's mean over its tasks; no task has a space in its name."""


PER_TASK = "per task"
"""Weight label of Ours where each task has its own weight."""

PER_SEED = "per seed"
"""Weight label of Ours where not all seeds choose one weight."""


@dataclass(frozen=True)
class Finding:
    """One statement: a few words or a number that stand out, and the sentences that say it."""

    title: str
    text: str


def counted(number: int, noun: str) -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(noun: str, names: list[str]) -> str:
    """``2 tasks (a, b)``; of many names the first eight."""
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f"{counted(len(names), noun)} ({shown})"


def joined(texts: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(texts[:-1]), *texts[-1:]]))


def row_label(row: str, weight_label: str = "") -> str:
    """How a row is called in a table, e.g. ``Ours λ=0.3`` or ``Ours annealing``."""
    name = ROW_NAMES.get(row, row)
    if row not in ("ours", "joint") or not weight_label:
        return name
    return f"{name} {weight_name(weight_label)}"


def weight_name(weight_label: str) -> str:
    """``λ=0.3``, ``annealing``, ``λ per task`` or ``λ per seed``."""
    if weight_label in (PER_TASK, PER_SEED):
        return f"λ {weight_label}"
    return weight_label if weight_label == "annealing" else f"λ={short_weight(weight_label)}"


def short_weight(weight_label: str) -> str:
    """A weight in at most three digits; a search draws more than anybody reads."""
    try:
        return f"{float(weight_label):.3g}"
    except ValueError:
        return weight_label


def sources_name(sources: str) -> str:
    """``a + b`` for ``a+b``."""
    return " + ".join(sources.split("+"))


_TERM_NAMES = {
    "source": "source model", "pair": "source set", "sources": "source set",
    "row": "prompt kind",
    "weight_label": "λ", "k": "K",
}  # fmt: skip


def term_name(term: str) -> str:
    """A term in words: ``λ × task``."""
    return " × ".join(_TERM_NAMES.get(part, part) for part in term.split(":"))
