"""Candidates: a method with its settings. Those of LRP name a composite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lrpsweep.attribution.methods import METHODS
from lrpsweep.composites import PRESETS
from lrpsweep.results import Candidate


def tuned_method() -> str:
    """The method whose composites are searched, nominated and exported: LRP."""
    return next(name for name, method in METHODS.items() if method.exported)


def tuned(values: Mapping[str, Any]) -> Candidate:
    """The study's composite with these values of its search names."""
    return Candidate(tuned_method(), {"values": dict(values)})


def published(preset: str) -> Candidate:
    """A composite of the literature, as published."""
    return Candidate(tuned_method(), {"preset": preset})


def title_of(name: str) -> str:
    """The title of a method, or of a composite of the literature."""
    return METHODS[name].title if name in METHODS else PRESETS[name].title


def named(name: str) -> Candidate:
    """A baseline by its name in the study: a method, or a composite of the literature."""
    if name in METHODS and name != tuned_method():
        return Candidate(name)
    return published(name)
