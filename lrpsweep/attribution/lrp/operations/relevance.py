"""How relevance goes back through each kind of step that has no weights of a composite's rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from lrpsweep.attribution.lrp.balance import Ledger, per_image
from lrpsweep.attribution.lrp.canonize import per_channel
from lrpsweep.attribution.lrp.forward import Tape, pool_arguments
from lrpsweep.attribution.lrp.graph import Step
from lrpsweep.attribution.lrp.rules import Arriving
from lrpsweep.errors import InputError


@dataclass(frozen=True)
class Passage:
    """Relevance about to go back through the step at `place`. stabilizer: of its denominators."""

    tape: Tape
    place: int
    arriving: Arriving
    ledger: Ledger
    stabilizer: float

    @property
    def step(self) -> Step:
        """The step."""
        return self.tape.steps[self.place]

    @property
    def given(self) -> tuple[Tensor, ...]:
        """What the step read."""
        return self.tape.given[self.place]

    @property
    def relevance(self) -> Tensor:
        """What arrives, (N, *out)."""
        return self.arriving.relevance


def _unchanged(passage: Passage) -> list[Arriving]:
    return [passage.arriving]


def _pass(passage: Passage) -> list[Arriving]:
    """Unchanged; but an input may be 0 where the output is not."""
    return [Arriving(passage.relevance)]


def _gate(passage: Passage) -> list[Arriving]:
    """All to the signal: the gate is a constant that scales it."""
    lower = passage.relevance.sum_to_size(passage.given[0].shape)
    return [Arriving(lower, passage.arriving.rectified)]


def _join(passage: Passage) -> list[Arriving]:
    """To each part what has arrived at it."""
    dim = passage.step.dim
    parts = torch.split(passage.relevance, [part.shape[dim] for part in passage.given], dim)
    return [Arriving(part, passage.arriving.rectified) for part in parts]


def _sum(passage: Passage) -> list[Arriving]:
    """By contribution: R_a = a / (a + b ± stabilizer) · R. An explicit LRP-0, zennit's `Norm`."""
    s = _divided(passage, None)
    return [
        Arriving(_summed(passage, source, value, value * s), rectified=True)
        for source, value in zip(passage.step.sources, passage.given, strict=True)
    ]


def _affine(passage: Passage) -> list[Arriving]:
    """LRP-0 of x·scale + shift, channel by channel: the shift is a bias."""
    assert passage.step.module is not None
    x = passage.given[0]
    scale, shift = (values.to(x.dtype) for values in per_channel(passage.step.module))
    s = _divided(passage, shift)
    return [Arriving(s.mul_(scale.view(-1, *(1,) * (x.ndim - 2))).mul_(x), rectified=True)]


def _divided(passage: Passage, bias: Tensor | None) -> Tensor:
    """R / z, where z is what the step gives. bias: (C,), a part of z that gets its share."""
    rectified = passage.tape.rectified.get(passage.place) if passage.arriving.rectified else None
    z, sign = (passage.step.run(*passage.given), None) if rectified is None else (rectified, 1)
    return passage.ledger.divide(passage.relevance, z, bias, passage.stabilizer, sign)


def _summed(passage: Passage, source: int, value: Tensor, share: Tensor) -> Tensor:
    """A broadcast term's share; not that of a constant, which the ledger wants by image."""
    constant = source >= 0 and passage.tape.steps[source].kind == "constant"
    return share if constant else share.sum_to_size(value.shape)


def _route(passage: Passage) -> list[Arriving]:
    """By the operation's transpose; what padding has got goes on the stabilizer's account."""
    signal, *rest = passage.given
    _, transpose, *_ = torch.func.vjp(lambda x: passage.step.run(x, *rest), signal)
    (lower,) = transpose(passage.relevance)
    passage.ledger.stabilizer += per_image(passage.relevance) - per_image(lower)
    return [Arriving(lower, passage.arriving.rectified)]


def _average(passage: Passage) -> list[Arriving]:
    """LRP-0 of an averaging layer: each input's share of the average."""
    return _by_share(passage, lambda x: passage.step.run(x, *passage.given[1:]))


def _sum_pool(passage: Passage) -> list[Arriving]:
    """Of a max pool: each input's share of the sum of its window.

    Source: Bermudez Schettino, App. C.2; the code of Montavon et al. 2019, which propagates through
    average pools instead of max pools.
    """
    kernel, stride, padding, _, ceil_mode = pool_arguments(passage.step.module)
    pool = partial(F.avg_pool2d, kernel_size=kernel, stride=stride, padding=padding)
    return _by_share(passage, partial(pool, ceil_mode=ceil_mode, divisor_override=1))


def _by_share(passage: Passage, pool: Callable[[Tensor], Tensor]) -> list[Arriving]:
    x = passage.given[0]
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        pooled = pool(leaf)
    s = passage.ledger.divide(passage.relevance, pooled.detach(), None, passage.stabilizer)
    (pulled,) = torch.autograd.grad(pooled, leaf, s)
    return [Arriving(x * pulled, rectified=True)]


def _winner(passage: Passage) -> list[Arriving]:
    """Winner-takes-all."""
    kernel, stride, padding, dilation, ceil_mode = pool_arguments(passage.step.module)
    pairs = [v if isinstance(v, tuple) else (v, v) for v in (kernel, stride, padding, dilation)]
    lower: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
        passage.relevance,
        passage.given[0],
        *pairs,
        ceil_mode,
        passage.tape.winners(passage.place),
    )
    return [Arriving(lower, passage.arriving.rectified)]


def _custom(passage: Passage) -> list[Arriving]:
    """As the function registered for the module says."""
    step = passage.step
    assert step.back is not None
    assert step.module is not None
    found = step.back(step.module, passage.given, passage.relevance)
    lower = found if isinstance(found, tuple) else (found,)
    if [r.shape for r in lower] != [x.shape for x in passage.given]:
        raise InputError(
            f"layer '{step.name}' of type {type(step.module).__name__}: the registered function "
            f"gives relevance of shapes {[tuple(r.shape) for r in lower]}; expected those of the "
            f"inputs, {[tuple(x.shape) for x in passage.given]}"
        )
    return [Arriving(r) for r in lower]


BACKWARD: dict[str, Callable[[Passage], list[Arriving]]] = {
    "relu": _unchanged,
    "pass": _pass,
    "gate": _gate,
    "join": _join,
    "sum": _sum,
    "affine": _affine,
    "route": _route,
    "average": _average,
    "winner": _winner,
    "sum_pool": _sum_pool,
    "custom": _custom,
}
