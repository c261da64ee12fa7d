"""One sentence with the label that another model gives it (PPT's single-sentence pretext task).

Rule: the label of a sentence is its likeliest class, and it counts where its probability is at
least the confidence asked for of that class. Of every class there are as many examples, drawn at
random: as many as are wanted, or else as the class with the fewest has.
"""

from collections.abc import Mapping
from typing import Any

from trainables.core.texts import listed
from trainables.errors import InputError
from trainables.pretext.material import Kind, Labelled, Material, Row


def confident(labelled: Labelled, sentence: str) -> int | None:
    """The class of a sentence; None where it is not sure enough or there is no label."""
    shares = labelled.probabilities.get(sentence)
    if shares is None:
        return None
    best = max(range(len(shares)), key=lambda number: shares[number])
    return best if shares[best] >= labelled.confidence[best] else None


def _known(labelled: Labelled | None) -> Labelled:
    if labelled is None:
        raise InputError("pseudo: found no labels; allowed: --labels FILE, or --model NAME")
    return labelled


def _rows(material: Material) -> list[Row]:
    labelled = _known(material.labelled)
    every = {
        document.sentences[place]: None
        for document in material.documents
        for place in document.usable
    }
    sorted_out: Mapping[int, list[str]] = {number: [] for number in range(len(labelled.classes))}
    for sentence in every:
        label = confident(labelled, sentence)
        if label is not None:
            sorted_out[label].append(sentence)
    least = min(sorted_out, key=lambda number: len(sorted_out[number]))
    each = min(len(sorted_out[least]), material.rows // len(labelled.classes))
    if not each:
        raise InputError(
            f"confidence: found {labelled.confidence[least]:g} for class"
            f" {labelled.classes[least]!r}, which no sentence of a split reaches; allowed: less, or"
            " more documents"
        )
    rows = [
        {"text": sentence, "label": labelled.classes[number]}
        for number, sentences in sorted_out.items()
        for sentence in material.random.sample(sentences, each)
    ]
    material.random.shuffle(rows)
    return list(rows)


def _fields(labelled: Labelled | None) -> dict[str, Any]:
    known = _known(labelled)
    words = [item if isinstance(item, str) else list(listed(item)) for item in known.label_words]
    scoring = {"scoring": known.scoring} if known.scoring else {}
    return {
        "type": "pretext",
        "text": "{text}",
        "classes": list(known.classes),
        "label_words": words,
        **scoring,
        "manual": "It was",
    }


pseudo = Kind(
    "One sentence with the label that another model gives it.", _fields, _rows, labelled=True
)
