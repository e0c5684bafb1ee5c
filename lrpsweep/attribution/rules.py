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


def stabilize(z: Tensor, stabilizer: float) -> Tensor:
    """z + sign(z)·stabilizer, with sign(0) = 1: the signed stabilizer of LRP-ε (METHODS, §1)."""
    return z + torch.copysign(torch.full_like(z, stabilizer), z + 0.0)


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
        self, relevance: Tensor, z: Tensor, bias: Tensor | None, stabilizer: float
    ) -> Tensor:
        """R / z, stabilized; 0 where the denominator is exactly 0. bias: (K,), its part of z."""
        denominator = stabilize(z, stabilizer)
        quotient = relevance / denominator
        if stabilizer == 0:
            quotient = torch.where(denominator == 0, 0, quotient)
        explained = _per_image(quotient * z)
        self.stabilizer += _per_image(relevance) - explained
        if bias is not None:
            self.bias += _per_unit(quotient) @ bias.double()
        return quotient


def _per_image(values: Tensor) -> Tensor:
    return values.flatten(1).sum(1, dtype=torch.float64)


def _per_unit(values: Tensor) -> Tensor:
    """Sums over everything but image and output unit or channel: (N, K)."""
    if values.ndim == 2:
        return values.double()
    return values.flatten(2).sum(2, dtype=torch.float64)


@dataclass
class Record:
    """One layer in one batch: what no hyperparameter changes, computed on first use and kept.

    x: (N, *in), z: (N, *out), the layer's own output. low, high: the bounds of x, per channel
    (C,), where x are the images.
    """

    layer: nn.Conv2d | nn.Linear
    x: Tensor
    z: Tensor
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

    @cached_property
    def z_plus(self) -> Tensor:
        """z⁺, without bias."""
        positive = self.push(self.x.clamp(min=0), self.weight.clamp(min=0))
        if self.nonnegative:
            return positive
        return positive + self.push(self.x.clamp(max=0), self.weight.clamp(max=0))

    @cached_property
    def z_minus(self) -> Tensor:
        """z⁻ = z − b − z⁺, without bias."""
        bias = self.bias
        unbiased = self.z if bias is None else self.z - self.per_unit(bias)
        return unbiased - self.z_plus

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
        return values.view(-1, *(1,) * (self.z.ndim - 2))

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
        pulled: Tensor = conv2d_input(  # type: ignore[no-untyped-call]
            self.x.shape, weight, s, conv.stride, conv.padding, conv.dilation, conv.groups
        )
        return pulled

    def signed_pull(self, plus: Tensor, minus: Tensor, s: Tensor) -> Tensor:
        """x⁺ ⊙ Σ_k plus_jk s_k + x⁻ ⊙ Σ_k minus_jk s_k."""
        if self.nonnegative:
            return self.x * self.pull(plus, s)
        positive = self.x.clamp(min=0) * self.pull(plus, s)
        return positive + self.x.clamp(max=0) * self.pull(minus, s)

    def kept_bytes(self) -> int:
        """Memory of the tensors kept for later trials."""
        kept = [self.x, self.z, *(v for v in self.__dict__.values() if isinstance(v, Tensor))]
        return sum({t.data_ptr(): t.numel() * t.element_size() for t in kept}.values())


def epsilon(
    record: Record, relevance: Tensor, ledger: Ledger, *, epsilon: float, stabilizer: float
) -> Tensor:
    """LRP-ε: R_j = Σ_k x_j w_jk / (z_k + ε sign z_k) · R_k, ε in units of z.

    Source: Bach et al. 2015, eq. 58. An ε smaller than the stabilizer is replaced by it.
    """
    s = ledger.divide(relevance, record.z, record.bias, max(epsilon, stabilizer))
    return record.x * record.pull(record.weight, s)


def zero(record: Record, relevance: Tensor, ledger: Ledger, *, stabilizer: float) -> Tensor:
    """LRP-0: R_j = Σ_k x_j w_jk / z_k · R_k. On a ReLU network, gradient × input."""
    return epsilon(record, relevance, ledger, epsilon=0.0, stabilizer=stabilizer)


def gamma(
    record: Record, relevance: Tensor, ledger: Ledger, *, gamma: float, stabilizer: float
) -> Tensor:
    """LRP-γ, generalized: contributions of z's own sign count 1 + γ times.

    R_j = Σ_k (x_j w_jk + γ (x_j w_jk)^±) / (z_k + γ (z_k^± + b_k^±)) · R_k, with the sign of z_k.
    For x ≥ 0 and z > 0 this is Montavon et al. 2019, table 10.1; for signed ones Andéol et al.
    2021. The bias is scaled like a weight. γ = 0 is LRP-0, γ = inf keeps contributions of z's
    sign alone. Where z is exactly 0, nothing is passed on and the stabilizer's share takes it.
    """
    above = torch.where(record.z > 0, relevance, 0)
    below = torch.where(record.z < 0, relevance, 0)
    lower = _gamma_branch(record, above, ledger, gamma, stabilizer, sign=1)
    if bool(below.any()):
        lower = lower + _gamma_branch(record, below, ledger, gamma, stabilizer, sign=-1)
    ledger.stabilizer += _per_image(torch.where(record.z == 0, relevance, 0))
    return lower


def _gamma_branch(
    record: Record, relevance: Tensor, ledger: Ledger, gamma: float, stabilizer: float, *, sign: int
) -> Tensor:
    same, other = _split(record.weight, sign)
    favoured = record.z_plus if sign > 0 else record.z_minus
    bias = record.bias
    if bias is not None:
        favoured_bias = _split(bias, sign)[0]
        favoured = favoured + record.per_unit(favoured_bias)
        bias = favoured_bias if math.isinf(gamma) else bias + gamma * favoured_bias
    if math.isinf(gamma):
        z, plus, minus = favoured, same, other
    else:
        z = record.z + gamma * favoured
        plus, minus = record.weight + gamma * same, record.weight + gamma * other
    return record.signed_pull(plus, minus, ledger.divide(relevance, z, bias, stabilizer))


def _split(values: Tensor, sign: int) -> tuple[Tensor, Tensor]:
    """The part of `values` with the sign, and the part with the other."""
    positive, negative = values.clamp(min=0), values.clamp(max=0)
    return (positive, negative) if sign > 0 else (negative, positive)


def alpha_beta(
    record: Record, relevance: Tensor, ledger: Ledger, *, alpha: float, stabilizer: float
) -> Tensor:
    """LRP-αβ with β = α − 1: R_j = Σ_k (α (x_j w_jk)⁺/z_k⁺ − β (x_j w_jk)⁻/z_k⁻) R_k.

    The denominators include b⁺ and b⁻. Source: Bach et al. 2015, eq. 60, with the sign of β as in
    Montavon et al. 2019 (α − β = 1, β ≥ 0).
    """
    positive = _alpha_beta_branch(record, alpha * relevance, ledger, stabilizer, sign=1)
    if math.isclose(alpha, 1.0, rel_tol=0, abs_tol=1e-12):
        return positive
    share = (1 - alpha) * relevance
    return positive + _alpha_beta_branch(record, share, ledger, stabilizer, sign=-1)


def _alpha_beta_branch(
    record: Record, relevance: Tensor, ledger: Ledger, stabilizer: float, *, sign: int
) -> Tensor:
    same, other = _split(record.weight, sign)
    z = record.z_plus if sign > 0 else record.z_minus
    bias = None if record.bias is None else _split(record.bias, sign)[0]
    z = z if bias is None else z + record.per_unit(bias)
    return record.signed_pull(same, other, ledger.divide(relevance, z, bias, stabilizer))


def z_plus(record: Record, relevance: Tensor, ledger: Ledger, *, stabilizer: float) -> Tensor:
    """LRP-z⁺, which is LRP-αβ with α = 1, β = 0. Source: Montavon et al. 2017."""
    return alpha_beta(record, relevance, ledger, alpha=1.0, stabilizer=stabilizer)


def z_box(record: Record, relevance: Tensor, ledger: Ledger, *, stabilizer: float) -> Tensor:
    """LRP-z^B for inputs within [l, h]: z = f(x) − f⁺(l) − f⁻(h), numerators alike.

    l and h are the lowest and highest values that a pixel can have. Source: Montavon et al. 2017;
    Bermudez Schettino, eq. C.28. The bias cancels.
    """
    s = ledger.divide(relevance, record.z - record.box, None, stabilizer)
    low, high = record.bounds
    pulled_low = low * record.pull(record.weight.clamp(min=0), s)
    pulled_high = high * record.pull(record.weight.clamp(max=0), s)
    return record.x * record.pull(record.weight, s) - pulled_low - pulled_high


def flat(record: Record, relevance: Tensor, ledger: Ledger, *, stabilizer: float) -> Tensor:
    """LRP-♭: every input a unit reads gets the same share. Source: Lapuschkin et al. 2019.

    Padding counts as no input; the bias takes nothing.
    """
    ones = torch.ones_like(record.weight)
    z = record.push(torch.ones_like(record.x[:1]), ones).expand_as(record.z)
    return record.pull(ones, ledger.divide(relevance, z, None, stabilizer))


RULES: dict[str, Callable[..., Tensor]] = {
    "zero": zero,
    "epsilon": epsilon,
    "gamma": gamma,
    "alpha_beta": alpha_beta,
    "z_plus": z_plus,
    "z_box": z_box,
    "flat": flat,
}
