"""What holds for every explanation, and how the engine treats the user's network."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lrpsweep.attribution import RULES, Engine, list_layers
from lrpsweep.composites import Block, Composite
from lrpsweep.errors import InputError

BOUNDS = (torch.full((3,), -2.0), torch.full((3,), 2.0))
HYPER = {
    "zero": {"stabilizer": 1e-6},
    "epsilon": {"epsilon": 0.1, "stabilizer": 0.0},
    "gamma": {"gamma": 0.3, "stabilizer": 1e-6},
    "alpha_beta": {"alpha": 1.5, "stabilizer": 1e-6},
    "z_plus": {"stabilizer": 1e-6},
    "w_square": {"stabilizer": 1e-6},
    "flat": {"stabilizer": 1e-6},
}


def network(seed=0, bias=True):
    torch.manual_seed(seed)
    return (
        nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=bias),
            nn.ReLU(inplace=True),
            nn.Conv2d(8, 8, 3, padding=1, bias=bias),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.AdaptiveAvgPool2d(3),
            nn.Flatten(),
            nn.Linear(72, 10, bias=bias),
            nn.ReLU(inplace=True),
            nn.Linear(10, 4, bias=bias),
        )
        .eval()
        .double()
    )


def batch(n=3, seed=1):
    x = torch.randn(n, 3, 10, 12, generator=torch.Generator().manual_seed(seed)).double()
    return x, torch.arange(n) % 4


def uniform(net, rule, **hyper):
    names = tuple(layer.name for layer in list_layers(net) if layer.weighted)
    return Composite((Block("all", names, rule, hyper),)).rules(list_layers(net))


def test_every_rule_is_tested_here():
    assert set(HYPER) | {"z_box", "pass", "winner", "sum"} == set(RULES)


def test_forward_is_the_models_own_bit_for_bit_and_the_model_is_left_alone():
    net = network().float()
    x, targets = batch()
    x = x.float()
    before = copy.deepcopy(net.state_dict())
    expected = net(x.clone())
    found = Engine(net).attribute(x, targets, uniform(net, "gamma", **HYPER["gamma"]))
    assert torch.equal(found.score, expected.gather(1, targets[:, None])[:, 0].double())
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert all(not m._forward_hooks and not m._backward_hooks for m in net.modules())
    assert [m.inplace for m in net if isinstance(m, nn.ReLU)] == [True] * 3


def test_images_are_not_overwritten_by_a_relu_in_place():
    net = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(360, 4)).eval().double()
    x, targets = batch()
    before = x.clone()
    Engine(net).attribute(x, targets, uniform(net, "zero", stabilizer=0.0))
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("rule", "hyper"),
    [
        ("zero", {"stabilizer": 0.0}),
        ("epsilon", {"epsilon": 0.0, "stabilizer": 0.0}),
        ("gamma", {"gamma": 0.0, "stabilizer": 0.0}),
    ],
)
def test_uniform_zero_is_gradient_times_input(rule, hyper):
    net = nn.Sequential(*[m for m in network() if not isinstance(m, nn.AdaptiveAvgPool2d)])
    net[-3] = nn.Linear(8 * 5 * 6, 10).double()
    x, targets = batch()
    leaf = x.clone().requires_grad_()
    net(leaf).gather(1, targets[:, None]).sum().backward()
    found = Engine(net).attribute(x, targets, uniform(net, rule, **hyper))
    torch.testing.assert_close(found.relevance, leaf.grad * x, rtol=1e-9, atol=1e-12)


def test_z_box_breaks_that_equality():
    net, (x, targets) = network(), batch()
    names = [layer.name for layer in list_layers(net) if layer.weighted]
    rest = Block("rest", tuple(names[1:]), "zero", {"stabilizer": 0.0})
    boxed = Composite((Block("pixel", (names[0],), "z_box", {"stabilizer": 0.0}), rest)).rules(
        list_layers(net)
    )
    explainer = Engine(net, BOUNDS)
    plain = explainer.attribute(x, targets, uniform(net, "zero", stabilizer=0.0)).relevance
    assert (explainer.attribute(x, targets, boxed).relevance - plain).abs().max() > 0.01


@settings(max_examples=25, deadline=None)
@given(rule=st.sampled_from(sorted(HYPER)), seed=st.integers(0, 99), bias=st.booleans())
def test_the_balance_accounts_for_the_whole_score(rule, seed, bias):
    net, (x, targets) = network(seed, bias), batch(seed=seed)
    found = Engine(net).attribute(x, targets, uniform(net, rule, **HYPER[rule]))
    scale = found.relevance.abs().sum() + found.score.abs().sum()
    assert found.unexplained.abs().max() <= 1e-9 * scale
    if not bias:
        assert found.bias.abs().max() == 0


@pytest.mark.parametrize("rule", ["zero", "gamma"])
def test_relevance_is_conserved_without_bias_and_stabilizer(rule):
    net, (x, targets) = network(bias=False), batch()
    found = Engine(net).attribute(
        x, targets, uniform(net, rule, **HYPER[rule] | {"stabilizer": 0.0})
    )
    total = found.relevance.sum((1, 2, 3))
    # the averaging layer alone keeps its small stabilizer
    torch.testing.assert_close(total, found.score, rtol=1e-4, atol=1e-9)


def test_infinite_gamma_is_the_limit_of_large_ones():
    net, (x, targets) = network(), batch()
    limit = Engine(net).attribute(
        x, targets, uniform(net, "gamma", gamma=float("inf"), stabilizer=0.0)
    )
    large = Engine(net).attribute(x, targets, uniform(net, "gamma", gamma=1e9, stabilizer=0.0))
    torch.testing.assert_close(limit.relevance, large.relevance, rtol=1e-5, atol=1e-8)


def test_the_first_of_tied_maxima_takes_all():
    net = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1, 1, bias=False)).eval()
    nn.init.ones_(net[2].weight)
    x = torch.full((1, 1, 2, 2), 5.0)
    found = Engine(net).attribute(x, torch.tensor([0]), uniform(net, "zero", stabilizer=0.0))
    assert found.relevance.tolist() == [[[[5.0, 0.0], [0.0, 0.0]]]]


def pooled(pool):
    """A layer that changes nothing, a max pool of what is not negative, and one score per value."""
    net = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU(), pool).eval().double()
    nn.init.ones_(net[0].weight)
    x = torch.rand(2, 1, 7, 6, generator=torch.Generator().manual_seed(0)).double()
    x[:, :, 0] = 0.0
    values = net(x)
    head = nn.Linear(values[0].numel(), 3).double()
    return nn.Sequential(*net, nn.Flatten(), head).eval(), x, values


@pytest.mark.parametrize(
    "pool",
    [nn.MaxPool2d(2), nn.MaxPool2d((3, 2), 2, padding=1), nn.MaxPool2d(3, 2, ceil_mode=True)],
)
def test_summed_pools_share_relevance_by_the_size_of_what_they_read(pool):
    net, x, values = pooled(pool)
    targets, zero = torch.tensor([0, 2]), {"stabilizer": 0.0}
    blocks = (
        Block("a", ("0",), "zero", zero, {"pooling": "sum"}),
        Block("b", ("4",), "zero", zero),
    )
    found = Engine(net).attribute(x, targets, Composite(blocks).rules(list_layers(net)))
    above = values.flatten(1) * net[4].weight[targets]
    above = above / net(x).gather(1, targets[:, None]) * found.score[:, None]
    expected = torch.zeros_like(x)
    sides = [v if isinstance(v, tuple) else (v, v) for v in (pool.kernel_size, pool.padding)]
    (height, width), (top, left) = sides
    for n, _, i, j in torch.cartesian_prod(*map(torch.arange, values.shape)).tolist():
        rows = range(max(0, 2 * i - top), min(x.shape[2], 2 * i - top + height))
        columns = range(max(0, 2 * j - left), min(x.shape[3], 2 * j - left + width))
        window = x[n, 0, rows][:, columns]
        share = window / (window.sum() + 1e-6) * above.view_as(values)[n, 0, i, j]
        for row, line in zip(rows, share, strict=True):
            expected[n, 0, row, list(columns)] += line
    torch.testing.assert_close(found.relevance, expected, rtol=1e-10, atol=1e-13)
    assert found.unexplained.abs().max() < 1e-12


def test_only_pools_that_read_the_block_are_summed():
    torch.manual_seed(0)
    layers = [
        m for _ in range(2) for m in (nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    ]
    net = nn.Sequential(nn.MaxPool2d(2), *layers, nn.Flatten(), nn.Linear(3, 4)).eval().double()
    x, targets = batch()
    x, zero = x[..., :8, :8], {"stabilizer": 0.0}

    def explained(*options):
        names = ("1", "4", "8")
        blocks = [Block(n, (n,), "zero", zero, o) for n, o in zip(names, options, strict=True)]
        return Engine(net).attribute(x, targets, Composite(tuple(blocks)).rules(list_layers(net)))

    summed = {"pooling": "sum"}
    relevance = {
        key: explained(*options).relevance
        for key, options in {
            "none": ({}, {}, {}),
            "head": ({}, {}, summed),
            "first": (summed, {}, {}),
            "second": ({}, summed, {}),
            "all": (summed, summed, summed),
        }.items()
    }
    assert torch.equal(relevance["none"], relevance["head"])
    different = [relevance[key] for key in ("none", "first", "second", "all")]
    for i, one in enumerate(different):
        assert not any(torch.allclose(one, other) for other in different[:i])
    windows = relevance["all"].unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    assert ((windows != 0).sum(-1) <= 1).all()  # no layer below the pool of the images


def test_a_summed_pool_with_gaps_is_refused():
    net, _, _ = pooled(nn.MaxPool2d(2, dilation=2))
    with pytest.raises(InputError, match=r"composite\.a\.rule: sum on '2', a max pool with gaps"):
        Engine(net).check(
            Composite(
                (Block("a", ("0", "4"), "zero", {"stabilizer": 0.0}, {"pooling": "sum"}),)
            ).rules(list_layers(net))
        )


def test_kept_tapes_change_nothing_and_stay_within_the_bound():
    net, (x, targets) = network(), batch()
    composite = uniform(net, "gamma", **HYPER["gamma"])
    fresh = Engine(net).attribute(x, targets, composite).relevance
    explainer = Engine(net, cache_bytes=10**7)
    for _ in range(2):
        again = explainer.attribute(x, targets, composite, key="a").relevance
        assert torch.equal(again, fresh)
    kept = explainer.kept_bytes()
    assert 0 < kept <= 10**7
    small = Engine(net, cache_bytes=kept + kept // 2)
    small.attribute(x, targets, composite, key="a")
    small.attribute(x, targets, composite, key="b")
    assert 0 < small.kept_bytes() <= kept + kept // 2


def test_relevance_of_one_image_does_not_depend_on_its_neighbours():
    net, (x, targets) = network(), batch()
    composite = uniform(net, "epsilon", epsilon=0.1, stabilizer=0.0)
    together = Engine(net).attribute(x, targets, composite).relevance
    alone = Engine(net).attribute(x[1:2], targets[1:2], composite).relevance
    torch.testing.assert_close(together[1:2], alone, rtol=1e-12, atol=1e-14)


def test_unsigned_epsilon_is_added_as_it_is():
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).eval().double()
    x, targets = batch()[0][:, :, 0, 0], torch.tensor([0, 1, 0])
    composite = Composite(
        (
            Block(
                "a", ("0",), "epsilon", {"epsilon": 0.3, "stabilizer": 0.0}, {"form": "unsigned"}
            ),
            Block("b", ("1",), "zero", {"stabilizer": 0.0}),
        )
    ).rules(list_layers(net))
    found = Engine(net).attribute(x, targets, composite)
    hidden = net[0](x)
    relevance = hidden * net[1].weight[targets]
    relevance = relevance / net(x).gather(1, targets[:, None]) * found.score[:, None]
    expected = x * ((relevance / (hidden + 0.3)) @ net[0].weight)
    assert (hidden < 0).any()
    torch.testing.assert_close(found.relevance, expected, rtol=1e-12, atol=1e-14)
    assert found.unexplained.abs().max() < 1e-12


class Joined(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.a, self.b, self.head = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 4, 1), nn.Linear(720, 4)
        self.dim = dim

    def forward(self, x):
        x = torch.cat((torch.relu(self.a(x)), torch.relu(self.b(x))), dim=self.dim)
        return self.head(torch.flatten(x, 1))


def test_branches_are_joined_and_part_again():
    torch.manual_seed(0)
    net, (x, targets) = Joined(-3).eval().double(), batch()
    leaf = x.clone().requires_grad_()
    net(leaf).gather(1, targets[:, None]).sum().backward()
    found = Engine(net).attribute(x, targets, uniform(net, "zero", stabilizer=0.0))
    torch.testing.assert_close(found.relevance, leaf.grad * x, rtol=1e-9, atol=1e-12)
    with pytest.raises(InputError, match=r"cat\(\) in forward\(\) of Joined"):
        Engine(Joined(0))


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(360, 4)

    def forward(self, x):
        scores = self.head(torch.flatten(x, 1))
        return scores, x


def test_a_network_with_two_outputs_is_refused():
    with pytest.raises(InputError, match=r"Pair: forward\(\) returns .* expected one tensor"):
        Engine(Pair())


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_an_operation_without_a_rule_is_named():
    with pytest.raises(InputError, match="'1' of type Softmax2d"):
        Engine(nn.Sequential(nn.Conv2d(3, 2, 1), nn.Softmax2d(), nn.Flatten()))
    with pytest.raises(InputError, match="cannot be traced"):
        Engine(Branching())


def test_z_box_away_from_the_pixels_is_refused():
    net, (x, targets) = network(), batch()
    with pytest.raises(InputError, match=r"composite\.all\.rule: z_box on '2'"):
        Engine(net, BOUNDS).attribute(x, targets, uniform(net, "z_box", stabilizer=1e-6))


class Transformed(nn.Module):
    """A network that normalises its input in the forward pass, channel by channel."""

    def __init__(self, inner, scales, shifts):
        super().__init__()
        self.inner, self.scales, self.shifts = inner, scales, shifts

    def forward(self, x):
        parts = zip(range(3), self.scales, self.shifts, strict=True)
        return self.inner(torch.cat([x[:, i].unsqueeze(1) * by + plus for i, by, plus in parts], 1))


def boxed(net, **bounds):
    first, *rest = [layer.name for layer in list_layers(net) if layer.weighted]
    hyper = {"stabilizer": 1e-9}
    return Composite(
        (
            Block("pixel", (first,), "z_box", hyper, **bounds),
            Block("rest", tuple(rest), "gamma", {"gamma": 0.1, **hyper}),
        )
    ).rules(list_layers(net))


def test_z_box_knows_the_bounds_of_pixels_that_are_transformed_first():
    x, targets = batch()
    inner = network()
    scales = torch.tensor([2.0, 0.5, -1.5]).double()
    shifts = torch.tensor([0.3, -0.2, 0.1]).double()
    low, high = (scales * bound + shifts for bound in BOUNDS)
    net = Transformed(inner, scales.tolist(), shifts.tolist())
    found = Engine(net, BOUNDS).attribute(x, targets, boxed(net))
    ends = (torch.minimum(low, high), torch.maximum(low, high))
    outside = x * scales.view(3, 1, 1) + shifts.view(3, 1, 1)
    expected = Engine(inner, ends).attribute(outside, targets, boxed(inner))
    torch.testing.assert_close(found.relevance, expected.relevance, rtol=1e-10, atol=1e-12)
    assert float(found.unexplained.abs().max()) < 1e-9


def test_z_box_takes_bounds_of_its_own_anywhere():
    x, targets = batch()
    net = network()
    x, own = x.clamp(-0.7, 1.1), ((-0.7,) * 3, (1.1,))  # no numbers that float32 has
    bounds = tuple(torch.full((3,), end[0], dtype=torch.float64) for end in own)
    known = Engine(net, bounds).attribute(x, targets, boxed(net))
    found = Engine(net).attribute(x, targets, boxed(net, bounds=own))
    torch.testing.assert_close(found.relevance, known.relevance, rtol=1e-12, atol=1e-14)
    wider = Engine(net).attribute(x, targets, boxed(net, bounds=((-9.0,), (9.0,))))
    assert not torch.allclose(wider.relevance, known.relevance)
    inside = Block(
        "all", ("0", "2", "7", "9"), "z_box", {"stabilizer": 1e-9}, {}, ((-1.0,), (5.0,))
    )
    found = Engine(net).attribute(x, targets, Composite((inside,)).rules(list_layers(net)))
    assert float(found.unexplained.abs().max()) < 1e-9


def test_bounds_for_another_number_of_channels_are_refused():
    x, targets = batch()
    net = network()
    composite = boxed(net, bounds=((-1.0, -1.0), (1.0,)))
    with pytest.raises(InputError, match=r"composite\.pixel\.low: 2 numbers; expected one, or 3"):
        Engine(net).attribute(x, targets, composite)


def test_pass_is_refused_where_shapes_differ_and_leaves_relevance_alone_elsewhere():
    net, (x, targets) = network(), batch()
    names = [layer.name for layer in list_layers(net) if layer.weighted]
    zero = {"stabilizer": 0.0}
    with pytest.raises(InputError, match=r"composite\.all\.rule: pass on '0', whose output"):
        Engine(net).check(uniform(net, "pass"))
    passed = Block("a", (names[1],), "pass", {})
    rest = Block("b", tuple(n for n in names if n != names[1]), "zero", zero)
    found = Engine(net).attribute(x, targets, Composite((passed, rest)).rules(list_layers(net)))
    above = nn.Sequential(*net[3:])
    hidden = Engine(above).attribute(net[:3](x), targets, uniform(above, "zero", **zero))
    leaf = x.clone().requires_grad_()
    first = net[0](leaf)
    (pulled,) = torch.autograd.grad(first, leaf, hidden.relevance / first.detach())
    torch.testing.assert_close(found.relevance, x * pulled, rtol=1e-9, atol=1e-12)


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.pool, self.head = nn.MaxPool2d(2), nn.Linear(24, 4)

    def forward(self, x):
        x = self.pool(torch.relu(self.one(x)))
        x = self.pool(torch.relu(self.two(x)))
        return self.head(torch.flatten(x, 1))


def test_a_pool_used_twice_is_not_confused_with_itself():
    """Once, winners were kept by the layer's name, and the second pool took the first one's."""
    torch.manual_seed(0)
    net, (x, targets) = Shared().eval().double(), batch()
    leaf = x.clone().requires_grad_()
    net(leaf).gather(1, targets[:, None]).sum().backward()
    found = Engine(net).attribute(x, targets, uniform(net, "zero", stabilizer=0.0))
    torch.testing.assert_close(found.relevance, leaf.grad * x, rtol=1e-9, atol=1e-12)


class Repeated(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 3, 1), nn.Linear(360, 4)

    def forward(self, x):
        x = torch.relu(self.conv(torch.relu(self.conv(x))))
        return self.head(torch.flatten(x, 1))


def test_a_layer_with_weights_used_twice_has_its_rule_in_both_places():
    torch.manual_seed(0)
    net, (x, targets) = Repeated().eval().double(), batch()
    leaf = x.clone().requires_grad_()
    net(leaf).gather(1, targets[:, None]).sum().backward()
    found = Engine(net).attribute(x, targets, uniform(net, "zero", stabilizer=0.0))
    torch.testing.assert_close(found.relevance, leaf.grad * x, rtol=1e-9, atol=1e-12)


def in_blocks(lower, upper, head=0.0):
    """Blocks from the images up, with a γ each."""
    hyper = [{"gamma": g, "stabilizer": 1e-6} for g in (lower, upper, head)]
    names = [("0",), ("2",), ("7", "9")]
    return Composite(
        tuple(
            Block(f"b{i}", n, "gamma", h) for i, (n, h) in enumerate(zip(names, hyper, strict=True))
        )
    ).rules(())


def test_what_upper_blocks_have_in_common_is_taken_up_and_changes_nothing():
    net, (x, targets) = network(), batch()
    explainer = Engine(net, cache_bytes=10**8)
    order = [(0.1, 0.2), (0.3, 0.2), (0.1, 0.5), (0.3, 0.5), (0.7, 0.2), (0.7, 0.5), (0.1, 0.2)]
    for lower, upper in order:
        composite = in_blocks(lower, upper)
        found = explainer.attribute(x, targets, composite, key="a")
        fresh = Engine(net).attribute(x, targets, composite)
        assert torch.equal(found.relevance, fresh.relevance)
        assert torch.equal(found.bias, fresh.bias)
        assert torch.equal(found.stabilizer, fresh.stabilizer)
    (forward,) = explainer._forwards.values()
    assert forward._checkpoints  # or nothing was tested


def test_other_targets_take_up_nothing():
    net, (x, targets) = network(), batch()
    explainer = Engine(net, cache_bytes=10**8)
    for shift in (0, 0, 0, 1, 1, 2):
        wanted = (targets + shift) % 4
        found = explainer.attribute(x, wanted, in_blocks(0.1, 0.2), key="a").relevance
        assert torch.equal(found, Engine(net).attribute(x, wanted, in_blocks(0.1, 0.2)).relevance)


def test_kept_relevance_goes_before_the_batch_does():
    net, (x, targets) = network(), batch()
    plain = Engine(net, cache_bytes=10**8)
    plain.attribute(x, targets, in_blocks(0.1, 0.2), key="a")
    small = Engine(net, cache_bytes=plain.kept_bytes() + 100)
    for lower in (0.1, 0.2, 0.3, 0.4):
        small.attribute(x, targets, in_blocks(lower, 0.2), key="a")
        assert 0 < small.kept_bytes() <= small.cache_bytes
