"""What is wrong with a study, one paragraph each: place, what was found, what was expected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lrpsweep.errors import InputError, guess
from lrpsweep.study.dimensions import KINDS
from lrpsweep.study.fields import StudyFile
from lrpsweep.study.secrets import masked

Place = tuple[str | int, ...]
LONGEST = 80
_MARKS = {*(f"<{kind}>" for kind in (*KINDS, "auto", "values", "one", "several")), "[key]"}
"""What pydantic puts into a place although it is no key of the file: tags of unions."""


@dataclass(frozen=True)
class Problem:
    """place: keys and indices from the top of the file; text: the rest of the paragraph."""

    place: Place
    text: str


def found(place: Place, value: Any, expected: str) -> Problem:
    """A value that is not what was expected."""
    return Problem(place, f"found {shown(value)}; expected {expected}.")


def missing(place: Place, expected: str) -> Problem:
    """Nothing, where something was expected."""
    return Problem(place, f"missing; expected {expected}.")


def shown(value: Any) -> str:
    """A value as it looks in the file, without passwords and cut to a readable length."""
    return cut(_plain(masked(value)))


def cut(text: str) -> str:
    """A text of a readable length."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_plain(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_plain(v) for v in value) + "]"
    if value is None or isinstance(value, bool):
        return str({None: "null", True: "true", False: "false"}[value])
    return f"'{value}'" if isinstance(value, str) else str(value)


def raise_problems(
    source: str, problems: Iterable[Problem], raw: Any, overrides: Sequence[str]
) -> None:
    """One InputError of all problems, if there are any."""
    paragraphs = [
        f"{source}: {name}{_origin(name, overrides)}: {problem.text}"
        for problem in problems
        for name in [place_name(problem.place, raw)]
    ]
    if paragraphs:
        raise InputError("\n\n".join(paragraphs))


def _origin(name: str, overrides: Sequence[str]) -> str:
    for override in reversed(overrides):
        path = override.partition("=")[0]
        if name == path or name.startswith(f"{path}."):
            return f" (--set {cut(masked(override))})"
    return ""


def place_name(place: Place, raw: Any) -> str:
    """'composite.early.gamma': keys joined by dots, blocks by their names."""
    names = []
    for key in place:
        try:
            raw = raw[key]
        except (LookupError, TypeError):  # a key that is missing, or below a plain value
            raw = None
        block = raw.get("block") if isinstance(key, int) and isinstance(raw, dict) else None
        names.append(block if isinstance(block, str) else str(key))
    return ".".join(names) or "the file"


def problems_of(
    error: ValidationError, part: Place = (), model: type[BaseModel] = StudyFile
) -> list[Problem]:
    """Pydantic's findings in our words. part: of the file, which is a `model`.

    A default that hangs on another field cannot be made where that one is wrong: no finding.
    """
    return [
        _problem(details, part, model)
        for details in error.errors(include_url=False)
        if details["type"] != "default_factory_not_called"
    ]


def _problem(details: ErrorDetails, part: Place, model: type[BaseModel]) -> Problem:
    inner = tuple(key for key in details["loc"] if key not in _MARKS) or details["loc"]
    place = (*part, *inner)
    kind, value = details["type"], details["input"]
    if kind == "missing":
        return missing(place, "a value")
    if kind == "extra_forbidden":
        known = _keys(details["loc"], model)
        near = guess(str(place[-1]), known)
        return Problem(place, f"unknown key; expected one of {', '.join(known) or 'none'}.{near}")
    return Problem(place, f"found {shown(value)}; expected {_expected(details)}.{_near(details)}")


def _near(details: ErrorDetails) -> str:
    kinds = ("literal_error", "unknown_name")
    if details["type"] not in kinds or not isinstance(details["input"], str):
        return ""
    allowed = details.get("ctx", {}).get("expected", "").replace(" or ", ", ").split(", ")
    return guess(details["input"], [word.strip("'") for word in allowed])


_BOUNDS: Mapping[str, str] = {
    "greater_than": "more than",
    "greater_than_equal": "at least",
    "less_than": "less than",
    "less_than_equal": "at most",
}
_WORDS: Mapping[str, str] = {
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "dict_type": "a mapping of keys to values",
    "mapping_type": "a mapping of keys to values",
    "tuple_type": "a list",
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "a word (in quotes, if it looks like a number)",
    "bool_type": "true or false",
    "finite_number": "a finite number",
    "string_too_short": "a word that is not empty",
}


def _expected(details: ErrorDetails) -> str:
    context = details.get("ctx", {})
    match details["type"]:
        case "string_pattern_mismatch":
            return f"letters, digits, '_', '-', '.' as in the pattern {context['pattern']}"
        case "too_short" | "too_long" | "missing_argument":
            size = context.get("min_length", context.get("max_length"))
            return f"{'at least' if 'min_length' in context else 'at most'} {size} entries"
        case kind if kind in _BOUNDS:
            limit = next(iter(context.values()))
            return f"{_BOUNDS[kind]} {limit:g}"
        case kind:
            return _WORDS.get(kind, details["msg"].removeprefix("Input should be "))


def _keys(place: Place, model: type[BaseModel]) -> list[str]:
    """The keys allowed beside the last one of a place in a model."""
    if place[0] == "search":
        return list(KINDS[str(place[2]).strip("<>")].model_fields)
    for key in place[:-1]:
        model = _inner(model, str(key))
    return list(model.model_fields)


def _inner(model: type[BaseModel], key: str) -> type[BaseModel]:
    if key not in model.model_fields:  # a tag of a union
        return model
    return next(_models(model.model_fields[key].annotation), model)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models in a type, however deep in unions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)
