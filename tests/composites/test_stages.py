"""Blocks that are found, not declared."""

from fractions import Fraction

import pytest
import torch
import torchvision
from torch import nn

from lrpsweep.attribution import Engine, list_layers
from lrpsweep.attribution.lrp.layers import LayerInfo
from lrpsweep.composites import assign_parts, select_layers
from lrpsweep.composites.stages import THIRDS, as_selectors, find_stages


def stages_of(name, size):
    net = getattr(torchvision.models, name)(weights=None).eval()
    layers = list_layers(net)
    return layers, find_stages(Engine(net).steps, layers, torch.zeros(1, 3, size, size))


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


def test_dense_layers_on_maps_belong_to_the_stage_of_their_map():
    layers, found = stages_of("convnext_tiny", 64)
    assert found.shapes["features.1.0.block.3"] == (384, 16, 16)
    assert {block: as_selectors(names, layers) for block, names in found.stages.items()} == {
        "stage1": "features.0.0..features.1.2.block.5",
        "stage2": "features.2.1..features.3.2.block.5",
        "stage3": "features.4.1..features.5.8.block.5",
        "stage4": "features.6.1..features.7.2.block.5",
        "classifier": "classifier.2",
    }
    assert found.thirds["classifier"] == ("classifier.2",)


def test_parts_of_the_literature_know_dense_layers_on_maps_too():
    layers, _ = stages_of("convnext_tiny", 64)
    parts = assign_parts(layers, {"pixel": Fraction(0), "features": Fraction(1), "head": None})
    assert parts["head"] == ("classifier.2",)
    assert "features.7.2.block.5" in parts["features"]


def test_layers_with_others_between_them_are_several_ranges():
    layers, found = stages_of("resnet18", 64)
    assert as_selectors(found.thirds["low"], layers) == [
        "conv1..layer2.0.conv1",
        "layer2.0.downsample.0",
    ]
    assert as_selectors(["conv1", "layer1.0.conv2"], layers) == ["conv1", "layer1.0.conv2"]
    assert as_selectors(["conv1"], layers) == "conv1"


def test_names_that_are_numbers_are_written_as_leaf_indices():
    inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    layers = list_layers(nn.Sequential(inner, nn.Conv2d(4, 2, 3)))
    selector = as_selectors(["0.2", "1"], layers)
    assert selector == "0.2..3"
    assert [x.name for x in select_layers(layers, selector)] == ["0.2", "1"]


def test_a_dense_layer_of_another_type_is_in_the_head() -> None:
    conv, dense, last = (
        LayerInfo(i, name, kind, i + 1, "weighted", dense=kind != "Conv2d")
        for i, (name, kind) in enumerate([("a", "Conv2d"), ("b", "Projection"), ("c", "Linear")])
    )
    assert assign_parts((conv, dense, last), THIRDS)["classifier"] == ("b", "c")
