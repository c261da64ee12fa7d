"""From a pydantic error to one sentence: field path, value found, what is allowed."""

from collections.abc import Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from trainables.errors import field_path, listed, nearest, show


def no_text(value: Any) -> str:
    """Says that ``value`` was found where text is needed; a number may be meant as a name."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"found {show(value)}" + (", a number (text in quotes)" if number else "")


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """One sentence on the first mistake of ``error``, misspelt keys before all others.

    The allowed values are the ``description`` of the field, looked up in ``model``.
    """
    problems = error.errors(include_url=False)
    problem = next((item for item in problems if item["type"] == "extra_forbidden"), problems[0])
    location = [part for part in problem["loc"] if part != "[key]"]
    if problem["type"] == "extra_forbidden":
        allowed = list(_model_at(model, location[:-1]).model_fields)
        where = field_path(location[:-1])
        return (
            f"{where + ': ' if where else ''}unknown key {show(location[-1])}"
            f"{nearest(location[-1], allowed)}; allowed: {listed(allowed, location[-1])}"
        )
    path, allowed_text = field_path(location), _description(model, location)
    if problem["type"] == "missing":
        return f"{path}: missing; allowed: {allowed_text}"
    # A validator that says what is wrong does so in the text of its ValueError.
    told = str(problem.get("ctx", {}).get("error", ""))
    if not told and problem["type"] == "string_type":
        told = no_text(problem["input"])
    told = told or f"found {show(problem['input'])}"
    return f"{path}: {told}; allowed: {allowed_text}"


def _description(model: type[BaseModel], location: Sequence[int | str]) -> str:
    """The description of the innermost described field on the way to ``location``."""
    text, here = "a mapping", model
    for index, part in enumerate(location):
        field = here.model_fields.get(str(part))
        if field is not None:
            text = field.description or text
        here = _model_at(model, location[: index + 1])
    return text


def _model_at(model: type[BaseModel], location: Sequence[int | str]) -> type[BaseModel]:
    """The model class that checks what stands at ``location``; the last one passed if none does."""
    here = model
    for part in location:
        field = here.model_fields.get(str(part))
        if field is not None:
            here = _inner_model(field.annotation) or here
    return here


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (dict, tuple, list, Union, UnionType):
        found = (_inner_model(item) for item in get_args(annotation))
        return next((item for item in found if item is not None), None)
    return None
