"""How relevance goes back through each kind of step that has no weights of a composite's rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from lrpsweep.attribution.lrp.balance import Arriving, Balance, per_image
from lrpsweep.attribution.lrp.canonize import per_channel
from lrpsweep.attribution.lrp.forward import ForwardPass, pool_arguments
from lrpsweep.attribution.lrp.graph import Step
from lrpsweep.errors import InputError


@dataclass(frozen=True)
class Propagation:
    """Relevance about to go back through the step at `place`. stabilizer: of its denominators."""

    forward: ForwardPass
    place: int
    arriving: Arriving
    balance: Balance
    stabilizer: float

    @property
    def step(self) -> Step:
        """The step."""
        return self.forward.steps[self.place]

    @property
    def given(self) -> tuple[Tensor, ...]:
        """What the step read."""
        return self.forward.given[self.place]

    @property
    def relevance(self) -> Tensor:
        """What arrives, (N, *out)."""
        return self.arriving.relevance


def _unchanged(propagation: Propagation) -> list[Arriving]:
    return [propagation.arriving]


def _pass(propagation: Propagation) -> list[Arriving]:
    """Unchanged; but an input may be 0 where the output is not."""
    return [Arriving(propagation.relevance)]


def _gate(propagation: Propagation) -> list[Arriving]:
    """All to the signal: the gate is a constant that scales it."""
    lower = propagation.relevance.sum_to_size(propagation.given[0].shape)
    return [Arriving(lower, propagation.arriving.rectified)]


def _join(propagation: Propagation) -> list[Arriving]:
    """To each part what has arrived at it."""
    dim = propagation.step.dim
    parts = torch.split(propagation.relevance, [part.shape[dim] for part in propagation.given], dim)
    return [Arriving(part, propagation.arriving.rectified) for part in parts]


def _sum(propagation: Propagation) -> list[Arriving]:
    """By contribution: R_a = a / (a + b ± stabilizer) · R. An explicit LRP-0, zennit's `Norm`."""
    s = _divided(propagation, None)
    return [
        Arriving(_summed(propagation, source, value, value * s), rectified=True)
        for source, value in zip(propagation.step.sources, propagation.given, strict=True)
    ]


def _affine(propagation: Propagation) -> list[Arriving]:
    """LRP-0 of x·scale + shift, channel by channel: the shift is a bias."""
    assert propagation.step.module is not None
    x = propagation.given[0]
    scale, shift = (values.to(x.dtype) for values in per_channel(propagation.step.module))
    s = _divided(propagation, shift)
    return [Arriving(s.mul_(scale.view(-1, *(1,) * (x.ndim - 2))).mul_(x), rectified=True)]


def _divided(propagation: Propagation, bias: Tensor | None) -> Tensor:
    """R / z, where z is what the step gives. bias: (C,), a part of z that gets its share."""
    rectified = (
        propagation.forward.rectified.get(propagation.place)
        if propagation.arriving.rectified
        else None
    )
    z, sign = (
        (propagation.step.run(*propagation.given), None) if rectified is None else (rectified, 1)
    )
    return propagation.balance.divide(propagation.relevance, z, bias, propagation.stabilizer, sign)


def _summed(propagation: Propagation, source: int, value: Tensor, share: Tensor) -> Tensor:
    """A broadcast term's share; not that of a constant, which the balance wants by image."""
    constant = source >= 0 and propagation.forward.steps[source].kind == "constant"
    return share if constant else share.sum_to_size(value.shape)


def _route(propagation: Propagation) -> list[Arriving]:
    """By the operation's transpose; what padding has got goes on the stabilizer's account."""
    signal, *rest = propagation.given
    _, transpose, *_ = torch.func.vjp(lambda x: propagation.step.run(x, *rest), signal)
    (lower,) = transpose(propagation.relevance)
    propagation.balance.stabilizer += per_image(propagation.relevance) - per_image(lower)
    return [Arriving(lower, propagation.arriving.rectified)]


def _average(propagation: Propagation) -> list[Arriving]:
    """LRP-0 of an averaging layer: each input's share of the average."""
    return _by_share(propagation, lambda x: propagation.step.run(x, *propagation.given[1:]))


def window_sum(propagation: Propagation) -> list[Arriving]:
    """Of a max pool: each input's share of the sum of its window.

    Source: Bermudez Schettino, App. C.2; the code of Montavon et al. 2019, which propagates through
    average pools instead of max pools.
    """
    kernel, stride, padding, _, ceil_mode = pool_arguments(propagation.step.module)
    pool = partial(F.avg_pool2d, kernel_size=kernel, stride=stride, padding=padding)
    return _by_share(propagation, partial(pool, ceil_mode=ceil_mode, divisor_override=1))


def _by_share(propagation: Propagation, pool: Callable[[Tensor], Tensor]) -> list[Arriving]:
    x = propagation.given[0]
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        pooled = pool(leaf)
    s = propagation.balance.divide(
        propagation.relevance, pooled.detach(), None, propagation.stabilizer
    )
    (pulled,) = torch.autograd.grad(pooled, leaf, s)
    return [Arriving(x * pulled, rectified=True)]


def winner(propagation: Propagation) -> list[Arriving]:
    """Winner-takes-all."""
    kernel, stride, padding, dilation, ceil_mode = pool_arguments(propagation.step.module)
    pairs = [v if isinstance(v, tuple) else (v, v) for v in (kernel, stride, padding, dilation)]
    lower: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
        propagation.relevance,
        propagation.given[0],
        *pairs,
        ceil_mode,
        propagation.forward.winners(propagation.place),
    )
    return [Arriving(lower, propagation.arriving.rectified)]


def _custom(propagation: Propagation) -> list[Arriving]:
    """As the function registered for the module says."""
    step = propagation.step
    assert step.back is not None
    assert step.module is not None
    found = step.back(step.module, propagation.given, propagation.relevance)
    lower = found if isinstance(found, tuple) else (found,)
    if [r.shape for r in lower] != [x.shape for x in propagation.given]:
        raise InputError(
            f"layer '{step.name}' of type {type(step.module).__name__}: the registered function "
            f"gives relevance of shapes {[tuple(r.shape) for r in lower]}; expected those of the "
            f"inputs, {[tuple(x.shape) for x in propagation.given]}"
        )
    return [Arriving(r) for r in lower]


BACKWARD: dict[str, Callable[[Propagation], list[Arriving]]] = {
    "relu": _unchanged,
    "pass": _pass,
    "gate": _gate,
    "join": _join,
    "sum": _sum,
    "affine": _affine,
    "route": _route,
    "average": _average,
    "custom": _custom,
}
