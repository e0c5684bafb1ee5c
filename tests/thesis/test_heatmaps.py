"""How our LRP differs from the thesis's code, and that its altered forward pass is why.

The package multiplies what a layer puts out by z / (z + 1e-6 sign z): a little less than the
network's own. Where two pixels of a max-pooling window are almost equal, that makes the other one
win, and all of the window's relevance goes there. With the network's own outputs both agree to
the last digits of float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torchvision
from cases import IMAGENET, Case, scenes
from environment import ask_package

from lrpsweep.attribution import Engine, list_layers
from lrpsweep.attribution.lrp import engine
from lrpsweep.composites import Composite, preset
from lrpsweep.models import wrap_model

COMPOSITES: dict[str, dict[str, Any]] = {
    "tutorial": {"preset": "tutorial"},
    "decreasing": {"preset": "decreasing_gamma"},
    "tutorial, small": {"preset": "tutorial", "gamma": 0.01, "epsilon": 0.0139},
}
VARIANTS: dict[str, dict[str, bool]] = {
    "as it is": {},
    "winners of the network": {"own_winners": True},
    "outputs of the network": {"exact_forward": True},
}


def vgg11() -> Case:
    """Random weights and smooth colours; its activations are smaller than a trained one's."""
    torch.manual_seed(0)
    net = torchvision.models.vgg11(weights=None)
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    images = [cv2.resize(image, (224, 224), interpolation=cv2.INTER_CUBIC) for image in coarse]
    model = wrap_model(net, IMAGENET, name="vgg11")
    return Case("vgg11", model, np.stack(images), np.array([3, 500]))


@dataclass(frozen=True)
class Difference:
    """Of heatmaps (N, 3, H, W): the smallest cosine, and the largest difference / max |R|."""

    cosine: float
    largest: float

    @classmethod
    def between(cls, ours: np.ndarray, theirs: np.ndarray) -> Difference:
        a, b = (r.reshape(len(r), -1).astype(np.float64) for r in (ours, theirs))
        lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        largest = np.abs(a - b).max(1) / np.abs(a).max(1)
        return cls(float(((a * b).sum(1) / lengths).min()), float(largest.max()))


def composites(case: Case) -> dict[str, Composite]:
    layers = list_layers(case.model.net)
    return {
        name: preset(fields["preset"], {k: v for k, v in fields.items() if k != "preset"})
        .bind({})
        .place(layers)
        for name, fields in COMPOSITES.items()
    }


def plans(found: Mapping[str, Composite]) -> dict[str, dict[str, Any]]:
    """The composites as `package.py` takes them, in all variants."""
    layers = {
        name: [
            {"layer": layer, "rule": block.rule, **block.values}
            for layer, block in composite.by_layer().items()
        ]
        for name, composite in found.items()
    }
    return {
        f"{name}/{variant}": {"layers": layers[name], **options}
        for name in found
        for variant, options in VARIANTS.items()
    }


def differences(
    package: Path, folder: Path, case: Case, precision: type[np.floating]
) -> tuple[dict[str, Difference], dict[str, int]]:
    """By 'composite/variant': the differences, and how many winners of max-pooling differ."""
    found = composites(case)
    theirs = ask_package(package, folder, case, explain=plans(found), precision=precision)
    kind = torch.from_numpy(np.zeros(0, precision)).dtype
    case.model.net.to(kind)
    low, high = (bound.to(kind) for bound in case.model.pixel_bounds)
    explainer, images = Engine(case.model.net, (low, high)), case.pixels.to(kind)
    result = {}
    for name, composite in found.items():
        rules = composite.rules(list_layers(case.model.net))
        ours = explainer.attribute(images, torch.as_tensor(case.targets), rules)
        for variant in VARIANTS:
            key = f"{name}/{variant}"
            result[key] = Difference.between(ours.relevance.numpy(), theirs[f"{key}/relevance"])
            print(f"{case.network} {precision.__name__} {key}: {result[key]}")
    return result, {key: int(theirs[f"{key}/winners"]) for key in result}


@pytest.mark.long
@pytest.mark.parametrize("make", [scenes, vgg11])
def test_with_the_networks_own_outputs_both_agree_in_float64(package, tmp_path, monkeypatch, make):
    """The package does not stabilize averaging: without a stabilizer there, nothing is left."""
    monkeypatch.setattr(engine, "POOLING_STABILIZER", 0.0)
    found, _ = differences(package, tmp_path, make(), np.float64)
    for name in COMPOSITES:
        exact = found[f"{name}/outputs of the network"]
        assert exact.largest < 1e-12
        assert exact.largest < found[f"{name}/as it is"].largest / 1e4


@pytest.mark.long
def test_in_float32_the_altered_outputs_move_relevance_between_winners(package, tmp_path):
    found, winners = differences(package, tmp_path, vgg11(), np.float32)
    for name in COMPOSITES:
        assert found[f"{name}/as it is"].cosine > 0.999
        assert found[f"{name}/as it is"].largest < 0.1
        assert winners[f"{name}/as it is"] > 0
        assert winners[f"{name}/outputs of the network"] == 0
        # Our stabilizer in averaging, relative to the small activations of random weights.
        assert found[f"{name}/winners of the network"].largest < 2e-3
        assert found[f"{name}/outputs of the network"].largest < 2e-3


@pytest.mark.long
def test_on_a_trained_network_the_difference_is_small(package, tmp_path):
    found, _ = differences(package, tmp_path, scenes(), np.float32)
    for difference in found.values():
        assert difference.cosine > 1 - 1e-8
        assert difference.largest < 1e-4
