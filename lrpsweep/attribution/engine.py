"""The engine: one forward pass per batch, then relevance for as many composites as one likes.

What belongs to the batch (every layer's input, z, z⁺) is recorded once and kept, within a bound,
so that a further composite costs little more than one transposed convolution per layer.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lrpsweep.attribution.composite import Block, Composite
from lrpsweep.attribution.graph import Step, read, run, trace
from lrpsweep.attribution.rules import KEEPS_SUPPORT, RULES, Arriving, Ledger, Record
from lrpsweep.errors import InputError

POOLS = ("winner", "average")
POOLING_STABILIZER = 1e-6


@dataclass(frozen=True)
class Explanation:
    """relevance: (N, C, H, W). score: (N,), the explained logits.

    bias, stabilizer: (N,), what they took of the score on the way down; unexplained: (N,), what
    is left of score − Σ relevance after that, which only rounding explains.
    """

    relevance: Tensor
    score: Tensor
    bias: Tensor
    stabilizer: Tensor
    unexplained: Tensor

    @property
    def heatmaps(self) -> Tensor:
        """Relevance summed over channels, (N, H, W)."""
        return self.relevance.sum(1)

    def balance(self) -> Mapping[str, float]:
        """Mean over the images of each part's size relative to the score's: never negative."""
        size = self.score.abs().clamp(min=torch.finfo(torch.float32).tiny)
        parts = {
            "bias": self.bias,
            "stabilizer": self.stabilizer,
            "unexplained": self.unexplained,
        }
        return {name: float((part.abs() / size).mean()) for name, part in parts.items()}


class Tape:
    """A batch as the network saw it: what each step read, and a `Record` per weighted one."""

    def __init__(
        self, steps: tuple[Step, ...], images: Tensor, bounds: tuple[Tensor, Tensor] | None
    ):
        self.steps = steps
        values = run(steps, images)
        self.output = values[-1]
        rectified = _read_by_relu_alone(steps)
        inputs = [read(step, values, images) for step in steps]
        self.records = {
            step.name: _record(step, inputs[i][0], bounds, values, rectified.get(i))
            for i, step in enumerate(steps)
            if step.kind == "weighted"
        }
        self.inputs = {i: inputs[i][0] for i, step in enumerate(steps) if step.kind in POOLS}
        self.shapes = [[value.shape for value in given] for given in inputs]
        self._winners: dict[int, Tensor] = {}

    def winners(self, place: int) -> Tensor:
        """Where each maximum came from, first index on ties."""
        if place not in self._winners:
            self._winners[place] = F.max_pool2d(
                self.inputs[place], *_pool_arguments(self.steps[place].module), return_indices=True
            )[1]
        return self._winners[place]

    def kept_bytes(self) -> int:
        """Memory that keeping this tape costs."""
        recorded = [tensor for record in self.records.values() for tensor in record.kept()]
        kept = [self.output, *self.inputs.values(), *self._winners.values(), *recorded]
        return sum({t.data_ptr(): t.numel() * t.element_size() for t in kept}.values())


def _read_by_relu_alone(steps: tuple[Step, ...]) -> dict[int, int]:
    """Places of weighted steps that one ReLU reads and nothing else, with that ReLU's place."""
    readers: dict[int, list[int]] = {}
    for place, step in enumerate(steps):
        for source in step.sources:
            readers.setdefault(source, []).append(place)
    return {
        source: places[0]
        for source, places in readers.items()
        if source >= 0
        and len(places) == 1
        and steps[source].kind == "weighted"
        and steps[places[0]].kind == "relu"
    }


def _record(
    step: Step,
    x: Tensor,
    bounds: tuple[Tensor, Tensor] | None,
    values: list[Tensor],
    relu: int | None,
) -> Record:
    assert isinstance(step.module, nn.Conv2d | nn.Linear)
    low, high = bounds if bounds is not None and step.sources == (-1,) else (None, None)
    return Record(step.module, x, None if relu is None else values[relu], low, high)


def _pool_arguments(pool: nn.Module | None) -> tuple[Any, ...]:
    assert isinstance(pool, nn.MaxPool2d)
    return (pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode)


class Explainer:
    """LRP with any composite, for one network.

    net: in eval mode; it is never changed, and its own modules compute the forward pass. bounds:
    (low, high), each (C,), of a normalised pixel, for z_box. cache_bytes: how much memory tapes
    may keep between calls.
    """

    def __init__(
        self,
        net: nn.Module,
        bounds: tuple[Tensor, Tensor] | None = None,
        cache_bytes: int = 0,
    ):
        self.steps = trace(net)
        self.bounds = bounds
        self.cache_bytes = cache_bytes
        self._tapes: dict[Hashable, Tape] = {}

    @torch.no_grad()
    def attribute(
        self, images: Tensor, targets: Tensor, composite: Composite, key: Hashable = None
    ) -> Explanation:
        """Explains the logits `targets` (N,) of `images` (N, C, H, W).

        key: names the batch; a batch with a known key must hold the same images as before.
        """
        self.check(composite)
        tape = self._tapes.get(key) or Tape(self.steps, images, self.bounds)
        rules = composite.by_layer()
        ledger = Ledger.empty(len(images), tape.output)
        score = tape.output.gather(1, targets[:, None])
        start = torch.zeros_like(tape.output).scatter_(1, targets[:, None], score)
        relevance = _propagate(tape, start, rules, ledger)
        if key is not None:
            self._keep(key, tape)
        score = score[:, 0].double()
        left = score - relevance.flatten(1).sum(1, dtype=torch.float64)
        rest = left - ledger.bias - ledger.stabilizer
        return Explanation(relevance, score, ledger.bias, ledger.stabilizer, rest)

    def check(self, composite: Composite) -> None:
        """Raises InputError when a layer has no block, or z_box is put where no pixels arrive."""
        blocks = composite.by_layer()
        for step in self.steps:
            if step.kind != "weighted":
                continue
            if step.name not in blocks:
                raise InputError(f"composite: layer '{step.name}' is in no block")
            block = blocks[step.name]
            if block.rule == "z_box" and (step.sources != (-1,) or self.bounds is None):
                raise InputError(
                    f"composite.{block.name}.rule: z_box on '{step.name}', which does not read "
                    "the images; expected z_box on layers that read pixels, whose bounds are known"
                )

    def _keep(self, key: Hashable, tape: Tape) -> None:
        """Keeps the tape if the bound allows; asked again after each use, since tapes grow."""
        self._tapes.pop(key, None)
        if self.kept_bytes() + tape.kept_bytes() <= self.cache_bytes:
            self._tapes[key] = tape

    def forget(self) -> None:
        """Lets go of the kept tapes."""
        self._tapes.clear()

    def kept_bytes(self) -> int:
        """Memory that the kept tapes take."""
        return sum(tape.kept_bytes() for tape in self._tapes.values())


def _propagate(
    tape: Tape,
    start: Tensor,
    rules: Mapping[str, Block],
    ledger: Ledger,
) -> Tensor:
    """Sends relevance from the output (N, classes) down to the images (N, C, H, W)."""
    steps = tape.steps
    pending: dict[int, Arriving] = {len(steps) - 1: Arriving(start)}
    for place in range(len(steps) - 1, -1, -1):
        arriving = pending.pop(place, None)
        if arriving is None:
            continue
        step = steps[place]
        for source, lower in zip(
            step.sources, _through(tape, place, step, arriving, rules, ledger), strict=True
        ):
            before = pending.get(source)
            pending[source] = lower if before is None else _both(before, lower)
    return pending[-1].relevance


def _both(one: Arriving, other: Arriving) -> Arriving:
    return Arriving(one.relevance + other.relevance, one.rectified and other.rectified)


def _through(
    tape: Tape,
    place: int,
    step: Step,
    arriving: Arriving,
    rules: Mapping[str, Block],
    ledger: Ledger,
) -> list[Arriving]:
    """Relevance through one step, (N, *out) -> (N, *in) for each of its sources."""
    relevance = arriving.relevance
    if step.kind == "weighted":
        block = rules[step.name]
        rule = RULES[block.rule]
        lower = rule(tape.records[step.name], arriving, ledger, **block.hyper, **block.options)
        return [Arriving(lower, block.rule in KEEPS_SUPPORT)]
    if step.kind == "winner":
        return [Arriving(_winner_takes_all(tape, place, relevance), arriving.rectified)]
    if step.kind == "average":
        return [Arriving(_average(step, tape.inputs[place], relevance, ledger), rectified=True)]
    if step.kind == "join":
        sizes = [shape[step.dim] for shape in tape.shapes[place]]
        return [Arriving(r, arriving.rectified) for r in torch.split(relevance, sizes, step.dim)]
    return [Arriving(relevance.reshape(tape.shapes[place][0]), arriving.rectified)]


def _winner_takes_all(tape: Tape, place: int, relevance: Tensor) -> Tensor:
    lower: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
        relevance.contiguous(),
        tape.inputs[place],
        *_backward_arguments(tape.steps[place].module),
        tape.winners(place),
    )
    return lower


def _backward_arguments(pool: nn.Module | None) -> tuple[Any, ...]:
    kernel, stride, padding, dilation, ceil_mode = _pool_arguments(pool)
    pairs = [v if isinstance(v, tuple) else (v, v) for v in (kernel, stride, padding, dilation)]
    return (*pairs, ceil_mode)


def _average(step: Step, x: Tensor, relevance: Tensor, ledger: Ledger) -> Tensor:
    """LRP-0 of an averaging layer: each input's share of the average."""
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        pooled = step.run(leaf)
    s = ledger.divide(relevance, pooled.detach(), None, POOLING_STABILIZER)
    (pulled,) = torch.autograd.grad(pooled, leaf, s)
    return x * pulled
