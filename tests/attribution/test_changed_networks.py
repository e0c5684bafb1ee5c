"""A network that changes between explanations, or computes more than its trace shows."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lrpsweep.attribution import Engine, LayerRule, list_layers, register
from lrpsweep.errors import InputError


def normalised():
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()),
        *(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)),
    ).double()
    net(torch.randn(8, 3, 8, 8).double())
    return net.eval().requires_grad_(False)


def batch(count=3):
    x = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    return x, torch.arange(count) % 3


def zero(net):
    rule = LayerRule("zero", {"stabilizer": 0.0})
    return {layer.name: rule for layer in list_layers(net) if layer.weighted}


def scale_in_place(net):
    net[1].weight.mul_(2)


def scale_statistics(net):
    net[1].running_var.mul_(3)


def replace_parameter(net):
    net[1].weight = nn.Parameter(2 * net[1].weight)


def replace_module(net):
    net[2] = nn.LeakyReLU(0.5)


def load(net):
    net.load_state_dict({name: 1.5 * value for name, value in net.state_dict().items()})


def replace_data(net):
    net[0].weight.data = 2 * net[0].weight.data


@pytest.mark.parametrize(
    "change",
    [
        *(scale_in_place, scale_statistics, replace_parameter, replace_module),
        *(load, replace_data),
    ],
)
@pytest.mark.parametrize("key", [None, "batch"])
def test_a_changed_network_is_explained_as_it_is_now(change, key):
    """Once, merged batch norms kept the old weights: score 0.73, where the network said 1.51."""
    net, (x, targets) = normalised(), batch()
    engine = Engine(net, cache_bytes=10**8)
    before = engine.attribute(x, targets, zero(net), key)
    change(net)
    found = engine.attribute(x, targets, zero(net), key)
    expected = Engine(net).attribute(x, targets, zero(net))
    torch.testing.assert_close(found.score, net(x).gather(1, targets[:, None])[:, 0])
    assert torch.equal(found.relevance, expected.relevance)
    assert not torch.allclose(found.score, before.score)


def test_an_unchanged_network_is_not_read_again():
    net, (x, targets) = normalised(), batch()
    engine = Engine(net, cache_bytes=10**8)
    steps = engine.steps
    for _ in range(2):
        engine.attribute(x, targets, zero(net), key="a")
    assert engine.steps is steps
    assert engine.kept_bytes() > 0


def test_weights_written_past_torchs_count_are_an_error_until_forgotten():
    net, (x, targets) = normalised(), batch()
    engine = Engine(net)
    engine.attribute(x, targets, zero(net))
    net[1].weight.data.mul_(2)
    with pytest.raises(InputError, match=r"`\.data`, call `forget\(\)`"):
        engine.attribute(x, targets, zero(net))
    engine.forget()
    expected = Engine(net).attribute(x, targets, zero(net))
    assert torch.equal(engine.attribute(x, targets, zero(net)).relevance, expected.relevance)


def test_training_mode_is_refused_whenever_it_is_switched_on():
    net, (x, targets) = normalised(), batch()
    engine, rules = Engine(net, cache_bytes=10**8), zero(net)
    engine.attribute(x, targets, rules, key="a")
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(InputError, match="layer '1' of type BatchNorm2d is in training mode"):
        engine.attribute(x, targets, rules, key="a")
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    net.eval()
    engine.attribute(x, targets, rules, key="a")


@pytest.mark.parametrize("inner", ["", "3"])
@pytest.mark.parametrize("kind", ["register_forward_hook", "register_forward_pre_hook"])
def test_hooks_are_refused_wherever_and_whenever_they_are_hung(inner, kind):
    """A pre-hook on an inner layer passed the check once, and relevance was wrong by half."""
    net, (x, targets) = normalised(), batch()
    engine, rules = Engine(net), zero(net)
    engine.attribute(x, targets, rules)
    handle = getattr(net.get_submodule(inner), kind)(lambda *given: None)
    with pytest.raises(
        InputError, match="forward hooks on " + (f"'{inner}'" if inner else "the net")
    ):
        engine.attribute(x, targets, rules)
    handle.remove()
    engine.attribute(x, targets, rules)


class TwoNames(nn.Module):
    """Overwrites x under another name, which no trace shows."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 3, bias=False)

    def forward(self, x):
        F.relu_(x.view(-1))
        return self.head(x)


def test_all_images_of_every_new_batch_are_compared_with_the_network():
    """With a positive first image, the others' scores once were wrong without a word."""
    torch.manual_seed(0)
    net = TwoNames().eval()
    x, targets = torch.rand(3, 6), torch.tensor([0, 1, 2])
    engine = Engine(net)
    engine.attribute(x, targets, zero(net))
    negative = torch.cat((x[:1], -x[1:]))
    with pytest.raises(InputError, match=r"does more than can be traced.* in 2 of 3 images"):
        engine.attribute(negative, targets, zero(net))
    assert bool((negative[1:] < 0).all())  # the comparison has overwritten nothing


def test_a_batch_with_a_key_is_compared_once():
    net, (x, targets) = normalised(), batch()
    calls = []

    class Counted(nn.Sequential):
        def forward(self, x):
            calls.append(x)
            return super().forward(x)

    counted = Counted(*net).eval()
    engine = Engine(counted)  # nothing is kept
    del calls[:]
    rules = zero(net)
    for _ in range(3):
        engine.attribute(x, targets, rules, key="a")
    assert len(calls) == 1
    engine.attribute(x, targets, rules)
    assert len(calls) == 2


def test_an_image_without_any_score_is_no_difference():
    net, (x, targets) = normalised(), batch()
    net[6].bias.zero_()
    for layer in (net[0], net[3]):
        layer.bias.zero_()
    net[1].bias.zero_()
    net[1].running_mean.zero_()
    x[1] = 0
    found = Engine(net.float()).attribute(x.float(), targets, zero(net))
    assert float(found.score[1]) == 0


class Alternating(nn.Module):
    """One class less at every other call."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x[:, self.calls % 2 :]


def test_scores_of_another_shape_than_the_networks_are_refused():
    net = nn.Sequential(nn.Conv2d(3, 4, 8), nn.Flatten(), Alternating()).double().eval()
    with register(Alternating, lambda module, inputs, relevance: inputs[0]):
        engine = Engine(net)
        with pytest.raises(InputError, match=r"output is \(3, 3\), that of its .* \(3, 4\)\. Exp"):
            engine.attribute(*batch(), {"0": LayerRule("zero")})


def pooled():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 3))
    return net.double().eval()


def test_a_layer_whose_forward_is_replaced_is_refused():
    """Once the relevance still went to the largest values, and no sum told."""
    net = pooled()
    engine, rules = Engine(net), zero(net)
    engine.attribute(*batch(), rules)
    net[1].forward = lambda x: F.avg_pool2d(x, 2)
    with pytest.raises(InputError, match="layer '1' of type MaxPool2d"):
        engine.attribute(*batch(), rules)


class Averaging(nn.MaxPool2d):
    def forward(self, x):
        return F.avg_pool2d(x, 2)


def test_a_layer_of_another_type_is_explained_as_that():
    net = pooled()
    engine, rules = Engine(net), zero(net)
    engine.attribute(*batch(), rules)
    net[1].__class__ = Averaging
    found = engine.attribute(*batch(), rules).relevance
    assert torch.equal(found, Engine(net).attribute(*batch(), rules).relevance)


def test_another_way_to_convolve_is_no_convolution():
    net = normalised()
    net[0]._conv_forward = lambda x, weight, bias: F.conv2d(x, 2 * weight, bias)
    with pytest.raises(InputError, match="layer '0' of type Conv2d"):
        Engine(net)


class Absolute(nn.Module):
    def forward(self, x):
        return x.abs()


def test_an_engine_follows_what_is_registered_anew():
    """Once the first registration stayed for good."""
    net = nn.Sequential(nn.Conv2d(3, 4, 1), Absolute(), nn.Flatten(), nn.Linear(256, 3))
    net.double().eval()
    with register(Absolute, lambda module, inputs, relevance: relevance):
        engine, rules = Engine(net), zero(net)
        once = engine.attribute(*batch(), rules).relevance
    with register(Absolute, lambda module, inputs, relevance: 2 * relevance):
        torch.testing.assert_close(engine.attribute(*batch(), rules).relevance, 2 * once)
    with pytest.raises(InputError, match=r"abs\(\) in forward\(\) of '1'"):
        engine.attribute(*batch(), rules)


def interpolate(net):
    net[1].mode = "bilinear"


def shrink(net):
    net[2].eps = 0.5


@pytest.mark.parametrize("change", [interpolate, shrink])
def test_settings_that_change_are_followed(change):
    """Once values that are averaged were moved as if they were copies, or a copy was stale."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 4, 1), nn.Upsample(scale_factor=2), nn.BatchNorm2d(4), nn.Flatten())
    net = nn.Sequential(*layers, nn.Linear(1024, 3)).double().eval()
    engine, rules = Engine(net), zero(net)
    engine.attribute(*batch(), rules)
    change(net)
    found = engine.attribute(*batch(), rules).relevance
    assert torch.equal(found, Engine(net).attribute(*batch(), rules).relevance)
