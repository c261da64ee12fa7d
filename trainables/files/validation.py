"""Values that people write, held against pydantic's models, and its errors as one sentence.

What is allowed is said once, in the annotation of a field: it checks the value, it is the field's
JSON Schema for editors, and that schema in words is the second half of the sentence (or the field's
``description``, where it has one). Pydantic takes a while to import: modules that are to load at
once import this one where values are checked.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model
from pydantic_core import core_schema

from trainables.errors import InputError, field_path, listed, nearest, show

STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
"""Nothing is converted, no key is passed over, and no number is infinite."""

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class SchemaOf:
    """Marks a field whose JSON Schema is made when it is asked for: registries grow."""

    make: Callable[[], dict[str, Any]]

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return self.make()


@dataclass(frozen=True)
class OneOf:
    """Marks a text that is one of some names, looked up in the moment it is checked."""

    names: Collection[str]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        def known(name: str) -> str:
            if name not in self.names:
                raise ValueError
            return name

        return core_schema.no_info_after_validator_function(known, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"enum": list(self.names)}

    def __hash__(self) -> int:
        """Of this one: names may come later."""
        return id(self.names)


@cache
def model_of(cls: Any) -> type[BaseModel]:
    """The model of a dataclass: its fields with their annotations, each checked by itself."""
    hints = get_type_hints(cls, include_extras=True)
    own: dict[str, Any] = {
        item.name: (hints[item.name], ... if item.default is MISSING else item.default)
        for item in fields(cls)
    }
    return create_model(cls.__name__, __config__=STRICT, **own)


def checked(
    model: type[BaseModel],
    values: Mapping[Any, Any],
    where: str = "",
    further: Collection[str] = (),
) -> dict[str, Any]:
    """The fields among ``values`` in their own types; defaults are not filled in.

    Args:
        model: says which fields there are and what they allow.
        where: path of the mapping, put before the sentence.
        further: keys that may stand beside the fields and were taken out before.

    Raises:
        InputError: one sentence on the first mistake.
    """
    given = {str(key): frozen(item) for key, item in values.items()}
    try:
        found = model.model_validate(given)
    except ValidationError as error:
        raise InputError(sentence(error, model.model_json_schema(), where, further)) from None
    return {name: getattr(found, name) for name in given}


def typed(hint: Any, value: Any, path: str) -> Any:
    """One value of an annotated type.

    Raises:
        InputError: it is of another type or beyond the bounds; the sentence starts with ``path``.
    """
    adapter = _adapter(hint)
    try:
        return adapter.validate_python(frozen(value))
    except ValidationError as error:
        raise InputError(sentence(error, adapter.json_schema(), path)) from None


def schema_of(hint: Any) -> dict[str, Any]:
    return _adapter(hint).json_schema()


def allowed(hint: Any) -> str:
    whole = schema_of(hint)
    return in_words(whole, whole)


def frozen(value: Any) -> Any:
    """A list of YAML as the tuple that frozen settings hold."""
    return tuple(map(frozen, value)) if isinstance(value, list) else value


@cache
def _adapter(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(hint, config=ConfigDict(strict=True, allow_inf_nan=False))


def sentence(
    error: ValidationError, schema: Schema, where: str = "", further: Collection[str] = ()
) -> str:
    """One sentence on the first mistake of ``error``, misspelt keys before all others.

    Args:
        schema: JSON Schema of what it was held against.
        where: path of the whole value, put before.
        further: keys that are allowed at the top besides.
    """
    problems = error.errors(include_url=False)
    problem = next((item for item in problems if item["type"] == "extra_forbidden"), problems[0])
    place, node, allowed = _walk(schema, problem["loc"])
    path = field_path(place)
    path = f"{where}.{path}" if where and path[:1] not in ("", "[") else where + path
    prefix = f"{path}: " if path else ""
    if problem["type"] == "extra_forbidden":
        key, keys = problem["loc"][-1], [*(() if place else further), *_keys(schema, node)]
        return f"{prefix}unknown key {show(key)}{nearest(key, keys)}; allowed: {listed(keys, key)}"
    # A validator that says what is wrong does so in the text of its ValueError.
    told = str(problem.get("ctx", {}).get("error", "")) or _told(problem, node)
    return f"{prefix}{told}" + ("" if "allowed: " in told else f"; allowed: {allowed}")


def _told(problem: Mapping[str, Any], node: Schema) -> str:
    value = problem["input"]
    if problem["type"] == "missing":
        return "missing"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if problem["type"] == "string_type" and number:  # maybe meant as a name
        return f"found {show(value)}, a number (text in quotes)"
    found = show(list(value) if isinstance(value, tuple) else value)  # YAML has no tuples
    return f"found {found}{nearest(value, _names(node)) if isinstance(value, str) else ''}"


def _walk(schema: Schema, location: Sequence[int | str]) -> tuple[list[int | str], Schema, str]:
    """The part of a location that a user wrote, the schema of what stands there, and it in words.

    What is allowed are the names of an enumeration, as they are in this process, or else the
    description of the innermost described field on the way, if any.
    """
    node, place, described = schema, [], ""
    for part in location:
        inner = next(_steps(schema, node, part), None)
        if inner is not None and part != "[key]":  # else it names a branch of a union or a key
            place.append(part)
            described = inner.get("description", described)
            node = _resolved(schema, inner)
    named = "enum" in node or not described
    return place, node, in_words(node, schema) if named else described


def _resolved(schema: Schema, node: Schema) -> Schema:
    reference = node.get("$ref")
    return node if reference is None else schema["$defs"][reference.rpartition("/")[2]]


def _steps(schema: Schema, node: Schema, part: int | str) -> Iterator[Schema]:
    node = _resolved(schema, node)
    if isinstance(part, int):
        yield from (node["items"],) if isinstance(node.get("items"), dict) else ()
    elif part in node.get("properties", ()):
        yield node["properties"][part]
    else:
        others = (node.get("additionalProperties"), *node.get("patternProperties", {}).values())
        yield from (item for item in others if isinstance(item, dict))
    for branch in node.get("anyOf", ()):
        yield from _steps(schema, branch, part)


def written_out(schema: Schema) -> dict[str, Any]:
    """The schema with its definitions in place of references to them."""

    def of(item: Any) -> Any:
        if isinstance(item, dict):
            if "$ref" in item:
                rest = {key: value for key, value in item.items() if key != "$ref"}
                return {**of(_resolved(schema, item)), **rest}
            return {key: of(value) for key, value in item.items() if key != "$defs"}
        return [of(value) for value in item] if isinstance(item, list) else item

    found: dict[str, Any] = of(dict(schema))
    return found


def _keys(schema: Schema, node: Schema) -> Iterator[str]:
    node = _resolved(schema, node)
    yield from node.get("properties", ())
    for branch in node.get("anyOf", ()):
        yield from _keys(schema, branch)


def _names(node: Schema) -> Iterable[str]:
    return (name for name in node.get("enum", ()) if isinstance(name, str))


_WORDS = {None: "null", True: "true", False: "false"}
_KINDS = {"string": "text", "boolean": "true or false", "null": "null"}


def in_words(node: Schema, schema: Schema) -> str:
    """What a JSON Schema allows, for a sentence; ``schema`` is the whole, with its definitions."""
    node = _resolved(schema, node)
    if "const" in node or "enum" in node:
        values = node["enum"] if "enum" in node else [node["const"]]
        names = [item if isinstance(item, str) else _WORDS.get(item, str(item)) for item in values]
        return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    if "anyOf" in node:
        parts = [in_words(item, schema) for item in node["anyOf"]]
        return ", or ".join(dict.fromkeys(parts))
    kind = node.get("type")
    if kind in ("integer", "number"):
        return _number(node)
    if kind == "array":
        least = node.get("minItems", 0)
        several = f" of at least {least} values, each" if least > 1 else " with"
        return f"a list{several} {in_words(node.get('items', {}), schema)}"
    if kind == "object":
        keys = ", ".join(node.get("properties", ()))
        return f"a mapping with the keys {keys}" if keys else "a mapping"
    if kind == "string" and node.get("minLength"):
        return "text that is not empty"
    return _KINDS.get(str(kind), "a value")


def _number(node: Schema) -> str:
    name = "a whole number" if node["type"] == "integer" else "a finite number"
    least, above = node.get("minimum"), node.get("exclusiveMinimum")
    most, below = node.get("maximum"), node.get("exclusiveMaximum")
    if most is not None or below is not None:
        low = f"({above:g}" if least is None else f"[{least:g}"
        high = f"{below:g})" if most is None else f"{most}]"
        return f"{name.replace('finite ', '')} in {low}, {high}"
    if least is not None:
        return f"{name} of at least {least:g}"
    return name if above is None else f"{name} above {above:g}"
