"""Chat templates in the style of today's families, as short as can be, and readers with them."""

from typing import Any

from trainables.backbones.loading import load_reader
from trainables.backbones.reader import Reader
from trainables.models.names import resolve_model

TEMPLATES = {
    "llama3": (
        "{{ bos_token }}{% for turn in messages %}<|start_header_id|>{{ turn.role }}"
        "<|end_header_id|>\n\n{{ turn.content | trim }}<|eot_id|>{% endfor %}"
        "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
    ),
    "chatml": (
        "{% for turn in messages %}<|im_start|>{{ turn.role }}\n{{ turn.content }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
    "chatml with a system turn": (
        "{% if messages[0].role != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n{% endif %}"
        "{% for turn in messages %}<|im_start|>{{ turn.role }}\n{{ turn.content }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
    "gemma": (
        "{{ bos_token }}{% for turn in messages %}<start_of_turn>"
        "{{ 'model' if turn.role == 'assistant' else turn.role }}\n{{ turn.content | trim }}"
        "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
    ),
    "mistral": (
        "{{ bos_token }}{% for turn in messages %}{% if turn.role == 'user' %}"
        "[INST] {{ turn.content }} [/INST]{% else %} {{ turn.content }}{{ eos_token }}{% endif %}"
        "{% endfor %}"
    ),
    "phi3": (
        "{% for turn in messages %}<|{{ turn.role }}|>\n{{ turn.content }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    ),
}
"""By the family in whose style they are."""

MARKS = [
    *("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|im_start|>", "<|im_end|>"),
    *("<start_of_turn>", "<end_of_turn>", "[INST]", "[/INST]", "<|user|>", "<|assistant|>"),
    "<|end|>",
]
"""Special tokens of these templates."""


def chatty(name: str, template: str, marks: bool = True) -> Reader:
    """An embedded model's reader with a chat template.

    Args:
        name: of the model.
        template: key of :data:`TEMPLATES`, or a template itself.
        marks: whether its marks are tokens of their own, as in models that were trained with it.
    """
    reader = load_reader(resolve_model(name))
    tokenizer: Any = reader.tokenizer
    if marks:
        tokenizer.add_tokens(MARKS, special_tokens=True)
    tokenizer.chat_template = TEMPLATES.get(template, template)
    return reader
