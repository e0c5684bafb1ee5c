"""The script that makes the bundled weights, and the card that says what they can do."""

from __future__ import annotations

import importlib.util
import itertools
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from lrpsweep.data.scenes import draw_scenes
from lrpsweep.models.scenes import ScenesNet

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = ROOT / "training" / "train_scenes.py"
    found = importlib.util.spec_from_file_location("train_scenes", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_merging_batch_norm_keeps_the_function(script: ModuleType) -> None:
    torch.manual_seed(0)
    net = script.with_batch_norm(ScenesNet()).double()
    images = torch.rand(4, 3, 64, 64, dtype=torch.float64)
    for _ in range(3):
        net(images)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    expected = net.eval()(images)
    merged = script.without_batch_norm(net)
    assert [type(a) for a in merged.modules()] == [type(a) for a in ScenesNet().modules()]
    torch.testing.assert_close(merged(images), expected)


def test_an_emptied_scene_differs_around_its_object_only(script: ModuleType) -> None:
    scene = draw_scenes("test", 0, [3])[0]
    changed = (script.without_object(scene) != scene.image).any(2)
    assert changed[scene.mask].mean() > 0.95
    x0, y0, x1, y1 = scene.box
    changed[y0 - 2 : y1 + 2, x0 - 2 : x1 + 2] = False
    assert not changed.any()


def test_multiplications_are_those_of_the_formula(script: ModuleType) -> None:
    sides, channels = (64, 32, 16, 8), (3, 8, 16, 32, 64)
    expected = 1024 * 64 + 64 * 10
    for side, (before, width) in zip(sides, itertools.pairwise(channels), strict=True):
        expected += side**2 * 9 * width * (before + width)
    assert script.multiplications(ScenesNet()) == expected


def test_the_card_describes_the_shipped_weights(script: ModuleType) -> None:
    card = (ROOT / "docs" / "model-card.md").read_text()
    rows = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", card, re.MULTILINE))
    size = sum(p.numel() for p in ScenesNet().parameters())
    assert rows["parameters"] == f"{size:,}"
    assert rows["size of the file"] == f"{script.WEIGHTS.stat().st_size:,} bytes"
    assert rows["multiply-accumulates of a forward pass"] == (
        f"{script.multiplications(ScenesNet()) / 1e6:.1f} million"
    )


@pytest.mark.long
def test_training_again_gives_a_network_as_good(script: ModuleType) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seen = draw_scenes("train", script.SEED, range(script.SCENES))
        found = script.measure(script.train(*script.lessons(seen)), seen)
    finally:
        torch.set_num_threads(threads)
    assert found["accuracy"] >= 0.97
    assert found["accuracy_object_removed"] < 0.20
    assert found["accuracy_colour_histogram"] < 0.20
