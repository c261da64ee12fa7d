"""Train the pocket models: ``python -m trainables.pocket.train --corpus FILE [NAME ...]``.

Deterministic for a given number of threads, resumable (Ctrl-C or a kill lose at most
``--save-every`` seconds) and honest about what was reached: held-out figures go to the model card.
"""

import argparse
import hashlib
import io
import json
import math
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AutoModelForSeq2SeqLM, PreTrainedModel

from trainables.compute.process import keep_freed_memory
from trainables.files.atomic import replace_file
from trainables.pocket.architectures import (
    MAX_TOKENS,
    build_model,
    hidden_states,
    vocabulary_logits,
)
from trainables.pocket.card import model_card
from trainables.pocket.corpus import encode, read_lines, train_tokenizer
from trainables.pocket.denoising import said_loss, window_loss
from trainables.pocket.recipes import RECIPES, PocketRecipe
from trainables.pocket.wordvectors import ppmi_svd
from trainables.pocket.zoo import POCKET_NAMES, pocket_path

SEED = 20
LENGTHS = ((0.0, 32), (0.4, 64), (0.85, 128))
"""(share of a cycle done, window length): short windows first, they cost less and teach faster."""
MASK_RATE = 0.25
MOVED_MASK_RATE = 0.15
MOVED_WEIGHT = 0.5
FREQUENT = 150
MAX_LINE = 64
EVAL_MASK_RATE = 0.15
WARMUP = 0.02
DECAY_FROM = 0.6


@dataclass
class Prepared:
    """A recipe's tokenizer output, ready for training.

    Attributes:
        train / held_out: streams of ids.
        special_ids: by the name of what each is.
        begin: opens a window of a model with one stack of layers.
        mask: what is to be filled in; of an encoder–decoder, its first sentinel.
    """

    train: np.ndarray
    held_out: np.ndarray
    special_ids: dict[str, int]
    begin: int
    mask: int


def prepare(recipe: PocketRecipe, corpus: Path, folder: Path) -> Prepared:
    """Train (or reload) the tokenizer and encode the corpus; cached in ``folder``."""
    cache = folder / "stream.npz"
    config_path = folder / "tokenizer_config.json"
    if not cache.exists():
        train_lines, held_lines = read_lines(corpus)
        if not train_lines or not held_lines:
            raise SystemExit(f"--corpus {corpus}: no text lines found")
        tokenizer, names = train_tokenizer(recipe.tokenizer, train_lines, recipe.vocab_size)
        ids = {key: int(tokenizer.token_to_id(token) or 0) for key, token in names.items()}
        sentinel = tokenizer.token_to_id("<extra_id_0>")
        if sentinel is not None:
            ids["mask_token"] = int(sentinel)
        end = ids.get("sep_token", ids.get("eos_token", 0))
        spaced = recipe.tokenizer in ("bytelevel", "gpt-bytelevel")
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer.save(str(folder / "tokenizer.json"))
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": 128,
            "clean_up_tokenization_spaces": False,
            **names,
        }
        config_path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        np.savez(
            cache,
            train=encode(tokenizer, train_lines, end, spaced),
            held_out=encode(tokenizer, held_lines, end, spaced),
            ids=json.dumps(ids),
        )
    with np.load(cache, allow_pickle=False) as stored:
        ids = json.loads(str(stored["ids"]))
        return Prepared(
            train=stored["train"],
            held_out=stored["held_out"],
            special_ids=ids,
            begin=ids.get("cls_token", ids.get("bos_token", 0)),
            mask=ids.get("mask_token", -1),
        )


def windows(stream: np.ndarray, begin: int, starts: np.ndarray, length: int) -> torch.Tensor:
    """Windows [B, length] of the stream, each opened by the model's first token."""
    body = stream[starts[:, None] + np.arange(length - 1)[None, :]]
    first = np.full((len(starts), 1), begin, dtype=body.dtype)
    return torch.from_numpy(np.concatenate([first, body], axis=1).astype(np.int64))


@dataclass(frozen=True)
class Lines:
    """Where lines start in the training stream, and which tokens are rare enough to ask for."""

    starts: np.ndarray
    end: int
    pad: int
    rare: np.ndarray

    @classmethod
    def of(cls, data: Prepared, vocab_size: int) -> "Lines":
        """Read off the stream; the most frequent tokens say little about a line."""
        end = data.special_ids.get("sep_token", data.special_ids.get("eos_token", 0))
        ends = np.flatnonzero(data.train[:-MAX_TOKENS] == end)
        order = np.argsort(-np.bincount(data.train, minlength=vocab_size), kind="stable")
        rare = np.ones(vocab_size, dtype=bool)
        rare[order[: min(FREQUENT, vocab_size // 40)]] = False
        return cls(ends + 1, end, data.special_ids["pad_token"], rare)


def moved_word_rows(
    data: Prepared, lines: Lines, count: int, length: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows [begin] line-without-one-word [mask] [end], padded.

    Returns:
        ids [n, L] with the mask in place, true lengths [n], index of the mask [n], the word [n];
        lines without a rare word are left out.
    """
    pick = torch.randint(0, len(lines.starts), (count,), generator=generator).numpy()
    block = data.train[lines.starts[pick][:, None] + np.arange(length - 2)[None, :]]
    rows, lengths, words = [], [], []
    draws = torch.rand(count, generator=generator).numpy()
    for row, draw in zip(block, draws, strict=True):
        stops = np.flatnonzero(row == lines.end)
        line = row[: stops[0]] if len(stops) else row
        places = np.flatnonzero(lines.rare[line])
        if not len(places):
            continue
        place = places[int(draw * len(places))]
        rows.append([data.begin, *np.delete(line, place), data.mask, lines.end])
        lengths.append(len(rows[-1]))
        words.append(int(line[place]))
    ids = np.full((len(rows), max(lengths)), lines.pad, dtype=np.int64)
    for index, filled in enumerate(rows):
        ids[index, : len(filled)] = filled
    return (
        torch.from_numpy(ids),
        torch.tensor(lengths),
        torch.tensor(lengths) - 2,
        torch.tensor(words),
    )


def moved_word_loss(
    model: PreTrainedModel,
    data: Prepared,
    lines: Lines,
    ids_shape: tuple[int, int],
    generator: torch.Generator,
) -> tuple[torch.Tensor, int]:
    """Masked-word loss within lines plus the loss of the moved word.

    Returns:
        (loss, number of real tokens).
    """
    ids, lengths, at, words = moved_word_rows(data, lines, *ids_shape, generator)
    if model.config.is_encoder_decoder:
        inner = (torch.arange(ids.shape[1] - 1)[None, :] < lengths[:, None] - 1).long()
        said = torch.stack(
            [torch.full_like(words, data.mask), words, torch.full_like(words, lines.end)], 1
        )
        return said_loss(model, ids[:, 1:], said, inner)[0], int(lengths.sum())
    inside = torch.arange(ids.shape[1])[None, :] < (lengths - 2)[:, None]
    chosen = (torch.rand(ids.shape, generator=generator) < MOVED_MASK_RATE) & inside
    chosen[:, 0] = False
    attention = (torch.arange(ids.shape[1])[None, :] < lengths[:, None]).long()
    states = hidden_states(model, ids.masked_fill(chosen, data.mask), False, attention)
    every = torch.arange(len(ids))
    gathered = torch.cat([states[chosen], states[every, at]])
    logits = vocabulary_logits(model, gathered)
    masked_count = int(chosen.sum())
    masked = F.cross_entropy(logits[:masked_count], ids[chosen])
    moved = F.cross_entropy(logits[masked_count:], words)
    return masked + MOVED_WEIGHT * moved, int(lengths.sum())


def lm_loss(
    model: PreTrainedModel,
    ids: torch.Tensor,
    mask_id: int,
    masked: bool,
    rate: float,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cross-entropy over the predicted positions.

    Returns:
        (mean loss, logits [n, V], gold ids [n]).
    """
    if model.config.is_encoder_decoder:
        return window_loss(model, ids[:, 1:], mask_id, masked, rate, generator)
    if masked:
        chosen = torch.rand(ids.shape, generator=generator) < rate
        chosen[:, 0] = False
        states = hidden_states(model, ids.masked_fill(chosen, mask_id), causal=False)[chosen]
        gold = ids[chosen]
    else:
        states = hidden_states(model, ids, causal=True)[:, :-1].flatten(0, 1)
        gold = ids[:, 1:].flatten()
    logits = vocabulary_logits(model, states)
    return F.cross_entropy(logits, gold), logits, gold


@torch.no_grad()
def held_out(model: PreTrainedModel, data: Prepared, masked: bool, limit: int) -> dict[str, float]:
    """Held-out loss (nats a token), top-1 and number of predicted windows; fixed masks."""
    model.eval()
    length = 64
    starts = np.arange(0, len(data.held_out) - length, length - 1)[:limit]
    generator = torch.Generator().manual_seed(SEED)
    sums = np.zeros(2)
    for chunk in np.array_split(starts, max(1, len(starts) // 32)):
        ids = windows(data.held_out, data.begin, chunk, length)
        _, logits, gold = lm_loss(model, ids, data.mask, masked, EVAL_MASK_RATE, generator)
        loss = F.cross_entropy(logits, gold)  # of words alone, whatever else is predicted
        right = (logits.argmax(-1) == gold).float().mean()
        sums += np.array([float(loss), float(right)]) * len(chunk)
    model.train()
    loss_mean, top1 = sums / len(starts)
    return {"loss": float(loss_mean), "top1": float(top1)}


def cycle_of(seen: int, cycles: tuple[int, ...]) -> tuple[int, float]:
    """(number of the running cycle, share of it done) after ``seen`` tokens."""
    for number, tokens in enumerate(cycles):
        if seen < tokens or number == len(cycles) - 1:
            return number, seen / tokens
        seen -= tokens
    raise ValueError("a recipe needs at least one cycle")


def rate_factor(progress: float) -> float:
    """Learning-rate factor: short warm-up, plateau, linear decay to zero."""
    if progress < WARMUP:
        return progress / WARMUP
    return min(1.0, (1.0 - progress) / (1.0 - DECAY_FROM))


def make_optimizers(
    model: PreTrainedModel, recipe: PocketRecipe
) -> list[tuple[torch.optim.Optimizer, float]]:
    """Muon for the layers' matrices, AdamW for embeddings, norms and biases."""
    matrices: list[torch.nn.Parameter] = []
    others: list[torch.nn.Parameter] = []
    tables = {
        id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)
    }
    for parameter in model.parameters():
        inner = parameter.ndim == 2 and id(parameter) not in tables
        (matrices if inner else others).append(parameter)
    return [
        (
            torch.optim.Muon(matrices, lr=recipe.muon_lr, weight_decay=0.01, ns_steps=4),
            recipe.muon_lr,
        ),
        (
            torch.optim.AdamW(
                others, lr=recipe.adam_lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True
            ),
            recipe.adam_lr,
        ),
    ]


def step_loss(
    model: PreTrainedModel,
    recipe: PocketRecipe,
    data: Prepared,
    lines: Lines | None,
    step: int,
    phase: tuple[float, bool, float],
) -> tuple[torch.Tensor, int]:
    """Loss of one training step.

    Args:
        recipe: how many tokens make a batch.
        lines: where lines start; None where no step moves a word.
        step: seeds windows and masks: a resumed run meets the same ones.
        phase: share of the cycle done, whether words are masked, share of moved-word steps.

    Returns:
        (loss, number of tokens).
    """
    progress, masked, share = phase
    length = [size for start, size in LENGTHS if progress >= start][-1]
    generator = torch.Generator().manual_seed(SEED * 1_000_003 + step)
    count = recipe.batch_tokens // length
    # Steps take turns: k moved-word steps in every 10 for a share of k / 10.
    if lines is not None and step % 10 < round(10 * share):
        # Lines are shorter than windows: twice as many make a batch of about the same size.
        shape = (2 * count, min(length, MAX_LINE))
        return moved_word_loss(model, data, lines, shape, generator)
    limit = len(data.train) - length
    starts = torch.randint(0, limit, (count,), generator=generator).numpy()
    ids = windows(data.train, data.begin, starts, length)
    loss, _, _ = lm_loss(model, ids, data.mask, masked, MASK_RATE, generator)
    return loss, ids.numel()


def begun(recipe: PocketRecipe, data: Prepared, folder: Path) -> PreTrainedModel:
    """The model before its first step: the one it goes on with, or one of fresh numbers."""
    if recipe.start:
        found: PreTrainedModel = AutoModelForSeq2SeqLM.from_pretrained(
            pocket_path(recipe.start), dtype=torch.float32
        )
        return found
    path = folder / "vectors.pt"
    if not path.exists():
        torch.save(ppmi_svd(data.train, recipe.vocab_size, recipe.width, SEED), path)
    return build_model(recipe, data.special_ids, torch.load(path, weights_only=True))


def train_model(
    name: str, recipe: PocketRecipe, corpus: Path, work: Path, save_every: float, note: str = ""
) -> None:
    """Train one model from its last checkpoint on, then export it into the package."""
    folder, prepared = work / name, work / (recipe.start or name)
    folder.mkdir(parents=True, exist_ok=True)
    data = prepare(recipe, corpus, prepared)
    torch.manual_seed(SEED)
    model = begun(recipe, data, prepared)
    model.train()
    optimizers = make_optimizers(model, recipe)
    state_path = folder / "state.pt"
    step, seen = 0, 0
    if state_path.exists():
        state = torch.load(state_path, weights_only=True)
        model.load_state_dict(state["model"])
        for (optimizer, _), saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        step, seen = state["step"], state["seen"]

    def save() -> None:
        content = io.BytesIO()
        torch.save(
            {
                "model": model.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer, _ in optimizers],
                "step": step,
                "seen": seen,
            },
            content,
        )
        replace_file(state_path, content.getvalue())

    began, seen_before, saved_at, average = time.monotonic(), seen, time.monotonic(), 0.0
    total = sum(recipe.cycles)
    lines = Lines.of(data, recipe.vocab_size) if any(recipe.moved_share) else None
    while seen < total:
        cycle, progress = cycle_of(seen, recipe.cycles)
        masked = recipe.masked and (cycle > 0 or progress >= recipe.causal_share)
        share = recipe.moved_share[cycle] if masked else 0.0
        loss, used = step_loss(model, recipe, data, lines, step, (progress, masked, share))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, peak in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = peak * rate_factor(progress) * (1.0 if cycle == 0 else 0.5)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        step, seen = step + 1, seen + used
        average = (
            float(loss.detach()) if average == 0 else 0.98 * average + 0.02 * float(loss.detach())
        )
        if step % 50 == 0:
            speed = (seen - seen_before) / (time.monotonic() - began)
            left = (total - seen) / speed / 60
            line = (
                f"{name} step {step} {seen / 1e6:.2f}/{total / 1e6:.1f} M tokens"
                f" loss {average:.3f} {speed:,.0f} tokens/s ETA {left:.1f} min"
            )
            if step % 500 == 0:
                figures = held_out(model, data, masked, 200)
                line += f" | held-out loss {figures['loss']:.3f} top-1 {figures['top1']:.3f}"
            print(line, flush=True)
        if time.monotonic() - saved_at > save_every:
            save()
            saved_at = time.monotonic()
    save()
    figures = held_out(model, data, recipe.masked, 10**9)
    export(name, recipe, model, prepared, figures, seen, corpus, len(data.train), note)
    print(f"{name}: held-out loss {figures['loss']:.3f}, top-1 {figures['top1']:.3f}", flush=True)


def export(
    name: str,
    recipe: PocketRecipe,
    model: PreTrainedModel,
    folder: Path,
    figures: dict[str, float],
    seen: int,
    corpus: Path,
    corpus_tokens: int,
    note: str,
) -> None:
    """Write the half-precision Hugging Face folder with its card into the package."""
    target = pocket_path(name)
    target.mkdir(parents=True, exist_ok=True)
    model.eval()
    half = model.to(torch.float16)
    half.save_pretrained(target, safe_serialization=True)
    (target / "generation_config.json").unlink(missing_ok=True)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (target / file).write_bytes((folder / file).read_bytes())
    digest = hashlib.sha256(corpus.read_bytes()).hexdigest()
    parameters = sum(parameter.numel() for parameter in half.parameters())
    record = {
        "name": name,
        **asdict(recipe),
        "note": note,
        "parameters": parameters,
        "tokens_seen": seen,
        "corpus": corpus.name,
        "corpus_sha256": digest,
        "corpus_tokens": corpus_tokens,
        "held_out_loss": round(figures["loss"], 4),
        "held_out_perplexity": round(math.exp(figures["loss"]), 2),
        "held_out_top1": round(figures["top1"], 4),
    }
    (target / "card.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    (target / "README.md").write_text(model_card(record), encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m trainables.pocket.train", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="models to train (default: all)")
    parser.add_argument("--corpus", type=Path, required=True, help="text file, one passage a line")
    parser.add_argument("--work", type=Path, default=Path("pocket-work"), help="checkpoints")
    parser.add_argument("--tokens", type=float, help="one cycle of so many tokens instead")
    parser.add_argument(
        "--save-every", type=float, default=60.0, help="seconds between checkpoints"
    )
    parser.add_argument("--note", default="", help="a sentence for the model card")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: torch's)")
    options = parser.parse_args(arguments)
    names = options.names or list(POCKET_NAMES)
    unknown = [name for name in names if name not in RECIPES]
    if unknown:
        parser.error(f"unknown model {unknown[0]!r}; allowed: {', '.join(RECIPES)}")
    if not options.corpus.is_file():
        parser.error(f"--corpus: no file {options.corpus}")
    keep_freed_memory()
    if options.threads:
        torch.set_num_threads(options.threads)
    for name in names:
        recipe = RECIPES[name]
        if options.tokens:
            recipe = replace(recipe, cycles=(int(options.tokens),))
        try:
            train_model(
                name, recipe, options.corpus, options.work, options.save_every, options.note
            )
        except KeyboardInterrupt:
            print(f"\nstopped; the same command continues {name} from its last checkpoint")
            return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
