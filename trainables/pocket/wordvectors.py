"""Embedding tables from co-occurrence counts, the start of every pocket model.

Positive pointwise mutual information factored by a truncated SVD (Levy & Goldberg 2014) costs
seconds and spares the first minutes of training, in which a small model learns little else.
"""

import numpy as np
import torch

WINDOW = 4


def ppmi_svd(stream: np.ndarray, vocab_size: int, width: int, seed: int) -> torch.Tensor:
    """Word vectors of a token stream.

    Args:
        stream: token ids, shape [n].
        vocab_size: number of rows V.
        width: number of columns d.

    Returns:
        Tensor [V, d], rows centred, overall standard deviation 1. Rows of tokens that never occur
        are zero before centring.
    """
    counts = np.zeros(vocab_size * vocab_size, dtype=np.float32)
    wide = stream.astype(np.int64)
    for distance in range(1, WINDOW + 1):
        codes = wide[:-distance] * vocab_size + wide[distance:]
        weight = np.float32(1.0 / distance)
        counts += weight * np.bincount(codes, minlength=counts.size).astype(np.float32)
    table = torch.from_numpy(counts.reshape(vocab_size, vocab_size))
    table = table + table.T
    row = table.sum(1)
    context = row.pow(0.75)
    context = context / context.sum()
    joint = table / row.clamp_min(1e-6)[:, None]
    ppmi = torch.log((joint / context.clamp_min(1e-12)[None, :]).clamp_min(1e-12)).clamp_min_(0.0)
    torch.manual_seed(seed)
    left, values, _ = torch.svd_lowrank(ppmi, q=width + 16, niter=4)
    vectors = left[:, :width] * values[:width].sqrt()
    vectors = vectors - vectors.mean(0, keepdim=True)
    return vectors / vectors.std()
