"""Every operation, in one to three dimensions, against gradient × input and explicit matrices."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from zennit import rules as zr
from zennit.composites import LayerMapComposite
from zennit.types import Linear as ZennitLinear
from zennit_reference import explained_by_zennit
from zero_rule import assert_zero_rule_is_gradient_times_input, explained, uniform

import lrpsweep
from lrpsweep.attribution import Engine, LayerRule, list_layers
from lrpsweep.attribution.lrp.balance import Arriving
from lrpsweep.attribution.lrp.operations import OPERATIONS, weights_of
from lrpsweep.attribution.lrp.operations.operation import Operation
from lrpsweep.errors import InputError

SIZES = {1: (11,), 2: (9, 8), 3: (7, 6, 5)}


def batch(n):
    x = torch.randn(2, 3, *SIZES[n], generator=torch.Generator().manual_seed(n)).double()
    return x, torch.tensor([1, 4])


def module(name, n, *args, **settings):
    return getattr(nn, name.format(n))(*args, **settings)


class Between(nn.Module):
    """A convolution of n dimensions, something, and a dense layer on what that gives."""

    def __init__(self, n, inner):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.inner = module("Conv{}d", n, 3, 4, 3, padding=1), inner
        self.head = nn.LazyLinear(5)

    def forward(self, x):
        return self.head(self.inner(F.relu(self.conv(x))).flatten(1))


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.randn(4, 4, 2, generator=torch.Generator().manual_seed(5)))
        self.register_buffer("mean", torch.tensor([0.1, -0.2, 0.3, 0.0]))
        self.register_buffer("variance", torch.tensor([0.5, 1.5, 1.0, 0.7]))

    def forward(self, x):
        return self.function(self, x)


def between(n, inner):
    torch.manual_seed(0)
    inner = inner(n)
    net = Between(n, inner if isinstance(inner, nn.Module) else Function(inner))
    for norm in net.modules():
        if isinstance(getattr(norm, "running_mean", None), torch.Tensor):
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
    net.double()(batch(n)[0])
    return net.eval()


def _norm_after(n):
    return nn.Sequential(module("Conv{}d", n, 4, 6, 2), module("BatchNorm{}d", n, 6))


def _norm_before(n):
    return nn.Sequential(module("BatchNorm{}d", n, 4), module("Conv{}d", n, 4, 6, 2, groups=2))


def _norm_after_transposed(n):
    transposed = module("ConvTranspose{}d", n, 4, 6, 3, 2, 1, 1, groups=2)
    return nn.Sequential(transposed, module("BatchNorm{}d", n, 6))


def _norm_before_transposed(n):
    return nn.Sequential(module("BatchNorm{}d", n, 4), module("ConvTranspose{}d", n, 4, 6, 2))


MODULES = {
    "convolution": lambda n: module("Conv{}d", n, 4, 6, 3, 2, 1, 2, 2),
    "without bias": lambda n: module("Conv{}d", n, 4, 6, 2, bias=False),
    "transposed": lambda n: module("ConvTranspose{}d", n, 4, 6, 3, 2, 1, 1, 2),
    "transposed, dilated": lambda n: module(
        "ConvTranspose{}d", n, 4, 6, 2, 3, padding=1, output_padding=2, dilation=2
    ),
    "max pool": lambda n: module("MaxPool{}d", n, 2, ceil_mode=True),
    "overlapping max pool": lambda n: module("MaxPool{}d", n, 3, 1, 1),
    "dilated max pool": lambda n: module("MaxPool{}d", n, 2, 1, dilation=2),
    "adaptive max pool": lambda n: module("AdaptiveMaxPool{}d", n, 3),
    "average pool": lambda n: module("AvgPool{}d", n, 2, padding=1, ceil_mode=True),
    "adaptive average pool": lambda n: module("AdaptiveAvgPool{}d", n, 3),
    "batch norm": lambda n: module("BatchNorm{}d", n, 4),
    "batch norm after": _norm_after,
    "batch norm before": _norm_before,
    "batch norm after a transposed one": _norm_after_transposed,
    "batch norm before a transposed one": _norm_before_transposed,
    "instance norm by running statistics": lambda n: module(
        "InstanceNorm{}d", n, 4, affine=True, track_running_stats=True
    ),
    "nearest upsampling": lambda n: nn.Upsample(scale_factor=2),
    "padding with zeros": lambda n: module("ZeroPad{}d", n, 1),
    "padding by reflection": lambda n: module("ReflectionPad{}d", n, 1),
    "circular padding": lambda n: module("CircularPad{}d", n, 1),
}
LINEAR_MODE = {1: "linear", 2: "bilinear", 3: "trilinear"}
FUNCTIONS = {
    "max_pool": lambda n: lambda net, x: getattr(F, f"max_pool{n}d")(x, 2),
    "adaptive_max_pool": lambda n: lambda net, x: getattr(F, f"adaptive_max_pool{n}d")(x, 2),
    "avg_pool": lambda n: lambda net, x: getattr(F, f"avg_pool{n}d")(x, 2),
    "adaptive_avg_pool": lambda n: lambda net, x: getattr(F, f"adaptive_avg_pool{n}d")(x, 2),
    "interpolate": lambda n: lambda net, x: F.interpolate(x, scale_factor=2),
    "interpolate linearly": lambda n: (
        lambda net, x: F.interpolate(x, scale_factor=1.7, mode=LINEAR_MODE[n])
    ),
    "sum": lambda n: lambda net, x: x.sum(-1),
    "sum over channels": lambda n: lambda net, x: torch.sum(x, 1, keepdim=True),
    "mean": lambda n: lambda net, x: x.mean(tuple(range(2, n + 2))),
    "stack": lambda n: lambda net, x: torch.stack((x, 2 * x, x.relu()), dim=2),
    "stack at the end": lambda n: lambda net, x: torch.stack([x, x], dim=-1),
    "flip": lambda n: lambda net, x: torch.flip(x, (1, -1)),
    "roll": lambda n: lambda net, x: x.roll(2, -1),
    "repeat": lambda n: lambda net, x: x.repeat(1, 2, *(1,) * n),
    "clamp": lambda n: lambda net, x: (x - 0.3).clamp(min=0),
    "torch.clamp": lambda n: lambda net, x: torch.clamp(x - 0.3, 0),
    "clamp in place": lambda n: lambda net, x: (x - 0.3).clamp_(min=0.0),
    "conv": lambda n: (
        lambda net, x: getattr(F, f"conv{n}d")(
            x, net.weight.view(4, 4, *(1,) * (n - 1), 2), padding="same" if n == 1 else 1
        )
    ),
    "conv_transpose": lambda n: (
        lambda net, x: getattr(F, f"conv_transpose{n}d")(
            x, net.weight.view(4, 4, *(1,) * (n - 1), 2), stride=2
        )
    ),
    "batch_norm": lambda n: (
        lambda net, x: F.batch_norm(x, net.mean, net.variance, net.variance, net.mean)
    ),
}
ALIKE = [(f"a {name}", make) for name, make in MODULES.items()] + list(FUNCTIONS.items())


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("case", [name for name, _ in ALIKE])
def test_uniform_zero_is_gradient_times_input_through(case, n):
    net = between(n, dict(ALIKE)[case])
    assert_zero_rule_is_gradient_times_input(net, *batch(n))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_dense_layers_by_function(n):
    torch.manual_seed(0)
    net = between(n, lambda n: lambda net, x: F.linear(x.flatten(1)[:, :4], net.weight[:, :, 0]))
    assert_zero_rule_is_gradient_times_input(net, *batch(n))


LAYERS = {
    "convolution": lambda n: module("Conv{}d", n, 3, 4, 3, 2, 1),
    "grouped": lambda n: module("Conv{}d", n, 3, 6, 2, 1, 1, 2, 3),
    "transposed": lambda n: module("ConvTranspose{}d", n, 3, 4, 3, 2, 1, 1),
    "transposed, grouped": lambda n: module("ConvTranspose{}d", n, 3, 6, 2, groups=3, dilation=2),
}


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("case", LAYERS)
def test_push_and_pull_are_the_layers_matrix_and_its_transpose(case, n):
    layer, x = LAYERS[case](n).double(), batch(n)[0]
    weights = weights_of(layer)
    with torch.no_grad():
        bias = layer(torch.zeros_like(x[:1]))
        units = torch.eye(x[0].numel()).double().view(-1, *x.shape[1:])
        matrix = (layer(units) - bias).flatten(1)
        out = layer(x)
        s = torch.randn_like(out)
        pushed = weights.push(layer, x, layer.weight)
        pulled = weights.pull(layer, layer.weight, s, x.shape)
    torch.testing.assert_close(pushed.flatten(1), x.flatten(1) @ matrix, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(pulled.flatten(1), s.flatten(1) @ matrix.T, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (("gamma", {"gamma": 0.5}), zr.Gamma(0.5, stabilizer=1e-6)),
        (("z_plus", {}), zr.ZPlus(stabilizer=1e-6)),
        (("alpha_beta", {"alpha": 2.0}), zr.AlphaBeta(2.0, 1.0, stabilizer=1e-6)),
        (("w_square", {}), zr.WSquare(stabilizer=1e-6, zero_params=["bias"])),
    ],
)
def test_rules_are_zennits_in_every_dimension(n, ours, theirs):
    net = between(n, lambda n: nn.Sequential(MODULES["convolution"](n), nn.ReLU()))
    x, targets = batch(n)
    rule, settings = ours
    composite = LayerMapComposite([(ZennitLinear, theirs), (nn.ReLU, zr.Pass())])
    modular = nn.Sequential(net.conv, nn.ReLU(), *net.inner, nn.Flatten(), net.head)
    expected = explained_by_zennit(modular, x, targets, composite)
    found = explained(modular, x, targets, rule, stabilizer=1e-6, **settings)
    assert float((found.relevance - expected).abs().max() / expected.abs().max()) < 1e-9


@pytest.mark.parametrize("n", [1, 2, 3])
def test_z_box_and_the_transposed_rules_conserve(n):
    torch.manual_seed(0)
    transposed = module("ConvTranspose{}d", n, 4, 4, 2, 2, bias=False)
    net = nn.Sequential(
        module("Conv{}d", n, 3, 4, 3, bias=False), nn.ReLU(), transposed, nn.ReLU(),
        module("AdaptiveMaxPool{}d", n, 2), nn.Flatten(), nn.Linear(4 * 2**n, 5, bias=False),
    ).double().eval()  # fmt: skip
    x, targets = batch(n)
    zero = {"stabilizer": 0.0}
    rules = {
        "0": LayerRule("z_box", zero, "pixel"),
        "2": LayerRule("gamma", zero | {"gamma": 0.5}, "middle"),
        "6": LayerRule("zero", zero, "head"),
    }
    bounds = torch.full((3,), -9.0), torch.full((3,), 9.0)
    found = Engine(net, bounds).attribute(x, targets, rules)
    assert found.relevance.shape == x.shape
    torch.testing.assert_close(found.relevance.flatten(1).sum(1), found.score)


def _share_of_windows(x, relevance, pool):
    """R_j = Σ_k x_j / Σ_i x_i R_k, window by window, from which inputs each window reads."""
    units = torch.eye(x[0, 0].numel()).double().view(-1, 1, *x.shape[2:])
    reads = (pool(units).flatten(1) > 0).double()
    flat = x.flatten(2)
    return (flat * ((relevance.flatten(2) / (flat @ reads)) @ reads.T)).view_as(x)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("pool", ["max pool", "overlapping max pool", "adaptive max pool"])
def test_a_max_pool_may_share_by_the_windows_sum(pool, n):
    net = between(n, MODULES[pool])
    x, targets = batch(n)
    net.conv.bias.data.fill_(3)
    pools = [name for layer in list_layers(net) for name in layer.pools]
    summed = uniform(net, "zero", stabilizer=0.0) | dict.fromkeys(pools, LayerRule("sum"))
    found = Engine(net).attribute(x, targets, summed).relevance
    read = F.relu(net.conv(x))
    given = net.inner(read)
    arrives = given * net.head.weight[targets].view_as(given)
    shared = _share_of_windows(read, arrives, net.inner)
    leaf = x.clone().requires_grad_()
    torch.where(read > 0, net.conv(leaf) * shared / read, 0).sum().backward()
    torch.testing.assert_close(found, x * leaf.grad, rtol=1e-4, atol=1e-5)


NORMS = {
    "group norm": lambda n: nn.GroupNorm(2, 4),
    "instance norm": lambda n: module("InstanceNorm{}d", n, 4, affine=True),
    "F.group_norm": lambda n: lambda net, x: F.group_norm(x, 2),
    "F.instance_norm": lambda n: lambda net, x: F.instance_norm(x),
}


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("case", NORMS)
def test_relevance_passes_normalisations_unchanged(case, n):
    """And the ReLU before one: what it gives as 0 may be no 0 any more."""
    net = between(n, NORMS[case])
    x, targets = batch(n)
    z = net.conv(x)
    given = net.inner(F.relu(z))
    arrives = given * net.head.weight[targets].view_as(given)
    leaf = x.clone().requires_grad_()
    (net.conv(leaf) * (arrives / z).detach()).sum().backward()
    torch.testing.assert_close(explained(net, x, targets).relevance, x * leaf.grad)


def test_layers_by_function_are_named_by_their_weight_and_come_last():
    net = between(2, FUNCTIONS["conv"])
    layers = list_layers(net)
    assert [(layer.name, layer.kind, layer.depth) for layer in layers] == [
        ("conv", "Conv2d", 1),
        ("inner", "Function", 0),
        ("head", "Linear", 3),
        ("conv2d", "Conv2d", 2),
    ]
    assert [layer.dense for layer in layers] == [False, False, True, False]


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 3, 3, 3))
        self.body = nn.Conv2d(4, 5, 1)

    def forward(self, x):
        x = F.conv2d(x, self.kernel).relu()
        return F.conv2d(x, self.body.weight, self.body.bias).mean((2, 3))


def test_a_weight_of_a_known_layer_gives_its_name():
    torch.manual_seed(0)
    net = Own().double().eval()
    assert {layer.name: layer.depth for layer in list_layers(net)} == {"body": 2, "kernel": 1}
    assert_zero_rule_is_gradient_times_input(net, *batch(2))


def test_max_pools_are_told_with_the_layer_that_they_read():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(),
        nn.Linear(4, 5),
    ).eval()  # fmt: skip
    pools = {layer.name: layer.pools for layer in list_layers(net) if layer.weighted}
    assert pools == {"0": ("3",), "4": ("6",), "8": ()}


FLAT_POOLS = {
    "one dimension": lambda x: F.max_pool1d(x.flatten(1), 2),
    "two dimensions": lambda x: F.max_pool2d(x.sum(1), 2),
    "of the same size": lambda x: F.max_pool2d(x.sum(1), 3, 1, 1),
    "adaptive": lambda x: F.adaptive_max_pool2d(x.sum(1), 3),
}


@pytest.mark.parametrize("case", FLAT_POOLS)
def test_a_max_pool_may_read_maps_without_channels(case):
    """Once (N, H, W) was pooled back as lines, because of how many dimensions it has."""
    net = between(2, lambda n: lambda net, x: FLAT_POOLS[case](x))
    assert_zero_rule_is_gradient_times_input(net, *batch(2))


@pytest.mark.parametrize("pool", [nn.MaxPool2d(3, 2, 1), nn.AdaptiveMaxPool2d(3)])
def test_a_windows_sum_is_the_same_without_a_channel(pool):
    x, targets = batch(2)
    flat = between(2, lambda n: lambda net, x: F.relu(x.sum(1)))
    channel = between(2, lambda n: lambda net, x: F.relu(x.sum(1, keepdim=True)))
    found = []
    for net in (flat, channel):
        layers = nn.Sequential(net.conv, nn.ReLU(), net.inner, pool, nn.Flatten(), nn.LazyLinear(5))
        torch.manual_seed(0)
        layers.double().eval()(x)
        rules = uniform(layers, "zero") | {"3": LayerRule("sum")}
        found.append(Engine(layers).attribute(x, targets, rules).relevance)
    torch.testing.assert_close(*found)


def test_averages_are_explained_in_inference_mode():
    net = between(2, lambda n: nn.AvgPool2d(2))
    rules = uniform(net, "zero")
    expected = Engine(net).attribute(*batch(2), rules).relevance
    with torch.inference_mode():
        assert torch.equal(Engine(net).attribute(*batch(2), rules).relevance, expected)


class Halved(nn.Module):
    def forward(self, x):
        return x.sinh() / 2


def test_a_kind_of_layer_is_one_entry_from_outside():
    net = between(2, lambda n: Halved())
    x, targets = batch(2)
    with pytest.raises(InputError, match=r"sinh\(\) in forward\(\) of 'inner' of type Halved"):
        list_layers(net)
    toy = Operation(
        "toy", (Halved,), backward=lambda p: [Arriving(p.relevance * (p.given[0] > 0.5))]
    )
    with OPERATIONS.register(toy):
        assert {layer.name: layer.handling for layer in list_layers(net)}["inner"] == "toy"
        found = Engine(net).attribute(x, targets, uniform(net, "zero", stabilizer=0.0))
        with lrpsweep.register(Halved, "pass"):
            whole = Engine(net).attribute(x, targets, uniform(net, "zero", stabilizer=0.0))
    assert 0 < found.relevance.abs().sum() < whole.relevance.abs().sum()
    with pytest.raises(InputError, match="Halved"):
        list_layers(net)


def test_a_function_is_an_operation_from_outside_too():
    net = between(2, lambda n: lambda net, x: torch.sinh(x))
    toy = Operation("toy", calls=(torch.sinh,), backward=lambda p: [p.arriving], needs_values=False)
    with OPERATIONS.register(toy):
        found = Engine(net).attribute(*batch(2), uniform(net, "zero", stabilizer=0.0))
    assert found.relevance.abs().sum() > 0
