"""Answers that are free text: gold ones as rows have them, and scores as SQuAD compares texts."""

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trainables.errors import InputError, show
from trainables.files.text_files import named

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalised(text: str) -> str:
    """In small letters, without punctuation and articles, one space between words.

    As the evaluation script of SQuAD does (Rajpurkar et al. 2016), in its order.
    """
    bare = text.lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact_match(said: str, gold: str) -> float:
    """1 where both are the same, once normalised."""
    return float(normalised(said) == normalised(gold))


def token_f1(said: str, gold: str) -> float:
    """Harmonic mean of precision and recall of the words, each as often as it stands there.

    Where one of them has no word left, 1 if neither has.
    """
    mine, wanted = normalised(said).split(), normalised(gold).split()
    if not mine or not wanted:
        return float(mine == wanted)
    same = sum((Counter(mine) & Counter(wanted)).values())
    return 2 * same / (len(mine) + len(wanted))


ANSWER_METRICS: dict[str, Callable[[str, str], float]] = {
    "exact_match": exact_match,
    "token_f1": token_f1,
}
"""Score of one text against one gold answer, 0 to 1."""


def answer_score(metric: str, said: str, golds: Sequence[str]) -> float:
    """The best score against any of the gold answers."""
    return max(ANSWER_METRICS[metric](said, gold) for gold in golds)


def gold_texts(
    form: str, values: Mapping[str, Any], names: Sequence[str], where: Callable[[], str]
) -> tuple[str, ...]:
    """Texts that count as right of a row.

    Args:
        form: format string over columns; of one column alone, which may hold a list.
        values: of its columns.
        names: what whole numbers stand for; empty: themselves.
        where: names the row, for messages.

    Raises:
        InputError: no text, or none without a name.
    """
    from trainables.tasks.schema import filled

    first = next(iter(values))
    only = values[first]
    if isinstance(only, list) and form == f"{{{first}}}":
        texts = tuple(_text(one, first, names, where) for one in only)
    else:
        given = {name: _text(value, name, names, where) for name, value in values.items()}
        texts = (filled(form, given).strip(),)
    if not texts or not all(texts):
        raise InputError(
            f"{where()} has {show(only)} as its answer; allowed: a text, or a list of texts"
        )
    return texts


def _text(value: Any, column: str, names: Sequence[str], where: Callable[[], str]) -> str:
    """A value as text; a whole number by its name where there are names."""
    if not names or value in names:
        if not isinstance(value, (str, int, float)) or value != value:  # NaN: no text was there
            raise InputError(
                f"{where()} has {show(value)} in the column {show(column)}; allowed: a text, or a"
                " list of texts"
            )
        return str(value).strip()
    index = int(value) if type(value) in (int, bool) or str(value).isdecimal() else -1
    if not 0 <= index < len(names):
        raise InputError(
            f"{where()} has {show(value)} in the column {show(column)}; allowed: 0 to"
            f" {len(names) - 1} or one of {named(names)} (where answers are not public, let the"
            " task file's splits name another one, such as validation)"
        )
    return names[index]
