"""Pieces that sentences of the report are made of."""

from dataclasses import dataclass


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
