"""The JSON Schema of a spec, for editors that check YAML while it is written."""

from typing import Any

from sweep.spec.pairs import ALL
from sweep.spec.space.measures import MEASURES
from sweep.spec.space.pruners import PRUNERS
from sweep.spec.space.samplers import SAMPLERS
from sweep.spec.space.schema import domains_schema, methods_schema
from sweep.spec.space.section import SearchSection
from sweep.spec.space.settings import DIRECTIONS
from sweep.spec.spec import MOST_SEEDS, MlflowEntry, ModelEntry, Resources, SweepSpec
from trainables.core.precision import PRECISIONS
from trainables.core.predictions import SPLITS
from trainables.core.settings import TransferSettings
from trainables.files.validation import model_of
from trainables.scoring.calibration import CALIBRATIONS

_NAMES = {"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True}


def spec_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a spec; each field with the description its errors use."""
    properties = {
        name: {**_form(name), "description": field.description or ""}
        for name, field in SweepSpec.model_fields.items()
    }
    required = [name for name, field in SweepSpec.model_fields.items() if field.is_required()]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "promptsweep spec",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _form(name: str) -> dict[str, Any]:
    own: dict[str, dict[str, Any]] = {
        "models": {
            "type": "object",
            "additionalProperties": _closed(ModelEntry.model_json_schema()),
        },
        "sources": _NAMES,
        "targets": _NAMES,
        "tasks": _NAMES,
        "pairs": _pairs(),
        "seeds": {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": MOST_SEEDS},
                {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1},
            ]
        },
        "methods": methods_schema(),
        "domains": {**domains_schema(), "type": ["object", "null"]},
        "plugins": {**_NAMES, "minItems": 0},
        "transfer": model_of(TransferSettings).model_json_schema(),
        "calibration": {"type": "array", "items": {"enum": list(CALIBRATIONS)}},
        "predictions": {"type": "array", "items": {"enum": list(SPLITS)}},
        "resources": _resources(),
        "precision": {"enum": [*PRECISIONS, "auto"]},
        "mlflow": _closed(MlflowEntry.model_json_schema()),
        "search": _search(),
    }
    if name in own:
        return own[name]
    types = {str: "string", bool: "boolean", int: "integer", float: "number"}
    return {"type": types.get(_plain_type(name), "string")}


def _plain_type(name: str) -> Any:
    return SweepSpec.model_fields[name].annotation


def _pairs() -> dict[str, Any]:
    several = {"type": "array", "items": {"type": "string"}, "minItems": 2}
    pattern = {"type": "string", "pattern": r"\+"}
    return {
        "anyOf": [
            {"const": ALL},
            pattern,
            {"type": "array", "items": {"anyOf": [several, pattern]}},
        ]
    }


def _resources() -> dict[str, Any]:
    found = _closed(Resources.model_json_schema())
    own = found["properties"]
    for name, number in (
        ("cpu", {"type": "number", "exclusiveMinimum": 0}),
        ("gpu", {"type": "number", "minimum": 0}),
        ("replicas", {"type": "integer", "minimum": 1}),
    ):
        own[name] = {"anyOf": [number, {"const": "auto"}, {"type": "null"}]}
    return found


def _search() -> dict[str, Any]:
    found = _closed(SearchSection.model_json_schema())
    own = found["properties"]
    own["sampler"] = {"enum": list(SAMPLERS)}
    own["pruner"] = {"enum": list(PRUNERS)}
    own["rungs"] = {"enum": ["tasks", "steps"]}
    measure = {"enum": list(MEASURES)}
    goal = {"type": "object", "properties": {"measure": measure}, "required": []}
    goal["properties"] |= {  # type: ignore[operator]
        "direction": {"enum": [*DIRECTIONS, None]},
        "tasks": {"type": "array"},
        "targets": {"type": "array"},
        "name": {"type": ["string", "null"]},
    }
    one = {"anyOf": [measure, {**goal, "additionalProperties": False}]}
    own["objective"] = {"anyOf": [*one["anyOf"], {"type": "array", "items": one, "minItems": 1}]}
    return {"anyOf": [found, {"type": "null"}]}


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema of pydantic's with its definitions written out in place."""
    definitions = schema.pop("$defs", {})

    def written_out(item: Any) -> Any:
        if isinstance(item, dict):
            if "$ref" in item:
                return written_out(definitions[item["$ref"].rsplit("/", 1)[-1]])
            return {key: written_out(value) for key, value in item.items()}
        return [written_out(value) for value in item] if isinstance(item, list) else item

    found: dict[str, Any] = written_out(schema)
    return found
