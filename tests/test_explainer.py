"""The engine as a library: every form of composite, several targets, inner layers, own rules."""

import json

import pytest
import torch
from torch import nn
from zennit.attribution import Gradient
from zennit.composites import EpsilonPlusFlat

import lrpsweep
from lrpsweep.attribution import RULES, Engine, LayerRule, Rule, list_layers
from lrpsweep.attribution.lrp.balance import Arriving
from lrpsweep.composites import Block, Composite
from lrpsweep.composites.presets import PRESETS
from lrpsweep.errors import InputError, WorkError

BOUNDS = (torch.full((3,), -3.0).double(), torch.full((3,), 3.0).double())


@pytest.fixture
def net():
    torch.manual_seed(0)
    return (
        nn.Sequential(
            *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(24, 5)),
        )
        .eval()
        .double()
    )


def batch(count=2):
    x = torch.randn(count, 3, 10, 10, generator=torch.Generator().manual_seed(1)).double()
    return x.clamp(-3, 3), torch.arange(count)


def by_engine(net, **rules):
    x, targets = batch()
    names = {"first": "0", "second": "4", "head": "8", "pool": "3"}
    given = {names[key]: rule for key, rule in rules.items()}
    return Engine(net, BOUNDS).attribute(x, targets, given).relevance


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_goes_by_its_name(net, preset):
    found = lrpsweep.Explainer(net, bounds=BOUNDS)(*batch(), preset)
    assert found.relevance.shape == (2, 3, 10, 10)
    assert found.heatmaps.shape == (2, 10, 10)
    assert float(found.unexplained.abs().max()) < 1e-9


def test_a_preset_is_zennits_composite():
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(24, 5)),
    )
    net, (x, targets) = net.eval().double(), batch()
    found = lrpsweep.Explainer(net)(x, targets, "epsilon_plus_flat").relevance

    def start(scores):
        return torch.zeros_like(scores).scatter_(
            1, targets[:, None], scores.detach().gather(1, targets[:, None])
        )

    with Gradient(model=net, composite=EpsilonPlusFlat()) as attributor:
        expected = attributor(x.clone(), start)[1]
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5


GAMMA = {"rule": "gamma", "gamma": 0.25}
BLOCKS = (Block("a", ("0", "4"), "gamma", {"gamma": 0.25}), Block("b", ("8",), "zero", {}))


@pytest.mark.parametrize(
    "wanted",
    [
        {"Conv2d": GAMMA, "Linear": "zero"},
        {"Linear": "zero", "0": GAMMA, "4": LayerRule("gamma", {"gamma": 0.25})},
        {"0..4": GAMMA, "8": "zero"},
        {"depth ..2": GAMMA, "depth 3": "zero"},
        Composite(BLOCKS),
    ],
)
def test_a_composite_may_be_said_in_many_forms(net, wanted):
    found = lrpsweep.Explainer(net)(*batch(), wanted).relevance
    gamma, zero = LayerRule("gamma", {"gamma": 0.25}), LayerRule("zero")
    assert torch.equal(found, by_engine(net, first=gamma, second=gamma, head=zero))


def test_a_preset_takes_parameters(net):
    explain, gamma = lrpsweep.Explainer(net), LayerRule("gamma", {"gamma": 2.0})
    found = explain(*batch(), {"preset": "uniform_gamma", "gamma": 2}).relevance
    assert torch.equal(found, by_engine(net, first=gamma, second=gamma, head=gamma))
    published = explain(*batch(), {"preset": "uniform_gamma"}).relevance
    assert torch.equal(published, explain(*batch(), "uniform_gamma").relevance)
    assert not torch.equal(published, found)


def test_a_name_counts_before_a_type_in_any_order(net):
    flat, z_plus, zero = (LayerRule(name) for name in ("flat", "z_plus", "zero"))
    explain = lrpsweep.Explainer(net)
    expected = by_engine(net, first=flat, second=z_plus, head=zero)
    for wanted in (
        {"Conv2d": "z_plus", "0": "flat", "Linear": "zero"},
        {"0": "flat", "Linear": "zero", "Conv2d": "z_plus"},
    ):
        assert torch.equal(explain(*batch(), wanted).relevance, expected)


def test_max_pools_have_rules_too(net):
    zero = LayerRule("zero")
    explain = lrpsweep.Explainer(net)
    wanted = {"Conv2d": "zero", "Linear": "zero", "MaxPool2d": "sum"}
    expected = by_engine(net, first=zero, second=zero, head=zero, pool=LayerRule("sum"))
    found = explain(*batch(), wanted).relevance
    assert torch.equal(found, expected)
    assert not torch.allclose(found, by_engine(net, first=zero, second=zero, head=zero))


class ByFunction(nn.Sequential):
    def forward(self, x):
        for layer in self:
            x = nn.functional.max_pool2d(x, 2) if isinstance(layer, nn.MaxPool2d) else layer(x)
        return x


@pytest.mark.parametrize("selector", ["max_pool2d", "MaxPool2d"])
def test_a_max_pool_by_function_has_a_rule_by_name_and_by_type(net, selector):
    wanted = {"Conv2d": "zero", "Linear": "zero"}
    expected = lrpsweep.Explainer(net)(*batch(), wanted | {"3": "sum"}).relevance
    explain = lrpsweep.Explainer(ByFunction(*net).eval())
    assert torch.equal(explain(*batch(), wanted | {selector: "sum"}).relevance, expected)


def test_bounds_of_a_layer(net):
    wanted = {"0": {"rule": "z_box", "low": -3, "high": [3.0, 3, 3]}, "4..8": "zero"}
    known = lrpsweep.Explainer(net, bounds=BOUNDS)(*batch(), {**wanted, "0": "z_box"}).relevance
    torch.testing.assert_close(lrpsweep.Explainer(net)(*batch(), wanted).relevance, known)


def test_a_composite_json_goes_by_path_and_by_content(net, tmp_path):
    document = json.loads(DOCUMENT)
    path = tmp_path / "composite.json"
    path.write_text(DOCUMENT)
    zero, gamma = LayerRule("zero"), LayerRule("gamma", {"gamma": 0.25})
    expected = by_engine(net, first=gamma, second=gamma, head=zero)
    for wanted in (document, path, str(path)):
        assert torch.equal(lrpsweep.Explainer(net)(*batch(), wanted).relevance, expected)


DOCUMENT = json.dumps(
    {
        "schema_version": 1,
        "model": {
            "source": {"python": "net"},
            "architecture": "Sequential",
            "fingerprint": "0" * 64,
            "classes": [],
            "input_size": [10, 10],
            "preprocess": {"resize": 10, "crop": 10, "mean": [0, 0, 0], "std": [1, 1, 1]},
            "pixel_low": [-3, -3, -3],
            "pixel_high": [3, 3, 3],
        },
        "blocks": [
            {
                "block": "convolutions",
                "layers": ["0", "4"],
                "rule": "gamma",
                "hyperparameters": {"gamma": 0.25, "stabilizer": 1e-6},
            },
            {
                "block": "head",
                "layers": ["8"],
                "rule": "zero",
                "hyperparameters": {"stabilizer": 1e-6},
            },
        ],
        "evaluation": {},
        "result": {
            "validated": False,
            "objective": "srg",
            "direction": "maximize",
            "search": {"mean": 1.0, "stderr": None, "images": 2},
        },
        "provenance": {
            "study": "own",
            "trial": 0,
            "values": {},
            "spec_hash": "0" * 64,
            "seed": 0,
            "device": "cpu",
            "versions": {},
        },
    }
)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("epsilon_plus_flt", "found 'epsilon_plus_flt'.*Did you mean 'epsilon_plus_flat'"),
        ("nowhere.json", r"nowhere\.json: cannot be read"),
        (
            {"preset": "tutorial", "gama": 0.5},
            "found 'gama'; expected one of gamma, epsilon.*'gamma'",
        ),
        ({"preset": "tutorial", "gamma": "$g"}, "gamma: found '.g'; expected a number"),
        ({"preset": "uniform_gamma", "gamma": -1}, r"composite\.features\.gamma: found -1"),
        ({"Conv2d": "z_plus"}, "layer '8' is in no block"),
        ({"Conv3d": "z_plus"}, "the network has no layer 'Conv3d'"),
        ({"ReLU": "z_plus"}, r"composite\.ReLU: the rule z_plus is for .* weighted; .* kind relu"),
        ({"Conv2d": "z_pluss"}, "found 'z_pluss'.*Did you mean 'z_plus'"),
        ({"Conv2d": 3}, r"composite\.Conv2d: found 3; expected a rule's name"),
        ({"0": {"rule": "z_box", "low": -3}}, r"composite\.0\.high: found None; expected a number"),
        ({"Conv2d": {"rule": "gamma", "gamma": -1}, "8": "zero"}, r"Conv2d\.gamma: found -1"),
        ({"blocks": []}, "composite: schema_version: missing"),
        ({"preset": 3}, r"composite\.preset: found 3; expected a preset's name"),
        (None, "composite: found None; expected a preset's name"),
        ([], r"composite: found \[\]; expected a preset's name"),
    ],
)
def test_a_composite_that_cannot_be_is_refused(net, wanted, said):
    with pytest.raises(InputError, match=said):
        lrpsweep.Explainer(net, bounds=BOUNDS)(*batch(), wanted)


def test_a_preset_that_needs_bounds_asks_for_them(net):
    """Once it was said that the first layer does not read the images."""
    with pytest.raises(InputError, match=r"z_box on '0' needs .* Explainer\(net, bounds="):
        lrpsweep.Explainer(net)(*batch(), "decreasing_gamma")


def test_several_targets_take_one_forward_pass_and_its_comparison(net):
    calls = []

    class Counted(nn.Sequential):
        def forward(self, x):
            calls.append(x)
            return super().forward(x)

    counted, (x, _) = Counted(*net).eval(), batch()
    explain = lrpsweep.Explainer(counted)
    explain.layers  # noqa: B018
    del calls[:]
    found = explain(x, torch.tensor([[0, 1, 2], [4, 0, 0]]), "epsilon_plus")
    assert len(calls) == 1
    assert found.relevance.shape == (2, 3, 3, 10, 10)
    expected = explain(x, torch.tensor([2, 0]), "epsilon_plus").relevance
    torch.testing.assert_close(found.relevance[:, 2], expected)


def test_relevance_at_inner_layers_is_that_of_the_network_above(net):
    explain, (x, targets) = lrpsweep.Explainer(net), batch()
    found = explain(x, targets, "epsilon_plus", at="3")
    above = nn.Sequential(*net[4:])
    expected = lrpsweep.Explainer(above)(
        net[:4](x), targets, {"0": "z_plus", "4": {"rule": "epsilon", "epsilon": 1e-6}}
    )
    assert found.relevance.shape == (2, 4, 4, 4)
    torch.testing.assert_close(found.relevance, expected.relevance)
    assert found.heatmaps.shape == (2, 4, 4)
    several = explain(x, torch.stack((targets, targets), 1), "epsilon_plus", at="3")
    torch.testing.assert_close(several.relevance[:, 1], found.relevance)


def test_a_merged_batch_norm_and_its_layer_have_the_same_relevance(net):
    explain, (x, targets) = lrpsweep.Explainer(net), batch()
    one, other = (explain(x, targets, "epsilon_plus", at=name).relevance for name in ("0", "1"))
    assert torch.equal(one, other)
    scores = explain(x, targets, "epsilon_plus", at="8")
    torch.testing.assert_close(scores.relevance.sum(1), scores.score)


@pytest.mark.parametrize("at", ["9", "7", "features", 3])
def test_a_layer_that_computes_nothing_has_no_relevance(net, at):
    with pytest.raises(InputError, match=f"at: the network has no layer '{at}'"):
        lrpsweep.Explainer(net)(*batch(), "epsilon_plus", at=at)


def test_a_layer_that_is_used_twice_is_ambiguous():
    torch.manual_seed(0)
    relu = nn.ReLU()
    net = nn.Sequential(nn.Conv2d(3, 4, 3), relu, nn.Conv2d(4, 4, 3), relu, nn.Flatten())
    net = nn.Sequential(net, nn.Linear(144, 2)).eval().double()
    with pytest.raises(InputError, match=r"at: '0\.1' gets relevance 2 times"):
        lrpsweep.Explainer(net)(*batch(), "epsilon_plus", at="0.1")


def test_a_rule_of_ones_own_is_used_by_name(net):
    def half(record, arriving, balance, *, share):
        """LRP-0 of a share of the relevance; the stabilizer takes the rest."""
        balance.drop((1 - share) * arriving.relevance)
        s = balance.divide(share * arriving.relevance, record.z, record.bias, 1e-6)
        return record.pull(record.weight, s) * record.x

    share = lrpsweep.attribution.Parameter("share", high=1.0, default=0.5)
    explain = lrpsweep.Explainer(net)
    zero = explain(*batch(), {"Conv2d": "zero", "Linear": "zero"}).relevance
    with RULES.register(Rule("half", half, "half of LRP-0", (share,))):
        found = explain(*batch(), {"Conv2d": "zero", "Linear": "half"})
        torch.testing.assert_close(found.relevance, zero / 2, rtol=1e-5, atol=1e-9)
        with pytest.raises(InputError, match="share: found 2; expected a number from 0 to 1"):
            explain(*batch(), {"Conv2d": "zero", "Linear": {"rule": "half", "share": 2}})
    with pytest.raises(InputError, match="found 'half'"):
        explain(*batch(), {"Conv2d": "zero", "Linear": "half"})


def test_a_rule_of_ones_own_for_max_pools(net):
    def all_equal(propagation):
        """Every value of the image gets the same."""
        x, total = propagation.given[0], propagation.relevance.flatten(1).sum(1)
        return [Arriving(total.view(-1, 1, 1, 1).expand_as(x) / x[0].numel())]

    explain = lrpsweep.Explainer(net)
    wanted = {"Conv2d": "flat", "Linear": "zero", "3": "even"}
    with pytest.raises(InputError, match=r"found 'even'; expected one of .*winner, sum"):
        explain(*batch(), wanted)
    with RULES.register(Rule("even", all_equal, "all equal", on="max_pool")):
        inner = explain(*batch(), wanted, at="2").relevance
    assert float((inner - inner[:, :1, :1, :1]).abs().max()) < 1e-12
    assert float(inner.abs().max()) > 0


class Cube(nn.Module):
    def forward(self, x):
        return x**3


def test_an_unexplained_rest_is_an_error_unless_it_is_let_pass():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), Cube(), nn.Flatten(), nn.Linear(256, 3))
    net, (x, targets) = net.eval().double(), batch()
    with lrpsweep.register(Cube, lambda module, inputs, relevance: 3 * relevance):
        with pytest.raises(
            WorkError, match=r"does not sum up to the score in 2 of 2 images: of .*"
        ):
            lrpsweep.Explainer(net)(x, targets, "epsilon_plus")
        with pytest.raises(WorkError, match="in 2 of 2 images"):
            lrpsweep.Explainer(net)(x, targets[:, None], "epsilon_plus")
        found = lrpsweep.Explainer(net, unexplained=None)(x, targets, "epsilon_plus")
        assert float(found.unexplained.abs().max()) > 0.01 * float(found.score.abs().max())
        rest = float((found.unexplained / found.score).abs().max())
        assert lrpsweep.Explainer(net, unexplained=1.01 * rest)(x, targets, "epsilon_plus")


def test_a_network_that_changes_is_explained_as_it_is(net):
    explain, (x, targets) = lrpsweep.Explainer(net), batch()
    wanted = {layer.name: "zero" for layer in explain.layers if layer.weighted}
    before = explain(x, targets, wanted)
    net[5] = nn.Sequential(nn.ReLU(), nn.Conv2d(6, 6, 1).double(), nn.ReLU())
    with pytest.raises(InputError, match=r"layer '5\.1' is in no block"):
        explain(x, targets, wanted)
    found = explain(x, targets, wanted | {"5.1": "zero"})
    assert [layer.name for layer in explain.layers] == [layer.name for layer in list_layers(net)]
    torch.testing.assert_close(found.score, net(x).gather(1, targets[:, None])[:, 0])
    assert not torch.allclose(found.score, before.score)
