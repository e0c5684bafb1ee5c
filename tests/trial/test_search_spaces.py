"""The page on search spaces: every example is a study, and means what the page says."""

import itertools
import re
from pathlib import Path

import pytest
import torch
import torchvision

from lrpsweep.attribution import Engine, list_layers
from lrpsweep.commands.describe import layer_table
from lrpsweep.composites import PRESETS
from lrpsweep.study import axes, decode, grid, parse_study
from lrpsweep.study.writing import dump
from lrpsweep.study.yaml_text import read_yaml
from lrpsweep.sweep.samplers import SAMPLERS

PAGE = (Path(__file__).parents[2] / "docs" / "search-spaces.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
STUDY = """\
version: 2
name: example
model: {torchvision: vgg16, weights: null}
data: {folder: images, labels: index, split: {search: 1, validation: 1}}
search: {g: {log: [0.1, 1.0], points: 2}}
composite: [{block: default, rule: gamma, gamma: $g}]
sampler: {name: grid}
"""


@pytest.fixture(scope="module")
def vgg16():
    with torch.device("meta"):
        net = torchvision.models.vgg16(weights=None).eval()
    bounds = (torch.zeros(3), torch.ones(3))
    return list_layers(net), Engine(net, bounds)


def read(example):
    return parse_study(dump(read_yaml(STUDY) | read_yaml(example)), Path("example.yaml"))


def composites(spec, layers):
    """By point of the grid's ends and middles."""
    points = {
        name: points[:: max(1, len(points) // 4)] for name, points in grid(spec.search).items()
    }
    for point in itertools.product(*points.values()):
        values = decode(spec.search, dict(zip(points, point, strict=True)))
        yield values, spec.composite.bind(values).place(layers)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_a_study_of_vgg16(vgg16, example):
    layers, explainer = vgg16
    spec = read(example)
    assert axes(spec.search)
    for _, composite in composites(spec, layers):
        explainer.check(composite.rules(layers))


def example_with(word):
    return read(next(text for text in EXAMPLES if word in text))


def rules(composite, layers):
    blocks = composite.by_layer()
    return [blocks[layer.name].rule for layer in layers if layer.weighted]


def test_cascading_individual_and_flat_examples(vgg16):
    layers, _ = vgg16
    for values, composite in composites(example_with("depth ..$l"), layers):
        assert rules(composite, layers) == ["gamma"] * values["l"] + ["zero"] * (16 - values["l"])
    for values, composite in composites(example_with("depth $l"), layers):
        expected = ["zero"] * 16
        expected[values["l"] - 1] = "gamma"
        assert rules(composite, layers) == expected
    for values, composite in composites(example_with("rule: flat"), layers):
        n = values["n"]
        expected = ["flat"] * n + ["alpha_beta"] * (13 - n) + ["zero"] * 3
        assert rules(composite, layers) == expected


def test_the_example_of_decay(vgg16):
    layers, _ = vgg16
    for values, composite in composites(example_with("decay: $q"), layers):
        gammas = [b.values["gamma"] for b in composite.blocks if b.rule == "gamma"]
        expected = [values["gamma"] * values["q"] ** d for d in range(12)]
        assert gammas == pytest.approx(expected if values["q"] < 1 else [values["gamma"]])


def test_a_composite_is_printed_layer_by_layer(vgg16):
    layers, _ = vgg16
    spec = example_with("decay: $q")
    composite = spec.composite.bind({"gamma": 0.8, "q": 0.5}).place(layers)
    lines = layer_table(composite, layers)
    assert lines[0].split() == ["layer", "type", "depth", "block", "rule"]
    assert lines[1].split() == ["features.0", "Conv2d", "1", "pixel", "z_box"]
    assert lines[3].split() == ["features.5", "Conv2d", "3", "features.2", "gamma", "gamma", "0.4"]
    assert len(lines) == 1 + 16
    boxed = example_with("low:").composite.bind({"gamma": 1}).place(layers)
    assert layer_table(boxed, layers)[1].endswith("low -2.1 -2 -1.8, high 2.2 2.4 2.6")


def test_every_preset_is_on_the_page_with_its_hyperparameters():
    rows = [line.split("|") for line in PAGE.splitlines() if line.startswith("| `")]
    told = {
        name: set(re.findall(r"`(\w+)`", row[2]))
        for row in rows
        for name in re.findall(r"`(\w+)`", row[1])
    }
    assert set(told) == set(PRESETS)
    for name, preset in PRESETS.items():
        assert set(preset.hyper) <= told[name]


def test_every_sampler_is_on_the_page():
    assert set(re.findall(r"^- `(\w+)`: ", PAGE, re.MULTILINE)) == set(SAMPLERS)
