"""A corpus of six documents in which every sentence says where it stands."""

import json
from collections.abc import Sequence
from pathlib import Path

TWICE = "this sentence stands in two documents"
SHORT = "too short"
LENGTH = 20

DOCUMENTS = [
    (
        *(f"sentence {place} of the document {number}" for place in range(LENGTH - 2)),
        SHORT,
        TWICE if number in (0, 3) else f"the last sentence of the document {number}",
    )
    for number in range(6)
]
WHERE = {
    sentence: (number, place)
    for number, document in enumerate(DOCUMENTS)
    for place, sentence in enumerate(document)
    if sentence not in (TWICE, SHORT)
}
"""Document and place of every sentence that stands in one document alone."""


def write_corpus(file: Path, documents: Sequence[Sequence[str]] = DOCUMENTS) -> Path:
    file.write_text("".join(f"{json.dumps(list(item))}\n" for item in documents))
    return file
