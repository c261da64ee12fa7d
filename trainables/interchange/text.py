"""A hard prompt as a folder: its text, and how inputs with it were put together."""

from trainables.errors import InputError
from trainables.hard.text import decode, encode
from trainables.interchange.answers import answer_code, answer_usage
from trainables.interchange.provenance import card_head, provenance
from trainables.interchange.tuned import MANIFEST, README, TunedPrompt

FILE = "prompt.txt"


def text_files(tuned: TunedPrompt) -> dict[str, bytes]:
    """Files of a folder with ``prompt.txt``, which holds the text and nothing else, in UTF-8.

    Raises:
        InputError: a soft prompt, which is no text.
    """
    if tuned.text is None:
        raise InputError(
            "format: found text for a soft prompt, which is vectors; allowed: peft or npy"
        )
    backbone = tuned.backbone
    ids = encode(backbone, tuned.text)
    usage = {
        "file": FILE,
        "token_ids": ids,
        "tokens": backbone.tokenizer.convert_ids_to_tokens(ids),
        "roundtrip_exact": decode(backbone, ids) == tuned.text,
        **answer_usage(tuned),
    }
    readme = _README.format(
        model=tuned.model.alias,
        task=tuned.task.name,
        file=FILE,
        manifest=MANIFEST,
        **tuned.call_of_model,
        pair="" if tuned.task.pair is None else _PAIR,
        **answer_code(tuned),
    )
    return {
        FILE: tuned.text.encode(),
        MANIFEST: tuned.manifest("text", text=usage),
        README: (card_head(tuned, "transformers") + readme + provenance(tuned)).encode(),
    }


_PAIR = """
This task reads pairs of texts, which the code above leaves out: `layout` says in `pair_separator`
and `second_token_type` how the two stand.
"""

_README = """# Hard prompt for {model}, task {task}

`{file}` is the prompt: text that stands before every input, whatever model reads it. How inputs
were put together when it was scored, and its tokens on this model, are in `{manifest}`.

```python
import json
from pathlib import Path

import torch
from transformers import {auto}, AutoTokenizer

folder = Path(".")  # this folder
about = json.loads((folder / "{manifest}").read_text())
base, layout, usage = about["base_model"], about["layout"], about["text"]
{labels}tokenizer = AutoTokenizer.from_pretrained({load})
model = {auto}.from_pretrained(
    {load}, dtype=torch.float32
).eval()


@torch.no_grad()
def scores(text):
    \"\"\"One number for each class: {what}.\"\"\"
    ids = tokenizer(layout["text_prefix"] + text, add_special_tokens=False)["input_ids"]
    ids = ids[: layout["most_text_tokens"]]{after}
    ids = layout["begin_ids"] + usage["token_ids"] + ids
{scores}```
{pair}"""
