"""Blocks that are found, not declared."""

import pytest
import torch
import torchvision

from lrpsweep.attribution import Explainer, list_layers
from lrpsweep.attribution.stages import as_selectors, find_stages


def stages_of(name, size):
    net = getattr(torchvision.models, name)(weights=None).eval()
    layers = list_layers(net)
    return layers, find_stages(Explainer(net).steps, layers, torch.zeros(1, 3, size, size))


def test_stages_of_vgg_lie_between_its_poolings():
    layers, found = stages_of("vgg16", 32)
    written = {block: as_selectors(names, layers) for block, names in found.stages.items()}
    assert written == {
        "stage1": "features.0..features.2",
        "stage2": "features.5..features.7",
        "stage3": "features.10..features.14",
        "stage4": "features.17..features.21",
        "stage5": "features.24..features.28",
        "classifier": "classifier.0..classifier.6",
    }
    assert found.shapes["features.0"] == (64, 32, 32)
    assert found.shapes["classifier.6"] == (1000,)


@pytest.mark.parametrize(("name", "size"), [("vgg16", 32), ("squeezenet1_1", 64)])
def test_every_layer_is_in_one_block_of_either_kind(name, size):
    layers, found = stages_of(name, size)
    weighted = sorted(layer.name for layer in layers if layer.weighted)
    for blocks in (found.stages, found.thirds):
        assert sorted(name for names in blocks.values() for name in names) == weighted
    assert list(found.thirds) == ["low", "mid", "high", "classifier"]


def test_layers_with_others_between_them_are_listed():
    layers, _ = stages_of("squeezenet1_1", 64)
    assert as_selectors(["features.0", "features.3.expand1x1"], layers) == [
        "features.0",
        "features.3.expand1x1",
    ]
    assert as_selectors(["features.0"], layers) == "features.0"
