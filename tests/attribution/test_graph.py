"""Sums, gates, shape operations, functions in forward(), reuse: and what is refused."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.ops import SqueezeExcitation
from zero_rule import gradient_times_input

import lrpsweep
from lrpsweep.attribution import Engine, list_layers
from lrpsweep.attribution.lrp import engine
from lrpsweep.composites import Block, Composite
from lrpsweep.errors import InputError


class Calls(nn.Module):
    """A convolution, a given function, and a dense layer on what that gives."""

    def __init__(self, function, features, **modules):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(features, 5)
        for name, module in modules.items():
            self.add_module(name, module)
        self.function = function

    def forward(self, x):
        return self.head(torch.flatten(self.function(self, self.conv(x)), 1))


def batch():
    x = torch.randn(2, 3, 6, 8, generator=torch.Generator().manual_seed(1)).double()
    return x, torch.tensor([1, 4])


def zero(net):
    names = tuple(layer.name for layer in list_layers(net) if layer.weighted)
    return Composite((Block("all", names, "zero", {"stabilizer": 0.0}),)).rules(list_layers(net))


def explained(net, x, targets):
    found = Engine(net).attribute(x, targets, zero(net))
    size = found.relevance.abs().sum() + found.score.abs().sum()
    assert found.unexplained.abs().max() <= 1e-9 * size
    return found


@pytest.fixture
def exact(monkeypatch):
    """No stabilizer in sums and averages, which gradient × input does not know."""
    monkeypatch.setattr(engine, "POOLING_STABILIZER", 0.0)


def _in_place_sum(net, x):
    y = net.other(x)
    y += x
    return F.relu(y, inplace=True)


def _overwritten(net, x):
    """What reads x after the in-place ReLU reads its result."""
    y = net.other(F.relu_(x))
    return torch.cat((x, y), 1)


PIECEWISE_LINEAR = {
    "max_pool2d": (lambda net, x: F.max_pool2d(F.relu(x), 2, ceil_mode=True), 48),
    "max_pool2d method arguments": (lambda net, x: F.max_pool2d(x, (3, 2), 2, padding=1), 60),
    "avg_pool2d": (lambda net, x: F.avg_pool2d(F.relu(x), 3, stride=1, padding=1), 192),
    "adaptive_avg_pool2d": (lambda net, x: F.adaptive_avg_pool2d(x, 1), 4),
    "mean": (lambda net, x: x.mean([2, 3]), 4),
    "torch.mean": (lambda net, x: torch.mean(x.relu(), dim=(-1, -2), keepdim=True), 4),
    "dropout": (lambda net, x: F.dropout(x, 0.5, training=net.training), 192),
    "view": (lambda net, x: x.view(x.size(0), -1), 192),
    "reshape": (lambda net, x: x.relu_().reshape(x.shape[0], 2, -1), 192),
    "channel shuffle": (
        lambda net, x: x.view(x.size(0), 2, x.size(1) // 2, 6, 8).transpose(1, 2).contiguous(),
        192,
    ),
    "permute": (lambda net, x: x.permute(0, 2, 3, 1).unsqueeze(1).squeeze(1), 192),
    "slice": (lambda net, x: x[:, 1:3, ::2, 1:], 42),
    "chunk": (lambda net, x: torch.cat((x.chunk(2, dim=1)[1], x), 1), 288),
    "split": (lambda net, x: torch.split(x, [1, 3], 1)[0], 48),
    "pad": (lambda net, x: F.relu(F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))), 96),
    "leaky": (lambda net, x: net.other(F.relu(x)), 192),
    "add": (lambda net, x: F.relu(x) + net.other(F.relu(x)), 192),
    "torch.add": (lambda net, x: torch.add(x, net.other(x)), 192),
    "in-place add": (_in_place_sum, 192),
    "subtract": (lambda net, x: F.relu(x) - net.other(x), 192),
    "twice the same": (lambda net, x: x + x, 192),
    "overwritten": (_overwritten, 384),
    "numbers": (lambda net, x: (2 * x.relu() + 0.5) / 3 - 1, 192),
    "used twice": (lambda net, x: net.other(F.relu(net.other(F.relu(x)))), 192),
    "mean broadcast": (lambda net, x: x + F.adaptive_avg_pool2d(x, 1), 192),
    "scaled by a parameter": (lambda net, x: net.scale.view(1, -1, 1, 1) * x, 192),
    "shifted by a tensor": (lambda net, x: x + torch.arange(8.0), 192),
}


@pytest.mark.parametrize("case", PIECEWISE_LINEAR)
@pytest.mark.usefixtures("exact")
def test_uniform_zero_is_gradient_times_input_through(case):
    function, features = PIECEWISE_LINEAR[case]
    net = Calls(function, features, other=nn.Conv2d(4, 4, 1)).eval()
    net.register_buffer("scale", torch.tensor([0.5, -2.0, 1.0, 3.0]))
    net, (x, targets) = net.double(), batch()
    before = copy.deepcopy(net.state_dict())
    names = set(vars(net))
    expected = gradient_times_input(net, x, targets)
    found = explained(net, x, targets).relevance
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert set(vars(net)) == names


def test_a_sum_is_split_by_contribution_and_the_stabilizer_accounted_for():
    net = Calls(lambda net, x: x + net.other(x), 192, other=nn.Conv2d(4, 4, 1)).double().eval()
    x, targets = batch()
    a = net.conv(x)
    b = net.other(a)
    relevance = ((a + b).flatten(1) * net.head.weight[targets]).view_as(a)
    s = relevance / (a + b + 1e-6 * torch.sign(a + b))
    via = (b * s) / b
    expected = x * nn.grad.conv2d_input(
        x.shape,
        net.conv.weight,
        (a * s + a * nn.grad.conv2d_input(a.shape, net.other.weight, via)) / a,
        padding=1,
    )
    found = explained(net, x, targets)
    torch.testing.assert_close(found.relevance, expected, rtol=1e-9, atol=1e-12)
    taken = (relevance - (a + b) * s).flatten(1).sum(1)
    torch.testing.assert_close(found.stabilizer, taken, rtol=1e-6, atol=1e-15)


ACTIVATIONS = [
    (nn.ReLU6, F.relu6),
    (nn.LeakyReLU, F.leaky_relu),
    (nn.ELU, F.elu),
    (nn.SiLU, F.silu),
    (nn.GELU, F.gelu),
    (nn.Mish, F.mish),
    (nn.Hardswish, F.hardswish),
    (nn.Hardsigmoid, F.hardsigmoid),
    (nn.Sigmoid, torch.sigmoid),
    (nn.Tanh, torch.tanh),
    (nn.Softplus, F.softplus),
    (lambda: nn.LocalResponseNorm(3), lambda x: F.local_response_norm(x, 3)),
    (lambda: nn.LayerNorm(8), lambda x: F.layer_norm(x, (8,))),
]


@pytest.mark.parametrize(("module", "function"), ACTIVATIONS)
def test_relevance_passes_activations_and_normalisations_unchanged(module, function):
    """As if the activation were not there, given its value: R at its output is R at its input."""
    as_module = Calls(lambda net, x: net.other(x), 192, other=module()).double().eval()
    as_function = Calls(lambda net, x: function(x), 192).double().eval()
    x, targets = batch()
    z = as_module.conv(x)
    relevance = (function(z).flatten(1) * as_module.head.weight[targets]).view_as(z)
    expected = x * nn.grad.conv2d_input(x.shape, as_module.conv.weight, relevance / z, padding=1)
    for net in (as_module, as_function):
        found = explained(net, x, targets).relevance
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def _written_by_hand(net, x):
    """As in many networks: pooled, flattened, two dense layers, expanded."""
    gate = net.down(F.adaptive_avg_pool2d(x, 1).view(x.size(0), -1)).relu()
    return x * torch.sigmoid(net.up(gate)).view(x.size(0), 4, 1, 1).expand_as(x)


GATES = [
    (_written_by_hand, {"down": nn.Linear(4, 2), "up": nn.Linear(2, 4)}, {"down", "up"}),
    (lambda net, x: net.se(x), {"se": SqueezeExcitation(4, 2)}, {"se.fc1", "se.fc2"}),
    (  # what only feeds a gate may be unknown
        lambda net, x: net.soft(F.adaptive_avg_pool2d(x, 1)) * x,
        {"soft": nn.Softmax2d()},
        {"soft"},
    ),
]


@pytest.mark.parametrize(("function", "modules", "gating"), GATES)
def test_a_gate_gets_no_relevance_and_its_layers_need_no_block(function, modules, gating):
    net = Calls(function, 192, **modules).double().eval()
    x, targets = batch()
    z = net.conv(x)
    relevance = (net.function(net, z).flatten(1) * net.head.weight[targets]).view_as(z)
    expected = x * nn.grad.conv2d_input(x.shape, net.conv.weight, relevance / z, padding=1)
    torch.testing.assert_close(explained(net, x, targets).relevance, expected)
    layers = {layer.name: layer for layer in list_layers(net)}
    assert {layers[name].depth for name in gating} == {0}
    assert {layers[name].handling for name in gating} == {"gate"}
    assert layers["conv"].depth == 1
    assert layers["head"].depth == 2


def test_a_dense_layer_at_every_place_has_the_rule_of_a_1x1_convolution():
    tokens = Calls(lambda net, x: net.other(x.permute(0, 2, 3, 1)), 288, other=nn.Linear(4, 6))
    maps = Calls(lambda net, x: net.other(x).permute(0, 2, 3, 1), 288, other=nn.Conv2d(4, 6, 1))
    maps.load_state_dict(
        {k: v.view_as(maps.state_dict()[k]) for k, v in tokens.state_dict().items()}
    )
    x, targets = batch()
    composite = Composite(
        (Block("all", ("conv", "other", "head"), "gamma", {"gamma": 0.5, "stabilizer": 1e-6}),)
    )
    one, other = (
        Engine(net.double().eval()).attribute(x, targets, composite.rules(list_layers(net)))
        for net in (tokens, maps)
    )
    torch.testing.assert_close(one.relevance, other.relevance, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(one.bias, other.bias)


REFUSED = {
    "two maps multiplied": (lambda net, x: x * net.conv.weight.sum() * x, r"mul\(\).*needs a gate"),
    "divided by a map": (lambda net, x: x / (x + 1), r"truediv\(\) in forward\(\) of Calls"),
    "an unknown function": (lambda net, x: torch.softmax(x, 1), r"softmax\(\).*reads 'conv'"),
    "an unknown module": (
        lambda net, x: net.other(x),
        r"layer 'other' of type Softmax2d \(reads 'conv'\).*lrpsweep.register\(Softmax2d, \"pass\"",
    ),
    "padding with ones": (lambda net, x: F.pad(x, (1, 1), value=1.0), r"pad\(\)"),
    "dropout that is always on": (lambda net, x: F.dropout(x), r"dropout\(\)"),
    "a mean over channels and images": (lambda net, x: x + x.mean(), r"mean\(\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_rule_is_refused_by_name(case):
    function, message = REFUSED[case]
    with pytest.raises(InputError, match=message):
        Engine(Calls(function, 192, other=nn.Softmax2d()).eval())


class Rescaled(nn.Conv2d):
    def forward(self, x):
        return super().forward(x) * 2


@pytest.mark.usefixtures("exact")
def test_a_subclass_that_computes_something_else_is_not_taken_for_its_parent():
    net = Calls(lambda net, x: net.other(x), 192, other=Rescaled(4, 4, 1)).double().eval()
    x, targets = batch()
    expected = gradient_times_input(net, x, targets)
    found = explained(net, x, targets).relevance
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def _two_names(net, x):
    """Overwrites x under another name, which no trace shows."""
    y = x.view(x.size(0), -1)
    F.relu_(y)
    return x


def test_a_forward_pass_that_does_more_than_its_trace_is_refused():
    x, targets = batch()
    net = Calls(_two_names, 192).double().eval()
    with pytest.raises(InputError, match="does more than can be traced"):
        Engine(net).attribute(x, targets, zero(net))
    hooked = Calls(lambda net, x: x, 192).double().eval()
    hooked.register_forward_hook(lambda module, given, output: output + 1)
    with pytest.raises(InputError, match="hooks that change values"):
        Engine(hooked).attribute(x, targets, zero(hooked))


def test_mixing_images_is_refused():
    x, targets = batch()
    net = Calls(lambda net, x: x.reshape(-1, 4, 3, 8).reshape(-1, 192), 192).double().eval()
    with pytest.raises(InputError, match=r"'reshape' gives \(4, 4, 3, 8\) for 2 images"):
        Engine(net).attribute(x, targets, zero(net))


class Swish(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


class Doubling(nn.Module):
    def forward(self, x, y):
        return torch.cat((x, y), 1)


def test_a_registered_module_passes_relevance():
    net = Calls(lambda net, x: net.other(x), 192, other=Swish()).double().eval()
    known = Calls(lambda net, x: net.other(x), 192, other=nn.SiLU()).double().eval()
    x, targets = batch()
    with pytest.raises(InputError, match=r"mul\(\) in forward\(\) of 'other' of type Swish"):
        Engine(net)
    lrpsweep.register(Swish, "pass")
    expected = explained(known, x, targets).relevance
    torch.testing.assert_close(explained(net, x, targets).relevance, expected)
    assert {layer.name: layer.handling for layer in list_layers(net)}["other"] == "Swish"


def test_a_registered_function_says_how_relevance_goes_back():
    def back(module, inputs, relevance):
        assert isinstance(module, Doubling)
        assert [x.shape for x in inputs] == [(2, 4, 6, 8)] * 2
        return relevance[:, :4], relevance[:, 4:]

    net = Calls(lambda net, x: net.other(x, F.relu(x)), 384, other=Doubling()).double().eval()
    x, targets = batch()
    expected = explained(net, x, targets).relevance
    lrpsweep.register(Doubling, back)
    torch.testing.assert_close(explained(net, x, targets).relevance, expected)
    lrpsweep.register(Doubling, lambda module, inputs, relevance: relevance)
    with pytest.raises(
        InputError, match=r"'other' of type Doubling: the registered function.*8, 6"
    ):
        Engine(net).attribute(x, targets, zero(net))
    lrpsweep.register(Doubling, "pass")
    with pytest.raises(InputError, match=r"'other' of type Doubling .*reads several tensors"):
        Engine(net).attribute(x, targets, zero(net))


def test_what_cannot_be_registered_is_refused():
    with pytest.raises(InputError, match=r"Swish\(\) is no module type"):
        lrpsweep.register(Swish(), "pass")
    with pytest.raises(InputError, match="'skip' for Swish; expected 'pass' or a function"):
        lrpsweep.register(Swish, "skip")
