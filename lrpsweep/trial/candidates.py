"""Candidates: a method with its settings. Those of LRP name a composite."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lrpsweep.attribution import list_layers
from lrpsweep.attribution.methods import METHODS
from lrpsweep.composites import PRESETS, Composite
from lrpsweep.composites.file import composite_of, read_composite
from lrpsweep.errors import InputError, guess
from lrpsweep.models import Model
from lrpsweep.results import Candidate, Contender


def tuned_method() -> str:
    """The method whose composites are searched, nominated and exported: LRP."""
    return next(name for name, method in METHODS.items() if method.exported)


def tuned(values: Mapping[str, Any]) -> Candidate:
    """The study's composite with these values of its search names."""
    return Candidate(tuned_method(), {"values": dict(values)})


def published(preset: str) -> Candidate:
    """A composite of the literature, as published."""
    return Candidate(tuned_method(), {"preset": preset})


def candidate_of(one: Contender) -> Candidate:
    """What a trial, or a published composite, explains with."""
    return published(one.published or "") if one.number is None else tuned(one.values)


def title_of(name: str) -> str:
    """The title of a method, or of a composite of the literature."""
    return METHODS[name].title if name in METHODS else PRESETS[name].title


def named(name: str) -> Candidate:
    """A baseline by its name in the study: a method, or a composite of the literature."""
    if name in METHODS and name != tuned_method():
        return Candidate(name)
    return published(name)


def from_file(path: Path, model: Model) -> Candidate:
    """The composite of a composite.json. Raises InputError when it is not for this model."""
    document = read_composite(path)
    check_layers(path, model, composite_of(document))
    return Candidate(tuned_method(), {"blocks": document["blocks"]})


def check_layers(path: Path, model: Model, composite: Composite) -> None:
    """Raises InputError when the composite's layers are not exactly the model's with weights."""
    layers = list_layers(model.net)
    weighted = {layer.name for layer in layers if layer.weighted}
    declared = set(composite.by_layer())
    for name in sorted(declared - weighted):
        raise InputError(
            f"{path}: blocks: {model.name} has no layer '{name}'.{guess(name, sorted(weighted))} "
            f"{_summary('Its layers with weights', weighted)}"
        )
    for name in sorted(weighted - declared):
        raise InputError(
            f"{path}: blocks: layer '{name}' of {model.name} is in no block. "
            f"{_summary('The composite has', declared)}"
        )


def _summary(what: str, names: set[str], most: int = 6) -> str:
    shown = sorted(names)
    more = f" and {len(shown) - most} more" if len(shown) > most else ""
    return f"{what}: {', '.join(shown[:most])}{more}."
