"""Every method gives relevance in the same form, and leaves the network alone."""

import copy

import pytest
import torch
from torch import nn

from lrpsweep.attribution import METHODS, Engine, LayerRule, Method
from lrpsweep.errors import InputError

RULES_OF = {"0": LayerRule("zero", {"stabilizer": 0.0}), "4": LayerRule("zero")}
SETTINGS = {"lrp": RULES_OF, "gradient_x_input": {}}


def network(*, bias=True):
    torch.manual_seed(0)
    return (
        nn.Sequential(
            *(nn.Conv2d(3, 4, 3, bias=bias), nn.ReLU(inplace=True), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(36, 3, bias=bias)),
        )
        .eval()
        .double()
    )


def batch():
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    return x, torch.tensor([0, 2])


def test_every_method_is_tested_here():
    assert set(SETTINGS) == set(METHODS)
    assert [name for name, method in METHODS.items() if method.exported] == ["lrp"]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_explains_the_score_and_leaves_network_and_images_alone(name):
    net, (x, targets) = network(), batch()
    state, images = copy.deepcopy(net.state_dict()), x.clone()
    found = METHODS[name].explain(Engine(net), x, targets, SETTINGS[name], None)
    assert found.relevance.shape == x.shape
    assert found.heatmaps.shape == (2, 8, 8)
    torch.testing.assert_close(found.score, net(x).gather(1, targets[:, None])[:, 0])
    total = found.relevance.sum((1, 2, 3)) + found.bias + found.stabilizer + found.unexplained
    torch.testing.assert_close(total, found.score)
    assert torch.equal(x, images)
    assert not found.relevance.requires_grad
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert all(torch.equal(state[key], value) for key, value in net.state_dict().items())


@pytest.mark.parametrize("name", METHODS)
def test_a_method_explains_in_inference_mode(name):
    """Once an error of autograd."""
    engine, explain = Engine(network()), METHODS[name].explain
    expected = explain(engine, *batch(), SETTINGS[name], None).relevance
    with torch.inference_mode():
        found = explain(engine, *batch(), SETTINGS[name], None).relevance
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", METHODS)
def test_several_targets_are_the_same_as_one_after_the_other(name):
    net, (x, _) = network(), batch()
    targets = torch.tensor([[0, 1, 1], [2, 2, 0]])
    explain, engine = METHODS[name].explain, Engine(net)
    found = explain(engine, x, targets, SETTINGS[name], None)
    assert found.relevance.shape == (2, 3, 3, 8, 8)
    assert found.heatmaps.shape == (2, 3, 8, 8)
    for column in range(3):
        alone = explain(engine, x, targets[:, column], SETTINGS[name], None)
        torch.testing.assert_close(found.relevance[:, column], alone.relevance)
        torch.testing.assert_close(found.unexplained[:, column], alone.unexplained)
        torch.testing.assert_close(found.heatmaps[:, column], alone.heatmaps)
        for group, balance in alone.blocks.items():
            torch.testing.assert_close(found.blocks[group].size[:, column], balance.size)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_refuses_what_the_network_cannot_take(name):
    explain, (x, _) = METHODS[name].explain, batch()
    with pytest.raises(InputError, match="no class 3"):
        explain(Engine(network()), x, torch.tensor([0, 3]), SETTINGS[name], None)
    with pytest.raises(InputError, match=r"images: found torch\.float32"):
        explain(Engine(network()), x.float(), torch.tensor([0, 1]), SETTINGS[name], None)


def test_gradient_x_input_is_the_gradient_times_the_input():
    net, (x, targets) = network(bias=False), batch()
    leaf = x.clone().requires_grad_()
    net(leaf.clone()).gather(1, targets[:, None]).sum().backward()
    found = METHODS["gradient_x_input"].explain(Engine(net), x, targets, {}, None)
    torch.testing.assert_close(found.relevance, leaf.grad * x, rtol=1e-12, atol=1e-14)
    assert float(found.unexplained.abs().max()) < 1e-12  # ReLUs without biases
    lrp = METHODS["lrp"].explain(Engine(net), x, targets, RULES_OF, None)
    torch.testing.assert_close(found.relevance, lrp.relevance, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("before", [False, True])
def test_nothing_is_computed_in_tf32(name, before, monkeypatch):
    """A GPU's convolutions would otherwise differ from merged ones by more than is allowed."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", before)
    found = []

    class Watched(nn.Sequential):
        def forward(self, x):
            found.append(torch.backends.cudnn.allow_tf32)
            return super().forward(x)

    engine, (x, targets) = Engine(Watched(*network()).eval()), batch()
    del found[:]
    METHODS[name].explain(engine, x, targets, SETTINGS[name], None)
    assert found == [False]
    assert torch.backends.cudnn.allow_tf32 == before


def test_a_method_of_ones_own_is_found_by_name():
    def occluded(engine, images, targets, settings, key):
        return METHODS["lrp"].explain(engine, images.clamp(min=0), targets, RULES_OF, key)

    net, (x, targets) = network(), batch()
    with METHODS.register(Method("own", "Own", occluded)):
        found = METHODS.find("own").explain(Engine(net), x, targets, {}, None)
        assert found.relevance.shape == x.shape
    with pytest.raises(InputError, match="found 'own'; expected one of lrp, gradient_x_input"):
        METHODS.find("own")
