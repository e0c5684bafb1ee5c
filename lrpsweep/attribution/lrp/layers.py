"""A network as the list of its leaf layers, and the selectors that pick from it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from lrpsweep.attribution.lrp.canonize import canonize
from lrpsweep.attribution.lrp.graph import Step, averaged, depths, layer_below, reached
from lrpsweep.attribution.lrp.operations.pooling import MAX_POOL
from lrpsweep.attribution.lrp.tracing import trace, unwrapped
from lrpsweep.composites.depths import depth_ends
from lrpsweep.errors import InputError, guess


@dataclass(frozen=True)
class LayerInfo:
    """A leaf module: its place in the network's own order, as in torchvision's VGG indices.

    Layers that forward() computes by functions, as F.conv2d(x, self.weight), come last, by the name
    of their weight. kind: its type. depth: of a layer with
    weights, how many of those lie on the longest path from the images to it, itself included; 0 for
    all others, also for those that no relevance comes to. Parallel branches have the same depths.
    handling: how relevance goes back through it: 'weighted' (a composite's rule), 'merged into
    NAME' (a batch norm), 'gate' (it only feeds a gate, which gets none), '' (it computes nothing,
    or forward() does not use it), or the name of an operation: 'pass', 'relu', …. on_map: whether
    its output is averaged over places in the end: a dense layer there, as ConvNeXt's, is a
    convolution of size 1. dense: whether it is a dense layer. pools: names of the max pools that
    read its output, maybe through others without weights.
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
    steps = canonize(trace(net, example))
    leaves = dict(_leaves(unwrapped(net)))
    kinds = {name: _kind(module) for name, module in leaves.items()}
    weighted = {step.name: step for step in steps if step.weighted}
    kinds |= {n: _kind(step.module) for n, step in weighted.items() if n not in kinds}
    depth, handling, pools = depths(steps), _handling(steps), _pools(steps)
    maps = {steps[place].name for place in averaged(steps) if place >= 0}
    return tuple(
        LayerInfo(
            *(i, name, kind, depth.get(name, 0), handling.get(name, "")),
            on_map=name in maps,
            dense=name in weighted and _dense(weighted[name]),
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


def _dense(step: Step) -> bool:
    return step.operation.weights is not None and step.operation.weights.channels_last


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


def select_layers(layers: Sequence[LayerInfo], selector: str | int) -> tuple[LayerInfo, ...]:
    """The layers that one selector means.

    A name ('features.0'; a prefix such as 'features' means all below it), a leaf index ('0'), a
    type ('Conv2d'), an inclusive range of names or indices ('1..16', 'features.18..end'), or one of
    depths ('depth 3', 'depth 2..5', 'depth ..5'), which holds none if it ends before it begins.
    Raises InputError when it means nothing in this network.
    """
    text = str(selector)
    ends = depth_ends(text)
    if ends is not None:
        return _at_depths(layers, text, ends)
    if ".." in text:
        first, last = _range_ends(layers, text)
        return tuple(layers[first : last + 1])
    chosen = tuple(layer for layer in layers if _matches(layer, text))
    if not chosen:
        raise InputError(_unknown(layers, text))
    return chosen


def _at_depths(
    layers: Sequence[LayerInfo], text: str, ends: tuple[str, str]
) -> tuple[LayerInfo, ...]:
    deepest = max(layer.depth for layer in layers)
    first, last = int(ends[0] or 1), int(ends[1] or deepest)
    if max(first, last) > deepest:
        raise InputError(
            f"found '{text}', but the network is {deepest} layers with weights deep; expected at "
            f"most depth {deepest}"
        )
    return tuple(layer for layer in layers if max(1, first) <= layer.depth <= last)


def _range_ends(layers: Sequence[LayerInfo], text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(.*?)\.\.(.*)", text)
    assert match is not None
    start, stop = match.groups()
    first = _position(layers, start, last=False) if start else 0
    last = len(layers) - 1 if stop in ("", "end") else _position(layers, stop, last=True)
    if last < first:
        raise InputError(
            f"the range '{text}' ends before it begins ({layers[last].name} comes before "
            f"{layers[first].name}); expected FIRST..LAST in the network's order"
        )
    return first, last


def _position(layers: Sequence[LayerInfo], word: str, *, last: bool) -> int:
    places = [layer.index for layer in layers if _named(layer, word)]
    if not places:
        raise InputError(_unknown(layers, word))
    return places[-1] if last else places[0]


def _named(layer: LayerInfo, word: str) -> bool:
    if word.isdigit():
        return layer.index == int(word)
    return layer.name == word or layer.name.startswith(word + ".")


def _matches(layer: LayerInfo, word: str) -> bool:
    return _named(layer, word) or layer.kind == word


def _unknown(layers: Sequence[LayerInfo], word: str) -> str:
    names = [layer.name for layer in layers]
    kinds = sorted({layer.kind for layer in layers})
    return (
        f"the network has no layer '{word}'. Layers run from '{names[0]}' (0) to '{names[-1]}' "
        f"({len(names) - 1}); types are {', '.join(kinds)}.{guess(word, names + kinds)}"
    )
