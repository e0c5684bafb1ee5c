"""Entries from outside that ask for more, or give less, than the package's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from lrpsweep.attribution import Explanation
from lrpsweep.attribution.lrp.rules import Parameter
from lrpsweep.attribution.methods import METHODS, Method
from lrpsweep.commands.run import run
from lrpsweep.errors import InputError, WorkError
from lrpsweep.study import load_study
from lrpsweep.sweep.samplers import SAMPLERS, Sampler


def scaled(
    engine: Any, images: torch.Tensor, targets: torch.Tensor, settings: Mapping[str, Any], key: Any
) -> Explanation:
    nothing = torch.zeros(len(images))
    relevance = settings["scale"] * images
    return Explanation(relevance, torch.ones(len(images)), nothing, nothing, nothing, {})


def test_a_method_gets_the_defaults_of_its_parameters(small_study: Path, tmp_path: Path) -> None:
    """Caught: settings were empty, and a run ended in a KeyError while heatmaps were drawn."""
    entry = Method("scaled", "the scaled image", scaled, (Parameter("scale", default=2.0),))
    with METHODS.register(entry):
        results = run(
            load_study(small_study, ["baselines=[scaled]"]), tmp_path / "runs", executor="local"
        )
    assert results.recommendation is not None
    assert [c.baseline for c in results.recommendation.comparisons] == ["scaled"]


def test_a_sampler_without_proposals_is_named(small_study: Path, tmp_path: Path) -> None:
    """Caught: a bare KeyError of the first search name."""
    none = Sampler("none", lambda space, seed, directions: lambda trials: [])
    with SAMPLERS.register(none):
        spec = load_study(small_study, ["sampler.name=none", "trials=2"])
        with pytest.raises((InputError, WorkError), match="none"):
            run(spec, tmp_path / "runs", executor="local")
