"""LRP-0 without stabilizers, and what it equals on networks of linear pieces."""

import torch
from torch import nn

from lrpsweep.attribution import Engine, LayerRule, list_layers
from lrpsweep.attribution.lrp import engine


def uniform(net: nn.Module, rule: str, **settings: float) -> dict[str, LayerRule]:
    names = [layer.name for layer in list_layers(net) if layer.weighted]
    return dict.fromkeys(names, LayerRule(rule, settings, "all"))


def explained(net, x, targets, rule="zero", **settings):
    """By one rule without stabilizer, of pools and sums neither; the balance adds up."""
    before, engine.POOLING_STABILIZER = engine.POOLING_STABILIZER, 0.0
    try:
        found = Engine(net).attribute(
            x, targets, uniform(net, rule, **{"stabilizer": 0.0} | settings)
        )
    finally:
        engine.POOLING_STABILIZER = before
    size = found.relevance.abs().sum() + found.score.abs().sum()
    assert found.unexplained.abs().max() <= 1e-9 * size
    return found


def gradient_times_input(net, x, targets):
    leaf = x.clone().requires_grad_()
    net(leaf).gather(1, targets[:, None]).sum().backward()
    return leaf.grad * x


def assert_zero_rule_is_gradient_times_input(net, x, targets):
    expected = gradient_times_input(net, x, targets)
    assert expected.abs().max() > 0
    found = explained(net, x, targets).relevance
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
