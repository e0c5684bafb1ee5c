"""What becomes of the score, block by block; and relevance that grows out of proportion."""

import re

import pytest
import torch
from torch import nn

from lrpsweep.attribution import Engine, LayerRule, doubtful, find_instability
from lrpsweep.attribution.lrp.balance import size
from lrpsweep.composites import Block, Composite

HYPER = {"stabilizer": 1e-6}


class Residual(nn.Module):
    """Two branches whose blocks do not follow each other in the network's order."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.left = nn.Conv2d(4, 4, 3, padding=1)
        self.right = nn.Conv2d(4, 4, 1)
        self.last = nn.Linear(4 * 64, 5)

    def forward(self, x):
        x = self.stem(x).relu()
        x = (self.left(x).relu() + self.right(x)).relu()
        return self.last(torch.nn.functional.avg_pool2d(x, 2).flatten(1))


@pytest.fixture
def residual():
    torch.manual_seed(0)
    return Residual().eval().requires_grad_(False)


def images(count=3, side=18):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, side, side, generator=generator), torch.arange(count)


def rules(lower="epsilon", gamma=0.1):
    return Composite(
        (
            Block("lower", ("stem", "right"), lower, {"epsilon": 0.1, **HYPER}),
            Block("middle", ("left",), "gamma", {"gamma": gamma, **HYPER}),
            Block("head", ("last",), "epsilon", {"epsilon": 0.5, **HYPER}),
        )
    ).rules(())


def test_balances_of_blocks_add_up_to_that_of_the_whole(residual):
    x, targets = images()
    found = Engine(residual).attribute(x, targets, rules())
    assert list(found.blocks) == ["head", "lower", "middle"]
    for part in ("bias", "stabilizer", "unexplained"):
        whole = sum(getattr(block, part) for block in found.blocks.values())
        torch.testing.assert_close(whole, getattr(found, part), rtol=1e-6, atol=1e-6)
    assert all(float(block.stabilizer.abs().min()) > 0 for block in found.blocks.values())
    assert float(found.blocks["middle"].unexplained.abs().max()) < 1e-5
    assert all(0 < float(block.hot_spot.max()) < 1 for block in found.blocks.values())


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_hot_spot_is_a_place_whose_channels_are_summed(n):
    """Relevance of channels at one place that cancels is none, whatever an image's dimensions."""
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[n - 1]
    torch.manual_seed(0)
    net = nn.Sequential(kind(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4**n, 5)).eval()
    everywhere = {"0": LayerRule("zero", group="all"), "3": LayerRule("zero", group="all")}
    found = Engine(net).attribute(torch.randn(2, 3, *(6,) * n), torch.tensor([0, 1]), everywhere)
    places = found.heatmaps.flatten(1).abs()
    torch.testing.assert_close(found.blocks["all"].size.float(), places.sum(1))
    share = places.amax(1) / places.sum(1)
    torch.testing.assert_close(found.blocks["all"].hot_spot.float(), share)


def test_balances_are_the_same_where_upper_blocks_are_taken_up(residual):
    x, targets = images()
    kept, anew = Engine(residual, cache_bytes=2**30), Engine(residual)
    for gamma in (0.1, 0.2, 0.3, 0.2):
        found = kept.attribute(x, targets, rules(gamma=gamma), key="batch")
        expected = anew.attribute(x, targets, rules(gamma=gamma))
        for name, block in expected.blocks.items():
            for part in ("bias", "stabilizer", "unexplained", "hot_spot"):
                value = getattr(block, part)
                torch.testing.assert_close(getattr(found.blocks[name], part), value)


def test_every_step_is_watched_from_the_output_down(residual):
    x, targets = images()
    seen = []

    def watch(layer, arriving, lower):
        seen.append(layer)
        if layer == "last":
            torch.testing.assert_close(size(arriving).float(), found.score.abs().float())

    explainer = Engine(residual)
    found = explainer.attribute(x, targets, rules())
    explainer.attribute(x, targets, rules(), watch=watch)
    assert [name for name in seen if name in ("last", "left", "right", "stem")] == [
        "last",
        "right",
        "left",
        "stem",
    ]


class Cancelling(nn.Module):
    """One of its second layer's outputs is next to nothing for the first image."""

    def __init__(self, image):
        super().__init__()
        self.first = nn.Conv2d(3, 2, 3, padding=1)
        self.second = nn.Linear(2 * 64, 3, bias=False)
        self.last = nn.Linear(3, 4)
        x = self.first(image).relu().flatten()
        row = self.second.weight[0]
        self.second.weight[0] = row + (1e-6 - row @ x) / (x @ x) * x

    def forward(self, x):
        return self.last(self.second(self.first(x).relu().flatten(1)))


@pytest.fixture
def cancelling():
    torch.manual_seed(0)
    with torch.no_grad():
        return Cancelling(images(side=8)[0][:1]).eval().requires_grad_(False)


def even_above(rule, **hyper):
    """Flat on the last layer, so that the unit that is next to nothing gets its share."""
    lower = Block("lower", ("first", "second"), rule, {**hyper, "stabilizer": 1e-9})
    return Composite((lower, Block("head", ("last",), "flat", HYPER))).rules(())


def test_the_layer_in_which_relevance_explodes_is_named(cancelling):
    x, targets = images(side=8)
    found = find_instability(Engine(cancelling), x, targets, even_above("zero"))
    assert found is not None
    assert found.layer == "second"
    times, images_hit = re.search(
        r"up to (\S+) times there, in (\d) of 3 images", str(found)
    ).groups()
    assert float(times) > 1e4
    assert int(images_hit) < 3


def test_rules_without_cancellation_are_stable(cancelling, residual):
    x, targets = images(side=8)
    explainer = Engine(cancelling)
    assert find_instability(explainer, x, targets, even_above("w_square")) is None
    x, targets = images()
    explainer = Engine(residual)
    assert find_instability(explainer, x, targets, rules()) is None
    assert not bool(doubtful(explainer.attribute(x, targets, rules())).any())


def test_a_hot_spot_and_infinite_relevance_are_doubtful(residual):
    x, targets = images()
    found = Engine(residual).attribute(x, targets, rules())
    found.relevance[0, 0, 3, 4] += 1e4
    found.relevance[2, 0, 3, 4] = float("inf")
    assert doubtful(found).tolist() == [True, False, True]
