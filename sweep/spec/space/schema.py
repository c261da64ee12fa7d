"""JSON Schemas of the sections that a search reads."""

from typing import Any, get_type_hints

from sweep.spec.methods import COUNTERPARTS, LAMBDA, RECIPE
from sweep.spec.space.parsing import setting_schema
from sweep.spec.space.space import is_list, number_of
from trainables.core.registries import METHODS
from trainables.core.weight import ANNEALING
from trainables.files.validation import model_of


def json_schema() -> dict[str, Any]:
    """JSON Schemas of the sections that a search reads, by the name of the section."""
    return {"methods": methods_schema(), "domains": domains_schema()}


def methods_schema() -> dict[str, Any]:
    """JSON Schema of the section ``methods`` where a search reads it, domains and all."""
    return {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": False,
        "properties": {name: _method_schema(cls) for name, cls in METHODS.items()},
    }


def domains_schema() -> dict[str, Any]:
    """JSON Schema of the section ``domains``; each is checked where it is used."""
    return {"type": "object", "additionalProperties": {"type": ["object", "array"]}}


def _method_schema(cls: Any) -> dict[str, Any]:
    hints = get_type_hints(cls)
    weight = {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"const": ANNEALING}]}
    own = {
        name: setting_schema(value, number_of(hints[name]), not is_list(hints[name]))
        for name, value in model_of(cls).model_json_schema()["properties"].items()
    }
    return {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {
            **({COUNTERPARTS: {}} if cls.family == "hard" else {}),
            RECIPE: {"type": ["string", "null"]},
            **({LAMBDA: setting_schema(weight, float)} if cls.family == "soft" else {}),
            **own,
        },
    }
