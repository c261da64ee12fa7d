"""``prompt_vecs.npy``, in which OptiPrompt and PTfer (Wu et al.) keep a prompt.

Both add ten rows to the embedding table and save all ten, whatever the number of vectors their
template uses (``--num_vectors``, 5 by default): the rest was never trained.
"""

from io import BytesIO
from pathlib import Path

import numpy as np

from trainables.errors import InputError
from trainables.interchange.provenance import card_head, provenance
from trainables.interchange.tuned import MANIFEST, README, TunedPrompt

FILE = "prompt_vecs.npy"
ROWS = 10
"""Rows of the file: what both programs write, and demand when they read."""
NUM_VECTORS = 5
"""How many of the rows are trained, where nothing else is said."""


def read_prompt_vecs(
    path: Path, num_vectors: int = NUM_VECTORS, width: int | None = None
) -> np.ndarray:
    """The trained rows of a ``prompt_vecs.npy``.

    Args:
        num_vectors: rows that were trained (``--num_vectors`` of the tuning); the others are
            dropped.
        width: embedding width d of the model it was tuned on, if that is to be checked.

    Returns:
        float32 [num_vectors, d].

    Raises:
        InputError: no such file, no matrix of finite floating-point numbers, too few rows, another
            width. Pickled content is never loaded.
    """
    if num_vectors < 1:
        raise InputError(f"num_vectors: found {num_vectors}; allowed: at least 1")
    found = _load(path)
    if found.dtype.kind != "f":
        raise InputError(f"{path}: found numbers of type {found.dtype}; allowed: floating point")
    if found.ndim != 2:
        raise InputError(
            f"{path}: found an array of shape {list(found.shape)}; allowed: [vectors, width]"
        )
    if width is not None and found.shape[1] != width:
        raise InputError(
            f"{path}: found vectors of width {found.shape[1]}; allowed: {width}, the width of the"
            " model's embeddings"
        )
    if len(found) < num_vectors:
        raise InputError(
            f"{path}: found {len(found)} vectors; allowed: at least {num_vectors} (num_vectors)"
        )
    trained = np.array(found[:num_vectors], dtype=np.float32)
    if not np.isfinite(trained).all():
        raise InputError(
            f"{path}: found NaN or infinity in its first {num_vectors} vectors;"
            " allowed: finite numbers"
        )
    return trained


def write_prompt_vecs(path: Path, prompt: np.ndarray) -> None:
    """Write a prompt [m, d] of at most ten vectors so that OptiPrompt and PTfer read it.

    Raises:
        InputError: more vectors than that, or no matrix.
        OSError: the file cannot be written.
    """
    rows = prompt_vecs(prompt)
    with path.open("wb") as file:
        np.save(file, rows, allow_pickle=False)


def prompt_vecs(prompt: np.ndarray) -> np.ndarray:
    """The ten rows [10, d] of a prompt [m, d]: its vectors over and over.

    PTfer's search takes all ten rows for trained and averages over them: repeated vectors leave
    that average (exactly so if m divides 10) to the prompt, which random ones would not.

    Raises:
        InputError: more than ten vectors, or no matrix.
    """
    if prompt.ndim != 2 or not 1 <= len(prompt) <= ROWS:
        raise InputError(
            f"prompt: found the shape {list(prompt.shape)}; allowed in {FILE}: 1 to {ROWS} vectors"
        )
    return np.ascontiguousarray(prompt[np.arange(ROWS) % len(prompt)], dtype=np.float32)


def ptfer_files(tuned: TunedPrompt) -> dict[str, bytes]:
    """Files of a folder with ``prompt_vecs.npy``.

    Raises:
        InputError: more than ten vectors, or label words that do not fit.
    """
    if tuned.layout.deep:
        raise InputError(
            "position: found layers; allowed in the format npy: vectors among word embeddings (the"
            " format peft takes keys and values of layers)"
        )
    file = BytesIO()
    np.save(file, prompt_vecs(tuned.prompt), allow_pickle=False)
    readme = _README.format(
        model=tuned.model.alias,
        task=tuned.task.name,
        vectors=len(tuned.prompt),
        rows=ROWS,
        manifest=MANIFEST,
        position=tuned.layout.position,
    )
    usage = {"file": FILE, "num_vectors": len(tuned.prompt), "rows": ROWS}
    return {
        FILE: file.getvalue(),
        MANIFEST: tuned.manifest("npy", npy=usage),
        README: (card_head(tuned) + readme + provenance(tuned)).encode(),
    }


def _load(path: Path) -> np.ndarray:
    try:
        # Mapped, so that a header which promises more than the file holds is an error at once.
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; allowed: a {FILE}") from None
    except (OSError, ValueError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: cannot be read ({reason}); allowed: a {FILE} with one array of numbers"
        ) from None
    if not isinstance(found, np.ndarray):
        found.close()
        raise InputError(f"{path}: found an archive of arrays; allowed: a {FILE} with one array")
    return found


_README = """# Soft prompt for {model}, task {task}

`prompt_vecs.npy` holds {rows} rows, as OptiPrompt and PTfer demand. The prompt is the first
{vectors} of them (`--num_vectors {vectors}`); the rest repeats it.

The prompt was tuned at the position `{position}` (prefix: before the text; infix: between text and
answer). Those programs' own template is `[X] [V1] [V2] … [Y] .`, so scores there are those of
another layout. What the prompt was tuned on, how inputs were put together, and what it scored is in
`{manifest}`.
"""
