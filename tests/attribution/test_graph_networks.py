"""The networks of torchvision, and a real ResNet-20, from the images to the scores and back."""

import copy
import csv
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from networks import with_statistics
from PIL import Image
from torch import nn
from torch.nn import functional as F

from lrpsweep.attribution import Engine, list_layers
from lrpsweep.attribution.lrp import engine
from lrpsweep.composites import Block, Composite
from lrpsweep.errors import InputError


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    more = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    net = getattr(torchvision.models, name)(weights=None, **more).eval().double()
    return with_statistics(net)


def batch(size=64):
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1)).double()
    return x, torch.tensor([3, 7])


def uniform(net, rule, **hyper):
    names = tuple(layer.name for layer in list_layers(net) if layer.weighted)
    return Composite((Block("all", names, rule, hyper),)).rules(list_layers(net))


@pytest.mark.parametrize(
    "name",
    ["alexnet", "resnet18", "googlenet", "densenet121", "mnasnet0_5", "shufflenet_v2_x0_5"],
)
def test_uniform_zero_is_gradient_times_input_on_relu_networks(name, monkeypatch):
    monkeypatch.setattr(engine, "POOLING_STABILIZER", 0.0)
    net, (x, targets) = network(name), batch()
    read, scale = x, torch.ones_like(x)
    if name == "googlenet":  # with torchvision's weights, it normalises its input once more
        net.transform_input = True
        read = net._transform_input(x)
        scale = net._transform_input(x + 1) - read
    leaf = x.clone().requires_grad_()
    net(leaf).gather(1, targets[:, None]).sum().backward()
    expected = leaf.grad / scale * read
    found = Engine(net).attribute(x, targets, uniform(net, "zero", stabilizer=0.0)).relevance
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-8


NETWORKS = {
    "densenet121": {"features.denseblock1.denselayer1.norm2": "merged", "features.norm5": "affine"},
    "mobilenet_v2": {"features.1.conv.2": "merged", "features.2.conv.0.2": "pass"},
    "mobilenet_v3_small": {"features.1.block.1.fc1": "gate", "features.0.2": "pass"},
    "efficientnet_b0": {"features.1.0.block.1.fc2": "gate", "features.0.1": "merged"},
    "convnext_tiny": {"features.1.0.block.2": "normalisation", "features.1.0.stochastic_depth": ""},
    "regnet_y_400mf": {"trunk_output.block1.block1-0.f.se.fc1": "gate"},
    "inception_v3": {"Conv2d_1a_3x3.bn": "merged"},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_balances_add_up_and_the_network_is_left_alone(name):
    net, (x, targets) = network(name), batch(80)
    state, members = (
        copy.deepcopy(net.state_dict()),
        {n: set(vars(m)) for n, m in net.named_modules()},
    )
    found = Engine(net).attribute(x, targets, uniform(net, "gamma", gamma=0.25, stabilizer=1e-6))
    assert found.relevance.abs().max() > 0
    size = found.relevance.abs().sum() + found.score.abs().max() + found.bias.abs().max()
    assert found.unexplained.abs().max() <= 1e-9 * (size + found.stabilizer.abs().max())
    expected = net(x).gather(1, targets[:, None])[:, 0]
    torch.testing.assert_close(found.score, expected, rtol=1e-9, atol=1e-12)
    assert all(torch.equal(state[key], value) for key, value in net.state_dict().items())
    assert {n: set(vars(m)) for n, m in net.named_modules()} == members
    assert not any(m._forward_hooks or m._backward_hooks for m in net.modules())
    handling = {layer.name: layer.handling.split(" ")[0] for layer in list_layers(net)}
    assert {layer: handling[layer] for layer in NETWORKS[name]} == NETWORKS[name]


def test_attention_is_refused_by_name():
    with pytest.raises(
        InputError, match=r"self_attention' of type MultiheadAttention \(reads '.*ln_1"
    ):
        list_layers(torchvision.models.vit_b_16(weights=None).eval())


class Block20(nn.Module):
    """Two convolutions and a shortcut that, between stages, takes every other pixel."""

    def __init__(self, given: int, channels: int):
        super().__init__()
        self.stride = 1 if given == channels else 2
        self.conv1 = nn.Conv2d(given, channels, 3, self.stride, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.more = (channels - given) // 2

    def forward(self, x):
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more, self.more), "constant", 0)
        out += x
        return F.relu(out)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        for stage, (given, channels) in enumerate([(16, 16), (16, 32), (32, 64)], start=1):
            blocks = [Block20(given, channels), *(Block20(channels, channels) for _ in range(2))]
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        x = F.avg_pool2d(x, x.size()[3])
        return self.linear(x.view(x.size(0), -1))


def test_resnet20_is_gradient_times_input_where_nothing_stabilizes(monkeypatch):
    monkeypatch.setattr(engine, "POOLING_STABILIZER", 0.0)
    torch.manual_seed(0)
    net, (x, targets) = ResNet20().eval().double(), batch(32)
    leaf = x.clone().requires_grad_()
    net(leaf).gather(1, targets[:, None]).sum().backward()
    expected = leaf.grad * x
    found = Engine(net).attribute(x, targets, uniform(net, "zero", stabilizer=0.0)).relevance
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-8
    merged = [layer for layer in list_layers(net) if layer.handling.startswith("merged")]
    assert len(merged) == 19


def _pixels(path: Path) -> torch.Tensor:
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


@pytest.mark.shared
@pytest.mark.skipif("LRPSWEEP_TEST_DATA" not in os.environ, reason="LRPSWEEP_TEST_DATA is not set")
def test_the_real_resnet20_is_right_as_often_as_known_and_explained():
    from safetensors.torch import load_file

    root = Path(os.environ["LRPSWEEP_TEST_DATA"])
    net = ResNet20().eval()
    net.load_state_dict(load_file(root / "resnet20_cifar10.safetensors"))
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    with (root / "manifest_cifar10.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    images = torch.stack([_pixels(root / row["path"]) for row in rows])
    x, labels = (images / 255 - mean) / std, torch.tensor([int(r["class_index"]) for r in rows])
    explainer = Engine(
        net, ((0 - mean).flatten() / std.flatten(), (1 - mean).flatten() / std.flatten())
    )
    first, *rest = [layer.name for layer in list_layers(net) if layer.weighted]
    composite = Composite(
        (
            Block("pixel", (first,), "z_box", {"stabilizer": 1e-6}),
            Block("rest", tuple(rest), "gamma", {"gamma": 0.25, "stabilizer": 1e-6}),
        )
    ).rules(list_layers(net))
    found = explainer.attribute(x, labels, composite)
    scores = net(x)
    assert int((scores.argmax(1) == labels).sum()) == 179
    torch.testing.assert_close(
        found.score.float(), scores.gather(1, labels[:, None])[:, 0], rtol=1e-5, atol=1e-4
    )
    assert found.balance()["unexplained"] < 1e-3
    assert float(found.relevance.abs().amax((1, 2, 3)).max()) < 1e3
