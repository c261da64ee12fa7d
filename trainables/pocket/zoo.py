"""Names and folders of the embedded models."""

from pathlib import Path

from trainables.pocket.recipes import RECIPES

_MODELS = Path(__file__).parent / "models"

POCKET_NAMES: tuple[str, ...] = tuple(RECIPES)


def pocket_path(name: str) -> Path:
    """Folder of an embedded model (config.json, model.safetensors, tokenizer.json).

    Raises:
        KeyError: ``name`` is none of :data:`POCKET_NAMES`.
    """
    if name not in RECIPES:
        raise KeyError(name)
    return _MODELS / name
