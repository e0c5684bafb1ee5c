"""composite.json: what a sweep recommends, as a file that others can check and use.

Reading it imports no code and unpickles nothing: it is JSON, checked by the models below and, of
each block, by its rule.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from lrpsweep.composites.block import NO_STABILIZER, Block, Composite, find_rule
from lrpsweep.composites.values import HUGE
from lrpsweep.errors import InputError
from lrpsweep.results import Verdict

if TYPE_CHECKING:
    from lrpsweep.attribution.lrp.rules import Option, Rule

VERSION = 1
LARGEST_FILE = 10 * 2**20


ABSENT: Any = None
"""The default of a key that may be left out, but not be null: a default is not checked."""


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

    embedded: str = ABSENT
    torchvision: str = ABSENT
    factory: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")] = ABSENT
    python: Annotated[str, Field(min_length=1)] = ABSENT
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
    classes: list[str] = ABSENT
    input_size: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=2, max_length=2)]
    preprocess: ModelPreprocess
    pixel_low: Triple
    pixel_high: Triple


class BlockBounds(_Part):
    """Lowest and highest input of a block's layers."""

    low: BoundNumbers
    high: BoundNumbers


class BlockDocument(_Part):
    """A block. What `hyperparameters` and `options` may hold, the table of rules says."""

    block: str
    layers: Annotated[list[str], Field(min_length=1)]
    rule: str
    hyperparameters: dict[str, Any]
    options: dict[str, Any] = ABSENT
    bounds: BlockBounds = ABSENT


class SearchScore(_Part):
    """The score on the search images. states: steps of the schedule, where these are not all."""

    mean: float
    stderr: float | None
    images: int
    states: list[int] = ABSENT


class BaselineScore(_Part):
    """The score of a published composite, compared with the recommended one.

    p_hochberg: p corrected over the baselines; files of versions before 0.2 have p_holm. images: on
    how many of the validation images.
    """

    baseline: str
    mean: float
    difference: float
    interval: Limits
    p: float | None
    p_hochberg: float | None = ABSENT
    p_holm: float | None = ABSENT
    better: bool
    images: int = ABSENT


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
    stability: DrawnAgain = ABSENT


class ValidationScore(_Part):
    """The score on the validation images, with the verdict."""

    mean: float
    interval: Limits
    images: int
    verdict: Verdict
    sentence: str
    warnings: list[str]
    baselines: list[BaselineScore]
    look: Annotated[int, Field(ge=1)] = ABSENT
    level: float = ABSENT
    bounds: list[BoundDocument] = ABSENT
    images_for_better: int | None = ABSENT
    images_for_as_good: int | None = ABSENT
    current: str = ABSENT
    image_hashes: list[str] = ABSENT
    scores: dict[str, dict[str, list[float]]] = ABSENT


class ObjectiveScore(_Part):
    """One of several objectives, on the search images."""

    name: str
    direction: Literal["minimize", "maximize"]
    mean: float
    stderr: float | None


class ScoreDocument(_Part):
    """What the composite scored; of several objectives, the first beside all."""

    validated: bool
    objective: str
    direction: Literal["minimize", "maximize"]
    search: SearchScore
    objectives: list[ObjectiveScore] = ABSENT
    nomination: NominationScore = ABSENT
    validation: ValidationScore = ABSENT


class Parity(_Part):
    """How far the relevance of another implementation is from this one's.

    The largest difference by the largest relevance, in float64.
    """

    against: str
    images: Annotated[int, Field(ge=1)] = ABSENT
    largest_relative_difference: Annotated[float, Field(ge=0)] = ABSENT
    not_expressible: str = ABSENT

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
    published: str = ABSENT
    values: dict[str, Any]
    spec_hash: str
    seed: int
    device: str = ABSENT
    versions: dict[str, Any]


class CompositeDocument(_Part):
    """A recommended LRP composite: what to explain with, for which model, and why."""

    schema_version: Literal[1]
    model: TunedModel
    blocks: Annotated[list[BlockDocument], Field(min_length=1)]
    evaluation: dict[str, Any]
    result: ScoreDocument
    parity: Parity = ABSENT
    provenance: Provenance


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
        CompositeDocument.model_validate(document)
    except ValidationError as error:
        raise InputError(f"{where}: {_said(error.errors(include_url=False)[0])}") from None
    owner: dict[str, str] = {}
    for i, block in enumerate(document["blocks"]):
        _check_block(block, owner, f"{where}: blocks.{i}")
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


def _check_block(block: Mapping[str, Any], owner: Mapping[str, str], place: str) -> None:
    """Refuses what its rule lacks or does not take, and layers that an earlier block owns."""
    rule = find_rule(block["rule"], f"{place}.rule")
    given, wanted = block["hyperparameters"], [p.name for p in rule.parameters]
    if set(given) != set(wanted):
        raise InputError(
            f"{place}.hyperparameters: found {_listing(given)}; {_takes(rule, wanted)}"
        )
    for parameter in rule.parameters:
        parameter.check(given[parameter.name], f"{place}.hyperparameters")
    words, choices = block.get("options", {}), {o.name: _written(o) for o in rule.choices}
    if not set(words) <= set(choices):
        raise InputError(f"{place}.options: found {_listing(words)}; {_takes(rule, choices)}")
    for name, word in words.items():
        choices[name].check(word, f"{place}.options")
    bounds = block.get("bounds", {"low": [], "high": []})
    low, high = bounds["low"], bounds["high"]
    if low and not rule.bounded:
        raise InputError(f"{place}.bounds: found bounds; {_takes(rule, ())}")
    if len(low) != len(high) or not all(a < b for a, b in zip(low, high, strict=True)):
        raise InputError(
            f"{place}.bounds: found low {low} and high {high}; expected as many numbers, each low "
            "one below its high one."
        )
    for n, layer in enumerate(block["layers"]):
        if layer in owner or layer in block["layers"][:n]:
            raise InputError(
                f"{place}.layers: '{layer}' is in block '{owner.get(layer, block['block'])}' "
                "already; expected every layer once."
            )


def _written(option: Option) -> Option:
    """The variants that a file may name: without a stabilizer, its number is 0."""
    return replace(option, values=tuple(v for v in option.values if v != NO_STABILIZER))


def _takes(rule: Rule, names: Iterable[str]) -> str:
    return f"the rule {rule.name} takes {_listing(names)}."


def _listing(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def composite_of(document: Mapping[str, Any]) -> Composite:
    """The composite that a checked file holds."""
    return Composite(tuple(map(Block.from_json, document["blocks"])))
