"""How a folder says what answers are compared by: in its manifest and in the code of its README."""

from typing import Any

from trainables.backbones.labels import Reading
from trainables.interchange.tuned import OnModel

_ONE = {
    "labels": 'labels = [label["token_id"] for label in about["task"]["labels"]]\n',
    "what": "the logit of its label word",
    "after": ' + usage["ids_after_text"]',
    "scores": """\
    logits = model(input_ids=torch.tensor([ids], dtype=torch.long)DECODER).logits
    return logits[0, usage["answer_index"], labels]
""",
}
_SEVERAL = {
    "labels": 'labels = about["task"]["labels"]\n',
    "what": "the score of its label texts",
    "after": "",
    "scores": """\
    found = torch.zeros(len(labels))
    for reading in usage["readings"]:
        read = torch.tensor([ids + reading["ids_after_text"]], dtype=torch.long)
        logits = model(input_ids=readDECODER).logits[0, reading["answer_index"]]
        scores = logits[: usage["vocabulary"]].log_softmax(-1)
        for token, label, share in reading["takes"]:
            found[label] += share * scores[token]
    return found
""",
}


def answer_code(on: OnModel) -> dict[str, str]:
    """Parts of a README's code that read the answers."""
    parts, place = (_SEVERAL, "reading") if on.several else (_ONE, "usage")
    given = f', decoder_input_ids=torch.tensor([{place}["decoder_ids"]])'
    return {
        name: text.replace("DECODER", given if on.decoder_ids else "")
        for name, text in parts.items()
    }


def answer_usage(on: OnModel) -> dict[str, Any]:
    """What that code needs of the manifest.

    ``ids_after_text`` and ``answer_index``: where words of one token are read; ``decoder_ids``
    where the model has a decoder. For texts of several also ``vocabulary`` (words that
    probabilities are over) and ``readings``: the same of each, and what is taken there, each as
    token, class and share.
    """
    usage = {
        "add_special_tokens": False,
        "ids_after_text": on.ids_after_text,
        **on.where_to_read,
    }
    if not on.several:
        return usage
    readings = []
    for reading in on.several.readings:
        owners = [label for label, size in enumerate(reading.sizes) for _ in range(size)]
        takes = zip(reading.ids.tolist(), owners, reading.shares.tolist(), strict=True)
        readings.append({**_begun(on, reading), "takes": [list(one) for one in takes]})
    return {**usage, "vocabulary": on.backbone.rows, "readings": readings}


def _begun(on: OnModel, reading: Reading) -> dict[str, Any]:
    """What one reading has after the text, and where it is read."""
    begun, backbone = reading.tokens.tolist(), on.backbone
    if on.decoder_ids:
        return {
            "ids_after_text": on.ids_after_text,
            "answer_index": -1,
            "decoder_ids": [*on.decoder_ids, *begun],
        }
    mask = backbone.answer_ids(on.layout)
    begun = begun or mask
    behind = len(begun) - reading.place - len(mask)
    return {
        "ids_after_text": [
            *on.template_ids,
            *(begun if mask else [*on.closing_ids, *begun]),
            *backbone.end,
        ],
        "answer_index": -1 - len(backbone.end) - behind,
    }
