"""What forward() does is followed rightly, or refused with advice that works."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parametrizations, parametrize, prune
from zero_rule import (
    assert_zero_rule_is_gradient_times_input,
    explained,
    gradient_times_input,
    uniform,
)

import lrpsweep
from lrpsweep.attribution import Engine, LayerRule, list_layers
from lrpsweep.attribution.lrp.balance import Arriving, Balance
from lrpsweep.attribution.lrp.forward import ForwardPass
from lrpsweep.attribution.lrp.operations.operation import Propagation
from lrpsweep.attribution.lrp.tracing import find_hooks, trace
from lrpsweep.errors import InputError


class Between(nn.Module):
    """A convolution, a function, and a dense layer on what that gives."""

    def __init__(self, function, features, **modules):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(features, 5)
        for name, module in modules.items():
            self.add_module(name, module)
        self.function = function

    def forward(self, x):
        return self.head(torch.flatten(self.function(self, F.relu(self.conv(x))), 1))


def between(function, features=256, **modules):
    return Between(function, features, **modules).double().eval()


def batch(n=2, size=8):
    x = torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(1)).double()
    return x, torch.arange(n) % 5


@pytest.mark.parametrize("attribute", ["mT", "mH"])
def test_a_transposed_map_is_no_size(attribute):
    """Once taken for a size: relevance then went as if nothing was transposed."""
    net = between(lambda net, x: getattr(x, attribute))
    assert_zero_rule_is_gradient_times_input(net, *batch())


@pytest.mark.parametrize("attribute", ["T", "H"])
def test_transposing_moves_images_to_features_and_is_refused(attribute):
    net = between(lambda net, x: getattr(torch.flatten(x, 1), attribute))
    with pytest.raises(InputError, match=r"gives \(256, 2\) for 2 images"):
        ForwardPass(trace(net), batch()[0], None)


def test_an_attribute_that_lrpsweep_does_not_know_is_refused():
    with pytest.raises(InputError, match=r"real\(\) in forward\(\) of Between \(reads 'relu'\)"):
        trace(between(lambda net, x: x.real))


def _twice(module, given, output):
    return output * 2


def test_a_hook_is_refused_wherever_it_hangs():
    """Once let pass: a step calls the module with its hook, but the rule did not know of it."""
    net = between(lambda net, x: net.inner(x), inner=nn.Sequential(nn.Conv2d(4, 4, 1)))
    for module, named in ((net.inner[0], "'inner.0'"), (net, "the network itself")):
        handle = module.register_forward_hook(_twice)
        with pytest.raises(InputError, match=rf"hooks on {named}.*change values.*handle.remove"):
            Engine(net)
        handle.remove()
    handle = net.inner.register_forward_pre_hook(lambda module, given: (given[0] * 2,))
    assert find_hooks(net) == ["'inner'"]
    handle.remove()
    handle = register_module_forward_hook(_twice)
    assert find_hooks(net) == ["every module"]
    handle.remove()
    assert find_hooks(net) == []
    assert_zero_rule_is_gradient_times_input(net, *batch())


class Scaled(nn.Module):
    """A layer of its own kind with a weight."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, x):
        return torch.sin(self.scale * x)


def test_a_layer_with_weights_is_not_passed_without_saying_so():
    net = between(lambda net, x: net.own(x), own=Scaled())
    with pytest.raises(InputError, match=r"sin\(\) in forward\(\) of 'own' of type Scaled"):
        trace(net)
    with (
        lrpsweep.register(Scaled, "pass"),
        pytest.raises(InputError, match=r"'own': Scaled is registered.*has weights.*loses_w"),
    ):
        trace(net)
    with lrpsweep.register(Scaled, "pass", loses_weights=True):
        found = explained(net, *batch())
    assert found.relevance.abs().max() > 0


@pytest.mark.parametrize("kind", [nn.Conv1d, nn.Conv2d, nn.ConvTranspose3d, nn.Linear])
def test_registering_a_layer_with_a_rule_as_pass_says_why_not(kind):
    with pytest.raises(InputError, match=f"'pass' for {kind.__name__}, which has weights"):
        lrpsweep.register(kind, "pass")


def test_a_registration_is_undone():
    net = between(lambda net, x: net.own(x), own=nn.Softmax2d())
    with lrpsweep.register(nn.Softmax2d, "pass"):
        trace(net)
    registration = lrpsweep.register(nn.Softmax2d, lambda module, inputs, relevance: relevance)
    with lrpsweep.register(nn.Softmax2d, lambda module, inputs, relevance: 0 * relevance):
        assert explained_size(net) == 0
    assert explained_size(net) > 0
    registration.undo()
    with pytest.raises(InputError, match=r"layer 'own' of type Softmax2d \(reads 'relu'\)"):
        trace(net)


class Projection(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("matrix", torch.randn(64, 64).double())

    def forward(self, x):
        return x @ self.matrix


def test_weights_in_a_buffer_are_weights():
    """Once the advice was to pass relevance by them, and it was followed without a word."""
    net = nn.Sequential(nn.Conv2d(3, 1, 1), nn.Flatten(), Projection(), nn.Linear(64, 5))
    net.double().eval()
    with pytest.raises(
        InputError, match=r"has weights.*register\(Projection, function\)"
    ) as refused:
        trace(net)
    assert '"pass"' not in str(refused.value)
    with lrpsweep.register(Projection, "pass"), pytest.raises(InputError, match="has weights"):
        trace(net)
    with lrpsweep.register(Projection, lambda module, inputs, relevance: relevance):
        assert trace(net)[2].kind == "Projection"


def explained_size(net):
    x, targets = batch()
    found = Engine(net).attribute(x, targets, uniform(net, "zero", stabilizer=0.0))
    return float(found.relevance.abs().sum())


ADVICE = {
    "a layer without weights": (
        nn.Softmax2d(),
        r'may pass.*lrpsweep\.register\(Softmax2d, "pass"\)',
    ),
    "a layer with weights": (
        nn.Bilinear(8, 8, 8),
        r"It has weights. Register a function.*lrpsweep\.register\(Bilinear, function\)",
    ),
    "a pool": (nn.LPPool2d(2, 2), r"It pools. Register a function.*register\(LPPool2d, function\)"),
}


@pytest.mark.parametrize("case", ADVICE)
def test_the_advice_is_right_for_the_layer(case):
    module, advice = ADVICE[case]
    inputs = (lambda x: (x, x)) if isinstance(module, nn.Bilinear) else (lambda x: (x,))
    with pytest.raises(InputError, match=advice):
        trace(between(lambda net, x: net.own(*inputs(x)), own=module))


class Softmax(nn.Module):
    def forward(self, x):
        return torch.softmax(x, 1)


def test_the_advice_for_a_function_in_the_networks_own_forward_works():
    with pytest.raises(InputError, match=r"softmax\(\) in forward\(\) of Between.*of its own"):
        trace(between(lambda net, x: torch.softmax(x, 1)))
    with lrpsweep.register(Softmax, "pass"):
        assert explained_size(between(lambda net, x: net.own(x), own=Softmax())) > 0


WORKING = {
    "chunks joined": lambda net, x: torch.cat(x.chunk(2, 1), 1),
    "chunks by comprehension": lambda net, x: torch.cat([2 * part for part in x.chunk(2, 1)], 1),
    "pooled over everything": lambda net, x: F.max_pool2d(x, x.shape[2:]).expand(-1, 4, 8, 8),
    "pooled by a size": lambda net, x: F.max_pool2d(x, x.shape[2] // 4, 1, 1)[:, :, 1:, 1:],
    "stacked": lambda net, x: torch.stack((x, 2 * x), 2).sum(2),
    "scaled by a size": lambda net, x: (x.shape[1] * x + x.size(2)) / x.shape[3] ** 0.5,
    "weights made of others": lambda net, x: F.conv2d(
        x, (net.other.weight - net.other.weight.mean((1, 2, 3), keepdim=True)) / 3, padding=1
    ),
    "resized by numbers": lambda net, x: F.interpolate(
        x, size=2 * int(x.shape[2]), mode="bilinear"
    ),
    "a layer by keyword": lambda net, x: net.other(input=x),
    "a test of sizes": lambda net, x: net.other(x) if x.shape[2] > 4 else x,
    "a test of the number of dimensions": lambda net, x: net.other(x) if x.dim() == 4 else x,
    "the number of dimensions": lambda net, x: x.mT if len(x.shape) == 4 else x,
    "a loop over a size": lambda net, x: sum(
        x[:, i : i + 1] for i in range(int(x.shape[1]))
    ).expand(-1, 4, -1, -1),
}


@pytest.mark.parametrize("case", WORKING)
def test_forward_may_ask_for_sizes(case):
    net = between(WORKING[case], other=nn.Conv2d(4, 4, 3, padding=1))
    net.head = nn.LazyLinear(5).double()
    x, targets = batch()
    net(x)
    assert_zero_rule_is_gradient_times_input(net.eval(), x, targets)


CHOSEN = {
    "permuted": (lambda net, x: x[:, net.index], torch.tensor([3, 1, 0])),
    "some": (lambda net, x: x[:, net.index], torch.tensor([1, 2])),
    "one": (lambda net, x: x[:, net.index], torch.tensor(2)),
    "masked": (lambda net, x: x[:, net.index], torch.tensor([True, False, True, True])),
    "narrowed": (lambda net, x: x.narrow(1, net.index, 2), torch.tensor(2)),
    "computed": (lambda net, x: x[:, x.mean((0, 2, 3)).argmax()], torch.tensor(0)),
    "each image's own": (lambda net, x: x[net.index, x.mean((2, 3)).argmax(1)], torch.arange(2)),
}


@pytest.mark.parametrize("case", CHOSEN)
def test_channels_that_a_tensor_chooses_get_their_relevance(case):
    """Once it all went to channel 0, or the backward pass failed: an index was read as zeros."""
    function, index = CHOSEN[case]
    net = between(function)
    net.register_buffer("index", index)
    net.head = nn.LazyLinear(5).double()
    x, targets = batch()
    net(x)
    assert_zero_rule_is_gradient_times_input(net, x, targets)


def test_weights_that_the_images_choose_are_refused():
    net = between(lambda net, x: F.conv2d(x, net.other.weight[x.sum().long() % 4, None]))
    net.other = nn.Conv2d(4, 4, 1).double()
    with pytest.raises(InputError, match=r"conv2d\(\) in forward"):
        trace(net)


def test_shapes_that_do_not_fit_are_not_logged(caplog, capfd):
    net = between(lambda net, x: x if x.shape[2] > 4 else 2 * x)
    assert "mul" not in [step.name for step in trace(net)]
    assert caplog.text + capfd.readouterr().err == ""


class Asserting(nn.Sequential):
    def forward(self, x):
        assert x.shape[1] == 3
        assert x.ndim == 4, f"found {x.shape}"
        if x.shape[-1] > 20:
            x = F.avg_pool2d(x, 2)
        return super().forward(x)


def asserting():
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    return Asserting(*layers).double().eval()


def test_the_branch_is_that_of_the_example():
    net = asserting()
    for (x, _), pools in ((batch(size=16), 0), (batch(size=32), 1)):
        assert [step.name for step in trace(net, x)].count("avg_pool2d") == pools


def test_a_number_of_images_in_forward_is_that_of_the_batch_at_hand():
    net = between(lambda net, x: x.view(len(x), -1))
    zero = uniform(net, "zero", stabilizer=0.0)
    engine = Engine(net)
    for count in (3, 1):
        x, targets = batch(count)
        found = engine.attribute(x, targets, zero).relevance
        torch.testing.assert_close(found, gradient_times_input(net, x, targets))


def test_what_is_kept_of_a_batch_stays_when_another_shape_is_traced():
    net = between(lambda net, x: x.view(len(x), -1))
    zero = uniform(net, "zero", stabilizer=0.0)
    engine = Engine(net, cache_bytes=10**8)
    kept = []
    for count in (3, 1, 3, 1):
        x, targets = batch(count)
        found = engine.attribute(x, targets, zero, key=count).relevance
        torch.testing.assert_close(found, gradient_times_input(net, x, targets))
        kept.append(engine.kept_bytes())
    assert 0 < kept[0] < kept[1] <= kept[2] <= kept[3]


def test_images_of_another_shape_have_the_network_traced_anew():
    net, zero = asserting(), uniform(asserting(), "zero", stabilizer=0.0)
    explainer = Engine(net)
    for x, targets in (batch(size=16), batch(size=32), batch(size=16)):
        expected = net(x).gather(1, targets[:, None])[:, 0]
        torch.testing.assert_close(explainer.attribute(x, targets, zero).score, expected)


def test_a_test_of_sizes_does_not_keep_a_batch_norm_from_merging():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), Sized(), nn.BatchNorm2d(4), nn.Flatten())
    net = nn.Sequential(net, nn.Linear(256, 5)).double().eval()
    handling = {layer.name: layer.handling for layer in list_layers(net)}
    assert handling["0.2"] == "merged into 0.0"


class Sized(nn.Module):
    def forward(self, x):
        assert x.shape[1] == 4
        return x


UNUSUAL = {
    "the number of dimensions": lambda net, x: x if x.dim() == 4 else x / 0,
    "the channels": lambda net, x: x if x.shape[1] == 4 else x / 0,
    "the device": lambda net, x: x if not x.is_cuda else x / 0,
    "a size, which refuses others": lambda net, x: x if x.shape[2] == 20 else x.sinh(),
}


@pytest.mark.parametrize("case", UNUSUAL)
def test_a_network_that_tests_sizes_may_be_made_for_any_size(case):
    """Once traced for usual sizes alone, before any image was there."""
    net = between(UNUSUAL[case], 1600)
    x, targets = batch(size=20)
    explainer = lrpsweep.Explainer(net)
    with pytest.raises(InputError, match="without images: give some"):
        _ = explainer.layers
    zero = {"rule": "zero", "stabilizer": 0}
    for _ in range(2):
        found = explainer(x, targets, {"Conv2d": zero, "Linear": zero}).relevance
        torch.testing.assert_close(found, gradient_times_input(net, x, targets))
        assert [layer.name for layer in explainer.layers] == ["conv", "head"]
        net.requires_grad_(False).head.weight.mul_(2)
        net.requires_grad_(True)


def test_a_branch_that_values_decide_is_refused():
    with pytest.raises(InputError, match=r"cannot be traced: 'gt' depends on the images' values"):
        trace(between(lambda net, x: x if x.sum() > 0 else 2 * x))


class Returning(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.conv, self.change = nn.Conv2d(3, 4, 8), change

    def forward(self, x):
        return self.change(self.conv(x))


OUTPUTS = {
    "(N, K, 1, 1)": (lambda x: x, r"gives \(2, 4, 1, 1\) for 2 images; .*nn\.Flatten"),
    "(N, K, H, W)": (lambda x: x.expand(-1, -1, 2, 3), r"gives \(2, 4, 2, 3\) .*\(N, classes\)$"),
    "(N,)": (lambda x: x.flatten(1)[:, 0], r"gives \(2,\) for 2 images; expected class scores"),
    "a dict": (lambda x: {"scores": x.flatten(1)}, "returns a dict of 'scores'; .*alone"),
    "a tuple": (lambda x: (x.flatten(1), x), "returns a tuple of 2; expected one tensor"),
    "a list": (lambda x: [x.flatten(1)], "returns a list of 1"),
    "a number": (lambda x: 3, "returns 3"),
    "sizes": (lambda x: x.shape, "returns getattr"),
    "parts": (lambda x: x.flatten(1).chunk(2, 1), "returns chunk"),
}


@pytest.mark.parametrize("case", OUTPUTS)
def test_an_output_that_is_no_scores_is_refused(case):
    change, message = OUTPUTS[case]
    x, targets = batch()
    net = Returning(change).double().eval()
    with pytest.raises(InputError, match=message):
        Engine(net).attribute(x, targets, uniform(net, "zero", stabilizer=0.0))


def test_the_advice_for_scores_with_places_works():
    net = nn.Sequential(Returning(lambda x: x), nn.Flatten()).double().eval()
    assert_zero_rule_is_gradient_times_input(net, *batch())


@pytest.mark.parametrize(
    "net", [nn.Flatten(), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())]
)
def test_a_network_without_weights_is_refused(net):
    with pytest.raises(InputError, match="no layer with weights"):
        list_layers(net)


class Doubled(nn.Conv2d):
    """A subclass with the same forward()."""


class ByFunction(nn.Conv2d):
    """A subclass that says the same again."""

    def forward(self, x):
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation)


@pytest.mark.parametrize("kind", [Doubled, ByFunction])
def test_a_subclass_of_a_convolution_has_its_rule(kind):
    net = between(lambda net, x: net.other(x), other=kind(4, 4, 3, padding=1))
    assert_zero_rule_is_gradient_times_input(net, *batch())
    layer = {layer.name: layer for layer in list_layers(net)}["other"]
    assert (layer.depth, layer.handling, layer.dense) == (2, "weighted", False)


def test_a_network_in_data_parallel_is_unwrapped():
    net = between(lambda net, x: x)
    x, targets = batch()
    found = explained(nn.DataParallel(net), x, targets).relevance
    torch.testing.assert_close(found, gradient_times_input(net, x, targets))
    assert list_layers(nn.DataParallel(net)) == list_layers(net)


def _old_weight_norm(module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(module)


class Positive(nn.Module):
    def forward(self, x):
        return F.softplus(x)


def _own(module):
    parametrize.register_parametrization(module, "weight", Positive())
    return module


COMPUTED = {
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "old weight norm": _old_weight_norm,
    "old spectral norm": nn.utils.spectral_norm,
    "pruned": lambda module: prune.l1_unstructured(module, "weight", 0.5),
    "a parametrization of one's own": _own,
}


@pytest.mark.parametrize("case", COMPUTED)
@pytest.mark.parametrize("kind", ["conv", "dense", "transposed"])
def test_computed_weights_are_folded_in(case, kind):
    other, features = {
        "conv": (nn.Conv2d(4, 4, 3, padding=1), 256),
        "dense": (nn.Linear(8, 6), 192),
        "transposed": (nn.ConvTranspose2d(4, 2, 2, 2), 512),
    }[kind]
    net = between(lambda net, x: net.other(x), features, other=COMPUTED[case](other))
    x, targets = batch()
    net(x)
    before = copy.deepcopy(net.state_dict())
    assert_zero_rule_is_gradient_times_input(net, x, targets)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    layers = {layer.name: layer for layer in list_layers(net)}
    assert set(layers) == {"conv", "head", "other"}
    assert layers["other"].kind == type_of(other)
    expected = explained(plain(net, x), x, targets, "gamma", gamma=0.5).relevance
    torch.testing.assert_close(explained(net, x, targets, "gamma", gamma=0.5).relevance, expected)


def type_of(module):
    return parametrize.type_before_parametrizations(module).__name__


def plain(net, x):
    """The same network with weights as they are, put there by hand."""
    weight, bias = net.other.weight.detach(), net.other.bias.detach()
    kind = {"Conv2d": (4, 4, 3, 1, 1), "Linear": (8, 6), "ConvTranspose2d": (4, 2, 2, 2)}
    name = type_of(net.other)
    other = getattr(nn, name)(*kind[name]).double()
    other.weight.data, other.bias.data = weight, bias
    found = between(net.function, net.head.in_features, other=other)
    found.conv, found.head = net.conv, net.head
    torch.testing.assert_close(found(x), net(x))
    return found


def test_a_batch_norm_merges_with_a_weight_norm():
    torch.manual_seed(0)
    conv = parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    net = nn.Sequential(conv, nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    nn.init.normal_(net[1].running_mean)
    nn.init.normal_(net[1].weight)
    assert_zero_rule_is_gradient_times_input(net.double().eval(), *batch())
    assert list_layers(net)[1].handling == "merged into 0"


@pytest.mark.parametrize("channels", [6, 8])
@pytest.mark.parametrize("norm_first", [False, True])
def test_a_batch_norm_of_tokens_has_its_channels_at_dimension_1(channels, norm_first):
    """(N, T, C): torch normalises T. Once merged into the dense layer where T was C."""
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(4)
    nn.init.normal_(norm.running_mean)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    nn.init.normal_(norm.weight)
    dense = nn.Linear(64, 4 if channels == 6 else 8)
    inner = (norm, nn.Linear(64, 4)) if norm_first else (dense, norm)
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(2), *inner, nn.Flatten(), nn.LazyLinear(5))
    net(torch.zeros(2, 3, 8, 8))
    assert_zero_rule_is_gradient_times_input(net.double().eval(), *batch())


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_batch_norm_of_as_many_tokens_as_features_stays(norm_first):
    """Once merged, and the network then refused, where no image has a usual shape."""
    torch.manual_seed(0)
    norm, dense = nn.BatchNorm1d(6), nn.Linear(6, 6)
    nn.init.normal_(norm.running_mean)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    layers = (norm, dense) if norm_first else (dense, norm)
    net = nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)).double().eval()
    x, targets = torch.randn(4, 6, 6).double(), torch.tensor([0, 1, 2, 1])
    assert_zero_rule_is_gradient_times_input(net, x, targets)


PADDED = {
    "same": {"kernel_size": 3, "padding": "same"},
    "same, even": {"kernel_size": (2, 4), "padding": "same"},
    "same, dilated": {"kernel_size": 4, "padding": "same", "dilation": (2, 1)},
    "valid": {"kernel_size": 3, "padding": "valid"},
    "reflect": {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
    "replicate": {"kernel_size": 3, "padding": (2, 1), "padding_mode": "replicate", "stride": 2},
    "circular": {"kernel_size": 3, "padding": 1, "padding_mode": "circular", "groups": 2},
    "reflect, same": {"kernel_size": (4, 3), "padding": "same", "padding_mode": "reflect"},
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("case", PADDED)
def test_a_convolution_may_pad_as_torch_does(case):
    net = between(lambda net, x: net.other(x), other=nn.Conv2d(4, 4, **PADDED[case]))
    net.head = nn.LazyLinear(5).double()
    x, targets = batch()
    net(x)
    assert_zero_rule_is_gradient_times_input(net.eval(), x, targets)
    flat = explained(net, x, targets, "flat")
    assert flat.relevance.abs().max() > 0


def test_same_and_numbers_are_one_for_every_rule():
    torch.manual_seed(0)
    x, targets = batch()
    word, numbers = (nn.Conv2d(4, 4, 5, padding=p) for p in ("same", 2))
    numbers.load_state_dict(word.state_dict())
    one, other = (between(lambda net, x: net.other(x), other=m) for m in (word, numbers))
    for rule, settings in (("flat", {}), ("z_plus", {}), ("gamma", {"gamma": 0.5})):
        found = explained(one, x, targets, rule, **settings).relevance
        assert torch.equal(found, explained(other, x, targets, rule, **settings).relevance)


def test_what_reads_the_images_knows_their_bounds_through_padding():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), nn.ReLU(), nn.Flatten(),
        nn.Linear(256, 5),
    ).double().eval()  # fmt: skip
    x, targets = batch()
    bounds = torch.full((3,), -9.0), torch.full((3,), 9.0)
    zero = {"stabilizer": 0.0}
    boxed = {"0": LayerRule("z_box", zero, "pixel"), "3": LayerRule("zero", zero, "head")}
    found = Engine(net, bounds).attribute(x, targets, boxed)
    padded = F.pad(x, (1, 1, 1, 1), "reflect")
    outside = nn.Sequential(nn.Conv2d(3, 4, 3), *net[1:]).double().eval()
    outside[0].load_state_dict(net[0].state_dict())
    there = Engine(outside, bounds).attribute(padded, targets, boxed).relevance
    leaf = x.clone().requires_grad_()
    F.pad(leaf, (1, 1, 1, 1), "reflect").backward(there)
    torch.testing.assert_close(found.relevance, leaf.grad)


MIXED = {
    "flipped": lambda x: x.flip(0),
    "rolled": lambda x: torch.roll(x, 1, 0),
    "transposed": lambda x: x.transpose(0, 1),
    "reshaped": lambda x: x.transpose(0, 1).reshape(4, 4, 8, 8).flip(1),
    "T": lambda x: x[:, :, 0, 0].T,
}


def sent_back(net, x, name):
    """Relevance through one step, as it is sent when nothing else was wrong."""
    steps = trace(net)
    forward = ForwardPass(steps, x, None)
    place = next(i for i, step in enumerate(steps) if step.name == name)
    arriving = Arriving(torch.ones_like(steps[place].run(*forward.given[place])))
    propagation = Propagation(forward, place, arriving, Balance.empty(len(x), x), 0.0)
    return steps[place].operation.backward(propagation)


@pytest.mark.parametrize("case", MIXED)
def test_images_that_change_places_are_refused_even_if_their_number_stays(case):
    """A batch of as many images as there are channels: the scores are the network's own."""
    net = between(lambda net, x: MIXED[case](x), 4 if case == "T" else 256)
    x, _ = batch(4)
    name = {"flipped": "flip", "rolled": "roll", "T": "getattr_1"}.get(case, "transpose")
    with pytest.raises(InputError, match=f"'{name}' moves values of one image to another"):
        sent_back(net, x, name)


def test_a_sum_over_images_is_refused_even_if_their_number_stays():
    net = between(lambda net, x: x.flatten(2).mT[:, :4].sum(-3), 4)
    net(x := batch(4)[0])
    with pytest.raises(InputError, match=r"'sum_1' takes images together: dimensions \[-3\]"):
        sent_back(net, x, "sum_1")
