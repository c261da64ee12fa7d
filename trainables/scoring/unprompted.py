"""What a frozen model makes of a text without a prompt: a constant, worked out once and kept."""

import hashlib
from io import BytesIO

import numpy as np
import torch

from trainables.backbones import Backbone, Encoded
from trainables.compute.passes import read_tokens
from trainables.core.cells import content_hash
from trainables.files.cache import cache_folder, keep, recall

FORMAT = 1
"""Version of the states: raised whenever they are worked out differently."""
LARGEST = 1 << 26
"""Bytes of a split's states that are kept between processes; larger ones are worked out again."""


@torch.no_grad()
def mean_states(backbone: Backbone, data: Encoded) -> torch.Tensor:
    """Mean last state of each row over its positions, centred, of length 1 [n, h], float32.

    Rows of one length are read together and none is padded: a row has the same state whatever is
    read beside it.

    Args:
        data: rows without a prompt.
    """
    lengths = data.lengths.cpu()
    found = torch.zeros(len(data), backbone.family.state_width, device=backbone.device)
    for length in sorted(set(lengths.tolist())):
        (rows,) = torch.where(lengths == length)
        for part in rows.split(max(1, read_tokens(backbone.device) // length)):
            chosen = part.to(data.ids.device)
            embeds = backbone.table[data.ids[chosen, :length]].to(backbone.dtype)
            with backbone.rounding():
                states = backbone.family.states(embeds)
            found[chosen] = states.float().mean(1)
    found = found - found.mean(1, keepdim=True)
    size: torch.Tensor = found.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return found / size


def kept_states(backbone: Backbone, data: Encoded, digest: str) -> torch.Tensor:
    """:func:`mean_states`, once for a model and the tokens of a split, also between processes.

    Args:
        digest: of the model's content.
    """
    size = len(data) * backbone.family.state_width * 4
    if size > LARGEST:
        return mean_states(backbone, data)
    tokens = hashlib.sha256()
    for part in (data.ids, data.lengths):
        tokens.update(part.cpu().numpy().tobytes())
    key = {
        "format": FORMAT,
        "model": digest,
        "precision": backbone.precision,
        "literal": backbone.literal,
        "device": torch.device(backbone.device).type,
        "tokens": tokens.hexdigest(),
    }
    path = cache_folder() / "states" / f"{content_hash(key)}.npy"
    content = recall(path)
    if content is not None:
        found = np.load(BytesIO(content), allow_pickle=False)
        return torch.from_numpy(found).to(backbone.device)
    states = mean_states(backbone, data)
    file = BytesIO()
    np.save(file, states.cpu().numpy(), allow_pickle=False)
    keep(path, file.getvalue())
    return states
