"""Names that a study takes from registries: checked when it is read, with a guess for others."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

from pydantic import Field, PlainValidator

from lrpsweep.registry import find_registry
from lrpsweep.study.frozen import expected


def listing(names: Collection[str]) -> str:
    """'grid', 'tpe' or 'random'."""
    *first, last = (f"'{name}'" for name in names)
    return f"{', '.join(first)} or {last}" if first else last


def _check(value: Any, names: Collection[str]) -> str:
    if not isinstance(value, str) or value not in names:
        raise expected(listing(names), "unknown_name")
    return value


def _known(kind: str) -> PlainValidator:
    return PlainValidator(lambda value: _check(value, tuple(find_registry(kind))))


def usual(kind: str) -> Any:
    """A field's default: the first entry of a table is what a study has that says nothing."""
    return Field(default_factory=lambda: next(iter(find_registry(kind))))


def usual_objective(version: int) -> str:
    """The objective of studies that name none: from version 2 on, one with guards."""
    measures = find_registry("measure")
    guarded = (name for name, measure in measures.items() if measure.guards)
    return next(iter(measures)) if version == 1 else next(guarded)


def schedules() -> tuple[str, ...]:
    """Those of all protocols; the first is what a study has that says nothing."""
    protocols = find_registry("protocol").values()
    return tuple(dict.fromkeys(name for protocol in protocols for name in protocol.schedules))


MeasureName = Annotated[str, _known("measure")]
PerturbationName = Annotated[str, _known("perturbation")]
ProtocolName = Annotated[str, _known("protocol")]
SamplerName = Annotated[str, _known("sampler")]
ScoreName = Annotated[str, _known("score")]
ScheduleName = Annotated[str, PlainValidator(lambda value: _check(value, schedules()))]
