"""A composite: which rule, with which hyperparameters, each block of layers gets."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from lrpsweep.attribution.lrp.layers import LayerInfo, select_layers
from lrpsweep.attribution.lrp.rules import Bounds, LayerRule
from lrpsweep.errors import InputError

DEFAULT_BLOCK = "default"


@dataclass(frozen=True)
class Block:
    """Layers that share one rule.

    layers: their names; hyper: the rule's numbers; options: named variants of it, as the `form` of
    epsilon, and `pooling`, which is not for the rule but for the max pools that read the layers.
    bounds: of z_box, lowest and highest input, each one number for all channels or one for each, in
    units of the layers' input; None: those that the explainer knows of pixels.
    """

    name: str
    layers: tuple[str, ...]
    rule: str
    hyper: Mapping[str, float]
    options: Mapping[str, str] = field(default_factory=dict)
    bounds: Bounds | None = None

    @property
    def arguments(self) -> dict[str, float | str | Bounds]:
        """What the rule is called with."""
        bounds = {} if self.bounds is None else {"bounds": self.bounds}
        options = {o: v for o, v in self.options.items() if o != "pooling"}
        return {**self.hyper, **options, **bounds}


@dataclass(frozen=True)
class Composite:
    """Blocks in the order of the network; every layer with weights is in exactly one."""

    blocks: tuple[Block, ...]

    def by_layer(self) -> dict[str, Block]:
        """The block of every layer, by the layer's name."""
        return {layer: block for block in self.blocks for layer in block.layers}

    def rules(self, layers: Sequence[LayerInfo]) -> dict[str, LayerRule]:
        """What the engine gets: the rule of every layer and max pool, by its name."""
        found: dict[str, LayerRule] = {}
        pools = {layer.name: layer.pools for layer in layers}
        for block in self.blocks:
            rule = LayerRule(block.rule, block.arguments, block.name)
            found |= dict.fromkeys(block.layers, rule)
            if "pooling" in block.options:
                shared = LayerRule(block.options["pooling"], group=block.name)
                found |= {pool: shared for name in block.layers for pool in pools[name]}
        return found


def plain(block: Block) -> dict[str, Any]:
    """The block as a composite.json has it: of plain values, an infinite γ as 'inf'."""
    bounds = zip(("low", "high"), map(list, block.bounds or ()), strict=False)
    return {
        "block": block.name,
        "layers": list(block.layers),
        "rule": block.rule,
        "hyperparameters": {k: "inf" if math.isinf(v) else v for k, v in block.hyper.items()},
        **({"options": dict(block.options)} if block.options else {}),
        **({"bounds": dict(bounds)} if block.bounds else {}),
    }


def assign_layers(
    layers: Sequence[LayerInfo],
    selectors: Mapping[str, Sequence[str | int]],
    moving: Collection[str] = (),
) -> dict[str, tuple[str, ...]]:
    """The layers with weights that each block's selectors mean, in the network's order.

    moving: blocks that take their layers before the others, in order, so that they may leave
    others, or later ones of themselves, with none. A block named 'default' without selectors gets
    what is left over. Raises InputError, which names the block, when one that does not move selects
    nothing, two of those overlap, or a layer is in none of them.
    """
    owner: dict[str, str] = {}
    for block, wanted in selectors.items():
        if block not in moving:
            for layer in _selected(layers, block, wanted):
                if owner.setdefault(layer, block) != block:
                    raise InputError(
                        f"composite.{block}.layers: layer '{layer}' is in block '{owner[layer]}' "
                        "already; expected every layer in one block"
                    )
    left = [layer.name for layer in layers if layer.weighted and layer.name not in owner]
    if left and DEFAULT_BLOCK not in selectors:
        but = " without a searched depth" if moving else ""
        raise InputError(
            f"composite: no block{but} has {_listing(left)}; expected every layer with weights in "
            f"a block{but}, or a block named '{DEFAULT_BLOCK}' for the rest"
        )
    owner |= dict.fromkeys(left, DEFAULT_BLOCK)
    for block in reversed([name for name in selectors if name in moving]):
        owner |= dict.fromkeys(_chosen(layers, block, selectors[block]), block)
    return {
        block: tuple(layer.name for layer in layers if owner.get(layer.name) == block)
        for block in selectors
    }


def _selected(
    layers: Sequence[LayerInfo], block: str, wanted: Sequence[str | int]
) -> Iterable[str]:
    if not wanted and block == DEFAULT_BLOCK:
        return ()
    chosen = _chosen(layers, block, wanted)
    if not chosen:
        raise InputError(
            f"composite.{block}.layers: {list(wanted)} selects no layer with weights; expected at "
            f"least one of {_listing([layer.name for layer in layers if layer.weighted])}"
        )
    return chosen


def _chosen(
    layers: Sequence[LayerInfo], block: str, wanted: Sequence[str | int]
) -> dict[str, None]:
    chosen: dict[str, None] = {}
    for selector in wanted:
        try:
            found = select_layers(layers, selector)
        except InputError as error:
            raise InputError(f"composite.{block}.layers: {error}") from error
        chosen |= {layer.name: None for layer in found if layer.weighted}
    return chosen


def _listing(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def assign_parts(
    layers: Sequence[LayerInfo], ends: Mapping[str, Fraction | int | None]
) -> dict[str, tuple[str, ...]]:
    """The layers of a published composite's parts, for a network that is not VGG-16.

    ends: by part, where it ends: a fraction is a share of the body's depth, and at least the first
    layer; an int is a depth; None means the head: the dense layers behind the last map, and the
    last layer with weights whatever it is, since it gives the class scores. Depth counts
    convolutions from the images on, parallel ones together. On VGG-16 the thirteenths of the
    literature's composites give the layer indices that the literature names. Parts for which the
    network has no layer are left out.
    """
    weighted = sorted((x for x in layers if x.weighted), key=lambda layer: layer.depth)
    head = [
        layer.name
        for layer in weighted
        if (layer.dense and not layer.on_map) or layer is weighted[-1]
    ]
    body = [layer for layer in weighted if layer.name not in head]
    deepest = max((layer.depth for layer in body), default=0)
    parts: dict[str, tuple[str, ...]] = {}
    first = 0
    for part, end in ends.items():
        if end is None:
            chosen = tuple(head)
        else:
            last = end if isinstance(end, int) else max(1, round(end * deepest))
            chosen = tuple(layer.name for layer in body if first < layer.depth <= last)
            first = max(first, last)
        if chosen:
            parts[part] = chosen
    return parts


def decayed(block: Block, decay: float, layers: Sequence[LayerInfo]) -> Iterator[Block]:
    """A block for each depth of a `gamma` block, with γ, γ·decay, γ·decay², … from the images on.

    Depths at which the block has no layer do not count. An infinite γ stays infinite.
    """
    depth = {layer.name: layer.depth for layer in layers}
    gamma = block.hyper["gamma"]
    for power, now in enumerate(sorted({depth[name] for name in block.layers})):
        names = tuple(name for name in block.layers if depth[name] == now)
        hyper = {**block.hyper, "gamma": gamma if math.isinf(gamma) else gamma * decay**power}
        yield replace(block, name=f"{block.name}.{power + 1}", layers=names, hyper=hyper)
