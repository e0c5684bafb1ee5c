"""The layers of a network as a table, and the blocks proposed for it."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from lrpsweep.commands.blocks import (
    blocks_lines,
    describe_blocks,
    find_blocks,
    find_network,
    propose,
)
from lrpsweep.errors import InputError
from lrpsweep.models import wrap_model
from lrpsweep.study import Preprocess, parse_study

RUNS = Path("runs")
STUDY = """\
version: 1
name: pasted
model: {torchvision: NAME, weights: null}
data: {folder: images, labels: index, split: {search: 2, validation: 0}}
YAML
objective: auc_morf
sampler: {name: tpe}
trials: 10
"""
NETWORKS = [
    "alexnet",
    "vgg11_bn",
    "resnet18",
    "squeezenet1_1",
    "googlenet",
    "densenet121",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "convnext_tiny",
]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_blocks_found_are_a_study_to_paste(name):
    """Each layer with weights lands in the block that the table says, but for those of pixels."""
    model = find_network(name, RUNS)
    found = describe_blocks(model, 64 if name != "alexnet" else None)
    layers, _, first = find_blocks(model, (64, 64) if name != "alexnet" else (224, 224))
    for way, column in (("stages", "stage"), ("thirds", "third")):
        text = STUDY.replace("NAME", name).replace("YAML", found["yaml"][way])
        study = parse_study(text, Path("pasted.yaml"))
        values = dict.fromkeys(study.search, 0.5)
        composite = study.composite.bind(values).place(layers)
        expected = {
            row["layer"]: "pixel" if row["layer"] in first else row[column]
            for row in found["layers"]
        }
        assert {layer: block.name for layer, block in composite.by_layer().items()} == expected
        assert [b.rule for b in (composite.blocks[0], composite.blocks[-1])] == ["z_box", "zero"]


def test_the_table_says_what_happens_everywhere():
    found = describe_blocks(find_network("mobilenet_v3_small", RUNS), 64)
    lines = blocks_lines(found)
    assert lines[0] == "mobilenet_v3_small, for images of 64 × 64 pixels"
    header, first = lines[2], lines[3]
    assert header.split() == [
        *("index", "layer", "kind", "output", "depth", "stage", "third", "merged")
    ]
    assert first[header.index("layer") :].startswith("features.0.0 ")
    assert first[header.index("output") :].startswith("16 × 32 × 32 ")
    assert first[header.index("merged") :] == ".1"
    assert all(line == line.rstrip() for line in lines)
    others = {(o["kind"], o["handling"]): o["layers"] for o in found["others"]}
    assert len(others["BatchNorm2d", "merged into a layer of the table"]) == 34
    gates = others["Conv2d", "only for a gate, which gets no relevance"]
    assert "features.1.block.1.fc1" in gates
    rows = {row["layer"] for row in found["layers"]}
    assert not rows & set(gates)


def test_layers_that_read_normalised_pixels_read_pixels():
    """torchvision's GoogLeNet normalises once more, with the weights that torchvision trained."""
    net = torchvision.models.googlenet(weights=None, init_weights=False, transform_input=True)
    preprocess = Preprocess(resize=None, crop=64, mean=(0, 0, 0), std=(1, 1, 1))
    _, _, first = find_blocks(wrap_model(net, preprocess, name="googlenet"), (64, 64))
    assert first == {"conv1.conv"}


def test_a_column_of_nothing_is_left_out():
    header = blocks_lines(describe_blocks(find_network("scenes", RUNS)))[2]
    assert "merged" not in header
    assert "third" in header


def test_a_study_is_a_network_too(small_study):
    of_study = describe_blocks(find_network(str(small_study), RUNS))
    assert of_study["layers"] == describe_blocks(find_network("scenes", RUNS))["layers"]


def test_what_is_no_network_is_refused():
    with pytest.raises(InputError, match=r"vgg61: there is no such network.*Did you mean 'vgg1"):
        find_network("vgg61", RUNS)
    with pytest.raises(InputError, match=r"none\.yaml: there is no such network or study"):
        find_network("none.yaml", RUNS)
    with pytest.raises(InputError, match="--allow-code"):
        find_network("nets:make", RUNS)
    with pytest.raises(InputError, match=r"alexnet: fails on an image of 16 × 16 .* --size"):
        describe_blocks(find_network("alexnet", RUNS), 16)


def test_without_layers_between_pixels_and_classes_every_block_is_tuned():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
    preprocess = Preprocess(resize=None, crop=8, mean=(0, 0, 0), std=(1, 1, 1))
    model = wrap_model(net, preprocess, name="small")
    layers, stages, first = find_blocks(model, (8, 8))
    assert first == {"0"}
    proposed = propose(stages.stages, layers, first)
    assert [(p.name, p.layers, p.rule) for p in proposed] == [
        ("stage1", ("0",), "gamma"),
        ("classifier", ("3",), "gamma"),
    ]
