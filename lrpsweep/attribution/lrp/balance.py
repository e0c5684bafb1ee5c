"""What bias and stabilizer take of the relevance, so that the whole score is accounted for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Arriving:
    """Relevance (N, *out) of a step's output. rectified: it is 0 wherever ReLU(z) is 0."""

    relevance: Tensor
    rectified: bool = False


@dataclass(frozen=True)
class BlockBalance:
    """What became of the relevance that a group of layers was given, per image (N,).

    bias, stabilizer: what they took of it. unexplained: what is missing besides, which is rounding,
    and what rules without conservation add or take. size: Σ |R| of what leaves, over places,
    channels summed; hot_spot: the largest one's share of that.
    """

    bias: Tensor
    stabilizer: Tensor
    unexplained: Tensor
    size: Tensor
    hot_spot: Tensor

    def __add__(self, other: BlockBalance) -> BlockBalance:
        """Both together, where a group's layers do not follow each other."""
        return BlockBalance(
            self.bias + other.bias,
            self.stabilizer + other.stabilizer,
            self.unexplained + other.unexplained,
            torch.maximum(self.size, other.size),
            torch.maximum(self.hot_spot, other.hot_spot),
        )

    @classmethod
    def stacked(cls, balances: Sequence[BlockBalance]) -> BlockBalance:
        """Those of T explanations, (N, T)."""
        names = [item.name for item in fields(cls)]
        return cls(*(torch.stack([getattr(b, name) for b in balances], 1) for name in names))


@dataclass
class Balance:
    """What bias and stabilizer have taken of the relevance so far, per image (N,).

    blocks: what became of the relevance in each group of layers that it has left.
    """

    bias: Tensor
    stabilizer: Tensor
    blocks: dict[str, BlockBalance] = field(default_factory=dict)

    @classmethod
    def empty(cls, images: int, like: Tensor) -> Balance:
        """A balance for N images with nothing taken yet."""
        zeros = torch.zeros(images, dtype=torch.float64, device=like.device)
        return cls(zeros, zeros.clone())

    def copy(self) -> Balance:
        """The same entries, apart from this balance's."""
        return Balance(self.bias.clone(), self.stabilizer.clone(), dict(self.blocks))

    def take(self, other: Balance) -> None:
        """Replaces its entries by the other's."""
        self.bias.copy_(other.bias)
        self.stabilizer.copy_(other.stabilizer)
        self.blocks.update(other.blocks)

    def divide(
        self,
        relevance: Tensor,
        z: Tensor,
        bias: Tensor | None,
        stabilizer: float,
        sign: int | None = None,
        stabilize: str = "signed",
    ) -> Tensor:
        """R / z, with z kept away from zero; 0 where the denominator is exactly 0 all the same.

        bias: (K,), its part of z. stabilizer: how far, in units of z; stabilize: how, a name of
        STABILIZED. sign: that of z wherever there is relevance, if known beforehand, which saves
        work.
        """
        denominator = STABILIZED[stabilize](z, stabilizer, sign)
        if stabilizer == 0 or stabilize == "unsigned":
            quotient = torch.where(denominator == 0, 0, relevance / denominator)
        else:
            quotient = torch.div(relevance, denominator, out=denominator)
        units = _per_unit(quotient)
        if sign is None or stabilizer == 0 or stabilize != "signed":
            self.drop(torch.addcmul(relevance, quotient, z, value=-1))
        else:
            self.stabilizer += sign * stabilizer * units.sum(1)
        self._take_bias(units, bias)
        return quotient

    def take_bias(self, quotient: Tensor, bias: Tensor | None) -> None:
        """Counts what biases (K,) get of R / z."""
        self._take_bias(_per_unit(quotient), bias)

    def _take_bias(self, units: Tensor, bias: Tensor | None) -> None:
        if bias is not None:
            self.bias += units @ bias.double()

    def drop(self, relevance: Tensor) -> None:
        """Counts relevance that is passed on to nothing as the stabilizer's."""
        self.stabilizer += per_image(relevance)


class Account:
    """The balance of one group of layers, begun where relevance comes to it.

    block: the group's name. pending: the relevance of all steps that have not passed it on yet.
    """

    def __init__(self, block: str, pending: Iterable[Tensor], balance: Balance) -> None:
        self.block = block
        self._balance = balance
        self._total = _total(pending)
        self._before = balance.copy()

    def close(self, pending: Iterable[Tensor]) -> None:
        """Adds the group's entry to the balance. pending: the relevance that has left it."""
        left = tuple(pending)
        bias = self._balance.bias - self._before.bias
        stabilizer = self._balance.stabilizer - self._before.stabilizer
        rest = self._total - _total(left) - bias - stabilizer
        found = BlockBalance(bias, stabilizer, rest, *_spread(left))
        earlier = self._balance.blocks.get(self.block)
        self._balance.blocks[self.block] = found if earlier is None else earlier + found


def _total(pending: Iterable[Tensor]) -> Tensor:
    return torch.stack([per_image(relevance) for relevance in pending]).sum(0)


def _spread(pending: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Σ |R| over places, and the largest one's share, (N,) each."""
    places = [relevance.sum(1) if relevance.ndim > 2 else relevance for relevance in pending]
    peak = torch.stack([largest(relevance) for relevance in places]).amax(0)
    whole = torch.stack([size(relevance) for relevance in places]).sum(0)
    return whole, peak / whole.clamp(min=torch.finfo(torch.float64).tiny)


def size(relevance: Tensor) -> Tensor:
    """Σ |R|, (N, *) -> (N,) in float64."""
    return _norm(relevance, 1)


def largest(relevance: Tensor) -> Tensor:
    """max |R|, (N, *) -> (N,) in float64."""
    return _norm(relevance, math.inf)


def _norm(relevance: Tensor, order: float) -> Tensor:
    dims = tuple(range(1, relevance.ndim))
    norm: Tensor = torch.linalg.vector_norm(relevance, order, dims)
    return norm.double()


def _per_unit(values: Tensor) -> Tensor:
    """Sums over everything but image and output unit or channel: (N, K)."""
    return values.double() if values.ndim == 2 else values.flatten(2).sum(2).double()


def per_image(values: Tensor) -> Tensor:
    """Sums over everything but the image: (N, *) -> (N,) in float64."""
    return _per_unit(values).sum(1) if values.ndim > 1 else values.double()


def signs(z: Tensor, size: float = 1.0) -> Tensor:
    """size·sign(z), with sign(0) = 1."""
    found = z + 0.0
    return torch.copysign(torch.tensor(size, dtype=z.dtype, device=z.device), found, out=found)


def _signed(z: Tensor, stabilizer: float, sign: int | None) -> Tensor:
    """z + sign(z)·s. Source: Bach et al. 2015, eq. 58; zennit's Stabilizer."""
    return signs(z, stabilizer).add_(z) if sign is None else z + sign * stabilizer


def _unsigned(z: Tensor, stabilizer: float, _: int | None) -> Tensor:
    """z + s, which may come near zero. Source: Montavon et al. 2019, table 10.1, literally."""
    return z + stabilizer


def _clipped(z: Tensor, stabilizer: float, sign: int | None) -> Tensor:
    """sign(z)·max(|z|, s): exact wherever |z| is large enough. Source: zennit's Stabilizer."""
    if sign is None:
        return torch.where(z.abs() < stabilizer, signs(z, stabilizer), z)
    return z.clamp(min=stabilizer) if sign > 0 else z.clamp(max=-stabilizer)


STABILIZED: dict[str, Callable[[Tensor, float, int | None], Tensor]] = {
    "signed": _signed,
    "unsigned": _unsigned,
    "clip": _clipped,
}
