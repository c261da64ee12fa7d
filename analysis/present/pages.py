"""Templates of the pages that the analysis writes."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from analysis.present.grid import points

_TEMPLATES = Path(__file__).parents[1] / "templates"


@cache
def _environment() -> Environment:
    """Whatever is put in is escaped, and a name that is missing fails."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["points"] = lambda score, signed=False: points(100 * float(score), signed)
    return environment


def rendered(template: str, **content: Any) -> str:
    return _environment().get_template(template).render(**content)
