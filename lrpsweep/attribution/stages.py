"""Blocks found in a network: layers between changes of resolution, or thirds of its depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from lrpsweep.attribution.composite import assign_parts
from lrpsweep.attribution.graph import Step, run
from lrpsweep.attribution.layers import LayerInfo

THIRDS: Mapping[str, Fraction | None] = {
    "low": Fraction(1, 3),
    "mid": Fraction(2, 3),
    "high": Fraction(1),
    "classifier": None,
}


@dataclass(frozen=True)
class Stages:
    """What blocks a network has. shapes: the output (C, H, W) or (C,) of each layer with weights.

    stages: layers that share a resolution, named stage1, stage2, … from the images on; thirds: low,
    mid and high thirds of the depth. In both the head (dense layers and the one that gives the
    class scores) is the block classifier.
    """

    shapes: Mapping[str, tuple[int, ...]]
    stages: Mapping[str, tuple[str, ...]]
    thirds: Mapping[str, tuple[str, ...]]


@torch.no_grad()
def find_stages(steps: Sequence[Step], layers: Sequence[LayerInfo], image: Tensor) -> Stages:
    """The blocks of a traced network, for an image (1, 3, H, W) of its input size.

    A convolution that reduces the resolution begins a stage, as torchvision's ResNets do; after a
    pool, the next layer does. Parallel layers lie in the stage of the resolution they give.
    """
    values = run(tuple(steps), image)
    shapes = {
        step.name: tuple(value.shape[1:])
        for step, value in zip(steps, values, strict=True)
        if step.kind == "weighted"
    }
    thirds = assign_parts(layers, THIRDS)
    head = thirds.get("classifier", ())
    by_size: dict[tuple[int, ...], list[str]] = {}
    for layer in sorted((x for x in layers if x.weighted), key=lambda layer: layer.depth):
        if layer.name not in head:
            by_size.setdefault(shapes[layer.name][1:], []).append(layer.name)
    order = {layer.name: layer.index for layer in layers}
    stages = {
        f"stage{n}": tuple(sorted(names, key=order.__getitem__))
        for n, names in enumerate(by_size.values(), start=1)
    }
    return Stages(shapes, stages | ({"classifier": head} if head else {}), thirds)


def as_selectors(names: Sequence[str], layers: Sequence[LayerInfo]) -> str | list[str]:
    """The layers of a block as a study writes them: one range where that means the same."""
    weighted = [layer.name for layer in layers if layer.weighted]
    first, last = weighted.index(names[0]), weighted.index(names[-1])
    if weighted[first : last + 1] == list(names):
        return names[0] if first == last else f"{names[0]}..{names[-1]}"
    return list(names)
