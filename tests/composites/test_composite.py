"""Blocks mean the layers that their selectors say, and every layer has one block."""

import math
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
import torchvision

from lrpsweep.attribution import list_layers
from lrpsweep.composites import Block, Composite, assign_layers, assign_parts, select_layers
from lrpsweep.errors import InputError


@pytest.fixture(scope="module")
def vgg16():
    with torch.device("meta"):
        return list_layers(torchvision.models.vgg16(weights=None))


def names(layers):
    return [layer.name for layer in layers]


def test_leaf_indices_are_those_of_the_literature(vgg16):
    assert vgg16[0].name == "features.0"
    assert vgg16[30].name == "features.30"
    assert vgg16[31].name == "avgpool"
    assert vgg16[38].name == "classifier.6"


@pytest.mark.parametrize(
    ("selector", "first", "last", "count"),
    [
        ("features.0", "features.0", "features.0", 1),
        (0, "features.0", "features.0", 1),
        ("1..16", "features.1", "features.16", 16),
        ("features.1..features.16", "features.1", "features.16", 16),
        ("features.25..end", "features.25", "classifier.6", 14),
        ("..3", "features.0", "features.3", 4),
        ("classifier", "classifier.0", "classifier.6", 7),
        ("Linear", "classifier.0", "classifier.6", 3),
        ("avgpool..classifier", "avgpool", "classifier.6", 8),
    ],
)
def test_selectors(vgg16, selector, first, last, count):
    found = names(select_layers(vgg16, selector))
    assert (found[0], found[-1], len(found)) == (first, last, count)


def test_selectors_that_mean_nothing(vgg16):
    with pytest.raises(InputError, match=r"no layer 'featurs\.0'.*Did you mean 'features\.0'"):
        select_layers(vgg16, "featurs.0")
    with pytest.raises(InputError, match="ends before it begins"):
        select_layers(vgg16, "5..3")


def test_blocks_hold_every_weighted_layer_once(vgg16):
    found = assign_layers(vgg16, {"conv": ["Conv2d"], "default": []})
    assert len(found["conv"]) == 13
    assert found["default"] == ("classifier.0", "classifier.3", "classifier.6")


def test_wrong_blocks_are_named(vgg16):
    with pytest.raises(InputError, match=r"composite\.b\.layers: layer 'features\.5' is in block"):
        assign_layers(vgg16, {"a": ["0..5"], "b": ["5..end"]})
    with pytest.raises(InputError, match=r"no block has 'classifier\.0'"):
        assign_layers(vgg16, {"a": ["features"]})
    with pytest.raises(InputError, match=r"composite\.b\.layers: .*selects no layer with weights"):
        assign_layers(vgg16, {"a": ["features"], "b": ["features.1"], "default": []})


def test_parts_of_the_literature_on_vgg16(vgg16):
    found = assign_parts(
        vgg16,
        {
            "pixel": Fraction(0),
            "early": Fraction(5, 13),
            "middle": Fraction(8, 13),
            "late": Fraction(11, 13),
            "last": Fraction(1),
            "head": None,
        },
    )
    indices = {layer.name: layer.index for layer in vgg16}
    spans = {part: (indices[n[0]], indices[n[-1]]) for part, n in found.items()}
    assert spans["pixel"] == (0, 0)
    assert spans["early"] == (2, 10)
    assert spans["middle"] == (12, 17)
    assert spans["late"] == (19, 24)
    assert spans["last"] == (26, 28)
    assert spans["head"] == (32, 38)


def test_parts_a_small_network_lacks_are_left_out():
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.Flatten(), torch.nn.Linear(2, 2))
    found = assign_parts(
        list_layers(net), {"pixel": Fraction(0), "rest": Fraction(1), "head": None}
    )
    assert found == {"pixel": ("0",), "head": ("2",)}


def test_parallel_branches_lie_in_one_part():
    layers = list_layers(torchvision.models.squeezenet1_1(weights=None))
    depth = {layer.name: layer.depth for layer in layers}
    assert depth["features.0"] == 1
    assert depth["features.12.expand1x1"] == depth["features.12.expand3x3"] == 17
    assert (depth["classifier.1"], depth["features.1"]) == (18, 0)
    thirds = {"a": Fraction(1, 3), "b": Fraction(2, 3), "c": Fraction(1), "head": None}
    found = assign_parts(layers, thirds)
    assert found["head"] == ("classifier.1",)
    for fire in (3, 4, 6, 7, 9, 10, 11, 12):
        one, three = (f"features.{fire}.expand{size}" for size in ("1x1", "3x3"))
        assert [one in names for names in found.values()] == [
            three in names for names in found.values()
        ]
    assert [len(found[part]) for part in "abc"] == [8, 8, 9]


def test_layers_that_forward_does_not_use_have_no_part():
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 2))
    net[0].register_module("unused", torch.nn.Linear(3, 3))
    assert [layer.name for layer in list_layers(net) if layer.weighted] == ["1"]


def test_selectors_by_depth(vgg16):
    def convolutions(selector):
        found = [x.depth for x in select_layers(vgg16, selector)]
        assert 0 not in found
        return found

    assert names(select_layers(vgg16, "depth 3")) == ["features.5"]
    assert convolutions("depth 2..4") == [2, 3, 4]
    assert convolutions("depth ..2") == convolutions("depth 0..2") == [1, 2]
    assert convolutions("depth 15..") == [15, 16]
    assert convolutions("depth 4..3") == convolutions("depth ..0") == []
    with pytest.raises(InputError, match=r"'depth 17', but the network is 16 layers .* deep"):
        select_layers(vgg16, "depth 17")


def test_a_depth_holds_all_parallel_branches():
    layers = list_layers(torchvision.models.squeezenet1_1(weights=None))
    assert names(select_layers(layers, "depth 17")) == [
        "features.12.expand1x1",
        "features.12.expand3x3",
    ]


def test_a_moving_block_takes_its_layers_from_the_others(vgg16):
    def found(upto):
        selectors = {"low": [f"depth ..{upto}"], "conv": ["Conv2d"], "default": []}
        return {block: len(n) for block, n in assign_layers(vgg16, selectors, ["low"]).items()}

    assert found(0) == {"low": 0, "conv": 13, "default": 3}
    assert found(5) == {"low": 5, "conv": 8, "default": 3}
    assert found(14) == {"low": 14, "conv": 0, "default": 2}
    both = {"one": ["depth ..3"], "two": ["depth 2..4"], "default": []}
    taken = assign_layers(vgg16, both, ["two", "one"])
    assert (len(taken["one"]), len(taken["two"])) == (3, 1)


def test_blocks_that_do_not_move_hold_every_layer(vgg16):
    """Else some point of the space would leave a layer without a block."""
    selectors = {"low": ["depth ..3"], "high": ["depth 3.."]}
    with pytest.raises(InputError, match=r"no block without a searched depth has 'features\.0'"):
        assign_layers(vgg16, selectors, ["low", "high"])
    with pytest.raises(InputError, match=r"composite\.low\.layers: .* selects no layer"):
        assign_layers(vgg16, {"low": ["depth 5..4"], "default": []})


def test_gamma_decays_from_depth_to_depth():
    layers = list_layers(torchvision.models.squeezenet1_1(weights=None))
    fire = tuple(x.name for x in layers if x.name.startswith("features.3.") and x.weighted)
    block = Block("fire", fire, "gamma", {"gamma": 0.8, "stabilizer": 0.0}, {"bias": "kept"})
    squeeze, expand = replace(block, decay=0.5).place(fire, layers)
    assert (squeeze.name, squeeze.layers) == ("fire.1", ("features.3.squeeze",))
    assert (expand.name, len(expand.layers)) == ("fire.2", 2)
    assert [b.values["gamma"] for b in (squeeze, expand)] == [0.8, 0.4]
    assert expand.options == {"bias": "kept"}
    for gamma, expected in ((math.inf, [math.inf] * 2), (0.8, [0.8, 0.0])):
        found = replace(block, values={"gamma": gamma}, decay=0.0).place(fire, layers)
        assert [b.values["gamma"] for b in found] == expected


def test_parts_that_end_at_a_depth(vgg16):
    ends = {"flat": 3, "features": Fraction(1), "head": None}
    assert [len(found) for found in assign_parts(vgg16, ends).values()] == [3, 10, 3]
    assert "flat" not in assign_parts(vgg16, ends | {"flat": 0})


def test_a_layer_in_two_blocks_is_refused(vgg16):
    two = Composite((Block("a", ("features.0",), "zero"), Block("b", ("features.0",), "zero")))
    with pytest.raises(
        InputError, match=r"composite\.b\.layers: layer 'features\.0' is in block 'a'"
    ):
        two.rules(vgg16)


def test_a_block_knows_the_rule_of_each_layer_and_of_the_pools_that_read_it(vgg16):
    layers = [replace(layer, pools=("pool",) if layer.index == 2 else ()) for layer in vgg16]
    composite = Composite(
        (
            Block("low", ("0..5",), "gamma", {"gamma": 0.5}, {"pooling": "sum", "bias": "kept"}),
            Block("default", (), "zero"),
        )
    )
    found = composite.bind({}).place(layers).rules(layers)
    assert len(found) == 16 + 1
    assert (found["pool"].rule, found["pool"].settings) == ("sum", {})
    assert found["features.0"].rule == "gamma"
    assert found["features.0"].settings == {"gamma": 0.5, "stabilizer": 1e-6, "bias": "kept"}
    assert found["features.0"].group == "low"


def test_max_pools_may_have_a_block_of_their_own(vgg16):
    layers = [
        replace(layer, handling="max_pool" if layer.kind == "MaxPool2d" else layer.handling)
        for layer in vgg16
    ]
    pools = Block("pools", ("MaxPool2d",), "sum")
    composite = Composite((pools, Block("default", (), "zero", {}, {"pooling": "winner"})))
    found = composite.bind({}).place(layers).rules(layers)
    assert [name for name, rule in found.items() if rule.rule == "sum"] == [
        f"features.{i}" for i in (4, 9, 16, 23, 30)
    ]
    with pytest.raises(InputError, match=r"composite\.pools\.layers: .* no layer of kind max_pool"):
        Composite((replace(pools, layers=("Linear",)), composite.blocks[1])).place(layers)


def test_a_parameter_without_a_value_is_named():
    with pytest.raises(InputError, match=r"composite\.a\.gamma: missing; expected a number of"):
        Block("a", ("0",), "gamma").bind({})
