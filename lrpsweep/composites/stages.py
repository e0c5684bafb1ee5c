"""Blocks found in a network: layers between changes of resolution, or thirds of its depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from lrpsweep.attribution.lrp.graph import Step, run
from lrpsweep.attribution.lrp.layers import LayerInfo
from lrpsweep.composites.selectors import assign_parts

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
    pool, the next layer does. Parallel layers lie in the stage of the resolution they give. A dense
    layer on each place of a map, as in ConvNeXt, is a convolution of size 1.
    """
    values = run(tuple(steps), image)
    shapes = {
        step.name: _shape(step, value)
        for step, value in zip(steps, values, strict=True)
        if step.weighted
    }
    thirds = assign_parts(layers, THIRDS)
    head = thirds.get("classifier", ())
    by_size: dict[tuple[int, ...], list[str]] = {}
    for layer in sorted((x for x in layers if x.weighted), key=lambda layer: layer.depth):
        if layer.name not in head:
            by_size.setdefault(shapes[layer.name][1:], []).append(layer.name)
    stages = {f"stage{n}": tuple(names) for n, names in enumerate(by_size.values(), start=1)}
    parts = (stages | ({"classifier": head} if head else {}), thirds)
    return Stages(shapes, *({b: _ordered(x, layers) for b, x in p.items()} for p in parts))


def _shape(step: Step, value: Tensor) -> tuple[int, ...]:
    """Of an image's output, channels first: dense layers have them last."""
    shape = tuple(value.shape[1:])
    weights = step.operation.weights
    last = weights is not None and weights.channels_last
    return (shape[-1], *shape[:-1]) if last else shape


def _ordered(names: Sequence[str], layers: Sequence[LayerInfo]) -> tuple[str, ...]:
    """In the network's order."""
    return tuple(layer.name for layer in layers if layer.name in names)


def as_selectors(names: Sequence[str], layers: Sequence[LayerInfo]) -> str | list[str]:
    """The layers of a block as a study writes them: a range, or as many as it takes."""
    runs: list[list[LayerInfo]] = []
    follows = False
    for layer in (layer for layer in layers if layer.weighted):
        if layer.name in names:
            if not follows:
                runs.append([])
            runs[-1].append(layer)
        follows = layer.name in names
    found = [
        _word(run[0]) if len(run) == 1 else f"{_word(run[0])}..{_word(run[-1])}" for run in runs
    ]
    return found[0] if len(found) == 1 else found


def _word(layer: LayerInfo) -> str:
    """Its name, but for one that reads as a leaf index."""
    return str(layer.index) if layer.name.isdigit() else layer.name
