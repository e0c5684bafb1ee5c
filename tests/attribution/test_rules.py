"""Every rule against its formula, written with the layer as an explicit matrix, in float64.

The matrix comes from applying the layer to unit vectors. Half of the examples hold multiples of
1/8 only: their sums are exact, so that z is exactly 0 now and then.
"""

from __future__ import annotations

import copy
import inspect
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from captum.attr import LRP
from captum.attr._utils.lrp_rules import GammaRule
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from zennit import rules as zr
from zennit.core import Stabilizer

from lrpsweep.attribution.lrp.balance import Arriving, Balance
from lrpsweep.attribution.lrp.record import Record
from lrpsweep.attribution.lrp.rules import (
    RULES,
    LayerRule,
    canonical,
    mixes_images,
    resolve,
)

LOW, HIGH = -2.5, 2.75


@dataclass(frozen=True)
class Case:
    """A layer, what it reads (N, *in), and the relevance of what it gives (N, *out)."""

    layer: nn.Conv2d | nn.Linear
    x: Tensor
    relevance: Tensor

    @property
    def record(self) -> Record:
        bounds = (torch.full_like(self.x[:1], bound) for bound in (LOW, HIGH))
        return Record(self.layer, self.x, None, *bounds)

    @property
    def matrix(self) -> tuple[Tensor, Tensor]:
        """w (J, K) and b (K,) with layer(x) = x w + b."""
        with torch.no_grad():
            b = self.layer(torch.zeros_like(self.x[:1])).flatten()
            units = torch.eye(self.x[0].numel()).double().view(-1, *self.x.shape[1:])
            return self.layer(units).flatten(1) - b, b


def values(kind, generator, *shape):
    if kind == "exact":
        return torch.randint(-16, 17, shape, generator=generator).double() / 8
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def convolution(draw):
    groups = draw(st.integers(1, 2))
    kernel, stride, padding, dilation = (
        (draw(st.integers(*ends)), draw(st.integers(*ends)))
        for ends in ((1, 3), (1, 3), (0, 2), (1, 2))
    )
    channels = [groups * draw(st.integers(1, 2)) for _ in range(2)]
    least = [dilation[i] * (kernel[i] - 1) + 1 for i in range(2)]
    shape = (channels[0], *(max(1, size + draw(st.integers(0, 3))) for size in least))
    arguments = (*channels, kernel, stride, padding, dilation, groups, draw(st.booleans()))
    return nn.Conv2d(*arguments), shape


def dense(draw):
    ends = [draw(st.integers(1, 5)) for _ in range(2)]
    return nn.Linear(*ends, bias=draw(st.booleans())), ends[:1]


@st.composite
def cases(draw, signs=("signed", "nonnegative"), kinds=("exact", "normal")):
    layer, shape = draw(st.sampled_from([convolution, dense]))(draw)
    kind = draw(st.sampled_from(kinds))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    layer = layer.double().requires_grad_(False)
    for parameter in layer.parameters():
        parameter.copy_(values(kind, generator, *parameter.shape))
    x = values(kind, generator, 2, *shape)
    x[torch.rand(x.shape, generator=generator) < 0.2] = 0.0
    x = x.abs() if draw(st.sampled_from(signs)) == "nonnegative" else x
    return Case(layer, x, values(kind, generator, *layer(x).shape))


def ratio(numerator, denominator):
    return torch.where(
        denominator == 0, 0, numerator / torch.where(denominator == 0, 1, denominator)
    )


def sign(z):
    return torch.where(z >= 0, 1.0, -1.0).to(z)


STABILIZERS = {
    "signed": lambda z, s, sign: z + s * sign,
    "unsigned": lambda z, s, sign: z + s,
    "clip": lambda z, s, sign: sign * torch.maximum(z.abs(), torch.full_like(z, s)),
}


def away(z, hyper, side=None):
    """z away from zero; side: what counts as the sign of 0, if not 1."""
    signs = sign(z) if side is None else torch.where(z == 0, side, sign(z))
    return STABILIZERS[hyper.get("stabilize", "signed")](z, hyper["stabilizer"], signs)


def contributions(x, w):
    """x_j w_jk, (N, J, K)."""
    return x[:, :, None] * w


def shared(numerators, denominators, relevance):
    """Σ_k numerator_jk / denominator_k R_k, (N, J)."""
    return (numerators * ratio(relevance, denominators)[:, None]).sum(2)


def zero(x, w, b, r, **hyper):
    return shared(contributions(x, w), away(x @ w + b, hyper), r)


def epsilon(x, w, b, r, *, epsilon, stabilizer, form="signed"):
    z = x @ w + b
    if form == "signed":
        return zero(x, w, b, r, stabilizer=max(epsilon, stabilizer))
    added = {
        "unsigned": epsilon,
        "rms": epsilon * (z**2).mean(1, keepdim=True).sqrt() * sign(z),
        "rms_batch": epsilon * (z**2).mean().sqrt() + 1e-9,
    }[form]
    return shared(contributions(x, w), away(z + added, {"stabilizer": stabilizer}), r)


def gamma(x, w, b, r, *, gamma, bias="scaled", **hyper):
    c, z = contributions(x, w), x @ w + b
    found = torch.zeros_like(x)
    for side in (1, -1):
        favoured = c.clamp(min=0) if side > 0 else c.clamp(max=0)
        same = b.clamp(min=0) if side > 0 else b.clamp(max=0)
        if math.isinf(gamma):
            numerators, taken = favoured, {"scaled": same, "kept": 0, "dropped": 0}[bias]
        else:
            numerators = c + gamma * favoured
            taken = {"scaled": b + gamma * same, "kept": b, "dropped": 0}[bias]
        here = torch.where(z * side > 0, r, 0)
        denominators = away(numerators.sum(1) + taken, hyper, None if bias == "dropped" else side)
        found += shared(numerators, denominators, here)
    return found


def alpha_beta(x, w, b, r, *, alpha, **hyper):
    c = contributions(x, w)
    plus = shared(c.clamp(min=0), away(c.clamp(min=0).sum(1) + b.clamp(min=0), hyper), r)
    minus = shared(c.clamp(max=0), away(c.clamp(max=0).sum(1) + b.clamp(max=0), hyper), r)
    return alpha * plus - (alpha - 1) * minus


def z_plus(x, w, b, r, **hyper):
    return alpha_beta(x, w, b, r, alpha=1.0, **hyper)


def z_box(x, w, b, r, **hyper):
    numerators = contributions(x, w) - LOW * w.clamp(min=0) - HIGH * w.clamp(max=0)
    return shared(numerators, away(numerators.sum(1), hyper), r)


def w_square(x, w, b, r, **hyper):
    squares = (w**2).expand(len(x), -1, -1)
    return shared(squares, away(squares.sum(1), hyper), r)


FORMULAS = {
    "zero": zero,
    "epsilon": epsilon,
    "gamma": gamma,
    "alpha_beta": alpha_beta,
    "z_plus": z_plus,
    "z_box": z_box,
    "w_square": w_square,
}
STABILIZED = st.fixed_dictionaries(
    {
        "stabilizer": st.sampled_from([0.0, 1e-6, 0.25]),
        "stabilize": st.sampled_from(sorted(STABILIZERS)),
    }
)
HYPER = {
    "epsilon": st.fixed_dictionaries(
        {
            "epsilon": st.sampled_from([0.0, 0.125, 1.0]),
            "stabilizer": st.sampled_from([1e-6, 0.25]),
            "form": st.sampled_from(["signed", "unsigned", "rms", "rms_batch"]),
        }
    ),
    "gamma": st.fixed_dictionaries(
        {
            "gamma": st.sampled_from([0.0, 0.25, 2.0, math.inf]),
            "bias": st.sampled_from(["scaled", "kept", "dropped"]),
        }
    ),
    "alpha_beta": st.fixed_dictionaries({"alpha": st.sampled_from([1.0, 1.5, 2.0])}),
}


@st.composite
def hypers(draw, rule):
    own = draw(HYPER.get(rule, st.just({})))
    return own if rule == "epsilon" else own | draw(STABILIZED)


def explained(rule, case, hyper, record=None, rectified=False):
    """Relevance (N, *in), and what bias and stabilizer took, (N,)."""
    balance = Balance.empty(len(case.x), case.x)
    arriving = Arriving(case.relevance, rectified)
    found = RULES[rule].function(record or case.record, arriving, balance, **hyper)
    return found, balance


def scale(case, reference):
    return float(max(reference.abs().max(), case.relevance.abs().max(), 1e-3))


def test_every_rule_is_tested_here():
    of_layers = {name for name, rule in RULES.items() if rule.on == "weighted"}
    assert {*FORMULAS, "flat", "pass"} == of_layers


@pytest.mark.parametrize("name", RULES)
def test_a_function_takes_the_settings_that_its_rule_lists(name):
    rule = RULES[name]
    parameters = inspect.signature(rule.function).parameters
    found = {p.name: p.default for p in parameters.values() if p.kind is p.KEYWORD_ONLY}
    if "how" in parameters:
        divide = inspect.signature(Balance.divide).parameters
        found |= {name: divide[name].default for name in ("stabilizer", "stabilize")}
    required = {parameter.name: inspect.Parameter.empty for parameter in rule.parameters}
    usual = {option.name: option.values[0] for option in rule.options}
    assert found == required | usual | ({"bounds": None} if rule.bounded else {})


@pytest.mark.parametrize("rule", FORMULAS)
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_a_rule_is_its_formula(rule, data):
    case, hyper = data.draw(cases()), data.draw(hypers(rule))
    found, _ = explained(rule, case, hyper)
    w, b = case.matrix
    expected = FORMULAS[rule](case.x.flatten(1), w, b, case.relevance.flatten(1), **hyper)
    assert found.shape == case.x.shape
    error = (found.flatten(1) - expected).abs().max()
    assert float(error) < 1e-10 * scale(case, expected)


@settings(max_examples=50, deadline=None)
@given(case=cases(), hyper=STABILIZED)
def test_flat_gives_the_same_to_every_input_that_a_unit_reads(case, hyper):
    found, _ = explained("flat", case, hyper)
    ones = copy.deepcopy(case.layer)
    nn.init.ones_(ones.weight)
    connected, _ = Case(ones, case.x, case.relevance).matrix
    shares = connected.expand(len(case.x), -1, -1)
    expected = shared(shares, away(shares.sum(1), hyper), case.relevance.flatten(1))
    assert float((found.flatten(1) - expected).abs().max()) < 1e-10 * scale(case, expected)


@settings(max_examples=50, deadline=None)
@given(case=cases())
def test_pass_is_for_layers_that_keep_the_shape_and_leaves_relevance_alone(case):
    found, _ = explained("pass", case, {})
    assert found is case.relevance
    if not RULES["pass"].refusal(case.layer):
        assert case.relevance.shape == case.x.shape


@pytest.mark.parametrize(
    ("layer", "keeps"),
    [
        (nn.Linear(3, 3), True),
        (nn.Linear(3, 4), False),
        (nn.Conv2d(2, 2, 3, padding=1), True),
        (nn.Conv2d(2, 2, (3, 1), padding=(2, 0), dilation=2), True),
        (nn.Conv2d(2, 2, 3, padding="same"), True),
        (nn.Conv2d(2, 2, 3), False),
        (nn.Conv2d(2, 2, 2, padding=1), False),
        (nn.Conv2d(2, 2, 3, stride=2, padding=1), False),
        (nn.Conv2d(2, 4, 1), False),
        (nn.Flatten(), False),
    ],
)
def test_which_layers_keep_the_shape(layer, keeps):
    assert (RULES["pass"].refusal(layer) is None) == keeps


@pytest.mark.parametrize("rule", ["zero", "epsilon", "gamma", "alpha_beta", "z_plus"])
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_knowing_that_a_relu_reads_the_layer_changes_nothing(rule, data):
    case, hyper = data.draw(cases()), data.draw(hypers(rule))
    rectified = case.layer(case.x).clamp(min=0)
    case = replace(case, relevance=torch.where(rectified > 0, case.relevance, 0))
    record = replace(case.record, rectified=rectified)
    plain, slow = explained(rule, case, hyper)
    fast, quick = explained(rule, case, hyper, record, rectified=True)
    bound = 1e-10 * scale(case, plain)
    assert float((plain - fast).abs().max()) < bound
    for one, other in ((slow.bias, quick.bias), (slow.stabilizer, quick.stabilizer)):
        assert float((one - other).abs().max()) < 10 * bound


@pytest.mark.parametrize("rule", sorted({*FORMULAS, "flat"}))
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_what_a_rule_does_not_pass_on_is_accounted_for(rule, data):
    case, hyper = data.draw(cases()), data.draw(hypers(rule))
    found, balance = explained(rule, case, hyper)
    left = case.relevance.flatten(1).sum(1) - found.flatten(1).sum(1)
    rest = left - balance.bias - balance.stabilizer
    assert float(rest.abs().max()) < 1e-9 * scale(case, found) * found[0].numel()
    if case.layer.bias is None or rule in ("z_box", "w_square", "flat"):
        assert not balance.bias.any()
    if hyper.get("bias") == "dropped":
        assert not balance.bias.any()


CONSERVING = [
    ("zero", {}),
    ("gamma", {"gamma": 0.25}),
    ("gamma", {"gamma": 3.0, "bias": "dropped"}),
    ("z_plus", {}),
    ("alpha_beta", {"alpha": 2.0}),
    ("z_box", {}),
    ("w_square", {}),
    ("flat", {}),
]


@pytest.mark.parametrize(("rule", "hyper"), CONSERVING)
@settings(max_examples=50, deadline=None)
@given(case=cases(kinds=("normal",)))
def test_relevance_is_conserved_where_it_can_be(rule, hyper, case):
    """Without bias and stabilizer, where every unit has something of the kinds the rule needs."""
    if case.layer.bias is not None:
        case.layer.bias = None
    c = contributions(case.x.flatten(1), case.matrix[0])
    needed = {"alpha_beta": (c > 0).any(1) & (c < 0).any(1), "z_plus": (c > 0).any(1)}
    reads = (c != 0).any(1) if rule in ("zero", "gamma") else (case.matrix[0] != 0).any(0)
    kept = needed.get(rule, reads.expand(len(c), -1)).view_as(case.relevance)
    case = replace(case, relevance=torch.where(kept, case.relevance, 0))
    found, _ = explained(rule, case, hyper | {"stabilizer": 0.0})
    total = case.relevance.flatten(1).sum(1)
    rest = (found.flatten(1).sum(1) - total).abs().max()
    assert float(rest) < 1e-8 * scale(case, found)


def test_a_rule_that_needs_what_is_not_there_loses_it_to_the_stabilizer():
    layer = nn.Linear(2, 1, bias=False).double().requires_grad_(False)
    layer.weight.copy_(torch.tensor([[-1.0, -2.0]]))
    case = Case(layer, torch.ones(1, 2).double(), torch.ones(1, 1).double())
    found, balance = explained("z_plus", case, {"stabilizer": 1e-6})
    assert not found.any()
    assert balance.stabilizer.tolist() == [1.0]


def dense_case():
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(6, 5).double().requires_grad_(False)
    for parameter in layer.parameters():
        parameter.copy_(values("normal", generator, *parameter.shape))
    x, relevance = (values("normal", generator, 3, size) for size in (6, 5))
    return Case(layer, x, relevance)


@pytest.mark.parametrize("bias", ["kept", "dropped"])
def test_infinite_gamma_is_the_limit_where_something_has_the_sign_of_z(bias):
    case = dense_case()
    c = contributions(case.x, case.matrix[0])
    both = (c > 0).any(1) & (c < 0).any(1)
    assert 0 < int(both.sum()) < both.numel()
    case = replace(case, relevance=torch.where(both, case.relevance, 0))
    at = [
        explained("gamma", case, {"gamma": g, "bias": bias, "stabilizer": 0.0})[0]
        for g in (1e9, math.inf)
    ]
    torch.testing.assert_close(*at, rtol=1e-6, atol=1e-8)


def test_only_rms_over_the_batch_depends_on_the_neighbours():
    case = dense_case()
    first = Case(case.layer, case.x[:1], case.relevance[:1])
    for form, depends in (("rms", False), ("rms_batch", True)):
        hyper = {"epsilon": 0.5, "stabilizer": 1e-6, "form": form}
        together, _ = explained("epsilon", case, hyper)
        alone, _ = explained("epsilon", first, hyper)
        assert bool((together[:1] - alone).abs().max() > 1e-3) == depends


BOX = (torch.tensor(LOW).double(), torch.tensor(HIGH).double())
THEIRS = [
    ("zero", {"stabilizer": 1e-6}, zr.Epsilon(1e-6)),
    ("zero", {"stabilizer": 0.25, "stabilize": "clip"}, zr.Epsilon(Stabilizer(0.25, clip=True))),
    ("epsilon", {"epsilon": 0.25, "stabilizer": 1e-6}, zr.Epsilon(0.25)),
    (
        "epsilon",
        {"epsilon": 0.25, "stabilizer": 0.0, "form": "rms"},
        zr.Epsilon(Stabilizer(0.25, norm_scale=True)),
    ),
    ("gamma", {"gamma": 0.25, "stabilizer": 1e-6}, zr.Gamma(0.25)),
    (
        "gamma",
        {"gamma": 2.0, "stabilizer": 0.25, "stabilize": "clip"},
        zr.Gamma(2.0, stabilizer=Stabilizer(0.25, clip=True)),
    ),
    ("alpha_beta", {"alpha": 2.0, "stabilizer": 1e-6}, zr.AlphaBeta(2.0, 1.0)),
    ("z_plus", {"stabilizer": 1e-6}, zr.ZPlus()),
    ("z_box", {"stabilizer": 1e-6}, zr.ZBox(*BOX)),
    ("w_square", {"stabilizer": 1e-6}, zr.WSquare(zero_params="bias")),
    ("flat", {"stabilizer": 1e-6}, zr.Flat()),
]


@pytest.mark.parametrize(("rule", "hyper", "theirs"), THEIRS)
@settings(max_examples=50, deadline=None)
@given(case=cases())
def test_a_rule_is_zennits(rule, hyper, theirs, case):
    found, _ = explained(rule, case, hyper)
    handles = theirs.copy().register(case.layer)
    x = case.x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(case.layer(x), x, case.relevance)
    handles.remove()
    where = torch.isfinite(expected)  # zennit divides by 0 where all of an image's z are 0
    error = torch.where(where, found - expected, 0).abs().max()
    assert float(error) < 1e-10 * scale(case, torch.where(where, expected, 0))


class Scores(nn.Module):
    """A layer's outputs as classes."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x).flatten(1)


@pytest.mark.parametrize("bias", ["kept", "dropped"])
@settings(max_examples=50, deadline=None)
@given(case=cases(signs=("nonnegative",)), gamma=st.sampled_from([0.0, 0.25, 2.0]))
def test_gamma_with_a_kept_or_dropped_bias_is_captums(bias, case, gamma):
    """Its γ scales weights, not their contributions, which is the same where x ≥ 0 and z > 0."""
    scores = case.layer(case.x).flatten(1)
    best, target = scores.max(1)
    start = torch.zeros_like(scores).scatter_(1, target[:, None], best[:, None].clamp(min=0))
    ours = replace(case, relevance=start.view_as(case.relevance))
    found, _ = explained("gamma", ours, {"gamma": gamma, "bias": bias, "stabilizer": 1e-9})
    case.layer.rule = GammaRule(gamma, set_bias_to_zero=bias == "dropped")
    x = case.x.clone().requires_grad_()
    expected = LRP(Scores(case.layer)).attribute(x, target).detach()
    expected[best <= 0] = 0
    assert float((found - expected).abs().max()) < 1e-10 * scale(ours, expected)


def settings_of(rule):
    """Draws settings of a rule from its table, among them those at which it is another one."""
    numbers = {
        p.name: st.sampled_from([v for v in (0.0, 1e-6, 0.25, 1.0, 2.0) if p.allows(v)])
        for p in RULES[rule].parameters
    }
    words = {option.name: st.sampled_from(option.values) for option in RULES[rule].options}
    return st.fixed_dictionaries({**numbers, **words})


@pytest.mark.parametrize("rule", [name for name, rule in RULES.items() if rule.same_as])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_rules_that_are_called_the_same_do_the_same(rule, data):
    resolved = resolve(LayerRule(rule, data.draw(settings_of(rule))), "rule")
    other = RULES[rule].same_as(resolved.settings)
    if other is None:
        return
    assert canonical(resolved) == canonical(other)
    case = data.draw(cases())
    if rule == "gamma":  # where z is exactly 0 it passes nothing on; LRP-0's stabilizer does
        case = replace(case, relevance=case.relevance.masked_fill(case.layer(case.x) == 0, 0))
    expected, _ = explained(rule, case, resolved.settings)
    found, _ = explained(other.rule, case, resolve(other, "rule").settings)
    assert float((found - expected).abs().max()) < 1e-10 * scale(case, expected)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("gamma", {"gamma": 0}), ("zero", {}), True),
        (("gamma", {"gamma": 0, "bias": "kept"}), ("zero", {}), True),
        (("gamma", {"gamma": 0, "bias": "dropped"}), ("zero", {}), False),
        (("gamma", {"gamma": 1e-6}), ("zero", {}), False),
        (("epsilon", {"epsilon": 1e-7}), ("zero", {}), True),
        (("epsilon", {"epsilon": 1e-5}), ("zero", {}), False),
        (("epsilon", {"epsilon": 0, "form": "rms"}), ("zero", {}), True),
        (("epsilon", {"epsilon": 0, "form": "rms_batch"}), ("zero", {}), False),
        (("alpha_beta", {"alpha": 1}), ("z_plus", {}), True),
        (("alpha_beta", {"alpha": 2}), ("z_plus", {}), False),
        (("alpha_beta", {"alpha": 1, "stabilizer": 0.1}), ("z_plus", {}), False),
        (("zero", {"stabilize": "none"}), ("zero", {"stabilizer": 0}), True),
        (("zero", {"stabilize": "clip"}), ("zero", {}), False),
        (("z_box", {}), ("z_box", {"bounds": ((0.0,), (1.0,))}), False),
        (("z_box", {"bounds": ((0.0,), (1.0,))}), ("z_box", {"bounds": ((0.0,), (1.0,))}), True),
    ],
)
def test_which_rules_are_the_same(one, other, same):
    assert (canonical(LayerRule(*one, "a")) == canonical(LayerRule(*other, "b"))) == same
    hash(canonical(LayerRule(*one)))


def test_only_one_option_mixes_images():
    found = {
        (name, option.name, value)
        for name, rule in RULES.items()
        for option in rule.options
        for value in option.values
        if mixes_images(LayerRule(name, {option.name: value}))
    }
    assert found == {("epsilon", "form", "rms_batch")}
    assert not mixes_images(LayerRule("epsilon", {"epsilon": 0.1}))


DOCS = Path(__file__).parents[2]


def described(parameter):
    default = "" if parameter.default is None else f"; {parameter.default:g} if not given"
    return f"`{parameter.name}` ({parameter.requirement}{default})"


def rules_table():
    """The rules in Markdown: name, title, parameters with range and default, options."""
    lines = ["| rule | | parameters | options |", "|---|---|---|---|"]
    for rule in RULES.values():
        parameters = "; ".join(map(described, rule.parameters))
        options = "; ".join(f"`{o.name}`: {', '.join(o.values)}" for o in rule.options)
        lines.append(f"| `{rule.name}` | {rule.title} | {parameters} | {options} |")
    return "\n".join(lines)


def test_the_table_in_the_docs_is_that_of_the_rules():
    assert rules_table() in (DOCS / "docs" / "engine.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", RULES)
def test_the_readme_names_every_rule_parameter_and_option(name):
    rule = RULES[name]
    options = [word for option in rule.options for word in (option.name, *option.values)]
    text = re.findall(r"[\w⁺²♭]+", (DOCS / "README.md").read_text(encoding="utf-8"))
    assert {name, *(p.name for p in rule.parameters), *options} <= set(text)
