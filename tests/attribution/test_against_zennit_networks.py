"""Networks with batch norms and residual sums against zennit with its canonizers, in float64.

Weights and the statistics of the batch norms are random. eps is small: what zennit leaves of a
merged batch norm still divides by (1 + eps)^½: with the usual 1e-5, an error of 5e-6 a layer.
"""

import pytest
import torch
import torchvision
from networks import with_statistics
from torch import nn
from zennit.composites import EpsilonGammaBox, EpsilonPlus
from zennit.torchvision import ResNetCanonizer, VGGCanonizer
from zennit_reference import explained_by_zennit

from lrpsweep.attribution import Engine, list_layers
from lrpsweep.composites import Block, Composite

LOW, HIGH = torch.tensor([-2.1, -2.0, -1.8]), torch.tensor([2.2, 2.4, 2.6])
NETWORKS = [
    ("vgg11_bn", VGGCanonizer),
    ("resnet18", ResNetCanonizer),
    ("resnet50", ResNetCanonizer),
]


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    net = getattr(torchvision.models, name)(weights=None).eval().double()
    for module in with_statistics(net).modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-12
    return net


def images() -> torch.Tensor:
    unit = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(1)).double()
    low, high = LOW.view(3, 1, 1), HIGH.view(3, 1, 1)
    return low + unit * (high - low)


def composite(net, first, rule, **hyper):
    names = {"Conv2d": [], "Linear": []}
    for layer in list_layers(net):
        if layer.weighted:
            names[layer.kind].append(layer.name)
    pixel, *convs = names["Conv2d"]
    stable = {"stabilizer": 1e-6}
    return Composite(
        (
            Block("pixel", (pixel,), first, stable),
            Block("body", tuple(convs), rule, hyper | stable),
            Block("head", tuple(names["Linear"]), "epsilon", {"epsilon": 1e-6} | stable),
        )
    ).rules(list_layers(net))


def assert_equal(net, ours, theirs):
    x, targets = images(), torch.tensor([3, 500])
    expected = explained_by_zennit(net, x, targets, theirs)
    found = Engine(net, (LOW, HIGH)).attribute(x, targets, ours)
    assert float((found.relevance - expected).abs().max() / expected.abs().max()) < 1e-6
    size = float(found.score.abs().max() + found.relevance.abs().sum())
    assert float(found.unexplained.abs().max()) < 1e-9 * size


@pytest.mark.parametrize(("name", "canonizer"), NETWORKS)
def test_epsilon_gamma_box(name, canonizer):
    net = network(name)
    box = (LOW.view(1, 3, 1, 1), HIGH.view(1, 3, 1, 1))
    theirs = EpsilonGammaBox(*box, canonizers=[canonizer()])
    assert_equal(net, composite(net, "z_box", "gamma", gamma=0.25), theirs)


@pytest.mark.parametrize(("name", "canonizer"), NETWORKS[:2])
def test_float32_points_the_same_way_and_orders_patches_alike(name, canonizer):
    net, x, targets = network(name), images(), torch.tensor([3, 500])
    box = (LOW.view(1, 3, 1, 1), HIGH.view(1, 3, 1, 1))
    theirs = EpsilonGammaBox(*box, canonizers=[canonizer()])
    expected = explained_by_zennit(net, x, targets, theirs).sum(1)
    ours = composite(net, "z_box", "gamma", gamma=0.25)
    single = x.float().contiguous(memory_format=torch.channels_last)
    found = Engine(net.float(), (LOW, HIGH)).attribute(single, targets, ours).heatmaps
    cosine = nn.functional.cosine_similarity(found.double().flatten(1), expected.flatten(1))
    assert float(cosine.min()) > 1 - 1e-6
    orders = [nn.functional.avg_pool2d(h[:, None], 4).flatten(1) for h in (found, expected)]
    one, other = (patches.argsort(1, descending=True) for patches in orders)
    assert float((one == other).double().mean()) > 0.95


@pytest.mark.parametrize(("name", "canonizer"), NETWORKS[:2])
def test_epsilon_plus(name, canonizer):
    net = network(name)
    theirs = EpsilonPlus(canonizers=[canonizer()])
    assert_equal(net, composite(net, "z_plus", "z_plus"), theirs)
