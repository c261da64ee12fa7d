"""OPT: prompts live in the word-embedding space, which OPT-350M projects to its hidden width.

The body projects in and out by itself, so the head sees word-embedding width again.
"""

from trainables.backbones.family import CausalFamily


class OPT(CausalFamily):
    """``OPTForCausalLM``, with and without projected embeddings."""

    model_type = "opt"
