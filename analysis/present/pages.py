"""Templates of the pages that the analysis writes."""

import base64
import hashlib
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


@cache
def script() -> tuple[str, str]:
    """The script of the report, and the policy by which nothing but it runs and nothing loads."""
    text = (_TEMPLATES / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
        f"form-action 'none'; script-src 'sha256-{digest}'"
    )
    return text, policy
