"""Model cards of the pocket models."""

from collections.abc import Mapping
from typing import Any


def _taught(record: Mapping[str, Any]) -> str:
    """What an encoder–decoder was trained on."""
    if record["start"]:
        return (
            f" It goes on with the weights of {record['start']}: the encoder reads the beginning of"
            " a window, the decoder says the rest (the LM adaptation of Lester et al. 2021)."
        )
    shares = ", ".join(f"{share:.0%}" for share in record["moved_share"])
    return (
        f" The first {record['causal_share']:.0%} of the first cycle continued texts; the rest was"
        " span corruption as in T5, with a quarter of the tokens taken out. Of its steps,"
        f" {shares} (cycle by cycle) took one line a row, removed one of its rarer words and asked"
        " for it at a sentinel behind the line."
    )


def model_card(record: Mapping[str, Any]) -> str:
    """README.md of one embedded model from its ``card.json`` record."""
    paired = record["family"] == "t5"
    objective = "masked" if record["masked"] else "causal"
    protocol = (
        "15 % of the tokens masked with fixed masks"
        if record["masked"]
        else "next token at every position"
    )
    if paired:
        objective = "sequence-to-sequence"
        protocol = (
            "15 % of the tokens taken out in fixed spans of three on average, words alone counted"
            if record["masked"]
            else "the rest of a window behind its beginning"
        )
    start = (
        f" The first {record['causal_share']:.0%} of the first cycle predicted the next token"
        " under a causal mask, the rest filled masks."
        if record["masked"]
        else ""
    )
    if record["masked"]:
        shares = ", ".join(f"{share:.0%}" for share in record["moved_share"])
        start += (
            f" Of the masked steps, {shares} (cycle by cycle) took one line a row, removed one of"
            " its rarer words and asked for it at a mask behind the line."
        )
    if paired:
        start = _taught(record)
    note = f" {record['note']}" if record.get("note") else ""
    cycles = " + ".join(f"{tokens / 1e6:g}" for tokens in record["cycles"])
    shape = f"{record['layers']} layers, width {record['width']}, {record['heads']} heads"
    corpus = (
        f"{record['corpus']}: English reviews, news, tweets, speeches, fiction and web text,"
        f" {record['corpus_tokens']:,} tokens (sha256 {record['corpus_sha256'][:12]}…)"
    )
    loss = (
        f"{record['held_out_loss']:.3f} nats a token"
        f" (perplexity {record['held_out_perplexity']:.1f})"
    )
    outside = "longer than any it was trained on" if paired else "outside its positions"
    return f"""---
license: apache-2.0
language: en
---

# {record["name"]}

A small English {objective} language model ({record["family"]} architecture) that ships with
promptsweep so that sweeps, tests and demonstrations run without a model hub. It is a real language
model, and a weak one: use it to try prompt tuning and transfer, not to generate text.

| | |
|---|---|
| architecture | {record["family"]}, {shape} |
| parameters | {record["parameters"]:,} (embeddings tied), stored in float16 |
| tokenizer | {record["tokenizer"]}, {record["vocab_size"]:,} entries, lower-cased |
| corpus | {corpus} |
| tokens seen | {record["tokens_seen"]:,} (cycles of {cycles} million) |
| held-out loss | {loss} |
| held-out top-1 | {record["held_out_top1"]:.3f} |

Held-out figures: every 200th line of the corpus, never trained on, {protocol}; windows of 64
tokens.

Training: embeddings started from a truncated SVD of the corpus's PPMI counts; Muon for matrices,
AdamW for the rest; windows of 32, then 64, then 128 tokens.{start} Texts longer than 128 tokens are
{outside}.{note}

Made by `python -m trainables.pocket.train --corpus FILE {record["name"]}`.

The weights are promptsweep's own work, under its licence (Apache-2.0); the corpus is no part of it.
"""
