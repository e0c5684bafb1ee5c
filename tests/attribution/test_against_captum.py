"""Whole networks against captum's LRP, an independent implementation, where it means the same.

Its ε has the sign of z, its biases stay as they are, and its max pools let the winner take all.
"""

import pytest
import torch
import torchvision
from captum.attr import LRP
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, GammaRule
from torch import nn

from lrpsweep.attribution import Engine, list_layers
from lrpsweep.attribution.lrp import engine
from lrpsweep.composites import Block, Composite


class Small(nn.Module):
    def __init__(self, bias):
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 8, 3, padding=1, stride=2, bias=bias), nn.ReLU()),
            *(nn.Conv2d(8, 8, 3, groups=2, bias=bias), nn.ReLU(), nn.MaxPool2d(2)),
        )
        self.head = nn.Sequential(
            nn.Linear(128, 16, bias=bias), nn.ReLU(), nn.Linear(16, 5, bias=bias)
        )

    def forward(self, x):
        return self.head(self.features(x).flatten(1))


def network(bias):
    torch.manual_seed(0)
    return Small(bias).eval().double()


def images(size, count=2):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, 3, size, size, generator=generator, dtype=torch.float64)


def best(net, x):
    """The classes with the highest scores, which are positive: captum's γ knows no other sign."""
    scores, targets = net(x).max(1)
    assert float(scores.detach().min()) > 0
    return targets


def explained_by_captum(net, x, targets, rules):
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.rule = rules(layer)
    found = LRP(net).attribute(x.clone().requires_grad_(), targets).detach()
    for layer in net.modules():
        vars(layer).pop("rule", None)
    return found


def uniform(net, rule, **hyper):
    names = tuple(layer.name for layer in list_layers(net) if layer.weighted)
    options = {"bias": "kept"} if rule == "gamma" else {}
    return Composite((Block("all", names, rule, {**hyper, "stabilizer": 1e-9}, options),)).rules(
        list_layers(net)
    )


def assert_equal(net, x, targets, ours, rules):
    expected = explained_by_captum(net, x, targets, rules)
    found = Engine(net).attribute(x, targets, ours).relevance
    assert float(expected.abs().max()) > 0
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-6


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("epsilon", [1e-9, 0.25])
def test_epsilon(epsilon, bias):
    net, x = network(bias), images(22)
    ours = uniform(net, "epsilon", epsilon=epsilon)
    assert_equal(net, x, best(net, x), ours, lambda layer: EpsilonRule(epsilon))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("gamma", [0.25, 2.0])
def test_gamma(gamma, bias):
    net, x = network(bias), images(22)
    ours = uniform(net, "gamma", gamma=gamma)
    assert_equal(net, x, best(net, x), ours, lambda layer: GammaRule(gamma))


def test_vgg11_with_three_rules(monkeypatch):
    monkeypatch.setattr(engine, "POOLING_STABILIZER", 1e-9)
    torch.manual_seed(0)
    net = torchvision.models.vgg11(weights=None).eval().double()
    x = images(40, 1)
    convs = [layer.name for layer in list_layers(net) if layer.weighted and layer.kind == "Conv2d"]
    dense = tuple(layer.name for layer in list_layers(net) if layer.kind == "Linear")
    stable = {"stabilizer": 1e-9}
    ours = Composite(
        (
            Block("low", tuple(convs[:4]), "z_plus", stable),
            Block("high", tuple(convs[4:]), "gamma", {"gamma": 0.25, **stable}, {"bias": "kept"}),
            Block("head", dense, "epsilon", {"epsilon": 0.01, **stable}),
        )
    ).rules(list_layers(net))
    names = {module: name for name, module in net.named_modules()}

    def rules(layer):
        if names[layer] in dense:
            return EpsilonRule(0.01)
        return Alpha1_Beta0_Rule() if names[layer] in convs[:4] else GammaRule(0.25)

    assert_equal(net, x, best(net, x), ours, rules)
