"""Two sentences: neighbours, of one document, or of two (next sentence prediction, PPT's NSP)."""

from typing import Any

from trainables.pretext.material import (
    Anchor,
    Kind,
    Labelled,
    Material,
    Row,
    apart,
    balanced,
    drawn,
    foreign,
    neighbours,
    others,
)

NEIGHBOURS, SAME, OTHER = CLASSES = ("neighbours", "same_document", "other_document")


def _fields(labelled: Labelled | None) -> dict[str, Any]:
    return {
        "type": "pretext",
        "text": "{first}",
        "pair": "{second}",
        "classes": list(CLASSES),
        "label_words": ["yes", "maybe", "no"],
        "manual": "Are they next to each other?",
    }


def _rows(material: Material) -> list[Row]:
    def make(anchor: Anchor, wish: str) -> Row | None:
        if wish == NEIGHBOURS:
            found = neighbours(material, anchor)
        elif wish == SAME:
            found = apart(material, anchor)
        else:
            (other,) = others(material, anchor.document, 1)
            found = foreign(material, anchor, other)
        if not found:
            return None
        first = material.documents[anchor.document].sentences[anchor.place]
        return {"first": first, "second": material.random.choice(found), "label": wish}

    return drawn(material, balanced(CLASSES, material.rows, material.random), make)


nsp = Kind("Two sentences: neighbours, of one document, or of two.", _fields, _rows)
