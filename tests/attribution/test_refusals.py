"""What the engine is given and cannot use: an InputError that says what is wrong, and where."""

import pytest
import torch
from torch import nn

from lrpsweep.attribution import RULES, Engine, LayerRule, Rule
from lrpsweep.errors import InputError


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3))
    ).eval()


X, TARGETS = torch.rand(2, 3, 8, 8), torch.tensor([0, 2])
ZERO = LayerRule("zero")


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (LayerRule("gamma", {"gamma": -0.1}), r"gamma: found -0\.1; expected a number of at least"),
        (LayerRule("gamma", {"gamma": float("nan")}), "gamma: found nan; expected a number"),
        (LayerRule("gamma", {"gamma": -float("inf")}), "gamma: found -inf; expected a number"),
        (LayerRule("gamma", {"gamma": "0.1"}), "gamma: found '0.1'; expected a number"),
        (LayerRule("gamma", {"gamma": 10**400}), "gamma: found 10+; expected a number"),
        (LayerRule("gamma"), "gamma: missing; expected a number"),
        (LayerRule("epsilon", {"epsilon": -1e-3}), "epsilon: found -0.001; expected a number"),
        (LayerRule("epsilon", {"epsilon": float("inf")}), "epsilon: found inf; expected a number"),
        (LayerRule("zero", {"stabilizer": -1.0}), "stabilizer: found -1.0; expected a number"),
        (LayerRule("alpha_beta", {"alpha": 0.5}), "alpha: found 0.5; expected a number of at leas"),
        (
            LayerRule("epsilon", {"epsilon": 0.1, "form": "root"}),
            "form: found 'root'; expected one",
        ),
        (LayerRule("gamma", {"gamma": 1, "bias": "keep"}), "bias: found 'keep'.*mean 'kept'"),
        (LayerRule("zero", {"stabilise": 0.1}), "stabilise: the rule zero has no such setting"),
        (LayerRule("zero", {"gamma": 0.1}), "gamma: the rule zero has no such setting"),
        (LayerRule("Epsilon", {"epsilon": 0.1}), r"rule: found 'Epsilon'.*Did you mean 'epsilon'"),
        (LayerRule("winner"), "rule: winner on '0', which is of kind weighted; expected one of ze"),
        (LayerRule("pass"), "rule: pass on '0', whose output has another shape"),
        (LayerRule("z_box"), r"rule: z_box on '0' needs .* Explainer\(net, bounds=\(low, high\)\)"),
        (
            LayerRule("z_box", {"bounds": ((0.0,), (1.0, -1.0, 1.0))}),
            "low: found low .* expected each low one below",
        ),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_its_place(net, rule, said):
    with pytest.raises(InputError, match=rf"composite\.0\.{said}"):
        Engine(net).check({"0": rule, "4": ZERO})


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"0": ZERO}, "layer '4' is in no block"),
        ({"0": ZERO, "4": ZERO, "head": ZERO}, "no layer 'head' takes a rule"),
        ({"0": ZERO, "4": ZERO, "1": ZERO}, "no layer '1' takes a rule"),
        ({"0": ZERO, "4": ZERO, "2": ZERO}, "zero on '2', which is of kind max_pool.*winner, sum"),
        ({"0": ZERO, "4": LayerRule("zro", group="head")}, r"composite\.head\.rule: found 'zro'"),
    ],
)
def test_rules_are_for_the_layers_that_take_them(net, rules, said):
    with pytest.raises(InputError, match=said):
        Engine(net).check(rules)


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (torch.tensor([0, 3]), "the model has no class 3; expected 0 to 2"),
        (torch.tensor([0, -1]), "the model has no class -1; expected 0 to 2"),
        (torch.tensor([0]), r"targets: found torch.int64 of shape \(1,\); expected .* \(2,\)"),
        (torch.tensor([[0, 1, 2]]), r"targets: found torch.int64 of shape \(1, 3\)"),
        (torch.zeros(2, 0).long(), r"targets: found torch.int64 of shape \(2, 0\)"),
        (torch.tensor([0.0, 1.0]), r"targets: found torch.float32"),
        (torch.tensor([True, False]), r"targets: found torch.bool"),
        ([0, 1], r"targets: found \[0, 1\]; expected a tensor of whole numbers"),
    ],
)
def test_targets_that_are_no_classes_are_refused(net, targets, said):
    with pytest.raises(InputError, match=said):
        Engine(net).attribute(X, targets, {"0": ZERO, "4": ZERO})


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8])
def test_targets_may_be_any_whole_numbers(net, dtype):
    rules = {"0": ZERO, "4": ZERO}
    expected = Engine(net).attribute(X, TARGETS, rules).relevance
    assert torch.equal(Engine(net).attribute(X, TARGETS.to(dtype), rules).relevance, expected)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (
            X.double(),
            "found torch.float64 on cpu; expected what the network's weights are, torch.f",
        ),
        ((255 * X).byte(), "found torch.uint8 on cpu"),
        (X[:0], r"found \(0, 3, 8, 8\); expected a tensor"),
        (X[:, :1], r"fails on images of shape \(2, 1, 8, 8\)"),
        (X[..., :6], r"fails on images of shape \(2, 3, 8, 6\)"),
        (X.numpy(), "found ndarray; expected a tensor"),
    ],
)
def test_images_that_the_network_does_not_take_are_refused(net, images, said):
    with pytest.raises(InputError, match=f"images: .*{said}"):
        Engine(net).attribute(images, TARGETS, {"0": ZERO, "4": ZERO})


def test_a_network_that_gives_maps_is_refused():
    net = nn.Sequential(nn.Conv2d(3, 4, 1)).eval()
    with pytest.raises(InputError, match=r"Sequential.*\(2, 4, 8, 8\)"):
        Engine(net).attribute(X, TARGETS, {"0": ZERO})


def test_settings_that_are_not_given_have_their_defaults(net):
    short = {"0": LayerRule("gamma", {"gamma": 1}), "4": LayerRule("epsilon", {"epsilon": 0.1})}
    long = {
        "0": LayerRule(
            "gamma", {"gamma": 1.0, "stabilizer": 1e-6, "bias": "scaled", "stabilize": "signed"}
        ),
        "4": LayerRule("epsilon", {"epsilon": 0.1, "stabilizer": 1e-6, "form": "signed"}),
        "2": LayerRule("winner"),
    }
    engine = Engine(net)
    found, expected = (engine.attribute(X, TARGETS, rules).relevance for rules in (short, long))
    assert torch.equal(found, expected)


def test_no_stabilizer_is_a_stabilizer_of_zero(net):
    engine = Engine(net)
    none = {"0": LayerRule("zero", {"stabilize": "none"}), "4": ZERO}
    zero = {"0": LayerRule("zero", {"stabilizer": 0.0}), "4": ZERO}
    found, expected = (engine.attribute(X, TARGETS, rules).relevance for rules in (none, zero))
    assert torch.equal(found, expected)


@pytest.mark.parametrize("net", [nn.Identity(), None, nn.Linear, lambda x: x])
def test_what_is_no_network_with_weights_is_refused(net):
    with pytest.raises(InputError, match=r"net: found|no layer with weights"):
        Engine(net)


class NoClass(nn.Module):
    def forward(self, x):
        return x[:, :0]


def test_a_network_without_classes_is_refused(net):
    net = nn.Sequential(*net, NoClass())
    with pytest.raises(InputError, match=r"gives \(2, 0\).*expected class scores"):
        Engine(net).attribute(X, TARGETS, {"0": ZERO, "4": ZERO})


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ((torch.ones(3), torch.zeros(3)), "each low one below its high one"),
        ((torch.full((3,), torch.nan), torch.ones(3)), "each low one below its high one"),
        ((torch.zeros(2), torch.ones(3)), "as many of both"),
        ((torch.zeros(2), torch.ones(2)), "one for each channel of the images"),
        ((0.0, 1.0), "two tensors"),
        ("x", "two tensors"),
    ],
)
def test_bounds_of_pixels_are_checked(net, bounds, said):
    with pytest.raises(InputError, match=f"bounds: .*{said}"):
        Engine(net, bounds).attribute(X, TARGETS, {"0": LayerRule("z_box"), "4": ZERO})


WRONG = {
    "a number per image": lambda r: r.sum((1, 2, 3)),
    "a shape that broadcasts": lambda r: r.sum((1, 2, 3), keepdim=True),
    "nothing": lambda r: None,
}


@pytest.mark.parametrize("case", WRONG)
def test_a_rule_from_outside_has_to_give_the_shape_of_the_input(net, case):
    """Once what it gave was the explanation's relevance."""
    toy = Rule("toy", lambda record, arriving, balance: WRONG[case](arriving.relevance), "a toy")
    with RULES.register(toy), pytest.raises(InputError, match=r"'0': the rule toy gives"):
        Engine(net).attribute(X, TARGETS, {"0": LayerRule("toy"), "4": ZERO})


def test_a_rule_for_max_pools_has_to_give_the_shape_of_the_input(net):
    toy = Rule("toy", lambda propagation: [propagation.arriving], "a toy", on="max_pool")
    with RULES.register(toy), pytest.raises(InputError, match=r"'2': the rule toy gives"):
        Engine(net).attribute(X, TARGETS, {"0": ZERO, "2": LayerRule("toy"), "4": ZERO})
