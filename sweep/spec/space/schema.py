"""JSON Schemas of the sections that a search reads."""

from typing import Any, get_args, get_origin

from sweep.spec.methods import ANNEALING, COUNTERPARTS, LAMBDA, RECIPE
from sweep.spec.space.parsing import setting_schema
from sweep.spec.space.space import hints_of, is_list, number_of, parts_of
from trainables.core.registries import METHODS


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


def _method_schema(cls: type[Any]) -> dict[str, Any]:
    weight = {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"const": ANNEALING}]}
    own = {
        name: setting_schema(_value_schema(hint), number_of(hint), not is_list(hint))
        for name, hint in hints_of(cls).items()
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


_JSON_TYPES: dict[Any, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    type(None): "null",
}


def _value_schema(hint: Any) -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    for part in parts_of(hint):
        if get_origin(part) is tuple:
            found.append({"type": "array", "items": _value_schema(get_args(part)[0])})
        else:
            found.append({"type": _JSON_TYPES[part]})
    return found[0] if len(found) == 1 else {"anyOf": found}
