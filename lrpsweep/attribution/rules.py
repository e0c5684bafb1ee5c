"""The rules of LRP: how one layer with weights redistributes relevance to what it has read.

In every rule x is the layer's input, w and b its weights, z = Σ_j x_j w_jk + b_k its output and
R_k the relevance that arrives there. ⁺ and ⁻ are positive and negative parts. A contribution has a
sign of its own: z⁺ = x⁺w⁺ + x⁻w⁻ and z⁻ = x⁺w⁻ + x⁻w⁺ (sums over j, without bias).

Every rule divides by a denominator that `Ledger.divide` keeps away from zero, and that ledger
writes down what bias and stabilizer take, so that an explanation accounts for its whole score.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_input


@dataclass(frozen=True)
class Arriving:
    """Relevance (N, *out) on its way down. rectified: it is 0 wherever ReLU(z) is 0."""

    relevance: Tensor
    rectified: bool = False


@dataclass
class Ledger:
    """What bias and stabilizer take from the relevance on its way down, per image (N,)."""

    bias: Tensor
    stabilizer: Tensor

    @classmethod
    def empty(cls, images: int, like: Tensor) -> Ledger:
        """A ledger for N images with nothing taken yet."""
        zeros = torch.zeros(images, dtype=torch.float64, device=like.device)
        return cls(zeros, zeros.clone())

    def divide(
        self,
        relevance: Tensor,
        z: Tensor,
        bias: Tensor | None,
        stabilizer: float,
        sign: int | None = None,
    ) -> Tensor:
        """R / (z + sign(z)·stabilizer), with sign(0) = 1; 0 where that denominator is exactly 0.

        The signed stabilizer of LRP-ε (METHODS, §1). bias: (K,), its part of z. sign: that of z
        wherever there is relevance, if known beforehand, which saves work.
        """
        if sign is None:
            denominator = z + torch.copysign(torch.full_like(z, stabilizer), z + 0.0)
        else:
            denominator = z + sign * stabilizer
        quotient = relevance / denominator
        if stabilizer == 0:
            quotient = torch.where(denominator == 0, 0, quotient)
        units = _per_unit(quotient)
        if sign is None or stabilizer == 0:
            self.drop(relevance - quotient * z)
        else:
            self.stabilizer += sign * stabilizer * units.sum(1)
        if bias is not None:
            self.bias += units @ bias.double()
        return quotient

    def drop(self, relevance: Tensor) -> None:
        """Writes relevance that goes no further on the stabilizer's account."""
        self.stabilizer += relevance.flatten(1).sum(1, dtype=torch.float64)


def _per_unit(values: Tensor) -> Tensor:
    """Sums over everything but image and output unit or channel: (N, K)."""
    if values.ndim == 2:
        return values.double()
    return values.flatten(2).sum(2, dtype=torch.float64)


@dataclass
class Record:
    """One layer in one batch: what no hyperparameter changes, computed on first use and kept.

    x: (N, *in). rectified: ReLU(z), (N, *out), if a ReLU is what reads the layer. low, high: the
    bounds of x, per channel (C,), where x are the images.
    """

    layer: nn.Conv2d | nn.Linear
    x: Tensor
    rectified: Tensor | None = None
    low: Tensor | None = None
    high: Tensor | None = None

    @cached_property
    def nonnegative(self) -> bool:
        """Whether x ≥ 0 everywhere, as behind a ReLU; then x⁻ costs nothing."""
        return bool((self.x >= 0).all())

    @property
    def weight(self) -> Tensor:
        """w."""
        return self.layer.weight

    @property
    def bias(self) -> Tensor | None:
        """b, or None."""
        return self.layer.bias

    @property
    def z(self) -> Tensor:
        """The layer's output, (N, *out); computed again, since ReLU(z) is mostly all one needs."""
        output: Tensor = self.layer(self.x)
        return output

    @cached_property
    def z_plus(self) -> Tensor:
        """z⁺ + b⁺."""
        total = self.push(self.x.clamp(min=0), self.weight.clamp(min=0))
        if not self.nonnegative:
            total += self.push(self.x.clamp(max=0), self.weight.clamp(max=0))
        return total if self.bias is None else total + self.per_unit(self.bias.clamp(min=0))

    @cached_property
    def z_minus(self) -> Tensor:
        """z⁻ + b⁻ = z − (z⁺ + b⁺)."""
        return self.z - self.z_plus

    @cached_property
    def box(self) -> Tensor:
        """f⁺(l) + f⁻(h), biases included: the same for every image, (1, *out)."""
        low, high = self.bounds
        plus = self.push(low, self.weight.clamp(min=0))
        minus = self.push(high, self.weight.clamp(max=0))
        return plus + minus if self.bias is None else plus + minus + self.per_unit(self.bias)

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """l and h as inputs, (1, *in)."""
        if self.low is None or self.high is None:
            raise ValueError("z_box needs the bounds of the layer's input: it is for the images")
        shape = (1, -1) + (1,) * (self.x.ndim - 2)
        low, high = (bound.to(self.x).view(shape) for bound in (self.low, self.high))
        return low.expand_as(self.x[:1]), high.expand_as(self.x[:1])

    def per_unit(self, values: Tensor) -> Tensor:
        """(K,) shaped to broadcast over the layer's output."""
        return values.view(-1, *(1,) * (self.x.ndim - 2))

    def push(self, x: Tensor, weight: Tensor) -> Tensor:
        """Σ_j x_j w_jk, without bias."""
        if isinstance(self.layer, nn.Linear):
            return F.linear(x, weight)
        conv = self.layer
        return F.conv2d(x, weight, None, conv.stride, conv.padding, conv.dilation, conv.groups)

    def pull(self, weight: Tensor, s: Tensor) -> Tensor:
        """Σ_k w_jk s_k: the transpose of `push`, (N, *in)."""
        if isinstance(self.layer, nn.Linear):
            return s @ weight
        conv = self.layer
        shape = (len(s), weight.shape[1] * conv.groups, *self.x.shape[2:])
        pulled: Tensor = conv2d_input(  # type: ignore[no-untyped-call]
            shape, weight, s, conv.stride, conv.padding, conv.dilation, conv.groups
        )
        return pulled

    def signed_pull(self, plus: Tensor, minus: Tensor, s: Tensor) -> Tensor:
        """x⁺ ⊙ Σ_k plus_jk s_k + x⁻ ⊙ Σ_k minus_jk s_k."""
        if self.nonnegative:
            return self.pull(plus, s).mul_(self.x)
        positive = self.x.clamp(min=0) * self.pull(plus, s)
        return positive + self.x.clamp(max=0) * self.pull(minus, s)

    def kept(self) -> list[Tensor]:
        """The tensors kept for later trials."""
        return [value for value in self.__dict__.values() if isinstance(value, Tensor)]


def epsilon(
    record: Record,
    arriving: Arriving,
    ledger: Ledger,
    *,
    epsilon: float,
    stabilizer: float,
    sign: str = "signed",
) -> Tensor:
    """LRP-ε: R_j = Σ_k x_j w_jk / (z_k + ε sign z_k) · R_k, ε in units of z.

    Source: Bach et al. 2015, eq. 58. An ε smaller than the stabilizer is replaced by it. sign:
    'unsigned' divides by z_k + ε, which the stabilizer then keeps away from zero: that is
    Montavon et al. 2019, table 10.1, read literally, and the code of Bermudez Schettino's thesis.
    """
    rectified = record.rectified if arriving.rectified else None
    z = record.z if rectified is None else rectified
    known = None if rectified is None else 1
    if sign == "unsigned":
        s = ledger.divide(arriving.relevance, z + epsilon, record.bias, stabilizer, known)
        ledger.drop(epsilon * s)
    else:
        total = max(epsilon, stabilizer)
        s = ledger.divide(arriving.relevance, z, record.bias, total, known)
    return record.pull(record.weight, s).mul_(record.x)


def zero(record: Record, arriving: Arriving, ledger: Ledger, *, stabilizer: float) -> Tensor:
    """LRP-0: R_j = Σ_k x_j w_jk / z_k · R_k. On a ReLU network, gradient × input."""
    return epsilon(record, arriving, ledger, epsilon=0.0, stabilizer=stabilizer)


def gamma(
    record: Record, arriving: Arriving, ledger: Ledger, *, gamma: float, stabilizer: float
) -> Tensor:
    """LRP-γ, generalized: contributions of z's own sign count 1 + γ times.

    R_j = Σ_k (x_j w_jk + γ (x_j w_jk)^±) / (z_k + γ (z_k^± + b_k^±)) · R_k, with the sign of z_k.
    For x ≥ 0 and z > 0 this is Montavon et al. 2019, table 10.1; for signed ones Andéol et al.
    2021. The bias is scaled like a weight. γ = 0 is LRP-0, γ = inf keeps contributions of z's
    sign alone. Where z is exactly 0, nothing is passed on and the stabilizer's share takes it.
    """
    relevance = arriving.relevance
    if arriving.rectified and record.rectified is not None:
        return _gamma_branch(record, relevance, record.rectified, ledger, gamma, stabilizer, sign=1)
    z = record.z
    ledger.drop(torch.where(z == 0, relevance, 0))
    above, below = torch.where(z > 0, relevance, 0), torch.where(z < 0, relevance, 0)
    lower = _gamma_branch(record, above, z.clamp(min=0), ledger, gamma, stabilizer, sign=1)
    if bool(below.any()):
        z = z.clamp(max=0)
        lower += _gamma_branch(record, below, z, ledger, gamma, stabilizer, sign=-1)
    return lower


def _gamma_branch(
    record: Record,
    relevance: Tensor,
    z: Tensor,
    ledger: Ledger,
    gamma: float,
    stabilizer: float,
    *,
    sign: int,
) -> Tensor:
    """The units whose z has the sign; relevance and z are 0 at the others."""
    same, other = _split(record.weight, sign)
    favoured = record.z_plus if sign > 0 else record.z_minus
    bias = record.bias
    if math.isinf(gamma):
        z, plus, minus = favoured, same, other
        bias = None if bias is None else _split(bias, sign)[0]
    else:
        z = torch.add(z, favoured, alpha=gamma)
        plus, minus = record.weight + gamma * same, record.weight + gamma * other
        bias = None if bias is None else bias + gamma * _split(bias, sign)[0]
    return record.signed_pull(plus, minus, ledger.divide(relevance, z, bias, stabilizer, sign))


def _split(values: Tensor, sign: int) -> tuple[Tensor, Tensor]:
    """The part of `values` with the sign, and the part with the other."""
    positive, negative = values.clamp(min=0), values.clamp(max=0)
    return (positive, negative) if sign > 0 else (negative, positive)


def alpha_beta(
    record: Record, arriving: Arriving, ledger: Ledger, *, alpha: float, stabilizer: float
) -> Tensor:
    """LRP-αβ with β = α − 1: R_j = Σ_k (α (x_j w_jk)⁺/z_k⁺ − β (x_j w_jk)⁻/z_k⁻) R_k.

    The denominators include b⁺ and b⁻. Source: Bach et al. 2015, eq. 60, with the sign of β as in
    Montavon et al. 2019 (α − β = 1, β ≥ 0).
    """
    positive = _alpha_beta_branch(record, alpha * arriving.relevance, ledger, stabilizer, sign=1)
    if math.isclose(alpha, 1.0, rel_tol=0, abs_tol=1e-12):
        return positive
    share = (1 - alpha) * arriving.relevance
    return positive + _alpha_beta_branch(record, share, ledger, stabilizer, sign=-1)


def _alpha_beta_branch(
    record: Record, relevance: Tensor, ledger: Ledger, stabilizer: float, *, sign: int
) -> Tensor:
    same, other = _split(record.weight, sign)
    z = record.z_plus if sign > 0 else record.z_minus.clamp(max=0)
    bias = None if record.bias is None else _split(record.bias, sign)[0]
    return record.signed_pull(same, other, ledger.divide(relevance, z, bias, stabilizer, sign))


def z_plus(record: Record, arriving: Arriving, ledger: Ledger, *, stabilizer: float) -> Tensor:
    """LRP-z⁺, which is LRP-αβ with α = 1, β = 0. Source: Montavon et al. 2017."""
    return alpha_beta(record, arriving, ledger, alpha=1.0, stabilizer=stabilizer)


def z_box(record: Record, arriving: Arriving, ledger: Ledger, *, stabilizer: float) -> Tensor:
    """LRP-z^B for inputs within [l, h]: z = f(x) − f⁺(l) − f⁻(h), numerators alike.

    l and h are the lowest and highest values that a pixel can have. Source: Montavon et al. 2017;
    Bermudez Schettino, eq. C.28. The bias cancels.
    """
    s = ledger.divide(arriving.relevance, record.z - record.box, None, stabilizer)
    low, high = record.bounds
    pulled_low = record.pull(record.weight.clamp(min=0), s).mul_(low)
    pulled_high = record.pull(record.weight.clamp(max=0), s).mul_(high)
    return record.pull(record.weight, s).mul_(record.x).sub_(pulled_low).sub_(pulled_high)


def flat(record: Record, arriving: Arriving, ledger: Ledger, *, stabilizer: float) -> Tensor:
    """LRP-♭: every input a unit reads gets the same share. Source: Lapuschkin et al. 2019.

    Padding counts as no input; the bias takes nothing.
    """
    ones = torch.ones_like(record.weight)
    z = record.push(torch.ones_like(record.x[:1]), ones).expand_as(arriving.relevance)
    return record.pull(ones, ledger.divide(arriving.relevance, z, None, stabilizer, sign=1))


KEEPS_SUPPORT = {"zero", "epsilon", "gamma", "alpha_beta", "z_plus"}
"""Rules that give no relevance to an input of 0: what they pass through a ReLU is rectified."""

RULES: dict[str, Callable[..., Tensor]] = {
    "zero": zero,
    "epsilon": epsilon,
    "gamma": gamma,
    "alpha_beta": alpha_beta,
    "z_plus": z_plus,
    "z_box": z_box,
    "flat": flat,
}
