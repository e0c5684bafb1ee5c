"""A network as the list of its leaf layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from lrpsweep.attribution.lrp.canonize import canonize
from lrpsweep.attribution.lrp.graph import Step, averaged, depths, layer_below, reached
from lrpsweep.attribution.lrp.operations.pooling import MAX_POOL
from lrpsweep.attribution.lrp.tracing import trace, unwrapped


@dataclass(frozen=True)
class LayerInfo:
    """A leaf module: its place in the network's own order, as in torchvision's VGG indices.

    Layers that forward() computes by functions come last: F.conv2d(x, self.weight) by the name of
    its weight, a max pool as 'max_pool2d'. kind: its type. depth: of a layer with weights, how many
    of those lie on the longest path from the images to it, itself included; 0 for all others, also
    for those that no relevance comes to. Parallel branches have the same depths. handling: how
    relevance goes back through it: 'weighted' (a composite's rule), 'merged into NAME' (a batch
    norm), 'gate' (it only feeds a gate, which gets none), '' (it computes nothing, or forward()
    does not use it), or the name of an operation: 'pass', 'relu', …. on_map: whether its output is
    averaged over places in the end: a dense layer there, as ConvNeXt's, is a convolution of size 1.
    dense: whether it is a dense layer. pools: names of the max pools that read its output, maybe
    through others without weights.
    """

    index: int
    name: str
    kind: str
    depth: int
    handling: str = ""
    on_map: bool = False
    dense: bool = False
    pools: tuple[str, ...] = ()

    @property
    def weighted(self) -> bool:
        """Whether it has weights, and forward() uses it."""
        return self.depth > 0


def list_layers(net: nn.Module, example: Tensor | None = None) -> tuple[LayerInfo, ...]:
    """Leaf modules of `net` in the order in which they are registered.

    example: images of the shape that the network is used for, as for `trace`. Raises InputError as
    `trace` does.
    """
    return describe_layers(net, canonize(trace(net, example)))


def describe_layers(net: nn.Module, steps: Sequence[Step]) -> tuple[LayerInfo, ...]:
    """As `list_layers`, of a network's canonized steps."""
    kinds = {name: _kind(module) for name, module in _leaves(unwrapped(net))}
    weighted = {step.name: step for step in steps if step.weighted}
    pooled = {step.name: step for step in steps if step.operation == MAX_POOL}
    called = {n: _kind(step.module) for n, step in (weighted | pooled).items()}
    kinds |= {n: kind for n, kind in called.items() if n not in kinds}
    depth, handling, pools = depths(steps), _handling(steps), _pools(steps)
    maps = {steps[place].name for place in averaged(steps) if place >= 0}
    return tuple(
        LayerInfo(
            *(i, name, kind, depth.get(name, 0), handling.get(name, "")),
            on_map=name in maps,
            dense=name in weighted and weighted[name].layer[1].channels_last,
            pools=pools.get(name, ()),
        )
        for i, (name, kind) in enumerate(kinds.items())
    )


def _leaves(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules without children, but for what computes a layer's weights: that is no layer."""
    computing = tuple(f"{name}.parametrizations." for name, _ in net.named_modules() if name)
    for name, module in net.named_modules():
        leaf = is_parametrized(module) or not any(module.children())
        if name and leaf and not name.startswith(computing):
            yield name, module


def _kind(module: nn.Module | None) -> str:
    assert module is not None
    return type_before_parametrizations(module).__name__


def _pools(steps: Sequence[Step]) -> dict[str, tuple[str, ...]]:
    """By the name of a layer with weights, the max pools with relevance that read its output."""
    below, relevant = layer_below(steps), reached(steps)
    found: dict[str, dict[str, None]] = {}
    for place, step in enumerate(steps):
        if step.operation == MAX_POOL and place in relevant and below[place] >= 0:
            found.setdefault(steps[below[place]].name, {})[step.name] = None
    return {name: tuple(pools) for name, pools in found.items()}


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
