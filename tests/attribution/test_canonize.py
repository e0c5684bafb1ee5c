"""Batch norms go into a neighbouring layer where that changes nothing, in copies."""

import copy

import pytest
import torch
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from lrpsweep.attribution import Engine, list_layers
from lrpsweep.attribution.lrp.canonize import canonize
from lrpsweep.attribution.lrp.graph import run
from lrpsweep.attribution.lrp.tracing import trace
from lrpsweep.composites import Block, Composite
from lrpsweep.errors import InputError


def randomised(net: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | FrozenBatchNorm2d):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
            if module.weight is not None:
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
    return net.double().eval()


class Joined(nn.Module):
    """norm reads a concatenation of a, b; `again` lets something else read b as well."""

    def __init__(self, again: bool):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 4, 1, bias=False)
        self.norm, self.head = nn.BatchNorm2d(6), nn.Linear(6 if not again else 10, 5)
        self.again = again

    def forward(self, x):
        a, b = self.a(x), self.b(x)
        y = torch.relu(self.norm(torch.cat((a, b), 1)))
        if self.again:
            y = torch.cat((y, b), 1)
        return self.head(y.mean((2, 3)))


def dense_end(features: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, 5)]


CASES = {
    "into the convolution before": (
        nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), *dense_end(4)),
        {"1": "merged into 0"},
    ),
    "into a grouped, strided, dilated one": (
        nn.Sequential(
            nn.Conv2d(3, 6, 3, 2, 1, 2, 3), nn.BatchNorm2d(6, affine=False), *dense_end(6)
        ),
        {"1": "merged into 0"},
    ),
    "frozen": (
        nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), FrozenBatchNorm2d(4), *dense_end(4)),
        {"1": "merged into 0"},
    ),
    "two in a row, with nothing in between": (
        nn.Sequential(
            nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(), nn.BatchNorm2d(4), *dense_end(4)
        ),
        {"1": "merged into 0", "2": "", "3": "merged into 0"},
    ),
    "into the dense layer before": (
        nn.Sequential(nn.Flatten(), nn.Linear(192, 7), nn.BatchNorm1d(7), nn.Linear(7, 5)),
        {"2": "merged into 1"},
    ),
    "into the dense layer after": (
        nn.Sequential(
            nn.Flatten(), nn.Linear(192, 7), nn.ReLU(), nn.BatchNorm1d(7), nn.Linear(7, 5)
        ),
        {"3": "merged into 4"},
    ),
    "into the grouped convolution after": (
        nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3), nn.Conv2d(3, 6, 3, 2, groups=3), *dense_end(6)),
        {"1": "merged into 2"},
    ),
    "not across zero padding": (
        nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3), nn.Conv2d(3, 6, 3, 1, 1), *dense_end(6)),
        {"1": "affine"},
    ),
    "not across an activation": (
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4), *dense_end(4)),
        {"2": "affine"},
    ),
    "across a concatenation": (
        Joined(again=False),
        {"norm": "merged into b"},  # and into a: the table names the last
    ),
    "not if something else reads a part": (Joined(again=True), {"norm": "affine"}),
}


@pytest.mark.parametrize("case", CASES)
def test_merging_changes_neither_output_nor_the_users_network(case):
    net, expected = CASES[case]
    net = randomised(net)
    before, x = copy.deepcopy(net.state_dict()), torch.randn(2, 3, 8, 8).double()
    steps = canonize(trace(net))
    torch.testing.assert_close(run(steps, x)[-1], net(x), rtol=1e-12, atol=1e-12)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    handling = {layer.name: layer.handling for layer in list_layers(net)}
    assert {name: handling[name] for name in expected} == expected
    assert not any(layer.weighted for layer in list_layers(net) if "Norm" in layer.kind)


def test_both_parts_of_a_concatenation_take_the_batch_norm_in():
    steps = {step.name: step for step in canonize(trace(randomised(Joined(again=False))))}
    assert steps["a"].merged == steps["b"].merged == ("norm",)


def test_a_merged_layer_keeps_its_precision():
    net = randomised(CASES["into the convolution before"][0]).float()
    x = torch.randn(2, 3, 8, 8)
    values = run(canonize(trace(net)), x)
    assert values[-1].dtype == torch.float32
    torch.testing.assert_close(values[-1], net(x), rtol=1e-5, atol=1e-5)


def test_explained_with_merged_layers_is_gradient_times_input():
    net = randomised(
        nn.Sequential(
            *(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(256, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 5)),
        )
    )
    x, targets = torch.randn(2, 3, 8, 8).double(), torch.tensor([1, 4])
    leaf = x.clone().requires_grad_()
    net(leaf).gather(1, targets[:, None]).sum().backward()
    names = tuple(layer.name for layer in list_layers(net) if layer.weighted)
    composite = Composite((Block("all", names, "zero", {"stabilizer": 0.0}),)).rules(
        list_layers(net)
    )
    found = Engine(net).attribute(x, targets, composite)
    torch.testing.assert_close(found.relevance, leaf.grad * x, rtol=1e-9, atol=1e-12)


def test_batch_norms_that_use_the_batchs_statistics_are_refused():
    net = randomised(CASES["into the convolution before"][0])
    with pytest.raises(InputError, match=r"'1' of type BatchNorm2d is in training mode.*eval\(\)"):
        Engine(copy.deepcopy(net).train())
    own = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    with pytest.raises(InputError, match="'1' of type BatchNorm2d"):
        Engine(own)
