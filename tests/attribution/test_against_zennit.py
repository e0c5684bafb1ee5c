"""The engine against zennit, an independent implementation, in float64."""

import pytest
import torch
import torchvision
from torch import nn
from zennit import rules as zr
from zennit.composites import EpsilonGammaBox, EpsilonPlus, NameMapComposite
from zennit_reference import explained_by_zennit

from lrpsweep.attribution import Engine, list_layers
from lrpsweep.composites import Block, Composite

LOW, HIGH = torch.tensor([-2.1, -2.0, -1.8]), torch.tensor([2.2, 2.4, 2.6])


def small_net(bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    return (
        nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1, bias=bias),
            nn.ReLU(inplace=True),
            nn.Conv2d(6, 8, 3, stride=2, padding=2, dilation=2, groups=2, bias=bias),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, padding=1, ceil_mode=True),
            nn.Conv2d(8, 8, (3, 2), padding=(1, 0), bias=bias),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(),
            nn.LazyLinear(12, bias=bias),
            nn.ReLU(),
            nn.Linear(12, 5, bias=bias),
        )
        .eval()
        .double()
    )


def images(n: int, size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    unit = torch.rand(n, 3, size, size, generator=generator, dtype=torch.float64)
    low, high = LOW.view(3, 1, 1), HIGH.view(3, 1, 1)
    return low + unit * (high - low)


def relative_error(ours, theirs):
    return float((ours - theirs).abs().max() / theirs.abs().max())


def uniform(net, rule, **hyper):
    names = tuple(layer.name for layer in list_layers(net) if layer.weighted)
    return Composite((Block("all", names, rule, hyper),)).rules(list_layers(net))


Z_BOX = zr.ZBox(LOW.view(1, 3, 1, 1), HIGH.view(1, 3, 1, 1))
UNIFORM = [
    ("zero", {"stabilizer": 1e-6}, zr.Epsilon(1e-6)),
    ("epsilon", {"epsilon": 0.25, "stabilizer": 1e-6}, zr.Epsilon(0.25)),
    ("gamma", {"gamma": 0.0, "stabilizer": 1e-6}, zr.Gamma(0.0)),
    ("gamma", {"gamma": 0.25, "stabilizer": 1e-6}, zr.Gamma(0.25)),
    ("gamma", {"gamma": 100.0, "stabilizer": 1e-6}, zr.Gamma(100.0)),
    ("alpha_beta", {"alpha": 2.0, "stabilizer": 1e-6}, zr.AlphaBeta(2.0, 1.0)),
    ("alpha_beta", {"alpha": 1.0, "stabilizer": 1e-6}, zr.AlphaBeta(1.0, 0.0)),
    ("z_plus", {"stabilizer": 1e-6}, zr.ZPlus()),
    ("w_square", {"stabilizer": 1e-6}, zr.WSquare(zero_params="bias")),
    ("flat", {"stabilizer": 1e-6}, zr.Flat()),
]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("rule", "hyper", "theirs"), UNIFORM)
def test_every_rule_on_every_kind_of_layer(rule, hyper, theirs, bias):
    net, x, targets = small_net(bias), images(3, 19), torch.tensor([0, 3, 4])
    net(x)
    kinds = [(nn.Conv2d | nn.Linear, theirs), (nn.ReLU, zr.Pass()), (nn.AvgPool2d, zr.Norm())]
    same = NameMapComposite(
        [([n for n, m in net.named_modules() if isinstance(m, kind)], r) for kind, r in kinds]
    )
    expected = explained_by_zennit(net, x, targets, same)
    found = Engine(net).attribute(x, targets, uniform(net, rule, **hyper))
    assert expected.abs().max() > 0
    assert relative_error(found.relevance, expected) < 1e-9


def box_first(net, rule, **hyper):
    weighted = [layer for layer in list_layers(net) if layer.weighted]
    convs = tuple(layer.name for layer in weighted[1:] if layer.kind == "Conv2d")
    dense = tuple(layer.name for layer in weighted if layer.kind == "Linear")
    return (
        Block("late", convs, rule, hyper | {"stabilizer": 1e-6}),
        Block("head", dense, "epsilon", {"epsilon": 1e-6, "stabilizer": 1e-6}),
    ), weighted[0].name


@pytest.mark.parametrize("gamma", [0.25, 2.0])
def test_epsilon_gamma_box_on_vgg16(gamma):
    torch.manual_seed(0)
    net = torchvision.models.vgg16(weights=None).eval().double()
    x, targets = images(1, 64), torch.tensor([17])
    blocks, first = box_first(net, "gamma", gamma=gamma)
    ours = Composite((Block("pixel", (first,), "z_box", {"stabilizer": 1e-6}), *blocks)).rules(
        list_layers(net)
    )
    found = Engine(net, (LOW, HIGH)).attribute(x, targets, ours)
    box = EpsilonGammaBox(LOW.view(1, 3, 1, 1), HIGH.view(1, 3, 1, 1), gamma=gamma)
    assert relative_error(found.relevance, explained_by_zennit(net, x, targets, box)) < 1e-6


@pytest.mark.parametrize("name", ["alexnet", "squeezenet1_0", "squeezenet1_1", "vgg11"])
def test_epsilon_gamma_box_where_branches_are_joined_and_scores_rectified(name):
    torch.manual_seed(0)
    net = getattr(torchvision.models, name)(weights=None).eval().double()
    x = images(2, 70)  # no multiple of the strides: pools with ceil_mode have smaller windows
    targets = net(x).argmax(1)
    blocks, first = box_first(net, "gamma", gamma=0.25)
    blocks = tuple(block for block in blocks if block.layers)
    ours = Composite((Block("pixel", (first,), "z_box", {"stabilizer": 1e-6}), *blocks)).rules(
        list_layers(net)
    )
    found = Engine(net, (LOW, HIGH)).attribute(x, targets, ours)
    box = EpsilonGammaBox(LOW.view(1, 3, 1, 1), HIGH.view(1, 3, 1, 1))
    expected = explained_by_zennit(net, x, targets, box)
    assert relative_error(found.relevance, expected) < 1e-6
    assert float(found.unexplained.abs().max()) < 1e-9 * float(found.score.abs().max())


def test_epsilon_plus_on_vgg16():
    torch.manual_seed(0)
    net = torchvision.models.vgg16(weights=None).eval().double()
    x, targets = images(1, 64), torch.tensor([17])
    blocks, first = box_first(net, "z_plus")
    ours = Composite((Block("pixel", (first,), "z_plus", {"stabilizer": 1e-6}), *blocks)).rules(
        list_layers(net)
    )
    found = Engine(net).attribute(x, targets, ours)
    theirs = explained_by_zennit(net, x, targets, EpsilonPlus())
    assert relative_error(found.relevance, theirs) < 1e-6
