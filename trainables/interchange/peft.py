"""A prompt as a folder of Hugging Face PEFT's prompt or prefix tuning, written without PEFT.

PEFT puts its virtual tokens before everything else, the beginning-of-sequence token included, and
has no position for them to choose. Here a prompt stands *after* that token. The two agree when the
token's own embedding is the first of the virtual tokens and the text is tokenised without special
tokens. Neither embedding tables nor position ids differ then, and scores are equal.

PEFT would also put a prompt before the decoder of a sequence-to-sequence model. Ours stands in the
encoder alone: one submodule of the model is told to have it.

Keys and values of layers (method ``prefix``) stand before that token in PEFT as they do here: the
text is tokenised with it.

PEFT has no task type for masked language models. Its ``FEATURE_EXTRACTION`` hands on whatever the
model it wraps returns, for a masked model its logits, and so serves.
"""

import json
from typing import Any

import numpy as np
from safetensors.numpy import save

from trainables.backbones import LAYERS
from trainables.errors import InputError
from trainables.interchange.answers import answer_code, answer_usage
from trainables.interchange.provenance import card_head, provenance
from trainables.interchange.tuned import MANIFEST, README, TunedPrompt

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


def peft_files(tuned: TunedPrompt) -> dict[str, bytes]:
    """Files of a folder that ``PeftModel.from_pretrained(model, folder)`` loads.

    Raises:
        InputError: a layout that PEFT cannot express, a prompt or label words that do not fit.
    """
    if tuned.layout.position not in ("prefix", LAYERS):
        raise InputError(
            f"position: found {tuned.layout.position!r}; allowed in the format peft: prefix,"
            " because PEFT puts every prompt before the text (the format npy takes any)"
        )
    if tuned.task.pair is not None and tuned.backbone.separator:
        raise InputError(
            f"model {tuned.model.alias!r}, task {tuned.task.name!r}: found pairs read as two"
            " segments; allowed in the format peft: tasks on one text, or causal models (the format"
            " npy takes any)"
        )
    rows = peft_rows(tuned)
    return {
        CONFIG: (json.dumps(_config(tuned, len(rows)), indent=2, sort_keys=True) + "\n").encode(),
        WEIGHTS: save({"prompt_embeddings": rows}, {"format": "pt"}),
        MANIFEST: tuned.manifest("peft", peft=_usage(tuned, len(rows))),
        README: (card_head(tuned, "peft") + _readme(tuned, len(rows)) + provenance(tuned)).encode(),
    }


def peft_rows(tuned: TunedPrompt) -> np.ndarray:
    """Virtual tokens [b + m, d]: embeddings of the b tokens a text begins with, then the prompt.

    Of keys and values the prompt alone [m, D].
    """
    backbone = tuned.backbone
    if tuned.layout.deep:
        return np.ascontiguousarray(tuned.prompt, dtype=np.float32)
    begin = backbone.embeddings[backbone.frame(tuned.layout)].float().cpu().numpy()
    return np.ascontiguousarray(np.concatenate([begin, tuned.prompt]), dtype=np.float32)


def _config(tuned: TunedPrompt, rows: int) -> dict[str, Any]:
    return {
        "auto_mapping": None,
        "base_model_name_or_path": tuned.model.location,
        "inference_mode": True,
        "num_transformer_submodules": 1,
        "num_virtual_tokens": rows,
        "revision": tuned.model.revision,
        "task_type": tuned.backbone.family.head.task_type,
        **(_prefix_config(tuned) if tuned.layout.deep else _prompt_config(tuned)),
    }


def _prompt_config(tuned: TunedPrompt) -> dict[str, Any]:
    config = tuned.backbone.family.config
    return {
        # PEFT wants both and uses neither here; some architectures have none.
        "num_attention_heads": getattr(config, "num_attention_heads", 1),
        "num_layers": getattr(config, "num_hidden_layers", 1),
        "peft_type": "PROMPT_TUNING",
        "prompt_tuning_init": "RANDOM",
        "prompt_tuning_init_text": None,
        # Not always the hidden size, which PEFT would take: OPT-350M projects its embeddings.
        "token_dim": tuned.backbone.width,
        "tokenizer_kwargs": None,
        "tokenizer_name_or_path": None,
    }


def _prefix_config(tuned: TunedPrompt) -> dict[str, Any]:
    past = tuned.backbone.past
    return {
        # Those of keys and values, fewer than the query's where several of these share one.
        "num_attention_heads": past.heads,
        "num_layers": past.layers,
        "peft_type": "PREFIX_TUNING",
        "encoder_hidden_size": past.heads * past.size,
        "prefix_projection": False,
        "token_dim": past.heads * past.size,
    }


def _usage(tuned: TunedPrompt, rows: int) -> dict[str, Any]:
    return {
        "virtual_tokens": rows,
        "of_which_begin": rows - len(tuned.prompt),
        **({"ids_before_text": tuned.backbone.frame(tuned.layout)} if tuned.layout.deep else {}),
        **answer_usage(tuned),
        "padding": "right",
        "position_ids": "left out: PEFT drops them",
        "dtype": "float32",
    }


def _readme(tuned: TunedPrompt, rows: int) -> str:
    masked, begin = tuned.backbone.family.masked, rows - len(tuned.prompt)
    ids = tuned.backbone.frame(tuned.layout)
    start = [repr(tuned.backbone.tokenizer.decode(ids))] if tuned.layout.chat else []
    start = start or tuned.backbone.tokenizer.convert_ids_to_tokens(ids)
    deep = bool(tuned.layout.deep)
    return _README.format(
        model=tuned.model.alias,
        task=tuned.task.name,
        what_it_is=(_DEEP if deep else _VECTORS).format(vectors=len(tuned.prompt)),
        before=' usage["ids_before_text"] +' if deep else "",
        begin=_DEEP_BEGIN
        if deep
        else (
            f"The {rows} virtual tokens here are the embedding of {' '.join(start)}, which this"
            " model's\ntexts begin with, and then the prompt: PEFT puts virtual tokens before"
            " everything,\nwhereas the prompt was tuned to stand behind that token."
            if begin
            else "This model's texts begin with no special token, so the prompt comes first."
        ),
        answer=_ANSWERS[tuned.backbone.family.head.name],
        **tuned.call_of_model,
        masked=_MASKED if masked else "",
        manifest=MANIFEST,
        **answer_code(tuned),
    )


_VECTORS = "{vectors} prompt vectors as a PEFT prompt-tuning folder."
_DEEP = "Keys and values of {vectors} tokens in every layer, as a PEFT prefix-tuning folder."
_DEEP_BEGIN = (
    "PEFT puts keys and values before everything, as they\nwere tuned; what texts begin with is put"
    " before them by hand, below."
)

_ANSWERS = {
    "masked": (
        "After the text come the mask, at which the answer is read, and the end token;"
        f" `{MANIFEST}` has their ids."
    ),
    "causal": "The answer is what the model predicts after the last token.",
    "sequence-to-sequence": (
        "The prompt stands in the encoder alone. After the text comes what the encoder reads at its"
        f" end,\nand the answer is what the decoder says next; `{MANIFEST}` has the ids of both."
    ),
}

_MASKED = """
PEFT has no task type for masked models. The folder says `FEATURE_EXTRACTION`, under which PEFT
hands on what the model returns, here logits. Load the model with its masked head, as above;
`AutoPeftModel` would load it without.
"""

_README = """# Soft prompt for {model}, task {task}

{what_it_is} What they were tuned on and what they
scored is in `{manifest}`.

**Tokenise texts without special tokens.** {begin}
{answer}
Pad on the right, if at all, and with an attention mask; give no position ids (PEFT drops them).
Texts longer than `most_text_tokens` are cut. Scores agree in float32 and evaluation mode.

```python
import json
from pathlib import Path

import torch
from peft import PeftModel
from transformers import {auto}, AutoTokenizer

folder = Path(".")  # this folder
about = json.loads((folder / "{manifest}").read_text())
base, layout, usage = about["base_model"], about["layout"], about["peft"]
{labels}tokenizer = AutoTokenizer.from_pretrained({load})
model = {auto}.from_pretrained(
    {load}, dtype=torch.float32
)
model = PeftModel.from_pretrained(model, str(folder)).eval()


@torch.no_grad()
def scores(text):
    \"\"\"One number for each class: {what}.\"\"\"
    ids = tokenizer(layout["text_prefix"] + text, add_special_tokens=False)["input_ids"]
    ids ={before} ids[: layout["most_text_tokens"]]{after}
{scores}```
{masked}"""
