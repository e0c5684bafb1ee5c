"""The rules of LRP: how one layer with weights redistributes relevance to what it has read.

In every rule x is the layer's input, w and b its weights, z = Σ_j x_j w_jk + b_k its output and
R_k the relevance that arrives there. ⁺ and ⁻ are positive and negative parts. A contribution has a
sign of its own: z⁺ = x⁺w⁺ + x⁻w⁻ and z⁻ = x⁺w⁻ + x⁻w⁺ (sums over j, without bias).

Every rule gets the record of its layer, the relevance that arrives, the balance, and its settings
by name; `how` are those that `Balance.divide` takes, stabilizer and stabilize.

Every rule but `pass` divides by a denominator that `Balance.divide` keeps away from zero, and that
balance writes down what bias and stabilizer take, so that an explanation accounts for its whole
score. A norm rule (contributions x_j over their sum) is not among them: where there are weights,
contributions are x_j w_jk and it is LRP-0; it is what the engine does at sums and average poolings.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lrpsweep.attribution.lrp.balance import Arriving, Balance, signs
from lrpsweep.attribution.lrp.operations import weights_of
from lrpsweep.attribution.lrp.operations.operation import WEIGHTED
from lrpsweep.attribution.lrp.operations.pooling import MAX_POOL, window_sum, winner
from lrpsweep.attribution.lrp.record import Record, by_sign, part, where_negative, where_positive
from lrpsweep.attribution.lrp.rule import LayerRule as LayerRule
from lrpsweep.attribution.lrp.rule import Option as Option
from lrpsweep.attribution.lrp.rule import Parameter as Parameter
from lrpsweep.attribution.lrp.rule import Rule as Rule
from lrpsweep.attribution.lrp.rule import Settings
from lrpsweep.attribution.zennit import translation
from lrpsweep.registry import Registry


def zero(record: Record, arriving: Arriving, balance: Balance, **how: Any) -> Tensor:
    """LRP-0: R_j = Σ_k x_j w_jk / z_k · R_k. On a ReLU network, gradient × input."""
    z, sign = _output(record, arriving)
    s = balance.divide(arriving.relevance, z, record.bias, sign=sign, **how)
    return record.pull(record.weight, s).mul_(record.x)


def _output(record: Record, arriving: Arriving) -> tuple[Tensor, int | None]:
    """z where relevance arrives, and its sign if that is the same everywhere."""
    if arriving.rectified and record.rectified is not None:
        return record.rectified, 1
    return record.z, None


def epsilon(
    record: Record,
    arriving: Arriving,
    balance: Balance,
    *,
    epsilon: float,
    stabilizer: float,
    form: str = "signed",
) -> Tensor:
    """LRP-ε: R_j = Σ_k x_j w_jk / (z_k + ε sign z_k) · R_k, ε in units of z.

    Source: Bach et al. 2015, eq. 58. An ε smaller than the stabilizer is replaced by it. The other
    forms are those of `_added`; the stabilizer then keeps their sum with z away from zero.
    """
    if form == "signed":
        return zero(record, arriving, balance, stabilizer=max(epsilon, stabilizer))
    z, sign = _output(record, arriving)
    added = _added(record, z, epsilon, form)
    s = balance.divide(arriving.relevance, z + added, record.bias, stabilizer, sign)
    balance.drop(added * s)
    return record.pull(record.weight, s).mul_(record.x)


def _added(record: Record, z: Tensor, epsilon: float, form: str) -> Tensor | float:
    """What LRP-ε adds to z, broadcast over (N, *out).

    'unsigned': ε. Source: Montavon et al. 2019, table 10.1, read literally, and the code of
    Bermudez Schettino's thesis. 'rms': ε sign(z) (mean z²)^½, over the units of an image, so that ε
    means the same in every layer. Source: zennit's Stabilizer with norm_scale. 'rms_batch':
    ε (mean z²)^½ + 1e-9 over the whole batch, so that an image's relevance depends on those
    explained with it. Source: the code of Montavon et al. 2019.
    """
    if form == "rms":
        return signs(z) * (epsilon * record.mean_square.sqrt())
    if form == "rms_batch":
        return epsilon * record.mean_square.mean().sqrt() + 1e-9
    return epsilon


def gamma(
    record: Record,
    arriving: Arriving,
    balance: Balance,
    *,
    gamma: float,
    bias: str = "scaled",
    **how: Any,
) -> Tensor:
    """LRP-γ, generalized: contributions of z's own sign count 1 + γ times.

    R_j = Σ_k (x_j w_jk + γ (x_j w_jk)^±) / (z_k + γ (z_k^± + b_k^±)) · R_k, with the sign of z_k.
    For x ≥ 0 and z > 0 this is Montavon et al. 2019, table 10.1; for signed ones Andéol et al.
    2021. γ = 0 is LRP-0, γ = inf keeps contributions of z's sign alone. Where z is exactly 0,
    nothing is passed on and the stabilizer's share takes it. bias: 'scaled' like a weight
    (zennit), 'kept' as b_k in the denominator (captum), or 'dropped' from it (captum's
    set_bias_to_zero), which then may have the other sign, or none. With these two, γ = inf is no
    limit of large γ where z has its sign from the bias alone: there nothing is passed on.
    """
    divide = partial(balance.divide, arriving.relevance, **how)
    z, sign = _output(record, arriving)
    total = _gamma_total(record, z, sign, gamma, bias)
    taken = partial(_taken, record.bias, gamma, bias)
    if sign is not None:
        s = divide(z=total, bias=taken(sign), sign=None if bias == "dropped" else sign)
        return record.signed_pull(lambda side: _favoured(record.weight, gamma, side), s)
    s = divide(z=total, bias=None)
    above, below = where_positive(s, z), where_negative(s, z)
    balance.take_bias(above, taken(1))
    balance.take_bias(below, taken(-1))
    if gamma == 0:
        return record.pull(record.weight, above.add_(below)).mul_(record.x)
    if not math.isinf(gamma):
        above, below = (
            torch.add(below, above, alpha=1 + gamma),
            torch.add(above, below, alpha=1 + gamma),
        )
    lower = record.signed_pull(lambda side: part(record.weight, side), above)
    return lower.add_(record.signed_pull(lambda side: part(record.weight, -side), below))


def _gamma_total(record: Record, z: Tensor, sign: int | None, gamma: float, bias: str) -> Tensor:
    """The denominator, z + γz^±, or z^± for γ = inf, with biases as `gamma` says; 0 where z is."""
    if bias == "scaled" or record.bias is None:
        own = record.own if sign is None else record.plus
    elif sign is None:
        own = by_sign(z, record.signed_push(1), record.signed_push(-1))
    else:
        own = record.signed_push(1)
    if math.isinf(gamma):
        return own
    total = torch.add(z, own, alpha=gamma)
    if bias == "dropped" and record.bias is not None:
        total = torch.where(z == 0, 0, total - record.per_unit(record.bias))
    return total


def _taken(bias: Tensor | None, gamma: float, how: str, sign: int) -> Tensor | None:
    """The biases' part of the denominator where z has the sign, (K,)."""
    if bias is None or how == "dropped":
        return None
    within, times = (0 * bias, 1.0) if math.isinf(gamma) else (bias, gamma)
    return within if how == "kept" else within + times * part(bias, sign)


def _favoured(weight: Tensor, gamma: float, sign: int) -> Tensor:
    """w + γw^±, or w^± for γ = inf."""
    same = part(weight, sign)
    return same if math.isinf(gamma) else same.mul_(gamma).add_(weight)


def alpha_beta(
    record: Record, arriving: Arriving, balance: Balance, *, alpha: float, **how: Any
) -> Tensor:
    """LRP-αβ with β = α − 1: R_j = Σ_k (α (x_j w_jk)⁺/z_k⁺ − β (x_j w_jk)⁻/z_k⁻) R_k.

    The denominators include b⁺ and b⁻. Source: Bach et al. 2015, eq. 60, with the sign of β as in
    Montavon et al. 2019 (α − β = 1, β ≥ 0).
    """
    branch = partial(_alpha_beta_branch, record, balance, **how)
    positive = branch(relevance=alpha * arriving.relevance, sign=1)
    if _is_1(alpha):
        return positive
    return positive + branch(relevance=(1 - alpha) * arriving.relevance, sign=-1)


def _is_1(alpha: float) -> bool:
    return math.isclose(alpha, 1.0, rel_tol=0, abs_tol=1e-12)


def _alpha_beta_branch(
    record: Record, balance: Balance, relevance: Tensor, *, sign: int, **how: Any
) -> Tensor:
    bias = None if record.bias is None else part(record.bias, sign)
    z = record.plus if sign > 0 else record.minus
    s = balance.divide(relevance, z, bias, sign=sign, **how)
    return record.signed_pull(lambda side: part(record.weight, sign * side), s)


def z_plus(record: Record, arriving: Arriving, balance: Balance, **how: Any) -> Tensor:
    """LRP-z⁺, which is LRP-αβ with α = 1, β = 0. Source: Montavon et al. 2017."""
    return alpha_beta(record, arriving, balance, alpha=1.0, **how)


def z_box(
    record: Record,
    arriving: Arriving,
    balance: Balance,
    *,
    bounds: tuple[Sequence[float], Sequence[float]] | None = None,
    **how: Any,
) -> Tensor:
    """LRP-z^B for inputs within [l, h]: z = f(x) − f⁺(l) − f⁻(h), numerators alike.

    l and h are the lowest and highest values that a pixel can have, or the given ones. Source:
    Montavon et al. 2017; Bermudez Schettino, eq. C.28. The bias cancels.
    """
    if bounds is not None:
        low, high = (record.per_channel(bound) for bound in bounds)
        record = replace(record, low=low, high=high)
    sign = 1 if record.within else None
    s = balance.divide(arriving.relevance, record.boxed, None, sign=sign, **how)
    low, high = record.bounds
    pulled_low = record.pull(record.weight.clamp(min=0), s).mul_(low)
    pulled_high = record.pull(record.weight.clamp(max=0), s).mul_(high)
    return record.pull(record.weight, s).mul_(record.x).sub_(pulled_low).sub_(pulled_high)


def w_square(record: Record, arriving: Arriving, balance: Balance, **how: Any) -> Tensor:
    """LRP-w²: R_j = Σ_k w_jk² / Σ_i w_ik² · R_k, whatever the inputs are.

    Padding counts as no input; the bias takes nothing (zennit's adds b² to the denominator unless
    told not to). Source: Montavon et al. 2017.
    """
    return _by_weight(record, arriving, balance, record.weight.square(), **how)


def flat(record: Record, arriving: Arriving, balance: Balance, **how: Any) -> Tensor:
    """LRP-♭: every input a unit reads gets the same share. Source: Lapuschkin et al. 2019.

    Padding counts as no input; the bias takes nothing.
    """
    return _by_weight(record, arriving, balance, torch.ones_like(record.weight), **how)


def _by_weight(
    record: Record, arriving: Arriving, balance: Balance, weight: Tensor, **how: Any
) -> Tensor:
    """R_j = Σ_k v_jk / Σ_i v_ik · R_k for a `weight` v ≥ 0."""
    z = record.push(torch.ones_like(record.x[:1]), weight).expand_as(arriving.relevance)
    return record.pull(weight, balance.divide(arriving.relevance, z, None, sign=1, **how))


def unchanged(record: Record, arriving: Arriving, balance: Balance) -> Tensor:
    """The rule `pass`: R_j = R_j, for layers whose output has the shape of their input."""
    return arriving.relevance


def _changes_shape(layer: nn.Module) -> str | None:
    weights = weights_of(layer)
    if weights is not None and weights.keeps_shape(layer):
        return None
    return (
        "whose output has another shape than its input; expected pass on layers that keep the shape"
    )


def _has_gaps(pool: nn.Module) -> str | None:
    if set(torch.as_tensor(getattr(pool, "dilation", 1)).view(-1).tolist()) == {1}:
        return None
    return "a max pool with gaps in its windows; expected dilation 1, or the rule winner"


def _zero_if_gamma_is_0(settings: Settings) -> LayerRule | None:
    if settings["gamma"] > 0 or settings["bias"] == "dropped":
        return None
    return LayerRule("zero", _denominator(settings))


def _zero_if_epsilon_changes_nothing(settings: Settings) -> LayerRule | None:
    """Signed, the stabilizer counts anyway; over the batch, 1e-9 is added to an ε of 0."""
    largest = {"signed": settings["stabilizer"], "rms_batch": -1.0}.get(settings["form"], 0.0)
    if settings["epsilon"] > largest:
        return None
    return LayerRule("zero", {"stabilizer": settings["stabilizer"]})


def _z_plus_if_alpha_is_1(settings: Settings) -> LayerRule | None:
    return LayerRule("z_plus", _denominator(settings)) if _is_1(settings["alpha"]) else None


def _denominator(settings: Settings) -> Settings:
    return {name: settings[name] for name in (STABILIZER.name, STABILIZE.name)}


GAMMA = Parameter("gamma", infinite=True, decays=True)
EPSILON = Parameter("epsilon")
ALPHA = Parameter("alpha", low=1.0)
STABILIZER = Parameter("stabilizer", default=1e-6)
STABILIZE = Option("stabilize", ("signed", "unsigned", "clip", "none"))
BIAS = Option("bias", ("scaled", "kept", "dropped"))
FORM = Option("form", ("signed", "unsigned", "rms", "rms_batch"), mixes_images=("rms_batch",))

_DIVIDES = ((STABILIZER,), (STABILIZE,))
"""Parameters and options of rules that have no others."""

_RULES = (
    Rule(
        *("zero", zero, "LRP-0", *_DIVIDES),
        keeps_support=True,
        zennit=translation.of_class("Epsilon", named="epsilon"),
    ),
    Rule(
        *("epsilon", epsilon, "LRP-ε", (EPSILON, STABILIZER), (FORM,)),
        keeps_support=True,
        same_as=_zero_if_epsilon_changes_nothing,
        zennit=translation.epsilon,
    ),
    Rule(
        *("gamma", gamma, "generalised LRP-γ", (GAMMA, STABILIZER), (BIAS, STABILIZE)),
        keeps_support=True,
        same_as=_zero_if_gamma_is_0,
        zennit=translation.gamma,
    ),
    Rule(
        *("alpha_beta", alpha_beta, "LRP-αβ", (ALPHA, STABILIZER), (STABILIZE,)),
        keeps_support=True,
        same_as=_z_plus_if_alpha_is_1,
        zennit=translation.alpha_beta,
    ),
    Rule(
        *("z_plus", z_plus, "LRP-z⁺", *_DIVIDES),
        keeps_support=True,
        zennit=translation.of_class("ZPlus"),
    ),
    Rule("z_box", z_box, "LRP-z^B", *_DIVIDES, bounded=True, zennit=translation.z_box),
    Rule(
        *("w_square", w_square, "LRP-w²", *_DIVIDES),
        zennit=translation.of_class("WSquare", zero_params=["bias"]),
    ),
    Rule("flat", flat, "LRP-♭", *_DIVIDES, zennit=translation.of_class("Flat")),
    Rule(
        *("pass", unchanged, "relevance unchanged"),
        refusal=_changes_shape,
        zennit=translation.unchanged,
    ),
    Rule(
        *("winner", winner, "winner takes all"),
        on=MAX_POOL.name,
        pooling=True,
        zennit=lambda settings: None,
    ),
    Rule(
        *("sum", window_sum, "shares of the window's sum"),
        on=MAX_POOL.name,
        pooling=True,
        refusal=_has_gaps,
    ),
)
RULES: Registry[Rule] = Registry("rule", _RULES)
"""Every rule: what a study may name, with its parameters' ranges and its options.

Of the rules for one kind of operation without weights, the first is what it gets if none is given.
"""


def default_rule(kind: str) -> LayerRule | None:
    """What an operation gets if none is given; None: layers with weights have no default."""
    names = (rule.name for rule in RULES.values() if rule.on == kind != WEIGHTED)
    return next((LayerRule(name) for name in names), None)


def resolve(given: LayerRule, place: str) -> LayerRule:
    """The rule with all of its settings, by `Rule.resolve`."""
    rule = RULES.find(given.rule, f"{place}.rule")
    return replace(given, settings=rule.resolve(given.settings, place))


def canonical(given: LayerRule) -> Hashable:
    """Equal for what does the same to a layer: rule and settings without defaults and synonyms."""
    resolved = resolve(given, "composite")
    same_as = RULES[resolved.rule].same_as
    other = None if same_as is None else same_as(resolved.settings)
    if other is not None:
        return canonical(other)
    return resolved.rule, tuple(sorted(resolved.settings.items()))


def mixes_images(given: LayerRule) -> bool:
    """Whether an image's relevance depends on the batch it is in."""
    options = RULES[given.rule].options
    return any(given.settings.get(option.name) in option.mixes_images for option in options)
