"""The engine: one forward pass per batch, then relevance for as many composites as one likes.

What belongs to the batch (every layer's input, z, z⁺) is recorded once and kept, within a bound,
so that a further composite costs little more than one transposed convolution per layer, and nothing
for the blocks from the output down that it has in common with an earlier one.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lrpsweep.attribution.lrp.backward import BackwardPass, Watch
from lrpsweep.attribution.lrp.balance import Balance, BlockBalance, per_image
from lrpsweep.attribution.lrp.canonize import canonize
from lrpsweep.attribution.lrp.forward import ForwardPass, pool_arguments
from lrpsweep.attribution.lrp.graph import Step, layer_below, pixelwise, reached
from lrpsweep.attribution.lrp.rules import keeps_shape
from lrpsweep.attribution.lrp.tracing import trace
from lrpsweep.errors import InputError

if TYPE_CHECKING:
    from lrpsweep.composites.block import Block, Composite

POOLING_STABILIZER = 1e-6
"""Of the denominators in averages and sums, as in zennit's `Norm`."""


@dataclass(frozen=True)
class Explanation:
    """relevance: (N, C, H, W). score: (N,), the explained logits.

    bias, stabilizer: (N,), what they took of the score on the way down; unexplained: (N,), what
    is left of score − Σ relevance after that, which only rounding explains. blocks: the same by
    block, from the output down.
    """

    relevance: Tensor
    score: Tensor
    bias: Tensor
    stabilizer: Tensor
    unexplained: Tensor
    blocks: Mapping[str, BlockBalance]

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


class Explainer:
    """LRP with any composite, for one network.

    net: in eval mode, on the device and in the precision of the images; it is never changed. Its
    own modules compute the forward pass, but for layers that have taken in a batch norm: those are
    copies. bounds: (low, high), each (C,), of a normalised pixel, for z_box. cache_bytes: how much
    memory forwards may keep between calls.
    """

    def __init__(
        self,
        net: nn.Module,
        bounds: tuple[Tensor, Tensor] | None = None,
        cache_bytes: int = 0,
    ):
        steps = trace(net)
        _check_mode(steps)
        self.steps = canonize(steps)
        self._reached = reached(self.steps)
        self._pooled = _pooled(self.steps)
        self._pixels = pixelwise(self.steps)
        self._net: nn.Module | None = net  # until its output has been compared
        self.bounds = bounds
        self.cache_bytes = cache_bytes
        self._forwards: dict[Hashable, ForwardPass] = {}

    @torch.no_grad()
    def attribute(
        self,
        images: Tensor,
        targets: Tensor,
        composite: Composite,
        key: Hashable = None,
        watch: Watch | None = None,
    ) -> Explanation:
        """Explains the logits `targets` (N,) of `images` (N, C, H, W).

        key: names the batch; a batch with a known key must hold the same images as before. watch:
        is told of every step, which then is taken anew.
        """
        self.check(composite)
        forward = self._forwards.get(key) or ForwardPass(self.steps, images, self.bounds)
        self._compare(images[:1], forward.output[:1])
        rules = composite.by_layer()
        balance = Balance.empty(len(images), forward.output)
        score = forward.output.gather(1, targets[:, None])
        start = torch.zeros_like(forward.output).scatter_(1, targets[:, None], score)
        backward = BackwardPass(
            forward, rules, frozenset(self._summed(rules)), POOLING_STABILIZER, watch
        )
        relevance = backward.propagate(start, balance, keep=key is not None and watch is None)
        if key is not None:
            self._keep(key, forward)
        score = score[:, 0].double()
        rest = score - per_image(relevance) - balance.bias - balance.stabilizer
        return Explanation(relevance, score, balance.bias, balance.stabilizer, rest, balance.blocks)

    def check(self, composite: Composite) -> None:
        """Raises InputError when a layer has no block, or one whose rule is not for it."""
        blocks = composite.by_layer()
        for place, step in enumerate(self.steps):
            if step.kind != "weighted" or place not in self._reached:
                continue
            if step.name not in blocks:
                raise InputError(f"composite: layer '{step.name}' is in no block")
            self._check_rule(step, blocks[step.name])
        for place in self._summed(blocks):
            if pool_arguments(self.steps[place].module)[3] not in (1, (1, 1)):
                raise InputError(
                    f"'{self.steps[place].name}': a max pool with gaps in its windows has no "
                    "pooling: sum; expected pooling: winner"
                )

    def _summed(self, blocks: Mapping[str, Block]) -> set[int]:
        """Places of max pools whose relevance is shared: those that read a block with that."""
        return {
            place
            for place, name in self._pooled.items()
            if blocks[name].options.get("pooling") == "sum"
        }

    def _check_rule(self, step: Step, block: Block) -> None:
        assert step.module is not None
        known = self.bounds is not None and step.sources[0] in self._pixels
        if block.bounds is not None:
            self._check_bounds(step, block)
        elif block.rule == "z_box" and not known:
            raise InputError(
                f"composite.{block.name}.rule: z_box on '{step.name}', which does not read the "
                "images; expected z_box on layers that read pixels, whose bounds are known, or the "
                "bounds of what it reads as low and high"
            )
        if block.rule == "pass" and not keeps_shape(step.module):
            raise InputError(
                f"composite.{block.name}.rule: pass on '{step.name}', whose output has another "
                "shape than its input; expected pass on layers that keep the shape"
            )

    def _check_bounds(self, step: Step, block: Block) -> None:
        assert block.bounds is not None
        reads = _channels(step.module)
        for name, bound in zip(("low", "high"), block.bounds, strict=True):
            if len(bound) not in (1, reads):
                raise InputError(
                    f"composite.{block.name}.{name}: {len(bound)} numbers; expected one, or "
                    f"{reads}, one for each channel that '{step.name}' reads"
                )

    def _compare(self, image: Tensor, found: Tensor) -> None:
        """Refuses, once, a network whose steps do not compute what the network computes.

        The last guard against explaining something else: a forward pass may do what its trace does
        not show, as a tensor overwritten under two names.
        """
        if self._net is None:
            return
        expected = self._net(image.clone())
        allowed = 10 * torch.finfo(found.dtype).eps ** 0.5 * float(expected.abs().max())
        if not torch.allclose(found, expected, rtol=0, atol=allowed, equal_nan=True):
            raise InputError(
                f"{type(self._net).__name__}: its forward pass does more than can be traced: its "
                f"output differs by {float((found - expected).abs().max()):.3g} from that of its "
                "layers one by one. Expected a network without hooks that change values, and "
                "without tensors that are overwritten while they are used elsewhere"
            )
        self._net = None

    def _keep(self, key: Hashable, forward: ForwardPass) -> None:
        """Keeps the pass if the bound allows; asked again after each use, since passes grow."""
        self._forwards.pop(key, None)
        left = self.cache_bytes - self.kept_bytes()
        while forward.kept_bytes() > left and forward.drop_checkpoint():
            pass
        if forward.kept_bytes() <= left:
            self._forwards[key] = forward

    def forget(self) -> None:
        """Lets go of the kept forwards."""
        self._forwards.clear()

    def kept_bytes(self) -> int:
        """Memory that the kept forwards take."""
        return sum(forward.kept_bytes() for forward in self._forwards.values())


def _channels(layer: nn.Module | None) -> int:
    """How many channels, or features, a layer with weights reads."""
    if isinstance(layer, nn.Conv2d):
        return layer.in_channels
    assert isinstance(layer, nn.Linear)
    return layer.in_features


def _check_mode(steps: Sequence[Step]) -> None:
    for step in steps:
        if step.kind in ("affine", "identity") and step.module is not None and step.module.training:
            raise InputError(
                f"layer '{step.name}' of type {type(step.module).__name__} is in training mode; "
                "expected a network in eval mode: call `net.eval()` first"
            )


def _pooled(steps: Sequence[Step]) -> dict[int, str]:
    """Places of the max pools that relevance comes to, with the layer that each one reads."""
    below, relevant = layer_below(steps), reached(steps)
    return {
        place: steps[below[place]].name
        for place, step in enumerate(steps)
        if step.kind == "winner" and place in relevant and below[place] >= 0
    }
