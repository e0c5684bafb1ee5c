"""Sums, joins and gates."""

from __future__ import annotations

import operator

import torch
from torch import Tensor

from lrpsweep.attribution.lrp.balance import Arriving
from lrpsweep.attribution.lrp.operations.operation import Operation, Propagation


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
    s = divided(propagation, None)
    return [
        Arriving(_summed(propagation, source, value, value * s), rectified=True)
        for source, value in zip(propagation.step.sources, propagation.given, strict=True)
    ]


def divided(propagation: Propagation, bias: Tensor | None) -> Tensor:
    """R / z, where z is what the step gives. bias: (C,), a part of z that gets its share."""
    known = propagation.forward.rectified if propagation.arriving.rectified else {}
    rectified = known.get(propagation.place)
    z = propagation.step.run(*propagation.given) if rectified is None else rectified
    sign = None if rectified is None else 1
    return propagation.balance.divide(propagation.relevance, z, bias, propagation.stabilizer, sign)


def _summed(propagation: Propagation, source: int, value: Tensor, share: Tensor) -> Tensor:
    """A broadcast term's share; not that of a constant, which the balance wants by image."""
    constant = source >= 0 and propagation.forward.steps[source].operation == CONSTANT
    return share if constant else share.sum_to_size(value.shape)


JOIN = Operation(
    "join",
    calls=(torch.cat, torch.concat, torch.concatenate),
    backward=_join,
    title="relevance goes to the parts",
    needs_values=False,
    all_sources=True,
    moves=True,
    zennit="native",
)
STACK = Operation("stack", calls=(torch.stack,))
"""A join of parts that get one more dimension first."""

SUM = Operation(
    "sum",
    calls=(operator.add, operator.iadd, torch.add, "add", "add_"),
    backward=_sum,
    title="relevance is shared by contribution",
    all_sources=True,
    zennit="sum",
)
DIFFERENCE = Operation("difference", calls=(operator.sub, operator.isub, torch.sub, "sub", "sub_"))
"""a − b is the sum a + (−b)."""

GATE = Operation(
    "gate", backward=_gate, title="all relevance goes to the signal", needs_values=False
)
"""A signal times what does not depend on its places."""

PRODUCT = Operation("product", calls=(operator.mul, operator.imul, torch.mul, "mul", "mul_"))
"""A gate, where one factor can be one."""

QUOTIENT = Operation(
    "quotient", calls=(operator.truediv, operator.itruediv, torch.div, "div", "div_")
)
"""A gate, where the divisor is a constant."""

CONSTANT = Operation("constant", calls=(torch.zeros_like, torch.ones_like), needs_values=False)
"""What does not depend on the images: what relevance comes to it is a bias's."""

UNKNOWN = Operation("unknown", needs_values=False)
"""What has no relevance rule, and may stand where no relevance comes."""
