"""A network as the list of its leaf layers, and the selectors that pick from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from lrpsweep.attribution.lrp.canonize import canonize
from lrpsweep.attribution.lrp.graph import Step, averaged, depths, layer_below, reached
from lrpsweep.attribution.lrp.tracing import trace
from lrpsweep.composites.depths import depth_ends
from lrpsweep.errors import InputError, guess


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
    pools = _pools(steps)
    return tuple(
        LayerInfo(
            *(i, name, type(m).__name__, depth.get(name, 0), handling.get(name, "")),
            on_map=name in maps,
            pools=tuple(pools.get(name, ())),
        )
        for i, (name, m) in enumerate(leaves)
    )


def _pools(steps: Sequence[Step]) -> dict[str, list[str]]:
    """By the name of a layer with weights, the max pools with relevance that read its output."""
    below, relevant = layer_below(steps), reached(steps)
    found: dict[str, list[str]] = {}
    for place, step in enumerate(steps):
        if step.kind == "max_pool" and place in relevant and below[place] >= 0:
            found.setdefault(steps[below[place]].name, []).append(step.name)
    return found


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
