"""Composites written for zennit: the same relevance, with torchvision's own eps of batch norms."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import torchvision
from networks import with_statistics
from torch import nn
from torch.nn import functional as F

from lrpsweep.attribution import RULES as LRP
from lrpsweep.attribution import Engine, LayerRule, list_layers, register
from lrpsweep.attribution.zennit.export import certify, zennit_data, zennit_source
from lrpsweep.attribution.zennit.loader import explain_with
from lrpsweep.composites import Block, Composite
from lrpsweep.errors import InputError

LOW, HIGH = torch.tensor([-2.1, -2.0, -1.8]), torch.tensor([2.2, 2.4, 2.6])
SMALL = {"stabilizer": 1e-6}
RUN = """
import sys, torch
from composite import explain
net, images, targets = torch.load("given.pt", weights_only=False)
torch.save(explain(net, images, targets), "found.pt")
assert "lrpsweep" not in sys.modules
"""


def drawn(net: nn.Module) -> nn.Module:
    """With batch norms that have seen something."""
    return with_statistics(net).eval()


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    options = {"init_weights": True} if name == "googlenet" else {}
    net = torchvision.models.get_model(name, weights=None, **options)
    if name == "vgg11_bn":  # its dense layers alone would take a GB
        net.classifier = nn.Sequential(nn.Linear(25088, 16), nn.ReLU(True), nn.Linear(16, 1000))
    return drawn(net)


def images(size: int) -> torch.Tensor:
    unit = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    low, high = LOW.view(3, 1, 1), HIGH.view(3, 1, 1)
    return low + unit * (high - low)


def composite(net: nn.Module, *body: Block) -> Composite:
    """z^B first, ε last; in between γ, or what the blocks `body` of no layers say, one each."""
    pixel, *middle, last = [layer.name for layer in list_layers(net) if layer.weighted]
    rules = body or (Block("body", (), "gamma", {"gamma": 0.25} | SMALL),)
    return Composite(
        (
            Block("pixel", (pixel,), "z_box", SMALL),
            *(
                Block(b.name, tuple(middle[i :: len(rules)]), b.rule, b.values, b.options, b.bounds)
                for i, b in enumerate(rules)
            ),
            Block("head", (last,), "epsilon", {"epsilon": 1e-3} | SMALL),
        )
    )


def rules(net: nn.Module, *body: Block) -> dict[str, LayerRule]:
    return composite(net, *body).rules(list_layers(net))


def difference(net: nn.Module, wanted: dict[str, LayerRule], size: int = 64) -> float:
    x, targets = images(size), torch.tensor([1, 2])
    relevance = Engine(net, (LOW, HIGH)).attribute(x, targets, wanted).relevance
    assert relevance.abs().max() > 0
    found = certify(net, wanted, (LOW, HIGH), x, targets)
    assert found is not None
    assert found["images"] == 2
    return found["largest_relative_difference"]


@pytest.mark.parametrize("name", ["squeezenet1_1", "googlenet", "densenet121", "mobilenet_v2"])
def test_networks_of_torchvision(name):
    net = network(name)
    assert difference(net, rules(net)) < 1e-9


@pytest.mark.parametrize("name", ["vgg11_bn", "resnet18"])
def test_the_written_file_needs_torch_and_zennit_alone(name, tmp_path):
    net = network(name).double()
    x, targets = images(40).double(), torch.tensor([3, 500])
    flat_first = rules(
        net, Block("body", (), "gamma", {"gamma": 0.1} | SMALL), Block("flat", (), "flat", SMALL)
    )
    data = zennit_data(net, flat_first, (LOW, HIGH))
    (tmp_path / "composite.py").write_text(zennit_source(data, 'Written by "a\\test".'))
    torch.save((net, x, targets), tmp_path / "given.pt")
    command = [sys.executable, "-W", "ignore", "-c", RUN]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = torch.load(tmp_path / "found.pt")
    expected = Engine(net, (LOW, HIGH)).attribute(x, targets, flat_first).relevance
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-6


RULES = [
    ("zero", SMALL, {}),
    ("zero", {"stabilizer": 0.0}, {}),
    ("zero", {"stabilizer": 0.1}, {"stabilize": "clip"}),
    ("epsilon", {"epsilon": 0.25} | SMALL, {}),
    ("epsilon", {"epsilon": 0.25} | SMALL, {"form": "unsigned"}),
    ("epsilon", {"epsilon": 0.25} | SMALL, {"form": "rms"}),
    ("epsilon", {"epsilon": 0.25} | SMALL, {"form": "rms_batch"}),
    ("gamma", {"gamma": 0.25, "stabilizer": 0.1}, {"stabilize": "unsigned"}),
    ("gamma", {"gamma": 0.25} | SMALL, {"bias": "dropped"}),
    ("alpha_beta", {"alpha": 2.0} | SMALL, {}),
    ("z_plus", SMALL, {}),
    ("w_square", SMALL, {}),
    ("flat", SMALL, {}),
    ("pass", {}, {}),
]


class Own(nn.Module):
    """All that happens between modules: sums, functions, means; leaky, so that z has both signs."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.one, self.other = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 1)
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        x = F.leaky_relu(self.first(x), 0.3)
        x = x + self.norm(self.one(x))
        x += self.other(F.max_pool2d(x, 3, 1, 1)).relu()
        return self.head(torch.mean(F.avg_pool2d(x, 2), dim=(2, 3)))


@pytest.mark.parametrize(("rule", "hyper", "options"), RULES)
def test_every_rule_and_option(rule, hyper, options):
    net = drawn(Own())
    wanted = rules(net, Block("body", (), rule, hyper, options))
    assert difference(net, wanted, 8) < 1e-9


class Sized(nn.Module):
    """Its functions are told the sizes of what they get."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)
        self.middle = nn.Conv2d(4, 4, 3)

    def forward(self, x):
        x = F.relu(self.first(x))
        x = self.middle(F.layer_norm(x, x.shape[1:]))
        return self.last(F.avg_pool2d(x, x.size()[3]).view(x.size(0), -1))


def test_functions_with_sizes():
    net = Sized().eval().requires_grad_(False)
    assert difference(net, rules(net), 12) < 1e-9
    assert difference(net, rules(net), 20) < 1e-9


def test_bounds_of_a_block():
    net, x, targets = drawn(Own()).double(), images(8).double(), torch.tensor([1, 2])
    first, *others = composite(net).blocks
    bounds = ((-3.0,), (2.0, 3.0, 4.0))
    boxed = Composite((Block("pixel", first.layers, "z_box", SMALL, {}, bounds), *others))
    given = boxed.rules(list_layers(net))
    found = explain_with(zennit_data(net, given, (LOW, HIGH)), net, x, targets)
    low, high = torch.full((3,), -3.0), torch.tensor([2.0, 3.0, 4.0])
    expected = Engine(net, (low, high)).attribute(x, targets, rules(net)).relevance
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-9


@pytest.mark.parametrize("n", [1, 3])
def test_bounds_of_images_of_one_and_three_dimensions(n):
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[n - 1]
    layers = (kind(3, 4, 3), nn.ReLU(), kind(4, 4, 2), nn.ReLU(), nn.Flatten())
    net = drawn(nn.Sequential(*layers, nn.Linear(4 * 5**n, 5)))
    low, high = (bound.view(3, *(1,) * n) for bound in (LOW, HIGH))
    x = low + torch.rand(2, 3, *(8,) * n) * (high - low)
    found = certify(net, rules(net), (LOW, HIGH), x, torch.tensor([1, 2]))
    assert found is not None
    assert found["largest_relative_difference"] < 1e-9


def test_plain_areas_are_compared_in_one_memory_format():
    """Rounding decides there who wins in a max pool, and otherwise for channels that lie last."""
    torch.manual_seed(3)
    first = nn.Conv2d(3, 8, 3, padding=1)
    x = torch.rand(1, 3, 32, 32)
    x[:, :, 4:-4, 4:-4] = torch.rand(3).view(1, 3, 1, 1)
    net = nn.Sequential(
        *(first, nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 256, 4)),
    ).eval()
    x = x.contiguous(memory_format=torch.channels_last)
    found = certify(net, rules(net), (LOW, HIGH), x, torch.tensor([1]))
    assert found is not None
    assert found["largest_relative_difference"] < 1e-9


class Turned(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 3, 3), nn.Linear(3, 3)

    def forward(self, x):
        return self.head(self.conv(x[:, [2, 1, 0]]).mean((2, 3)))


def test_pixels_that_forward_changes_have_other_bounds():
    net = drawn(Turned())
    with pytest.raises(InputError, match=r"composite\.pixel\.rule: z_box on 'conv'.* low and high"):
        zennit_data(net, rules(net), (LOW, HIGH))


def test_the_network_is_left_as_it_was():
    net = drawn(Own())
    before = {name: value.clone() for name, value in net.state_dict().items()}
    names = [name for name, _ in net.named_modules()]
    assert difference(net, rules(net), 8) < 1e-9
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert [name for name, _ in net.named_modules()] == names
    assert "forward" not in vars(net)


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (("gamma", {"gamma": float("inf")} | SMALL, {}), r"composite\.body\.gamma: inf"),
        (("gamma", {"gamma": 0.5} | SMALL, {"bias": "kept"}), r"composite\.body\.bias: kept"),
        (("zero", SMALL, {"pooling": "sum"}), r"composite\.body\.rule: sum on 'max_pool2d'"),
    ],
)
def test_a_rule_that_zennit_lacks_is_named(block, said):
    net = drawn(Own())
    rule, hyper, options = block
    with pytest.raises(InputError, match=said):
        zennit_data(net, rules(net, Block("body", (), rule, hyper, options)), (LOW, HIGH))


def test_a_registered_rule_is_exported_as_its_entry_says():
    net = drawn(Own())
    wanted = rules(net, Block("body", (), "own", {"stabilizer": 1e-3}))
    own = replace(LRP["flat"], name="own")
    with LRP.register(own):
        assert difference(net, wanted, 8) < 1e-9
    with (
        LRP.register(replace(own, zennit=None)),
        pytest.raises(InputError, match="own on 'one'; zennit has no rule"),
    ):
        zennit_data(net, wanted, (LOW, HIGH))


class Squared(nn.Module):
    """A module that only its registration explains."""

    def forward(self, x):
        return x * x


class Shared(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.first, self.again = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 1)
        self.norm, self.plain = nn.BatchNorm2d(3), nn.BatchNorm2d(3, affine=False)
        self.squared, self.head = Squared(), nn.Linear(3, 3)
        self.change = change

    def forward(self, x):
        return self.head(self.change(self, self.first(x)).mean((2, 3)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda net, x: net.again(net.again(x)), "layer 'again' is used 2 times"),
        (lambda net, x: x * torch.sigmoid(x.mean((2, 3), keepdim=True)), "multiplies with a gate"),
        (lambda net, x: net.squared(x), "'squared' has a function of its own"),
        (lambda net, x: x + 1, "'1' is a constant that is added"),
        (lambda net, x: net.again(x) - x, "'sub_negated' in forward"),
        (lambda net, x: net.again(net.norm(x.relu())), "'norm' is not right behind 'again'"),
        (lambda net, x: net.plain(x), "'plain' has no weights"),
    ],
)
def test_a_network_that_zennit_cannot_follow_is_refused(change, said):
    register(Squared, lambda module, inputs, relevance: relevance)
    net = drawn(Shared(change))
    with pytest.raises(InputError, match=said):
        zennit_data(net, rules(net), (LOW, HIGH))
    found = certify(net, rules(net), (LOW, HIGH), images(8), torch.tensor([0, 1]))
    assert found is not None
    assert said in found["not_expressible"]


class Overwrites(Own):
    def forward(self, x):
        x = self.first(x)
        x.relu_()
        return self.head(self.one(x).mean((2, 3)))


def test_what_zennit_does_not_see_shows_in_the_comparison():
    net = drawn(Overwrites())
    assert difference(net, rules(net), 8) > 1e-3


def test_without_zennit_nothing_is_compared_but_the_file_is_written(monkeypatch):
    net = drawn(Own())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert certify(net, rules(net), (LOW, HIGH), images(8), torch.tensor([0, 1])) is None
    assert "def explain(" in zennit_source(zennit_data(net, rules(net), (LOW, HIGH)), "Own.")


def test_the_data_is_plain():
    net = drawn(Own())
    data = zennit_data(net, rules(net), (LOW, HIGH))
    assert json.loads(json.dumps(data)) == data
    assert data["network"]["merged"] == [[["one"], "norm"]]
    assert data["network"]["calls"]["sum"] == ["add", "add_1"]
