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
from lrpsweep.attribution.graph import Step, run, trace
from lrpsweep.attribution.rules import RULES, Ledger, Record
from lrpsweep.errors import InputError

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
    """A batch as the network saw it: the value of every step, and a `Record` per weighted one."""

    def __init__(
        self, steps: tuple[Step, ...], images: Tensor, bounds: tuple[Tensor, Tensor] | None
    ):
        self.steps = steps
        self.images = images
        values = run(steps, images)
        self.output = values[-1]
        self.inputs = [values[s.source] if s.source >= 0 else images for s in steps]
        self.records = {
            step.name: _record(step, self.inputs[i], values[i], bounds)
            for i, step in enumerate(steps)
            if step.kind == "weighted"
        }
        self._winners: dict[str, Tensor] = {}

    def winners(self, step: Step, pooled: Tensor) -> Tensor:
        """Where each maximum came from, first index on ties."""
        if step.name not in self._winners:
            self._winners[step.name] = F.max_pool2d(
                pooled, *_pool_arguments(step.module), return_indices=True
            )[1]
        return self._winners[step.name]

    def kept_bytes(self) -> int:
        """Memory that keeping this tape costs."""
        winners = sum(t.numel() * t.element_size() for t in self._winners.values())
        inputs = {t.data_ptr(): t.numel() * t.element_size() for t in self.inputs}
        recorded = sum(record.kept_bytes() for record in self.records.values())
        weighted = {t.x.data_ptr() for t in self.records.values()}
        return winners + recorded + sum(b for p, b in inputs.items() if p not in weighted)


def _record(step: Step, x: Tensor, z: Tensor, bounds: tuple[Tensor, Tensor] | None) -> Record:
    assert isinstance(step.module, nn.Conv2d | nn.Linear)
    low, high = bounds if bounds is not None and step.source == -1 else (None, None)
    return Record(step.module, x, z, low, high)


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
            if block.rule == "z_box" and (step.source != -1 or self.bounds is None):
                raise InputError(
                    f"composite.{block.name}.rule: z_box on '{step.name}', which does not read "
                    "the images; expected z_box on layers that read pixels, whose bounds are known"
                )

    def _keep(self, key: Hashable, tape: Tape) -> None:
        """Keeps the tape if the bound allows; asked again after each use, since tapes grow."""
        self._tapes.pop(key, None)
        if self.kept_bytes() + tape.kept_bytes() <= self.cache_bytes:
            self._tapes[key] = tape

    def kept_bytes(self) -> int:
        """Memory that the kept tapes take."""
        return sum(tape.kept_bytes() for tape in self._tapes.values())


def _propagate(tape: Tape, start: Tensor, rules: Mapping[str, Block], ledger: Ledger) -> Tensor:
    """Sends relevance from the output (N, classes) down to the images (N, C, H, W)."""
    pending: dict[int, Tensor] = {len(tape.steps) - 1: start}
    for place in range(len(tape.steps) - 1, -1, -1):
        relevance = pending.pop(place, None)
        if relevance is None:
            continue
        step = tape.steps[place]
        lower = _through(tape, step, tape.inputs[place], relevance, rules, ledger)
        before = pending.get(step.source)
        pending[step.source] = lower if before is None else before + lower
    return pending[-1]


def _through(
    tape: Tape,
    step: Step,
    x: Tensor,
    relevance: Tensor,
    rules: Mapping[str, Block],
    ledger: Ledger,
) -> Tensor:
    """Relevance through one step, (N, *out) -> (N, *in)."""
    if step.kind == "weighted":
        block = rules[step.name]
        return RULES[block.rule](tape.records[step.name], relevance, ledger, **block.hyper)
    if step.kind == "winner":
        return _winner_takes_all(tape, step, x, relevance)
    if step.kind == "average":
        return _average(step, x, relevance, ledger)
    return relevance.reshape(x.shape)


def _winner_takes_all(tape: Tape, step: Step, x: Tensor, relevance: Tensor) -> Tensor:
    lower: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
        relevance.contiguous(), x, *_backward_arguments(step.module), tape.winners(step, x)
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
