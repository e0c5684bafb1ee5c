"""A network as the list of its leaf layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from lrpsweep.attribution.lrp.canonize import canonize
from lrpsweep.attribution.lrp.graph import Step, averaged, depths, reached
from lrpsweep.attribution.lrp.tracing import trace


@dataclass(frozen=True)
class LayerInfo:
    """A leaf module: its place in the network's own order, as in torchvision's VGG indices.

    depth: of a layer with weights, how many of those lie on the longest way from the images to it,
    itself included; 0 for all others, also for those that no relevance comes to. Parallel branches
    have the same depths. handling: how relevance goes back through it: 'weighted' (a composite's
    rule), 'merged into NAME' (a batch norm), 'gate' (it only feeds a gate, which gets none), '' (it
    computes nothing, or forward() does not use it), or a kind of `operations`: 'pass', 'relu', ….
    on_map: whether its output is averaged over places in the end: a dense layer there, as
    ConvNeXt's, is a convolution of size 1. pools: names of the max pools that read its output.
    """

    index: int
    name: str
    kind: str
    depth: int
    handling: str = ""
    on_map: bool = False
    pools: tuple[str, ...] = ()

    @property
    def weighted(self) -> bool:
        """Whether it has weights, and forward() uses it."""
        return self.depth > 0


def list_layers(net: nn.Module) -> tuple[LayerInfo, ...]:
    """Leaf modules of `net` in the order in which they are registered.

    Raises InputError as `trace` does.
    """
    leaves = [(name, m) for name, m in net.named_modules() if not any(m.children())]
    steps = canonize(trace(net))
    depth, handling = depths(steps), _handling(steps)
    maps = {steps[place].name for place in averaged(steps) if place >= 0}
    return tuple(
        LayerInfo(
            i, name, type(m).__name__, depth.get(name, 0), handling.get(name, ""), name in maps
        )
        for i, (name, m) in enumerate(leaves)
    )


def _handling(steps: Sequence[Step]) -> dict[str, str]:
    """By the layer's name; that of a layer used twice is that of the use that gets relevance."""
    relevant = reached(steps)
    found: dict[str, str] = {}
    for place, step in enumerate(steps):
        found |= dict.fromkeys(step.merged, f"merged into {step.name}")
        if place in relevant:
            found[step.name] = step.kind
        else:
            found.setdefault(step.name, "gate")
    return found
