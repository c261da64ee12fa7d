"""A readout as a folder: its numbers, and ten lines that need transformers alone."""

from safetensors.numpy import save

from trainables.errors import InputError
from trainables.interchange.provenance import card_head, provenance
from trainables.interchange.tuned import MANIFEST, README, KeptReadout
from trainables.transfer.taught.readout import word_ids

FILE = "readout.safetensors"

_HOOK = """read = []
model.get_output_embeddings().register_forward_pre_hook(lambda layer, given: read.append(given[0]))
"""
CODE = {
    "states": (_HOOK, 'read.pop()[0, usage["answer_index"]]'),
    "words": ("", 'logits[0, usage["answer_index"], usage["token_ids"]]'),
}
"""Per kind of features the lines before, and what they are where the model's logits are there."""


def readout_files(kept: KeptReadout) -> dict[str, bytes]:
    """Files of a folder with a tensor ``readout`` [C, h + 1]: weights, and in the last column b.

    Raises:
        InputError: features that only the user's own code can read.
    """
    if kept.features not in CODE:
        raise InputError(
            f"features: found {kept.features!r}; allowed in the format readout: {', '.join(CODE)}"
        )
    backbone = kept.backbone
    words = word_ids(backbone) if kept.features == "words" else []
    usage = {
        "file": FILE,
        "features": kept.features,
        "token_ids": words,
        "tokens": backbone.tokenizer.convert_ids_to_tokens(words),
        "add_special_tokens": False,
        "ids_after_text": kept.ids_after_text,
        **kept.where_to_read,
    }
    before, features = CODE[kept.features]
    readme = _README.format(
        model=kept.model.alias,
        task=kept.task.name,
        file=FILE,
        manifest=MANIFEST,
        **kept.call_of_model,
        before=before,
        features=features,
        pair="" if kept.task.pair is None else _PAIR,
    )
    return {
        FILE: save({"readout": kept.weights}, {"format": "pt"}),
        MANIFEST: kept.manifest("readout", usage=usage),
        README: (card_head(kept, "transformers") + readme + provenance(kept)).encode(),
    }


_PAIR = """
This task reads pairs of texts, which the code above leaves out: `layout` says in `pair_separator`
and `second_token_type` how the two stand.
"""

_README = """# Readout for {model}, task {task}

No prompt: a linear map of what the model computes of a text as it is, fitted to what the sources'
prompts say of texts without labels. The sources are not needed any more. `{file}` has one row a
class, with its bias in the last column; `{manifest}` has the classes, how inputs are put together
and what is read of the model. Scores agree in float32 and evaluation mode.

```python
import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import {auto}, AutoTokenizer

folder = Path(".")  # this folder
about = json.loads((folder / "{manifest}").read_text())
base, layout, usage = about["base_model"], about["layout"], about["usage"]
readout = load_file(folder / "{file}")["readout"]
tokenizer = AutoTokenizer.from_pretrained({load})
model = {auto}.from_pretrained(
    {load}, dtype=torch.float32
).eval()
{before}

@torch.no_grad()
def scores(text):
    \"\"\"One number for each class, in the order of the manifest.\"\"\"
    ids = tokenizer(layout["text_prefix"] + text, add_special_tokens=False)["input_ids"]
    ids = layout["begin_ids"] + ids[: layout["most_text_tokens"]] + usage["ids_after_text"]
    logits = model(input_ids=torch.tensor([ids], dtype=torch.long){decoder}).logits
    features = {features}
    return readout[:, :-1] @ features + readout[:, -1]
```
{pair}"""
