"""composite.json: what a sweep recommends, as a file that others can check and use.

Reading it imports no code and unpickles nothing: it is JSON, checked by the models below, from
which its schema is generated. What a block may hold, they take from the table of rules.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    create_model,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from lrpsweep.composites.block import NO_STABILIZER, Block, Composite, find_rule, options_of
from lrpsweep.composites.values import HUGE, as_number
from lrpsweep.errors import InputError, guess
from lrpsweep.registry import find_registry
from lrpsweep.results import Verdict

if TYPE_CHECKING:
    from lrpsweep.attribution.lrp.rules import Parameter, Rule

VERSION = 1
LARGEST_FILE = 10 * 2**20


def _absent() -> Any:
    """A key that may be left out, but not be null."""

    def without_default(schema: dict[str, Any]) -> None:
        del schema["default"]

    return Field(default=None, json_schema_extra=without_default)


class _Part(BaseModel):
    """A part of the file: exactly these keys, exactly these types."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


Triple = Annotated[list[float], Field(min_length=3, max_length=3)]
Deviations = Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=3, max_length=3)]
BoundNumbers = Annotated[list[float], Field(min_length=1)]
Limits = Annotated[list[float | None], Field(min_length=2, max_length=2)]
Pixels = Annotated[int, Field(ge=1, le=8000)]


class ModelSource(_Part):
    """How to find the network again: one of four, and its weights."""

    embedded: str = _absent()
    torchvision: str = _absent()
    factory: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")] = _absent()
    python: Annotated[str, Field(min_length=1)] = _absent()
    weights: str | None = None


class ModelPreprocess(_Part):
    """As `lrpsweep.study.Preprocess`."""

    resize: Pixels | None
    crop: Pixels | None
    mean: Triple
    std: Deviations


class TunedModel(_Part):
    """The network that the composite was tuned on."""

    source: ModelSource
    architecture: str
    fingerprint: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    classes: list[str] = _absent()
    input_size: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=2, max_length=2)]
    preprocess: ModelPreprocess
    pixel_low: Triple
    pixel_high: Triple


class BlockBounds(_Part):
    """Lowest and highest input of a block's layers."""

    low: BoundNumbers
    high: BoundNumbers


class BlockDocument(_Part):
    """A block, without what comes from the table of rules: `hyperparameters` and `options`."""

    block: str
    layers: Annotated[list[str], Field(min_length=1)]
    rule: str
    bounds: BlockBounds = _absent()


class SearchScore(_Part):
    """The score on the search images."""

    mean: float
    stderr: float | None
    images: int


class BaselineScore(_Part):
    """The score of a published composite, compared with the recommended one.

    p_hochberg: p corrected over the baselines; files of versions before 0.2 have p_holm.
    """

    baseline: str
    mean: float
    difference: float
    interval: Limits
    p: float | None
    p_hochberg: float | None = _absent()
    p_holm: float | None = _absent()
    better: bool


class BoundDocument(_Part):
    """How much better than every baseline the composite is at least, by one measure."""

    measure: str
    low: float | None
    low_percent: float | None
    against: str
    range: float
    margin: float
    guard: bool


class DrawnAgain(_Part):
    """How often search images drawn again nominate the same composite, or the same region."""

    draws: int
    same: float
    region: float


class NominationScore(_Part):
    """How the composite was chosen, before any validation image was looked at."""

    sentence: str
    candidates: int
    selection_images: int
    ranges: dict[str, float]
    random_order: dict[str, float]
    stability: DrawnAgain = _absent()


class ValidationScore(_Part):
    """The score on the validation images, with the verdict."""

    mean: float
    interval: Limits
    images: int
    verdict: Verdict
    sentence: str
    warnings: list[str]
    baselines: list[BaselineScore]
    look: Annotated[int, Field(ge=1)] = _absent()
    level: float = _absent()
    bounds: list[BoundDocument] = _absent()
    images_for_better: int | None = _absent()
    images_for_as_good: int | None = _absent()
    current: str = _absent()
    scores: dict[str, dict[str, list[float]]] = _absent()


class ScoreDocument(_Part):
    """What the composite scored."""

    validated: bool
    objective: str
    direction: Literal["minimize", "maximize"]
    search: SearchScore
    nomination: NominationScore = _absent()
    validation: ValidationScore = _absent()


class Parity(_Part):
    """How far the relevance of another implementation is from this one's.

    The largest difference by the largest relevance, in float64.
    """

    against: str
    images: Annotated[int, Field(ge=1)] = _absent()
    largest_relative_difference: Annotated[float, Field(ge=0)] = _absent()
    not_expressible: str = _absent()

    @model_validator(mode="after")
    def _one_of_both(self) -> Parity:
        given = self.model_fields_set
        if ({"images", "largest_relative_difference"} <= given) == ("not_expressible" in given):
            raise PydanticCustomError(
                "parity",
                "Input should be images and largest_relative_difference, or not_expressible",
            )
        return self


class Provenance(_Part):
    """Where the composite came from."""

    study: str
    trial: int | None
    published: str = _absent()
    values: dict[str, Any]
    spec_hash: str
    seed: int
    device: str = _absent()
    versions: dict[str, Any]


class CompositeDocument(_Part):
    """A recommended LRP composite: what to explain with, for which model, and why."""

    schema_version: Literal[1]
    model: TunedModel
    blocks: Annotated[list[Any], Field(min_length=1)]
    evaluation: dict[str, Any]
    result: ScoreDocument
    parity: Parity = _absent()
    provenance: Provenance


def _one_of(names: Sequence[str]) -> Any:
    """The type of a word that is one of these."""

    def check(word: str) -> str:
        if word not in names:
            expected = f"one of {', '.join(names)}.{guess(word, names)}".removesuffix(".")
            raise PydanticCustomError("word", "Input should be {expected}", {"expected": expected})
        return word

    return Annotated[str, AfterValidator(check), WithJsonSchema({"enum": list(names)})]


def _number(parameter: Parameter) -> Any:
    """The type of a parameter's value: a number in its range, or 'inf'."""

    def check(value: Any) -> Any:
        number = as_number(value)
        if number is None or not parameter.allows(number):
            raise PydanticCustomError(
                "number", "Input should be {expected}", {"expected": parameter.requirement}
            )
        return value

    schema: dict[str, Any] = {"type": "number", "minimum": parameter.low}
    if parameter.high < HUGE:
        schema["maximum"] = parameter.high
    if parameter.infinite:
        schema = {"anyOf": [schema, {"const": "inf"}]}
    return Annotated[Any, PlainValidator(check), WithJsonSchema(schema)]


def composite_document() -> type[CompositeDocument]:
    """The model of the whole file, for the rules there are."""
    rules = find_registry("rule")
    numbers = {p.name: (_number(p), _absent()) for r in rules.values() for p in r.parameters}
    words = {
        option: (_one_of([word for word in variants if word != NO_STABILIZER]), _absent())
        for rule in rules.values()
        for option, variants in options_of(rule).items()
    }
    fields: dict[str, Any] = {
        "rule": (_one_of(list(rules)), ...),
        "hyperparameters": (create_model("Hyperparameters", __base__=_Part, **numbers), ...),  # type: ignore[call-overload]
        "options": (create_model("Options", __base__=_Part, **words), _absent()),  # type: ignore[call-overload]
    }
    block = create_model("CompositeBlock", __base__=BlockDocument, **fields)
    blocks: Any = (Annotated[list[block], Field(min_length=1)], ...)  # type: ignore[valid-type]
    return create_model("CompositeFile", __base__=CompositeDocument, blocks=blocks)


def composite_schema() -> dict[str, Any]:
    """The file's JSON schema, for the rules there are."""
    found = composite_document().model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | found


def read_composite(path: Path) -> dict[str, Any]:
    """Reads and checks the file. Raises InputError with path and field."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InputError(f"{path}: larger than {LARGEST_FILE} bytes; expected a composite.json")
        document = json.loads(path.read_text(encoding="utf-8"))
        check_composite(document, str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); expected a composite.json.") from error
    except RecursionError as error:
        raise InputError(f"{path}: nested too deeply; expected a composite.json.") from error
    return dict(document)


def check_composite(document: Any, where: str) -> None:
    """Raises InputError with `where` and the field that is wrong."""
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version is not None and version != VERSION:
        raise InputError(
            f"{where}: schema_version: found {version!r}; this lrpsweep reads version {VERSION}."
        )
    for field, value in _leaves(document):
        if isinstance(value, int | float) and not abs(value) < HUGE:
            raise InputError(
                f"{where}: {field}: found {str(value)[:20]}; expected a finite number."
            )
    try:
        composite_document().model_validate(document)
    except ValidationError as error:
        raise InputError(f"{where}: {_said(error.errors(include_url=False)[0])}") from None
    owner: dict[str, str] = {}
    for i, block in enumerate(document["blocks"]):
        for fault in _faults(block, owner):
            raise InputError(f"{where}: blocks.{i}.{fault}")
        owner |= dict.fromkeys(block["layers"], block["block"])


def _said(details: ErrorDetails) -> str:
    """'blocks.0.rule: found 'eval'; expected one of …'."""
    field = ".".join(map(str, details["loc"])) or "the file"
    if details["type"] == "missing":
        return f"{field}: missing; expected a value."
    if details["type"] == "extra_forbidden":
        return f"{field}: unknown key; expected no key of that name."
    expected = details["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"{field}: found {repr(details['input'])[:200]}; expected {expected}."


def _leaves(value: Any, field: str = "") -> Iterator[tuple[str, Any]]:
    """Everything that holds nothing else, with its place: 'blocks.0.hyperparameters.gamma'."""
    if not isinstance(value, dict | list):
        yield field, value
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _leaves(inner, f"{field}.{key}" if field else str(key))


def _faults(block: Mapping[str, Any], owner: Mapping[str, str]) -> Iterator[str]:
    """What the block's rule lacks or does not take, and layers that an earlier block owns."""
    rule = find_rule(block["rule"], "rule")
    given, wanted = block["hyperparameters"], [p.name for p in rule.parameters]
    if set(given) != set(wanted):
        yield f"hyperparameters: found {_listing(given)}; {_takes(rule, wanted)}"
    words, known = block.get("options", {}), options_of(rule)
    if not set(words) <= set(known):
        yield f"options: found {_listing(words)}; {_takes(rule, known)}"
    bounds = block.get("bounds", {"low": [], "high": []})
    low, high = bounds["low"], bounds["high"]
    if low and not rule.bounded:
        yield f"bounds: found bounds; {_takes(rule, ())}"
    if len(low) != len(high) or not all(a < b for a, b in zip(low, high, strict=True)):
        yield (
            f"bounds: found low {low} and high {high}; expected as many numbers, each low one "
            "below its high one."
        )
    for n, layer in enumerate(block["layers"]):
        if layer in owner or layer in block["layers"][:n]:
            yield (
                f"layers: '{layer}' is in block '{owner.get(layer, block['block'])}' already; "
                "expected every layer once."
            )


def _takes(rule: Rule, names: Iterable[str]) -> str:
    return f"the rule {rule.name} takes {_listing(names)}."


def _listing(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def composite_of(document: Mapping[str, Any]) -> Composite:
    """The composite that a checked file holds."""
    return Composite(tuple(map(Block.from_json, document["blocks"])))
