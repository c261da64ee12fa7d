"""Templates of the pages that the analysis writes."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_TEMPLATES = Path(__file__).parents[1] / "templates"


def templates() -> Environment:
    """The folder of templates: whatever is put in is escaped, and a name that is missing fails."""
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
