"""Common vocabulary and neighbour agreement at real size: ``python -m benchmarks.agreement``.

1. Agreement of c words in two made-up embedding spaces, exact against sampled: seconds, processor
   seconds and peak memory (every run is a process of its own), and how far two draws of the
   samples, and samples and exact, choose the same words.
2. With ``--tokenizers DIR`` (a folder of tokenizer folders): seconds to read each one's words, and
   the exact agreement of the words the first two share, with tables of these tokenizers' length.
"""

import argparse
import json
import multiprocessing
import platform
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer

from trainables.backbones import Reader
from trainables.core.registries import BACKBONES
from trainables.words.agreement import Comparison, neighbour_agreement
from trainables.words.vocabulary import CommonVocabulary, common_vocabulary

KS = (16, 32, 64, 128)
K = 64
KEPT = 8192


def spaces(count: int, widths: tuple[int, int], seed: int = 0) -> list[torch.Tensor]:
    """Two embedding spaces that share part of their structure."""
    generator = torch.Generator().manual_seed(seed)
    core = torch.randn(count, 64, generator=generator)
    made = []
    for width in widths:
        table = core @ torch.randn(64, width, generator=generator)
        made.append(table.add_(torch.randn(count, width, generator=generator), alpha=8.0))
    return made


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def compare(
    words: int, width: int, threads: int, comparison: Comparison, ks: tuple[int, ...]
) -> dict[str, Any]:
    """One agreement in this process: seconds, memory and the words chosen at K = 64."""
    torch.set_num_threads(threads)
    tables = spaces(words, (width, width))
    before = peak_mib()
    began, spent = time.perf_counter(), time.process_time()
    found = neighbour_agreement(tables, ks, comparison)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - spent
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mib": peak_mib(),
        "above_tables_mib": peak_mib() - before,
        "neighbours": found[K].neighbours,
        "chosen": found[K].ranking[: min(KEPT, words // 2)].tolist(),
    }


def alone(run: Callable[..., Any], *arguments: Any) -> Any:
    """What ``run`` returns in a fresh process, so that its peak memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run, arguments)


def modes(words: int, width: int, threads: int, rounds: int) -> dict[str, Any]:
    contestants: dict[str, tuple[Comparison, tuple[int, ...]]] = {
        "exact": (Comparison(), (K,)),
        "exact_four_k": (Comparison(), KS),
        "sampled": (Comparison("sampled"), (K,)),
    }
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, (comparison, ks) in contestants.items():
            runs[name].append(alone(compare, words, width, threads, comparison, ks))
    other = alone(compare, words, width, threads, Comparison("sampled", seed=1), (K,))
    figures: dict[str, Any] = {}
    for name, results in runs.items():
        for key in ("seconds", "cpu_seconds", "peak_mib", "above_tables_mib"):
            figures[f"{name}_{key}"] = statistics.median(result[key] for result in results)
    exact, drawn = set(runs["exact"][0]["chosen"]), set(runs["sampled"][0]["chosen"])
    return {
        "what": f"{words} words, {width} dimensions, 2 models, K {K}, h and L as in the paper",
        "neighbours_exact": runs["exact"][0]["neighbours"],
        **figures,
        # Of processor time: what else runs on the machine moves seconds more than the method does.
        "ratio": figures["sampled_cpu_seconds"] / figures["exact_cpu_seconds"],
        "words_chosen": len(exact),
        "same_words_two_draws": len(drawn & set(other["chosen"])) / len(exact),
        "same_words_exact_and_sampled": len(drawn & exact) / len(exact),
    }


def reader(folder: Path) -> Reader:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    kind = "gpt2" if tokenizer.mask_token_id is None else "bert"
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer))
    return Reader(folder.name, BACKBONES[kind](config), tokenizer)


def real(folders: list[Path], widths: tuple[int, int], threads: int) -> dict[str, Any]:
    """Words of tokenizers, and the agreement of two of them from whole tables to a ranking."""
    torch.set_num_threads(threads)
    readers = [reader(folder) for folder in folders]
    figures: dict[str, Any] = {"tokenizers": {}}
    for one in readers:
        began = time.perf_counter()
        count = len(one.words)
        seconds = time.perf_counter() - began
        figures["tokenizers"][one.alias] = {"tokens": one.rows, "words": count, "seconds": seconds}
    pair = readers[:2]
    began = time.perf_counter()
    shared: CommonVocabulary = common_vocabulary(pair)
    figures["intersection_seconds"] = time.perf_counter() - began
    # Rows of the common words, scattered over tables as long as the tokenizers.
    tables = []
    for rows, ids, one in zip(spaces(len(shared), widths), shared.ids, pair, strict=True):
        table = torch.zeros(one.rows, rows.shape[1])
        table[torch.tensor(ids)] = rows
        tables.append(table)
    before = peak_mib()
    began = time.perf_counter()
    picked = [table[torch.tensor(ids)] for table, ids in zip(tables, shared.ids, strict=True)]
    neighbour_agreement(picked, (K,))
    figures["agreement_seconds"] = time.perf_counter() - began
    return {
        "what": f"{pair[0].alias} and {pair[1].alias}, {widths[0]} and {widths[1]} dimensions",
        "common_words": len(shared),
        **figures,
        "peak_mib": peak_mib(),
        "above_tables_mib": peak_mib() - before,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", type=int, nargs="+", default=[15_000], help="c, several allowed")
    parser.add_argument("--width", type=int, default=768, help="embedding width d")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokenizers", type=Path, help="folder of two or more tokenizer folders")
    parser.add_argument("--first", nargs=2, help="the two that are compared (default: by name)")
    parser.add_argument("--widths", type=int, nargs=2, default=(1280, 768), help="their widths")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/agreement.json"))
    options = parser.parse_args()
    record: dict[str, Any] = {
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "threads": options.threads,
            "torch": torch.__version__,
        },
        "modes": [
            modes(words, options.width, options.threads, options.rounds) for words in options.words
        ],
    }
    if options.tokenizers:
        names = sorted(path.parent.name for path in options.tokenizers.glob("*/tokenizer.json"))
        first = options.first or names[:2]
        ordered = [*first, *(name for name in names if name not in first)]
        folders = [options.tokenizers / name for name in ordered]
        record["real"] = alone(real, folders, tuple(options.widths), options.threads)
    text = json.dumps(record, indent=2)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(text + "\n", encoding="utf-8")
    print(text)
    print(f"written to {options.json}")


if __name__ == "__main__":
    main()
